/* The list of steps, and what many of them do (scenario.h). */
#include "scenario.h"

static const struct step *const lists[] = {
    steps_begin, steps_state, steps_tree, steps_data, steps_move, steps_end,
};

static void
run_list(struct world *world, const struct step *list)
{
    for (const struct step *step = list; step->name; step++) {
        world->step = step->name;
        step->run(world);
        EXPECT(world, world->host.wrong == 0);
        EXPECT(world, world->target.wrong == 0);
        EXPECT(world, world->complaints == world->excused);
    }
}

static void
run_steps(struct world *world)
{
    if (setjmp(world->out))
        return;
    world->stepping = true;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        run_list(world, lists[i]);
}

/* Whatever a step that failed was holding goes on, for so long that every time limit passes. */
static void
let_go(struct world *world)
{
    world->host.keep = world->host.let_live = false;
    world->im.no_memory = world->im.fail_binds = false;
    if (world->target.handle)
        nic_release(&world->target);
    bh_kick(&world->host);
    world_pass(world, 40000);
}

void
scenario_run(struct world *world, unsigned floors, struct observer *observer)
{
    world_open(world, floors, observer);
    run_steps(world);
    world->stepping = false;
    if (world->failures)
        let_go(world);
    else
        world->step = "close";
    world_close(world);
    EXPECT(world, world->host.wrong == 0);
    EXPECT(world, world->target.wrong == 0);
    EXPECT(world, world->complaints == world->excused);
    EXPECT(world, !world->target.handle);
}

struct bh_conn *
step_conn(struct world *world, struct bh_path *path)
{
    return bh_conn_create(&world->host, path, ++world->last_port);
}

void
step_offload(struct world *world, struct bh_conn *conn)
{
    struct bh_op *op = bh_offload(conn);

    EXPECT(world, !op->done); /* V-030 */
    world_settle(world);
    EXPECT(world, op->done && op->completions == 1);
    EXPECT(world, conn->object.where == BH_DOWN && conn->initiated == NDIS_STATUS_SUCCESS);
    EXPECT(world, conn->object.handle.MiniportOffloadContext);
}

struct bh_conn *
step_lend(struct world *world)
{
    struct bh_conn *conn = step_conn(world, world->p4);

    step_offload(world, conn);
    return conn;
}

void
step_upload(struct world *world, struct bh_conn *conn)
{
    struct bh_op *op = bh_upload(conn);

    EXPECT(world, !op->done);
    world_settle(world);
    EXPECT(world, op->done && op->completions == 1);
    EXPECT(world, conn->object.where == BH_HOME && conn->terminated == NDIS_STATUS_SUCCESS);
    EXPECT(world, !conn->object.handle.MiniportOffloadContext); /* P19 */
    EXPECT(world, !nic_find(&world->target, conn->port));
}

void
step_hear(struct world *world, struct bh_conn *conn, ULONG bytes)
{
    ULONG before = conn->receive_seq;

    nic_data(&world->target, conn->port, bytes, true);
    world_settle(world);
    EXPECT(world, conn->receive_seq == before + bytes);
}

void
step_say(struct world *world, struct bh_conn *conn, ULONG bytes)
{
    ULONG before = conn->acked;
    unsigned sent = conn->sent;

    bh_send(conn, 1, 1, bytes);
    world_settle(world);
    EXPECT(world, conn->sent == sent);
    nic_ack(&world->target, conn->port, bytes);
    world_settle(world);
    EXPECT(world, conn->sent == sent + 1 && conn->acked == before + bytes);
}

const TCP_OFFLOAD_STATE_DELEGATED *
step_query(struct world *world, struct bh_conn *conn)
{
    struct bh_op *op = bh_op_create(&world->host, BH_QUERY);
    struct bh_block *block = bh_op_add_type(op, NULL, &conn->object, TcpOffloadDelegatedState);

    bh_op_start(op);
    world_settle(world);
    EXPECT(world, op->done && block->block.Status == NDIS_STATUS_SUCCESS);
    return bh_state(block, 0);
}
