/* Send: the landing is io.c's; the call is the miniport's. */
#include "ndis/landing.h"

static const struct ndis_io *const io = &ndis_io_kinds[NDIS_IO_SEND];

NDIS_STATUS
NdisOffloadTcpSend(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList)
{
    struct ndis_io_call call;
    NDIS_STATUS status;
    struct ndis_object *object = ndis_io_enter(&call, io, NdisOffloadHandle, &NetBufferList, 0,
                                               &status);

    if (!object)
        return status;
    status = object->adapter->miniport->tcp.TcpOffloadSendHandler(
        object->adapter->context, NdisOffloadHandle->MiniportOffloadContext, NetBufferList);
    return ndis_io_leave(&call, status);
}

VOID
ndis_tcp_send_complete(NDIS_HANDLE NdisMiniportHandle, PNET_BUFFER_LIST NetBufferList)
{
    ndis_io_complete(io, NdisMiniportHandle, NetBufferList);
}
