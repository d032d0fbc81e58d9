/* The fake target with threads of its own (test_mill.h). */
#include "ndis/test_mill.h"

/* ---- what comes down goes into queues ---- */

static struct mill *
mill_of(NDIS_HANDLE context)
{
    return context;
}

static void
put_tree(struct mill *mill, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root, void *completion)
{
    pthread_mutex_lock(&mill->mutex);
    root->Scratch[0] = mill->trees;
    root->Scratch[1] = completion;
    mill->trees = root;
    pthread_cond_signal(&mill->more);
    pthread_mutex_unlock(&mill->mutex);
}

static void
put_nbls(struct mill *mill, enum mill_kind kind, NET_BUFFER_LIST *nbls)
{
    NET_BUFFER_LIST *last = nbls;

    while (last->Next)
        last = last->Next;
    pthread_mutex_lock(&mill->mutex);
    if (mill->nbls[kind])
        mill->last[kind]->Next = nbls;
    else
        mill->nbls[kind] = nbls;
    mill->last[kind] = last;
    pthread_cond_signal(&mill->more);
    pthread_mutex_unlock(&mill->mutex);
}

void
mill_send_errand(struct mill *mill, struct mill_errand *errand)
{
    pthread_mutex_lock(&mill->mutex);
    errand->next = mill->errands;
    mill->errands = errand;
    pthread_cond_signal(&mill->more);
    pthread_mutex_unlock(&mill->mutex);
}

#define OPERATION(function, completion)                                                            \
    static VOID function(NDIS_HANDLE MiniportAdapterContext,                                       \
                         PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)                       \
    {                                                                                              \
        put_tree(mill_of(MiniportAdapterContext), OffloadBlockList, (void *)(completion));         \
    }
OPERATION(mill_initiate, NdisMInitiateOffloadComplete)
OPERATION(mill_terminate, NdisMTerminateOffloadComplete)
OPERATION(mill_update, NdisMUpdateOffloadComplete)
OPERATION(mill_invalidate, NdisMInvalidateOffloadComplete)
OPERATION(mill_query, NdisMQueryOffloadStateComplete)

static NDIS_STATUS
take(struct mill *mill, enum mill_kind kind, PVOID context, NET_BUFFER_LIST *nbls)
{
    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next)
        mill->wrongs += nbl->ProtocolReserved[0] != context;
    put_nbls(mill, kind, nbls);
    return NDIS_STATUS_PENDING;
}

#define DATA(function, kind)                                                                       \
    static NDIS_STATUS function(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,  \
                                PNET_BUFFER_LIST NetBufferList)                                    \
    {                                                                                              \
        return take(mill_of(MiniportAdapterContext), kind, MiniportOffloadContext, NetBufferList); \
    }
DATA(mill_take_send, MILL_SENDS)
DATA(mill_take_receive, MILL_RECEIVES)
DATA(mill_take_forward, MILL_FORWARDS)

static NDIS_STATUS
mill_take_disconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                     PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    return take(mill_of(MiniportAdapterContext), MILL_DISCONNECTS, MiniportOffloadContext,
                NetBufferList);
}

static VOID
mill_take_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                 NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    put_nbls(mill_of(MiniportAdapterContext), MILL_FRAMES, NetBufferList);
}

/* One at a time, says NDIS. Every other one is answered at once. */
static NDIS_STATUS
mill_take_request(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct mill *mill = mill_of(MiniportAdapterContext);

    if ((uintptr_t)OidRequest->RequestId % 2)
        return NDIS_STATUS_NOT_SUPPORTED;
    pthread_mutex_lock(&mill->mutex);
    mill->wrongs += mill->request != NULL;
    mill->request = OidRequest;
    pthread_cond_signal(&mill->more);
    pthread_mutex_unlock(&mill->mutex);
    return NDIS_STATUS_PENDING;
}

static NDIS_OID_REQUEST **
next_direct(NDIS_OID_REQUEST *request)
{
    return (NDIS_OID_REQUEST **)request->MiniportReserved;
}

static NDIS_STATUS
mill_take_direct(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct mill *mill = mill_of(MiniportAdapterContext);

    pthread_mutex_lock(&mill->mutex);
    *next_direct(OidRequest) = mill->direct;
    mill->direct = OidRequest;
    pthread_cond_signal(&mill->more);
    pthread_mutex_unlock(&mill->mutex);
    return NDIS_STATUS_PENDING;
}

/* ---- what goes up ---- */

static NET_BUFFER_LIST *
new_nbl(struct mill *mill)
{
    return NdisAllocateNetBufferAndNetBufferList(mill->pool, 0, 0, NULL, 0, 0);
}

static unsigned
free_nbls(NET_BUFFER_LIST *nbls)
{
    unsigned count = 0;

    while (nbls) {
        NET_BUFFER_LIST *next = nbls->Next;

        NdisFreeNetBufferList(nbls);
        nbls = next;
        count++;
    }
    return count;
}

void
mill_indicate(struct mill *mill, void *arg)
{
    struct mill_connection *connection = arg;
    NET_BUFFER_LIST *nbl = new_nbl(mill);
    ULONG consumed;

    mill->indicated++;
    if (mill->pair.up.NdisTcpOffloadReceiveHandler(&connection->handle, nbl, NDIS_STATUS_SUCCESS,
                                                   &consumed) == NDIS_STATUS_SUCCESS) {
        mill->accepted++;
        return;
    }
    mill->refused++;
    NdisFreeNetBufferList(nbl);
}

static NDIS_STATUS
mill_receive_return(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    mill_of(MiniportAdapterContext)->returned += free_nbls(NetBufferList);
    return NDIS_STATUS_SUCCESS;
}

void
mill_event(struct mill *mill, void *arg)
{
    struct mill_connection *connection = arg;

    mill->pair.up.NdisTcpOffloadEventHandler(&connection->handle, TcpIndicateDisconnect, 7);
}

void
mill_neighbor_event(struct mill *mill, void *arg)
{
    struct mill_connection *neighbor = arg;
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = {
        .Header = {NeighborOffloadState, NDIS_OFFLOAD_BLOCK_LIST_REVISION_1, sizeof(block)},
        .NdisOffloadHandle = &neighbor->handle,
    };

    NdisMOffloadEventIndicate(mill->pair.adapter, &block, NeighborReachabilityQuery);
}

void
mill_frames_up(struct mill *mill, void *arg)
{
    NET_BUFFER_LIST *nbls = new_nbl(mill);

    nbls->Next = new_nbl(mill);
    mill->frames_indicated += 2;
    NdisMIndicateReceiveNetBufferLists(mill->pair.adapter, nbls, 0, 2, 0);
}

static VOID
mill_return_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                   ULONG ReturnFlags)
{
    mill_of(MiniportAdapterContext)->frames_returned += free_nbls(NetBufferLists);
}

void
mill_status(struct mill *mill, void *arg)
{
    NDIS_STATUS_INDICATION indication = {
        .Header = {NDIS_OBJECT_TYPE_STATUS_INDICATION, NDIS_STATUS_INDICATION_REVISION_1,
                   sizeof(indication)},
        .SourceHandle = mill->pair.adapter,
        .StatusCode = NDIS_STATUS_OFFLOAD_RESUME,
    };

    NdisMIndicateStatusEx(mill->pair.adapter, &indication);
}

/* ---- turning ---- */

/* Trees of these tests have one block a layer. */
static void
complete_tree(struct mill *mill, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    VOID (*complete)(NDIS_HANDLE, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST) = root->Scratch[1];

    for (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b = root; b; b = b->DependentBlockList) {
        b->Status = NDIS_STATUS_SUCCESS;
        if (b->MiniportOffloadContext && !*b->MiniportOffloadContext)
            *b->MiniportOffloadContext = b->NdisOffloadHandle;
    }
    complete(mill->pair.adapter, root);
}

static void
complete_nbls(struct mill *mill, enum mill_kind kind, NET_BUFFER_LIST *nbls)
{
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS *up = &mill->pair.up;
    NDIS_HANDLE adapter = mill->pair.adapter;

    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next)
        nbl->Status = NDIS_STATUS_SUCCESS;
    if (kind == MILL_SENDS)
        up->NdisTcpOffloadSendComplete(adapter, nbls);
    else if (kind == MILL_RECEIVES)
        up->NdisTcpOffloadReceiveComplete(adapter, nbls);
    else if (kind == MILL_DISCONNECTS)
        up->NdisTcpOffloadDisconnectComplete(adapter, nbls);
    else if (kind == MILL_FORWARDS)
        up->NdisTcpOffloadForwardComplete(adapter, nbls);
    else
        NdisMSendNetBufferListsComplete(adapter, nbls, 0);
}

/* One thing out of the queues. */
struct grist {
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST tree;
    NDIS_OID_REQUEST *request, *direct;
    struct mill_errand *errand;
    NET_BUFFER_LIST *nbls;
    enum mill_kind kind;
};

static bool
take_grist(struct mill *mill, struct grist *grist)
{
    *grist = (struct grist){.tree = mill->trees};
    if (grist->tree) {
        mill->trees = grist->tree->Scratch[0];
        return true;
    }
    grist->request = mill->request;
    mill->request = NULL;
    if (grist->request)
        return true;
    grist->direct = mill->direct;
    if (grist->direct) {
        mill->direct = *next_direct(grist->direct);
        return true;
    }
    grist->errand = mill->errands;
    if (grist->errand) {
        mill->errands = grist->errand->next;
        return true;
    }
    while (grist->kind < MILL_KINDS && !mill->nbls[grist->kind])
        grist->kind++;
    if (grist->kind == MILL_KINDS)
        return false;
    grist->nbls = mill->nbls[grist->kind];
    mill->nbls[grist->kind] = NULL;
    return true;
}

static void
grind(struct mill *mill, struct grist *grist)
{
    if (grist->tree)
        complete_tree(mill, grist->tree);
    if (grist->request)
        NdisMOidRequestComplete(mill->pair.adapter, grist->request, NDIS_STATUS_SUCCESS);
    if (grist->direct)
        NdisMDirectOidRequestComplete(mill->pair.adapter, grist->direct, NDIS_STATUS_SUCCESS);
    if (grist->nbls)
        complete_nbls(mill, grist->kind, grist->nbls);
    if (grist->errand) {
        sem_t *done = grist->errand->done;

        grist->errand->fn(mill, grist->errand->arg);
        sem_post(done);
    }
}

bool
mill_turn(struct mill *mill)
{
    struct grist grist;
    bool any;

    pthread_mutex_lock(&mill->mutex);
    any = take_grist(mill, &grist);
    pthread_mutex_unlock(&mill->mutex);
    if (any)
        grind(mill, &grist);
    return any;
}

static void *
mill_main(void *arg)
{
    struct mill *mill = arg;
    struct grist grist;

    pthread_mutex_lock(&mill->mutex);
    for (;;) {
        if (take_grist(mill, &grist)) {
            pthread_mutex_unlock(&mill->mutex);
            grind(mill, &grist);
            pthread_mutex_lock(&mill->mutex);
        } else if (mill->stopping) {
            break;
        } else {
            pthread_cond_wait(&mill->more, &mill->mutex);
        }
    }
    pthread_mutex_unlock(&mill->mutex);
    return NULL;
}

/* ---- life ---- */

bool
mill_open(struct mill *mill)
{
    struct pair *pair = &mill->pair;
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {.fAllocateNetBuffer = TRUE};

    pair->target.InitiateOffloadHandler = mill_initiate;
    pair->target.TerminateOffloadHandler = mill_terminate;
    pair->target.UpdateOffloadHandler = mill_update;
    pair->target.InvalidateOffloadHandler = mill_invalidate;
    pair->target.QueryOffloadHandler = mill_query;
    pair->target_tcp.TcpOffloadSendHandler = mill_take_send;
    pair->target_tcp.TcpOffloadReceiveHandler = mill_take_receive;
    pair->target_tcp.TcpOffloadDisconnectHandler = mill_take_disconnect;
    pair->target_tcp.TcpOffloadForwardHandler = mill_take_forward;
    pair->target_tcp.TcpOffloadReceiveReturnHandler = mill_receive_return;
    pair->miniport.OidRequestHandler = mill_take_request;
    pair->miniport.DirectOidRequestHandler = mill_take_direct;
    pair->miniport.SendNetBufferListsHandler = mill_take_frames;
    pair->miniport.ReturnNetBufferListsHandler = mill_return_frames;
    pthread_mutex_init(&mill->mutex, NULL);
    pthread_cond_init(&mill->more, NULL);
    if (!pair_open(pair, NULL, 0))
        return false;
    mill->pool = NdisAllocateNetBufferListPool(pair->adapter, &parameters);
    for (int i = 0; i < MILL_THREADS; i++)
        if (pthread_create(&mill->threads[i], NULL, mill_main, mill))
            return false;
    return mill->pool != NULL;
}

void
mill_stop(struct mill *mill)
{
    pthread_mutex_lock(&mill->mutex);
    mill->stopping = true;
    pthread_cond_broadcast(&mill->more);
    pthread_mutex_unlock(&mill->mutex);
    for (int i = 0; i < MILL_THREADS; i++)
        pthread_join(mill->threads[i], NULL);
    pthread_cond_destroy(&mill->more);
    pthread_mutex_destroy(&mill->mutex);
    NdisFreeNetBufferListPool(mill->pool);
}
