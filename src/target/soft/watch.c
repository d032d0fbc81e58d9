/*
 * Connections that had better be the host stack's: the optional reasons to ask for an upload. Each
 * has a threshold, an option of the adapter named as the reason, 0 and off by default. Rates are
 * judged over so many segments in both directions (UploadWindow), then counting starts anew; a
 * reason is told once. The connection works on as before (V-135), whatever becomes of it, and in
 * the states in which one of the ends has finished nothing is said (V-134).
 *
 *   HighDropRate            per cent of the segments sent were sent again
 *   HighFragmentation       per cent of the segments received were first fragments
 *   HighOutofOrderPackets   per cent of the segments received were out of order
 *   LowActivity             milliseconds without a byte of payload
 *   NoBufferProposting      per cent of the bytes delivered found no request
 *   SmallIO                 bytes that a send has on average
 *
 * And one that is mandatory, after which the connection stops: HardwareFailure, segments.
 */
#include "base/log.h"
#include "target/soft/conn.h"

static bool
judged(const struct soft_conn *conn)
{
    return conn->object.adapter->thresholds.any && conn->tcp.state == TCP_ESTABLISHED &&
           !conn->terminating && !conn->object.adapter->initiates;
}

void
soft_watch_sent(struct soft_conn *conn, uint32_t sends, uint32_t bytes)
{
    if (!conn->object.adapter->thresholds.any)
        return;
    conn->watch.sends += sends;
    conn->watch.send_bytes += bytes;
}

void
soft_watch_delivered(struct soft_conn *conn, uint32_t bytes)
{
    if (conn->object.adapter->thresholds.any)
        conn->watch.delivered_bytes += bytes;
}

void
soft_watch_unposted(struct soft_conn *conn, uint32_t bytes)
{
    if (conn->object.adapter->thresholds.any)
        conn->watch.unposted_bytes += bytes;
}

static uint32_t
percent(uint64_t part, uint64_t whole)
{
    return whole ? (uint32_t)(part * 100 / whole) : 0;
}

static void
tell(struct soft_conn *conn, ULONG reason)
{
    struct soft_adapter *adapter = conn->object.adapter;

    if (conn->watch.told & 1u << reason)
        return;
    conn->watch.told |= 1u << reason;
    log_info("soft %s: conn %p had better go up, reason %u", wire_name(adapter->wire), (void *)conn,
             (unsigned)reason);
    adapter->up.NdisTcpOffloadEventHandler(conn->object.handle, TcpIndicateRetrieve, reason);
}

/* over: at this rate or above it; 0: off */
static void
judge_rate(struct soft_conn *conn, unsigned over, uint64_t part, uint64_t whole, ULONG reason)
{
    if (over && whole && percent(part, whole) >= over)
        tell(conn, reason);
}

static void
judge(struct soft_conn *conn)
{
    const struct soft_thresholds *limits = &conn->object.adapter->thresholds;
    const struct tcp_counters *now = &conn->tcp.counters;
    struct soft_watch *watch = &conn->watch;
    const struct tcp_counters *then = &watch->since;
    uint64_t in = now->segments_in - then->segments_in,
             out = now->segments_out - then->segments_out;

    if (in + out < limits->window)
        return;
    judge_rate(conn, limits->drops, now->retransmitted_segments - then->retransmitted_segments, out,
               HighDropRate);
    judge_rate(conn, limits->disorder, now->out_of_order_in - then->out_of_order_in, in,
               HighOutofOrderPackets);
    judge_rate(conn, limits->fragments, watch->fragments, in + watch->fragments, HighFragmentation);
    judge_rate(conn, limits->unposted, watch->unposted_bytes, watch->delivered_bytes,
               NoBufferProposting);
    if (limits->small_bytes && watch->sends &&
        watch->send_bytes / watch->sends <= limits->small_bytes)
        tell(conn, SmallIO);
    watch->since = *now;
    watch->fragments = watch->sends = 0;
    watch->unposted_bytes = watch->delivered_bytes = watch->send_bytes = 0;
}

static void
judge_activity(struct soft_conn *conn)
{
    const struct soft_adapter *adapter = conn->object.adapter;
    uint64_t bytes = conn->tcp.counters.bytes_in + conn->tcp.counters.bytes_out;

    if (bytes != conn->watch.active_bytes || !conn->watch.active_us) {
        conn->watch.active_bytes = bytes;
        conn->watch.active_us = soft_now_us(adapter);
    }
    if (soft_now_us(adapter) >= soft_watch_deadline_us(conn))
        tell(conn, LowActivity);
}

uint64_t
soft_watch_deadline_us(const struct soft_conn *conn)
{
    uint64_t idle_us = conn->object.adapter->thresholds.idle_us;

    if (!idle_us || !conn->watch.active_us || conn->watch.told & 1u << LowActivity || !judged(conn))
        return SYS_NEVER;
    return conn->watch.active_us + idle_us;
}

/* There is no hardware that could; the option makes it, so that a host stack can be tried. */
static bool
hardware_failed(struct soft_conn *conn)
{
    const struct soft_thresholds *limits = &conn->object.adapter->thresholds;
    const struct tcp_counters *now = &conn->tcp.counters;

    if (!limits->failure || now->segments_in + now->segments_out < limits->failure)
        return false;
    conn->lost = limits->lost != 0;
    soft_retrieve(conn, HardwareFailure);
    return true;
}

void
soft_watch_run(struct soft_conn *conn)
{
    const struct soft_adapter *adapter = conn->object.adapter;

    if (hardware_failed(conn))
        return;
    if (adapter->thresholds.any && adapter->initiates) /* V-137 */
        soft_later(conn);
    if (!judged(conn))
        return;
    if (adapter->thresholds.idle_us)
        judge_activity(conn);
    judge(conn);
}
