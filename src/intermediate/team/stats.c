/*
 * Mode hash: statistics are those of all members. Each answers into a buffer of its own, and the
 * counters are added up; they wrap like those of one adapter. Who has left is missing in the sum,
 * as an adapter that is gone is anywhere. Source: W:oid-tcp4-offload-stats and siblings; the sum is
 * ours.
 */
#include "intermediate/team/team.h"

static bool
is_ip(NDIS_OID oid)
{
    return oid == OID_IP4_OFFLOAD_STATS || oid == OID_IP6_OFFLOAD_STATS;
}

static bool
is_stats(NDIS_OID oid)
{
    return is_ip(oid) || oid == OID_TCP4_OFFLOAD_STATS || oid == OID_TCP6_OFFLOAD_STATS;
}

static ULONG
stats_bytes(NDIS_OID oid)
{
    return (ULONG)(is_ip(oid) ? sizeof(IP_OFFLOAD_STATS) : sizeof(TCP_OFFLOAD_STATS));
}

bool
team_sum_begin(struct team *team, const NDIS_OID_REQUEST *request)
{
    const struct _QUERY *query = &request->DATA.QUERY_INFORMATION;

    /* With too little room any member says how much it takes. */
    team->summing = team->hash && request->RequestType == NdisRequestQueryInformation &&
                    is_stats(query->Oid) &&
                    query->InformationBufferLength >= stats_bytes(query->Oid);
    NdisZeroMemory(&team->sum, sizeof(team->sum));
    return team->summing;
}

void
team_sum_ask(struct team_member *member)
{
    struct _QUERY *query = &member->request.DATA.QUERY_INFORMATION;

    NdisZeroMemory(&member->stats, sizeof(member->stats));
    query->InformationBuffer = &member->stats;
    query->InformationBufferLength = stats_bytes(query->Oid);
}

static void
add_ip(IP_OFFLOAD_STATS *sum, const IP_OFFLOAD_STATS *stats)
{
    sum->InReceives += stats->InReceives;
    sum->InOctets += stats->InOctets;
    sum->InDelivers += stats->InDelivers;
    sum->OutRequests += stats->OutRequests;
    sum->OutOctets += stats->OutOctets;
    sum->InHeaderErrors += stats->InHeaderErrors;
    sum->InTruncatedPackets += stats->InTruncatedPackets;
    sum->InDiscards += stats->InDiscards;
    sum->OutDiscards += stats->OutDiscards;
    sum->OutNoRoutes += stats->OutNoRoutes;
}

static void
add_tcp(TCP_OFFLOAD_STATS *sum, const TCP_OFFLOAD_STATS *stats)
{
    sum->InSegments += stats->InSegments;
    sum->OutSegments += stats->OutSegments;
    sum->CurrentlyEstablished += stats->CurrentlyEstablished;
    sum->ResetEstablished += stats->ResetEstablished;
    sum->RetransmittedSegments += stats->RetransmittedSegments;
    sum->InErrors += stats->InErrors;
    sum->OutResets += stats->OutResets;
}

void
team_sum_add(struct team_member *member)
{
    struct team *team = member->team;

    if (is_ip(member->request.DATA.QUERY_INFORMATION.Oid))
        add_ip(&team->sum.ip, &member->stats.ip);
    else
        add_tcp(&team->sum.tcp, &member->stats.tcp);
}

void
team_sum_end(struct team *team)
{
    struct _QUERY *query = &team->floor.original->DATA.QUERY_INFORMATION;

    query->BytesWritten = stats_bytes(query->Oid);
    NdisMoveMemory(query->InformationBuffer, &team->sum, query->BytesWritten);
}
