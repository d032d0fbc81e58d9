/*
 * Everything that turns our structures into JSON and requests into structures, so that daemon and
 * tests agree. Reading is strict: an unknown member is refused, because a misspelt selector would
 * select more than was meant.
 */
#include "message.h"

#include "chimney/house.h"
#include "chimney/team.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_FLAGS JSON_REJECT_DUPLICATES

static const char *const op_names[] = {"status", "stack", "list", "show",   "offload",
                                       "upload", "team",  "fail", "restore"};
static const char *const outcome_names[] = {"done", "refused", "lost", "unsupported", "denied"};

/* ---- requests ---- */

static int
read_endpoint(json_t *value, const char *key, struct hoststack_endpoint *out, char *why,
              size_t why_size)
{
    if (value == NULL)
        return 0;
    if (!json_is_string(value))
        snprintf(why, why_size, "%s must be a string", key);
    else if (hoststack_parse_endpoint(json_string_value(value), out) == 0)
        return 0;
    else
        snprintf(why, why_size,
                 "%s '%.50s' is none of ADDR:PORT, :PORT and ADDR (IPv6: [ADDR]:PORT), ports from "
                 "1 to 65535",
                 key, json_string_value(value));
    return -EINVAL;
}

static bool
endpoint_is_any(const struct hoststack_endpoint *endpoint)
{
    return endpoint->any_address && endpoint->any_port;
}

/* *all: said so. */
static int
read_selector(json_t *object, struct hoststack_selector *out, bool *all, char *why, size_t why_size)
{
    const char *key;
    json_t *value;

    *out = (struct hoststack_selector){
        .local = {.any_address = true, .any_port = true},
        .peer = {.any_address = true, .any_port = true},
    };
    if (object == NULL)
        return 0;
    if (!json_is_object(object)) {
        snprintf(why, why_size, "selector must be an object");
        return -EINVAL;
    }
    json_object_foreach(object, key, value)
    {
        if (strcmp(key, "local") == 0 || strcmp(key, "peer") == 0)
            continue;
        if (strcmp(key, "all") == 0 && json_is_boolean(value)) {
            *all = json_is_true(value);
        } else if (strcmp(key, "pid") == 0 && json_is_integer(value) &&
                   json_integer_value(value) > 0 && json_integer_value(value) <= INT32_MAX) {
            out->pid = (pid_t)json_integer_value(value);
        } else {
            snprintf(why, why_size, "selector: '%.40s' is unknown or its value is out of range",
                     key);
            return -EINVAL;
        }
    }
    if (read_endpoint(json_object_get(object, "local"), "local", &out->local, why, why_size) != 0)
        return -EINVAL;
    return read_endpoint(json_object_get(object, "peer"), "peer", &out->peer, why, why_size);
}

static int
read_op(json_t *value, enum message_op *out, char *why, size_t why_size)
{
    const char *name = json_string_value(value);

    for (unsigned i = 0; name != NULL && i < sizeof(op_names) / sizeof(op_names[0]); i++) {
        if (strcmp(name, op_names[i]) == 0) {
            *out = (enum message_op)i;
            return 0;
        }
    }
    snprintf(why, why_size,
             "op must be one of status, stack, list, show, offload, upload, team, fail, restore");
    return -EINVAL;
}

static int
read_member(json_t *value, struct message_request *out, char *why, size_t why_size)
{
    bool wanted = out->op == MESSAGE_FAIL || out->op == MESSAGE_RESTORE;
    const char *name = json_string_value(value);

    out->member[0] = '\0';
    if (!wanted && value == NULL)
        return 0;
    if (wanted && name != NULL && *name != '\0' && strlen(name) < sizeof(out->member)) {
        memcpy(out->member, name, strlen(name) + 1);
        return 0;
    }
    snprintf(why, why_size,
             wanted ? "member must name a member of a team" : "this request is about no member");
    return -EINVAL;
}

static int
read_object(json_t *object, struct message_request *out, char *why, size_t why_size)
{
    const char *key;
    json_t *value;
    bool all = false;

    if (!json_is_object(object)) {
        snprintf(why, why_size, "a request is a JSON object");
        return -EINVAL;
    }
    json_object_foreach(object, key, value)
    {
        if (strcmp(key, "op") != 0 && strcmp(key, "selector") != 0 && strcmp(key, "member") != 0) {
            snprintf(why, why_size, "a request has no member '%.40s'", key);
            return -EINVAL;
        }
    }
    if (read_op(json_object_get(object, "op"), &out->op, why, why_size) != 0 ||
        read_selector(json_object_get(object, "selector"), &out->selector, &all, why, why_size) !=
            0 ||
        read_member(json_object_get(object, "member"), out, why, why_size) != 0)
        return -EINVAL;
    if ((out->op == MESSAGE_OFFLOAD || out->op == MESSAGE_UPLOAD) && !all &&
        out->selector.pid == 0 && endpoint_is_any(&out->selector.local) &&
        endpoint_is_any(&out->selector.peer)) {
        snprintf(why, why_size, "name the connections (pid, local, peer) or say all");
        return -EINVAL;
    }
    return 0;
}

int
message_read_request(const char *line, size_t length, struct message_request *out, char *why,
                     size_t why_size)
{
    json_error_t error;
    json_t *object = json_loadb(line, length, LINE_FLAGS, &error);
    int result;

    if (object == NULL) {
        snprintf(why, why_size, "not JSON: %s (column %d)", error.text, error.column);
        return -EINVAL;
    }
    result = read_object(object, out, why, why_size);
    json_decref(object);
    return result;
}

/* ---- answers ---- */

/* Text from outside is not always UTF-8, which JSON must be: then only its ASCII is kept. */
static json_t *
lossy_text(const char *text)
{
    json_t *string = json_string(text);
    char ascii[256];
    size_t length = 0;

    if (string != NULL)
        return string;
    for (; length < sizeof(ascii) - 1 && text[length] != '\0'; length++)
        ascii[length] = (char)((unsigned char)text[length] < 0x80 ? text[length] : '?');
    ascii[length] = '\0';
    return json_string(ascii);
}

void
message_endpoint(const struct hoststack_endpoint *endpoint, char text[MESSAGE_ENDPOINT])
{
    char address[INET6_ADDRSTRLEN] = "*", port[8] = "*";
    bool brackets = !endpoint->any_address && endpoint->family == AF_INET6;

    if (!endpoint->any_address)
        inet_ntop(endpoint->family, endpoint->address, address, sizeof(address));
    if (!endpoint->any_port)
        snprintf(port, sizeof(port), "%u", endpoint->port);
    snprintf(text, MESSAGE_ENDPOINT, "%s%s%s:%s", brackets ? "[" : "", address, brackets ? "]" : "",
             port);
}

json_t *
message_floor(const struct house_floor *floor, const char *link)
{
    return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s, s:s?, s:b, s:b, s:I}", "adapter",
                     floor->adapter, "driver", floor->driver, "state", floor->state, "below",
                     floor->below, "link", link, "protocols",
                     floor->protocols != NULL ? floor->protocols : "", "congestion",
                     floor->congestion, "chimney", floor->chimney, "paused", floor->paused,
                     "offloaded", (json_int_t)floor->offloaded);
}

json_t *
message_member(const struct team_info *info, bool gone)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:i, s:i}", "team", info->team,
                     "member", info->member, "mode", info->mode, "active", info->active, "moving",
                     info->moving, "link", info->link, "gone", gone, "running", info->running,
                     "failed", info->failed, "switches", (int)info->switches, "connections",
                     (int)info->connections);
}

json_t *
message_conn(const struct hoststack_conn_info *info)
{
    char local[MESSAGE_ENDPOINT], peer[MESSAGE_ENDPOINT];

    message_endpoint(&info->local, local);
    message_endpoint(&info->peer, peer);
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:I, s:i, s:i, s:I, s:I, s:I, s:I, "
                     "s:I}",
                     "id", (json_int_t)info->id, "local", local, "peer", peer, "state", info->state,
                     "owner", info->owner, "interface", info->interface, "pid", (int)info->pid,
                     "command", lossy_text(info->command), "inode", (json_int_t)info->inode,
                     "moves_down", (int)info->moves_down, "moves_up", (int)info->moves_up,
                     "engine_bytes_out", (json_int_t)info->engine_bytes_out, "engine_bytes_in",
                     (json_int_t)info->engine_bytes_in, "kernel_retransmits",
                     (json_int_t)info->kernel_retransmits, "leaked", (json_int_t)info->leaked,
                     "offloaded_us", (json_int_t)info->offloaded_us);
}

json_t *
message_move(const struct hoststack_move *move)
{
    char status[16];

    snprintf(status, sizeof(status), "0x%08x", move->ndis_status);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "direction",
                     move->down ? "down" : "up", "outcome", message_outcome(move->outcome),
                     "reason", hoststack_reason_token(move->reason), "words",
                     hoststack_reason_words(move->reason), "ndis_status", status, "started_us",
                     (json_int_t)move->started_us, "total_us", (json_int_t)move->total_us,
                     "held_us", (json_int_t)move->held_us, "send_queue_bytes",
                     (json_int_t)move->send_queue_bytes, "receive_queue_bytes",
                     (json_int_t)move->receive_queue_bytes, "conn", message_conn(&move->conn));
}

json_t *
message_status(const struct hoststack_totals *totals, unsigned long long uptime_ms)
{
    return json_pack("{s:s, s:i, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                     "version", TCPCHIMNEY_VERSION, "pid", (int)getpid(), "uptime_ms",
                     (json_int_t)uptime_ms, "offloaded_now", (int)totals->offloaded_now,
                     "moves_down", (json_int_t)totals->moves_down, "moves_up",
                     (json_int_t)totals->moves_up, "refused", (json_int_t)totals->refused, "lost",
                     (json_int_t)totals->lost, "missed_beats", (json_int_t)totals->missed_beats,
                     "engine_bytes_out", (json_int_t)totals->engine_bytes_out, "engine_bytes_in",
                     (json_int_t)totals->engine_bytes_in, "leaked", (json_int_t)totals->leaked,
                     "wire_retransmits", (json_int_t)totals->wire_retransmits, "wire_segments_out",
                     (json_int_t)totals->wire_segments_out);
}

json_t *
message_end(enum message_code code, unsigned count, const char *error)
{
    json_t *end = json_pack("{s:b, s:i, s:i}", "end", 1, "code", (int)code, "count", (int)count);

    if (end != NULL && error != NULL)
        json_object_set_new(end, "error", lossy_text(error));
    return end;
}

/* ---- what it comes to ---- */

const char *
message_outcome(enum hoststack_outcome outcome)
{
    return outcome <= HOSTSTACK_DENIED ? outcome_names[outcome] : "unknown";
}

void
message_count(struct message_sum *sum, enum hoststack_outcome outcome)
{
    switch (outcome) {
    case HOSTSTACK_DONE:
        sum->done++;
        break;
    case HOSTSTACK_REFUSED:
        sum->refused++;
        break;
    case HOSTSTACK_LOST:
        sum->lost++;
        break;
    case HOSTSTACK_UNSUPPORTED:
        sum->unsupported++;
        break;
    case HOSTSTACK_DENIED:
        sum->denied++;
        break;
    }
}

enum message_code
message_code_of(const struct message_sum *sum)
{
    unsigned others = sum->refused + sum->unsupported + sum->denied;

    if (sum->lost > 0)
        return MESSAGE_LOST;
    if (sum->done > 0)
        return others > 0 ? MESSAGE_PARTLY : MESSAGE_DONE;
    if (sum->denied > 0)
        return MESSAGE_DENIED;
    if (sum->unsupported > 0 && sum->refused == 0)
        return MESSAGE_UNSUPPORTED;
    return MESSAGE_REFUSED; /* also when there was nothing to move */
}

enum message_code
message_code_of_errno(int error)
{
    switch (-error) {
    case 0:
        return MESSAGE_DONE;
    case EPERM:
    case EACCES:
        return MESSAGE_DENIED;
    case EOPNOTSUPP:
    case ENOSYS:
        return MESSAGE_UNSUPPORTED;
    case EINVAL:
        return MESSAGE_USAGE;
    default:
        return MESSAGE_REFUSED;
    }
}
