/*
 * Receive: requests go down and complete like sends. Indications come up synchronously, to the
 * driver whose handle the object is, with its answer unchanged (P26); what it accepted goes back
 * over the binding, many connections in one list, without a context (P24), and always succeeds
 * (R-10, R-51).
 */
#include "ndis/landing.h"

#include "base/log.h"

static const struct ndis_io *const io = &ndis_io_kinds[NDIS_IO_RECEIVE];

NDIS_STATUS
NdisOffloadTcpReceive(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList)
{
    NDIS_STATUS status;
    struct ndis_object *object = ndis_io_enter(io, NdisOffloadHandle, NetBufferList, 0, &status);

    if (!object)
        return status;
    status = object->adapter->miniport->tcp.TcpOffloadReceiveHandler(
        object->adapter->context, NdisOffloadHandle->MiniportOffloadContext, NetBufferList);
    return ndis_io_leave(io, object, NetBufferList, 0, status);
}

VOID
ndis_tcp_receive_complete(NDIS_HANDLE NdisMiniportHandle, PNET_BUFFER_LIST NetBufferList)
{
    ndis_io_complete(io, NdisMiniportHandle, NetBufferList);
}

static void
observe_indicate(struct ndis_binding *binding, PVOID handle, NET_BUFFER_LIST *nbl, bool after,
                 ULONG bytes, NDIS_STATUS status)
{
    struct crossing crossing = ndis_crossing(CROSSING_TCP_RECEIVE_INDICATE, binding, true);

    crossing.after = after;
    crossing.object = handle;
    crossing.nbls = nbl;
    crossing.info = bytes;
    crossing.status = status;
    ndis_observe(binding->head.house, &crossing);
}

NDIS_STATUS
ndis_tcp_receive_indicate(NDIS_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList,
                          NDIS_STATUS Status, PULONG BytesConsumed)
{
    struct ndis_object *object = ndis_object_of(NdisOffloadHandle, "NdisTcpOffloadReceiveHandler");
    struct ndis_binding *binding;
    NDIS_STATUS status;

    *BytesConsumed = 0;
    if (NDIS_UNLIKELY(!object))
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    binding = object->binding;
    if (!ndis_observed(binding->head.house))
        return binding->client->tcp.TcpOffloadReceiveIndicateHandler(
            NdisOffloadHandle, NetBufferList, Status, BytesConsumed);
    observe_indicate(binding, NdisOffloadHandle, NetBufferList, false, 0, Status);
    status = binding->client->tcp.TcpOffloadReceiveIndicateHandler(NdisOffloadHandle, NetBufferList,
                                                                   Status, BytesConsumed);
    observe_indicate(binding, NdisOffloadHandle, NetBufferList, true, *BytesConsumed, status);
    return status;
}

VOID
NdisOffloadTcpReceiveReturn(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferList)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle,
                                                   "NdisOffloadTcpReceiveReturn");
    struct ndis_adapter *adapter;
    struct crossing crossing;
    NDIS_STATUS status;

    if (NDIS_UNLIKELY(!binding || !NetBufferList))
        return;
    adapter = binding->adapter;
    if (NDIS_UNLIKELY(!adapter->miniport->has_tcp)) {
        log_error("NdisOffloadTcpReceiveReturn: adapter %s never indicated anything",
                  adapter->name);
        return;
    }
    if (ndis_observed(binding->head.house)) {
        crossing = ndis_crossing(CROSSING_TCP_RECEIVE_RETURN, binding, false);
        crossing.nbls = NetBufferList;
        ndis_observe(binding->head.house, &crossing);
        status = adapter->miniport->tcp.TcpOffloadReceiveReturnHandler(adapter->context,
                                                                       NetBufferList);
        crossing.after = true;
        crossing.nbls = NULL;
        crossing.status = status;
        ndis_observe(binding->head.house, &crossing);
    } else {
        status = adapter->miniport->tcp.TcpOffloadReceiveReturnHandler(adapter->context,
                                                                       NetBufferList);
    }
    if (NDIS_UNLIKELY(status != NDIS_STATUS_SUCCESS))
        log_error("adapter %s answered 0x%08x to a receive return (V-112)", adapter->name,
                  (unsigned)status);
}
