/*
 * Forward: segments of an offloaded connection that reached the host stack go to the target, one
 * per NBL, from the TCP header on. Source: chimney 6.3; V-118, V-119.
 */
#include "host/edge.h"

#include <assert.h>

void
host_forward(struct host_conn *conn, NET_BUFFER_LIST *nbls)
{
    assert(conn->state == HOST_CONN_OFFLOADED);
    host_nbl_claim(conn, nbls);
    NdisOffloadTcpForward(&conn->handle, nbls);
}

VOID
host_forward_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    host_nbl_deliver(NetBufferList, offsetof(struct host_conn_ops, on_forwarded));
}
