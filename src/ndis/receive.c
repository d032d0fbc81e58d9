/*
 * Receive: requests go down and complete like sends. Indications come up synchronously, to the
 * driver whose handle the object is, with its answer unchanged (P26); what it accepted goes back
 * over the binding, many connections in one list, without a context (P24), and always succeeds
 * (R-10, R-51).
 */
#include "ndis/landing.h"

static const struct ndis_io *const io = &ndis_io_kinds[NDIS_IO_RECEIVE];

NDIS_STATUS
NdisOffloadTcpReceive(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList)
{
    struct ndis_io_call call;
    NDIS_STATUS status;
    struct ndis_object *object = ndis_io_enter(&call, io, NdisOffloadHandle, &NetBufferList, 0,
                                               &status);

    if (!object)
        return status;
    status = object->adapter->miniport->tcp.TcpOffloadReceiveHandler(
        object->adapter->context, NdisOffloadHandle->MiniportOffloadContext, NetBufferList);
    return ndis_io_leave(&call, status);
}

VOID
ndis_tcp_receive_complete(NDIS_HANDLE NdisMiniportHandle, PNET_BUFFER_LIST NetBufferList)
{
    ndis_io_complete(io, NdisMiniportHandle, NetBufferList);
}

static NDIS_STATUS
indicate_observed(struct ndis_binding *binding, PVOID handle, NET_BUFFER_LIST *nbl,
                  NDIS_STATUS status, PULONG consumed)
{
    struct crossing crossing = ndis_crossing(CROSSING_TCP_RECEIVE_INDICATE, binding, true);

    crossing.object = handle;
    crossing.nbls = nbl;
    crossing.status = status;
    if (ndis_observe_before(binding->head.house, &crossing) == CROSSING_GO)
        status = binding->client->tcp.TcpOffloadReceiveIndicateHandler(handle, nbl, status,
                                                                       consumed);
    else
        status = NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    crossing.info = *consumed;
    ndis_observe_after(binding->head.house, &crossing, status);
    return status;
}

NDIS_STATUS
ndis_tcp_receive_indicate(NDIS_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList,
                          NDIS_STATUS Status, PULONG BytesConsumed)
{
    struct ndis_object *object = ndis_object_of(NdisOffloadHandle, "NdisTcpOffloadReceiveHandler");
    struct ndis_binding *binding;

    if (BytesConsumed)
        *BytesConsumed = 0;
    if (NDIS_UNLIKELY(!object))
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    binding = object->binding;
    if (NDIS_UNLIKELY(!NetBufferList || !BytesConsumed)) {
        ndis_breach_null(binding->head.house, object->adapter->miniport->driver,
                         "NdisTcpOffloadReceiveHandler");
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    }
    if (NDIS_UNLIKELY(ndis_observed(binding->head.house)))
        return indicate_observed(binding, NdisOffloadHandle, NetBufferList, Status, BytesConsumed);
    return binding->client->tcp.TcpOffloadReceiveIndicateHandler(NdisOffloadHandle, NetBufferList,
                                                                 Status, BytesConsumed);
}

VOID
NdisOffloadTcpReceiveReturn(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferList)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle,
                                                   "NdisOffloadTcpReceiveReturn");
    struct ndis_adapter *adapter;
    struct crossing crossing;
    NDIS_STATUS status;

    if (NDIS_UNLIKELY(!binding))
        return;
    adapter = binding->adapter;
    if (NDIS_UNLIKELY(!NetBufferList)) {
        ndis_breach_null(binding->head.house, binding->protocol->driver,
                         "NdisOffloadTcpReceiveReturn");
        return;
    }
    if (NDIS_UNLIKELY(!adapter->miniport->has_tcp)) {
        ndis_breach(binding->head.house, 111, binding->protocol->driver->name,
                    "NdisOffloadTcpReceiveReturn: adapter %s never indicated anything",
                    adapter->name);
        return;
    }
    if (NDIS_UNLIKELY(ndis_observed(binding->head.house))) {
        status = NDIS_STATUS_SUCCESS;
        crossing = ndis_crossing(CROSSING_TCP_RECEIVE_RETURN, binding, false);
        crossing.nbls = NetBufferList;
        if (ndis_observe_before(binding->head.house, &crossing) == CROSSING_GO)
            status = adapter->miniport->tcp.TcpOffloadReceiveReturnHandler(adapter->context,
                                                                           NetBufferList);
        ndis_observe_after(binding->head.house, &crossing, status);
    } else {
        status = adapter->miniport->tcp.TcpOffloadReceiveReturnHandler(adapter->context,
                                                                       NetBufferList);
    }
    if (NDIS_UNLIKELY(status != NDIS_STATUS_SUCCESS))
        ndis_breach(binding->head.house, 112, adapter->miniport->driver->name,
                    "adapter %s answered 0x%08x to a receive return", adapter->name,
                    (unsigned)status);
}
