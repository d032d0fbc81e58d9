/* Disconnect: FIN behind the data of one NBL (possibly none), or RST. Source: chimney 6.6; V-122.
 */
#include "host/edge.h"

#include <assert.h>

void
host_disconnect(struct host_conn *conn, NET_BUFFER_LIST *nbl, ULONG flags)
{
    assert(conn->state == HOST_CONN_OFFLOADED);
    host_nbl_claim(conn, nbl);
    NdisOffloadTcpDisconnect(&conn->handle, nbl, flags);
}

VOID
host_disconnect_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    host_nbl_deliver(NetBufferList, offsetof(struct host_conn_ops, on_disconnected));
}
