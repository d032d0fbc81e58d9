/*
 * Data and events: each is recorded before it is passed on, so that what follows from it follows it
 * in the file; of an indication also the answer, when it is there. A completion names no
 * connection, so those of the NBLs under way are remembered: as many as there is room for, by a
 * hash of the pointer, the younger in the place of the older. Every NBL that comes back has been
 * seen to go, so one that is not found is only not named, never named wrongly.
 */
#include "base/hash.h"
#include "intermediate/trace/trace.h"

#include <string.h>

uint64_t
trace_data_bytes(PNET_BUFFER_LIST nbls, uint32_t *count)
{
    uint64_t bytes = 0;

    if (count)
        *count = 0;
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl);

        if (count)
            ++*count;
        for (; nb; nb = NET_BUFFER_NEXT_NB(nb))
            bytes += NET_BUFFER_DATA_LENGTH(nb);
    }
    return bytes;
}

/* ---- which NBL is of which connection ---- */

static struct trace_under_way *
place_of(struct trace_adapter *adapter, PNET_BUFFER_LIST nbl)
{
    return adapter->under_way[hash_mix((uintptr_t)nbl, HASH_ODD_1) % TRACE_PLACES];
}

/* NULL: it is not remembered. */
static struct trace_under_way *
find(struct trace_adapter *adapter, PNET_BUFFER_LIST nbl)
{
    struct trace_under_way *place = place_of(adapter, nbl);

    for (unsigned i = 0; i < TRACE_PLACE_ROOM; i++)
        if (place[i].nbl == nbl)
            return &place[i];
    return NULL;
}

static void
remember(struct trace_adapter *adapter, PNET_BUFFER_LIST nbl, const struct trace_object *object)
{
    struct trace_under_way *place = place_of(adapter, nbl);
    unsigned last = 0;

    while (last < TRACE_PLACE_ROOM - 1 && place[last].nbl && place[last].nbl != nbl)
        last++;
    memmove(place + 1, place, last * sizeof(*place));
    place[0] = (struct trace_under_way){nbl, *object};
}

void
trace_remember(struct trace_adapter *adapter, PNET_BUFFER_LIST nbls,
               const struct trace_object *object)
{
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
        remember(adapter, nbl, object);
}

static struct trace_object
recall(struct trace_adapter *adapter, PNET_BUFFER_LIST nbl)
{
    struct trace_under_way *under_way = find(adapter, nbl);
    struct trace_object object = {.number = 0};

    if (under_way) {
        object = under_way->object;
        under_way->nbl = NULL;
    }
    return object;
}

/* ---- down ---- */

static struct trace_adapter *
put_data(struct floor_offload *entry, enum trace_op op, PNET_BUFFER_LIST nbls, ULONG code)
{
    struct trace_adapter *adapter = trace_adapter_of(entry->adapter);
    struct trace_crossing crossing = {.op = op,
                                      .owner = TRACE_BELOW,
                                      .code = code,
                                      .object = *trace_object_of(entry),
                                      .buffer = (uintptr_t)nbls};

    crossing.bytes = trace_data_bytes(nbls, &crossing.count);
    trace_remember(adapter, nbls, &crossing.object);
    trace_put_crossing(adapter->trace, &crossing);
    return adapter;
}

static NDIS_STATUS
send(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
     PNET_BUFFER_LIST NetBufferList)
{
    put_data(MiniportOffloadContext, TRACE_TCP_SEND, NetBufferList, 0);
    return FloorTcpOffloadSend(MiniportAdapterContext, MiniportOffloadContext, NetBufferList);
}

static NDIS_STATUS
receive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
        PNET_BUFFER_LIST NetBufferList)
{
    put_data(MiniportOffloadContext, TRACE_TCP_RECEIVE, NetBufferList, 0);
    return FloorTcpOffloadReceive(MiniportAdapterContext, MiniportOffloadContext, NetBufferList);
}

static NDIS_STATUS
disconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
           PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    put_data(MiniportOffloadContext, TRACE_TCP_DISCONNECT, NetBufferList, Flags);
    return FloorTcpOffloadDisconnect(MiniportAdapterContext, MiniportOffloadContext, NetBufferList,
                                     Flags);
}

static NDIS_STATUS
forward(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
        PNET_BUFFER_LIST NetBufferList)
{
    put_data(MiniportOffloadContext, TRACE_TCP_FORWARD, NetBufferList, 0);
    return FloorTcpOffloadForward(MiniportAdapterContext, MiniportOffloadContext, NetBufferList);
}

static NDIS_STATUS
receive_return(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    struct trace_adapter *adapter = trace_adapter_of(MiniportAdapterContext);
    struct trace_crossing crossing = {
        .op = TRACE_TCP_RECEIVE_RETURN, .owner = TRACE_BELOW, .buffer = (uintptr_t)NetBufferList};

    crossing.bytes = trace_data_bytes(NetBufferList, &crossing.count);
    if (NetBufferList)
        crossing.object = recall(adapter, NetBufferList);
    trace_put_crossing(adapter->trace, &crossing);
    return FloorTcpOffloadReceiveReturn(MiniportAdapterContext, NetBufferList);
}

/* ---- up ---- */

/* Joins nbl to the run that crossing counts; false: it is of another connection or ended otherwise.
 */
static bool
join_run(struct trace_adapter *adapter, struct trace_crossing *crossing, PNET_BUFFER_LIST nbl)
{
    const struct trace_under_way *under_way = find(adapter, nbl);
    uint32_t number = under_way ? under_way->object.number : 0;

    if ((uint32_t)NET_BUFFER_LIST_STATUS(nbl) != crossing->status ||
        (number && crossing->object.number && number != crossing->object.number))
        return false;
    if (number)
        crossing->object = recall(adapter, nbl);
    crossing->count++;
    crossing->bytes += (ULONG)(ULONG_PTR)NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred);
    return true;
}

static void
put_completions(NDIS_HANDLE context, enum trace_op op, PNET_BUFFER_LIST nbls)
{
    struct trace_adapter *adapter = trace_adapter_of(context);
    PNET_BUFFER_LIST nbl = nbls;

    while (nbl) {
        struct trace_crossing crossing = {.op = op,
                                          .up = true,
                                          .owner = TRACE_ABOVE,
                                          .has_status = true,
                                          .status = (uint32_t)NET_BUFFER_LIST_STATUS(nbl),
                                          .buffer = (uintptr_t)nbl};

        while (nbl && join_run(adapter, &crossing, nbl))
            nbl = NET_BUFFER_LIST_NEXT_NBL(nbl);
        trace_put_crossing(adapter->trace, &crossing);
    }
}

static VOID
send_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    put_completions(ProtocolBindingContext, TRACE_TCP_SEND_COMPLETE, NetBufferList);
    FloorTcpOffloadSendComplete(ProtocolBindingContext, NetBufferList);
}

static VOID
receive_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    put_completions(ProtocolBindingContext, TRACE_TCP_RECEIVE_COMPLETE, NetBufferList);
    FloorTcpOffloadReceiveComplete(ProtocolBindingContext, NetBufferList);
}

static VOID
disconnect_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    put_completions(ProtocolBindingContext, TRACE_TCP_DISCONNECT_COMPLETE, NetBufferList);
    FloorTcpOffloadDisconnectComplete(ProtocolBindingContext, NetBufferList);
}

static VOID
forward_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    put_completions(ProtocolBindingContext, TRACE_TCP_FORWARD_COMPLETE, NetBufferList);
    FloorTcpOffloadForwardComplete(ProtocolBindingContext, NetBufferList);
}

static NDIS_STATUS
receive_indicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
                 PULONG BytesConsumed)
{
    struct floor_offload *entry = floor_offload_of(OffloadContext);
    struct trace_adapter *adapter = trace_adapter_of(entry->adapter);
    struct trace_crossing crossing = {.op = TRACE_TCP_RECEIVE_INDICATE,
                                      .up = true,
                                      .owner = TRACE_ABOVE,
                                      .has_status = true,
                                      .status = (uint32_t)Status,
                                      .object = *trace_object_of(entry),
                                      .buffer = (uintptr_t)NetBufferList};
    NDIS_STATUS answer;

    crossing.bytes = trace_data_bytes(NetBufferList, &crossing.count);
    trace_put_crossing(adapter->trace, &crossing);
    /* It may come back before the answer. */
    trace_remember(adapter, NetBufferList, &crossing.object);
    answer = FloorTcpOffloadReceiveIndicate(OffloadContext, NetBufferList, Status, BytesConsumed);
    crossing.answer = true;
    crossing.up = false;
    crossing.status = (uint32_t)answer;
    crossing.owner = answer == NDIS_STATUS_SUCCESS ? TRACE_ABOVE : TRACE_BELOW;
    crossing.bytes = *BytesConsumed;
    if (answer != NDIS_STATUS_SUCCESS)
        recall(adapter, NetBufferList);
    trace_put_crossing(adapter->trace, &crossing);
    return answer;
}

/* ---- events ---- */

static VOID
event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct floor_offload *entry = floor_offload_of(OffloadContext);
    struct trace_crossing crossing = {.op = TRACE_TCP_EVENT,
                                      .up = true,
                                      .code = EventType,
                                      .info = EventSpecificInformation,
                                      .object = *trace_object_of(entry)};

    trace_put_crossing(trace_adapter_of(entry->adapter)->trace, &crossing);
    FloorTcpOffloadEvent(OffloadContext, EventType, EventSpecificInformation);
}

static VOID
offload_event(NDIS_HANDLE ProtocolBindingContext,
              PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    struct trace_crossing crossing = {
        .op = TRACE_OFFLOAD_EVENT, .up = true, .code = IndicationCode};

    if (OffloadBlockList->OffloadHandle)
        crossing.object = *trace_object_of(floor_offload_of(OffloadBlockList->OffloadHandle));
    trace_put_crossing(trace_adapter_of(ProtocolBindingContext)->trace, &crossing);
    FloorIndicateOffloadEvent(ProtocolBindingContext, OffloadBlockList, IndicationCode);
}

void
trace_override_data(struct floor_handlers *handlers)
{
    handlers->provider_tcp.TcpOffloadSendHandler = send;
    handlers->provider_tcp.TcpOffloadReceiveHandler = receive;
    handlers->provider_tcp.TcpOffloadDisconnectHandler = disconnect;
    handlers->provider_tcp.TcpOffloadForwardHandler = forward;
    handlers->provider_tcp.TcpOffloadReceiveReturnHandler = receive_return;
    handlers->client_tcp.TcpOffloadSendCompleteHandler = send_complete;
    handlers->client_tcp.TcpOffloadReceiveCompleteHandler = receive_complete;
    handlers->client_tcp.TcpOffloadDisconnectCompleteHandler = disconnect_complete;
    handlers->client_tcp.TcpOffloadForwardCompleteHandler = forward_complete;
    handlers->client_tcp.TcpOffloadReceiveIndicateHandler = receive_indicate;
    handlers->client_tcp.TcpOffloadEventHandler = event;
    handlers->client.IndicateOffloadEventHandler = offload_event;
}
