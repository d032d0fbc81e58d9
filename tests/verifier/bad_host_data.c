/*
 * Data: sends, posts, disconnects, forwards, frames, and what is indicated. Every NBL of ours knows
 * its record (ProtocolReserved[0], and once more in its context); a record keeps where in the
 * stream its bytes are, so that every byte and every count can be checked.
 *
 * Sources: D:w_tcp_offload_send_handler, D:w_tcp_offload_receive_handler,
 * D:ndis_tcp_offload_receive_indicate, D:w_tcp_offload_forward_handler,
 * D:w_tcp_offload_disconnect_handler; V-082 … V-085, V-102 … V-104, V-110, V-111, V-118 … V-127.
 */
#include "bad_host.h"

#include "mutant.h"

#include <stdlib.h>

/* ---- NBLs ---- */

/* As large as contexts are aligned. */
struct context {
    struct bh_data *data;
    PVOID unused;
};

/* Two pieces, so that nobody relies on one. */
static MDL *
create_mdls(struct bad_host *host, UCHAR *bytes, ULONG length)
{
    ULONG first = length > 1 ? length / 2 : 1;
    MDL *mdl = NdisAllocateMdl(host->protocol, bytes, first);

    if (mdl && length > first)
        mdl->Next = NdisAllocateMdl(host->protocol, bytes + first, length - first);
    return mdl;
}

static void
free_mdls(NET_BUFFER *nb)
{
    MDL *next;

    for (MDL *mdl = nb->MdlChain; mdl; mdl = next) {
        next = mdl->Next;
        NdisFreeMdl(mdl);
    }
}

struct bh_data *
bh_data_create(struct bh_conn *conn, struct bad_host *host, unsigned buffers, ULONG bytes,
               ULONG prefix)
{
    struct bh_data *data = calloc(1, sizeof(*data) + prefix + buffers * bytes + 1);
    NET_BUFFER **last;

    if (!data)
        abort();
    list_init(&data->link);
    data->host = host;
    data->conn = conn;
    data->length = buffers * bytes;
    data->nbl = NdisAllocateNetBufferAndNetBufferList(
        host->pool, 0, 0, create_mdls(host, data->bytes, prefix + bytes), prefix, bytes);
    data->first = data->nbl->FirstNetBuffer;
    last = &data->first->Next;
    for (unsigned i = 1; i < buffers; i++) {
        *last = NdisAllocateNetBuffer(
            host->nb_pool, create_mdls(host, data->bytes + prefix + i * bytes, bytes), 0, bytes);
        last = &(*last)->Next;
    }
    data->nbl->ProtocolReserved[0] = data;
    if (NdisAllocateNetBufferListContext(data->nbl, sizeof(struct context), 0, BH_TAG) !=
        NDIS_STATUS_SUCCESS)
        abort();
    ((struct context *)NET_BUFFER_LIST_CONTEXT_DATA_START(data->nbl))->data = data;
    return data;
}

void
bh_data_destroy(struct bh_data *data)
{
    NET_BUFFER *first = data->first, *next;

    list_del(&data->link);
    NdisFreeNetBufferListContext(data->nbl, bad_v(190, 4) ? 64 : sizeof(struct context));
    for (NET_BUFFER *nb = first->Next; nb; nb = next) {
        next = nb->Next;
        free_mdls(nb);
        NdisFreeNetBuffer(nb);
    }
    free_mdls(first);
    NdisFreeNetBufferList(data->nbl);
    free(data);
}

static struct bh_data *
data_of(const NET_BUFFER_LIST *nbl)
{
    return nbl->ProtocolReserved[0];
}

static ULONG
transferred(const NET_BUFFER_LIST *nbl)
{
    return (ULONG)(ULONG_PTR)NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred);
}

/* ---- sends ---- */

static struct bh_data *
create_send(struct bh_conn *conn, unsigned buffers, ULONG bytes)
{
    struct bh_data *data = bh_data_create(conn, conn->object.host, buffers, bytes, 0);

    data->seq = conn->send_seq;
    stream_fill(data->bytes, data->length, conn->port, false, data->seq);
    conn->send_seq += data->length;
    return data;
}

static void
call_send(struct bh_conn *conn, NET_BUFFER_LIST *list)
{
    struct bad_host *host = conn->object.host;
    bool locked = bad_v(191, 3);

    if (locked)
        NdisAcquireSpinLock(&host->lock);
    host->sending = conn;
    NdisOffloadTcpSend(&conn->object.handle, list);
    host->sending = NULL;
    if (locked)
        NdisReleaseSpinLock(&host->lock);
}

void
bh_send(struct bh_conn *conn, unsigned count, unsigned buffers, ULONG bytes)
{
    struct bad_host *host = conn->object.host;
    struct stream_chain chain = {NULL, NULL};

    for (unsigned i = 0; i < count; i++) {
        struct bh_data *data = create_send(conn, buffers, bytes);

        NdisAcquireSpinLock(&host->lock);
        list_add_tail(&conn->sends, &data->link);
        host->nbls_out++;
        NdisReleaseSpinLock(&host->lock);
        stream_chain_add(&chain, data->nbl);
    }
    bh_spoil_send(chain.head);
    call_send(conn, chain.head);
    if (bad_v(85, 1))
        data_of(chain.head)->bytes[0] ^= 1;
    if (count == 1 && bad_v(85, 2))
        chain.head->FirstNetBuffer->DataLength--;
}

void
bh_prepare_sends(struct bh_conn *conn, unsigned count, ULONG bytes, ULONG in_flight)
{
    for (unsigned i = 0; i < count; i++) {
        struct bh_data *data = create_send(conn, 1, bytes);

        data->at_home = true;
        list_add_tail(&conn->sends, &data->link);
    }
    conn->state.SndNxt = conn->state.SndMax = conn->state.SndUna + in_flight;
}

void
bh_sends_take(struct bh_conn *conn, struct stream_chain *chain)
{
    list_for_each(data, &conn->sends, struct bh_data, link)
        if (data->at_home)
            stream_chain_add(chain, data->nbl);
}

static void
come_home(struct bh_data *data)
{
    data->at_home = true;
    data->consumed = data->length - stream_length(data->nbl);
    data->nbl->Next = NULL;
    data->host->nbls_out--;
}

static struct bh_data *
find_send(struct bh_conn *conn, const NET_BUFFER_LIST *nbl)
{
    list_for_each(data, &conn->sends, struct bh_data, link)
        if (data->nbl == nbl && !data->at_home)
            return data;
    return NULL;
}

/* V-147: ours, and in order. */
void
bh_sends_back(struct bh_conn *conn, NET_BUFFER_LIST *chain)
{
    struct bad_host *host = conn->object.host;
    struct bh_data *last = NULL;
    NET_BUFFER_LIST *next;

    for (; chain; chain = next) {
        struct bh_data *data = find_send(conn, chain);

        next = chain->Next;
        if (!data) {
            host->wrong++;
            continue;
        }
        host->wrong += last && (LONG)(data->seq - last->seq) < 0;
        come_home(data);
        last = data;
    }
}

/* In order of the stream, whatever their status. */
static void
send_done(struct bh_data *data)
{
    struct bh_conn *conn = data->conn;
    NET_BUFFER_LIST *nbl = data->nbl;
    ULONG bytes = transferred(nbl), before = data->length - data->consumed;

    conn->acked += bytes;
    data->host->wrong += stream_length(nbl) + bytes != before;
    if (nbl->Status == NDIS_STATUS_UPLOAD_IN_PROGRESS) {
        conn->uploaded++;
        come_home(data);
        return;
    }
    data->host->wrong += nbl->Status == NDIS_STATUS_SUCCESS && bytes != before;
    data->host->wrong += !list_empty(&conn->sends) && conn->sends.next != &data->link;
    if (nbl->Status == NDIS_STATUS_SUCCESS)
        conn->sent++;
    else
        conn->aborted++;
    data->host->nbls_out--;
    bh_data_destroy(data);
}

static void
request_upload(struct bh_data *data)
{
    data->conn->object.leave = true;
    data->conn->uploaded++;
    come_home(data);
}

VOID
bh_send_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bad_host *host = ProtocolBindingContext;
    NET_BUFFER_LIST *next;

    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = next) {
        next = nbl->Next;
        if (nbl->Status == NDIS_STATUS_REQUEST_UPLOAD ||
            nbl->Status == NDIS_STATUS_UPLOAD_REQUESTED)
            request_upload(data_of(nbl));
        else
            send_done(data_of(nbl));
    }
    bh_kick(host);
}

/* ---- posts ---- */

static struct bh_data *
create_post(struct bh_conn *conn, ULONG bytes, bool no_push, ULONG prefilled)
{
    bool two = bytes > 1 && !prefilled && bad_v(102, 1);
    struct bh_data *data = bh_data_create(conn, conn->object.host, two ? 2 : 1,
                                          two ? bytes / 2 : bytes, prefilled);

    if (prefilled && bad(103))
        no_push = false;
    data->consumed = prefilled;
    NET_BUFFER_LIST_INFO(data->nbl, TcpReceiveNoPush) = (PVOID)(ULONG_PTR)no_push;
    NET_BUFFER_LIST_INFO(data->nbl, TcpReceiveBytesTransferred) = (PVOID)(ULONG_PTR)prefilled;
    list_add_tail(&conn->posts, &data->link);
    conn->object.host->nbls_out++;
    return data;
}

struct bh_data *
bh_post(struct bh_conn *conn, ULONG bytes, bool no_push, ULONG prefilled)
{
    struct bh_data *data = create_post(conn, bytes, no_push, prefilled);

    conn->object.host->posting = conn;
    NdisOffloadTcpReceive(&conn->object.handle, data->nbl);
    conn->object.host->posting = NULL;
    return data;
}

void
bh_post_list(struct bh_conn *conn, unsigned count, ULONG bytes)
{
    struct stream_chain chain = {NULL, NULL};

    for (unsigned i = 0; i < count; i++)
        stream_chain_add(&chain, create_post(conn, bytes, false, 0)->nbl);
    NdisOffloadTcpReceive(&conn->object.handle, chain.head);
}

/* What has arrived counts, whatever the status. */
static void
post_done(struct bh_data *data)
{
    struct bh_conn *conn = data->conn;
    ULONG bytes = transferred(data->nbl);
    NDIS_STATUS status = data->nbl->Status;

    data->host->nbls_out--;
    data->host->wrong += conn->posts.next != &data->link;
    data->host->wrong += bytes > data->length || stream_length(data->nbl) != data->length - bytes;
    for (ULONG i = 0; i < bytes && bytes <= data->length; i++)
        data->host->wrong += data->bytes[data->consumed + i] !=
                             stream_byte(conn->port, true, conn->receive_seq++);
    conn->last_received = bytes;
    conn->received += status == NDIS_STATUS_SUCCESS;
    conn->invalid_state += status == NDIS_STATUS_INVALID_STATE;
    conn->receives_aborted += status == NDIS_STATUS_REQUEST_ABORTED;
    conn->receives_uploaded += status == NDIS_STATUS_UPLOAD_IN_PROGRESS;
    bh_data_destroy(data);
    if (conn->repost && status == NDIS_STATUS_SUCCESS && conn->object.where == BH_DOWN)
        bh_post(conn, conn->repost, false, 0);
}

VOID
bh_receive_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bad_host *host = ProtocolBindingContext;
    NET_BUFFER_LIST *next;

    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = next) {
        next = nbl->Next;
        post_done(data_of(nbl));
    }
    bh_kick(host);
}

/* ---- indications ---- */

static bool
hold(struct bad_host *host, NET_BUFFER_LIST *nbl)
{
    for (unsigned i = 0; i < host->held_count; i++)
        if (host->held[i] == nbl)
            return false;
    if (host->held_count == BH_HELD_MAX)
        return false;
    host->held[host->held_count++] = nbl;
    return true;
}

static NDIS_STATUS
answer(struct bh_conn *conn, NET_BUFFER_LIST *nbl, ULONG take, PULONG consumed)
{
    struct bad_host *host = conn->object.host;
    ULONG length = stream_length(nbl);

    *consumed = 0;
    if (!take || (take >= length && !hold(host, nbl))) {
        conn->refusals++;
        if (bad_v(110, 3))
            *consumed = 5;
        if (bad_v(111, 3))
            hold(host, nbl);
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    }
    if (take > length)
        take = length;
    host->wrong += stream_wrong(nbl, take, conn->port, true, conn->receive_seq);
    conn->receive_seq += take;
    *consumed = take;
    if (take == length && bad_v(110, 1))
        *consumed = 0;
    if (take < length && bad_v(110, 2))
        *consumed = length;
    return take < length ? NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED : NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
bh_indicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
            PULONG BytesConsumed)
{
    struct bh_conn *conn = container_of(OffloadContext, struct bh_conn, object.handle);
    void (*hook)(struct bh_conn *) = conn->on_indicate;

    *BytesConsumed = 0;
    if (conn->object.kind != BH_TCP)
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    conn->indications++;
    conn->on_indicate = NULL;
    if (hook)
        hook(conn);
    bh_kick(conn->object.host);
    return answer(conn, NetBufferList, conn->take, BytesConsumed);
}

/* One list, whatever connections they are of (V-111, V-112). */
void
bh_return_all(struct bad_host *host)
{
    struct stream_chain chain = {NULL, NULL};

    for (unsigned i = 0; i < host->held_count; i++)
        stream_chain_add(&chain, host->held[i]);
    host->held_count = 0;
    if (!chain.head || bad_v(111, 2))
        return;
    NdisOffloadTcpReceiveReturn(host->binding, chain.head);
    if (bad_once_v(111, 1))
        NdisOffloadTcpReceiveReturn(host->binding, chain.tail);
}

void
bh_buffered_take(struct bh_conn *conn, NET_BUFFER_LIST *list)
{
    struct bad_host *host = conn->object.host;
    NET_BUFFER_LIST *next;

    for (; list; list = next) {
        ULONG length = stream_length(list);

        next = list->Next;
        host->wrong += stream_wrong(list, length, conn->port, true, conn->receive_seq);
        conn->receive_seq += length;
        host->wrong += !hold(host, list);
    }
}

NET_BUFFER_LIST *
bh_buffered_make(struct bh_conn *conn)
{
    ULONG bytes = conn->state.RcvNxt - conn->receive_seq - conn->events[TcpIndicateDisconnect];
    struct bh_data *data;

    if (!bytes || bytes > conn->cached.InitialRcvWnd)
        return NULL;
    data = bh_data_create(conn, conn->object.host, 1, bytes, 0);
    stream_fill(data->bytes, bytes, conn->port, true, conn->receive_seq);
    return data->nbl;
}

void
bh_buffered_free(struct bad_host *host, NET_BUFFER_LIST *list)
{
    if (list)
        bh_data_destroy(data_of(list));
}

/* ---- disconnect ---- */

void
bh_disconnect(struct bh_conn *conn, ULONG bytes, ULONG flags)
{
    bool abortive = flags == TCP_DISCONNECT_ABORTIVE_CLOSE;
    struct bh_data *data = create_send(conn, 1, abortive && bad_v(122, 1) ? 10 : bytes);

    if (bad_v(122, 2))
        flags = TCP_DISCONNECT_ABORTIVE_CLOSE | TCP_DISCONNECT_GRACEFUL_CLOSE;
    if (bad_v(122, 3))
        flags = 0;
    conn->close = data;
    conn->object.host->nbls_out++;
    NdisOffloadTcpDisconnect(&conn->object.handle, data->nbl, flags);
    if (!abortive && bad_once_v(84, 2))
        bh_send(conn, 1, 1, 10);
}

VOID
bh_disconnect_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bad_host *host = ProtocolBindingContext;
    struct bh_data *data = data_of(NetBufferList);
    struct bh_conn *conn = data->conn;

    if (NetBufferList->Next || conn->close != data) {
        host->wrong++;
        return;
    }
    conn->close = NULL;
    conn->closes++;
    conn->close_status = NetBufferList->Status;
    host->wrong += NetBufferList->Status == NDIS_STATUS_SUCCESS &&
                   transferred(NetBufferList) != data->length;
    host->nbls_out--;
    bh_data_destroy(data);
    if (conn->close_status != NDIS_STATUS_SUCCESS && bad_once(127))
        bh_disconnect(conn, 0, TCP_DISCONNECT_GRACEFUL_CLOSE);
    bh_kick(host);
}

/* ---- forward ---- */

#define TCP_HEADER 20u

static void
fill_segment(UCHAR *segment, struct bh_conn *conn, ULONG bytes)
{
    ULONG seq = conn->receive_seq;

    NdisMoveMemory(segment, &conn->constant.RemotePort, 2);
    NdisMoveMemory(segment + 2, &conn->constant.LocalPort, 2);
    for (int i = 0; i < 4; i++)
        segment[4 + i] = (UCHAR)(seq >> (24 - 8 * i));
    segment[12] = TCP_HEADER / 4 << 4;
    segment[13] = 0x18; /* PSH, ACK */
    stream_fill(segment + TCP_HEADER, bytes, conn->port, true, seq);
}

void
bh_forward(struct bh_conn *conn, ULONG bytes)
{
    struct bh_data *data = bh_data_create(conn, conn->object.host, 1, TCP_HEADER + bytes, 0);

    fill_segment(data->bytes, conn, bytes);
    if (bad_v(118, 1))
        data->first->DataLength = 10;
    if (bad_v(118, 2))
        NdisZeroMemory(data->bytes, TCP_HEADER);
    conn->object.host->nbls_out++;
    NdisOffloadTcpForward(&conn->object.handle, data->nbl);
}

VOID
bh_forward_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bad_host *host = ProtocolBindingContext;
    NET_BUFFER_LIST *next;

    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = next) {
        next = nbl->Next;
        data_of(nbl)->conn->forwarded += nbl->Status == NDIS_STATUS_SUCCESS;
        host->nbls_out--;
        bh_data_destroy(data_of(nbl));
    }
    bh_kick(host);
}

/* ---- the regular path ---- */

void
bh_frames_send(struct bad_host *host, unsigned count)
{
    struct stream_chain chain = {NULL, NULL};

    for (unsigned i = 0; i < count; i++) {
        struct bh_data *data = bh_data_create(NULL, host, 1, 60, 0);

        data->nbl->SourceHandle = bad_v(184, 2) ? NULL : host->binding;
        stream_chain_add(&chain, data->nbl);
        host->frames_out++;
    }
    NdisSendNetBufferLists(host->binding, chain.head, NDIS_DEFAULT_PORT_NUMBER, 0);
    if (bad_v(184, 3))
        chain.head->FirstNetBuffer->DataLength = 30;
}

VOID
bh_frames_sent(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
               ULONG SendCompleteFlags)
{
    struct bad_host *host = ProtocolBindingContext;
    NET_BUFFER_LIST *next;

    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = next) {
        next = nbl->Next;
        host->frames_sent += nbl->Status == NDIS_STATUS_SUCCESS;
        host->frames_out--;
        bh_data_destroy(data_of(nbl));
    }
    bh_kick(host);
}

VOID
bh_receive_frames(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                  NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    struct bad_host *host = ProtocolBindingContext;

    host->frames += NumberOfNetBufferLists;
    if (NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags) || helps_v(183, 1))
        return;
    NdisReturnNetBufferLists(
        host->binding, NetBufferLists,
        ReceiveFlags & NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL ? NDIS_RETURN_FLAGS_DISPATCH_LEVEL : 0);
}
