/*
 * Statistics: what offloaded connections have received and sent, IPv4 and IPv6 apart, since the
 * adapter began or the host stack last set the counters (V-181).
 *
 * Everything is counted as on a wire that knows no superframes: one of n segments is n datagrams
 * with n headers. IP is counted here, TCP by the engine: the adapter keeps the sums, and each
 * connection remembers how much of its own counters is in them. So a query, a reset and the end of
 * a connection take the same step, soft_stats_collect, and nothing is counted twice or forgotten.
 *
 * What takes the regular path is the host stack's to count. Bad headers and checksums are part of
 * that here, so InHeaderErrors, InTruncatedPackets and InErrors stay zero; so does OutNoRoutes.
 */
#include "target/soft/conn.h"

static unsigned
datagrams(uint32_t payload, uint32_t segment_size)
{
    return segment_size && payload > segment_size ? (payload + segment_size - 1) / segment_size : 1;
}

void
soft_stats_received(const struct soft_conn *conn, const struct tcp_segment *segment,
                    uint32_t ip_header, bool discarded)
{
    IP_OFFLOAD_STATS *ip = &conn->object.adapter->stats[conn->key.ipv6].ip;
    unsigned count = datagrams(segment->payload_len, segment->segment_size);

    ip->InReceives += count;
    ip->InOctets += (uint64_t)count * (ip_header + segment->header_len) + segment->payload_len;
    if (discarded)
        ip->InDiscards += count;
    else
        ip->InDelivers += count;
}

void
soft_stats_sent(const struct soft_conn *conn, const struct tcp_out *out, uint32_t header,
                bool discarded)
{
    IP_OFFLOAD_STATS *ip = &conn->object.adapter->stats[conn->key.ipv6].ip;
    unsigned count = datagrams(out->len, out->segment_size);

    ip->OutRequests += count;
    ip->OutOctets += (uint64_t)count * header + out->len;
    if (discarded)
        ip->OutDiscards += count;
}

void
soft_stats_collect(struct soft_conn *conn)
{
    TCP_OFFLOAD_STATS *tcp = &conn->object.adapter->stats[conn->key.ipv6].tcp;
    const struct tcp_counters *now = &conn->tcp.counters, *last = &conn->counted;
    uint64_t again = now->retransmitted_segments - last->retransmitted_segments;

    tcp->InSegments += now->segments_in - last->segments_in;
    tcp->OutSegments += now->segments_out - last->segments_out - again;
    tcp->RetransmittedSegments += (ULONG)again;
    tcp->ResetEstablished += (ULONG)(now->established_resets - last->established_resets);
    tcp->OutResets += (ULONG)(now->resets_out - last->resets_out);
    conn->counted = *now;
}

/* The sums are up to date afterwards, and CurrentlyEstablished, which is none, is counted. */
static void
collect_all(struct soft_adapter *adapter)
{
    adapter->stats[false].tcp.CurrentlyEstablished = 0;
    adapter->stats[true].tcp.CurrentlyEstablished = 0;
    list_for_each(object, &adapter->objects, struct soft_object, all) {
        if (object->kind != SOFT_TCP)
            continue;
        struct soft_conn *conn = soft_conn_of(object);
        soft_stats_collect(conn);
        if (conn->tcp.state == TCP_ESTABLISHED || conn->tcp.state == TCP_CLOSE_WAIT)
            adapter->stats[conn->key.ipv6].tcp.CurrentlyEstablished++;
    }
}

/* *size: of what the OID names. NULL: no statistics. */
static void *
find(struct soft_adapter *adapter, NDIS_OID oid, UINT *size)
{
    bool ipv6 = oid == OID_TCP6_OFFLOAD_STATS || oid == OID_IP6_OFFLOAD_STATS;
    struct soft_stats *stats = &adapter->stats[ipv6];

    switch (oid) {
    case OID_TCP4_OFFLOAD_STATS:
    case OID_TCP6_OFFLOAD_STATS:
        *size = sizeof stats->tcp;
        return &stats->tcp;
    case OID_IP4_OFFLOAD_STATS:
    case OID_IP6_OFFLOAD_STATS:
        *size = sizeof stats->ip;
        return &stats->ip;
    default:
        return NULL;
    }
}

static NDIS_STATUS
query(NDIS_OID_REQUEST *request, const void *stats, UINT size)
{
    request->DATA.QUERY_INFORMATION.BytesNeeded = size;
    request->DATA.QUERY_INFORMATION.BytesWritten = 0;
    if (request->DATA.QUERY_INFORMATION.InformationBufferLength < size)
        return NDIS_STATUS_BUFFER_TOO_SHORT;
    NdisMoveMemory(request->DATA.QUERY_INFORMATION.InformationBuffer, stats, size);
    request->DATA.QUERY_INFORMATION.BytesWritten = size;
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
soft_stats_request(struct soft_adapter *adapter, NDIS_OID_REQUEST *request)
{
    UINT size = 0;
    void *stats = find(adapter, request->DATA.QUERY_INFORMATION.Oid, &size);

    if (!stats)
        return NDIS_STATUS_NOT_SUPPORTED;
    collect_all(adapter);
    switch (request->RequestType) {
    case NdisRequestQueryInformation:
    case NdisRequestQueryStatistics:
        return query(request, stats, size);
    case NdisRequestSetInformation: /* whatever the data says */
        NdisZeroMemory(stats, size);
        request->DATA.SET_INFORMATION.BytesRead = 0;
        return NDIS_STATUS_SUCCESS;
    default:
        return NDIS_STATUS_NOT_SUPPORTED;
    }
}
