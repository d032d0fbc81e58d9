/* Changes while a connection lives: the wire shows them at home, the target is told of them, and
 * what cannot be told now is told later. */
#include "host/script/test_rig.h"

#include "base/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct script_settings other = {
    .ttl = 9, .tos = 0x28, .flow_label = 0x12345, .nagle = false, .keepalive_ms = 200};
static const uint8_t old_mac[6] = {2, 0, 0, 0, 0, 2}, new_mac[6] = {2, 0, 0, 0, 0, 9},
                     third_mac[6] = {2, 0, 0, 0, 0, 10};

static void
go_home(struct rig *rig, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    assert_int_equal(script_upload(rig->conn), 0);
    rig_answer_terminate(rig, delegated);
    rig_close(rig);
}

/* ---- at home ---- */

static void
frames_show_it(void **state)
{
    struct tcp_segment segment;
    struct rig rig;
    uint8_t ip[20];

    rig_open(&rig, (struct script_options){0}, false);
    script_write(rig.conn, "a", 1);
    rig_turn(&rig);
    assert_true(rig_said(&segment, ip));
    assert_int_equal(ip[8], 64);
    assert_int_equal(ip[1], 0);
    script_set(rig.conn, &other);
    script_write(rig.conn, "b", 1);
    rig_turn(&rig);
    assert_true(rig_said(&segment, ip)); /* though "a" is outstanding */
    assert_int_equal(ip[8], 9);
    assert_int_equal(ip[1], 0x28);
    assert_int_equal(fake.call_count, 0);
    rig_close(&rig);
}

static void
keepalive_begins(void **state)
{
    struct tcp_segment segment;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    rig_pass(&rig, 300);
    assert_false(rig_said(&segment, NULL));
    script_set(rig.conn, &other);
    rig_pass(&rig, 150);
    assert_false(rig_said(&segment, NULL));
    rig_pass(&rig, 100);
    assert_true(rig_said(&segment, NULL));
    assert_int_equal(segment.seq, RIG_OURS - 1);
    rig_close(&rig);
}

static void
segments_fit_the_path(void **state)
{
    static const char bytes[4000];
    struct tcp_segment segment;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    script_set_path_mtu(rig.conn, 600);
    script_write(rig.conn, bytes, sizeof bytes);
    rig_turn(&rig);
    while (rig_said(&segment, NULL))
        assert_in_range(segment.payload_len, 1, 560);
    rig_close(&rig);
}

/* ---- with the target ---- */

static void
target_is_told(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    const TCP_OFFLOAD_STATE_CACHED *cached;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    script_set(rig.conn, &other);
    rig_turn(&rig);
    cached = rig_take_update(NDIS_STATUS_SUCCESS);
    assert_int_equal(cached->TtlOrHopLimit, 9);
    assert_int_equal(cached->TosOrTrafficClass, 0x28);
    assert_int_equal(cached->FlowLabel, 0x12345);
    assert_int_equal(cached->KaTimeout, 200);
    assert_int_equal(cached->Flags, TCP_FLAG_KEEP_ALIVE_ENABLED | TCP_FLAG_KEEP_ALIVE_RESTART);
    rig_turn(&rig);
    assert_int_equal(fake.call_count, 0); /* once */
    go_home(&rig, &delegated);
}

/* V-061: one at a time. The second has what has changed since. */
static void
one_update_waits_for_another(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct script_settings settings = other;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    script_set(rig.conn, &settings);
    rig_turn(&rig);
    settings.ttl = 10;
    script_set(rig.conn, &settings);
    rig_pass(&rig, 3);
    assert_int_equal(fake.call_count, 1);
    assert_int_equal(rig_take_update(NDIS_STATUS_SUCCESS)->TtlOrHopLimit, 9);
    rig_pass(&rig, 3);
    assert_int_equal(rig_take_update(NDIS_STATUS_SUCCESS)->TtlOrHopLimit, 10);
    go_home(&rig, &delegated);
}

static void
neighbor_and_path_are_told(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *path, *neighbor;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    script_set_path_mtu(rig.conn, 1400);
    script_move_neighbor(rig.script, old_mac, new_mac);
    rig_turn(&rig);
    path = fake_take(FAKE_UPDATE);
    neighbor = fake_take(FAKE_UPDATE);
    assert_int_equal(
        ((PATH_OFFLOAD_STATE_CACHED *)NDIS_OFFLOAD_STATE_FIRST(path->DependentBlockList))->PathMtu,
        1400);
    assert_memory_equal(
        ((NEIGHBOR_OFFLOAD_STATE_CACHED *)NDIS_OFFLOAD_STATE_FIRST(neighbor))->DlDestinationAddress,
        new_mac, 6);
    /* Two more while that is in flight: from what the target knows to what is so by then. */
    script_move_neighbor(rig.script, new_mac, old_mac);
    script_move_neighbor(rig.script, old_mac, third_mac);
    rig_pass(&rig, 3);
    assert_int_equal(fake.call_count, 0);
    fake_answer(FAKE_UPDATE, path, NDIS_STATUS_SUCCESS);
    fake_answer(FAKE_UPDATE, neighbor, NDIS_STATUS_SUCCESS);
    rig_pass(&rig, 3);
    neighbor = fake_take(FAKE_UPDATE);
    assert_memory_equal(
        ((NEIGHBOR_OFFLOAD_STATE_CACHED *)NDIS_OFFLOAD_STATE_FIRST(neighbor))->DlDestinationAddress,
        third_mac, 6);
    fake_answer(FAKE_UPDATE, neighbor, NDIS_STATUS_SUCCESS);
    go_home(&rig, &delegated);
}

/* The target has a path over the new router already: the connection stays. */
static void
path_is_relinked(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *update;
    struct script_options options;
    struct rig rig, second;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    second = rig;
    options = rig.conn->options;
    options.peer[3] = 3;
    memcpy(options.peer_mac, new_mac, 6);
    second.conn = script_conn_create(rig.script, &options, NULL, NULL);
    rig_offload(&second);
    script_reroute(rig.conn, new_mac);
    rig_turn(&rig);
    update = fake_take(FAKE_UPDATE);
    assert_ptr_equal(update->OffloadHandle, &second.conn->down.path->neighbor->object.handle);
    fake_answer(FAKE_UPDATE, update, NDIS_STATUS_SUCCESS);
    fake_answer_terminate(fake_take(FAKE_TERMINATE)); /* the old neighbor */
    assert_int_equal(fake.call_count, 0);
    assert_int_equal(script_upload(second.conn), 0);
    rig_answer_terminate(&second, &delegated);
    script_conn_destroy(second.conn);
    go_home(&rig, &delegated);
}

static void
path_over_a_stranger_is_invalidated(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    script_reroute(rig.conn, new_mac);
    rig_turn(&rig);
    fake_answer(FAKE_INVALIDATE, fake_take(FAKE_INVALIDATE), NDIS_STATUS_SUCCESS);
    rig_event(&rig, TcpIndicateRetrieve, InvalidState);
    rig_answer_terminate(&rig, &delegated);
    assert_int_equal(script_offload(rig.conn), 0);
    const NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(fake.calls[0].root);
    const NEIGHBOR_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    assert_memory_equal(cached->DlDestinationAddress, new_mac, 6);
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS,
                         NDIS_STATUS_SUCCESS);
    rig_turn(&rig);
    go_home(&rig, &delegated);
}

/* ---- between the two ---- */

static void
change_during_an_initiate_is_told_behind_it(void **state)
{
    for (int refused = 0; refused < 2; refused++) {
        TCP_OFFLOAD_STATE_DELEGATED delegated = {.State = TcpConnectionEstablished,
                                                 .RcvNxt = RIG_PEERS,
                                                 .SndUna = RIG_OURS,
                                                 .SndNxt = RIG_OURS,
                                                 .SndMax = RIG_OURS};
        NDIS_STATUS status = refused ? NDIS_STATUS_FAILURE : NDIS_STATUS_SUCCESS;
        struct rig rig;

        rig_open(&rig, (struct script_options){0}, false);
        assert_int_equal(script_offload(rig.conn), 0);
        script_set(rig.conn, &other);
        script_set_path_mtu(rig.conn, 600);
        rig_pass(&rig, 3);
        assert_int_equal(fake.call_count, 1);
        fake_answer_initiate(fake_take(FAKE_INITIATE), status, status, status);
        rig_turn(&rig);
        if (refused) { /* the engine has gone on */
            assert_int_equal(fake.call_count, 0);
            assert_false(script_engine(rig.conn)->config.nagle);
            assert_int_equal(script_engine(rig.conn)->config.path_mtu, 600);
            rig_close(&rig);
            continue;
        }
        fake_answer(FAKE_UPDATE, fake_take(FAKE_UPDATE), NDIS_STATUS_SUCCESS);
        assert_int_equal(rig_take_update(NDIS_STATUS_SUCCESS)->TtlOrHopLimit, 9);
        go_home(&rig, &delegated);
    }
}

static void
what_was_not_told_goes_with_it(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    assert_int_equal(script_upload(rig.conn), 0);
    script_set(rig.conn, &other);
    script_move_neighbor(rig.script, old_mac, new_mac);
    rig_pass(&rig, 3);
    rig_answer_terminate(&rig, &delegated);
    rig_pass(&rig, 3);
    assert_int_equal(fake.call_count, 0);
    assert_int_equal(script_offload(rig.conn), 0);
    const NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(fake.calls[0].root);
    const NEIGHBOR_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    assert_memory_equal(cached->DlDestinationAddress, new_mac, 6);
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS,
                         NDIS_STATUS_SUCCESS);
    rig_turn(&rig);
    go_home(&rig, &delegated);
}

/* ---- what goes wrong ---- */

static void
failed_update_sends_it_home(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    script_set(rig.conn, &other);
    rig_turn(&rig);
    assert_non_null(rig_take_update(NDIS_STATUS_FAILURE));
    rig_turn(&rig);
    rig_answer_terminate(&rig, &delegated); /* V-069 */
    rig_close(&rig);
}

static void
only_what_is_below_is_invalidated(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    assert_int_equal(script_invalidate(rig.conn, false), -EBUSY);
    delegated = rig_offload(&rig);
    assert_int_equal(script_invalidate(rig.conn, false), 0);
    fake_answer(FAKE_INVALIDATE, fake_take(FAKE_INVALIDATE), NDIS_STATUS_SUCCESS);
    rig_event(&rig, TcpIndicateRetrieve, InvalidState);
    rig_answer_terminate(&rig, &delegated);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_show_it),
        cmocka_unit_test(keepalive_begins),
        cmocka_unit_test(segments_fit_the_path),
        cmocka_unit_test(target_is_told),
        cmocka_unit_test(one_update_waits_for_another),
        cmocka_unit_test(neighbor_and_path_are_told),
        cmocka_unit_test(path_is_relinked),
        cmocka_unit_test(path_over_a_stranger_is_invalidated),
        cmocka_unit_test(change_during_an_initiate_is_told_behind_it),
        cmocka_unit_test(what_was_not_told_goes_with_it),
        cmocka_unit_test(failed_update_sends_it_home),
        cmocka_unit_test(only_what_is_below_is_invalidated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
