/*
 * What is not chimney: requests, frames of the regular path, statistics, power. Sources:
 * D:miniport_oid_request, D:miniport_send_net_buffer_lists,
 * W:oid-tcp-connection-offload-parameters, G:power-management-for-offload-targets; V-010, V-156,
 * V-181 … V-183.
 */
#include "bad_target.h"

#include "mutant.h"

#include <stdlib.h>

/* ---- requests ---- */

static NDIS_STATUS
set_parameters(struct bad_target *target, NDIS_OID_REQUEST *request)
{
    struct _SET *set = &request->DATA.SET_INFORMATION;
    const NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS *in = set->InformationBuffer;

    set->BytesNeeded = sizeof(*in);
    if (bad(10))
        return NDIS_STATUS_NOT_SUPPORTED;
    if (set->InformationBufferLength < sizeof(*in))
        return NDIS_STATUS_INVALID_LENGTH;
    if (in->TicksPerSecond != 10 && in->TicksPerSecond != 100 && in->TicksPerSecond != 1000)
        return NDIS_STATUS_INVALID_PARAMETER;
    target->parameters = *in;
    target->parameters_set++;
    set->BytesRead = sizeof(*in);
    return NDIS_STATUS_SUCCESS;
}

void
bt_power_settle(struct bad_target *target)
{
    NDIS_OID_REQUEST *request = target->power;

    if (!request || !list_empty(&target->objects))
        return;
    target->power = NULL;
    NdisMOidRequestComplete(target->handle, request, NDIS_STATUS_SUCCESS);
}

/* V-156: held until nothing is offloaded. */
static NDIS_STATUS
set_power(struct bad_target *target, NDIS_OID_REQUEST *request)
{
    if (list_empty(&target->objects) || bad(156))
        return NDIS_STATUS_SUCCESS;
    target->power = request;
    return NDIS_STATUS_PENDING;
}

/* The counters an OID means; NULL: none of ours. */
static PVOID
statistics(struct bad_target *target, NDIS_OID oid, UINT *size)
{
    *size = oid == OID_TCP4_OFFLOAD_STATS || oid == OID_TCP6_OFFLOAD_STATS
                ? sizeof(TCP_OFFLOAD_STATS)
                : sizeof(IP_OFFLOAD_STATS);
    switch (oid) {
    case OID_TCP4_OFFLOAD_STATS:
        return &target->tcp[0];
    case OID_TCP6_OFFLOAD_STATS:
        return &target->tcp[1];
    case OID_IP4_OFFLOAD_STATS:
        return &target->ip[0];
    case OID_IP6_OFFLOAD_STATS:
        return &target->ip[1];
    default:
        return NULL;
    }
}

static NDIS_STATUS
query_statistics(struct bad_target *target, NDIS_OID_REQUEST *request)
{
    struct _QUERY *query = &request->DATA.QUERY_INFORMATION;
    UINT size;
    PVOID counters = statistics(target, query->Oid, &size);

    if (!counters)
        return NDIS_STATUS_NOT_SUPPORTED;
    query->BytesNeeded = size;
    if (query->InformationBufferLength < size)
        return NDIS_STATUS_BUFFER_TOO_SHORT;
    NdisMoveMemory(query->InformationBuffer, counters, size);
    query->BytesWritten = size;
    if (bad_once_v(187, 4))
        NdisMOidRequestComplete(target->handle, request, NDIS_STATUS_SUCCESS);
    if (!target->pend_oids)
        return NDIS_STATUS_SUCCESS;
    target->later = request;
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
reset_statistics(struct bad_target *target, NDIS_OID_REQUEST *request)
{
    UINT size;
    PVOID counters = statistics(target, request->DATA.SET_INFORMATION.Oid, &size);

    if (!counters)
        return NDIS_STATUS_NOT_SUPPORTED;
    if (!bad(181))
        NdisZeroMemory(counters, size);
    request->DATA.SET_INFORMATION.BytesRead = request->DATA.SET_INFORMATION.InformationBufferLength;
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
bt_oid(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct bad_target *target = MiniportAdapterContext;

    if (OidRequest->RequestType != NdisRequestSetInformation)
        return query_statistics(target, OidRequest);
    switch (OidRequest->DATA.SET_INFORMATION.Oid) {
    case OID_TCP_CONNECTION_OFFLOAD_PARAMETERS:
        return set_parameters(target, OidRequest);
    case OID_GEN_CURRENT_PACKET_FILTER:
        OidRequest->DATA.SET_INFORMATION.BytesRead = sizeof(ULONG);
        return NDIS_STATUS_SUCCESS;
    case OID_PNP_SET_POWER:
        return set_power(target, OidRequest);
    default:
        return reset_statistics(target, OidRequest);
    }
}

/* ---- frames ---- */

VOID
bt_send_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
               NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct bad_target *target = MiniportAdapterContext;
    NET_BUFFER_LIST *next;

    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = next) {
        next = nbl->Next;
        NET_BUFFER_LIST_STATUS(nbl) = target->running ? NDIS_STATUS_SUCCESS : NDIS_STATUS_PAUSED;
        stream_chain_add(&target->frames_down, nbl);
    }
    bt_kick(target);
}

/* A frame of the regular path, with its bytes behind it. */
struct frame {
    MDL *mdl;
    UCHAR bytes[60];
};

void
bt_frames_up(struct bad_target *target, unsigned count)
{
    struct stream_chain chain = {NULL, NULL};

    if (!target->running || !count)
        return;
    for (unsigned i = 0; i < count; i++) {
        struct frame *frame = calloc(1, sizeof(*frame));
        NET_BUFFER_LIST *nbl;

        if (!frame)
            abort();
        frame->mdl = NdisAllocateMdl(target->handle, frame->bytes, sizeof(frame->bytes));
        nbl = NdisAllocateNetBufferAndNetBufferList(target->frame_pool, 0, 0, frame->mdl, 0,
                                                    sizeof(frame->bytes));
        nbl->MiniportReserved[0] = frame;
        nbl->SourceHandle = target->handle;
        stream_chain_add(&chain, nbl);
    }
    target->frames_up += count;
    NdisMIndicateReceiveNetBufferLists(target->handle, chain.head, NDIS_DEFAULT_PORT_NUMBER, count,
                                       NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL);
}

VOID
bt_return_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                 ULONG ReturnFlags)
{
    struct bad_target *target = MiniportAdapterContext;
    NET_BUFFER_LIST *next;

    for (; NetBufferLists; NetBufferLists = next) {
        struct frame *frame = NetBufferLists->MiniportReserved[0];

        next = NetBufferLists->Next;
        NdisFreeMdl(frame->mdl);
        NdisFreeNetBufferList(NetBufferLists);
        free(frame);
        target->frames_up--;
    }
    bt_kick(target);
}
