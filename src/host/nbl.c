/*
 * NBLs over bytes that belong to somebody else, and whose they are: a completion names no
 * connection, so the edge keeps it in ProtocolReserved[0], which nobody below may change (V-087).
 */
#include "host/edge.h"

NDIS_HANDLE
host_nbl_pool(struct host *host)
{
    return host->pool;
}

static void
free_mdls(MDL *mdl)
{
    while (mdl) {
        MDL *next = mdl->Next;
        NdisFreeMdl(mdl);
        mdl = next;
    }
}

NET_BUFFER_LIST *
host_nbl_create(struct host *host, void *bytes, ULONG len, void *more, ULONG more_len)
{
    MDL *mdl = len ? NdisAllocateMdl(host->pool, bytes, len) : NULL;

    if (len && !mdl)
        return NULL;
    if (mdl)
        mdl->Next = NULL;
    if (mdl && more_len) {
        mdl->Next = NdisAllocateMdl(host->pool, more, more_len);
        if (!mdl->Next)
            goto no_memory;
        mdl->Next->Next = NULL;
    }
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferAndNetBufferList(host->pool, 0, 0, mdl, 0,
                                                                 (SIZE_T)len + more_len);
    if (nbl)
        return nbl;
no_memory:
    free_mdls(mdl);
    return NULL;
}

NET_BUFFER_LIST *
host_nbl_create_scattered(struct host *host, void *bytes, ULONG len, ULONG around, ULONG piece)
{
    UCHAR *at = (UCHAR *)bytes - around;
    ULONG left = around + len + around;
    MDL *head = NULL, **tail = &head;

    for (ULONG size = around + piece; left; size = piece) {
        size = size < left ? size : left;
        *tail = NdisAllocateMdl(host->pool, at, size);
        if (!*tail)
            goto no_memory;
        (*tail)->Next = NULL;
        tail = &(*tail)->Next;
        at += size;
        left -= size;
    }
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferAndNetBufferList(host->pool, 0, 0, head, around,
                                                                 len);
    if (nbl)
        return nbl;
no_memory:
    free_mdls(head);
    return NULL;
}

void
host_nbl_destroy(NET_BUFFER_LIST *nbl)
{
    MDL *mdl = NET_BUFFER_FIRST_MDL(NET_BUFFER_LIST_FIRST_NB(nbl));

    NdisFreeNetBufferList(nbl);
    free_mdls(mdl);
}

void
host_nbl_claim(struct host_conn *conn, NET_BUFFER_LIST *nbls)
{
    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
        nbl->ProtocolReserved[0] = conn;
}

void
host_nbl_deliver(NET_BUFFER_LIST *nbls, size_t member)
{
    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        struct host_conn *conn = nbls->ProtocolReserved[0];
        host_nbl_fn *const *fn = (host_nbl_fn *const *)((const char *)conn->ops + member);
        NET_BUFFER_LIST_NEXT_NBL(nbls) = NULL;
        (*fn)(conn, nbls);
        nbls = next;
    }
}
