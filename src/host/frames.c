/*
 * The regular path: whole frames, both directions. Invariant: a binding that pauses has no sent
 * frame outstanding and keeps none that arrive. Frames that NDIS lends for the call only are
 * copied, so that the host stack always owns what it gets; copies are told apart by their pool.
 * Source: V-182, V-184.
 */
#include "base/log.h"
#include "host/edge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void
host_send_frames(struct host_binding *binding, NET_BUFFER_LIST *nbls)
{
    assert(binding->state == HOST_BINDING_RUNNING || binding->state == HOST_BINDING_PAUSING);
    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        nbl->SourceHandle = binding->handle;
        binding->frames_out++;
    }
    NdisSendNetBufferLists(binding->handle, nbls, NDIS_DEFAULT_PORT_NUMBER, 0);
}

VOID
host_frames_sent(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                 ULONG SendCompleteFlags)
{
    struct host_binding *binding = ProtocolBindingContext;

    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
        binding->frames_out--;
    binding->host->ops->on_frames_sent(binding->host->arg, binding, NetBufferList);
    host_binding_drain(binding);
}

/* ---- arrival ---- */

static NET_BUFFER_LIST *
copy_frame(struct host *host, NET_BUFFER_LIST *nbl)
{
    NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    ULONG len = NET_BUFFER_DATA_LENGTH(nb);
    void *bytes = malloc(len ? len : 1);

    if (!bytes)
        return NULL;
    NET_BUFFER_LIST *copy = host_nbl_create(host, bytes, len, NULL, 0);
    if (!copy) {
        free(bytes);
        return NULL;
    }
    const void *start = NdisGetDataBuffer(nb, len, bytes, 1, 0);
    if (start && start != bytes)
        memcpy(bytes, start, len);
    memcpy(copy->NetBufferListInfo, nbl->NetBufferListInfo, sizeof copy->NetBufferListInfo);
    copy->ProtocolReserved[0] = bytes;
    return copy;
}

static NET_BUFFER_LIST *
copy_frames(struct host *host, NET_BUFFER_LIST *nbls)
{
    NET_BUFFER_LIST *head = NULL, **tail = &head;

    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        NET_BUFFER_LIST *copy = copy_frame(host, nbl);
        if (!copy)
            break; /* as if the medium had lost it */
        *tail = copy;
        tail = &NET_BUFFER_LIST_NEXT_NBL(copy);
    }
    return head;
}

VOID
host_frames(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
            NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    struct host_binding *binding = ProtocolBindingContext;
    struct host *host = binding->host;
    bool lent = NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags);

    if (binding->state != HOST_BINDING_RUNNING && binding->state != HOST_BINDING_PAUSING) {
        if (!lent)
            NdisReturnNetBufferLists(binding->handle, NetBufferLists, 0);
        return;
    }
    NET_BUFFER_LIST *nbls = lent ? copy_frames(host, NetBufferLists) : NetBufferLists;
    if (nbls)
        host->ops->on_frames(host->arg, binding, nbls);
}

/* A copy goes at once, the others go back in their order. */
void
host_return_frames(struct host_binding *binding, NET_BUFFER_LIST *nbls)
{
    NET_BUFFER_LIST *head = NULL, **tail = &head;

    while (nbls) {
        NET_BUFFER_LIST *nbl = nbls;
        nbls = NET_BUFFER_LIST_NEXT_NBL(nbl);
        NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
        if (nbl->NdisPoolHandle == binding->host->pool) {
            void *bytes = nbl->ProtocolReserved[0];
            host_nbl_destroy(nbl);
            free(bytes);
        } else {
            *tail = nbl;
            tail = &NET_BUFFER_LIST_NEXT_NBL(nbl);
        }
    }
    if (head)
        NdisReturnNetBufferLists(binding->handle, head, 0);
}
