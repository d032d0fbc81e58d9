/*
 * One run: the house of a plan is built, its connections live, everything is taken down, and
 * nothing may be left. See sim.h.
 */
#include "sim.h"
#include "chimney/trace.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_US (1200 * SIM_SECOND)
#define GIVEN_UP_US (3000 * SIM_SECOND) /* behind 15 retransmissions 120 s apart */
#define TURNS_MAX 100000                /* at one moment */

_Noreturn void
sim_fail(const struct sim *sim, const char *format, ...)
{
    va_list list;

    fprintf(stderr, "seed %llu, %llu us, frame %llu: ", (unsigned long long)sim->plan.seed,
            (unsigned long long)(sim->stage.loop ? sys_loop_now_us(sim->stage.loop) : 0),
            (unsigned long long)sim->frames);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    if (sim->trace)
        trace_flush(sim->trace);
    fflush(NULL);
    _exit(1);
}

static bool
all_done(void *arg)
{
    struct sim *sim = arg;
    uint64_t now_us = sys_loop_now_us(sim->stage.loop);

    if (sim->stage.complaints)
        sim_fail(sim, "a complaint");
    sim->turns = now_us == sim->turn_us ? sim->turns + 1 : 0;
    sim->turn_us = now_us;
    if (sim->turns > TURNS_MAX)
        sim_fail(sim, "time stands still");
    if (sim->dead && !sim->revived)
        return true;
    for (unsigned i = 0; i < sim->plan.conns; i++)
        sim_house_watch(&sim->conns[i]);
    for (unsigned i = 0; i < sim->plan.conns; i++)
        if (!sim_conn_done(&sim->conns[i]))
            return false;
    return true;
}

static void
tell_stuck(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->plan.conns; i++) {
        const struct sim_conn *conn = &sim->conns[i];
        if (!sim_conn_done(conn))
            sim_fail(
                sim,
                "conn %u: no end: out %llu of %llu written %llu, in %llu of %llu, ended %d %d, "
                "%s",
                i, (unsigned long long)conn->received_out,
                (unsigned long long)conn->plan->out.bytes, (unsigned long long)conn->written,
                (unsigned long long)conn->received_in, (unsigned long long)conn->plan->in.bytes,
                conn->host_ended, conn->peer->end, sim_conn_inside(conn));
    }
}

static void
live(struct sim *sim, struct sim_figures *figures)
{
    for (unsigned i = 0; i < sim->plan.conns; i++)
        sim_conn_open(sim, i);
    if (!stage_run(&sim->stage, all_done, sim, sim->plan.calm.deserted ? GIVEN_UP_US : LIMIT_US))
        tell_stuck(sim);
    if (sim->dead) {
        sim_kill_revive(sim, figures);
        if (!stage_run(&sim->stage, all_done, sim, LIMIT_US))
            tell_stuck(sim);
    }
    for (unsigned i = 0; i < sim->plan.conns; i++)
        sim_conn_check(&sim->conns[i]);
    sim_team_rest(sim);
    for (unsigned i = 0; i < sim->plan.conns; i++)
        sim_conn_bring_home(&sim->conns[i]);
    for (unsigned i = 0; i < sim->plan.conns; i++)
        sim_conn_close(&sim->conns[i], figures);
    sim_query_counters(sim);
}

static uint64_t
live_once(const struct sim_order *order, struct sim_figures *figures)
{
    struct sim *sim = calloc(1, sizeof *sim);
    struct stage_options options = {.impaired = true, .bare = true, .open_end = true};
    struct house_option target[3];
    const char *trace = order->trace;
    char floors[1024], limit[16];
    uint64_t fingerprint;

    if (!sim)
        abort();
    sim->verbose = order->verbose;
    sim_plan_make(&sim->plan, order->seed, order->kill_at);
    sim_lwip_adapt(&sim->plan);
    snprintf(floors, sizeof floors, "%s%s%s%s", trace ? "trace:File=" : "", trace ? trace : "",
             trace && *sim->plan.floors ? "," : "", sim->plan.floors);
    options.observer = sim_kill_observer(sim);
    options.floors = floors;
    options.mtu = 1500;
    sim_limits_options(&sim->plan, target, limit);
    options.target = target->name ? target : NULL;
    options.tuning = &sim->plan.tuning;
    options.late = sim->plan.late;
    options.corrupt = true; /* and segments are forged */
    memcpy(options.impair, sim->plan.impair, sizeof options.impair);
    stage_open(&sim->stage, &options);
    sim_wire_open(sim);
    sim_team_open(sim);
    if (trace)
        sim->trace = trace_join(sim->stage.top, sim->stage.ends[LEFT]);
    live(sim, figures);
    if (sim->trace)
        trace_leave(sim->trace);
    sim_team_close(sim, figures);
    figures->invalidated += sim->invalidated;
    figures->answered += sim->answered;
    stage_close(&sim->stage);
    figures->frames += sim->frames;
    fingerprint = sim->fingerprint;
    free(sim);
    figures->runs++;
    return fingerprint;
}

/* Nothing stays of the heap when nobody lives in the house any more, but what is made once: the
 * same again must find that, and be the same. */
uint64_t
sim_run(const struct sim_order *order, struct sim_figures *figures)
{
    size_t before = mallinfo2().uordblks, settled;
    uint64_t fingerprint = live_once(order, figures);
    const struct sim_order again = {.seed = order->seed, .kill_at = order->kill_at};
    unsigned long long seed = order->seed;
    struct sim_figures unused = {0};

    settled = mallinfo2().uordblks;
    if (settled <= before)
        return fingerprint;
    if (live_once(&again, &unused) != fingerprint) {
        fprintf(stderr, "seed %llu: another run is another\n", seed);
    } else if (mallinfo2().uordblks > settled) {
        fprintf(stderr, "seed %llu: %zu bytes are not given back\n", seed,
                mallinfo2().uordblks - settled);
    } else {
        return fingerprint;
    }
    fflush(NULL);
    _exit(1);
}
