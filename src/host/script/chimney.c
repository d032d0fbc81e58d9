/*
 * The time a connection is with the target: sends, receives, FIN and RST, forwarded segments,
 * events. Whatever comes back is checked against what went down: order, byte counts, advanced
 * buffers; what does not fit is a breach. Nothing is asked of NDIS on the stack of one of its
 * callbacks: the connection's work does that in the next turn. Source: chimney 5, 6, 7.
 */
#include "host/script/private.h"

#include <stdlib.h>

#define AROUND_FILL 0x5au

static uint32_t
transferred(const NET_BUFFER_LIST *nbl)
{
    return (uint32_t)(uintptr_t)NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred);
}

static bool
wants_upload(NDIS_STATUS status)
{
    return status == NDIS_STATUS_UPLOAD_IN_PROGRESS || status == NDIS_STATUS_REQUEST_UPLOAD ||
           status == NDIS_STATUS_UPLOAD_REQUESTED;
}

NET_BUFFER_LIST *
script_nbl_create(struct script_conn *conn, void *bytes, uint32_t len)
{
    struct host *host = conn->script->host;

    if (!conn->options.piece_bytes)
        return host_nbl_create(host, bytes, len, NULL, 0);
    return host_nbl_create_scattered(host, bytes, len, SCRIPT_AROUND, conn->options.piece_bytes);
}

/* ---- sending ---- */

void
script_post_sends(struct script_conn *conn)
{
    NET_BUFFER_LIST *head = NULL, **tail = &head;

    if (conn->blocked || conn->upload_wanted)
        return;
    list_for_each(block, &conn->blocks, struct script_block, link) {
        if (block->nbl)
            continue;
        block->nbl = script_nbl_create(conn, block->bytes + block->offset, block->len);
        if (!block->nbl)
            break; /* the next turn of work tries again */
        block->nbl->ProtocolReserved[1] = block;
        *tail = block->nbl;
        tail = &NET_BUFFER_LIST_NEXT_NBL(block->nbl);
    }
    if (head)
        host_send(&conn->down, head);
    if (conn->fin_wanted && !conn->fin_below)
        script_disconnect_below(conn, false);
}

void
script_on_sent(struct host_conn *down, NET_BUFFER_LIST *nbl)
{
    struct script_conn *conn = script_of(down);
    struct script_block *block = nbl->ProtocolReserved[1];
    uint32_t bytes = transferred(nbl), left = NET_BUFFER_LIST_FIRST_NB(nbl)->DataLength;
    NDIS_STATUS status = NET_BUFFER_LIST_STATUS(nbl);

    host_nbl_destroy(nbl);
    block->nbl = NULL;
    if (bytes > block->len || left != block->len - bytes)
        script_breach(conn, "bytes left in a completed send", block->len - bytes, left);
    if (status == NDIS_STATUS_SUCCESS && bytes != block->len)
        script_breach(conn, "bytes of a successful send", block->len, bytes);
    if (bytes && block->seq != conn->una_seq)
        script_breach(conn, "sends complete in order", conn->una_seq, block->seq);
    else if (bytes <= block->len)
        script_release(conn, conn->una_seq + bytes, true);
    if (wants_upload(status)) {
        conn->blocked = true;
        conn->figures.sends_returned++;
    }
    script_defer(conn);
}

void
script_disconnect_below(struct script_conn *conn, bool abortive)
{
    NET_BUFFER_LIST *nbl = host_nbl_create(conn->script->host, conn, 0, NULL, 0);

    if (!nbl)
        return;
    if (abortive)
        conn->abort_below = true;
    conn->fin_below = true;
    conn->disconnect = nbl;
    host_disconnect(&conn->down, nbl,
                    abortive ? TCP_DISCONNECT_ABORTIVE_CLOSE : TCP_DISCONNECT_GRACEFUL_CLOSE);
}

void
script_on_disconnected(struct host_conn *down, NET_BUFFER_LIST *nbl)
{
    struct script_conn *conn = script_of(down);
    NDIS_STATUS status = NET_BUFFER_LIST_STATUS(nbl);

    if (nbl == conn->disconnect)
        conn->disconnect = NULL;
    host_nbl_destroy(nbl);
    if (conn->abort_below) {
        conn->upload_wanted = true;
        script_end_conn(conn, SCRIPT_ABORTED);
    } else if (status == NDIS_STATUS_SUCCESS) {
        conn->fin_acked = true;
        if (conn->una_seq != conn->write_seq)
            script_breach(conn, "FIN before the data", conn->write_seq, conn->una_seq);
        script_look_closed(conn);
    } else if (wants_upload(status)) {
        conn->fin_below = false;
        conn->blocked = true;
    }
    script_defer(conn);
}

/* ---- receiving ---- */

void
script_deliver_nb(struct script_conn *conn, NET_BUFFER *nb, uint32_t len)
{
    MDL *mdl = NET_BUFFER_CURRENT_MDL(nb);
    uint32_t offset = NET_BUFFER_CURRENT_MDL_OFFSET(nb);

    while (len && mdl) {
        uint32_t part = MmGetMdlByteCount(mdl) - offset;
        part = part < len ? part : len;
        script_deliver(conn, (const uint8_t *)MmGetMdlVirtualAddress(mdl) + offset, part, true);
        len -= part;
        offset = 0;
        mdl = mdl->Next;
    }
}

static bool
post_one(struct script_conn *conn, struct script_post *post)
{
    post->nbl = script_nbl_create(conn, post->bytes, sizeof post->bytes);
    if (!post->nbl)
        return false;
    memset(post->before, AROUND_FILL, sizeof post->before);
    memset(post->behind, AROUND_FILL, sizeof post->behind);
    post->nbl->ProtocolReserved[1] = post;
    conn->posted++;
    host_receive(&conn->down, post->nbl);
    return true;
}

/* The peer has finished, and nothing before its FIN is with the target. */
static bool
nothing_more_to_come(const struct script_conn *conn)
{
    uint32_t here = conn->received_seq;

    list_for_each(loan, &conn->loans, struct script_loan, link)
        here += loan->delivered ? 0 : loan->len;
    return conn->fin_known && here == conn->fin_seq;
}

void
script_post_receives(struct script_conn *conn)
{
    bool all = conn->options.receive == SCRIPT_POST;

    if (!conn->reading || conn->upload_wanted || nothing_more_to_come(conn) || conn->blocked ||
        (!all && !conn->post_due))
        return;
    conn->post_due = false;
    for (unsigned i = 0; i < SCRIPT_POSTS; i++) {
        if (conn->posts[i].nbl)
            continue;
        if (!post_one(conn, &conn->posts[i]) || !all)
            return;
    }
}

static bool
untouched(const uint8_t *around)
{
    bool same = true;

    for (unsigned i = 0; i < SCRIPT_AROUND; i++)
        same &= around[i] == AROUND_FILL;
    return same;
}

void
script_on_received(struct host_conn *down, NET_BUFFER_LIST *nbl)
{
    struct script_conn *conn = script_of(down);
    struct script_post *post = nbl->ProtocolReserved[1];
    uint32_t bytes = transferred(nbl), left = NET_BUFFER_LIST_FIRST_NB(nbl)->DataLength;

    host_nbl_destroy(nbl);
    post->nbl = NULL;
    conn->posted--;
    if (!untouched(post->before) || !untouched(post->behind))
        script_breach(conn, "bytes written outside of a posted receive", 0, bytes);
    conn->window_due = true;
    if (bytes)
        script_return_loans(conn, SCRIPT_ALL); /* what is held came before it */
    if (bytes > SCRIPT_POST_BYTES || left != SCRIPT_POST_BYTES - bytes)
        script_breach(conn, "bytes left in a posted receive", SCRIPT_POST_BYTES - bytes, left);
    else
        script_deliver(conn, post->bytes, bytes, true);
    script_defer(conn);
}

static NDIS_STATUS
lend(struct script_conn *conn, NET_BUFFER_LIST *nbl, uint32_t len, ULONG *consumed)
{
    bool hold = conn->options.receive == SCRIPT_HOLD;
    struct script_loan *loan = malloc(sizeof *loan);

    *consumed = 0;
    if (!loan)
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    *loan = (struct script_loan){
        .nbl = nbl, .len = len, .delivered = !hold, .due_us = script_now(conn)};
    list_add_tail(&conn->loans, &loan->link);
    if (hold) {
        loan->due_us += conn->options.hold_us;
        sys_timer_set(&conn->hold_timer,
                      list_first(&conn->loans, struct script_loan, link)->due_us);
    } else {
        script_deliver_nb(conn, NET_BUFFER_LIST_FIRST_NB(nbl), len);
        script_defer(conn);
    }
    *consumed = len;
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
script_on_indicate(struct host_conn *down, NET_BUFFER_LIST *nbl, ULONG *consumed)
{
    static const uint32_t thirds[] = {0, 1, 3};
    struct script_conn *conn = script_of(down);
    uint32_t len = NET_BUFFER_LIST_FIRST_NB(nbl)->DataLength, part = len;

    if (NET_BUFFER_LIST_NEXT_NBL(nbl))
        script_breach(conn, "NBLs in an indication", 1, 2);
    if (!conn->reading)
        part = 0;
    else if (conn->options.receive == SCRIPT_NIBBLE)
        part = (uint32_t)((uint64_t)len * thirds[conn->post_count++ % 3] / 3);
    if (part == len)
        return lend(conn, nbl, len, consumed);
    script_deliver_nb(conn, NET_BUFFER_LIST_FIRST_NB(nbl), part);
    *consumed = part;
    conn->post_due = conn->reading;
    script_defer(conn);
    return part ? NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED
                : NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
}

void
script_return_loans(struct script_conn *conn, enum script_loans which)
{
    NET_BUFFER_LIST *head = NULL, **tail = &head;
    uint64_t next_us = SYS_NEVER, now = script_now(conn);

    list_for_each_safe(loan, &conn->loans, struct script_loan, link) {
        if (which == SCRIPT_DUE && loan->due_us > now) {
            next_us = loan->due_us;
            break;
        }
        if (which != SCRIPT_DROP && !loan->delivered)
            script_deliver_nb(conn, NET_BUFFER_LIST_FIRST_NB(loan->nbl), loan->len);
        NET_BUFFER_LIST_NEXT_NBL(loan->nbl) = NULL;
        *tail = loan->nbl;
        tail = &NET_BUFFER_LIST_NEXT_NBL(loan->nbl);
        list_del(&loan->link);
        free(loan);
    }
    sys_timer_set(&conn->hold_timer, next_us);
    if (head)
        host_receive_return(&conn->down, head);
    conn->window_due |= head != NULL;
    script_tell_window(conn);
}

void
script_tell_window(struct script_conn *conn)
{
    const struct script_options *options = &conn->options;
    const NDIS_TCP_CONNECTION_OFFLOAD *can;
    uint32_t kept = conn->received_seq - conn->delivered_seq;
    TCP_OFFLOAD_STATE_CACHED cached = script_cached(conn);

    if (!options->ack_returned || !conn->window_due || conn->down.state != HOST_CONN_OFFLOADED)
        return;
    can = conn->script->binding ? host_binding_capabilities(conn->script->binding) : NULL;
    if (!can || !(can->Flags & NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED))
        return;
    cached.Flags |= TCP_FLAG_UPDATE_RCV_WND;
    cached.InitialRcvWnd = kept < options->receive_buffer ? options->receive_buffer - kept : 0;
    if (host_update(&conn->down, &cached) == 0)
        conn->window_due = false;
}

void
script_on_hold_timer(void *arg)
{
    struct script_conn *conn = arg;

    if (conn->down.state == HOST_CONN_OFFLOADED)
        script_return_loans(conn, SCRIPT_DUE);
}

/* ---- forwarding ---- */

void
script_forward_waiting(struct script_conn *conn)
{
    NET_BUFFER_LIST *head = NULL, **tail = &head;

    while (!list_empty(&conn->waiting)) {
        struct script_frame *frame = list_first(&conn->waiting, struct script_frame, link);
        frame->nbl = script_nbl_create(conn, frame->tcp, frame->tcp_len);
        if (!frame->nbl)
            break;
        list_del(&frame->link);
        list_add_tail(&conn->forwards, &frame->link);
        frame->nbl->ProtocolReserved[1] = frame;
        NET_BUFFER_LIST_INFO(frame->nbl, TcpForwardEcn) = (PVOID)(uintptr_t)frame->segment.ecn;
        conn->figures.forwarded++;
        *tail = frame->nbl;
        tail = &NET_BUFFER_LIST_NEXT_NBL(frame->nbl);
    }
    if (head)
        host_forward(&conn->down, head);
}

void
script_on_forwarded(struct host_conn *down, NET_BUFFER_LIST *nbl)
{
    struct script_conn *conn = script_of(down);
    struct script_frame *frame = nbl->ProtocolReserved[1];
    NDIS_STATUS status = NET_BUFFER_LIST_STATUS(nbl);

    host_nbl_destroy(nbl);
    frame->nbl = NULL;
    list_del(&frame->link);
    if (wants_upload(status))
        list_add_tail(&conn->waiting, &frame->link);
    else
        free(frame);
}

/* ---- events ---- */

void
script_on_event(struct host_conn *down, ULONG type, ULONG info)
{
    struct script_conn *conn = script_of(down);

    switch (type) {
    case TcpIndicateDisconnect:
        script_on_fin(conn);
        script_watch_fin(conn);
        conn->upload_wanted |= conn->options.ack_returned; /* no NBL brings it: it is ours to ack */
        break;
    case TcpIndicateAbort:
        conn->upload_wanted = true;
        script_end_conn(conn, SCRIPT_RESET);
        break;
    case TcpIndicateRetrieve:
        conn->upload_wanted = true;
        conn->silenced |= info == InvalidState;
        break;
    default:
        break;
    }
    script_defer(conn);
}
