/*
 * A connection and its application: what was written and is not acknowledged, what was received and
 * is not taken, and the two FINs. Invariants: blocks are contiguous from una_seq to write_seq;
 * received is contiguous from delivered_seq to received_seq. Work that must not be done on the
 * stack of a callback of NDIS waits for the next turn.
 */
#include "host/script/private.h"

#include <stdlib.h>

#define RELEASED_FILL 0xa5u

/* ---- making and freeing ---- */

static void
fill_defaults(struct script_options *options)
{
    if (!options->mtu)
        options->mtu = 1500;
    if (!options->receive_buffer)
        options->receive_buffer = 65536;
    if (!options->send_buffer)
        options->send_buffer = 262144;
    if (!options->peer_window)
        options->peer_window = 65536;
    if (!options->hold_us)
        options->hold_us = 1000;
}

/* The engine is the target's equal: it goes by the same parameters. */
static void
fill_config(const struct script_options *options, const struct host_tuning *tuning,
            struct tcp_config *config)
{
    tcp_config_defaults(config);
    config->delayed_ack_us = tuning->delayed_ack_ms * 1000;
    config->max_retransmissions = tuning->retransmissions;
    config->timestamps = !options->no_timestamps;
    config->sack = !options->no_sack;
    config->ecn = options->ecn;
    config->window_scaling = !options->no_scaling;
    if (config->window_scaling) {
        config->snd_wscale = options->snd_wscale;
        config->rcv_wscale = options->rcv_wscale;
    }
    config->ip_header_len = options->ipv6 ? 40 : 20;
    config->remote_mss = (uint16_t)(options->mtu - config->ip_header_len - 20);
    config->path_mtu = options->mtu;
    config->ts_tick_us = 1000000 / SCRIPT_TICKS_PER_SECOND;
    config->ts_offset = options->ts_offset;
}

static int
start_engine(struct script_conn *conn)
{
    const struct script_options *options = &conn->options;
    struct tcp_state state = {
        .state = TCP_ESTABLISHED,
        .rcv_nxt = options->rcv_seq,
        .rcv_wnd = options->receive_buffer,
        .snd_una = options->snd_seq,
        .snd_nxt = options->snd_seq,
        .snd_max = options->snd_seq,
        .snd_end = options->snd_seq,
        .snd_wnd = options->peer_window,
        .max_snd_wnd = options->peer_window,
        .snd_wl1 = options->rcv_seq - 1,
        .ssthresh = TCP_INFINITE_SSTHRESH,
        .ts_recent = options->ts_recent,
        .keepalive_delta_us = TCP_NEVER,
        .retransmit_delta_us = TCP_NEVER,
    };

    return tcp_restore(&conn->tcp, &conn->config, &state, script_now(conn));
}

static void
work(void *arg)
{
    struct script_conn *conn = arg;

    if (conn->down.state == HOST_CONN_OFFLOADED) {
        if (conn->abort_wanted && !conn->abort_below)
            script_disconnect_below(conn, true);
        if (conn->upload_wanted || conn->blocked)
            script_upload(conn);
    }
    if (conn->down.state == HOST_CONN_OFFLOADED && !conn->abort_wanted) {
        script_post_sends(conn);
        script_forward_waiting(conn);
        script_return_loans(conn, SCRIPT_DUE);
        script_post_receives(conn);
        script_tell_window(conn);
    }
    script_tell_changes(conn);
    script_output(conn);
}

void
script_defer(struct script_conn *conn)
{
    sys_loop_defer(conn->script->loop, &conn->work);
}

struct script_conn *
script_conn_create(struct script *script, const struct script_options *options,
                   const struct script_app *app, void *arg)
{
    static const struct script_app nothing;
    struct script_conn *conn = calloc(1, sizeof *conn);

    if (!conn)
        return NULL;
    conn->script = script;
    conn->options = *options;
    conn->app = app ? app : &nothing;
    conn->arg = arg;
    fill_defaults(&conn->options);
    fill_config(&conn->options, host_tuned(script->host), &conn->config);
    script_settings_defaults(conn);
    host_conn_init(&conn->down, &script_conn_ops);
    list_init(&conn->blocks);
    list_init(&conn->received);
    list_init(&conn->waiting);
    list_init(&conn->forwards);
    list_init(&conn->loans);
    sys_task_init(&conn->work, work, conn);
    conn->write_seq = conn->una_seq = options->snd_seq;
    conn->delivered_seq = conn->received_seq = options->rcv_seq;
    conn->reading = conn->live = true;
    if (start_engine(conn))
        goto bad_numbers;
    if (sys_timer_init(&conn->timer, script->loop, script_on_timer, conn))
        goto bad_numbers;
    if (sys_timer_init(&conn->hold_timer, script->loop, script_on_hold_timer, conn))
        goto no_hold_timer;
    if (sys_timer_init(&conn->change_timer, script->loop, script_on_change_timer, conn))
        goto no_change_timer;
    list_add_tail(&script->conns, &conn->link);
    list_add_tail(script_bucket(script, conn->options.local_port, conn->options.peer_port),
                  &conn->bucket);
    return conn;
no_change_timer:
    sys_timer_fini(&conn->hold_timer);
no_hold_timer:
    sys_timer_fini(&conn->timer);
bad_numbers:
    free(conn);
    return NULL;
}

static void
free_frames(struct list *frames)
{
    list_for_each_safe(frame, frames, struct script_frame, link) {
        list_del(&frame->link);
        free(frame);
    }
}

void
script_conn_destroy(struct script_conn *conn)
{
    if (!conn)
        return;
    if (conn->down.state != HOST_CONN_HOST)
        script_breach(conn, "destroyed in state", HOST_CONN_HOST, conn->down.state);
    sys_task_cancel(&conn->work);
    sys_timer_fini(&conn->timer);
    sys_timer_fini(&conn->hold_timer);
    sys_timer_fini(&conn->change_timer);
    script_drop_chunks(conn);
    free_frames(&conn->waiting);
    free_frames(&conn->forwards);
    list_for_each_safe(block, &conn->blocks, struct script_block, link) {
        list_del(&block->link);
        free(block);
    }
    list_for_each_safe(data, &conn->received, struct script_data, link) {
        list_del(&data->link);
        free(data);
    }
    list_del(&conn->link);
    list_del(&conn->bucket);
    free(conn);
}

/* ---- writing ---- */

static size_t
append_block(struct script_conn *conn, const uint8_t *bytes, size_t len)
{
    size_t part = len < SCRIPT_BLOCK_BYTES ? len : SCRIPT_BLOCK_BYTES;
    struct script_block *block = malloc(sizeof *block + part + SCRIPT_AROUND);

    if (!block)
        return 0;
    *block = (struct script_block){.seq = conn->write_seq, .len = (uint32_t)part};
    memcpy(block->bytes, bytes, part);
    list_add_tail(&conn->blocks, &block->link);
    conn->write_seq += (uint32_t)part;
    conn->queued_bytes += (uint32_t)part;
    if (conn->down.state == HOST_CONN_HOST)
        tcp_queue(&conn->tcp, (uint32_t)part);
    return part;
}

size_t
script_write(struct script_conn *conn, const void *bytes, size_t len)
{
    size_t room = conn->options.send_buffer - conn->queued_bytes, taken = 0;

    if (conn->ended || conn->fin_wanted || conn->abort_wanted)
        return 0;
    len = len < room ? len : room;
    while (taken < len) {
        size_t part = append_block(conn, (const uint8_t *)bytes + taken, len - taken);
        if (!part)
            break;
        taken += part;
    }
    if (taken)
        script_defer(conn);
    return taken;
}

void
script_release(struct script_conn *conn, uint32_t seq, bool target)
{
    uint32_t released = seq - conn->una_seq;

    if (!released)
        return;
    if (seq_before(seq, conn->una_seq) || seq_after(seq, conn->write_seq)) {
        script_breach(conn, "acknowledged", conn->write_seq, seq);
        return;
    }
    list_for_each_safe(block, &conn->blocks, struct script_block, link) {
        uint32_t part = seq - block->seq < block->len ? seq - block->seq : block->len;
        if (!part)
            break;
        memset(block->bytes + block->offset, RELEASED_FILL, part); /* who sends it now is wrong */
        block->seq += part;
        block->offset += part;
        block->len -= part;
        if (block->len)
            break;
        list_del(&block->link);
        free(block);
    }
    conn->una_seq = seq;
    conn->queued_bytes -= released;
    *(target ? &conn->figures.target_out : &conn->figures.host_out) += released;
    if (conn->app->on_room && !conn->ended)
        conn->app->on_room(conn->arg, released);
}

void
script_close(struct script_conn *conn)
{
    if (conn->ended || conn->fin_wanted)
        return;
    conn->fin_wanted = true;
    if (conn->down.state == HOST_CONN_HOST) {
        tcp_queue_fin(&conn->tcp);
        conn->fin_below = true;
    }
    script_defer(conn);
}

void
script_abort(struct script_conn *conn)
{
    if (conn->ended || conn->abort_wanted)
        return;
    conn->abort_wanted = true;
    if (conn->down.state == HOST_CONN_HOST) {
        tcp_abort(&conn->tcp);
        script_end_conn(conn, SCRIPT_ABORTED);
    }
    script_defer(conn);
}

/* ---- reading ---- */

static void
to_application(struct script_conn *conn, const uint8_t *bytes, uint32_t len)
{
    conn->delivered_seq += len;
    if (conn->app->on_data && !conn->ended)
        conn->app->on_data(conn->arg, bytes, len);
}

static void
keep(struct script_conn *conn, const uint8_t *bytes, uint32_t len)
{
    struct script_data *data = malloc(sizeof *data + len + SCRIPT_AROUND);

    if (!data) {
        script_breach(conn, "no memory for received bytes", len, 0);
        return;
    }
    *data = (struct script_data){.len = len};
    memcpy(data->bytes, bytes, len);
    list_add_tail(&conn->received, &data->link);
}

void
script_deliver(struct script_conn *conn, const uint8_t *bytes, uint32_t len, bool target)
{
    if (!len)
        return;
    conn->received_seq += len;
    *(target ? &conn->figures.target_in : &conn->figures.host_in) += len;
    if (conn->reading && list_empty(&conn->received))
        to_application(conn, bytes, len);
    else
        keep(conn, bytes, len);
    script_tell_fin(conn);
}

void
script_on_fin(struct script_conn *conn)
{
    if (conn->fin_known)
        return;
    conn->fin_known = true;
    conn->fin_seq = conn->received_seq;
    list_for_each(loan, &conn->loans, struct script_loan, link)
        conn->fin_seq += loan->delivered ? 0 : loan->len;
    script_tell_fin(conn);
}

/* Only when the application has every byte before it. */
void
script_tell_fin(struct script_conn *conn)
{
    if (!conn->fin_known || conn->fin_told || conn->delivered_seq != conn->fin_seq)
        return;
    conn->fin_told = true;
    if (conn->app->on_fin && !conn->ended)
        conn->app->on_fin(conn->arg);
    script_look_closed(conn);
}

/* Both FINs are through, and the application knows: a connection that is down has no business there
 * any more. */
void
script_look_closed(struct script_conn *conn)
{
    if (!conn->fin_acked || !conn->fin_told)
        return;
    conn->upload_wanted = conn->down.state != HOST_CONN_HOST;
    script_end_conn(conn, SCRIPT_CLOSED);
    script_defer(conn);
}

/* While an initiate is in flight its BufferedData must not be taken back: the answer comes first.
 */
void
script_read(struct script_conn *conn, bool on)
{
    conn->reading = on;
    if (!on)
        return;
    while (conn->reading && !conn->handed_data && !list_empty(&conn->received)) {
        struct script_data *data = list_first(&conn->received, struct script_data, link);
        list_del(&data->link);
        to_application(conn, data->bytes, data->len);
        free(data);
    }
    if (conn->down.state == HOST_CONN_HOST)
        tcp_set_right_edge(&conn->tcp, conn->delivered_seq + conn->options.receive_buffer);
    else
        conn->post_due = conn->window_due = true;
    script_tell_fin(conn);
    script_defer(conn);
}

/* ---- the rest ---- */

void
script_end_conn(struct script_conn *conn, enum script_end end)
{
    if (conn->ended)
        return;
    conn->ended = true;
    conn->end = end;
    if (conn->app->on_end)
        conn->app->on_end(conn->arg, end);
}

bool
script_ended(const struct script_conn *conn)
{
    return conn->ended;
}

enum host_conn_state
script_state(const struct script_conn *conn)
{
    return conn->down.state;
}

const NDIS_OFFLOAD_HANDLE *
script_handle(const struct script_conn *conn)
{
    return &conn->down.handle;
}

void
script_read_figures(const struct script_conn *conn, struct script_figures *out)
{
    *out = conn->figures;
}

const struct tcp_conn *
script_engine(const struct script_conn *conn)
{
    return &conn->tcp;
}
