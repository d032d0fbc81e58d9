/*
 * Congestion marks across hand-overs, with the peer's segments made by hand: a mark is heard once,
 * wherever the segment was when the connection changed hands, and echoed until CWR comes (RFC 3168,
 * 6.1.3).
 */
#include "peer_frame.h"
#include "stage.h"
#include "wire/wire.h"

#include <string.h>

#define SECOND_US 1000000ull
#define OUR_SEQ 1000u
#define PEER_SEQ 5000u

static struct stage stage;
static struct script_conn *conn;
static struct peer_path path;    /* of the peer */
static struct peer_segment last; /* that we sent; its pointers lead nowhere */

static void
look(void *arg, enum stage_side side, bool out, const struct wire_tx *frame)
{
    uint8_t bytes[256];
    size_t have = wire_tx_copy(frame, bytes, sizeof bytes);

    if (side == LEFT && out)
        assert_true(peer_frame_read(bytes, have, wire_tx_length(frame), false, &last));
}

static void
start(bool ipv6)
{
    static const struct script_app app;
    struct stage_options options = {.impaired = true, .open_end = true, .passthru = 1};
    struct script_options ours = {.ipv6 = ipv6,
                                  .local = {[0] = 0xfd, [15] = 1, [3] = 1},
                                  .peer = {[0] = 0xfd, [15] = 2, [3] = 2},
                                  .peer_mac = {2, 0, 0, 0, 0, 2},
                                  .local_port = 4000,
                                  .peer_port = 80,
                                  .snd_seq = OUR_SEQ,
                                  .rcv_seq = PEER_SEQ,
                                  .no_timestamps = true,
                                  .extended = true,
                                  .ecn = true};

    stage_open(&stage, &options);
    stage.witness = look;
    memcpy(ours.local_mac, wire_mac(stage.ends[LEFT]), 6);
    path = (struct peer_path){.ipv6 = ipv6, .local_port = 80, .remote_port = 4000};
    memcpy(path.local, ours.peer, 16);
    memcpy(path.remote, ours.local, 16);
    memcpy(path.local_mac, ours.peer_mac, 6);
    memcpy(path.remote_mac, ours.local_mac, 6);
    conn = script_conn_create(stage.hosts[LEFT], &ours, &app, NULL);
    assert_non_null(conn);
}

/* So many bytes of the peer's, from at on, arrive at our end. */
static void
feed(uint32_t at, uint32_t len, uint8_t flags, uint8_t ecn)
{
    struct peer_segment segment = {.seq = PEER_SEQ + at,
                                   .ack = OUR_SEQ,
                                   .flags = PEER_ACK | flags,
                                   .window = 10000,
                                   .ttl = 64,
                                   .ecn = ecn,
                                   .len = len};
    struct wire_buf *buf = wire_buf_create(2048);
    struct wire *near = stage.ends[LEFT];

    assert_non_null(buf);
    memset(buf->data, 0, 2048);
    buf->len = (uint32_t)peer_frame_write(buf->data, &path, &segment);
    wire_enter(near);
    wire_deliver(near, buf);
    wire_leave(near);
}

static bool
settled(void *arg)
{
    return script_state(conn) == HOST_CONN_HOST || script_state(conn) == HOST_CONN_OFFLOADED;
}

static bool
has_acked(void *arg)
{
    return last.ack == PEER_SEQ + *(uint32_t *)arg;
}

static void
expect_ack(uint32_t at, bool echo)
{
    assert_true(stage_run(&stage, has_acked, &at, SECOND_US));
    assert_int_equal(!!(last.flags & PEER_ECE), echo);
}

static void
move(bool down)
{
    assert_int_equal(down ? script_offload(conn) : script_upload(conn), 0);
    assert_true(stage_run(&stage, settled, NULL, SECOND_US));
    assert_int_equal(script_state(conn), down ? HOST_CONN_OFFLOADED : HOST_CONN_HOST);
}

static void
finish(void)
{
    if (script_state(conn) == HOST_CONN_OFFLOADED)
        move(false);
    script_conn_destroy(conn);
    stage_close(&stage);
}

/* It comes while nobody has the connection. */
static void
a_mark_waits_for_the_target(void **state)
{
    for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
        struct script_figures figures;
        start(ipv6);
        assert_int_equal(script_offload(conn), 0);
        feed(0, 100, 0, PEER_CE);
        assert_true(stage_run(&stage, settled, NULL, SECOND_US));
        feed(100, 100, 0, PEER_ECT0);
        expect_ack(200, true);
        script_read_figures(conn, &figures);
        assert_int_equal(figures.forwarded, 1);
        assert_int_equal(script_state(conn), HOST_CONN_OFFLOADED);
        feed(200, 100, PEER_CWR, PEER_ECT0);
        expect_ack(300, false);
        finish();
    }
}

/* The control: one that is not marked. */
static void
what_is_not_marked_is_not_echoed(void **state)
{
    start(false);
    assert_int_equal(script_offload(conn), 0);
    feed(0, 100, 0, PEER_ECT0);
    feed(100, 100, 0, PEER_ECT0);
    expect_ack(200, false);
    finish();
}

/* CWR waits out of order, and counted when it came; then comes a mark. The move must not let CWR
 * count again. */
static void
disorder_does_not_stop_the_echo(bool down)
{
    start(false);
    if (!down)
        move(true);
    feed(200, 100, PEER_CWR, PEER_ECT0);
    feed(0, 100, 0, PEER_CE);
    expect_ack(100, true);
    move(down);
    feed(100, 100, 0, PEER_ECT0);
    expect_ack(300, true);
    feed(300, 100, PEER_CWR, PEER_ECT0);
    expect_ack(400, false);
    finish();
}

/* The other way about: the mark waits, and was answered. */
static void
disorder_does_not_start_it(bool down)
{
    start(true);
    if (!down)
        move(true);
    feed(200, 100, 0, PEER_CE);
    feed(0, 100, PEER_CWR, PEER_ECT0);
    expect_ack(100, false);
    move(down);
    feed(100, 100, 0, PEER_ECT0);
    expect_ack(300, false);
    finish();
}

static void
disorder_is_heard_once_down(void **state)
{
    disorder_does_not_stop_the_echo(true);
    disorder_does_not_start_it(true);
}

static void
disorder_is_heard_once_up(void **state)
{
    disorder_does_not_stop_the_echo(false);
    disorder_does_not_start_it(false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_waits_for_the_target),
        cmocka_unit_test(what_is_not_marked_is_not_echoed),
        cmocka_unit_test(disorder_is_heard_once_down),
        cmocka_unit_test(disorder_is_heard_once_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
