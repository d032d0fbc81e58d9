/*
 * Hosts and workers of the test with threads (test_workers.h). A round of a worker is everything a
 * driver may do while it runs: it offloads a tree of its own and a connection under a neighbor and
 * a path that are offloaded already, uses both, and takes them back.
 */
#include "ndis/test_workers.h"

#define LIST 3 /* NBLs of one call */

/* ---- trees ---- */

const UCHAR test_whole[3] = {NeighborOffloadState, Ip4OffloadState, TcpOffloadState};
static const UCHAR cached[] = {NeighborOffloadCachedState, Ip4OffloadCachedState,
                               TcpOffloadCachedState};
const UCHAR test_delegated[3] = {NeighborOffloadDelegatedState, Ip4OffloadDelegatedState,
                                 TcpOffloadDelegatedState};

PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
test_tree_set(struct tree *tree, const UCHAR types[3], NDIS_OFFLOAD_HANDLE *const handles[3],
              sem_t *waiter)
{
    for (int i = 0; i < 3; i++) {
        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = &tree->nodes[i].block;

        memset(&tree->nodes[i], 0, sizeof(tree->nodes[i]));
        block->Header = (NDIS_OBJECT_HEADER){types[i], NDIS_OFFLOAD_BLOCK_LIST_REVISION_1,
                                             sizeof(*block)};
        block->Status = 0x5a5a5a5a;
        block->OffloadHandle = handles[i];
        block->ProtocolReserved[0] = waiter;
        block->DependentBlockList = i < 2 ? &tree->nodes[i + 1].block : NULL;
    }
    return &tree->nodes[0].block;
}

/* ---- the hosts ---- */

struct mill mill;
struct commons commons;

static struct host *
host_of(NDIS_HANDLE context)
{
    return context;
}

static VOID
on_operation(NDIS_HANDLE ProtocolBindingContext, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    sem_post(OffloadBlockList->ProtocolReserved[0]);
}

static VOID
on_nbls(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    while (NetBufferList) {
        NET_BUFFER_LIST *next = NetBufferList->Next;
        struct connection *connection = NetBufferList->ProtocolReserved[0];

        if (connection->host != host_of(ProtocolBindingContext))
            connection->strays++;
        sem_post(&connection->back);
        NetBufferList = next;
    }
}

static VOID
on_frames(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
          ULONG SendCompleteFlags)
{
    on_nbls(ProtocolBindingContext, NetBufferList);
}

static VOID
on_block_event(NDIS_HANDLE ProtocolBindingContext,
               PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    host_of(ProtocolBindingContext)->neighbor_events++;
}

static VOID
on_event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    ((struct connection *)OffloadContext)->events += EventSpecificInformation == 7;
}

/* Every other one is refused. */
static NDIS_STATUS
on_indication(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
              PULONG BytesConsumed)
{
    struct connection *connection = OffloadContext;
    struct host *host = connection->host;

    if (connection->indicated++ % 2)
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    pthread_mutex_lock(&host->mutex);
    NetBufferList->Next = host->accepted;
    host->accepted = NetBufferList;
    pthread_mutex_unlock(&host->mutex);
    return NDIS_STATUS_SUCCESS;
}

void
test_return_accepted(struct host *host)
{
    NET_BUFFER_LIST *nbls;

    pthread_mutex_lock(&host->mutex);
    nbls = host->accepted;
    host->accepted = NULL;
    pthread_mutex_unlock(&host->mutex);
    if (nbls)
        NdisOffloadTcpReceiveReturn(host->pair.binding, nbls);
}

static VOID
on_request(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest, NDIS_STATUS Status)
{
    sem_post(*(sem_t **)OidRequest->DATA.SET_INFORMATION.InformationBuffer);
}

static VOID
on_status(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    host_of(ProtocolBindingContext)->statuses++;
}

void
test_host_open(struct host *host, const char *name, UNBIND_HANDLER_EX unbind)
{
    memset(host, 0, sizeof(*host));
    pair_init(&host->pair);
    pthread_mutex_init(&host->mutex, NULL);
    host->pair.host.InitiateOffloadCompleteHandler = on_operation;
    host->pair.host.TerminateOffloadCompleteHandler = on_operation;
    host->pair.host.UpdateOffloadCompleteHandler = on_operation;
    host->pair.host.InvalidateOffloadCompleteHandler = on_operation;
    host->pair.host.QueryOffloadCompleteHandler = on_operation;
    host->pair.host.IndicateOffloadEventHandler = on_block_event;
    host->pair.host_tcp.TcpOffloadSendCompleteHandler = on_nbls;
    host->pair.host_tcp.TcpOffloadReceiveCompleteHandler = on_nbls;
    host->pair.host_tcp.TcpOffloadDisconnectCompleteHandler = on_nbls;
    host->pair.host_tcp.TcpOffloadForwardCompleteHandler = on_nbls;
    host->pair.host_tcp.TcpOffloadEventHandler = on_event;
    host->pair.host_tcp.TcpOffloadReceiveIndicateHandler = on_indication;
    host->pair.protocol.OidRequestCompleteHandler = on_request;
    host->pair.protocol.DirectOidRequestCompleteHandler = on_request;
    host->pair.protocol.StatusHandlerEx = on_status;
    host->pair.protocol.SendNetBufferListsCompleteHandler = on_frames;
    if (unbind)
        host->pair.protocol.UnbindAdapterHandlerEx = unbind;
    assert_int_equal(house_load(mill.pair.house, name, pair_host_entry, &host->pair), 0);
}

/* ---- what a worker does; assertions are for the main thread, so it counts what is wrong ---- */

NDIS_EVENT all_over;
atomic_uint at_work;

static void
check(struct worker *worker, bool good, const char *what)
{
    if (good)
        return;
    worker->wrong++;
    if (!worker->first_wrong)
        worker->first_wrong = what;
}

void
test_await(sem_t *what)
{
    while (sem_trywait(what))
        if (!mill_turn(&mill)) {
            sem_wait(what);
            return;
        }
}

static void
check_tree(struct worker *worker, const struct tree *tree, NDIS_STATUS status, const char *what)
{
    for (int i = 0; i < 3; i++)
        check(worker, tree->nodes[i].block.Status == status, what);
}

static void
initiate(struct worker *worker)
{
    NDIS_OFFLOAD_HANDLE *own[] = {&worker->neighbor.handle, &worker->path.handle,
                                  &worker->own.below.handle};
    NDIS_OFFLOAD_HANDLE *linked[] = {&worker->host->neighbor.handle, &worker->host->path.handle,
                                     &worker->linked.below.handle};
    NDIS_HANDLE binding = worker->host->pair.binding;

    NdisInitiateOffload(binding,
                        test_tree_set(&worker->own_tree, test_whole, own, &worker->operations));
    NdisInitiateOffload(
        binding, test_tree_set(&worker->linked_tree, test_whole, linked, &worker->operations));
    test_await(&worker->operations);
    test_await(&worker->operations);
    check_tree(worker, &worker->own_tree, NDIS_STATUS_SUCCESS, "initiate");
    check_tree(worker, &worker->linked_tree, NDIS_STATUS_SUCCESS, "initiate under what is shared");
    check(worker, worker->own.below.handle.MiniportOffloadContext == &worker->own, "context");
}

/* Three operations at a time, and one that NDIS refuses. */
static void
operate(struct worker *worker)
{
    static NDIS_OFFLOAD_HANDLE nobody;
    NDIS_OFFLOAD_HANDLE *own[] = {NULL, NULL, &worker->own.below.handle};
    NDIS_OFFLOAD_HANDLE *linked[] = {&worker->host->neighbor.handle, NULL,
                                     &worker->linked.below.handle};
    NDIS_OFFLOAD_HANDLE *bad[] = {NULL, NULL, &nobody};
    NDIS_OFFLOAD_HANDLE *path[] = {NULL, &worker->path.handle, NULL};
    NDIS_HANDLE binding = worker->host->pair.binding;
    sem_t *operations = &worker->operations;

    NdisUpdateOffload(binding, test_tree_set(&worker->own_tree, cached, own, operations));
    NdisQueryOffloadState(binding,
                          test_tree_set(&worker->linked_tree, test_whole, linked, operations));
    NdisUpdateOffload(binding, test_tree_set(&worker->bad_tree, cached, bad, operations));
    for (int i = 0; i < 3; i++)
        test_await(operations);
    check_tree(worker, &worker->own_tree, NDIS_STATUS_SUCCESS, "update");
    check_tree(worker, &worker->linked_tree, NDIS_STATUS_SUCCESS, "query");
    check_tree(worker, &worker->bad_tree, NDIS_STATUS_FAILURE, "refused");
    NdisInvalidateOffload(binding, test_tree_set(&worker->own_tree, test_whole, path, operations));
    test_await(operations);
    check_tree(worker, &worker->own_tree, NDIS_STATUS_SUCCESS, "invalidate");
}

static void
terminate(struct worker *worker)
{
    NDIS_OFFLOAD_HANDLE *own[] = {&worker->neighbor.handle, &worker->path.handle,
                                  &worker->own.below.handle};
    NDIS_OFFLOAD_HANDLE *linked[] = {NULL, NULL, &worker->linked.below.handle};
    NDIS_HANDLE binding = worker->host->pair.binding;

    NdisTerminateOffload(
        binding, test_tree_set(&worker->own_tree, test_delegated, own, &worker->operations));
    NdisTerminateOffload(
        binding, test_tree_set(&worker->linked_tree, test_delegated, linked, &worker->operations));
    test_await(&worker->operations);
    test_await(&worker->operations);
    check_tree(worker, &worker->own_tree, NDIS_STATUS_SUCCESS, "terminate");
    check_tree(worker, &worker->linked_tree, NDIS_STATUS_SUCCESS, "terminate of one of two");
    check(worker, !worker->own.below.handle.MiniportOffloadContext, "context left");
}

static NET_BUFFER_LIST *
list_of(struct worker *worker, struct connection *connection, unsigned count)
{
    NET_BUFFER_LIST *list = NULL;

    while (count-- > 0) {
        MDL *mdl = NdisAllocateMdl(NULL, worker, 16);
        NET_BUFFER_LIST *nbl = NdisAllocateNetBufferAndNetBufferList(worker->pool, 16, 0, mdl, 0,
                                                                     16);

        nbl->Next = list;
        nbl->ProtocolReserved[0] = connection;
        list = nbl;
    }
    return list;
}

static void
free_list(NET_BUFFER_LIST *nbls[], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        NdisFreeMdl(nbls[i]->FirstNetBuffer->MdlChain);
        NdisFreeNetBufferList(nbls[i]);
    }
}

/* Everything that carries NBLs, outstanding together. */
static void
transfer(struct worker *worker, struct connection *connection)
{
    NDIS_OFFLOAD_HANDLE *handle = &connection->below.handle;
    NET_BUFFER_LIST *nbls[5 * LIST];
    unsigned count = 0;

    for (int call = 0; call < 5; call++) {
        NET_BUFFER_LIST *list = list_of(worker, connection, LIST);

        for (NET_BUFFER_LIST *nbl = list; nbl; nbl = nbl->Next)
            nbls[count++] = nbl;
        if (call == 0)
            check(worker, NdisOffloadTcpSend(handle, list) == NDIS_STATUS_PENDING, "send");
        else if (call == 1)
            check(worker, NdisOffloadTcpReceive(handle, list) == NDIS_STATUS_PENDING, "receive");
        else if (call == 2)
            check(worker, NdisOffloadTcpForward(handle, list) == NDIS_STATUS_PENDING, "forward");
        else if (call == 3)
            check(worker, NdisOffloadTcpDisconnect(handle, list, 1) == NDIS_STATUS_PENDING,
                  "disconnect");
        else
            NdisSendNetBufferLists(worker->host->pair.binding, list, 0, 0);
    }
    for (unsigned i = 0; i < count; i++)
        test_await(&connection->back);
    free_list(nbls, count);
}

static void
be_indicated_to(struct worker *worker)
{
    struct mill_errand errands[] = {
        {.fn = mill_indicate, .arg = &worker->own},
        {.fn = mill_indicate, .arg = &worker->own},
        {.fn = mill_indicate, .arg = &worker->linked},
        {.fn = mill_event, .arg = &worker->own},
        {.fn = mill_event, .arg = &worker->linked},
        {.fn = mill_frames_up},
        {.fn = mill_neighbor_event, .arg = &worker->neighbor},
        {.fn = mill_status},
    };
    unsigned count = sizeof(errands) / sizeof(errands[0]);

    for (unsigned i = 0; i < count; i++) {
        errands[i].done = &worker->errands;
        mill_send_errand(&mill, &errands[i]);
    }
    for (unsigned i = 0; i < count; i++)
        test_await(&worker->errands);
    test_return_accepted(worker->host);
}

/* One in turn, and one that goes past all others. */
static void
request(struct worker *worker, unsigned round)
{
    sem_t *done = &worker->requests;
    NDIS_OID_REQUEST oid = {
        .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, 1, sizeof(oid)},
        .RequestType = NdisRequestSetInformation,
        .RequestId = (PVOID)(uintptr_t)round,
        .DATA.SET_INFORMATION = {.Oid = 0xff000001,
                                 .InformationBuffer = &done,
                                 .InformationBufferLength = sizeof(done)},
    };

    if (NdisOidRequest(worker->host->pair.binding, &oid) == NDIS_STATUS_PENDING)
        test_await(done);
    else
        check(worker, round % 2, "request");
    check(worker, NdisDirectOidRequest(worker->host->pair.binding, &oid) == NDIS_STATUS_PENDING,
          "direct request");
    test_await(done);
}

static void
lock_and_clone(struct worker *worker)
{
    NET_BUFFER_LIST *nbl = list_of(worker, NULL, 1), *clone;
    LOCK_STATE_EX state;
    unsigned before;

    NdisAcquireSpinLock(&commons.spin);
    commons.under_spin++;
    NdisReleaseSpinLock(&commons.spin);
    NdisAcquireRWLockRead(commons.lock, &state, 0);
    before = commons.under_lock;
    NdisReleaseRWLock(commons.lock, &state);
    NdisAcquireRWLockWrite(commons.lock, &state, 0);
    check(worker, commons.under_lock++ >= before, "written while it was read");
    NdisReleaseRWLock(commons.lock, &state);
    clone = NdisAllocateCloneNetBufferList(nbl, NULL, NULL, 0);
    check(worker, clone && NET_BUFFER_DATA_LENGTH(clone->FirstNetBuffer) == 16, "clone");
    NdisFreeCloneNetBufferList(clone, 0);
    free_list(&nbl, 1);
}

static VOID
on_timer(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2, PVOID SystemSpecific3)
{
    ((struct worker *)FunctionContext)->fired++;
}

static VOID
on_work(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    NdisSetEvent(&((struct worker *)WorkItemContext)->event);
}

static void
be_served(struct worker *worker, unsigned round)
{
    LARGE_INTEGER due = {.QuadPart = -10 * (LONGLONG)(round % 50)};

    worker->queued += !NdisSetTimerObject(worker->timer, due, 0, worker);
    NdisResetEvent(&worker->event);
    NdisQueueIoWorkItem(worker->work, on_work, worker);
    check(worker, NdisWaitEvent(&worker->event, 600 * SECOND_MS), "event");
    worker->cancelled += NdisCancelTimerObject(worker->timer);
}

void *
test_worker(void *arg)
{
    struct worker *worker = arg;
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {.fAllocateNetBuffer = TRUE, .ContextSize = 16};
    NDIS_TIMER_CHARACTERISTICS characteristics = {.TimerFunction = on_timer};

    worker->pool = NdisAllocateNetBufferListPool(NULL, &parameters);
    worker->work = NdisAllocateIoWorkItem(NULL);
    check(worker, !NdisAllocateTimerObject(NULL, &characteristics, &worker->timer), "timer");
    for (unsigned round = 0; round < ROUNDS; round++) {
        initiate(worker);
        transfer(worker, &worker->own);
        be_indicated_to(worker);
        transfer(worker, &worker->linked);
        operate(worker);
        request(worker, round);
        lock_and_clone(worker);
        be_served(worker, round);
        terminate(worker);
    }
    NdisFreeTimerObject(worker->timer);
    NdisFreeIoWorkItem(worker->work);
    NdisFreeNetBufferListPool(worker->pool);
    if (--at_work == 0)
        NdisSetEvent(&all_over);
    return NULL;
}
