/*
 * Forward: segments of an offloaded connection that the host stack received itself (chimney 6.3).
 * Each NBL holds one TCP segment, header first; it may be a superframe, then the segment size
 * stands where a large send keeps it (OURS).
 *
 * The segment becomes a received frame of our own, with link and IP header in front as the peer
 * would have written them: so its payload outlives the NBL, and what is not delivered can go up the
 * regular path like any other frame.
 *
 * A segment that would take the regular path if the wire had brought it (V-116) has come from
 * there: it goes back behind a terminate, which is asked for, or it would go round for ever.
 */
#include "target/soft/conn.h"

#include <stdlib.h>

#define HEADERS_MAX 64u

NDIS_STATUS
SoftTcpOffloadForward(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                      NET_BUFFER_LIST *NetBufferList)
{
    struct soft_conn *conn = soft_conn_of(MiniportOffloadContext);

    for (NET_BUFFER_LIST *nbl = NetBufferList, *next; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        soft_nbl_enqueue(&conn->forwards, nbl);
    }
    soft_dirty(conn);
    return NDIS_STATUS_PENDING;
}

static uint16_t
segment_size(const NET_BUFFER_LIST *nbl)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo)};

    return (uint16_t)large.LsoV2Transmit.MSS;
}

static uint8_t
ecn_field(const NET_BUFFER_LIST *nbl)
{
    return (uint8_t)((uintptr_t)NET_BUFFER_LIST_INFO(nbl, TcpForwardEcn) & 3);
}

/* The frame the peer might have sent; NULL: malformed, or out of memory. *tcp_offset: where the
 * segment begins. */
static struct wire_buf *
rebuild(struct soft_conn *conn, NET_BUFFER_LIST *nbl, uint32_t *tcp_offset)
{
    bool ipv6 = conn->key.ipv6;
    uint32_t len = soft_nbl_length(nbl);
    NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    struct wire_buf *buf = len && len <= 65535 ? wire_buf_create(HEADERS_MAX + len) : NULL;

    if (!buf)
        return NULL;
    uint32_t headers = (uint32_t)soft_write_headers(conn, len, 1, true, ecn_field(nbl), buf->data);
    uint8_t *to = buf->data + headers;
    const uint8_t *bytes = NdisGetDataBuffer(nb, len, to, 1, 0);
    if (!bytes) {
        wire_buf_put(buf);
        return NULL;
    }
    if (bytes != to)
        NdisMoveMemory(to, bytes, len);
    buf->len = headers + len;
    buf->meta = (struct wire_meta){
        .csum_valid = true, .csum_start = (uint16_t)headers, .csum_offset = 16};
    uint16_t size = segment_size(nbl);
    if (size) {
        buf->meta.gso_type = ipv6 ? WIRE_GSO_TCPV6 : WIRE_GSO_TCPV4;
        buf->meta.gso_size = size;
    }
    *tcp_offset = headers;
    return buf;
}

static void
process(struct soft_conn *conn, NET_BUFFER_LIST *nbl)
{
    struct tcp_segment segment;
    uint32_t tcp_offset = 0;
    struct wire_buf *buf = rebuild(conn, nbl, &tcp_offset);

    if (!buf)
        return;
    uint32_t len = buf->len - tcp_offset;
    if (!tcp_parse(buf->data + tcp_offset, len, &segment) && segment.header_len <= len) {
        segment.payload_len = len - segment.header_len;
        segment.ecn = ecn_field(nbl);
        segment.segment_size = buf->meta.gso_type ? buf->meta.gso_size : 0;
        if (soft_segment_input(conn, buf, tcp_offset, &segment) == SOFT_NOT_OURS)
            soft_segment_keep(conn, buf);
    }
    wire_buf_put(buf);
}

void
soft_forward_run(struct soft_conn *conn)
{
    NET_BUFFER_LIST *nbl;

    while ((nbl = soft_nbl_first(&conn->forwards))) {
        NDIS_STATUS status = NDIS_STATUS_SUCCESS;
        list_del(soft_nbl_link(nbl));
        if (conn->phase == SOFT_STOPPED)
            status = NDIS_STATUS_UPLOAD_IN_PROGRESS;
        else if (conn->phase == SOFT_ABORTED)
            status = NDIS_STATUS_REQUEST_ABORTED;
        else
            process(conn, nbl);
        NET_BUFFER_LIST_STATUS(nbl) = status;
        NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = NULL;
        soft_done(conn, &conn->done_forwards, nbl);
    }
}
