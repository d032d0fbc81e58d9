/*
 * Disconnects asked for by the host stack (chimney 6.6).
 *
 * Graceful: the NBL joins the end of the send queue with the data it may carry; the engine sends
 * the FIN behind it, on the last segment when it can. It completes SUCCESS when data and FIN are
 * acknowledged, which is after every earlier send (V-124). The receive half stays open.
 *
 * Both may be asked for inside the completion of the initiate already; they begin then, and
 * complete behind it.
 *
 * Abortive: the engine sends an RST and falls silent; sends and posted receives end REQUEST_ABORTED
 * first (V-123), the disconnect completes when the RST has been given to the wire.
 */
#include "target/soft/conn.h"

static void
start_graceful(struct soft_conn *conn, NET_BUFFER_LIST *nbl)
{
    conn->disconnect = nbl;
    conn->finished = true;
    soft_nbl_enqueue(&conn->sends, nbl);
    if (soft_nbl_length(nbl))
        tcp_queue(&conn->tcp, soft_nbl_length(nbl));
    tcp_queue_fin(&conn->tcp);
}

static void
start_abortive(struct soft_conn *conn, NET_BUFFER_LIST *nbl)
{
    soft_disconnect_settle(conn, NDIS_STATUS_REQUEST_ABORTED);
    soft_conn_set_phase(conn, SOFT_ABORTED, "disconnected by the host stack");
    soft_send_fail(conn, NDIS_STATUS_REQUEST_ABORTED);
    soft_receive_fail(conn, NDIS_STATUS_REQUEST_ABORTED);
    conn->disconnect = nbl;
    tcp_abort(&conn->tcp);
}

static void
refuse(struct soft_conn *conn, NET_BUFFER_LIST *nbl, NDIS_STATUS status)
{
    soft_nbl_settle(nbl, status, 0);
    soft_done(conn, &conn->done_disconnects, nbl);
}

NDIS_STATUS
SoftTcpOffloadDisconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                         NET_BUFFER_LIST *NetBufferList, ULONG Flags)
{
    struct soft_conn *conn = soft_conn_of(MiniportOffloadContext);
    bool abortive = Flags & TCP_DISCONNECT_ABORTIVE_CLOSE;

    if (conn->phase == SOFT_STOPPED)
        refuse(conn, NetBufferList, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    else if (conn->phase == SOFT_ABORTED || (conn->finished && !abortive))
        refuse(conn, NetBufferList, NDIS_STATUS_REQUEST_ABORTED);
    else if (abortive)
        start_abortive(conn, NetBufferList);
    else if (!soft_send_fits(conn, soft_nbl_measure(NetBufferList)))
        refuse(conn, NetBufferList, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    else
        start_graceful(conn, NetBufferList);
    soft_dirty(conn);
    return NDIS_STATUS_PENDING;
}

void
soft_disconnect_settle(struct soft_conn *conn, NDIS_STATUS status)
{
    NET_BUFFER_LIST *nbl = conn->disconnect;
    uint32_t bytes = 0;

    if (!nbl)
        return;
    if (!list_empty(&conn->sends) && conn->sends.prev == soft_nbl_link(nbl)) {
        uint32_t start = conn->tcp.snd_end - soft_nbl_length(nbl);
        if (seq_after(conn->tcp.snd_una, start))
            bytes = conn->tcp.snd_una - start;
        if (bytes > soft_nbl_length(nbl))
            bytes = soft_nbl_length(nbl);
        list_del(soft_nbl_link(nbl));
        if (conn->cursor.nbl == nbl)
            conn->cursor.nbl = NULL;
    }
    conn->disconnect = NULL;
    soft_nbl_settle(nbl, status, bytes);
    soft_done(conn, &conn->done_disconnects, nbl);
}
