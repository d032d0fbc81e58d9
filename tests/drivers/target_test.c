/*
 * The state operations of the example target, asked for one by one: what becomes of each node of a
 * tree, and what comes of it on the wire. EXAMPLES names the folder of the built objects; with
 * HOUSE_FLOOR in the environment the example that it names stands in between, and nothing changes.
 * Sources: chimney 3 and 4; V-029 to V-055.
 */
#include "chimney/wire.h"
#include "ndis/test_fakes.h"

#include <stdio.h>
#include <stdlib.h>

struct bench {
    struct stage *stage;
    struct wire *ends[2];
    struct test_block n[2], p[2], t[3];
    unsigned frames;       /* that came out of the wire */
    uint8_t last_frame[6]; /* where the last one went */
};

static const UCHAR addresses[2][4] = {{10, 0, 0, 1}, {10, 0, 0, 2}};

static void
on_frame(void *arg, struct wire_buf *buf)
{
    struct bench *bench = arg;

    bench->frames++;
    memcpy(bench->last_frame, buf->data, 6);
}

static const struct wire_receiver receiver = {.on_frame = on_frame};

/* ---- nodes ---- */

static void *
state(struct test_block *block, unsigned index)
{
    OFFLOAD_STATE_HEADER *at = NDIS_OFFLOAD_STATE_FIRST(&block->block);

    for (; index; index--)
        at = (void *)((UCHAR *)at + NDIS_OFFLOAD_STATE_ALIGN(at->Length));
    return at;
}

static void *
add_state(struct test_block *block, unsigned index, ULONG size)
{
    OFFLOAD_STATE_HEADER *header = state(block, index);

    header->Length = size;
    return header;
}

static void
make_neighbor(struct test_block *block, UCHAR mac, USHORT vlan)
{
    test_block_init(block, NeighborOffloadState);
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = add_state(block, 0, sizeof(*constant));
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached = add_state(block, 1, sizeof(*cached));
    add_state(block, 2, sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED));
    constant->VlanId = vlan;
    cached->DlDestinationAddress[0] = 2;
    cached->DlDestinationAddress[5] = mac;
}

static void
make_path(struct test_block *block, ULONG mtu)
{
    test_block_init(block, Ip4OffloadState);
    PATH_OFFLOAD_STATE_CONST *constant = add_state(block, 0, sizeof(*constant));
    PATH_OFFLOAD_STATE_CACHED *cached = add_state(block, 1, sizeof(*cached));
    add_state(block, 2, sizeof(PATH_OFFLOAD_STATE_DELEGATED));
    constant->SourceAddress = addresses[0];
    constant->DestinationAddress = addresses[1];
    cached->PathMtu = mtu;
}

static void
make_tcp(struct test_block *block, USHORT port)
{
    test_block_init(block, TcpOffloadState);
    TCP_OFFLOAD_STATE_CONST *constant = add_state(block, 0, sizeof(*constant));
    TCP_OFFLOAD_STATE_CACHED *cached = add_state(block, 1, sizeof(*cached));
    TCP_OFFLOAD_STATE_DELEGATED *delegated = add_state(block, 2, sizeof(*delegated));
    constant->LocalPort = port;
    constant->RemotePort = 7;
    constant->RemoteMss = 1460;
    cached->InitialRcvWnd = 60000;
    cached->TtlOrHopLimit = 64;
    delegated->State = TcpConnectionEstablished;
    delegated->RcvNxt = 7000;
    delegated->RcvWnd = 60000;
    delegated->SndUna = delegated->SndNxt = delegated->SndMax = 5000;
    delegated->SndWnd = delegated->MaxSndWnd = 60000;
    delegated->KeepAlive.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF;
    delegated->Retransmit.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF;
}

static void
stand(struct test_block *above, struct test_block *on)
{
    on->block.DependentBlockList = &above->block;
}

static void
beside(struct test_block *block, struct test_block *next)
{
    block->block.NextBlock = &next->block;
}

typedef VOID operation_fn(NDIS_HANDLE NdisBindingHandle,
                          PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);

/* It completes, once, later, with the same root. */
static void
ask(struct bench *bench, operation_fn *operation, struct test_block *root)
{
    struct fake_host *host = &bench->stage->host;
    unsigned before = host->completions;

    operation(host->binding, &root->block);
    assert_int_equal(host->completions, before); /* V-030 */
    stage_settle(bench->stage);
    assert_int_equal(host->completions, before + 1);
    assert_ptr_equal(host->done, &root->block);
}

static void
check(const struct test_block *block, NDIS_STATUS status, bool offloaded)
{
    assert_int_equal(block->block.Status, status);
    assert_int_equal(block->handle.MiniportOffloadContext != NULL, offloaded);
}

/* N1 { P1 { T1 } } goes down and is there. */
static void
offload_one(struct bench *bench)
{
    make_neighbor(&bench->n[0], 0x11, 0);
    make_path(&bench->p[0], 1500);
    make_tcp(&bench->t[0], 1000);
    stand(&bench->t[0], &bench->p[0]);
    stand(&bench->p[0], &bench->n[0]);
    bench->t[0].block.ProtocolReserved[0] = &bench->stage->host;
    ask(bench, NdisInitiateOffload, &bench->n[0]);
    check(&bench->n[0], NDIS_STATUS_SUCCESS, true);
    check(&bench->p[0], NDIS_STATUS_SUCCESS, true);
    check(&bench->t[0], NDIS_STATUS_SUCCESS, true);
}

/* A tree of what is there; the rest are placeholders. */
static void
terminate(struct bench *bench, struct test_block *n, struct test_block *p, struct test_block *t)
{
    struct test_block *blocks[] = {n, p, t};
    static const UCHAR types[] = {NeighborOffloadDelegatedState, Ip4OffloadDelegatedState,
                                  TcpOffloadDelegatedState};
    static struct test_block nothing[3];

    for (int i = 0; i < 3; i++) {
        blocks[i] = blocks[i] ? blocks[i] : &nothing[i];
        test_block_init(blocks[i], types[i]);
        if (blocks[i] == &nothing[i])
            blocks[i]->block.OffloadHandle = NULL;
    }
    stand(blocks[2], blocks[1]);
    stand(blocks[1], blocks[0]);
    ask(bench, NdisTerminateOffload, blocks[0]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(blocks[i]->block.Status, NDIS_STATUS_SUCCESS);
        assert_null(blocks[i]->handle.MiniportOffloadContext);
    }
}

/* ---- the house ---- */

static const struct house_option *configured;

static int
open_bench(void **argument)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    const char *folder = getenv("EXAMPLES"), *floor = getenv("HOUSE_FLOOR");
    char path[512];

    assert_non_null(folder);
    snprintf(path, sizeof(path), "%s/minimal-target.so", folder);
    assert_int_equal(stage_setup((void **)&bench->stage), 0);
    bench->stage->host.stage = bench->stage;
    assert_int_equal(wire_mem_create(bench->stage->loop, 1500, NULL, bench->ends), 0);
    wire_set_receiver(bench->ends[1], &receiver, bench);
    assert_int_equal(house_load_file(bench->stage->house, "target", path), 0);
    assert_int_equal(house_load(bench->stage->house, "host", fake_host_entry, &bench->stage->host),
                     0);
    assert_int_equal(
        house_add_adapter(bench->stage->house, "target", "nic0", bench->ends[0], configured), 0);
    if (floor) {
        assert_int_equal(house_load_file(bench->stage->house, "floor", floor), 0);
        assert_int_equal(house_bind(bench->stage->house, "floor", "nic0", "v0"), 0);
    }
    assert_int_equal(house_bind(bench->stage->house, "host", floor ? "v0" : "nic0", NULL), 0);
    *argument = bench;
    return 0;
}

static int
open_full_bench(void **argument)
{
    static const struct house_option one[] = {{"ConnectionCapacity", "1"}, {NULL, NULL}};

    configured = one;
    open_bench(argument);
    configured = NULL;
    return 0;
}

static void
nothing_is_left(void *arg, const struct house_floor *floor)
{
    assert_int_equal(floor->offloaded, 0);
}

static int
close_bench(void **argument)
{
    struct bench *bench = *argument;
    struct sys_loop *loop = bench->stage->loop;

    house_walk(bench->stage->house, nothing_is_left, NULL);
    house_destroy(bench->stage->house);
    assert_string_equal(bench->stage->log, "");
    wire_close(bench->ends[0]);
    wire_close(bench->ends[1]);
    while (sys_loop_turn(loop, false))
        continue;
    assert_int_equal(house_create(loop, &bench->stage->house), 0);
    stage_teardown((void **)&bench->stage);
    free(bench);
    return 0;
}

/* ---- initiate ---- */

/* The worked example: T2 finds no room, P2 does not fit, T3 is not tried. */
static void
a_tree_succeeds_in_part(void **argument)
{
    struct bench *bench = *argument;

    make_neighbor(&bench->n[0], 0x11, 0);
    make_path(&bench->p[0], 1500);
    make_path(&bench->p[1], 9000);
    for (USHORT i = 0; i < 3; i++)
        make_tcp(&bench->t[i], 1000 + i);
    stand(&bench->t[0], &bench->p[0]);
    beside(&bench->t[0], &bench->t[1]);
    stand(&bench->t[2], &bench->p[1]);
    stand(&bench->p[0], &bench->n[0]);
    beside(&bench->p[0], &bench->p[1]);
    ask(bench, NdisInitiateOffload, &bench->n[0]);
    check(&bench->n[0], NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS, true);
    check(&bench->p[0], NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS, true);
    check(&bench->t[0], NDIS_STATUS_SUCCESS, true);
    check(&bench->t[1], NDIS_STATUS_OFFLOAD_TCP_ENTRIES, false);
    check(&bench->p[1], NDIS_STATUS_OFFLOAD_PATH_MTU, false);
    check(&bench->t[2], NDIS_STATUS_FAILURE, false);
    terminate(bench, &bench->n[0], &bench->p[0], &bench->t[0]);
}

static void
a_root_that_fails_ends_it(void **argument)
{
    struct bench *bench = *argument;

    make_neighbor(&bench->n[0], 0x11, 5);
    make_neighbor(&bench->n[1], 0x12, 0);
    make_path(&bench->p[0], 1500);
    stand(&bench->p[0], &bench->n[0]);
    beside(&bench->n[0], &bench->n[1]);
    ask(bench, NdisInitiateOffload, &bench->n[0]);
    check(&bench->n[0], NDIS_STATUS_OFFLOAD_VLAN_ENTRIES, false);
    check(&bench->p[0], NDIS_STATUS_FAILURE, false);
    check(&bench->n[1], NDIS_STATUS_FAILURE, false);
    make_neighbor(&bench->n[0], 0x11, 0);
    ((NEIGHBOR_OFFLOAD_STATE_CONST *)state(&bench->n[0], 0))->DlSourceAddress[0] = 0x66;
    ask(bench, NdisInitiateOffload, &bench->n[0]);
    check(&bench->n[0], NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES, false);
}

static void
connections_are_refused_for_a_reason(void **argument)
{
    struct bench *bench = *argument;
    struct test_block *t = &bench->t[1];
    TCP_OFFLOAD_STATE_CACHED *cached;

    offload_one(bench);
    for (int i = 0; i < 3; i++) {
        static const NDIS_STATUS expected[] = {NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW,
                                               NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED,
                                               NDIS_STATUS_FAILURE};

        /* The neighbor and the path are linkers now: handles, no states. */
        test_block_init(&bench->n[0], NeighborOffloadState);
        test_block_init(&bench->p[0], Ip4OffloadState);
        make_tcp(t, 2000);
        cached = state(t, 1);
        if (i == 0)
            cached->InitialRcvWnd = 1u << 30;
        else if (i == 1)
            cached->Flags = TCP_FLAG_KEEP_ALIVE_ENABLED;
        else
            ((TCP_OFFLOAD_STATE_DELEGATED *)state(t, 2))->State = TcpConnectionTimeWait;
        stand(t, &bench->p[0]);
        stand(&bench->p[0], &bench->n[0]);
        ask(bench, NdisInitiateOffload, &bench->n[0]);
        check(t, expected[i], false);
        check(&bench->p[0], NDIS_STATUS_FAILURE, true); /* V-037 */
        check(&bench->n[0], NDIS_STATUS_FAILURE, true);
    }
    terminate(bench, &bench->n[0], &bench->p[0], &bench->t[0]);
}

static void
a_placeholder_succeeds_and_carries_nothing(void **argument)
{
    struct bench *bench = *argument;

    make_neighbor(&bench->n[0], 0x11, 0);
    bench->n[0].block.OffloadHandle = NULL;
    make_path(&bench->p[0], 1500);
    stand(&bench->p[0], &bench->n[0]);
    ask(bench, NdisInitiateOffload, &bench->n[0]);
    check(&bench->n[0], NDIS_STATUS_SUCCESS, false);
    check(&bench->p[0], NDIS_STATUS_FAILURE, false);
}

/* ---- query, update, invalidate ---- */

static void
a_query_tells_everything(void **argument)
{
    struct bench *bench = *argument;
    const TCP_OFFLOAD_STATE_DELEGATED *delegated;

    offload_one(bench);
    make_neighbor(&bench->n[0], 0, 0);
    make_path(&bench->p[0], 0);
    make_tcp(&bench->t[0], 0);
    memset(state(&bench->t[0], 2), 0xff, sizeof(*delegated));
    ((OFFLOAD_STATE_HEADER *)state(&bench->t[0], 2))->Length = sizeof(*delegated);
    ((PATH_OFFLOAD_STATE_CONST *)state(&bench->p[0], 0))->SourceAddress = NULL;
    stand(&bench->t[0], &bench->p[0]);
    stand(&bench->p[0], &bench->n[0]);
    ask(bench, NdisQueryOffloadState, &bench->n[0]);
    assert_int_equal(
        ((NEIGHBOR_OFFLOAD_STATE_CACHED *)state(&bench->n[0], 1))->DlDestinationAddress[5], 0x11);
    assert_int_equal(((PATH_OFFLOAD_STATE_CACHED *)state(&bench->p[0], 1))->PathMtu, 1500);
    assert_memory_equal(((PATH_OFFLOAD_STATE_CONST *)state(&bench->p[0], 0))->SourceAddress,
                        addresses[0], 4);
    assert_int_equal(((TCP_OFFLOAD_STATE_CONST *)state(&bench->t[0], 0))->LocalPort, 1000);
    delegated = state(&bench->t[0], 2);
    assert_int_equal(delegated->State, TcpConnectionEstablished);
    assert_int_equal(delegated->SndUna, 5000);
    assert_int_equal(delegated->RcvNxt, 7000);
    assert_int_equal(delegated->RcvWnd, 60000);
    assert_int_equal(delegated->Retransmit.TimeoutDelta, TCP_OFFLOAD_TIMER_OFF);
    assert_int_equal(delegated->SendBacklogSize, TCP_OFFLOAD_BACKLOG_UNSUPPORTED);
    assert_int_equal(delegated->ReceiveBacklogSize, 0);
    terminate(bench, &bench->n[0], &bench->p[0], &bench->t[0]);
}

static NET_BUFFER_LIST *
send_bytes(struct bench *bench, NDIS_HANDLE pool, MDL **mdl)
{
    static UCHAR bytes[100];
    NET_BUFFER_LIST *nbl;

    *mdl = NdisAllocateMdl(pool, bytes, sizeof(bytes));
    nbl = NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, *mdl, 0, sizeof(bytes));
    assert_non_null(nbl);
    assert_int_equal(NdisOffloadTcpSend(&bench->t[0].handle, nbl), NDIS_STATUS_PENDING);
    stage_settle(bench->stage);
    return nbl;
}

/* The path moves to another neighbor, the old one goes, and frames go to the new one. */
static void
an_update_moves_a_path(void **argument)
{
    struct bench *bench = *argument;
    NDIS_HANDLE pool = test_pool(bench->stage);
    MDL *mdl;
    NET_BUFFER_LIST *nbl;

    offload_one(bench);
    make_neighbor(&bench->n[1], 0x22, 0);
    ask(bench, NdisInitiateOffload, &bench->n[1]);
    check(&bench->n[1], NDIS_STATUS_SUCCESS, true);
    test_block_init(&bench->n[1], NeighborOffloadState); /* no state: a relink (V-024) */
    test_block_init(&bench->p[0], Ip4OffloadState);
    stand(&bench->p[0], &bench->n[1]);
    ask(bench, NdisUpdateOffload, &bench->n[1]);
    check(&bench->n[1], NDIS_STATUS_SUCCESS, true);
    check(&bench->p[0], NDIS_STATUS_SUCCESS, true);
    terminate(bench, &bench->n[0], NULL, NULL);
    nbl = send_bytes(bench, pool, &mdl);
    assert_int_equal(bench->frames, 1);
    assert_int_equal(bench->last_frame[5], 0x22);
    /* Changing its address is an update of its cached state. */
    test_block_init(&bench->n[1], NeighborOffloadCachedState);
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached = add_state(&bench->n[1], 0, sizeof(*cached));
    cached->DlDestinationAddress[5] = 0x33;
    ask(bench, NdisUpdateOffload, &bench->n[1]);
    check(&bench->n[1], NDIS_STATUS_SUCCESS, true);
    while (bench->frames < 2) /* the retransmission */
        sys_loop_turn(bench->stage->loop, true);
    assert_int_equal(bench->last_frame[5], 0x33);
    terminate(bench, &bench->n[1], &bench->p[0], &bench->t[0]);
    /* Not acknowledged, so it came back, whole. */
    assert_ptr_equal(bench->t[0].block.NetBufferListChain, nbl);
    assert_int_equal(NET_BUFFER_LIST_FIRST_NB(nbl)->DataLength, 100);
    assert_int_equal(bench->stage->host.calls, 0);
    test_free_nbls(nbl);
    NdisFreeMdl(mdl);
    NdisFreeNetBufferListPool(pool);
}

static void
an_update_that_cannot_be_kept_fails(void **argument)
{
    struct bench *bench = *argument;

    offload_one(bench);
    test_block_init(&bench->t[0], TcpOffloadCachedState);
    bench->t[0].block.ProtocolReserved[0] = &bench->stage->host;
    TCP_OFFLOAD_STATE_CACHED *cached = add_state(&bench->t[0], 0, sizeof(*cached));
    cached->Flags = TCP_FLAG_KEEP_ALIVE_ENABLED;
    cached->InitialRcvWnd = 60000;
    ask(bench, NdisUpdateOffload, &bench->t[0]);
    check(&bench->t[0], NDIS_STATUS_FAILURE, true);
    test_block_init(&bench->p[0], Ip4OffloadCachedState);
    PATH_OFFLOAD_STATE_CACHED *path = add_state(&bench->p[0], 0, sizeof(*path));
    path->PathMtu = 9000;
    ask(bench, NdisUpdateOffload, &bench->p[0]);
    check(&bench->p[0], NDIS_STATUS_FAILURE, true);
    terminate(bench, &bench->n[0], &bench->p[0], &bench->t[0]);
}

/* What stands on it asks to go up, and sends nothing any more. */
static void
an_invalidate_stops_what_depends_on_it(void **argument)
{
    struct bench *bench = *argument;
    struct fake_host *host = &bench->stage->host;
    NDIS_HANDLE pool = test_pool(bench->stage);
    MDL *mdl;
    NET_BUFFER_LIST *nbl;

    offload_one(bench);
    test_block_init(&bench->n[0], NeighborOffloadState);
    ask(bench, NdisInvalidateOffload, &bench->n[0]);
    check(&bench->n[0], NDIS_STATUS_SUCCESS, true);
    assert_ptr_equal(host->object_seen, &bench->t[0].handle);
    assert_int_equal(host->event_seen, TcpIndicateRetrieve);
    assert_int_equal(host->information_seen, InvalidState);
    nbl = send_bytes(bench, pool, &mdl);
    assert_int_equal(bench->frames, 0);
    assert_ptr_equal(host->nbls, nbl);
    assert_int_equal(nbl->Status, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    /* Nothing new can be built on it. */
    test_block_init(&bench->n[0], NeighborOffloadState);
    make_path(&bench->p[1], 1500);
    stand(&bench->p[1], &bench->n[0]);
    ask(bench, NdisInitiateOffload, &bench->n[0]);
    check(&bench->p[1], NDIS_STATUS_FAILURE, false);
    terminate(bench, &bench->n[0], &bench->p[0], &bench->t[0]);
    test_free_nbls(nbl);
    NdisFreeMdl(mdl);
    NdisFreeNetBufferListPool(pool);
}

#define BENCH(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tree_succeeds_in_part, open_full_bench, close_bench),
        BENCH(a_root_that_fails_ends_it),
        BENCH(connections_are_refused_for_a_reason),
        BENCH(a_placeholder_succeeds_and_carries_nothing),
        BENCH(a_query_tells_everything),
        BENCH(an_update_moves_a_path),
        BENCH(an_update_that_cannot_be_kept_fails),
        BENCH(an_invalidate_stops_what_depends_on_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
