/*
 * Data of connections. A send for which there is no memory stays here, with all that follow it on
 * its connection, and is answered in a later turn (V-074), when those that went down before have
 * been answered (V-075); what is left at the terminate ends UPLOAD_IN_PROGRESS, behind what the
 * target returns. The same becomes of whatever comes after a mandatory reason, and then the
 * target's indications are refused: it gives that data back at the terminate.
 *
 * Completions name no connection, so sends are remembered by their address where that matters.
 * Completed receives are never held back: the target would indicate what comes behind them (V-097).
 *
 * Inline means: inside a call from above that is no send, so that nobody is called twice in one
 * (V-074, V-082).
 */
#include "intermediate/fault/fault.h"

#define INLINE_MS 10 /* nobody has called for so long */

/* ---- what is kept ---- */

static ULONG
keep(struct fault_offload *entry, enum fault_io kind, PNET_BUFFER_LIST nbls, NDIS_STATUS status)
{
    struct fault_nbls *kept = &entry->kept[kind];
    ULONG count = 0;

    if (!kept->head)
        kept->tail = &kept->head;
    *kept->tail = nbls;
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl), count++) {
        NET_BUFFER_LIST_STATUS(nbl) = status;
        NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = NULL;
        if (status == NDIS_STATUS_REQUEST_UPLOAD) /* on the first one only */
            status = NDIS_STATUS_UPLOAD_REQUESTED;
        kept->tail = &NET_BUFFER_LIST_NEXT_NBL(nbl);
    }
    fault_ring(fault_of(entry->floor.adapter));
    return count;
}

static void
answer(struct fault_offload *entry, enum fault_io kind, bool last)
{
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS *up = &entry->floor.adapter->events;
    NDIS_HANDLE upper = entry->floor.adapter->upper;
    PNET_BUFFER_LIST nbls = entry->kept[kind].head;

    entry->kept[kind].head = NULL;
    for (PNET_BUFFER_LIST nbl = nbls; nbl && last; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
        NET_BUFFER_LIST_STATUS(nbl) = entry->aborted ? NDIS_STATUS_REQUEST_ABORTED
                                                     : NDIS_STATUS_UPLOAD_IN_PROGRESS;
    if (!nbls)
        return;
    if (kind == FAULT_SEND)
        up->NdisTcpOffloadSendComplete(upper, nbls);
    else if (kind == FAULT_RECEIVE)
        up->NdisTcpOffloadReceiveComplete(upper, nbls);
    else if (kind == FAULT_DISCONNECT)
        up->NdisTcpOffloadDisconnectComplete(upper, nbls);
    else
        up->NdisTcpOffloadForwardComplete(upper, nbls);
}

void
fault_settle(struct fault_offload *entry, bool last)
{
    if (last || (!entry->below && !entry->aborted))
        answer(entry, FAULT_SEND, last);
    answer(entry, FAULT_FORWARD, last);
    if (!last)
        return;
    answer(entry, FAULT_RECEIVE, last);
    answer(entry, FAULT_DISCONNECT, last);
}

/* ---- whose a send is ---- */

void
fault_track(struct fault_offload *entry, PNET_BUFFER_LIST nbls)
{
    struct fault *fault = fault_of(entry->floor.adapter);

    for (PNET_BUFFER_LIST nbl = nbls; nbl && fault->tracks; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        struct fault_send *send = NdisAllocateMemoryWithTagPriority(
            fault->floor.lower, sizeof(*send), FLOOR_TAG, NormalPoolPriority);

        if (!send) {
            entry->untracked = true;
            return;
        }
        send->nbl = nbl;
        send->entry = entry;
        list_add_tail(&fault->sends, &send->link);
        entry->below++;
    }
}

static void
forget(struct fault_send *send)
{
    send->entry->below--;
    list_del(&send->link);
    NdisFreeMemory(send, sizeof(*send), 0);
}

void
fault_forget_sends(struct fault_offload *entry)
{
    list_for_each_safe(send, &fault_of(entry->floor.adapter)->sends, struct fault_send, link)
        if (send->entry == entry)
            forget(send);
}

static void
forget_completed(struct fault *fault, PNET_BUFFER_LIST nbls)
{
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        list_for_each(send, &fault->sends, struct fault_send, link) {
            if (send->nbl != nbl)
                continue;
            if (send->entry->below == 1 && send->entry->kept[FAULT_SEND].head)
                fault_ring(fault);
            forget(send);
            break;
        }
    }
}

/* ---- down ---- */

static ULONG
count_nbls(PNET_BUFFER_LIST nbls)
{
    ULONG count = 0;

    for (; nbls; nbls = NET_BUFFER_LIST_NEXT_NBL(nbls))
        count++;
    return count;
}

NDIS_STATUS
FaultTcpOffloadSend(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                    PNET_BUFFER_LIST NetBufferList)
{
    struct fault *fault = fault_of(MiniportAdapterContext);
    struct fault_offload *entry = fault_offload_of(MiniportOffloadContext);
    const struct fault_rule *dry = fault_script_meet(&fault->script, FAULT_ON_SEND);
    const struct fault_rule *upload = fault_script_meet(&fault->script, FAULT_ON_SEND_UPLOAD);

    if (entry->stopped) {
        keep(entry, FAULT_SEND, NetBufferList, NDIS_STATUS_UPLOAD_IN_PROGRESS);
        return NDIS_STATUS_PENDING;
    }
    entry->dry |= dry && !entry->untracked && !entry->aborted;
    if (upload)
        fault_wish(entry, upload->reason);
    fault_segment(entry, count_nbls(NetBufferList));
    if (entry->dry) {
        keep(entry, FAULT_SEND, NetBufferList, NDIS_STATUS_REQUEST_UPLOAD);
        return NDIS_STATUS_PENDING;
    }
    fault_track(entry, NetBufferList);
    return FloorTcpOffloadSend(&fault->floor, MiniportOffloadContext, NetBufferList);
}

NDIS_STATUS
FaultTcpOffloadReceive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                       PNET_BUFFER_LIST NetBufferList)
{
    struct fault *fault = fault_of(MiniportAdapterContext);
    struct fault_offload *entry = fault_offload_of(MiniportOffloadContext);
    NDIS_STATUS status = NDIS_STATUS_PENDING;

    fault_segment(entry, count_nbls(NetBufferList));
    if (entry->stopped)
        keep(entry, FAULT_RECEIVE, NetBufferList, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    else
        status = FloorTcpOffloadReceive(&fault->floor, MiniportOffloadContext, NetBufferList);
    fault_let_go(fault, FAULT_SENT, FAULT_DISCONNECTED, true);
    return status;
}

/* Behind sends that were kept it waits with them, but for an abortive one, which ends them. */
NDIS_STATUS
FaultTcpOffloadDisconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                          PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    struct fault_offload *entry = fault_offload_of(MiniportOffloadContext);
    bool abortive = (Flags & TCP_DISCONNECT_ABORTIVE_CLOSE) != 0;

    entry->half_closed = true;
    if (entry->stopped || (entry->dry && !abortive)) {
        keep(entry, FAULT_DISCONNECT, NetBufferList, NDIS_STATUS_UPLOAD_IN_PROGRESS);
        return NDIS_STATUS_PENDING;
    }
    if (abortive) {
        entry->abort = NetBufferList;
        entry->aborted = true;
    }
    return FloorTcpOffloadDisconnect(MiniportAdapterContext, MiniportOffloadContext, NetBufferList,
                                     Flags);
}

NDIS_STATUS
FaultTcpOffloadForward(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                       PNET_BUFFER_LIST NetBufferList)
{
    struct fault_offload *entry = fault_offload_of(MiniportOffloadContext);

    if (!entry->stopped)
        return FloorTcpOffloadForward(MiniportAdapterContext, MiniportOffloadContext,
                                      NetBufferList);
    keep(entry, FAULT_FORWARD, NetBufferList, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    return NDIS_STATUS_PENDING;
}

NDIS_STATUS
FaultTcpOffloadReceiveReturn(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    struct fault *fault = fault_of(MiniportAdapterContext);
    NDIS_STATUS status = FloorTcpOffloadReceiveReturn(MiniportAdapterContext, NetBufferList);

    fault_let_go(fault, FAULT_SENT, FAULT_DISCONNECTED, true);
    return status;
}

/* ---- up ---- */

void
fault_sent(struct fault *fault, PNET_BUFFER_LIST nbls)
{
    forget_completed(fault, nbls);
    FloorTcpOffloadSendComplete(&fault->floor, nbls);
}

/* V-123: an abortive one ends what was kept. */
void
fault_disconnected(struct fault *fault, PNET_BUFFER_LIST nbls)
{
    list_for_each(entry, &fault->conns, struct fault_offload, link) {
        if (entry->abort != nbls)
            continue;
        entry->abort = NULL;
        answer(entry, FAULT_SEND, true);
        break;
    }
    FloorTcpOffloadDisconnectComplete(&fault->floor, nbls);
}

VOID
FaultTcpOffloadSendComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct fault *fault = fault_of(ProtocolBindingContext);
    const struct fault_rule *rule = fault_script_meet(&fault->script, FAULT_ON_SENT);
    bool behind = fault_holds(fault, FAULT_SENT), in_line = rule && rule->action == FAULT_INLINE;
    struct fault_held *held = NULL;

    if ((rule || behind) && fault_may_hold(fault))
        held = fault_held_create(fault);
    if (held) {
        fault_hold(fault, held, FAULT_SENT, NetBufferList,
                   in_line ? INLINE_MS
                   : rule  ? rule->delay_ms
                           : 0,
                   !rule || in_line);
        return;
    }
    fault_let_go(fault, FAULT_SENT, FAULT_DISCONNECTED, false);
    fault_sent(fault, NetBufferList);
}

VOID
FaultTcpOffloadDisconnectComplete(NDIS_HANDLE ProtocolBindingContext,
                                  PNET_BUFFER_LIST NetBufferList)
{
    struct fault *fault = fault_of(ProtocolBindingContext);
    struct fault_held *held = NULL;

    if (fault_holds(fault, FAULT_SENT) && fault_may_hold(fault))
        held = fault_held_create(fault);
    if (held) {
        fault_hold(fault, held, FAULT_DISCONNECTED, NetBufferList, 0, true);
        return;
    }
    fault_let_go(fault, FAULT_SENT, FAULT_DISCONNECTED, false);
    fault_disconnected(fault, NetBufferList);
}

NDIS_STATUS
FaultTcpOffloadReceiveIndicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList,
                               NDIS_STATUS Status, PULONG BytesConsumed)
{
    struct fault_offload *entry = fault_offload_of(floor_offload_of(OffloadContext));

    if (entry->stopped) {
        *BytesConsumed = 0;
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    }
    fault_segment(entry, 1);
    return FloorTcpOffloadReceiveIndicate(OffloadContext, NetBufferList, Status, BytesConsumed);
}
