/*
 * Sends: a queue of NBLs in posting order, which is the order of the sequence numbers. Nothing is
 * copied: the wire takes the payload from the NBLs' own MDLs, so an NBL stays until the peer has
 * acknowledged its last byte; only then it completes, always SUCCESS, many in one call (V-075,
 * V-077, V-078). Sequence numbers tell before from behind among half of them: who posts more than
 * half of that half gets the connection back.
 *
 * A sequence number is found by a cursor that remembers the last place: sending in order costs
 * nothing, a retransmission walks from the front of the queue. A graceful disconnect is the last
 * NBL of the queue and completes on its own way (disconnect.c).
 */
#include "target/soft/conn.h"

#include <string.h>
#include <sys/uio.h>

#define BACKLOG_MARGIN (128u * 1024)

/* ---- queueing ---- */

void
soft_send_adopt(struct soft_conn *conn, NET_BUFFER_LIST *chain)
{
    while (chain) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(chain);
        soft_nbl_enqueue(&conn->sends, chain);
        chain = next;
    }
}

/* What becomes of a send that cannot be taken. */
static NDIS_STATUS
refusal(const struct soft_conn *conn)
{
    return conn->phase == SOFT_STOPPED || conn->events & TCP_EV_SYN ? NDIS_STATUS_UPLOAD_IN_PROGRESS
                                                                    : NDIS_STATUS_REQUEST_ABORTED;
}

bool
soft_send_fits(struct soft_conn *conn, uint32_t bytes)
{
    if (!(conn->events & TCP_EV_SYN) && bytes <= SOFT_SENDS_MOST &&
        conn->tcp.snd_end - conn->tcp.snd_una <= SOFT_SENDS_MOST - bytes)
        return true;
    conn->events |= TCP_EV_SYN; /* the same upload */
    return false;
}

NDIS_STATUS
SoftTcpOffloadSend(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                   NET_BUFFER_LIST *NetBufferList)
{
    struct soft_conn *conn = soft_conn_of(MiniportOffloadContext);
    bool open = conn->phase <= SOFT_OPEN && !conn->finished;
    uint32_t bytes = 0, sends = 0;

    for (NET_BUFFER_LIST *nbl = NetBufferList, *next; nbl; nbl = next) {
        uint32_t len = soft_nbl_measure(nbl);
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        open = open && soft_send_fits(conn, len);
        if (!open) {
            soft_nbl_settle(nbl, refusal(conn), 0);
            soft_done(conn, &conn->done_sends, nbl);
            continue;
        }
        soft_nbl_enqueue(&conn->sends, nbl);
        if (len)
            tcp_queue(&conn->tcp, len);
        bytes += len;
        sends++;
    }
    soft_watch_sent(conn, sends, bytes);
    soft_dirty(conn);
    return NDIS_STATUS_PENDING;
}

/* ---- ending ---- */

static void
forget_first(struct soft_conn *conn, NET_BUFFER_LIST *nbl)
{
    list_del(soft_nbl_link(nbl));
    conn->send_seq += soft_nbl_length(nbl);
    if (conn->cursor.nbl == nbl)
        conn->cursor.nbl = NULL;
}

void
soft_send_settle(struct soft_conn *conn)
{
    NET_BUFFER_LIST *nbl;

    while ((nbl = soft_nbl_first(&conn->sends)) && nbl != conn->disconnect) {
        uint32_t len = soft_nbl_length(nbl);
        if (seq_after(conn->send_seq + len, conn->tcp.snd_una))
            break;
        forget_first(conn, nbl);
        soft_nbl_settle(nbl, NDIS_STATUS_SUCCESS, len);
        soft_done(conn, &conn->done_sends, nbl);
    }
}

/* Bytes of the first NBL that the peer has acknowledged. */
static uint32_t
acknowledged(const struct soft_conn *conn, uint32_t len)
{
    uint32_t bytes = conn->tcp.snd_una - conn->send_seq;

    if (!seq_after(conn->tcp.snd_una, conn->send_seq))
        return 0;
    return bytes < len ? bytes : len;
}

void
soft_send_fail(struct soft_conn *conn, NDIS_STATUS status)
{
    NET_BUFFER_LIST *nbl;

    soft_send_settle(conn);
    while ((nbl = soft_nbl_first(&conn->sends)) && nbl != conn->disconnect) {
        uint32_t bytes = acknowledged(conn, soft_nbl_length(nbl));
        forget_first(conn, nbl);
        soft_nbl_settle(nbl, status, bytes);
        soft_done(conn, &conn->done_sends, nbl);
    }
}

NET_BUFFER_LIST *
soft_send_take(struct soft_conn *conn, NET_BUFFER_LIST **tail)
{
    struct soft_nbls chain = {NULL, NULL};
    NET_BUFFER_LIST *nbl;

    soft_send_settle(conn);
    while ((nbl = soft_nbl_first(&conn->sends)) && nbl != conn->disconnect) {
        uint32_t bytes = acknowledged(conn, soft_nbl_length(nbl));
        forget_first(conn, nbl);
        soft_nbl_advance(nbl, bytes);
        soft_nbls_add(&chain, nbl);
    }
    soft_disconnect_settle(conn, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    *tail = chain.tail;
    return chain.head;
}

/* ---- finding bytes ---- */

static void
enter_nbl(struct soft_cursor *cursor, NET_BUFFER_LIST *nbl)
{
    cursor->nbl = nbl;
    cursor->nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    cursor->nb_left = cursor->nb ? NET_BUFFER_DATA_LENGTH(cursor->nb) : 0;
    cursor->mdl = cursor->nb ? NET_BUFFER_CURRENT_MDL(cursor->nb) : NULL;
    cursor->mdl_offset = cursor->nb ? NET_BUFFER_CURRENT_MDL_OFFSET(cursor->nb) : 0;
}

/* Moves to where there is a byte; false: the queue ends here. */
static bool
settle_cursor(struct soft_conn *conn, struct soft_cursor *cursor)
{
    for (;;) {
        if (cursor->nb_left && cursor->mdl) {
            uint32_t count = MmGetMdlByteCount(cursor->mdl);
            if (cursor->mdl_offset < count)
                return true;
            cursor->mdl_offset -= count;
            cursor->mdl = cursor->mdl->Next;
        } else if (cursor->nb && NET_BUFFER_NEXT_NB(cursor->nb)) {
            cursor->nb = NET_BUFFER_NEXT_NB(cursor->nb);
            cursor->nb_left = NET_BUFFER_DATA_LENGTH(cursor->nb);
            cursor->mdl = NET_BUFFER_CURRENT_MDL(cursor->nb);
            cursor->mdl_offset = NET_BUFFER_CURRENT_MDL_OFFSET(cursor->nb);
        } else {
            struct list *next = soft_nbl_link(cursor->nbl)->next;
            if (next == &conn->sends)
                return false;
            enter_nbl(cursor, soft_nbl_of(next));
        }
    }
}

/* The next contiguous piece of at most len bytes; 0: the queue ends. */
static uint32_t
next_piece(struct soft_conn *conn, struct soft_cursor *cursor, uint32_t len, struct iovec *piece)
{
    if (!settle_cursor(conn, cursor))
        return 0;
    uint32_t here = MmGetMdlByteCount(cursor->mdl) - cursor->mdl_offset;
    uint32_t step = here < cursor->nb_left ? here : cursor->nb_left;
    if (step > len)
        step = len;
    uint8_t *base = MmGetSystemAddressForMdlSafe(cursor->mdl, NormalPagePriority);
    *piece = (struct iovec){base + cursor->mdl_offset, step};
    cursor->mdl_offset += step;
    cursor->nb_left -= step;
    cursor->seq += step;
    return step;
}

/* False: seq is not in the queue. */
static bool
seek(struct soft_conn *conn, uint32_t seq)
{
    struct soft_cursor *cursor = &conn->cursor;
    struct iovec skipped;

    if (!cursor->nbl || seq_before(seq, cursor->seq)) {
        NET_BUFFER_LIST *nbl = soft_nbl_first(&conn->sends);
        if (!nbl || seq_before(seq, conn->send_seq))
            return false;
        cursor->seq = conn->send_seq;
        while (seq - cursor->seq >= soft_nbl_length(nbl)) {
            struct list *next = soft_nbl_link(nbl)->next;
            if (next == &conn->sends)
                return false;
            cursor->seq += soft_nbl_length(nbl);
            nbl = soft_nbl_of(next);
        }
        enter_nbl(cursor, nbl);
    }
    while (cursor->seq != seq) {
        if (!next_piece(conn, cursor, seq - cursor->seq, &skipped))
            return false;
    }
    return true;
}

size_t
soft_send_gather(struct soft_conn *conn, uint32_t seq, uint32_t len, struct iovec *pieces,
                 size_t max)
{
    size_t count = 0;

    if (!seek(conn, seq))
        return 0;
    while (len && count < max) {
        uint32_t step = next_piece(conn, &conn->cursor, len, &pieces[count]);
        if (!step)
            return 0;
        len -= step;
        count++;
    }
    return len ? 0 : count;
}

bool
soft_send_copy(struct soft_conn *conn, uint32_t seq, uint32_t len, uint8_t *out)
{
    struct iovec piece;

    if (!seek(conn, seq))
        return false;
    while (len) {
        uint32_t step = next_piece(conn, &conn->cursor, len, &piece);
        if (!step)
            return false;
        memcpy(out, piece.iov_base, step);
        out += step;
        len -= step;
    }
    return true;
}

/* ---- backlog ---- */

/*
 * Bytes the host stack had best keep outstanding: more than the congestion window, so that an
 * acknowledgement finds data, and never more than the peer takes.
 */
uint32_t
soft_send_backlog(const struct soft_conn *conn)
{
    uint64_t window = tcp_congestion_window(&conn->tcp);
    uint64_t bytes = window + window / 4 + BACKLOG_MARGIN;

    return bytes < conn->tcp.snd_wnd ? (uint32_t)bytes : conn->tcp.snd_wnd;
}
