/* Disconnect: as a send, with the kind of close in Flags, which passes through. */
#include "ndis/landing.h"

static const struct ndis_io *const io = &ndis_io_kinds[NDIS_IO_DISCONNECT];

NDIS_STATUS
NdisOffloadTcpDisconnect(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList,
                         ULONG Flags)
{
    struct ndis_io_call call;
    NDIS_STATUS status;
    struct ndis_object *object = ndis_io_enter(&call, io, NdisOffloadHandle, &NetBufferList, Flags,
                                               &status);

    if (!object)
        return status;
    status = object->adapter->miniport->tcp.TcpOffloadDisconnectHandler(
        object->adapter->context, NdisOffloadHandle->MiniportOffloadContext, NetBufferList, Flags);
    return ndis_io_leave(&call, status);
}

VOID
ndis_tcp_disconnect_complete(NDIS_HANDLE NdisMiniportHandle, PNET_BUFFER_LIST NetBufferList)
{
    ndis_io_complete(io, NdisMiniportHandle, NetBufferList);
}
