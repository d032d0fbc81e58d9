/*
 * Receive: posted buffers come back filled; data for which none is posted is indicated, and what
 * the host stack keeps of it goes back with host_receive_return. Source: chimney 6.1, 6.2; V-110,
 * V-111.
 */
#include "host/edge.h"

#include <assert.h>

void
host_receive(struct host_conn *conn, NET_BUFFER_LIST *nbls)
{
    assert(conn->state == HOST_CONN_OFFLOADED); /* V-104 */
    host_nbl_claim(conn, nbls);
    NdisOffloadTcpReceive(&conn->handle, nbls);
}

VOID
host_receive_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    host_nbl_deliver(NetBufferList, offsetof(struct host_conn_ops, on_received));
}

/* The handle is the first member of its connection: that is what container_of computes. */
NDIS_STATUS
host_receive_indicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
                      PULONG BytesConsumed)
{
    struct host_conn *conn = container_of(OffloadContext, struct host_conn, handle);

    return conn->ops->on_indicate(conn, NetBufferList, BytesConsumed);
}

/* Also after the connection has come home: buffered data of a terminate is returned like this
 * (P20). */
void
host_receive_return(struct host_conn *conn, NET_BUFFER_LIST *nbls)
{
    NdisOffloadTcpReceiveReturn(conn->binding->handle, nbls);
}
