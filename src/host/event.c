/*
 * Events from the target: of one connection, or about a neighbor. The question whether a neighbor
 * is still reachable is answered with "seen just now": whoever owns the neighbor table keeps it
 * fresh and updates the link address when that changes. Source: chimney 7; V-142.
 */
#include "base/log.h"
#include "host/edge.h"

VOID
host_tcp_event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct host_conn *conn = container_of(OffloadContext, struct host_conn, handle);

    conn->ops->on_event(conn, EventType, EventSpecificInformation);
}

VOID
host_offload_event(NDIS_HANDLE ProtocolBindingContext,
                   PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    if (IndicationCode != NeighborReachabilityQuery) {
        log_warn("offload event %u is not known", IndicationCode);
        return;
    }
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(OffloadBlockList);
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant); /* */
    cached->HostReachabilityDelta = 0;
}
