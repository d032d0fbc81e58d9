/*
 * What is not of a connection: frames of the regular path, requests, status indications, and what
 * happens to the two edges. The frames themselves go into the trace only where no program has
 * joined the wire, which sees them as well.
 */
#include "intermediate/trace/trace.h"

#include <string.h>

/* ---- frames ---- */

static size_t
copy_frame(const void *frame, void *to, size_t max)
{
    const void *bytes = NdisGetDataBuffer((PVOID)frame, (ULONG)max, to, 1, 0);

    if (!bytes)
        return 0;
    if (bytes != to)
        memcpy(to, bytes, max);
    return max;
}

static void
put_frames(struct trace *trace, PNET_BUFFER_LIST nbls, bool out)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large;

    if (trace->joins || !trace->file)
        return;
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        large.Value = NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo);
        for (PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb)) {
            struct trace_frame frame = {.out = out,
                                        .frame = nb,
                                        .length = NET_BUFFER_DATA_LENGTH(nb),
                                        .gso_bytes = large.LsoV2Transmit.MSS,
                                        .copy = copy_frame};

            trace_put_frame(trace, &frame);
        }
    }
}

static struct trace *
put_list(void *context, enum trace_op op, bool up, PNET_BUFFER_LIST nbls)
{
    struct trace *trace = trace_adapter_of(context)->trace;
    struct trace_crossing crossing = {.op = op,
                                      .up = up,
                                      .owner = up ? TRACE_ABOVE : TRACE_BELOW,
                                      .has_status = op == TRACE_SEND_COMPLETE,
                                      .status = nbls ? (uint32_t)NET_BUFFER_LIST_STATUS(nbls) : 0,
                                      .buffer = (uintptr_t)nbls};

    crossing.bytes = trace_data_bytes(nbls, &crossing.count);
    trace_put_crossing(trace, &crossing);
    return trace;
}

static VOID
send_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
            NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct trace *trace = put_list(MiniportAdapterContext, TRACE_SEND, false, NetBufferList);

    put_frames(trace, NetBufferList, true);
    FloorSendNetBufferLists(MiniportAdapterContext, NetBufferList, PortNumber, SendFlags);
}

static VOID
send_frames_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                     ULONG SendCompleteFlags)
{
    put_list(ProtocolBindingContext, TRACE_SEND_COMPLETE, true, NetBufferList);
    FloorSendNetBufferListsComplete(ProtocolBindingContext, NetBufferList, SendCompleteFlags);
}

static VOID
receive_frames(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
               NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    struct trace *trace = put_list(ProtocolBindingContext, TRACE_RECEIVE, true, NetBufferLists);

    put_frames(trace, NetBufferLists, false);
    FloorReceiveNetBufferLists(ProtocolBindingContext, NetBufferLists, PortNumber,
                               NumberOfNetBufferLists, ReceiveFlags);
}

static VOID
return_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
              ULONG ReturnFlags)
{
    put_list(MiniportAdapterContext, TRACE_RETURN, false, NetBufferLists);
    FloorReturnNetBufferLists(MiniportAdapterContext, NetBufferLists, ReturnFlags);
}

/* ---- requests ---- */

static void
put_request(struct trace *trace, PNDIS_OID_REQUEST request, bool up, NDIS_STATUS status)
{
    bool set = request->RequestType == NdisRequestSetInformation;
    struct trace_crossing crossing = {.op = up ? TRACE_OID_COMPLETE : TRACE_OID,
                                      .up = up,
                                      .owner = up ? TRACE_ABOVE : TRACE_BELOW,
                                      .has_status = up,
                                      .status = up ? (uint32_t)status : 0,
                                      .code = request->DATA.QUERY_INFORMATION.Oid,
                                      .info = request->RequestType};

    if (!up)
        crossing.bytes = request->DATA.QUERY_INFORMATION.InformationBufferLength;
    else
        crossing.bytes = set ? request->DATA.SET_INFORMATION.BytesRead
                             : request->DATA.QUERY_INFORMATION.BytesWritten;
    trace_put_crossing(trace, &crossing);
}

static NDIS_STATUS
oid_request(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct trace *trace = trace_adapter_of(MiniportAdapterContext)->trace;
    NDIS_STATUS status;

    put_request(trace, OidRequest, false, 0);
    status = FloorOidRequest(MiniportAdapterContext, OidRequest);
    if (status != NDIS_STATUS_PENDING)
        put_request(trace, OidRequest, true, status);
    return status;
}

static VOID
oid_request_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                     NDIS_STATUS Status)
{
    put_request(trace_adapter_of(ProtocolBindingContext)->trace, OidRequest, true, Status);
    FloorOidRequestComplete(ProtocolBindingContext, OidRequest, Status);
}

/* ---- status, and the lives of both edges ---- */

/* There is no trace while the virtual adapter does not stand. */
static void
put_code(void *context, enum trace_op op, bool up, ULONG code, ULONG bytes)
{
    struct trace_adapter *adapter = trace_adapter_of(context);
    struct trace_crossing crossing = {.op = op, .up = up, .code = code, .bytes = bytes};

    if (adapter->trace)
        trace_put_crossing(adapter->trace, &crossing);
}

static VOID
status_indication(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    put_code(ProtocolBindingContext, TRACE_STATUS, true, (ULONG)StatusIndication->StatusCode,
             StatusIndication->StatusBufferSize);
    FloorStatusEx(ProtocolBindingContext, StatusIndication);
}

static NDIS_STATUS
pause(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    put_code(MiniportAdapterContext, TRACE_PAUSE, false, 0, 0);
    return FloorPause(MiniportAdapterContext, PauseParameters);
}

static NDIS_STATUS
restart(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    put_code(MiniportAdapterContext, TRACE_RESTART, false, 0, 0);
    return FloorRestart(MiniportAdapterContext, RestartParameters);
}

static NDIS_STATUS
pnp_event(NDIS_HANDLE ProtocolBindingContext, PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    if (ProtocolBindingContext)
        put_code(ProtocolBindingContext, TRACE_PNP_EVENT, true,
                 NetPnPEventNotification->NetPnPEvent.NetEvent, 0);
    return FloorNetPnPEvent(ProtocolBindingContext, NetPnPEventNotification);
}

void
trace_override_edges(struct floor_handlers *handlers)
{
    handlers->miniport.SendNetBufferListsHandler = send_frames;
    handlers->miniport.ReturnNetBufferListsHandler = return_frames;
    handlers->miniport.OidRequestHandler = oid_request;
    handlers->miniport.PauseHandler = pause;
    handlers->miniport.RestartHandler = restart;
    handlers->protocol.SendNetBufferListsCompleteHandler = send_frames_complete;
    handlers->protocol.ReceiveNetBufferListsHandler = receive_frames;
    handlers->protocol.OidRequestCompleteHandler = oid_request_complete;
    handlers->protocol.StatusHandlerEx = status_indication;
    handlers->protocol.NetPnPEventHandler = pnp_event;
}
