/*
 * Refusals and removals: whatever the target or a floor in between does not want, the connection
 * works on at home; and whatever is taken away while connections are down, they come home first.
 * Sources: chimney 3, 4.6; P30, P33; V-064.
 */
#include "stage.h"

#include <errno.h>

#define SECOND_US 1000000ull

static const struct script_options plain[2];

static void
still_works(struct stage *stage, struct pair *pair)
{
    pair_send(pair, 50000, 50000, false);
    assert_true(stage_run(stage, pair_done, pair, 60 * SECOND_US));
    pair_check(pair);
}

/* ---- nothing to offload to ---- */

static void
refused_at_once(const struct stage_options *options, int error)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, options);
    pair_open(&stage, &pair, plain);
    assert_null(host_binding_capabilities(script_binding(stage.hosts[LEFT])));
    assert_int_equal(script_offload(pair.actors[LEFT].conn), error);
    assert_int_equal(pair.actors[LEFT].moves, 0);
    still_works(&stage, &pair);
    pair_close(&pair);
    stage_close(&stage);
}

static void
floor_without_chimney_handlers(void **state)
{
    refused_at_once(&(struct stage_options){.passthru = 1, .deaf = true}, -EOPNOTSUPP);
    refused_at_once(&(struct stage_options){.passthru = 2, .deaf = true}, -EOPNOTSUPP);
}

static void
offload_switched_off(void **state)
{
    static const struct house_option off[] = {
        {"*TCPConnectionOffloadIPv4", "0"}, {"*TCPConnectionOffloadIPv6", "0"}, {NULL, NULL}};

    refused_at_once(&(struct stage_options){.target = off}, -EOPNOTSUPP);
    refused_at_once(&(struct stage_options){.target = off, .passthru = 1}, -EOPNOTSUPP);
}

/* Only one family: the other is refused before anything is asked. */
static void
family_switched_off(void **state)
{
    static const struct house_option off[] = {{"*TCPConnectionOffloadIPv6", "0"}, {NULL, NULL}};
    struct stage stage;
    struct pair four, six;
    const struct script_options ipv6[2] = {{.ipv6 = true}, {.ipv6 = true}};

    stage_open(&stage, &(struct stage_options){.target = off, .passthru = 1});
    pair_open(&stage, &four, plain);
    pair_open(&stage, &six, ipv6);
    assert_int_equal(script_offload(six.actors[LEFT].conn), -EOPNOTSUPP);
    actor_offload(&four.actors[LEFT]);
    still_works(&stage, &four);
    still_works(&stage, &six);
    pair_close(&four);
    pair_close(&six);
    stage_close(&stage);
}

/* ---- the target says no ---- */

static bool
moved_once(void *arg)
{
    return ((struct actor *)arg)->moves == 1;
}

static void
refused_by_target(const struct stage_options *options, const struct script_options sides[2],
                  NDIS_STATUS status)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, options);
    pair_open(&stage, &pair, sides);
    struct actor *left = &pair.actors[LEFT];
    actor_send(left, 200000, false); /* data in the queue stays where it is */
    assert_int_equal(script_offload(left->conn), 0);
    assert_true(stage_run(&stage, moved_once, left, SECOND_US));
    assert_true(left->last_move.down);
    assert_int_equal(left->last_move.status, status);
    assert_int_equal(script_state(left->conn), HOST_CONN_HOST);
    assert_null(script_handle(left->conn)->MiniportOffloadContext);
    still_works(&stage, &pair);
    pair_close(&pair);
    stage_close(&stage);
}

static void
window_too_large(void **state)
{
    static const struct script_options big[2] = {{.receive_buffer = 1u << 29}};

    refused_by_target(&(struct stage_options){.passthru = 1}, big,
                      NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW);
}

static void
path_mtu_too_large(void **state)
{
    static const struct script_options jumbo[2] = {{.mtu = 9000}, {.mtu = 1500}};
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.passthru = 1});
    pair_open(&stage, &pair, jumbo);
    struct actor *left = &pair.actors[LEFT];
    assert_int_equal(script_offload(left->conn), 0);
    assert_true(stage_run(&stage, moved_once, left, SECOND_US));
    assert_int_equal(left->last_move.nodes.path, NDIS_STATUS_OFFLOAD_PATH_MTU);
    assert_int_not_equal(left->last_move.status, NDIS_STATUS_SUCCESS);
    assert_int_equal(script_state(left->conn), HOST_CONN_HOST);
    pair_close(&pair);
    stage_close(&stage);
}

/* As many as the target says it takes, and one more. */
static void
table_full(void **state)
{
    enum { ROOM = 3 };
    static const struct house_option options[] = {{"ConnectionCapacity", "3"}, {NULL, NULL}};
    static struct pair pairs[ROOM + 1];
    struct stage stage;

    stage_open(&stage, &(struct stage_options){.target = options, .passthru = 1});
    for (unsigned i = 0; i <= ROOM; i++)
        pair_open(&stage, &pairs[i], plain);
    for (unsigned i = 0; i < ROOM; i++)
        actor_offload(&pairs[i].actors[LEFT]);
    struct actor *last = &pairs[ROOM].actors[LEFT];
    assert_int_equal(script_offload(last->conn), -ENOSPC); /* V-060: it is not asked */
    for (unsigned i = 0; i <= ROOM; i++)
        still_works(&stage, &pairs[i]);
    actor_upload(&pairs[0].actors[LEFT]);
    actor_offload(last); /* now there is room */
    for (unsigned i = 0; i <= ROOM; i++)
        pair_close(&pairs[i]);
    stage_close(&stage);
}

/* The second path does not fit: the tree fails from there on, the neighbor both use stays. */
static void
path_table_full(void **state)
{
    static const struct house_option options[] = {{"PathCapacity", "1"}, {NULL, NULL}};
    const struct script_options ipv6[2] = {{.ipv6 = true}, {.ipv6 = true}};
    struct stage stage;
    struct pair four, six;

    stage_open(&stage, &(struct stage_options){.target = options, .passthru = 2});
    pair_open(&stage, &four, plain);
    pair_open(&stage, &six, ipv6);
    actor_offload(&four.actors[LEFT]);
    struct actor *left = &six.actors[LEFT];
    assert_int_equal(script_offload(left->conn), 0);
    assert_true(stage_run(&stage, moved_once, left, SECOND_US));
    assert_int_equal(left->last_move.nodes.neighbor, NDIS_STATUS_FAILURE); /* a linker */
    assert_int_equal(left->last_move.nodes.path, NDIS_STATUS_OFFLOAD_PATH_ENTRIES);
    assert_int_equal(left->last_move.status, NDIS_STATUS_FAILURE);
    still_works(&stage, &four);
    still_works(&stage, &six);
    pair_close(&four);
    pair_close(&six);
    stage_close(&stage);
}

/* The root fails, and with it the whole tree. */
static void
neighbor_table_full(void **state)
{
    static const struct house_option options[] = {{"NeighborCapacity", "0"}, {NULL, NULL}};
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.target = options, .passthru = 1});
    pair_open(&stage, &pair, plain);
    struct actor *left = &pair.actors[LEFT];
    assert_int_equal(script_offload(left->conn), 0);
    assert_true(stage_run(&stage, moved_once, left, SECOND_US));
    assert_int_equal(left->last_move.nodes.neighbor, NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES);
    assert_int_equal(left->last_move.nodes.path, NDIS_STATUS_FAILURE);
    assert_int_equal(left->last_move.status, NDIS_STATUS_FAILURE);
    still_works(&stage, &pair);
    pair_close(&pair);
    stage_close(&stage);
}

/* A connection that is refused again and again: what another one stands on stays. */
static void
failure_leaves_shared_objects(void **state)
{
    struct stage stage;
    struct pair good, big;
    static const struct script_options too_big[2] = {{.receive_buffer = 1u << 29}};

    stage_open(&stage, &(struct stage_options){.passthru = 2});
    pair_open(&stage, &good, plain);
    pair_open(&stage, &big, too_big);
    actor_offload(&good.actors[LEFT]);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(script_offload(big.actors[LEFT].conn), 0);
        stage_pass(&stage, 10000);
        assert_int_equal(big.actors[LEFT].moves, i);
        assert_int_equal(big.actors[LEFT].last_move.nodes.path, NDIS_STATUS_FAILURE); /* a linker */
    }
    still_works(&stage, &good);
    still_works(&stage, &big);
    pair_close(&good);
    pair_close(&big);
    stage_close(&stage);
}

/* ---- the target changes its mind ---- */

/* The miniport handle of the target, as its last completion named it. */
static void
note_target(void *arg, struct crossing *crossing)
{
    if (crossing->op == CROSSING_INITIATE_COMPLETE && !strcmp(crossing->from, "soft"))
        *(void **)arg = crossing->miniport;
}

static void
target_says(NDIS_HANDLE target, NDIS_STATUS code)
{
    NDIS_STATUS_INDICATION status = {.Header = {.Type = NDIS_OBJECT_TYPE_STATUS_INDICATION,
                                                .Revision = NDIS_STATUS_INDICATION_REVISION_1,
                                                .Size = sizeof status},
                                     .SourceHandle = target,
                                     .StatusCode = code};

    NdisMIndicateStatusEx(target, &status);
}

static void
pause_resume_and_upload_all(void **state)
{
    NDIS_HANDLE target = NULL;
    struct observer observer = {.on_crossing = note_target, .arg = &target};
    struct stage stage;
    struct pair first, second;

    stage_open(&stage, &(struct stage_options){.passthru = 2, .observer = &observer});
    pair_open(&stage, &first, plain);
    pair_open(&stage, &second, plain);
    actor_offload(&first.actors[LEFT]);
    assert_non_null(target);

    target_says(target, NDIS_STATUS_OFFLOAD_PAUSE);
    assert_int_equal(script_offload(second.actors[LEFT].conn), -EAGAIN);
    assert_true(actor_with_target(&first.actors[LEFT])); /* what runs goes on (P34) */
    still_works(&stage, &first);
    target_says(target, NDIS_STATUS_OFFLOAD_RESUME);
    actor_offload(&second.actors[LEFT]);

    pair_send(&first, 100000, 100000, false);
    target_says(target, NDIS_STATUS_UPLOAD_ALL);
    assert_true(stage_run(&stage, actor_at_home, &first.actors[LEFT], SECOND_US));
    assert_true(stage_run(&stage, actor_at_home, &second.actors[LEFT], SECOND_US));
    assert_int_equal(script_offload(first.actors[LEFT].conn), -EAGAIN);
    target_says(target, NDIS_STATUS_OFFLOAD_RESUME);
    actor_offload(&first.actors[LEFT]);
    still_works(&stage, &first);
    still_works(&stage, &second);
    pair_close(&first);
    pair_close(&second);
    house_detach_observer(stage.house, &observer);
    stage_close(&stage);
}

/* ---- things are taken away ---- */

static void
unbind_brings_connections_home(void **state)
{
    struct stage stage;
    struct pair pairs[3];

    stage_open(&stage, &(struct stage_options){.passthru = 1});
    for (unsigned i = 0; i < 3; i++) {
        pair_open(&stage, &pairs[i], plain);
        pair_send(&pairs[i], 300000, 300000, false);
        actor_offload(&pairs[i].actors[LEFT]);
    }
    assert_int_equal(house_unbind(stage.house, "left", stage.top), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(script_state(pairs[i].actors[LEFT].conn), HOST_CONN_HOST);
    assert_int_equal(script_offload(pairs[0].actors[LEFT].conn), -ENETDOWN);
    stage_pass(&stage, SECOND_US); /* nothing goes out */
    assert_int_equal(house_bind(stage.house, "left", stage.top, NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(stage_run(&stage, pair_done, &pairs[i], 120 * SECOND_US));
        pair_check(&pairs[i]);
        actor_offload(&pairs[i].actors[LEFT]);
        pair_close(&pairs[i]);
    }
    stage_close(&stage);
}

/* In the middle of initiates: those that wait are refused, the one on its way comes back. */
static void
unbind_during_initiates(void **state)
{
    struct stage stage;
    struct pair pairs[4];

    stage_open(&stage, &(struct stage_options){.passthru = 2});
    for (unsigned i = 0; i < 4; i++) {
        pair_open(&stage, &pairs[i], plain);
        assert_int_equal(script_offload(pairs[i].actors[LEFT].conn), 0);
    }
    assert_int_equal(house_unbind(stage.house, "left", stage.top), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(script_state(pairs[i].actors[LEFT].conn), HOST_CONN_HOST);
        assert_true(pairs[i].actors[LEFT].moves >= 1);
    }
    for (unsigned i = 0; i < 4; i++)
        pair_close(&pairs[i]);
    stage_close(&stage);
}

static void
adapter_goes_away(void **state)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.passthru = 1});
    pair_open(&stage, &pair, plain);
    pair_send(&pair, 300000, 300000, false);
    actor_offload(&pair.actors[LEFT]);
    assert_int_equal(house_remove_adapter(stage.house, "a0"), 0);
    assert_int_equal(script_state(pair.actors[LEFT].conn), HOST_CONN_HOST);
    assert_null(script_binding(stage.hosts[LEFT]));
    pair_close(&pair);
    stage_close(&stage);
}

/* The house goes while connections are down: they come home on the way. */
static void
house_goes_with_connections_down(void **state)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.passthru = 2});
    pair_open(&stage, &pair, plain);
    pair_send(&pair, 300000, 300000, false);
    actor_offload(&pair.actors[LEFT]);
    actor_offload(&pair.actors[RIGHT]);
    house_destroy(stage.house);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(script_state(pair.actors[i].conn), HOST_CONN_HOST);
    pair_close(&pair);
    stage_close_wires(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floor_without_chimney_handlers),
        cmocka_unit_test(offload_switched_off),
        cmocka_unit_test(family_switched_off),
        cmocka_unit_test(window_too_large),
        cmocka_unit_test(path_mtu_too_large),
        cmocka_unit_test(table_full),
        cmocka_unit_test(path_table_full),
        cmocka_unit_test(neighbor_table_full),
        cmocka_unit_test(failure_leaves_shared_objects),
        cmocka_unit_test(pause_resume_and_upload_all),
        cmocka_unit_test(unbind_brings_connections_home),
        cmocka_unit_test(unbind_during_initiates),
        cmocka_unit_test(adapter_goes_away),
        cmocka_unit_test(house_goes_with_connections_down),
    };

    stage_only_soft("*_table_full");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
