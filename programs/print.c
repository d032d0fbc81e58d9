/*
 * What people read. A member that an older or newer daemon does not send prints as nothing; names
 * of processes are whatever their owners made them, so control characters are not passed on to the
 * terminal.
 */
#include "print.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *
text(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL ? value : "";
}

static long long
number(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* The process of a connection as ss shows it, or nothing. */
static void
format_users(json_t *conn, char *out, size_t size)
{
    long long pid = number(conn, "pid");
    char command[64];
    size_t i;

    out[0] = '\0';
    if (pid == 0)
        return;
    snprintf(command, sizeof(command), "%s", text(conn, "command"));
    for (i = 0; command[i] != '\0'; i++) {
        if ((unsigned char)command[i] < ' ' || command[i] == 0x7f || command[i] == '"')
            command[i] = '?';
    }
    snprintf(out, size, "(\"%s\",pid=%lld)", command, pid);
}

void
print_status(json_t *status)
{
    printf("chimneyd %s pid %lld up %.1f s\n", text(status, "version"), number(status, "pid"),
           (double)number(status, "uptime_ms") / 1000);
    printf(
        "offloaded now %lld, moves down %lld up %lld, refused %lld, lost %lld, missed beats %lld\n",
        number(status, "offloaded_now"), number(status, "moves_down"), number(status, "moves_up"),
        number(status, "refused"), number(status, "lost"), number(status, "missed_beats"));
    printf("engine out %lld in %lld bytes, leaked %lld frames\n",
           number(status, "engine_bytes_out"), number(status, "engine_bytes_in"),
           number(status, "leaked"));
    printf("wire out %lld segments, retransmits %lld\n", number(status, "wire_segments_out"),
           number(status, "wire_retransmits"));
}

void
print_floor(json_t *floor)
{
    const char *below = text(floor, "below"), *protocols = text(floor, "protocols");
    const char *link = text(floor, "link");

    printf("%s: driver %s state %s on %s", text(floor, "adapter"), text(floor, "driver"),
           text(floor, "state"), below[0] != '\0' ? below : "its wire");
    if (strcmp(link, "gone") == 0)
        printf(" (interface gone)");
    else if (link[0] != '\0')
        printf(" (link %s)", link);
    if (protocols[0] != '\0')
        printf(" bound %s", protocols);
    if (text(floor, "congestion")[0] != '\0')
        printf(" congestion %s", text(floor, "congestion"));
    printf(" chimney %s", json_is_true(json_object_get(floor, "chimney")) ? "on" : "off");
    if (json_is_true(json_object_get(floor, "paused")))
        printf(" paused");
    printf(" offloaded objects %lld\n", number(floor, "offloaded"));
}

static bool
is(json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

void
print_member(json_t *member)
{
    const char *link = is(member, "gone") ? "gone" : is(member, "link") ? "up" : "down";

    printf("%s: member %s link %s%s%s%s%s mode %s switches %lld connections %lld\n",
           text(member, "team"), text(member, "member"), link,
           is(member, "active") ? " active" : "", is(member, "moving") ? " moving" : "",
           is(member, "running") ? "" : " paused", is(member, "failed") ? " failed" : "",
           text(member, "mode"), number(member, "switches"), number(member, "connections"));
}

#define CONN_LINE "%-7s %-12s %-30s %-30s %-12s %s\n"

void
print_conn_line(json_t *conn, unsigned line)
{
    char users[128];

    if (line == 0)
        printf(CONN_LINE, "Owner", "State", "Local Address:Port", "Peer Address:Port", "Interface",
               "Process");
    format_users(conn, users, sizeof(users));
    printf(CONN_LINE, text(conn, "owner"), text(conn, "state"), text(conn, "local"),
           text(conn, "peer"), text(conn, "interface"), users);
}

void
print_conn_details(json_t *conn)
{
    char users[128];

    format_users(conn, users, sizeof(users));
    printf("%s %s %s owner %s dev %s inode %lld %s\n", text(conn, "local"), text(conn, "peer"),
           text(conn, "state"), text(conn, "owner"), text(conn, "interface"), number(conn, "inode"),
           users);
    printf("    moves down %lld up %lld, with the target %.3f s\n", number(conn, "moves_down"),
           number(conn, "moves_up"), (double)number(conn, "offloaded_us") / 1e6);
    printf("    engine out %lld in %lld bytes, retransmits kernel %lld, leaked %lld\n",
           number(conn, "engine_bytes_out"), number(conn, "engine_bytes_in"),
           number(conn, "kernel_retransmits"), number(conn, "leaked"));
}

void
print_no_move(json_t *move, const char *what)
{
    printf("%s %s (%s): %s\n", what, text(move, "outcome"), text(move, "reason"),
           text(move, "words"));
}

void
print_move(json_t *move)
{
    json_t *conn = json_object_get(move, "conn");
    char ends[160];

    snprintf(ends, sizeof(ends), "%s %s", text(conn, "local"), text(conn, "peer"));
    if (strcmp(text(move, "outcome"), "done") != 0) {
        print_no_move(move, ends);
        return;
    }
    printf("%s ", ends);
    printf(
        "%s: held %lld us of %lld us, send queue %lld bytes, receive queue %lld bytes, owner %s\n",
        text(move, "direction"), number(move, "held_us"), number(move, "total_us"),
        number(move, "send_queue_bytes"), number(move, "receive_queue_bytes"), text(conn, "owner"));
}
