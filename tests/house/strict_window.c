/*
 * The congestion window in bounds: slow start with appropriate byte counting from ten segments (RFC
 * 5681, 3.1; 6928; 3465), then CUBIC (RFC 9438) with C = 0.4 and beta = 0.7, in floating point. The
 * upper bound goes by real time, the lower one only grows while the window is what limits the
 * sender.
 */
#include "strict.h"

#include <math.h>

#define BETA 0.7
#define C 0.4
#define ALPHA (3 * (1 - BETA) / (1 + BETA))

static double
initial_window(double mss)
{
    return fmin(10 * mss, fmax(2 * mss, 14600));
}

void
strict_window_init(struct strict_window *window, double mss)
{
    double initial = initial_window(mss);

    *window = (struct strict_window){
        .most = initial, .least = initial, .ssthresh_most = INFINITY, .ssthresh_least = INFINITY};
}

/* RFC 9438, 4.2, figure 1 */
static double
cubic(double w_max, double start, double t_us, double mss)
{
    double top = fmax(w_max, start);
    double k = cbrt((top - start) / mss / C), t = t_us / 1e6;

    return C * pow(t - k, 3) * mss + top;
}

static double
reno(double estimate, double acked, double window, double prior, double mss)
{
    return estimate + (estimate < prior ? ALPHA : 1) * mss * acked / window;
}

static void
avoid_congestion(struct strict_window *window, double acked, double mss, bool limited,
                 uint64_t now_us, uint64_t rtt_least_us, uint64_t rtt_most_us)
{
    double t_us, behind_us = 3.0 * (double)rtt_most_us, most, least;

    if (!window->epoch_us) {
        window->epoch_us = window->last_us = now_us;
        window->used_us = 0;
        window->w_est_most = window->most;
        window->w_est_least = window->least;
    }
    if (limited) /* of an idle time a round trip */
        window->used_us += fmin((double)(now_us - window->last_us), (double)rtt_least_us);
    window->last_us = now_us;
    t_us = (double)(now_us - window->epoch_us);
    window->w_est_most = reno(window->w_est_most, acked, window->least, window->prior, mss);
    most = fmax(cubic(window->w_max, window->ssthresh_most, t_us + (double)rtt_most_us, mss),
                window->w_est_most);
    window->most = fmax(window->most, fmin(most, 1.5 * window->most));
    if (!limited)
        return;
    window->w_est_least = reno(window->w_est_least, acked, window->most, window->prior, mss);
    t_us = window->used_us > behind_us ? window->used_us - behind_us : 0;
    least = fmax(0.97 * cubic(window->w_max_least, window->ssthresh_least, t_us, mss),
                 window->w_est_least);
    window->least = fmin(fmax(window->least, least), window->most);
}

void
strict_window_grow(struct strict_window *window, double acked, bool again, double mss, bool limited,
                   uint64_t now_us, uint64_t rtt_least_us, uint64_t rtt_most_us)
{
    bool avoiding = window->most >= window->ssthresh_most;

    if (avoiding && window->least >= window->ssthresh_least) {
        avoid_congestion(window, acked, mss, limited, now_us, rtt_least_us, rtt_most_us);
        return;
    }
    if (again) /* RFC 3465, 2.3: L is one segment */
        acked = fmin(acked, mss);
    window->most = fmin(window->most + acked, fmax(window->ssthresh_most, window->most));
    if (limited)
        window->least = fmin(fmin(window->least + acked, window->most), window->ssthresh_least);
}

/* tcp.h: halved for each timeout that it was idle; 5681, 4.1: down to the initial window. */
void
strict_window_idle(struct strict_window *window, double mss, uint64_t idle_us,
                   uint64_t rto_least_us, uint64_t rto_most_us)
{
    double initial = initial_window(mss), before = window->most;
    uint64_t often = idle_us / rto_least_us, seldom = idle_us ? (idle_us - 1) / rto_most_us : 0;

    if (idle_us < rto_least_us || before <= initial)
        return;
    window->least = fmin(window->least, fmax(initial, window->least / exp2((double)often)));
    window->used_us = 0;
    window->w_est_least = window->least;
    window->ssthresh_most = fmax(window->ssthresh_most, 0.75 * before);
    if (idle_us <= rto_most_us)
        return;
    window->most = fmax(initial, before / exp2((double)seldom));
    window->epoch_us = 0;
}

/* RFC 9438, 4.6 and 4.7 */
void
strict_window_reduce(struct strict_window *window, double flight, double mss)
{
    double before = fmin(flight, window->most), least = fmin(flight, window->least);

    window->ssthresh_most = fmax(BETA * before, 2 * mss) + 1;
    window->ssthresh_least = fmax(BETA * least, 2 * mss) - 1;
    window->w_max = before < window->w_max ? before * (1 + BETA) / 2 : before;
    window->w_max_least = least < window->w_max ? least * (1 + BETA) / 2 : least;
    window->prior = before;
    window->epoch_us = 0;
}

/* A tail probe has repaired it (RFC 8985, 7.4), or not: its sender sees which copy arrived. */
void
strict_window_doubt(struct strict_window *window, double flight, double mss)
{
    double least = fmax(BETA * fmin(flight, window->least), 2 * mss) - 1;

    window->ssthresh_least = fmin(window->ssthresh_least, least);
    window->least = fmin(window->least, least);
    window->w_max_least = fmin(window->w_max_least, least);
    window->epoch_us = 0;
}

void
strict_window_recovered(struct strict_window *window)
{
    window->most = window->ssthresh_most;
    window->least = window->ssthresh_least;
}

/* RFC 5681, 3.1: one segment, and slow start. 9438, 4.8: then a curve without a top. */
void
strict_window_timeout(struct strict_window *window, double mss)
{
    window->most = window->least = mss;
    window->w_max = window->w_max_least = 0;
    window->epoch_us = 0;
}

void
strict_window_moved(struct strict_window *window, double mss)
{
    double most = window->ssthresh_most / BETA, least = window->ssthresh_least / BETA;

    if (isinf(window->ssthresh_most))
        return;
    if (window->most >= window->ssthresh_most) /* what was acknowledged of a window counts anew */
        window->least = fmax(window->least - mss, mss);
    window->w_max = fmax(window->w_max, most);
    window->w_max_least = least;
    window->prior = least;
    window->epoch_us = 0;
}
