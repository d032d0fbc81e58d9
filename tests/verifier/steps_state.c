/* State operations on objects that exist: initiate of one connection, query, update, relinking. */
#include "scenario.h"

/* From here to the end of these lists n1, p4, and connections a and b are down. */
static void
offload(struct world *world)
{
    struct bad_host *host = &world->host;

    world->n1 = bh_neighbor_create(host, 1);
    world->n2 = bh_neighbor_create(host, 2);
    world->p4 = bh_path_create(host, world->n1, false);
    world->a = step_conn(world, world->p4);
    step_offload(world, world->a);
    EXPECT(world, world->n1->object.where == BH_DOWN && world->p4->object.where == BH_DOWN);
    EXPECT(world, world->n1->object.handle.MiniportOffloadContext);
    EXPECT(world, world->p4->object.handle.MiniportOffloadContext);
    EXPECT(world, world->target.counts[BT_TCP] == 1);
    world->b = step_lend(world);
    EXPECT(world, world->target.counts[BT_NEIGHBOR] == 1 && world->target.counts[BT_TCP] == 2);
}

/* R-50, P29: NDIS answers what it knows. */
static void
parameters(struct world *world)
{
    NDIS_TCP_CONNECTION_OFFLOAD capabilities = {.TcpConnectionOffloadCapacity = 0};
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS set = {.TicksPerSecond = 0};

    EXPECT(world, bh_query_oid(&world->host, OID_TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG,
                               &capabilities, sizeof(capabilities)) == NDIS_STATUS_SUCCESS);
    EXPECT(world, capabilities.TcpConnectionOffloadCapacity == BT_CAPACITY);
    EXPECT(world, bh_query_oid(&world->host, OID_TCP_CONNECTION_OFFLOAD_PARAMETERS, &set,
                               sizeof(set)) == NDIS_STATUS_SUCCESS);
    EXPECT(world, set.TicksPerSecond == 100 && world->target.parameters_set == 1);
}

/* ---- query ---- */

/* Behind the header. */
static bool
same_state(const void *left, const void *right, size_t size)
{
    size_t header = sizeof(OFFLOAD_STATE_HEADER);

    return !memcmp((const char *)left + header, (const char *)right + header, size - header);
}

static void
query_whole(struct world *world)
{
    struct bh_op *op = bh_op_create(&world->host, BH_QUERY);
    struct bh_block *n = bh_op_add(op, NULL, &world->n1->object);
    struct bh_block *p = bh_op_add(op, n, &world->p4->object);
    struct bh_block *t = bh_op_add(op, p, &world->a->object);

    bh_op_add(op, p, NULL);
    bh_op_start(op);
    EXPECT(world, !op->done);
    world_settle(world);
    EXPECT(world, op->done && op->completions == 1);
    for (unsigned i = 0; i < op->count; i++)
        EXPECT(world, op->blocks[i].block.Status == NDIS_STATUS_SUCCESS);
    EXPECT(world, same_state(bh_state(n, 0), &world->n1->constant, sizeof(world->n1->constant)));
    EXPECT(world, same_state(bh_state(n, 1), &world->n1->cached, sizeof(world->n1->cached)));
    EXPECT(world, same_state(bh_state(p, 1), &world->p4->cached, sizeof(world->p4->cached)));
    EXPECT(world, same_state(bh_state(t, 0), &world->a->constant, sizeof(world->a->constant)));
    EXPECT(world, same_state(bh_state(t, 1), &world->a->cached, sizeof(world->a->cached)));
    const TCP_OFFLOAD_STATE_DELEGATED *state = bh_state(t, 2);
    EXPECT(world, state->SndUna == world->a->state.SndUna);
    EXPECT(world, state->RcvNxt == world->a->receive_seq && state->ReceiveBacklogSize == 0);
    EXPECT(world, state->SendBacklogSize != 0);
}

/* Queries may overlap; each class alone. */
static void
query_overlapping(struct world *world)
{
    static const UCHAR types[] = {TcpOffloadConstState, TcpOffloadCachedState,
                                  TcpOffloadDelegatedState};
    struct bh_op *ops[3];

    for (int i = 0; i < 3; i++) {
        ops[i] = bh_op_create(&world->host, BH_QUERY);
        bh_op_add_type(ops[i], NULL, &world->a->object, types[i]);
        bh_op_start(ops[i]);
    }
    world_settle(world);
    for (int i = 0; i < 3; i++)
        EXPECT(world, ops[i]->done && ops[i]->blocks[0].block.Status == NDIS_STATUS_SUCCESS);
    EXPECT(world, same_state(bh_state(&ops[0]->blocks[0], 0), &world->a->constant,
                             sizeof(world->a->constant)));
    EXPECT(world, same_state(bh_state(&ops[1]->blocks[0], 0), &world->a->cached,
                             sizeof(world->a->cached)));
}

/* ---- update ---- */

static void
update(struct world *world, struct bh_object *object)
{
    struct bh_op *op = bh_op_create(&world->host, BH_UPDATE);

    bh_op_add(op, NULL, object);
    bh_op_start(op);
    EXPECT(world, !op->done);
    world_settle(world);
    EXPECT(world, op->done && op->completions == 1);
    EXPECT(world, op->blocks[0].block.Status == NDIS_STATUS_SUCCESS);
}

/* The flags that are orders are not part of the state. */
static void
update_tcp(struct world *world, USHORT orders)
{
    struct bh_conn *a = world->a;

    a->cached.Flags |= orders;
    update(world, &a->object);
    a->cached.Flags &= (USHORT)~orders;
    query_whole(world);
}

static void
update_cached(struct world *world)
{
    TCP_OFFLOAD_STATE_CACHED *cached = &world->a->cached;
    TCP_OFFLOAD_STATE_DELEGATED before = *step_query(world, world->a), after;

    cached->TtlOrHopLimit = 32;
    cached->TosOrTrafficClass = 0x10;
    cached->UserPriority = 3;
    cached->FlowLabel = 0x12345;
    cached->RcvIndicationSize = 4096;
    cached->Flags |= TCP_FLAG_NAGLING_ENABLED;
    update_tcp(world, 0);
    cached->MaxRT = 600;
    cached->KaProbeCount = 3;
    update_tcp(world, TCP_FLAG_MAX_RT_RESTART);
    after = *step_query(world, world->a);
    before.TsTime = after.TsTime;
    EXPECT(world, same_state(&before, &after, sizeof(before))); /* V-054 */
    cached->InitialRcvWnd = 80000;
    update_tcp(world, TCP_FLAG_UPDATE_RCV_WND);
    EXPECT(world, step_query(world, world->a)->RcvWnd == 80000);
    cached->KaTimeout = 500;
    cached->Flags |= TCP_FLAG_KEEP_ALIVE_ENABLED;
    update_tcp(world, TCP_FLAG_KEEP_ALIVE_RESTART);
    EXPECT(world, step_query(world, world->a)->KeepAlive.TimeoutDelta == 500);
}

static void
update_below(struct world *world)
{
    world->p4->cached.PathMtu = 1400;
    update(world, &world->p4->object);
    world->n1->cached.DlDestinationAddress[5] = 0x77;
    world->n1->cached.HostReachabilityDelta = 0;
    update(world, &world->n1->object);
    query_whole(world);
}

/* ---- a new router: initiate it, link the path to it, terminate the old one ---- */

static void
relink(struct world *world)
{
    struct bad_host *host = &world->host;
    struct bh_op *op = bh_op_create(host, BH_INITIATE);
    struct bh_block *root = bh_op_add(op, NULL, &world->n2->object);

    bh_op_start(op);
    world_settle(world);
    EXPECT(world, root->block.Status == NDIS_STATUS_SUCCESS);
    EXPECT(world, world->n2->object.where == BH_DOWN);

    op = bh_op_create(host, BH_UPDATE);
    root = bh_op_add_type(op, NULL, &world->n2->object, NeighborOffloadState);
    bh_op_add_type(op, root, &world->p4->object, Ip4OffloadState);
    bh_op_start(op);
    world_settle(world);
    EXPECT(world, op->done && root->block.Status == NDIS_STATUS_SUCCESS);
    EXPECT(world, op->blocks[1].block.Status == NDIS_STATUS_SUCCESS);
    world->p4->object.parent = &world->n2->object;

    op = bh_op_create(host, BH_TERMINATE);
    root = bh_op_add(op, NULL, &world->n1->object);
    bh_op_start(op);
    world_settle(world);
    EXPECT(world, op->done && root->block.Status == NDIS_STATUS_SUCCESS);
    EXPECT(world, world->n1->object.where == BH_HOME);
    EXPECT(world, world->target.counts[BT_NEIGHBOR] == 1);
}

/* ---- what fails comes home (V-069) ---- */

static void
failing_query(struct world *world)
{
    struct bh_conn *conn = step_lend(world);
    struct bh_op *op = bh_op_create(&world->host, BH_QUERY);

    world->target.fail_query = true;
    bh_op_add(op, NULL, &conn->object);
    bh_op_start(op);
    world_pass(world, 40000);
    EXPECT(world, op->done && op->blocks[0].block.Status == NDIS_STATUS_FAILURE);
    EXPECT(world, conn->object.where == BH_HOME && conn->terminated == NDIS_STATUS_SUCCESS);
}

static void
failing_update(struct world *world)
{
    struct bh_conn *conn = step_lend(world);
    struct bh_op *op = bh_op_create(&world->host, BH_UPDATE);

    world->target.fail_update = true;
    bh_op_add(op, NULL, &conn->object);
    bh_op_start(op);
    world_pass(world, 40000);
    EXPECT(world, op->done && op->blocks[0].block.Status == NDIS_STATUS_FAILURE);
    EXPECT(world, conn->object.where == BH_HOME && conn->terminated == NDIS_STATUS_SUCCESS);
}

/* ---- invalidate (V-070, R-42) ---- */

static void
invalidate(struct world *world)
{
    struct bad_host *host = &world->host;
    struct bh_neighbor *neighbor = bh_neighbor_create(host, 3);
    struct bh_path *path = bh_path_create(host, neighbor, false);
    struct bh_conn *conn = step_conn(world, path);
    struct bh_op *op = bh_op_create(host, BH_INVALIDATE);

    step_offload(world, conn);
    bh_send(conn, 2, 1, 100);
    world_settle(world);
    bh_op_add(op, NULL, &neighbor->object);
    bh_op_start(op);
    world_pass(world, 40000);
    EXPECT(world, op->done && op->blocks[0].block.Status == NDIS_STATUS_SUCCESS);
    EXPECT(world, conn->reasons[InvalidState] == 1);
    EXPECT(world, conn->object.where == BH_HOME && path->object.where == BH_HOME);
    EXPECT(world, neighbor->object.where == BH_HOME);
    EXPECT(world, !list_empty(&conn->sends)); /* the sends came back */
}

const struct step steps_state[] = {
    {"offload", offload},
    {"parameters", parameters},
    {"query", query_whole},
    {"overlapping queries", query_overlapping},
    {"update", update_cached},
    {"update below", update_below},
    {"relink", relink},
    {"failing query", failing_query},
    {"failing update", failing_update},
    {"invalidate", invalidate},
    {NULL, NULL},
};
