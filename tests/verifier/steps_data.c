/* Data of connections that are down: sends, indications, requests, forwarded segments. */
#include "scenario.h"

/* ---- sends ---- */

static void
sends(struct world *world)
{
    struct bad_target *target = &world->target;
    struct bh_conn *a = world->a;

    step_say(world, a, 100);
    bh_send(a, 3, 1, 50); /* a list */
    world_settle(world);
    nic_ack(target, a->port, 60);
    world_settle(world);
    EXPECT(world, a->sent == 2);
    nic_ack(target, a->port, 90);
    world_settle(world);
    EXPECT(world, a->sent == 4);
    bh_send(a, 2, 3, 40); /* several buffers */
    world_settle(world);
    nic_ack(target, a->port, 150);
    world_settle(world);
    EXPECT(world, a->sent == 5);
    nic_ack(target, a->port, 90);
    world_settle(world);
    EXPECT(world, a->sent == 6 && a->acked == 490 && list_empty(&a->sends));
}

static void
window(struct world *world)
{
    struct bh_conn *a = world->a;
    unsigned events = a->events[TcpIndicateSendBacklogChange], sent = a->sent;

    nic_window(&world->target, a->port, 30);
    world_settle(world);
    EXPECT(world, a->events[TcpIndicateSendBacklogChange] == events + 1 && a->backlog == 30);
    bh_send(a, 1, 1, 100);
    for (unsigned i = 0; i < 4; i++) { /* 30, 30, 30, 10 */
        world_settle(world);
        EXPECT(world, a->sent == sent);
        nic_ack(&world->target, a->port, 1000);
        world_pass(world, 100);
    }
    EXPECT(world, a->sent == sent + 1);
    nic_window(&world->target, a->port, 60000);
    world_settle(world);
}

/* Completions of two connections in one list (P25). */
static void
sends_of_two(struct world *world)
{
    struct bh_conn *a = world->a, *b = world->b;
    unsigned sent_a = a->sent, sent_b = b->sent;

    bh_send(a, 1, 1, 10);
    bh_send(b, 2, 1, 20);
    bh_send(a, 1, 1, 30);
    world_settle(world);
    nic_ack(&world->target, a->port, 40);
    nic_ack(&world->target, b->port, 40);
    world_settle(world);
    EXPECT(world, a->sent == sent_a + 2 && b->sent == sent_b + 2);
}

/* ---- indications ---- */

static void
accepted(struct world *world)
{
    unsigned indications = world->a->indications;

    step_hear(world, world->a, 100);
    step_hear(world, world->a, 1);
    EXPECT(world, world->a->indications == indications + 2);
    EXPECT(world, list_empty(&world->target.lent)); /* returned */
}

/* Nothing is indicated again before something is posted, if only a request of no bytes. */
static void
refused(struct world *world)
{
    struct bh_conn *a = world->a;
    ULONG before = a->receive_seq;
    unsigned received = a->received;

    a->take = 0;
    nic_data(&world->target, a->port, 100, false);
    world_settle(world);
    EXPECT(world, a->refusals == 1);
    nic_data(&world->target, a->port, 50, true);
    world_settle(world);
    EXPECT(world, a->refusals == 1 && a->receive_seq == before);
    a->take = BH_TAKE_ALL;
    bh_post(a, 0, false, 0);
    world_settle(world);
    EXPECT(world, a->received == received + 1 && a->last_received == 0);
    EXPECT(world, a->receive_seq == before + 150);
}

static void
partly_accepted(struct world *world)
{
    struct bh_conn *a = world->a;
    ULONG before = a->receive_seq;

    a->take = 30;
    nic_data(&world->target, a->port, 100, false);
    world_settle(world);
    EXPECT(world, a->receive_seq == before + 30);
    EXPECT(world, step_query(world, a)->ReceiveBacklogSize == 70);
    a->take = BH_TAKE_ALL;
    bh_post(a, 20, false, 0);
    world_settle(world);
    EXPECT(world, a->last_received == 20 && a->receive_seq == before + 100);
}

static void
post_inside(struct bh_conn *conn)
{
    bh_post(conn, 60, false, 0);
}

/* Refused, but a request was posted inside the call: it is filled. */
static void
refused_but_posted(struct world *world)
{
    struct bh_conn *a = world->a;
    ULONG before = a->receive_seq;

    a->take = 0;
    a->on_indicate = post_inside;
    nic_data(&world->target, a->port, 60, false);
    world_settle(world);
    EXPECT(world, a->receive_seq == before + 60 && a->last_received == 60);
    a->take = BH_TAKE_ALL;
}

/* Indications of two connections go back in one list (V-112). */
static void
returned_together(struct world *world)
{
    world->host.keep = true;
    step_hear(world, world->a, 10);
    step_hear(world, world->b, 20);
    step_hear(world, world->a, 30);
    EXPECT(world, world->host.held_count == 3);
    bh_return_all(&world->host);
    world->host.keep = false;
    EXPECT(world, list_empty(&world->target.lent));
}

/* ---- requests ---- */

static void
push_requests(struct world *world)
{
    struct bad_target *target = &world->target;
    struct bh_conn *a = world->a;
    unsigned received = a->received;

    bh_post(a, 100, false, 0);
    nic_data(target, a->port, 100, false); /* full */
    world_settle(world);
    EXPECT(world, a->received == received + 1 && a->last_received == 100);
    bh_post(a, 100, false, 0);
    nic_data(target, a->port, 40, false);
    world_settle(world);
    EXPECT(world, a->received == received + 1);
    nic_data(target, a->port, 20, true); /* PSH */
    world_settle(world);
    EXPECT(world, a->received == received + 2 && a->last_received == 60);
}

/* 500 ms, restarted by new data. */
static void
push_timer(struct world *world)
{
    struct bh_conn *a = world->a;
    unsigned received = a->received;

    bh_post(a, 100, false, 0);
    nic_data(&world->target, a->port, 40, false);
    world_pass(world, 300);
    nic_data(&world->target, a->port, 10, false);
    world_pass(world, 300);
    EXPECT(world, a->received == received);
    world_pass(world, 300);
    EXPECT(world, a->received == received + 1 && a->last_received == 50);
}

static void
no_push_requests(struct world *world)
{
    struct bh_conn *a = world->a;
    ULONG before = a->receive_seq;
    unsigned received = a->received;

    bh_post(a, 100, true, 0);
    nic_data(&world->target, a->port, 40, true);
    world_pass(world, 1000);
    EXPECT(world, a->received == received);
    nic_data(&world->target, a->port, 100, false);
    world_settle(world);
    EXPECT(world, a->received == received + 1 && a->last_received == 100);
    EXPECT(world, a->receive_seq == before + 140); /* the rest was indicated */
    bh_post(a, 20, true, 10);                      /* ten bytes are there already */
    nic_data(&world->target, a->port, 20, false);
    world_settle(world);
    EXPECT(world, a->received == received + 2 && a->last_received == 20);
}

static void
request_lists(struct world *world)
{
    struct bh_conn *a = world->a;
    unsigned received = a->received;

    bh_post_list(a, 3, 10);
    nic_data(&world->target, a->port, 25, true);
    world_settle(world);
    EXPECT(world, a->received == received + 3 && a->last_received == 5);
    a->repost = 10; /* posts inside completions */
    bh_post(a, 10, false, 0);
    nic_data(&world->target, a->port, 30, false);
    world_settle(world);
    EXPECT(world, a->received == received + 6);
    a->repost = 0;
    nic_data(&world->target, a->port, 10, false);
    world_settle(world);
    EXPECT(world, a->received == received + 7 && list_empty(&a->posts));
}

/* ---- forward ---- */

static void
forwarded(struct world *world)
{
    struct bh_conn *a = world->a;
    unsigned received = a->received;

    bh_post(a, 50, false, 0);
    bh_forward(a, 50);
    EXPECT(world, a->forwarded == 0);
    world_settle(world);
    EXPECT(world, a->forwarded == 1 && a->received == received + 1 && a->last_received == 50);
    step_hear(world, a, 10);
}

/* V-181: of what was offloaded only, and zero after a set. */
static void
statistics(struct world *world)
{
    TCP_OFFLOAD_STATS tcp = {.InSegments = 0};

    EXPECT(world, bh_query_oid(&world->host, OID_TCP4_OFFLOAD_STATS, &tcp, sizeof(tcp)) ==
                      NDIS_STATUS_SUCCESS);
    EXPECT(world, tcp.InSegments > 10 && tcp.OutSegments > 5);
    EXPECT(world, bh_set_oid(&world->host, OID_TCP4_OFFLOAD_STATS, &tcp, sizeof(tcp)) ==
                      NDIS_STATUS_SUCCESS);
    EXPECT(world, bh_query_oid(&world->host, OID_TCP4_OFFLOAD_STATS, &tcp, sizeof(tcp)) ==
                      NDIS_STATUS_SUCCESS);
    EXPECT(world, tcp.InSegments == 0 && tcp.OutSegments == 0);
}

const struct step steps_data[] = {
    {"sends", sends},
    {"window", window},
    {"sends of two", sends_of_two},
    {"accepted", accepted},
    {"refused", refused},
    {"partly accepted", partly_accepted},
    {"refused but posted", refused_but_posted},
    {"returned together", returned_together},
    {"push requests", push_requests},
    {"push timer", push_timer},
    {"no-push requests", no_push_requests},
    {"request lists", request_lists},
    {"forwarded", forwarded},
    {"statistics", statistics},
    {NULL, NULL},
};
