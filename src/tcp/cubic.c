/*
 * CUBIC: in congestion avoidance the window follows a cubic curve through the size at which the
 * network was last full (w_max), flat around it and steep away from it, whatever the round trip.
 * Two other curves bound it from below: what Reno would have reached meanwhile (w_est), and the
 * window itself. Integers only: bytes, milliseconds for the curve, and remainders are kept, so that
 * many small acknowledgements add up to what one large one does.
 *
 * Time is counted, not read: t_us grows by what passes between acknowledgements that find the
 * window used, at most two round trips at once. So an idle or application-limited period does not
 * let the curve run ahead, and the state moves to another clock as it is. Of a connection that
 * comes with no more than its window and threshold, the threshold tells where the last curve began:
 * it is what the last event left. Source: RFC 9438, with C = 0.4, beta = 0.7 and alpha = 9/17.
 */
#include "tcp/private.h"

enum {
    BETA_PERCENT = 70,
    FAST_CONVERGENCE_PERCENT = 85, /* (1 + beta) / 2 */
    ALPHA_NUMERATOR = 9,           /* 3 (1 - beta) / (1 + beta) */
    ALPHA_DENOMINATOR = 17,
    MOST_MS = 1 << 20 /* distance from the middle of the curve: keeps its cube in 60 bits */
};

/* The largest number whose cube is at most value. */
static uint32_t
cube_root(uint64_t value)
{
    uint64_t root = 0;

    for (int bit = 20; bit >= 0; bit--) {
        uint64_t more = root | 1ull << bit;
        if (more * more * more <= value)
            root = more;
    }
    return (uint32_t)root;
}

/* C (t - K)^3 + origin; the cube of milliseconds is 10^-9 of a second's, and C is 4/10. */
static uint32_t
curve(const struct tcp_cubic *cubic, uint64_t t_us, uint32_t mss)
{
    uint64_t t_ms = t_us / 1000, limit = UINT32_MAX / 2;
    bool above = t_ms >= cubic->k_ms;
    uint64_t d = above ? t_ms - cubic->k_ms : cubic->k_ms - t_ms;

    if (d > MOST_MS)
        d = MOST_MS;
    uint64_t bytes = d * d * d / 1000000 * 4 * mss / 10000;
    if (above)
        return (uint32_t)(cubic->origin + bytes < limit ? cubic->origin + bytes : limit);
    return bytes < cubic->origin ? (uint32_t)(cubic->origin - bytes) : 0;
}

static void
start_epoch(struct tcp_conn *conn)
{
    struct tcp_cubic *cubic = &conn->cubic;

    cubic->origin = tcp_max(cubic->w_max, conn->cwnd);
    cubic->k_ms = cube_root((uint64_t)(cubic->origin - conn->cwnd) * 2500000000u / conn->mss);
    cubic->w_est = conn->cwnd;
    cubic->t_us = 0;
    cubic->last_us = TCP_NEVER;
    cubic->rest = 0;
    conn->bytes_acked = 0;
}

static void
count_time(struct tcp_conn *conn, uint64_t now_us)
{
    struct tcp_cubic *cubic = &conn->cubic;
    uint64_t most_us = 2 * conn->srtt_us;

    if (cubic->last_us != TCP_NEVER)
        cubic->t_us += tcp_min_us(now_us - cubic->last_us, most_us);
    cubic->last_us = now_us;
}

/* One segment per (1 / alpha) windows, with alpha 1 once Reno would be back where it was. */
static void
grow_reno(struct tcp_conn *conn, uint32_t acked)
{
    struct tcp_cubic *cubic = &conn->cubic;
    uint64_t needed = conn->cwnd;

    if (cubic->w_est < cubic->prior)
        needed = needed * ALPHA_DENOMINATOR / ALPHA_NUMERATOR;
    conn->bytes_acked += acked;
    if (conn->bytes_acked < needed)
        return;
    conn->bytes_acked -= (uint32_t)needed;
    cubic->w_est = tcp_min(cubic->w_est + conn->mss, TCP_MAX_CWND);
}

/* Towards where the curve will be a round trip from now, in one window's acknowledgements. */
static void
grow_cubic(struct tcp_conn *conn, uint32_t acked)
{
    struct tcp_cubic *cubic = &conn->cubic;
    uint32_t target = curve(cubic, cubic->t_us + conn->srtt_us, conn->mss);
    uint64_t credit;

    if (target <= conn->cwnd)
        return;
    target = tcp_min(target, conn->cwnd + conn->cwnd / 2);
    credit = (uint64_t)(target - conn->cwnd) * acked + cubic->rest;
    cubic->rest = (uint32_t)(credit % conn->cwnd);
    conn->cwnd += (uint32_t)(credit / conn->cwnd);
}

void
tcp_cubic_init(struct tcp_conn *conn)
{
    uint32_t before = 0;

    if (conn->ssthresh <= TCP_MAX_CWND)
        before = (uint32_t)tcp_min_us((uint64_t)conn->ssthresh * 100 / BETA_PERCENT, TCP_MAX_CWND);
    conn->cubic = (struct tcp_cubic){.w_max = before, .prior = before, .last_us = TCP_NEVER};
}

bool
tcp_cubic_valid(const struct tcp_cubic *cubic)
{
    return cubic->w_max <= TCP_MAX_CWND && cubic->prior <= TCP_MAX_CWND &&
           cubic->origin <= TCP_MAX_CWND && cubic->w_est <= TCP_MAX_CWND &&
           cubic->rest <= TCP_MAX_CWND && cubic->k_ms <= MOST_MS;
}

void
tcp_cubic_on_ack(struct tcp_conn *conn, uint32_t acked, uint64_t now_us)
{
    struct tcp_cubic *cubic = &conn->cubic;

    if (!(conn->flags & TCP_CONN_CWND_LIMITED)) {
        cubic->last_us = TCP_NEVER;
        return;
    }
    if (!cubic->origin)
        start_epoch(conn);
    count_time(conn, now_us);
    grow_reno(conn, acked);
    if (curve(cubic, cubic->t_us, conn->mss) < cubic->w_est)
        conn->cwnd = tcp_max(conn->cwnd, cubic->w_est);
    else
        grow_cubic(conn, acked);
}

uint32_t
tcp_cubic_on_congestion(struct tcp_conn *conn, uint32_t window)
{
    struct tcp_cubic *cubic = &conn->cubic;
    uint64_t w_max = window;

    if (window < cubic->w_max)
        w_max = w_max * FAST_CONVERGENCE_PERCENT / 100; /* somebody new wants a share */
    cubic->w_max = (uint32_t)w_max;
    cubic->prior = window;
    cubic->origin = 0;
    return (uint32_t)((uint64_t)window * BETA_PERCENT / 100);
}
