/*
 * What a seed means. Everything is drawn here, before anything runs, so a plan can be read; what is
 * drawn later (chunks, moments) comes from generators that are seeded here.
 */
#include "base/hash.h"
#include "sim.h"

#include <stdio.h>
#include <string.h>

static uint32_t
between(struct random *random, uint32_t low, uint32_t high)
{
    return low + random_below(random, high - low + 1);
}

static bool
one_in(struct random *random, uint32_t n)
{
    return random_below(random, n) == 0;
}

/* ---- floors ---- */

/* What the driver fault does; the loose ones treat frames so that their order is not ours. */
static const struct {
    const char *script;
    bool loose;
} faults[] = {
    {"initiate refuse tcp 30%", false},
    {"initiate every 3 fail", false},
    {"initiate refuse path 20%;initiate refuse neighbor 10%", false},
    {"complete initiate delay 3ms", false},
    {"complete terminate delay 7ms", false},
    {"complete send delay 5ms", false},
    {"complete send inline", false},
    {"complete send delay 20ms 10%;complete send inline 50%", false},
    {"complete initiate reorder;complete terminate reorder", false},
    {"complete query delay 2ms;complete update delay 3ms", false},
    {"send 10% no-memory", false},
    {"send every 5 no-memory;complete send delay 3ms", false},
    {"request-upload HighDropRate after 50 segments", false},
    {"request-upload UploadRequested after 30 segments", false},
    {"request-upload HardwareFailure after 20 segments", false},
    {"frames out drop 3%;frames in drop 3%", true},
    {"frames in duplicate 20%", true},
    {"frames out reorder 5%;frames in reorder 5%", true},
    {"frames in delay 2ms 30%;frames out delay 1ms 30%", true},
};

static void
add_floor(struct sim_plan *plan, const char *text)
{
    size_t used = strlen(plan->floors);

    snprintf(plan->floors + used, sizeof plan->floors - used, "%s%s", used ? "," : "", text);
}

static void
draw_floors(struct sim_plan *plan, struct random *random)
{
    unsigned floors = random_below(random, 4);
    char text[256];

    for (unsigned i = 0; i < floors; i++) {
        uint32_t kind = random_below(random, 6);
        if (kind < 3) {
            uint32_t which = random_below(random, sizeof faults / sizeof faults[0]);
            snprintf(text, sizeof text, "fault:Script=seed %u;%s", random_below(random, 1000),
                     faults[which].script);
            plan->loose |= faults[which].loose;
            add_floor(plan, text);
        } else if (kind == 3 && !plan->vlan) {
            plan->vlan = (uint16_t)between(random, 1, 4094);
            snprintf(text, sizeof text, "vlan:Id=%u", plan->vlan);
            add_floor(plan, text);
        } else {
            add_floor(plan, "passthru");
        }
    }
    plan->late = one_in(random, 8);
    plan->deaf_target = one_in(random, 10);
}

/* ---- the wire ---- */

static void
draw_wire(struct sim_plan *plan, struct random *random)
{
    static const uint32_t delays_us[] = {0, 50, 500, 2000, 10000};
    static const uint32_t marks_ppm[] = {500, 5000, 50000, 400000};
    uint32_t kind = random_below(random, 10);

    plan->mtu = one_in(random, 4) ? (uint16_t)between(random, 576, 1500) : 1500;
    plan->exact = kind <= 3;
    plan->corrupt_ppm = kind == 9 ? 10000 : 0;
    for (unsigned i = 0; i < 2; i++) {
        struct wire_mem_impair *impair = &plan->impair[i];
        impair->seed = random_u64(random);
        impair->segment_gso = 1;
        impair->delay_us = delays_us[random_below(random, 5)];
        impair->bits_per_second = one_in(random, 2) ? 0 : 10000000ull << random_below(random, 8);
        if (plan->exact)
            continue;
        impair->loss_ppm = one_in(random, 3) ? 0 : between(random, 100, 60000);
        impair->duplicate_ppm = one_in(random, 2) ? 0 : between(random, 100, 50000);
        impair->reorder_ppm = one_in(random, 2) ? 0 : between(random, 100, 150000);
        impair->reorder_delay_us = between(random, 100, 6000);
        impair->queue_bytes = one_in(random, 3) ? between(random, 20000, 200000) : 0;
    }
    for (unsigned i = 0; i < 2; i++)
        plan->mark_ppm[i] = one_in(random, 4) ? 0 : marks_ppm[random_below(random, 4)];
}

/* ---- a connection ---- */

static uint32_t
draw_seq(struct random *random)
{
    switch (random_below(random, 3)) {
    case 0:
        return 0u - random_below(random, 100000);
    case 1:
        return 0x80000000u - random_below(random, 100000);
    default:
        return random_u32(random);
    }
}

static void
draw_talk(struct sim_talk *talk, struct random *random)
{
    static const uint32_t sizes[] = {0, 1, 5000, 60000, 300000};
    uint32_t most = sizes[random_below(random, 5)];

    talk->bytes = most ? between(random, 1, most) : 0;
    if (one_in(random, 2)) {
        talk->part_min = 1;
        talk->part_max = one_in(random, 2) ? 200 : 6000;
        talk->gap_min_us = 10;
        talk->gap_max_us = one_in(random, 3) ? 100000 : 3000;
        if (talk->bytes > 200ull * talk->part_max)
            talk->bytes = 200ull * talk->part_max;
    }
    talk->pauses = one_in(random, 3) ? between(random, 1, 5) : 0;
    talk->pause_max_us = one_in(random, 4) ? 3000000 : 100000;
}

static void
draw_options(struct sim_conn_plan *conn, const struct sim_plan *plan, struct random *random)
{
    struct script_options *host = &conn->host;
    bool scaling = !one_in(random, 4);

    host->ipv6 = one_in(random, 3) && plan->mtu >= 1280; /* RFC 8200, 5 */
    host->no_timestamps = one_in(random, 4);
    host->no_sack = one_in(random, 4);
    host->no_scaling = !scaling;
    host->snd_wscale = scaling ? (uint8_t)random_below(random, 9) : 0;
    host->rcv_wscale = scaling ? (uint8_t)random_below(random, 9) : 0;
    host->mtu = plan->mtu;
    host->receive_buffer = one_in(random, 3) ? between(random, 2000, 12000)
                                             : between(random, 30000, 65535);
    if (scaling && host->rcv_wscale >= 3 && one_in(random, 3))
        host->receive_buffer *= 4;
    host->send_buffer = one_in(random, 3) ? between(random, 4000, 30000) : 262144;
    host->snd_seq = draw_seq(random);
    host->rcv_seq = draw_seq(random);
    host->ts_offset = draw_seq(random);
    host->ts_recent = draw_seq(random);
    host->superframes = one_in(random, 2);
    host->receive = (enum script_receive)random_below(random, 4);
    host->hold_us = between(random, 1, 20000);
    host->ack_returned = host->receive == SCRIPT_HOLD && !one_in(random, 3);
}

static void
draw_peer(struct sim_conn_plan *conn, const struct sim_plan *plan, unsigned number,
          struct random *random)
{
    struct script_options *host = &conn->host;
    struct peer_options *peer = &conn->peer;
    uint32_t neighbor = random_below(random, 3);

    host->local[0] = host->peer[0] = host->ipv6 ? 0xfd : 10;
    host->local[host->ipv6 ? 15 : 3] = 1;
    host->peer[host->ipv6 ? 15 : 3] = (uint8_t)(2 + neighbor);
    memcpy(host->peer_mac, (uint8_t[6]){2, 0, 0, 0, 0, (uint8_t)(2 + neighbor)}, 6);
    host->local_port = (uint16_t)(40000 + number);
    host->peer_port = 443;
    peer->path = (struct peer_path){.ipv6 = host->ipv6,
                                    .local_port = host->peer_port,
                                    .remote_port = host->local_port,
                                    .vlan = plan->vlan};
    memcpy(peer->path.local, host->peer, 16);
    memcpy(peer->path.remote, host->local, 16);
    memcpy(peer->path.local_mac, host->peer_mac, 6);
    peer->snd_seq = peer->snd_max = host->rcv_seq;
    peer->rcv_seq = host->snd_seq;
    peer->snd_wscale = host->rcv_wscale;
    peer->rcv_wscale = host->snd_wscale;
    peer->timestamps = !host->no_timestamps;
    peer->sack = !host->no_sack;
    peer->mss = (uint16_t)(plan->mtu - (host->ipv6 ? 60 : 40));
    peer->receive_buffer = one_in(random, 3) ? between(random, 2000, 12000)
                                             : between(random, 30000, 65535);
    peer->window = host->receive_buffer;
    peer->ts_offset = host->ts_recent;
    peer->ts_recent = host->ts_offset;
    host->peer_window = peer->receive_buffer;
}

static void
draw_moves(struct sim_conn_plan *conn, struct random *random)
{
    static const uint32_t spans_us[] = {300, 3000, 20000, 200000};
    uint32_t span = spans_us[random_below(random, 4)];

    conn->moves = one_in(random, 8) ? 0 : between(random, 1, 100);
    conn->move_min_us = between(random, 1, span);
    conn->move_max_us = conn->move_min_us + span;
    conn->move_frames = one_in(random, 3) ? between(random, 1, 40) : 0;
}

/* With ECN but without the extension, on either side, it stays at home: the documented state has no
 * place for what has to go on. */
static void
draw_ecn(struct sim_conn_plan *conn, struct random *random)
{
    conn->host.ecn = conn->peer.ecn = one_in(random, 3);
    conn->host.extended = conn->host.ecn ? !one_in(random, 8) : one_in(random, 4);
}

static void
draw_conn(struct sim_plan *plan, unsigned number, struct random *random)
{
    struct sim_conn_plan *conn = &plan->conn[number];

    conn->seed = random_u64(random);
    draw_options(conn, plan, random);
    draw_peer(conn, plan, number, random);
    draw_talk(&conn->out, random);
    draw_talk(&conn->in, random);
    conn->end = one_in(random, 6) ? (enum sim_end)between(random, SIM_STAYS_OPEN, SIM_ENDS - 1)
                                  : (enum sim_end)random_below(random, SIM_STAYS_OPEN);
    conn->abort_us = between(random, 1, 300000);
    draw_moves(conn, random);
    if (!plan->loose && one_in(random, 2))
        conn->forgeries = between(random, 1, 20);
    draw_ecn(conn, random);
}

/* What is acknowledged when it is returned, and readers that do not pause: then the applications
 * know all that a kernel would. */
static void
kill(struct sim_plan *plan, unsigned crossing)
{
    plan->kill_at = crossing;
    for (unsigned i = 0; i < plan->conns; i++) {
        struct sim_conn_plan *conn = &plan->conn[i];
        conn->host.receive = SCRIPT_HOLD;
        conn->host.ack_returned = true;
        conn->in.pauses = 0;
        if (conn->end == SIM_WE_ABORT || conn->end == SIM_PEER_ABORTS)
            conn->end = SIM_BOTH_CLOSE;
    }
}

/* Two wires lose what one does not. The owner of one of these is not killed. */
static void
draw_team(struct sim_plan *plan, struct random *random)
{
    static const uint32_t spans_us[] = {3000, 20000, 200000};

    if (plan->kill_at || !one_in(random, 6))
        return;
    plan->team = one_in(random, 2) ? SIM_TEAM_BACKUP : SIM_TEAM_HASH;
    add_floor(plan, plan->team == SIM_TEAM_BACKUP ? "team:Mode=backup" : "team:Mode=hash");
    plan->crossed = one_in(random, 2);
    plan->pulls = between(random, 1, 60);
    plan->pull_max_us = spans_us[random_below(random, 3)];
    plan->exact = false;
}

/* Who has moved does not hear what is still sent to where it was. */
static void
draw_changes(struct sim_plan *plan, struct random *random)
{
    static const uint32_t spans_us[] = {2000, 10000, 100000};

    if (!one_in(random, 2))
        return;
    for (unsigned i = 0; i < plan->conns; i++) {
        plan->conn[i].changes = random_below(random, 30);
        plan->conn[i].change_max_us = spans_us[random_below(random, 3)];
        plan->exact &= !plan->conn[i].changes;
    }
}

/* How what crosses the staircase lies in memory, and when the wire reads it, which nobody outside
 * can see. Of a generator of its own: what the other seeds mean does not depend on it. */
static void
draw_memory(struct sim_plan *plan, struct random *random)
{
    static const uint32_t pieces[] = {100, 1000, 3000, 20000};

    for (unsigned i = 0; i < plan->conns; i++)
        if (one_in(random, 2))
            plan->conn[i].host.piece_bytes = between(random, 1, pieces[random_below(random, 4)]);
    plan->impair[0].borrow = one_in(random, 2);
}

/* A wire that does not always take what is sent. Who goes on after a kill does not wait for one,
 * and two of them would change the order of things. */
static void
draw_stalls(struct sim_plan *plan, struct random *random)
{
    static const uint32_t stalls_us[] = {1, 100, 2000};

    if (!one_in(random, 4) || plan->calm.on || plan->kill_at || plan->team)
        return;
    plan->impair[0].stall_frames = between(random, 1, 60);
    plan->impair[0].stall_us = between(random, 1, stalls_us[random_below(random, 3)]);
    plan->exact = false; /* what has waited for it when a connection moves is lost */
}

/* Nobody gives up who has a peer. */
static void
draw_tuning(struct sim_plan *plan, struct random *random)
{
    plan->tuning = (struct host_tuning){.delayed_ack_ms = 40, .retransmissions = 15};
    if (one_in(random, 2))
        plan->tuning.delayed_ack_ms = between(random, 2, 100);
    if (plan->calm.deserted)
        plan->tuning.retransmissions = (uint8_t)between(random, 6, 15);
}

void
sim_plan_make(struct sim_plan *plan, uint64_t seed, unsigned kill_at)
{
    struct random random;

    memset(plan, 0, sizeof *plan);
    plan->seed = seed;
    /* neighbours among seeds must not be neighbours in the generator's sequence */
    random_init(&random, hash_mix(seed ^ HASH_ODD_2, HASH_ODD_1));
    draw_floors(plan, &random);
    draw_wire(plan, &random);
    plan->conns = one_in(&random, 3) ? between(&random, 1, SIM_CONNS_MAX) : 1;
    for (unsigned i = 0; i < plan->conns; i++)
        draw_conn(plan, i, &random);
    if (kill_at)
        kill(plan, kill_at);
    else if (one_in(&random, 6))
        kill(plan, between(&random, 1, one_in(&random, 2) ? 300 : 5000));
    draw_team(plan, &random);
    draw_changes(plan, &random);
    if (!kill_at)
        sim_calm_draw(plan);
    random_init(&random, hash_mix(seed ^ HASH_ODD_2, HASH_ODD_2));
    draw_memory(plan, &random);
    draw_stalls(plan, &random);
    draw_tuning(plan, &random);
    sim_limits_draw(plan);
}

void
sim_plan_print(const struct sim_plan *plan)
{
    static const char *const ends[] = {"both close", "we close first", "peer closes first",
                                       "stays open", "we abort",       "peer aborts"};
    static const char *const receives[] = {"accept", "hold", "post", "nibble"};

    printf("seed %llu:%s floors \"%s\"%s, MTU %u, loss %u/%u ppm, duplicates %u/%u, reorder %u/%u, "
           "corrupt %u, marks %u/%u, delay %u/%u us%s, killed at crossing %u, %u times a "
           "cable\n",
           (unsigned long long)plan->seed,
           plan->calm.deserted ? " calm, deserted,"
           : plan->calm.on     ? " calm,"
                               : "",
           plan->floors, plan->late ? " late" : "", plan->mtu, plan->impair[0].loss_ppm,
           plan->impair[1].loss_ppm, plan->impair[0].duplicate_ppm, plan->impair[1].duplicate_ppm,
           plan->impair[0].reorder_ppm, plan->impair[1].reorder_ppm, plan->corrupt_ppm,
           plan->mark_ppm[0], plan->mark_ppm[1], plan->impair[0].delay_us, plan->impair[1].delay_us,
           plan->deaf_target ? ", no extension" : "", plan->kill_at, plan->pulls);
    if (plan->limit.keyword)
        printf("  %s is %u\n", plan->limit.keyword, plan->limit.value);
    for (unsigned i = 0; i < plan->conns; i++) {
        const struct sim_conn_plan *conn = &plan->conn[i];
        printf("  %u: IPv%u%s%s%s%s%s, %s%s, buffers %u %u, out %llu in %llu bytes, %s, moves %u, "
               "forgeries %u, changes %u\n",
               i, conn->host.ipv6 ? 6 : 4, conn->host.no_timestamps ? "" : " ts",
               conn->host.no_sack ? "" : " sack", conn->host.no_scaling ? "" : " ws",
               conn->host.ecn ? " ecn" : "", conn->host.extended ? " extended" : "",
               receives[conn->host.receive], conn->host.ack_returned ? " ack=returned" : "",
               conn->host.receive_buffer, conn->peer.receive_buffer,
               (unsigned long long)conn->out.bytes, (unsigned long long)conn->in.bytes,
               ends[conn->end], conn->moves, conn->forgeries, conn->changes);
    }
}
