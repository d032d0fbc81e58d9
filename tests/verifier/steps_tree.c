/* Trees: placeholders, linkers, many nodes, partial success, refusals of every kind. */
#include "scenario.h"

static NDIS_STATUS
status_of(const struct bh_block *block)
{
    return block->block.Status;
}

/* A terminate of several connections of one path, which stays. */
static void
upload_list(struct world *world, struct bh_conn *const conns[], unsigned count)
{
    struct bh_op *op = bh_op_create(&world->host, BH_TERMINATE);
    struct bh_block *neighbor = bh_op_add(op, NULL, NULL);
    struct bh_block *path = bh_op_add(op, neighbor, NULL);

    for (unsigned i = 0; i < count; i++)
        bh_op_add(op, path, &conns[i]->object);
    bh_op_start(op);
    world_settle(world);
    EXPECT(world, op->done);
    for (unsigned i = 0; i < op->count; i++)
        EXPECT(world, status_of(&op->blocks[i]) == NDIS_STATUS_SUCCESS);
}

static void
placeholder_and_linker(struct world *world)
{
    struct bh_conn *conns[] = {step_conn(world, world->p4), step_conn(world, world->p4)};
    struct bh_op *op = bh_op_create(&world->host, BH_INITIATE);
    struct bh_block *neighbor = bh_op_add(op, NULL, NULL);
    struct bh_block *path = bh_op_add(op, neighbor, &world->p4->object);

    bh_op_add(op, path, &conns[0]->object);
    bh_op_add(op, path, &conns[1]->object);
    bh_op_start(op);
    world_settle(world);
    EXPECT(world, op->done);
    for (unsigned i = 0; i < op->count; i++)
        EXPECT(world, status_of(&op->blocks[i]) == NDIS_STATUS_SUCCESS);
    upload_list(world, conns, 2);
}

/* Two new neighbors, three new paths, four connections; then all of it home in one tree. */
static void
wide_tree(struct world *world)
{
    struct bad_host *host = &world->host;
    struct bh_neighbor *n[] = {bh_neighbor_create(host, 10), bh_neighbor_create(host, 11)};
    struct bh_path *p[] = {bh_path_create(host, n[0], false), bh_path_create(host, n[0], true),
                           bh_path_create(host, n[1], false)};
    struct bh_conn *c[] = {step_conn(world, p[0]), step_conn(world, p[0]), step_conn(world, p[1]),
                           step_conn(world, p[2])};
    struct bh_op *op = bh_op_create(host, BH_INITIATE);
    struct bh_block *nb[2], *pb[3];

    nb[0] = bh_op_add(op, NULL, &n[0]->object);
    nb[1] = bh_op_add(op, NULL, &n[1]->object);
    pb[0] = bh_op_add(op, nb[0], &p[0]->object);
    pb[1] = bh_op_add(op, nb[0], &p[1]->object);
    pb[2] = bh_op_add(op, nb[1], &p[2]->object);
    bh_op_add(op, pb[0], &c[0]->object);
    bh_op_add(op, pb[0], &c[1]->object);
    bh_op_add(op, pb[1], &c[2]->object);
    bh_op_add(op, pb[2], &c[3]->object);
    bh_op_start(op);
    world_settle(world);
    for (unsigned i = 0; i < op->count; i++)
        EXPECT(world, status_of(&op->blocks[i]) == NDIS_STATUS_SUCCESS);
    step_hear(world, c[2], 100);
    step_say(world, c[3], 100);

    op = bh_op_create(host, BH_TERMINATE);
    for (unsigned i = 0; i < 2; i++)
        nb[i] = bh_op_add(op, NULL, &n[i]->object);
    for (unsigned i = 0; i < 3; i++)
        pb[i] = bh_op_add(op, nb[i / 2], &p[i]->object);
    for (unsigned i = 0; i < 4; i++)
        bh_op_add(op, pb[i ? i - 1 : 0], &c[i]->object);
    bh_op_start(op);
    world_settle(world);
    for (unsigned i = 0; i < op->count; i++)
        EXPECT(world, status_of(&op->blocks[i]) == NDIS_STATUS_SUCCESS);
    EXPECT(world, world->target.counts[BT_NEIGHBOR] == 1 && world->target.counts[BT_PATH] == 1);
}

/* Room for two: depth first, so both of the first path fit and that of the second does not. */
static void
partial_success(struct world *world)
{
    struct bad_host *host = &world->host;
    struct bh_path *path = bh_path_create(host, world->n2, true);
    struct bh_conn *c[] = {step_conn(world, world->p4), step_conn(world, world->p4),
                           step_conn(world, path)};
    struct bh_op *op = bh_op_create(host, BH_INITIATE);
    struct bh_block *n = bh_op_add(op, NULL, &world->n2->object);
    struct bh_block *p4 = bh_op_add(op, n, &world->p4->object);
    struct bh_block *p6 = bh_op_add(op, n, &path->object);
    struct bh_block *t[3];

    for (unsigned i = 0; i < 3; i++)
        t[i] = bh_op_add(op, i < 2 ? p4 : p6, &c[i]->object);
    world->target.tcp_room = 2;
    bh_op_start(op);
    world_settle(world);
    world->target.tcp_room = BT_ROOM;
    EXPECT(world, status_of(t[0]) == NDIS_STATUS_SUCCESS);
    EXPECT(world, status_of(t[1]) == NDIS_STATUS_SUCCESS);
    EXPECT(world, status_of(t[2]) == NDIS_STATUS_OFFLOAD_TCP_ENTRIES);
    EXPECT(world, status_of(p4) == NDIS_STATUS_SUCCESS);
    EXPECT(world, status_of(p6) == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS);
    EXPECT(world, status_of(n) == NDIS_STATUS_SUCCESS); /* both paths came through */
    EXPECT(world, !c[2]->object.handle.MiniportOffloadContext);
    EXPECT(world, path->object.handle.MiniportOffloadContext);
    upload_list(world, c, 2);
    op = bh_op_create(host, BH_TERMINATE);
    bh_op_add(op, NULL, &path->object);
    bh_op_start(op);
    world_settle(world);
    EXPECT(world, op->done && status_of(&op->blocks[0]) == NDIS_STATUS_SUCCESS);
}

/* A linker of which some, and of which no dependent comes through. */
static void
linker_statuses(struct world *world)
{
    struct bh_conn *c[] = {step_conn(world, world->p4), step_conn(world, world->p4)};

    for (unsigned room = 0; room < 2; room++) {
        struct bh_op *op = bh_op_create(&world->host, BH_INITIATE);
        struct bh_block *n = bh_op_add(op, NULL, NULL);
        struct bh_block *p = bh_op_add(op, n, &world->p4->object);
        struct bh_block *t = bh_op_add(op, p, &c[0]->object);

        bh_op_add(op, p, &c[1]->object);
        world->target.tcp_room = room;
        bh_op_start(op);
        world_settle(world);
        EXPECT(world,
               status_of(t) == (room ? NDIS_STATUS_SUCCESS : NDIS_STATUS_OFFLOAD_TCP_ENTRIES));
        EXPECT(world,
               status_of(p) == (room ? NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS : NDIS_STATUS_FAILURE));
        EXPECT(world, status_of(n) == NDIS_STATUS_SUCCESS);
    }
    world->target.tcp_room = BT_ROOM;
    upload_list(world, c, 1);
}

/* V-051: the chain of a connection that did not get in stays as it was. */
static void
failure_with_chain(struct world *world)
{
    struct bh_conn *conn = step_conn(world, world->p4);
    struct bh_data *first;
    struct bh_op *op;

    bh_prepare_sends(conn, 2, 100, 50);
    first = list_first(&conn->sends, struct bh_data, link);
    first->nbl->Status = NDIS_STATUS_NOT_ACCEPTED;
    world->target.tcp_room = 0;
    op = bh_offload(conn);
    world_settle(world);
    world->target.tcp_room = BT_ROOM;
    EXPECT(world, op->done && conn->initiated == NDIS_STATUS_OFFLOAD_TCP_ENTRIES);
    EXPECT(world, conn->object.where == BH_HOME && conn->sent == 0 && conn->aborted == 0);
    EXPECT(world, first->nbl->Status == NDIS_STATUS_NOT_ACCEPTED && first->at_home);
    EXPECT(world, stream_length(first->nbl) == 100);
}

/* V-040: the root does not get in, its sibling is not tried; V-048: for its source address. */
static void
failed_root(struct world *world)
{
    struct bad_host *host = &world->host;
    struct bh_neighbor *n[] = {bh_neighbor_create(host, 12), bh_neighbor_create(host, 13)};
    struct bh_path *path = bh_path_create(host, n[0], false);
    struct bh_conn *conn = step_conn(world, path);
    struct bh_op *op = bh_op_create(host, BH_INITIATE);
    struct bh_block *root, *sibling;

    n[0]->constant.DlSourceAddress[0] = 2;
    n[0]->constant.DlSourceAddress[5] = 9;
    root = bh_op_add(op, NULL, &n[0]->object);
    sibling = bh_op_add(op, NULL, &n[1]->object);
    bh_op_add(op, bh_op_add(op, root, &path->object), &conn->object);
    bh_op_start(op);
    world_settle(world);
    EXPECT(world, status_of(root) == NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES);
    EXPECT(world, status_of(sibling) == NDIS_STATUS_FAILURE);
    for (unsigned i = 2; i < 4; i++)
        EXPECT(world, status_of(&op->blocks[i]) == NDIS_STATUS_FAILURE);
    for (unsigned i = 0; i < 4; i++)
        EXPECT(world, !op->blocks[i].object->handle.MiniportOffloadContext);
}

/* ---- one reason each ---- */

static void
refused_neighbor(struct world *world)
{
    struct bh_neighbor *neighbor = bh_neighbor_create(&world->host, 14);
    struct bh_op *op = bh_op_create(&world->host, BH_INITIATE);

    neighbor->constant.VlanId = 9;
    bh_op_add(op, NULL, &neighbor->object);
    bh_op_start(op);
    world_settle(world);
    EXPECT(world, status_of(&op->blocks[0]) == NDIS_STATUS_OFFLOAD_VLAN_MISMATCH);

    neighbor->constant.VlanId = 7;
    op = bh_op_create(&world->host, BH_INITIATE);
    bh_op_add(op, NULL, &neighbor->object);
    bh_op_start(op);
    world_settle(world);
    EXPECT(world, status_of(&op->blocks[0]) == NDIS_STATUS_SUCCESS);
    op = bh_op_create(&world->host, BH_TERMINATE);
    bh_op_add(op, NULL, &neighbor->object);
    bh_op_start(op);
    world_settle(world);
    EXPECT(world, status_of(&op->blocks[0]) == NDIS_STATUS_SUCCESS);
}

static void
refused_path(struct world *world)
{
    struct bh_path *path = bh_path_create(&world->host, world->n2, false);
    struct bh_conn *conn = step_conn(world, path);
    struct bh_op *op;

    path->cached.PathMtu = 9000;
    op = bh_offload(conn);
    world_settle(world);
    EXPECT(world, status_of(&op->blocks[0]) == NDIS_STATUS_FAILURE); /* a linker of none */
    EXPECT(world, status_of(&op->blocks[1]) == NDIS_STATUS_OFFLOAD_PATH_MTU);
    EXPECT(world, status_of(&op->blocks[2]) == NDIS_STATUS_FAILURE);
}

static void
refused_connection(struct world *world)
{
    struct bh_conn *conn = step_conn(world, world->p4);

    conn->cached.InitialRcvWnd = BT_WINDOW_MAX + 1;
    bh_offload(conn);
    world_settle(world);
    EXPECT(world, conn->initiated == NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW);
    conn->cached.InitialRcvWnd = BT_WINDOW_MAX;
    step_offload(world, conn);
    step_upload(world, conn);
}

const struct step steps_tree[] = {
    {"placeholder and linker", placeholder_and_linker},
    {"wide tree", wide_tree},
    {"partial success", partial_success},
    {"linker statuses", linker_statuses},
    {"failure with chain", failure_with_chain},
    {"failed root", failed_root},
    {"refused neighbor", refused_neighbor},
    {"refused path", refused_path},
    {"refused connection", refused_connection},
    {NULL, NULL},
};
