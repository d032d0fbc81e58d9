/*
 * The time a connection is not offloaded: the engine of src/tcp, fed with frames and asked for
 * segments. While it belongs to nobody (an initiate or a terminate is in flight) frames wait in
 * order; while the target has it they are forwarded. Invariant: what the engine has taken is
 * acknowledged at once and lies in `received` or with the application.
 */
#include "base/bytes.h"
#include "base/log.h"
#include "host/script/private.h"

#include <stdlib.h>

static struct script_frame *
frame_of(struct tcp_chunk *chunk)
{
    return container_of(chunk, struct script_frame, chunk);
}

void
script_drop_chunks(struct script_conn *conn)
{
    struct tcp_chunk *chunk = tcp_close(&conn->tcp);

    while (chunk) {
        struct tcp_chunk *next = chunk->next;
        free(frame_of(chunk));
        chunk = next;
    }
}

/* The next owner must not take it for old: since it came, ts_recent may have passed its stamp. */
static void
refresh_stamp(struct script_frame *frame, uint32_t ts_recent)
{
    uint8_t *option = frame->tcp + 20, *end = frame->payload;

    if (!frame->segment.has_timestamp || seq_after_eq(frame->segment.tsval, ts_recent))
        return;
    while (option + 10 <= end && *option != 8)
        option += *option == 1 ? 1 : option[1];
    if (option + 10 <= end)
        bytes_store_be32(option + 2, ts_recent);
}

/* What was marked, and that the peer has slowed down, is in the state that goes along: heard a
 * second time, behind newer segments, it would undo what those have said (RFC 3168, 6.1.3). */
static void
forget_congestion(struct script_frame *frame)
{
    frame->segment.ecn = TCP_NOT_ECT;
    frame->segment.flags &= (uint8_t)~TCP_CWR;
    frame->tcp[13] &= (uint8_t)~TCP_CWR;
}

unsigned
script_keep_chunks(struct script_conn *conn)
{
    struct tcp_chunk *chunk = tcp_close(&conn->tcp);
    struct list *before = &conn->waiting; /* the first goes first */
    unsigned count = 0;

    for (struct tcp_chunk *next; chunk; chunk = next) {
        struct script_frame *frame = frame_of(chunk);
        next = chunk->next;
        refresh_stamp(frame, conn->tcp.ts_recent);
        forget_congestion(frame);
        list_add_head(before, &frame->link);
        before = &frame->link;
        count++;
    }
    return count;
}

static void
take_ready(struct script_conn *conn)
{
    struct tcp_chunk *chunk;
    uint32_t tsval = 0;
    bool first = true;

    while ((chunk = tcp_take(&conn->tcp))) {
        struct script_frame *frame = frame_of(chunk);
        if (chunk->seq != conn->received_seq)
            script_breach(conn, "received sequence", conn->received_seq, chunk->seq);
        tsval = first ? chunk->tsval : tsval;
        first = false;
        script_deliver(conn, frame->payload + chunk->offset, chunk->len, false);
        free(frame);
    }
    if (!first)
        tcp_acknowledge(&conn->tcp, conn->received_seq, tsval, script_now(conn));
    tcp_set_right_edge(&conn->tcp, conn->delivered_seq + conn->options.receive_buffer);
}

/* What ends a connection, most telling first. */
static void
look_for_end(struct script_conn *conn, unsigned events)
{
    if (events & TCP_EV_RESET)
        script_end_conn(conn, SCRIPT_RESET);
    else if (events & TCP_EV_TIMEOUT)
        script_end_conn(conn, SCRIPT_TIMEOUT);
    else
        script_look_closed(conn);
}

static void
act_on(struct script_conn *conn, unsigned events)
{
    struct tcp_chunk *chunk;

    if (events & TCP_EV_ACKED)
        script_release(conn, seq_min(conn->tcp.snd_una, conn->write_seq), false);
    if (events & TCP_EV_READY)
        take_ready(conn);
    if (events & TCP_EV_FIN) {
        tcp_acknowledge(&conn->tcp, conn->received_seq + 1, conn->tcp.ts_recent, script_now(conn));
        script_on_fin(conn);
    }
    if (events & TCP_EV_FIN_ACKED)
        conn->fin_acked = true;
    while ((chunk = tcp_take_dropped(&conn->tcp)))
        free(frame_of(chunk));
    look_for_end(conn, events);
}

static void
input(struct script_conn *conn, struct script_frame *frame)
{
    struct tcp_chunk *chunk = frame->segment.payload_len ? &frame->chunk : NULL;

    if (!conn->live) {
        free(frame);
        return;
    }
    unsigned events = tcp_on_segment(&conn->tcp, &frame->segment, chunk, script_now(conn));

    if (!(events & TCP_EV_KEPT))
        free(frame);
    act_on(conn, events);
}

void
script_on_frame(struct script_conn *conn, struct script_frame *frame)
{
    if (frame->segment.flags & TCP_RST)
        conn->script->stats.resets_in++;
    if (conn->down.state == HOST_CONN_HOST && list_empty(&conn->waiting))
        input(conn, frame);
    else
        list_add_tail(&conn->waiting, &frame->link);
    script_defer(conn);
}

void
script_output(struct script_conn *conn)
{
    uint32_t burst = conn->options.superframes ? TCP_MAX_BURST : conn->tcp.mss;
    struct tcp_out out;

    if (conn->down.state != HOST_CONN_HOST)
        return;
    while (!list_empty(&conn->waiting)) {
        struct script_frame *frame = list_first(&conn->waiting, struct script_frame, link);
        list_del(&frame->link);
        input(conn, frame);
    }
    if (!conn->script->binding || !conn->live)
        return;
    while (tcp_next(&conn->tcp, script_now(conn), burst, &out))
        script_frame_send(conn, &out);
    sys_timer_set(&conn->timer, tcp_deadline_us(&conn->tcp));
}

/*
 * A FIN that was sent before the move has no disconnect whose completion tells of its end: once the
 * peer has finished, too, the connection is fetched to see.
 */
bool
script_fin_unwatched(const struct script_conn *conn)
{
    return conn->fin_below && !conn->disconnect && conn->fin_known;
}

void
script_watch_fin(struct script_conn *conn)
{
    if (script_fin_unwatched(conn))
        sys_timer_set(&conn->timer, script_now(conn) + SCRIPT_FIN_WATCH_US);
}

void
script_on_timer(void *arg)
{
    struct script_conn *conn = arg;

    if (conn->down.state == HOST_CONN_OFFLOADED && script_fin_unwatched(conn)) {
        conn->upload_wanted = true;
        script_defer(conn);
    }
    if (conn->down.state != HOST_CONN_HOST || !conn->live)
        return;
    act_on(conn, tcp_on_timer(&conn->tcp, script_now(conn)));
    script_output(conn);
}
