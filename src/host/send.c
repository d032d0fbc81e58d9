/* Send: bytes of an offloaded connection go down; each NBL comes back acknowledged, or not. Source:
 * chimney 5. */
#include "host/edge.h"

#include <assert.h>

void
host_send(struct host_conn *conn, NET_BUFFER_LIST *nbls)
{
    assert(conn->state == HOST_CONN_OFFLOADED); /* V-084 */
    host_nbl_claim(conn, nbls);
    NdisOffloadTcpSend(&conn->handle, nbls);
}

VOID
host_send_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    host_nbl_deliver(NetBufferList, offsetof(struct host_conn_ops, on_sent));
}
