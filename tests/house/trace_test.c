/*
 * The intermediate driver trace: what passes it is in its file, in order, with what it was; nothing
 * is there that did not happen. An observer says what happened. And what goes wrong with its
 * options and its file.
 */
#include "trace_kit.h"

#include "base/bytes.h"
#include "base/log.h"
#include "chimney/observer.h"

#include <ndischimney.h>
#include <stdio.h>
#include <string.h>

/* ---- against an observer ---- */

struct passed {
    enum trace_op op;
    unsigned count;
    uint64_t bytes;
    uint32_t status;
};

struct spectator {
    struct observer observer;
    struct passed passed[KIT_PACKETS];
    unsigned count;
};

#define MAP(name) [CROSSING_##name] = TRACE_##name,
/* clang-format off */
#define MAPPED(X)                                                                                  \
    X(INITIATE) X(INITIATE_COMPLETE) X(TERMINATE) X(TERMINATE_COMPLETE)                            \
    X(UPDATE) X(UPDATE_COMPLETE) X(QUERY) X(QUERY_COMPLETE)                                        \
    X(TCP_SEND) X(TCP_SEND_COMPLETE) X(TCP_DISCONNECT) X(TCP_DISCONNECT_COMPLETE)                  \
    X(TCP_FORWARD) X(TCP_FORWARD_COMPLETE) X(TCP_RECEIVE_INDICATE) X(TCP_RECEIVE_RETURN)           \
    X(TCP_EVENT) X(SEND) X(SEND_COMPLETE) X(RECEIVE) X(RETURN)
/* clang-format on */
static const enum trace_op operations[CROSSING_COUNT] = {MAPPED(MAP)};

static bool
completes_data(enum trace_op op)
{
    return op == TRACE_TCP_SEND_COMPLETE || op == TRACE_TCP_DISCONNECT_COMPLETE ||
           op == TRACE_TCP_FORWARD_COMPLETE;
}

/* What reaches the floor: from above at its own adapter, from below at the one it stands on. */
static void
on_crossing(void *arg, struct crossing *crossing)
{
    struct spectator *spectator = arg;
    struct passed *passed = &spectator->passed[spectator->count];
    NET_BUFFER_LIST *nbl = crossing->nbls;

    if (crossing->after || !operations[crossing->op] || strcmp(crossing->to, "trace"))
        return;
    assert_in_range(spectator->count++, 0, KIT_PACKETS - 1);
    *passed = (struct passed){.op = operations[crossing->op]};
    if (nbl && (completes_data(passed->op) || passed->op == TRACE_SEND_COMPLETE))
        passed->status = (uint32_t)nbl->Status;
    if (crossing->blocks && crossing->up && passed->op <= TRACE_INVALIDATE_COMPLETE)
        passed->status = (uint32_t)((PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)crossing->blocks)->Status;
    for (; nbl; nbl = nbl->Next) {
        passed->count++;
        for (NET_BUFFER *nb = nbl->FirstNetBuffer; nb && !completes_data(passed->op); nb = nb->Next)
            passed->bytes += nb->DataLength;
        if (completes_data(passed->op))
            passed->bytes += (ULONG)(ULONG_PTR)NET_BUFFER_LIST_INFO(nbl,
                                                                    TcpOffloadBytesTransferred);
    }
}

/* Those of the file that the spectator knows are what it saw, one by one. */
static void
compare(const struct spectator *spectator)
{
    unsigned at = 0;

    for (unsigned i = 0; i < kit.count; i++) {
        const struct passed *passed = &spectator->passed[at];
        struct kit_seen seen;

        if (!kit_is_crossing(&kit.packets[i]))
            continue;
        seen = kit_decode(&kit.packets[i]);
        if (seen.op >= TRACE_STATUS || seen.flags & 2)
            continue;
        assert_in_range(at++, 0, spectator->count - 1);
        assert_int_equal(seen.op, passed->op);
        assert_int_equal(seen.status, passed->status);
        if (passed->op > TRACE_INVALIDATE_COMPLETE) {
            assert_int_equal(seen.count, passed->count);
            assert_int_equal(seen.bytes, passed->bytes);
        }
    }
    assert_int_equal(at, spectator->count);
}

static struct spectator spectator;

static void
each_in_order(void **state)
{
    struct stage stage;
    struct pair pair;
    uint64_t sent = 0, arrived = 0, indicated = 0;
    unsigned at = 0;

    spectator = (struct spectator){.observer = {.on_crossing = on_crossing, .arg = &spectator}};
    stage_open(&stage, &(struct stage_options){.floors = kit_floors("trace:File=%s"),
                                               .observer = &spectator.observer});
    pair_open(&stage, &pair, kit_plain);
    pair_send(&pair, 1000, 2000, false); /* the regular kit.path */
    assert_true(stage_run(&stage, pair_done, &pair, 60 * SECOND_US));
    actor_offload(&pair.actors[LEFT]);
    pair_send(&pair, 300000, 200000, false);
    assert_true(stage_run(&stage, pair_done, &pair, 60 * SECOND_US));
    stage_pass(&stage, SECOND_US); /* the last acknowledgement */
    actor_upload(&pair.actors[LEFT]);
    pair_check(&pair);
    pair_close(&pair);
    stage_close(&stage);

    kit_read(kit.path);
    compare(&spectator);
    /* One life of a connection, and all of its bytes. */
    kit_next(&at, TRACE_RESTART);
    kit_next(&at, TRACE_OID_COMPLETE);
    kit_next(&at, TRACE_SEND);
    struct kit_seen seen = kit_next(&at, TRACE_INITIATE);
    assert_int_equal(seen.nodes, 3);
    assert_int_equal(seen.owner, TRACE_BELOW);
    seen = kit_next(&at, TRACE_INITIATE_COMPLETE);
    assert_int_equal(seen.status, NDIS_STATUS_SUCCESS);
    for (unsigned i = 0; i < 3; i++) {
        const uint8_t *node = seen.node + 20 * i;

        assert_int_equal(node[0], TRACE_NEIGHBOR + i);
        assert_int_equal(node[1], TRACE_NEW);
        assert_int_equal(node[2], i); /* depth */
        assert_int_equal(node[3], TRACE_BELOW);
        assert_int_equal(bytes_load_be32(node + 4), NDIS_STATUS_SUCCESS);
        assert_int_equal(bytes_load_be32(node + 8), i + 1);
    }
    assert_int_equal(bytes_load_be16(seen.node + 40 + 12), 40000);
    assert_int_equal(bytes_load_be16(seen.node + 40 + 14), 443);
    for (unsigned i = at; i < kit.count; i++) {
        if (!kit_is_crossing(&kit.packets[i]))
            continue;
        seen = kit_decode(&kit.packets[i]);
        if (seen.op == TRACE_TCP_SEND || seen.op == TRACE_TCP_SEND_COMPLETE)
            assert_int_equal(seen.object, 3);
        if (seen.op == TRACE_TCP_SEND)
            sent += seen.bytes;
        if (seen.op == TRACE_TCP_SEND_COMPLETE) {
            assert_int_equal(seen.status, NDIS_STATUS_SUCCESS);
            arrived += seen.bytes;
        }
        if (seen.op == TRACE_TCP_RECEIVE_INDICATE && seen.flags & 2)
            indicated += seen.bytes;
    }
    assert_int_equal(sent, 300000);
    assert_int_equal(arrived, 300000);
    assert_int_equal(indicated, 200000);
    seen = kit_next(&at, TRACE_TERMINATE_COMPLETE);
    assert_int_equal(seen.owner, TRACE_ABOVE);
    assert_int_equal(seen.node[3], TRACE_ABOVE);
}

/* A tree that fails in the middle: the same statuses, node by node, as the host was given. */
static bool
moved_once(void *arg)
{
    return ((struct actor *)arg)->moves == 1;
}

static void
each_status(void **state)
{
    static const struct house_option options[] = {{"PathCapacity", "1"}, {NULL, NULL}};
    const struct script_options ipv6[2] = {{.ipv6 = true}, {.ipv6 = true}};
    struct stage stage;
    struct pair four, six;
    unsigned at = 0;

    stage_open(&stage,
               &(struct stage_options){.target = options,
                                       .floors = kit_floors("passthru,trace:File=%s,passthru")});
    pair_open(&stage, &four, kit_plain);
    pair_open(&stage, &six, ipv6);
    actor_offload(&four.actors[LEFT]);
    assert_int_equal(script_offload(six.actors[LEFT].conn), 0);
    assert_true(stage_run(&stage, moved_once, &six.actors[LEFT], SECOND_US));
    pair_close(&four);
    pair_close(&six);
    stage_close(&stage);

    kit_read(kit.path);
    kit_next(&at, TRACE_INITIATE_COMPLETE);
    struct kit_seen seen = kit_next(&at, TRACE_INITIATE_COMPLETE);
    assert_int_equal(seen.nodes, 3);
    assert_int_equal(seen.node[1], TRACE_EXISTING);
    assert_int_equal(bytes_load_be32(seen.node + 4), (uint32_t)NDIS_STATUS_FAILURE);
    assert_int_equal(bytes_load_be32(seen.node + 20 + 4),
                     (uint32_t)NDIS_STATUS_OFFLOAD_PATH_ENTRIES);
    assert_int_equal(bytes_load_be32(seen.node + 40 + 4), (uint32_t)NDIS_STATUS_FAILURE);
    assert_int_equal(seen.node[3], TRACE_BELOW);
    assert_int_equal(seen.node[20 + 3], TRACE_ABOVE);
    assert_int_equal(seen.node[40 + 3], TRACE_ABOVE);
    assert_non_null(strstr(kit.packets[at - 1].comment, "OFFLOAD_PATH_ENTRIES"));
}

/* ---- what goes wrong ---- */

static char said[512];
static unsigned said_lines;

static void
on_line(enum log_level level, const char *line, void *arg)
{
    if (level == LOG_ERROR && !said_lines++)
        snprintf(said, sizeof said, "%s", line);
}

static void
look_for_x(void *arg, const struct house_floor *floor)
{
    *(bool *)arg |= strcmp(floor->adapter, "x") == 0;
}

/* Binds one more trace with these options on top of b0: it does not stand. */
static void
try_options(struct stage *stage, const char *text)
{
    struct house_floor_words words;
    bool stands = false;
    const char *why;

    said[0] = '\0';
    said_lines = 0;
    assert_int_equal(house_read_floor(text, &words, &why), 0);
    assert_int_equal(house_set_options(stage->house, "x", words.options), 0);
    house_bind(stage->house, "trace", "b0", "x");
    house_walk(stage->house, look_for_x, &stands);
    assert_false(stands);
    house_unbind(stage->house, "trace", "b0");
}

static void
bad_options(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"trace", "trace x: it has no option File; write trace:File=/path/of/file.pcapng"},
        {"trace:File=", "trace x: File is empty; write trace:File=/path/of/file.pcapng"},
        {"trace:File=/x:Ring=0", "trace x: Ring=0: it is a number from 1 to 1048576"},
        {"trace:File=/x:Ring=1k", "trace x: Ring=1k: it is a number from 1 to 1048576"},
        {"trace:File=/x:Ring=-1", "trace x: Ring=-1: it is a number from 1 to 1048576"},
        {"trace:File=/x:Snap=13", "trace x: Snap=13: it is a number from 14 to 131072"},
        {"trace:File=/x:Snap=all", "trace x: Snap=all: it is a number from 14 to 131072"},
    };
    struct stage stage;

    stage_open(&stage, &(struct stage_options){.floors = kit_floors("trace:File=%s")});
    log_set_sink(on_line, NULL);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        try_options(&stage, cases[i].text);
        assert_string_equal(said, cases[i].said);
    }
    stage_close(&stage);
}

/* One trace on a0, under the host; what it says goes to on_line. */
static void
open_with(struct stage *stage, const char *text)
{
    struct house_floor_words words;
    const char *why;

    said_lines = 0;
    stage_open(stage, &(struct stage_options){.bare = true});
    log_set_sink(on_line, NULL);
    assert_int_equal(house_unbind(stage->house, "left", "a0"), 0);
    assert_int_equal(house_load(stage->house, "trace", trace_entry, NULL), 0);
    assert_int_equal(house_read_floor(text, &words, &why), 0);
    assert_int_equal(house_set_options(stage->house, "p1", words.options), 0);
    assert_int_equal(house_bind(stage->house, "trace", "a0", "p1"), 0);
    assert_int_equal(house_bind(stage->house, "left", "p1", NULL), 0);
}

/* The floor stands, says once what is wrong, and everything passes. */
static void
passes_without_a_file(void **state)
{
    static const struct {
        const char *floor, *said;
    } cases[] = {
        {"trace:File=/no/such/folder/a",
         "trace p1: /no/such/folder/a: No such file or directory; everything passes, nothing is "
         "recorded"},
        {"trace:File=/dev/full",
         "/dev/full: No space left on device; nothing more is written to it"},
    };

    for (unsigned i = 0; i < 2; i++) {
        struct stage stage;
        struct pair pair;

        open_with(&stage, cases[i].floor);
        kit_exchange(&stage, &pair);
        actor_upload(&pair.actors[LEFT]);
        pair_close(&pair);
        stage_close(&stage);
        assert_string_equal(said, cases[i].said);
        assert_int_equal(said_lines, 1);
    }
}

/* One more trace, over the other side's target. */
static void
add_trace(struct stage *stage, const char *text)
{
    struct house_floor_words words;
    const char *why;

    assert_int_equal(house_read_floor(text, &words, &why), 0);
    assert_int_equal(house_set_options(stage->house, "x", words.options), 0);
    assert_int_equal(house_bind(stage->house, "trace", "b0", "x"), 0);
}

/* Two floors may share a file, but not if one wants it bounded and the other does not, nor if it is
 * what the other puts aside. The first one's file is as it would be alone. */
static void
shared_but_differently(void **state)
{
    static const struct {
        const char *first, *second, *why; /* what is behind the file's name */
    } cases[] = {
        {"", ":Ring=1", "another floor writes it with another Ring; give both the same"},
        {":Ring=1", ".old",
         "the Ring of another floor puts its older file there; give one another name"},
        {".old", ":Ring=1",
         "its Ring would put the older file over the File of another floor; give one another name"},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512], name[128];
        struct stage stage;

        snprintf(text, sizeof text, "trace:File=%s%s", kit.path, cases[i].first);
        open_with(&stage, text);
        snprintf(text, sizeof text, "trace:File=%s%s", kit.path, cases[i].second);
        add_trace(&stage, text);
        snprintf(name, sizeof name, "%s%s", kit.path,
                 *cases[i].second == '.' ? cases[i].second : "");
        snprintf(text, sizeof text, "trace x: %s: %s; everything passes, nothing is recorded", name,
                 cases[i].why);
        assert_string_equal(said, text);
        stage_close(&stage);
        kit_read(*cases[i].first == '.' ? kit.aside : kit.path);
        assert_int_equal(kit.file.interfaces, 2);
    }
}

/* They write one file, not over each other. */
static void
shared_under_two_names(void **state)
{
    char text[512];
    struct stage stage;
    const char *name = strrchr(kit.path, '/');

    snprintf(text, sizeof text, "trace:File=%s", kit.path);
    open_with(&stage, text);
    snprintf(text, sizeof text, "trace:File=%.*s/.%s", (int)(name - kit.path), kit.path, name);
    add_trace(&stage, text);
    assert_int_equal(said_lines, 0);
    stage_close(&stage);
    kit_read(kit.path);
    assert_int_equal(kit.file.interfaces, 4);
    assert_string_equal(kit.file.interface[3].name, "x");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_in_order),
        TEST(each_status),
        TEST(bad_options),
        TEST(passes_without_a_file),
        TEST(shared_but_differently),
        TEST(shared_under_two_names),
    };

    return cmocka_run_group_tests_name("house/trace", tests, NULL, NULL);
}
