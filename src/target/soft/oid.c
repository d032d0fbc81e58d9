/*
 * OID requests. The host stack sets OID_TCP_CONNECTION_OFFLOAD_PARAMETERS before it offloads
 * anything: tick length, acknowledgement policy, limits; the values hold for connections initiated
 * afterwards. Another tick while something is offloaded is refused: what is given back would be in
 * a unit in which it was not handed over. Power down is held until nothing is offloaded any more
 * (V-156). Statistics are in stats.c; nothing else is answered.
 */
#include "base/log.h"
#include "target/soft/conn.h"

#define PUSH_DEFAULT_US 500000u
#define DELAYED_ACK_DEFAULT_US 40000u
#define SWS_DEFAULT_US 5000u

void
soft_params_default(struct soft_params *params)
{
    *params = (struct soft_params){
        .tick_us = 1000,
        .ack_frequency = 2,
        .max_retransmissions = 15,
        .duplicate_acks = 3,
        .delayed_ack_us = DELAYED_ACK_DEFAULT_US,
        .sws_us = SWS_DEFAULT_US,
        .push_us = PUSH_DEFAULT_US,
    };
}

static uint32_t
ticks_or(uint64_t ticks, uint32_t tick_us, uint32_t otherwise_us)
{
    uint64_t us = ticks * tick_us;

    if (!ticks)
        return otherwise_us;
    return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

/* Zero members keep their default. */
static NDIS_STATUS
set_parameters(struct soft_adapter *adapter, NDIS_OID_REQUEST *request)
{
    const NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS *in = request->DATA.SET_INFORMATION
                                                           .InformationBuffer;
    struct soft_params *params = &adapter->params;

    request->DATA.SET_INFORMATION.BytesNeeded = sizeof *in;
    if (request->DATA.SET_INFORMATION.InformationBufferLength < sizeof *in)
        return NDIS_STATUS_INVALID_LENGTH;
    if (in->TicksPerSecond != 10 && in->TicksPerSecond != 100 && in->TicksPerSecond != 1000)
        return NDIS_STATUS_INVALID_PARAMETER;
    if (1000000 / in->TicksPerSecond != params->tick_us && !list_empty(&adapter->objects))
        return NDIS_STATUS_INVALID_STATE;
    if (in->CongestionAlgorithm != NDIS_TCP_CONGESTION_UNKNOWN &&
        in->CongestionAlgorithm != soft_congestion_documented(adapter))
        return NDIS_STATUS_INVALID_PARAMETER; /* rather than another one in its place */
    soft_params_default(params);
    params->tick_us = 1000000 / in->TicksPerSecond;
    if (in->TcpAckFrequency)
        params->ack_frequency = in->TcpAckFrequency;
    if (in->TcpMaximumRetransmissions)
        params->max_retransmissions = in->TcpMaximumRetransmissions;
    if (in->TcpDuplicateAckThreshold)
        params->duplicate_acks = in->TcpDuplicateAckThreshold > 255
                                     ? 255
                                     : (uint8_t)in->TcpDuplicateAckThreshold;
    params->delayed_ack_us = ticks_or(in->TcpDelayedAckTicks, params->tick_us,
                                      DELAYED_ACK_DEFAULT_US);
    params->sws_us = ticks_or(in->TcpSwsPreventionTicks, params->tick_us, SWS_DEFAULT_US);
    params->stale_us = (uint64_t)in->NceStaleTicks * params->tick_us;
    params->push_us = ticks_or(in->TcpPushTicks, params->tick_us, PUSH_DEFAULT_US);
    request->DATA.SET_INFORMATION.BytesRead = sizeof *in;
    log_debug("soft %s: %u ticks per second", wire_name(adapter->wire),
              (unsigned)in->TicksPerSecond);
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
set_power(struct soft_adapter *adapter, NDIS_OID_REQUEST *request)
{
    if (list_empty(&adapter->objects))
        return NDIS_STATUS_SUCCESS;
    if (adapter->power_request)
        return NDIS_STATUS_FAILURE;
    adapter->power_request = request;
    return NDIS_STATUS_PENDING;
}

void
soft_power_settle(struct soft_adapter *adapter)
{
    NDIS_OID_REQUEST *request = adapter->power_request;

    if (!request || !list_empty(&adapter->objects))
        return;
    adapter->power_request = NULL;
    NdisMOidRequestComplete(adapter->handle, request, NDIS_STATUS_SUCCESS);
}

NDIS_STATUS
SoftOidRequest(NDIS_HANDLE MiniportAdapterContext, NDIS_OID_REQUEST *OidRequest)
{
    struct soft_adapter *adapter = MiniportAdapterContext;

    if (OidRequest->RequestType != NdisRequestSetInformation)
        return soft_stats_request(adapter, OidRequest);
    switch (OidRequest->DATA.SET_INFORMATION.Oid) {
    case OID_TCP_CONNECTION_OFFLOAD_PARAMETERS:
        return set_parameters(adapter, OidRequest);
    case OID_GEN_CURRENT_PACKET_FILTER: /* the wire decides what reaches us */
        OidRequest->DATA.SET_INFORMATION.BytesRead = OidRequest->DATA.SET_INFORMATION
                                                         .InformationBufferLength;
        return NDIS_STATUS_SUCCESS;
    case OID_PNP_SET_POWER:
        return set_power(adapter, OidRequest);
    default:
        return soft_stats_request(adapter, OidRequest);
    }
}

VOID
SoftCancelOidRequest(NDIS_HANDLE MiniportAdapterContext, PVOID RequestId)
{
    struct soft_adapter *adapter = MiniportAdapterContext;
    NDIS_OID_REQUEST *request = adapter->power_request;

    if (!request || request->RequestId != RequestId)
        return;
    adapter->power_request = NULL;
    NdisMOidRequestComplete(adapter->handle, request, NDIS_STATUS_REQUEST_ABORTED);
}
