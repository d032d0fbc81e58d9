/*
 * Moving a connection. Down: the delayed ACK goes out, the engine is read, every unacknowledged
 * byte becomes a chain of NBLs over the blocks that hold it, every received byte the application
 * has not taken goes as BufferedData. The engine stays untouched until the answer: a refused
 * connection goes on as if nothing had happened. Up: what comes back is compared with what we know,
 * and the engine starts from it. Source: chimney 4.1, 4.5; V-071, V-114, V-115, V-147.
 */
#include "base/log.h"
#include "host/script/private.h"

#include <errno.h>
#include <stdlib.h>

/* ---- down ---- */

static NET_BUFFER_LIST *
chain_sends(struct script_conn *conn, struct host_initiate *what)
{
    NET_BUFFER_LIST *head = NULL, **tail = &head;

    list_for_each(block, &conn->blocks, struct script_block, link) {
        block->nbl = script_nbl_create(conn, block->bytes + block->offset, block->len);
        if (!block->nbl)
            break; /* what is behind goes as ordinary sends */
        block->nbl->ProtocolReserved[1] = block;
        *tail = block->nbl;
        tail = &NET_BUFFER_LIST_NEXT_NBL(block->nbl);
        what->delegated.SendDataTail = block->nbl;
    }
    what->delegated.SendDataHead = head;
    return head;
}

static bool
chain_received(struct script_conn *conn, struct host_initiate *what)
{
    NET_BUFFER_LIST **tail = &what->delegated.BufferedData;

    list_for_each(data, &conn->received, struct script_data, link) {
        data->nbl = script_nbl_create(conn, data->bytes, data->len);
        if (!data->nbl)
            return false;
        *tail = data->nbl;
        tail = &NET_BUFFER_LIST_NEXT_NBL(data->nbl);
    }
    return true;
}

/* Undoes both chains: the bytes are ours again. */
static void
unchain(struct script_conn *conn)
{
    list_for_each(block, &conn->blocks, struct script_block, link) {
        if (block->nbl)
            host_nbl_destroy(block->nbl);
        block->nbl = NULL;
    }
    list_for_each(data, &conn->received, struct script_data, link) {
        if (data->nbl)
            host_nbl_destroy(data->nbl);
        data->nbl = NULL;
    }
}

/* Everything that waits for us must have gone out: ACKs, and frames that came meanwhile. */
static void
settle(struct script_conn *conn)
{
    script_output(conn);
    if (tcp_ack_pending(&conn->tcp) || conn->tcp.last_ack_sent != conn->tcp.rcv_ack)
        tcp_ack_now(&conn->tcp);
    script_output(conn);
}

static int
check_state(const struct script_conn *conn)
{
    if (conn->down.state != HOST_CONN_HOST || conn->ended)
        return -EBUSY;
    if (!conn->script->binding)
        return -ENETDOWN;
    switch (conn->tcp.state) {
    case TCP_ESTABLISHED:
    case TCP_FIN_WAIT_1:
    case TCP_FIN_WAIT_2:
    case TCP_CLOSE_WAIT:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        return 0;
    default:
        return -EBUSY; /* V-058 */
    }
}

int
script_offload(struct script_conn *conn)
{
    int error = check_state(conn);
    struct host_initiate what;
    struct tcp_state state;

    if (error)
        return error;
    settle(conn);
    error = check_state(conn);
    if (error)
        return error;
    if (conn->config.ecn && !script_extends(conn))
        return -EOPNOTSUPP;
    tcp_capture(&conn->tcp, script_now(conn), &state);
    script_export(conn, &state, &what);
    what.sends = chain_sends(conn, &what);
    error = chain_received(conn, &what) ? host_initiate(&conn->down, conn->script->binding, &what)
                                        : -ENOMEM;
    if (error) {
        unchain(conn);
        return error;
    }
    sys_timer_set(&conn->timer, SYS_NEVER);
    conn->handed_data = what.delegated.BufferedData != NULL;
    conn->handed_fin = script_fin_in_sequence(state.state);
    conn->figures.buffered_down += conn->handed_data;
    conn->moved_bytes = conn->received_seq - conn->delivered_seq;
    conn->move_since_us = script_now(conn);
    return 0;
}

static void
tell_move(struct script_conn *conn, struct script_move *move)
{
    move->held_us = script_now(conn) - conn->move_since_us;
    move->send_bytes = conn->queued_bytes;
    move->receive_bytes = conn->moved_bytes;
    if (conn->app->on_move)
        conn->app->on_move(conn->arg, move);
}

/* FIN and RST that were asked for while nobody could send them. */
static void
finish_wishes(struct script_conn *conn)
{
    if (conn->fin_wanted && !conn->fin_below) {
        tcp_queue_fin(&conn->tcp);
        conn->fin_below = true;
    }
    if (conn->abort_wanted) {
        tcp_abort(&conn->tcp);
        script_end_conn(conn, SCRIPT_ABORTED);
    }
}

/* The target has copied what we handed over. */
static void
forget_received(struct script_conn *conn)
{
    list_for_each_safe(data, &conn->received, struct script_data, link) {
        if (data->nbl)
            host_nbl_destroy(data->nbl);
        list_del(&data->link);
        free(data);
    }
    conn->received_seq = conn->delivered_seq;
    conn->post_due = conn->handed_data;
    conn->handed_data = false;
}

/* Refused: the engine goes on, and learns what was asked of the connection meanwhile. */
static void
stay(struct script_conn *conn)
{
    conn->handed_data = conn->upload_wanted = false;
    unchain(conn);
    if (conn->write_seq != conn->tcp.snd_end && !conn->fin_below)
        tcp_queue(&conn->tcp, conn->write_seq - conn->tcp.snd_end);
    finish_wishes(conn);
    script_read(conn, conn->reading);
}

static void
on_initiated(struct host_conn *down, const struct host_initiate_result *result)
{
    struct script_conn *conn = script_of(down);
    struct script_move move = {.down = true, .status = result->tcp, .nodes = *result};

    if (result->tcp == NDIS_STATUS_SUCCESS) {
        forget_received(conn);
        if (down->extended) {
            conn->figures.extended_down++;
            conn->figures.disorder_down += script_keep_chunks(conn);
        }
        script_drop_chunks(conn);
        conn->live = conn->blocked = false;
        conn->fin_below = conn->handed_fin; /* one that was only queued is asked for again */
        conn->figures.moves_down++;
        script_watch_fin(conn);
    } else {
        conn->figures.refused++;
        stay(conn);
    }
    script_defer(conn);
    tell_move(conn, &move);
}

/* ---- up ---- */

int
script_upload(struct script_conn *conn)
{
    int error = host_terminate(&conn->down);

    if (!error)
        conn->move_since_us = script_now(conn);
    return error;
}

int
script_query(struct script_conn *conn)
{
    return host_query(&conn->down);
}

static void
on_queried(struct host_conn *down, NDIS_STATUS status, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    struct script_conn *conn = script_of(down);

    conn->upload_wanted |= status != NDIS_STATUS_SUCCESS; /* V-069 */
    if (conn->app->on_query)
        conn->app->on_query(conn->arg, status, delegated);
    script_defer(conn);
}

/* What had to wait for it: an upload, the next update. */
static void
on_updated(struct host_conn *down, NDIS_STATUS status)
{
    struct script_conn *conn = script_of(down);

    conn->upload_wanted |= status != NDIS_STATUS_SUCCESS; /* V-069 */
    script_defer(conn);
}

/* Returned sends: the blocks from the first unacknowledged one on, in order, the first perhaps
 * begun (V-147). */
static void
take_sends_back(struct script_conn *conn, NET_BUFFER_LIST *nbls)
{
    uint32_t una = conn->una_seq, seq = una;
    bool first = true;

    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        struct script_block *block = nbls->ProtocolReserved[1];
        uint32_t left = NET_BUFFER_LIST_FIRST_NB(nbls)->DataLength;
        host_nbl_destroy(nbls);
        block->nbl = NULL;
        if (block->seq != seq || left > block->len || (!first && left != block->len))
            script_breach(conn, "returned sends in order", seq, block->seq);
        else if (first)
            una += block->len - left;
        seq = block->seq + block->len;
        first = false;
        conn->figures.sends_returned++;
        nbls = next;
    }
    script_release(conn, una, true);
}

static void
take_received_back(struct script_conn *conn, NET_BUFFER_LIST *nbls)
{
    uint32_t before = conn->received_seq;

    conn->figures.buffered_up += nbls != NULL;
    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
        script_deliver_nb(conn, nb, nb->DataLength);
    }
    if (nbls)
        host_receive_return(&conn->down, nbls);
    conn->moved_bytes = conn->received_seq - before;
}

/* The peer's FIN is before RcvNxt. */
static bool
peer_finished(enum tcp_conn_state state)
{
    return state == TCP_CLOSE_WAIT || state == TCP_CLOSING || state == TCP_LAST_ACK ||
           state == TCP_TIME_WAIT;
}

static void
compare(struct script_conn *conn, const struct tcp_state *state)
{
    uint32_t una = conn->una_seq, rcv = conn->received_seq + peer_finished(state->state);

    if (state->state == TCP_CLOSED)
        return;
    if (state->state == TCP_FIN_WAIT_2 || state->state == TCP_TIME_WAIT)
        una++;
    if (state->snd_una != una)
        script_breach(conn, "SndUna", una, state->snd_una);
    if (state->rcv_nxt != rcv)
        script_breach(conn, "RcvNxt", rcv, state->rcv_nxt);
    list_for_each(block, &conn->blocks, struct script_block, link)
        if (block->nbl)
            script_breach(conn, "sends left with the target", 0, block->seq);
    if (conn->posted)
        script_breach(conn, "receives left with the target", 0, conn->posted);
    if (!list_empty(&conn->forwards))
        script_breach(conn, "segments left with the target", 0, 1);
}

/* Directly after tcp_restore. */
static void
restart_extended(struct script_conn *conn, const TCP_OFFLOAD_STATE_EXTENSION *in)
{
    struct tcp_extension extension;

    if (in->Version != TCP_OFFLOAD_EXTENSION_VERSION)
        return;
    conn->figures.extended_up++;
    script_import_extension(in, &extension);
    if (tcp_restore_extension(&conn->tcp, &extension, script_now(conn)))
        script_breach(conn, "an extension that fits", 0, in->SackedCount);
}

static void
restart(struct script_conn *conn, struct tcp_state *state,
        const TCP_OFFLOAD_STATE_EXTENSION *extension)
{
    if (state->state == TCP_FIN_WAIT_2 || state->state == TCP_TIME_WAIT)
        state->snd_end = state->snd_una;
    if (tcp_restore(&conn->tcp, &conn->config, state, script_now(conn))) {
        script_breach(conn, "state that can be taken back", 0, state->state);
        script_end_conn(conn, SCRIPT_LOST);
        return;
    }
    restart_extended(conn, extension);
    tcp_set_right_edge(&conn->tcp, conn->delivered_seq + conn->options.receive_buffer);
    if (conn->silenced)
        tcp_ack_now(&conn->tcp);
    conn->live = true;
    conn->fin_below = state->fin_queued;
    finish_wishes(conn);
}

/* With ack = returned what the target still lends is not acknowledged, but for what was when we
 * handed it over. */
static void
deliver_acknowledged(struct script_conn *conn, uint32_t rcv_nxt)
{
    list_for_each(loan, &conn->loans, struct script_loan, link) {
        if (loan->delivered || !seq_before(conn->received_seq, rcv_nxt))
            continue;
        script_deliver_nb(conn, NET_BUFFER_LIST_FIRST_NB(loan->nbl), loan->len);
        loan->delivered = true;
    }
}

static void
come_home(struct script_conn *conn, const struct host_terminate_result *result)
{
    struct tcp_state state;

    take_sends_back(conn, result->sends);
    script_import(conn, &result->delegated, &state);
    if (conn->options.ack_returned)
        deliver_acknowledged(conn, state.rcv_nxt);
    script_return_loans(conn, conn->options.ack_returned ? SCRIPT_DROP : SCRIPT_ALL);
    take_received_back(conn, result->buffered);
    compare(conn, &state);
    if (peer_finished(state.state) ||
        (state.state == TCP_CLOSED && state.rcv_nxt == conn->received_seq + 1))
        script_on_fin(conn);
    else if (!conn->fin_told && state.state != TCP_CLOSED)
        conn->fin_known = false; /* it was behind what we have not acknowledged */
    conn->fin_acked |= state.state == TCP_FIN_WAIT_2 || state.state == TCP_TIME_WAIT ||
                       (state.state == TCP_CLOSED && conn->fin_below && conn->fin_known);
    script_look_closed(conn);
    if (conn->abort_below)
        return;
    if (state.state != TCP_CLOSED)
        restart(conn, &state, &result->extension);
    else if (!conn->fin_acked || !conn->fin_known)
        script_end_conn(conn, SCRIPT_TIMEOUT);
}

static void
on_terminated(struct host_conn *down, const struct host_terminate_result *result)
{
    struct script_conn *conn = script_of(down);
    struct script_move move = {.status = result->status};

    conn->upload_wanted = conn->blocked = conn->post_due = conn->window_due = false;
    conn->moved_bytes = 0;
    memset(&conn->tcp, 0, sizeof conn->tcp);
    conn->tcp.state = TCP_CLOSED;
    if (result->status == NDIS_STATUS_SUCCESS) {
        come_home(conn, result);
    } else {
        script_return_loans(conn, SCRIPT_DROP);
        script_end_conn(conn, SCRIPT_LOST);
    }
    conn->silenced = false;
    conn->figures.moves_up++;
    script_defer(conn);
    tell_move(conn, &move);
}

const struct host_conn_ops script_conn_ops = {
    .on_initiated = on_initiated,
    .on_terminated = on_terminated,
    .on_updated = on_updated,
    .on_queried = on_queried,
    .on_sent = script_on_sent,
    .on_received = script_on_received,
    .on_disconnected = script_on_disconnected,
    .on_forwarded = script_on_forwarded,
    .on_indicate = script_on_indicate,
    .on_event = script_on_event,
};
