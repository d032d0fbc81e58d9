/* Connections that move with their data: handed over at an initiate, given back at a terminate, and
 * asked for by the target. */
#include "scenario.h"

/* 300 bytes to be sent, 150 of them out already; 40 received that the application has not taken. */
static void
chain_and_buffered(struct world *world)
{
    struct bad_target *target = &world->target;
    struct bh_conn *conn = step_conn(world, world->p4);

    bh_prepare_sends(conn, 3, 100, 150);
    conn->state.RcvNxt += 40;
    step_offload(world, conn);
    EXPECT(world, step_query(world, conn)->SndMax == conn->send_seq);
    EXPECT(world, conn->indications == 0); /* V-114 */
    nic_ack(target, conn->port, 120);
    world_settle(world);
    EXPECT(world, conn->sent == 1);
    bh_post(conn, 100, false, 0);
    nic_data(target, conn->port, 60, false);
    world_settle(world);
    EXPECT(world, conn->received == 1 && conn->last_received == 100);
    nic_ack(target, conn->port, 180);
    world_settle(world);
    EXPECT(world, conn->sent == 3 && list_empty(&conn->sends));
    step_say(world, conn, 50);
    step_upload(world, conn);
}

/* returned in the chain, completed, or both; what is acknowledged stays acknowledged. */
static void
sends_given_back(struct world *world)
{
    static const enum bt_give ways[] = {BT_RETURN, BT_COMPLETE, BT_SPLIT};
    struct bh_conn *conn = step_lend(world);

    bh_send(conn, 4, 1, 100);
    world_settle(world);
    for (unsigned i = 0; i < 3; i++) {
        nic_find(&world->target, conn->port)->give = ways[i];
        nic_ack(&world->target, conn->port, 50);
        world_settle(world);
        step_upload(world, conn);
        EXPECT(world, !list_empty(&conn->sends) && conn->aborted == 0);
        step_offload(world, conn);
    }
    EXPECT(world, conn->sent == 1 && conn->uploaded == 4);
    nic_ack(&world->target, conn->port, 250);
    world_settle(world);
    EXPECT(world, conn->sent == 4 && list_empty(&conn->sends));
    step_upload(world, conn);
}

/* Open requests end with what is in them; refused data goes back. */
static void
receives_given_back(struct world *world)
{
    struct bh_conn *conn = step_lend(world);
    ULONG before = conn->receive_seq;

    bh_post_list(conn, 2, 100);
    nic_data(&world->target, conn->port, 30, false);
    world_settle(world);
    EXPECT(world, conn->received == 0);
    step_upload(world, conn);
    EXPECT(world, conn->receives_uploaded == 2 && conn->receive_seq == before + 30);

    step_offload(world, conn);
    world->host.keep = true; /* what was accepted may be out over the terminate */
    step_hear(world, conn, 20);
    step_upload(world, conn);
    EXPECT(world, world->host.held_count == 1);
    bh_return_all(&world->host);
    world->host.keep = false;

    step_offload(world, conn);
    conn->take = 0;
    nic_data(&world->target, conn->port, 70, true);
    nic_data(&world->target, conn->port, 80, true);
    world_settle(world);
    EXPECT(world, conn->receive_seq == before + 50);
    step_upload(world, conn);
    EXPECT(world, conn->receive_seq == before + 200); /* in BufferedData */
    world_settle(world);
    EXPECT(world, list_empty(&world->target.lent));
}

/* One goes while another comes. */
static void
terminate_and_initiate(struct world *world)
{
    struct bh_conn *old = step_lend(world), *new = step_conn(world, world->p4);
    struct bh_op *down, *up = bh_upload(old);

    down = bh_offload(new);
    world_settle(world);
    EXPECT(world, up->done && down->done);
    EXPECT(world, old->object.where == BH_HOME && new->object.where == BH_DOWN);
    step_say(world, new, 10);
    step_upload(world, new);
}

static struct bh_conn *
another(struct bh_conn *conn)
{
    list_for_each(object, &conn->object.host->objects, struct bh_object, all)
        if (object->kind == BH_TCP && object->where == BH_DOWN && object != &conn->object)
            return (struct bh_conn *)object;
    return NULL;
}

static void
upload_inside(struct bh_conn *conn)
{
    struct bh_conn *other = another(conn);

    bh_upload(conn);
    if (other)
        bh_send(other, 1, 1, 10);
}

/* V-146: asked for in the middle of an indication, it waits for its end. */
static void
terminate_inside(struct world *world)
{
    struct bh_conn *conn = step_lend(world);

    conn->on_indicate = upload_inside;
    nic_data(&world->target, conn->port, 30, true);
    world_settle(world);
    EXPECT(world, conn->object.where == BH_HOME && conn->terminated == NDIS_STATUS_SUCCESS);
    EXPECT(world, conn->indications == 1);
    nic_ack(&world->target, another(conn)->port, 10);
    world_settle(world);
}

/* ---- the target asks ---- */

/* After an optional reason everything works on. */
static void
optional_reasons(struct world *world)
{
    struct bh_conn *conn = step_lend(world);

    for (TCP_UPLOAD_REASON reason = HighDropRate; reason <= SmallIO; reason++) {
        nic_retrieve(&world->target, conn->port, reason);
        world_settle(world);
        EXPECT(world, conn->reasons[reason] == 1);
        step_say(world, conn, 20);
        step_hear(world, conn, 20);
    }
    EXPECT(world, conn->object.where == BH_DOWN);
    step_upload(world, conn);
}

/* After a mandatory one what still comes ends UPLOAD_IN_PROGRESS; the host stack terminates. */
static void
mandatory_reasons(struct world *world)
{
    static const TCP_UPLOAD_REASON reasons[] = {UploadRequested, TimeoutExpiration};

    for (unsigned i = 0; i < 2; i++) {
        struct bh_conn *conn = step_lend(world);

        if (i) /* with, and without a send outstanding */
            bh_send(conn, 1, 1, 100);
        world_settle(world);
        world->host.let_live = true;
        nic_retrieve(&world->target, conn->port, reasons[i]);
        world_settle(world);
        EXPECT(world, conn->reasons[reasons[i]] == 1);
        bh_send(conn, 2, 1, 100);
        bh_post(conn, 100, false, 0);
        world_settle(world);
        EXPECT(world, conn->uploaded == 2 && conn->receives_uploaded == 1);
        world->host.let_live = false;
        bh_kick(&world->host);
        world_pass(world, 40000);
        EXPECT(world, conn->object.where == BH_HOME && conn->terminated == NDIS_STATUS_SUCCESS);
        step_offload(world, conn); /* and the bytes are all there, in order */
        nic_ack(&world->target, conn->port, 300);
        world_settle(world);
        EXPECT(world, conn->sent == 2 + i);
        step_upload(world, conn);
    }
}

/* Urgent data, and what follows it, takes the regular path after the terminate. */
static void
urgent(struct world *world)
{
    struct bh_conn *conn = step_lend(world);
    unsigned frames = world->host.frames;

    nic_urgent(&world->target, conn->port);
    nic_data(&world->target, conn->port, 10, true);
    world_pass(world, 40000);
    EXPECT(world, conn->reasons[ReceivedUrgentData] == 1 && conn->indications == 0);
    EXPECT(world, conn->object.where == BH_HOME);
    EXPECT(world, world->host.frames == frames + 2);
}

static void
broken(struct world *world)
{
    struct bh_conn *conn = step_lend(world);

    bh_send(conn, 2, 1, 100);
    bh_post(conn, 100, false, 0);
    world_settle(world);
    nic_break(&world->target, conn->port);
    world_pass(world, 40000);
    EXPECT(world, conn->reasons[HardwareFailure] == 1 && conn->events[TcpIndicateAbort] == 1);
    EXPECT(world, conn->aborted == 2 && conn->receives_aborted == 1);
    EXPECT(world, conn->object.where == BH_HOME);
}

/* ---- the neighbor (V-141, V-142): NceStaleTicks are ten seconds ---- */

static void
reachability(struct world *world)
{
    struct bh_conn *conn = step_lend(world);
    unsigned before;

    step_say(world, conn, 10);
    before = world->n2->queries;
    world_pass(world, 11000);
    world->n2->age = 0;
    bh_send(conn, 1, 1, 10);
    world_settle(world);
    EXPECT(world, world->n2->queries == before + 1);
    world_pass(world, 5000);
    bh_send(conn, 1, 1, 10); /* the answer was fresh */
    world_settle(world);
    EXPECT(world, world->n2->queries == before + 1);
    world_pass(world, 6000);
    nic_ack(&world->target, conn->port, 20); /* progress */
    world_settle(world);
    step_say(world, conn, 10);
    EXPECT(world, world->n2->queries == before + 1);
    step_upload(world, conn);
}

const struct step steps_move[] = {
    {"chain and buffered data", chain_and_buffered},
    {"sends given back", sends_given_back},
    {"receives given back", receives_given_back},
    {"terminate and initiate", terminate_and_initiate},
    {"terminate inside", terminate_inside},
    {"optional reasons", optional_reasons},
    {"mandatory reasons", mandatory_reasons},
    {"urgent data", urgent},
    {"broken hardware", broken},
    {"reachability", reachability},
    {NULL, NULL},
};
