/* Endings: of connections, of offloading, of power, of bindings, of the house. */
#include "scenario.h"

/* ---- connections ---- */

/* Data and FIN of ours, then the peer's; TIME_WAIT is the host stack's business. */
static void
graceful(struct world *world)
{
    struct bad_target *target = &world->target;
    struct bh_conn *conn = step_lend(world);

    bh_send(conn, 2, 1, 50);
    bh_disconnect(conn, 30, TCP_DISCONNECT_GRACEFUL_CLOSE);
    world_settle(world);
    nic_ack(target, conn->port, 120);
    world_settle(world);
    EXPECT(world, conn->sent == 2 && conn->closes == 0);
    nic_ack(target, conn->port, 10);
    nic_ack_fin(target, conn->port);
    world_settle(world);
    EXPECT(world, conn->closes == 1 && conn->close_status == NDIS_STATUS_SUCCESS);
    EXPECT(world, step_query(world, conn)->State == TcpConnectionFinWait2);
    nic_retrieve(target, conn->port, SmallIO); /* V-134: it keeps quiet */
    step_hear(world, conn, 40);                /* the receive half is open */
    nic_fin(target, conn->port);
    world_pass(world, 40000);
    EXPECT(world, conn->events[TcpIndicateDisconnect] == 1);
    EXPECT(world, conn->reasons[UploadRequested] == 1 && conn->object.where == BH_HOME);
    EXPECT(world, conn->reasons[SmallIO] == 0);
    EXPECT(world, conn->state.State == TcpConnectionTimeWait);
}

/* The peer's FIN first: what is partly filled completes, then the event, then the rest. */
static void
peer_closes(struct world *world)
{
    struct bad_target *target = &world->target;
    struct bh_conn *conn = step_lend(world);

    bh_post_list(conn, 2, 100);
    nic_data(target, conn->port, 30, false);
    world_settle(world);
    nic_fin(target, conn->port);
    world_settle(world);
    EXPECT(world, conn->received == 1 && conn->events[TcpIndicateDisconnect] == 1);
    EXPECT(world, conn->invalid_state == 1);
    bh_post(conn, 10, false, 0);
    world_settle(world);
    EXPECT(world, conn->invalid_state == 2);
    nic_retrieve(target, conn->port, LowActivity); /* V-134: it keeps quiet */
    step_say(world, conn, 50);                     /* the send half is open */
    bh_disconnect(conn, 0, TCP_DISCONNECT_GRACEFUL_CLOSE);
    world_settle(world);
    nic_ack_fin(target, conn->port);
    world_settle(world);
    EXPECT(world, conn->closes == 1 && conn->close_status == NDIS_STATUS_SUCCESS);
    EXPECT(world, conn->reasons[LowActivity] == 0);
    step_upload(world, conn);
    EXPECT(world, conn->state.State == TcpConnectionClosed);
}

/* The FIN waits for data that nobody has taken. */
static void
fin_behind_data(struct world *world)
{
    struct bh_conn *conn = step_lend(world);

    conn->take = 0;
    nic_data(&world->target, conn->port, 30, true);
    nic_fin(&world->target, conn->port);
    world_settle(world);
    EXPECT(world, conn->refusals == 1 && conn->events[TcpIndicateDisconnect] == 0);
    conn->take = BH_TAKE_ALL;
    bh_post(conn, 100, true, 0);
    world_settle(world);
    EXPECT(world, conn->received == 1 && conn->last_received == 30);
    EXPECT(world, conn->events[TcpIndicateDisconnect] == 1);
    step_upload(world, conn);
}

static void
abortive(struct world *world)
{
    struct bh_conn *conn = step_lend(world);

    bh_send(conn, 3, 1, 100);
    world_settle(world);
    nic_ack(&world->target, conn->port, 150);
    world_settle(world);
    bh_post_list(conn, 2, 100);
    bh_disconnect(conn, 0, TCP_DISCONNECT_ABORTIVE_CLOSE);
    EXPECT(world, conn->closes == 0);
    world_settle(world);
    EXPECT(world, conn->sent == 1 && conn->aborted == 2 && conn->acked == 150);
    EXPECT(world, conn->receives_aborted == 2);
    EXPECT(world, conn->closes == 1 && conn->close_status == NDIS_STATUS_SUCCESS);
    EXPECT(world, conn->object.handle.MiniportOffloadContext); /* V-129 */
    step_upload(world, conn);
}

static void
reset_by_peer(struct world *world)
{
    struct bh_conn *conn = step_lend(world);

    bh_send(conn, 2, 1, 100);
    bh_post(conn, 100, false, 0);
    bh_disconnect(conn, 10, TCP_DISCONNECT_GRACEFUL_CLOSE);
    world_settle(world);
    nic_rst(&world->target, conn->port);
    world_pass(world, 40000);
    EXPECT(world, conn->events[TcpIndicateAbort] == 1);
    EXPECT(world, conn->aborted == 2 && conn->receives_aborted == 1);
    EXPECT(world, conn->closes == 1 && conn->close_status == NDIS_STATUS_REQUEST_ABORTED);
    EXPECT(world, conn->object.where == BH_HOME && conn->terminated == NDIS_STATUS_SUCCESS);
}

/* An upload in between: the disconnect comes back, the connection is the host stack's. */
static void
disconnect_given_back(struct world *world)
{
    struct bh_conn *conn = step_lend(world);

    bh_send(conn, 1, 1, 100);
    bh_disconnect(conn, 10, TCP_DISCONNECT_GRACEFUL_CLOSE);
    world_settle(world);
    nic_retrieve(&world->target, conn->port, UploadRequested);
    world_pass(world, 40000);
    EXPECT(world, conn->closes == 1 && conn->close_status == NDIS_STATUS_UPLOAD_IN_PROGRESS);
    EXPECT(world, conn->object.where == BH_HOME);
}

/* ---- offloading ---- */

/* Running connections go on; the resume brings new capabilities. */
static void
pause_and_resume(struct world *world)
{
    struct bad_target *target = &world->target;

    nic_status(target, NDIS_STATUS_OFFLOAD_PAUSE);
    world_settle(world);
    EXPECT(world, world->host.offload_paused);
    step_say(world, world->a, 10);
    target->capabilities.TcpConnectionOffloadCapacity = BT_CAPACITY - 1;
    nic_status(target, NDIS_STATUS_OFFLOAD_RESUME);
    world_settle(world);
    EXPECT(world, !world->host.offload_paused);
    EXPECT(world, world->host.capabilities.TcpConnectionOffloadCapacity == BT_CAPACITY - 1);
    step_upload(world, step_lend(world));
}

/* From here on nothing is down. */
static void
upload_all(struct world *world)
{
    struct bad_target *target = &world->target;

    bh_send(world->a, 2, 1, 100);
    world_settle(world);
    nic_status(target, NDIS_STATUS_OFFLOAD_PAUSE);
    nic_status(target, NDIS_STATUS_UPLOAD_ALL);
    world_pass(world, 40000);
    EXPECT(world, world->a->object.where == BH_HOME && world->b->object.where == BH_HOME);
    EXPECT(world, world->p4->object.where == BH_HOME && world->n2->object.where == BH_HOME);
    EXPECT(world, list_empty(&target->objects) && !world->host.upload_all);
    nic_status(target, NDIS_STATUS_OFFLOAD_RESUME);
    world_settle(world);
    EXPECT(world, !world->host.offload_paused);
}

/* ---- power ---- */

static void
power(struct world *world)
{
    struct bad_host *host = &world->host;
    struct bh_conn *conn = step_lend(world);

    step_hear(world, conn, 10);
    bh_power(host, NdisDeviceStateD3);
    world_settle(world);
    EXPECT(world, conn->object.where == BH_HOME && world->n2->object.where == BH_HOME);
    EXPECT(world, !host->request_out && host->request_status == NDIS_STATUS_SUCCESS);
    EXPECT(world, host->power == NdisDeviceStateD3);
    bh_power(host, NdisDeviceStateD0);
    world_settle(world);
    EXPECT(world, host->power == NdisDeviceStateD0);
    EXPECT(world, host->request_status == NDIS_STATUS_SUCCESS);
}

/* ---- intermediate drivers ---- */

/* V-086, V-166: without memory sends come back at once, and trees fail as a whole. */
static void
no_memory_between(struct world *world)
{
    struct bh_conn *conn, *late = step_conn(world, world->p4);
    struct bh_op *op;

    if (!world->floors)
        return;
    conn = step_lend(world);
    world->im.no_memory = true;
    bh_send(conn, 2, 1, 100);
    EXPECT(world, conn->uploaded == 0);
    world_pass(world, 40000);
    EXPECT(world, conn->uploaded == 2 && conn->object.where == BH_HOME);
    op = bh_offload(late);
    EXPECT(world, !op->done);
    world_settle(world);
    EXPECT(world, op->done && op->blocks[0].block.Status == NDIS_STATUS_FAILURE);
    EXPECT(world, late->initiated == NDIS_STATUS_FAILURE && late->object.where == BH_HOME);
    EXPECT(world, !late->object.handle.MiniportOffloadContext);
    world->im.no_memory = false;
    EXPECT(world, world->im.refused >= 2);
}

/* V-193: a bind that fails late takes its virtual adapter back. */
static void
failing_bind_between(struct world *world)
{
    if (!world->floors)
        return;
    world->im.fail_binds = true;
    EXPECT(world, house_bind(world->house, "im", world->top, "vx") != 0);
    world->im.fail_binds = false;
    EXPECT(world, world->im.cancelled == 1);
    world->excused += world->complaints - world->excused == 1; /* NDIS logs the failed bind */
}

/* ---- bindings ---- */

static void
release(void *arg)
{
    nic_release(&((struct world *)arg)->target);
}

/* A pause of the binding waits for everything. Afterwards the connection goes down once more. */
static void
unbind_and_bind(struct world *world, struct bh_conn *conn)
{
    struct bad_host *host = &world->host;
    unsigned restarts = host->restarts, sets = world->target.parameters_set;

    world_alarm(world, 1000, release);
    EXPECT(world, house_unbind(world->house, "host", world->top) == 0);
    world_alarm_end(world);
    EXPECT(world, !host->binding && host->frames_out == 0 && !host->request_out);
    EXPECT(world, conn->object.where == BH_HOME && world->p4->object.where == BH_HOME);
    EXPECT(world, list_empty(&world->target.objects));

    EXPECT(world, house_bind(world->house, "host", world->top, NULL) == 0);
    EXPECT(world, host->restarts == restarts + 1);
    EXPECT(world, world->target.parameters_set == sets + 1);
    step_offload(world, conn);
}

/* For objects, sends and frames. */
static void
rebind(struct world *world)
{
    struct bh_conn *conn = step_lend(world);

    bh_send(conn, 2, 1, 100);
    bh_post(conn, 100, true, 0);
    world->target.hold_frames = true;
    bh_frames_send(&world->host, 2);
    unbind_and_bind(world, conn);
    nic_ack(&world->target, conn->port, 200);
    world_settle(world);
    EXPECT(world, conn->sent == 2);
}

/* For requests. */
static void
rebind_with_request(struct world *world)
{
    static TCP_OFFLOAD_STATS tcp;

    world->target.pend_oids = true;
    EXPECT(world, bh_query_oid(&world->host, OID_TCP6_OFFLOAD_STATS, &tcp, sizeof(tcp)) ==
                      NDIS_STATUS_PENDING);
    unbind_and_bind(world, step_lend(world));
}

/* The house goes down with a connection below, in the middle of everything. */
static void
leave(struct world *world)
{
    struct bh_conn *conn = step_conn(world, world->p4);

    step_offload(world, conn);
    bh_send(conn, 2, 1, 100);
    bh_post(conn, 100, true, 0);
    nic_data(&world->target, conn->port, 40, false);
    nic_frames(&world->target, 2);
}

const struct step steps_end[] = {
    {"graceful disconnect", graceful},
    {"the peer closes", peer_closes},
    {"FIN behind data", fin_behind_data},
    {"abortive disconnect", abortive},
    {"reset by the peer", reset_by_peer},
    {"disconnect given back", disconnect_given_back},
    {"pause and resume", pause_and_resume},
    {"upload all", upload_all},
    {"power", power},
    {"no memory between", no_memory_between},
    {"failing bind between", failing_bind_between},
    {"rebind", rebind},
    {"rebind with a request", rebind_with_request},
    {"leave", leave},
    {NULL, NULL},
};
