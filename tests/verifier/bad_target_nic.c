/*
 * The NIC and its pretend peer: what the scenario says has happened becomes work for the one place,
 * and from there events, indications and status. Sources: D:ndis_tcp_offload_event_indicate,
 * G:making-a-neighborreachabilityquery-indication, G:ndis-status-offload-pause and siblings;
 * V-130 … V-144.
 */
#include "bad_target.h"

#include "mutant.h"

#include <stdlib.h>

/* ---- events ---- */

static bool
is_mandatory(TCP_UPLOAD_REASON reason)
{
    return reason <= UploadRequested;
}

static bool
is_half_closed(const struct bt_conn *conn)
{
    return conn->state.State == TcpConnectionFinWait1 ||
           conn->state.State == TcpConnectionFinWait2 ||
           conn->state.State == TcpConnectionCloseWait;
}

void
bt_event(struct bt_conn *conn, ULONG type, ULONG information)
{
    conn->object.target->up.NdisTcpOffloadEventHandler(conn->object.handle, type, information);
}

void
bt_retrieve(struct bt_conn *conn, TCP_UPLOAD_REASON reason)
{
    if (conn->stopped || conn->aborted || conn->terminating)
        return;
    if (!is_mandatory(reason) && is_half_closed(conn) &&
        !bad_v(134, conn->state.State == TcpConnectionCloseWait ? 1 : 2))
        return;
    bt_flush(conn->object.target);
    conn->stopped = is_mandatory(reason) || bad(135);
    bt_event(conn, TcpIndicateRetrieve, bad_v(131, 2) ? 99 : reason);
}

static void
abort_by_peer(struct bt_conn *conn)
{
    conn->aborted = true;
    conn->state.State = TcpConnectionClosed;
    bt_flush(conn->object.target);
    bt_event(conn, TcpIndicateAbort, 0);
    if (!bad_v(133, 2))
        bt_fail_sends(conn,
                      bad_v(133, 1) ? NDIS_STATUS_UPLOAD_IN_PROGRESS : NDIS_STATUS_REQUEST_ABORTED);
    bt_fail_receives(conn, NDIS_STATUS_REQUEST_ABORTED);
    bt_flush(conn->object.target);
    bt_fail_close(conn, NDIS_STATUS_REQUEST_ABORTED);
}

/* ---- is the neighbor still there? (R-18) ---- */

struct query_block {
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    UCHAR states[NDIS_OFFLOAD_STATE_SPACE(NEIGHBOR_OFFLOAD_STATE_CONST) +
                 NDIS_OFFLOAD_STATE_SPACE(NEIGHBOR_OFFLOAD_STATE_CACHED) +
                 NDIS_OFFLOAD_STATE_SPACE(NEIGHBOR_OFFLOAD_STATE_DELEGATED)]
        __attribute__((aligned(8)));
};

/* What is not in such a block. Mutations only. */
static void
spoil_question(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block)
{
    static NDIS_MINIPORT_OFFLOAD_BLOCK_LIST dependent;

    if (bad_v(141, 3))
        block->Header.Type = NeighborOffloadCachedState;
    if (bad_v(141, 4))
        block->DependentBlockList = &dependent;
    if (bad_v(141, 5))
        block->Status = NDIS_STATUS_FAILURE;
}

static void
ask(struct bad_target *target, struct bt_neighbor *neighbor)
{
    struct query_block query = {
        .block = {.Header = {NeighborOffloadState, NDIS_OFFLOAD_BLOCK_LIST_REVISION_1,
                             sizeof(query.block)},
                  .Status = NDIS_STATUS_SUCCESS,
                  .NdisOffloadHandle = neighbor->object.handle},
    };
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(&query.block);
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached;
    NEIGHBOR_OFFLOAD_STATE_DELEGATED *delegated;
    ULONG now = bt_now(target);

    *constant = neighbor->constant;
    cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    *cached = neighbor->cached;
    cached->HostReachabilityDelta = now - neighbor->host_seen;
    delegated = NDIS_OFFLOAD_STATE_NEXT(cached);
    delegated->Header = (OFFLOAD_STATE_HEADER){.Length = sizeof(*delegated)};
    delegated->NicReachabilityDelta = now - neighbor->nic_seen;
    target->queries_up++;
    spoil_question(&query.block);
    NdisMOffloadEventIndicate(target->handle, &query.block, NeighborReachabilityQuery);
    neighbor->host_seen = now - cached->HostReachabilityDelta;
}

static struct bt_neighbor *
neighbor_of(const struct bt_conn *conn)
{
    struct bt_object *path = conn->object.parent;

    return path && path->parent ? (struct bt_neighbor *)path->parent : NULL;
}

void
bt_neighbor_check(struct bt_conn *conn)
{
    struct bad_target *target = conn->object.target;
    struct bt_neighbor *neighbor = neighbor_of(conn);
    ULONG now = bt_now(target), stale = target->parameters.NceStaleTicks;

    if (neighbor && bad_once_v(141, 1))
        ask(target, neighbor);
    if (!neighbor || now - neighbor->nic_seen <= stale || now - neighbor->host_seen <= stale)
        return;
    ask(target, neighbor);
    if (bad_v(141, 2))
        ask(target, neighbor);
}

/* ---- news, in the one place ---- */

struct bt_conn *
nic_find(struct bad_target *target, USHORT port)
{
    list_for_each(object, &target->objects, struct bt_object, all)
        if (object->kind == BT_TCP && bt_conn_of(object)->port == port && !object->dead)
            return bt_conn_of(object);
    return NULL;
}

static void
run_ack(struct bad_target *target, struct bt_work *work)
{
    struct bt_conn *conn = nic_find(target, work->port);
    ULONG bytes = work->number;
    struct bt_neighbor *neighbor;

    if (!conn || conn->stopped || conn->aborted)
        return;
    if (bytes > conn->state.SndMax - conn->state.SndUna)
        bytes = conn->state.SndMax - conn->state.SndUna;
    conn->state.SndUna += bytes;
    neighbor = neighbor_of(conn);
    if (neighbor)
        neighbor->nic_seen = bt_now(target);
    for (NET_BUFFER_LIST *nbl = conn->sends.head; nbl; nbl = nbl->MiniportReserved[0]) {
        ULONG have = (ULONG)(ULONG_PTR)nbl->MiniportReserved[1];
        ULONG more = stream_length(nbl) - have < bytes ? stream_length(nbl) - have : bytes;

        nbl->MiniportReserved[1] = (PVOID)(ULONG_PTR)(have + more);
        bytes -= more;
    }
    if (conn->close && bytes) {
        ULONG have = (ULONG)(ULONG_PTR)conn->close->MiniportReserved[1];

        conn->close->MiniportReserved[1] = (PVOID)(ULONG_PTR)(have + bytes);
    }
}

static void
run_ack_fin(struct bad_target *target, struct bt_work *work)
{
    struct bt_conn *conn = nic_find(target, work->port);

    if (!conn || !conn->fin_queued || conn->fin_acked || conn->state.SndMax != conn->queued_seq)
        return;
    conn->fin_acked = true;
    conn->state.SndUna = conn->state.SndNxt = conn->state.SndMax;
    if (conn->state.State == TcpConnectionFinWait1)
        conn->state.State = TcpConnectionFinWait2;
    else if (conn->state.State == TcpConnectionClosing)
        conn->state.State = TcpConnectionTimeWait;
    else if (conn->state.State == TcpConnectionLastAck)
        conn->state.State = TcpConnectionClosed;
}

static struct bt_chunk *
create_data(struct bt_conn *conn, ULONG bytes)
{
    struct bad_target *target = conn->object.target;
    struct bt_chunk *chunk = bt_chunk_create(target, bytes);

    stream_fill(chunk->bytes, bytes, conn->port, true, conn->state.RcvNxt);
    if (conn->object.parent)
        target->tcp[((struct bt_path *)conn->object.parent)->ipv6].InSegments++;
    return chunk;
}

static void
run_data(struct bad_target *target, struct bt_work *work)
{
    struct bt_conn *conn = nic_find(target, work->port);
    struct bt_chunk *chunk;

    if (!conn) { /* gone up meanwhile: not ours any more */
        bt_frames_up(target, 1);
        return;
    }
    chunk = create_data(conn, work->number);
    chunk->push = work->flag;
    bt_segment(conn, chunk);
}

void
nic_segment(struct bt_conn *conn, ULONG bytes)
{
    bt_segment(conn, create_data(conn, bytes));
}

static void
run_fin(struct bad_target *target, struct bt_work *work)
{
    struct bt_conn *conn = nic_find(target, work->port);

    if (!conn || conn->stopped || conn->aborted || conn->fin_received)
        return;
    conn->fin_received = true;
    conn->state.RcvNxt++;
    if (conn->state.State == TcpConnectionEstablished)
        conn->state.State = TcpConnectionCloseWait;
    else if (conn->state.State == TcpConnectionFinWait1)
        conn->state.State = TcpConnectionClosing;
    else if (conn->state.State == TcpConnectionFinWait2)
        conn->state.State = TcpConnectionTimeWait;
}

static void
run_rst(struct bad_target *target, struct bt_work *work)
{
    struct bt_conn *conn = nic_find(target, work->port);

    if (conn && !conn->aborted && !conn->stopped)
        abort_by_peer(conn);
}

/* Held, with all that follows, for the regular path. */
static void
run_urgent(struct bad_target *target, struct bt_work *work)
{
    struct bt_conn *conn = nic_find(target, work->port);

    if (!conn)
        return;
    conn->held++;
    bt_retrieve(conn, ReceivedUrgentData);
}

/* Events that may not be. Mutations only. */
static void
spoil_events(struct bt_conn *conn)
{
    struct bad_target *target = conn->object.target;

    for (ULONG i = 0; i < 100 && bad(136); i++)
        bt_event(conn, TcpIndicateSendBacklogChange, conn->backlog + i);
    if (conn->object.parent && bad_v(131, 3))
        target->up.NdisTcpOffloadEventHandler(conn->object.parent->handle,
                                              TcpIndicateSendBacklogChange, conn->backlog);
}

static void
run_window(struct bad_target *target, struct bt_work *work)
{
    struct bt_conn *conn = nic_find(target, work->port);

    if (!conn || conn->stopped || conn->aborted)
        return;
    conn->state.SndWnd = work->number;
    if (work->number > conn->state.MaxSndWnd)
        conn->state.MaxSndWnd = work->number;
    if (work->number == conn->backlog)
        return;
    conn->backlog = work->number;
    bt_event(conn, bad_v(131, 1) ? 9 : TcpIndicateSendBacklogChange, conn->backlog);
    spoil_events(conn);
}

static void
run_retrieve(struct bad_target *target, struct bt_work *work)
{
    struct bt_conn *conn = nic_find(target, work->port);

    if (conn)
        bt_retrieve(conn, work->number);
}

/* G:terminating-the-offload… : the state is lost; events first, then I/O. */
static void
run_break(struct bad_target *target, struct bt_work *work)
{
    struct bt_conn *conn = nic_find(target, work->port);

    if (!conn || conn->stopped || conn->aborted)
        return;
    bt_retrieve(conn, HardwareFailure);
    abort_by_peer(conn);
}

static void
run_frames(struct bad_target *target, struct bt_work *work)
{
    bt_frames_up(target, work->number);
}

static void
indicate_status(struct bad_target *target, NDIS_STATUS code)
{
    NDIS_STATUS_INDICATION indication = {
        .Header = {NDIS_OBJECT_TYPE_STATUS_INDICATION, NDIS_STATUS_INDICATION_REVISION_1,
                   sizeof(indication)},
        .SourceHandle = target->handle,
        .StatusCode = code,
    };

    if (code != NDIS_STATUS_OFFLOAD_PAUSE && code != NDIS_STATUS_UPLOAD_ALL) {
        indication.StatusBuffer = &target->capabilities;
        indication.StatusBufferSize = sizeof(target->capabilities);
    }
    NdisMIndicateStatusEx(target->handle, &indication);
}

static void
run_status(struct bad_target *target, struct bt_work *work)
{
    NDIS_STATUS code = (NDIS_STATUS)work->number;

    if (code == NDIS_STATUS_OFFLOAD_PAUSE && bad_once(143))
        indicate_status(target, NDIS_STATUS_OFFLOAD_RESUME);
    if (code == NDIS_STATUS_OFFLOAD_PAUSE && bad_once(144)) {
        target->capabilities.TcpConnectionOffloadCapacity++;
        indicate_status(target, NDIS_STATUS_TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES);
    }
    if (code == NDIS_STATUS_UPLOAD_ALL)
        list_for_each(object, &target->objects, struct bt_object, all)
            if (object->kind == BT_TCP)
                bt_conn_of(object)->stopped = true;
    indicate_status(target, code);
}

/* ---- what the scenario calls ---- */

void
nic_ack(struct bad_target *target, USHORT port, ULONG bytes)
{
    bt_work_add(target, (struct bt_work){.run = run_ack, .port = port, .number = bytes});
}

void
nic_ack_fin(struct bad_target *target, USHORT port)
{
    bt_work_add(target, (struct bt_work){.run = run_ack_fin, .port = port});
}

void
nic_data(struct bad_target *target, USHORT port, ULONG bytes, bool push)
{
    bt_work_add(target,
                (struct bt_work){.run = run_data, .port = port, .number = bytes, .flag = push});
}

void
nic_fin(struct bad_target *target, USHORT port)
{
    bt_work_add(target, (struct bt_work){.run = run_fin, .port = port});
}

void
nic_rst(struct bad_target *target, USHORT port)
{
    bt_work_add(target, (struct bt_work){.run = run_rst, .port = port});
}

void
nic_urgent(struct bad_target *target, USHORT port)
{
    bt_work_add(target, (struct bt_work){.run = run_urgent, .port = port});
}

void
nic_window(struct bad_target *target, USHORT port, ULONG bytes)
{
    bt_work_add(target, (struct bt_work){.run = run_window, .port = port, .number = bytes});
}

void
nic_retrieve(struct bad_target *target, USHORT port, TCP_UPLOAD_REASON reason)
{
    bt_work_add(target, (struct bt_work){.run = run_retrieve, .port = port, .number = reason});
}

void
nic_break(struct bad_target *target, USHORT port)
{
    bt_work_add(target, (struct bt_work){.run = run_break, .port = port});
}

void
nic_frames(struct bad_target *target, unsigned count)
{
    bt_work_add(target, (struct bt_work){.run = run_frames, .number = count});
}

void
nic_status(struct bad_target *target, NDIS_STATUS code)
{
    bt_work_add(target, (struct bt_work){.run = run_status, .number = (ULONG)code});
}

void
nic_release(struct bad_target *target)
{
    target->hold_operations = target->hold_frames = target->pend_oids = false;
    bt_kick(target);
}
