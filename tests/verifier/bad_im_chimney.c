/*
 * What goes through the intermediate driver of the chimney: trees with our handles down and with
 * the old ones up, I/O with the same NBLs and flags, events and indications unchanged. Out of
 * memory it refuses, asynchronously. Sources: G:propagating-*, D:tcp_offload_*_handler; V-086,
 * V-158 … V-166.
 */
#include "bad_im.h"

#include "mutant.h"

#include <stdlib.h>

typedef NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block_list;
typedef VOID complete_fn(NDIS_HANDLE NdisMiniportHandle,
                         PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);

/* ---- entries ---- */

/* Also of contexts that are none: NULL. */
static struct bi_entry *
entry_find(struct bi_floor *floor, PVOID context)
{
    list_for_each(entry, &floor->entries, struct bi_entry, link)
        if (entry == context)
            return entry;
    return NULL;
}

static struct bi_entry *
entry_create(struct bi_floor *floor, NDIS_HANDLE upper)
{
    struct bi_entry *entry = calloc(1, sizeof(*entry));

    if (!entry)
        abort();
    entry->floor = floor;
    entry->upper = upper;
    NdisAcquireSpinLock(&floor->lock);
    list_add_tail(&floor->entries, &entry->link);
    NdisReleaseSpinLock(&floor->lock);
    return entry;
}

void
bi_entry_free(struct bi_entry *entry)
{
    list_del(&entry->link);
    free(entry);
}

static struct bi_entry *
entry_of(PVOID handle)
{
    return container_of(handle, struct bi_entry, own);
}

/* ---- trees that do not go down (V-166) ---- */

struct refused_tree {
    struct list link;
    block_list *root;
    complete_fn *complete;
};

static void
fail_tree(block_list *list)
{
    for (block_list *block = list; block; block = block->NextBlock) {
        block->Status = block->MiniportOffloadContext ? NDIS_STATUS_FAILURE : NDIS_STATUS_SUCCESS;
        fail_tree(block->DependentBlockList);
    }
}

static void
refuse_tree(struct bi_floor *floor, block_list *root, complete_fn *complete)
{
    struct refused_tree *tree = malloc(sizeof(*tree));

    if (!tree)
        abort();
    *tree = (struct refused_tree){.root = root, .complete = complete};
    list_add_tail(&floor->refused, &tree->link);
    floor->calls++;
    floor->im->refused++;
    bi_kick(floor);
}

static void
complete_refused_trees(struct bi_floor *floor)
{
    while (!list_empty(&floor->refused)) {
        struct refused_tree *tree = container_of(list_take_first(&floor->refused),
                                                 struct refused_tree, link);

        floor->calls--;
        if (bad_v(166, 2))
            tree->root->Status = NDIS_STATUS_FAILURE;
        else
            fail_tree(tree->root);
        if (!bad_v(166, 1))
            tree->complete(floor->upper, tree->root);
        free(tree);
    }
}

void
bi_refused_complete(struct bi_floor *floor)
{
    NET_BUFFER_LIST *sends = stream_chain_take(&floor->refused_nbls);

    complete_refused_trees(floor);
    if (sends)
        floor->up.NdisTcpOffloadSendComplete(floor->upper, sends);
}

/* ---- trees, down ---- */

static void
save(struct bi_floor *floor, struct bi_call *call, block_list *list, bool offers)
{
    for (block_list *block = list; block; block = block->NextBlock) {
        struct bi_node *node = &call->nodes[call->count++];

        if (call->count > BI_NODES)
            abort();
        *node = (struct bi_node){.block = block,
                                 .cell = block->MiniportOffloadContext,
                                 .handle = block->NdisOffloadHandle,
                                 .reserved = {block->ImReserved[0], block->ImReserved[1]},
                                 .source = block->SourceHandle};
        if (node->cell && *node->cell)
            node->entry = entry_find(floor, *node->cell);
        else if (node->cell && offers) {
            node->entry = entry_create(floor, node->handle);
            node->fresh = true;
        }
        save(floor, call, block->DependentBlockList, offers);
    }
}

static PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
tree_down(struct bi_floor *floor, block_list *root, bool offers)
{
    struct bi_call *call = calloc(1, sizeof(*call));

    if (!call)
        abort();
    floor->calls++;
    save(floor, call, root, offers);
    for (unsigned i = 0; i < call->count; i++) {
        struct bi_node *node = &call->nodes[i];
        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST below = (PVOID)node->block;

        below->OffloadHandle = node->entry ? &node->entry->own : NULL;
        below->ImReserved[0] = call;
        if (node->entry && !node->fresh && offers && bad_v(14, 3))
            below->Header.Type = FilterReservedOffloadState;
    }
    return (PVOID)root;
}

VOID
bi_initiate(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct bi_floor *floor = MiniportAdapterContext;

    if (floor->im->no_memory)
        refuse_tree(floor, OffloadBlockList, NdisMInitiateOffloadComplete);
    else
        NdisInitiateOffload(floor->lower, tree_down(floor, OffloadBlockList, true));
}

VOID
bi_terminate(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct bi_floor *floor = MiniportAdapterContext;

    NdisTerminateOffload(floor->lower, tree_down(floor, OffloadBlockList, false));
}

VOID
bi_update(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct bi_floor *floor = MiniportAdapterContext;

    NdisUpdateOffload(floor->lower, tree_down(floor, OffloadBlockList, false));
}

VOID
bi_invalidate(NDIS_HANDLE MiniportAdapterContext,
              PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct bi_floor *floor = MiniportAdapterContext;

    NdisInvalidateOffload(floor->lower, tree_down(floor, OffloadBlockList, false));
}

VOID
bi_query(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct bi_floor *floor = MiniportAdapterContext;
    NDIS_HANDLE handle = OffloadBlockList->NdisOffloadHandle;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;
    NDIS_EVENT never;

    if (bad_once_v(30, 2)) {
        fail_tree(OffloadBlockList);
        NdisMQueryOffloadStateComplete(floor->upper, OffloadBlockList);
        return;
    }
    NdisInitializeEvent(&never);
    if (bad_once_v(32, 2))
        NdisWaitEvent(&never, 3000);
    if (bad_v(15, 3))
        OffloadBlockList->Header.Revision = 0;
    root = tree_down(floor, OffloadBlockList, false);
    if (bad_v(159, 2))
        root->OffloadHandle = handle;
    NdisQueryOffloadState(floor->lower, root);
}

/* ---- trees, up ---- */

static struct bi_call *
tree_up(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root)
{
    struct bi_call *call = root->ImReserved[0];

    for (unsigned i = 0; i < call->count; i++) {
        struct bi_node *node = &call->nodes[i];
        block_list *above = node->block;

        above->MiniportOffloadContext = node->cell;
        above->NdisOffloadHandle = node->handle;
        if (!bad_v(158, 1))
            above->ImReserved[0] = node->reserved[0];
        above->ImReserved[1] = node->reserved[1];
        if (!bad_v(158, 2))
            above->SourceHandle = node->source;
        if (node->cell && !node->entry) /* it named nothing of ours */
            above->Status = NDIS_STATUS_FAILURE;
    }
    return call;
}

static void
call_end(struct bi_floor *floor, struct bi_call *call)
{
    free(call);
    floor->calls--;
    bi_kick(floor);
}

static bool
succeeded(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

VOID
bi_initiate_complete(NDIS_HANDLE ProtocolBindingContext,
                     PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct bi_floor *floor = ProtocolBindingContext;
    struct bi_call *call = tree_up(OffloadBlockList);

    for (unsigned i = 0; i < call->count; i++) {
        struct bi_node *node = &call->nodes[i];

        if (!node->fresh)
            continue;
        if (succeeded(node->block->Status)) /* V-161 */
            *node->cell = bad(161) ? node->entry->own.MiniportOffloadContext : node->entry;
        else
            bi_entry_free(node->entry);
    }
    NdisMInitiateOffloadComplete(floor->upper, (PVOID)OffloadBlockList);
    call_end(floor, call);
}

VOID
bi_terminate_complete(NDIS_HANDLE ProtocolBindingContext,
                      PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct bi_floor *floor = ProtocolBindingContext;
    struct bi_call *call = tree_up(OffloadBlockList);

    NdisMTerminateOffloadComplete(floor->upper, (PVOID)OffloadBlockList);
    for (unsigned i = 0; i < call->count; i++)
        if (call->nodes[i].entry)
            bi_entry_free(call->nodes[i].entry);
    call_end(floor, call);
}

static void
plain_up(struct bi_floor *floor, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root, complete_fn *complete)
{
    struct bi_call *call = tree_up(root);

    if (complete == NdisMQueryOffloadStateComplete && bad_once_v(31, 3))
        complete = NdisMUpdateOffloadComplete;
    if (call->nodes[0].entry && bad_v(159, 1))
        ((block_list *)(PVOID)root)->NdisOffloadHandle = &call->nodes[0].entry->own;
    if (!bad_once_v(29, 4))
        complete(floor->upper, (PVOID)root);
    if (bad_once_v(29, 3))
        complete(floor->upper, (PVOID)root);
    call_end(floor, call);
}

VOID
bi_update_complete(NDIS_HANDLE ProtocolBindingContext,
                   PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    plain_up(ProtocolBindingContext, OffloadBlockList, NdisMUpdateOffloadComplete);
}

VOID
bi_invalidate_complete(NDIS_HANDLE ProtocolBindingContext,
                       PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    plain_up(ProtocolBindingContext, OffloadBlockList, NdisMInvalidateOffloadComplete);
}

VOID
bi_query_complete(NDIS_HANDLE ProtocolBindingContext,
                  PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct bi_floor *floor = ProtocolBindingContext;

    if (bad_once(160)) /* again */
        NdisQueryOffloadState(floor->lower, OffloadBlockList);
    else
        plain_up(floor, OffloadBlockList, NdisMQueryOffloadStateComplete);
}

/* ---- data ---- */

/* V-086 */
static void
refuse_sends(struct bi_floor *floor, NET_BUFFER_LIST *list)
{
    NDIS_STATUS status = NDIS_STATUS_REQUEST_UPLOAD;
    NET_BUFFER_LIST *next;

    for (; list; list = next) {
        next = list->Next;
        NET_BUFFER_LIST_STATUS(list) = status;
        NET_BUFFER_LIST_INFO(list, TcpOffloadBytesTransferred) = NULL;
        stream_chain_add(&floor->refused_nbls, list);
        if (!bad_v(86, 1))
            status = NDIS_STATUS_UPLOAD_REQUESTED;
    }
    floor->im->refused++;
    bi_kick(floor);
}

static NET_BUFFER_LIST *
reverse(NET_BUFFER_LIST *list)
{
    NET_BUFFER_LIST *reversed = NULL, *next;

    for (; list; list = next) {
        next = list->Next;
        list->Next = reversed;
        reversed = list;
    }
    return reversed;
}

static NDIS_STATUS
send_down(struct bi_entry *entry, NET_BUFFER_LIST *list)
{
    NDIS_STATUS status;
    bool locked;

    if (list->Next && bad_v(162, 2))
        list = reverse(list);
    locked = bad_v(191, 4);
    if (locked)
        NdisAcquireSpinLock(&entry->floor->lock);
    status = NdisOffloadTcpSend(&entry->own, list);
    if (locked)
        NdisReleaseSpinLock(&entry->floor->lock);
    return status;
}

NDIS_STATUS
bi_send(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
        PNET_BUFFER_LIST NetBufferList)
{
    struct bi_floor *floor = MiniportAdapterContext;
    struct bi_entry *entry = entry_find(floor, MiniportOffloadContext);

    if (entry && !floor->im->no_memory)
        return send_down(entry, NetBufferList);
    if (entry && NetBufferList->Next && bad_v(86, 2)) {
        NET_BUFFER_LIST *rest = NetBufferList->Next;
        NetBufferList->Next = NULL;
        send_down(entry, rest);
    }
    refuse_sends(floor, NetBufferList);
    return NDIS_STATUS_PENDING;
}

NDIS_STATUS
bi_receive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
           PNET_BUFFER_LIST NetBufferList)
{
    struct bi_entry *entry = entry_find(MiniportAdapterContext, MiniportOffloadContext);

    return entry ? NdisOffloadTcpReceive(&entry->own, NetBufferList) : NDIS_STATUS_PENDING;
}

NDIS_STATUS
bi_disconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
              PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    struct bi_floor *floor = MiniportAdapterContext;
    struct bi_entry *entry = entry_find(floor, MiniportOffloadContext);

    if (!entry)
        return NDIS_STATUS_PENDING;
    if (!bi_context_add(NetBufferList, floor))
        abort();
    if (Flags == TCP_DISCONNECT_ABORTIVE_CLOSE && bad_v(162, 1))
        Flags = TCP_DISCONNECT_GRACEFUL_CLOSE;
    return NdisOffloadTcpDisconnect(&entry->own, NetBufferList, Flags);
}

NDIS_STATUS
bi_forward(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
           PNET_BUFFER_LIST NetBufferList)
{
    struct bi_entry *entry = entry_find(MiniportAdapterContext, MiniportOffloadContext);

    return entry ? NdisOffloadTcpForward(&entry->own, NetBufferList) : NDIS_STATUS_PENDING;
}

NDIS_STATUS
bi_receive_return(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bi_floor *floor = MiniportAdapterContext;

    NdisOffloadTcpReceiveReturn(floor->lower, NetBufferList);
    return NDIS_STATUS_SUCCESS;
}

VOID
bi_send_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bi_floor *floor = ProtocolBindingContext;

    floor->up.NdisTcpOffloadSendComplete(floor->upper, NetBufferList);
}

VOID
bi_receive_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bi_floor *floor = ProtocolBindingContext;

    floor->up.NdisTcpOffloadReceiveComplete(floor->upper, NetBufferList);
}

VOID
bi_disconnect_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bi_floor *floor = ProtocolBindingContext;

    if (!bad_v(163, 1))
        bi_context_remove(NetBufferList);
    floor->up.NdisTcpOffloadDisconnectComplete(floor->upper, NetBufferList);
}

VOID
bi_forward_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bi_floor *floor = ProtocolBindingContext;

    floor->up.NdisTcpOffloadForwardComplete(floor->upper, NetBufferList);
}

NDIS_STATUS
bi_indicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
            PULONG BytesConsumed)
{
    struct bi_entry *entry = entry_of(OffloadContext);
    NDIS_STATUS status = entry->floor->up.NdisTcpOffloadReceiveHandler(entry->upper, NetBufferList,
                                                                       Status, BytesConsumed);

    if (*BytesConsumed && bad_v(164, 1))
        *BytesConsumed -= 1;
    if (status == NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED && bad_v(164, 2))
        status = NDIS_STATUS_SUCCESS;
    return status;
}

/* ---- events ---- */

VOID
bi_event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct bi_entry *entry = entry_of(OffloadContext);

    entry->floor->up.NdisTcpOffloadEventHandler(entry->upper, EventType, EventSpecificInformation);
}

/* With the handle that the driver above gave, for the length of the call. */
VOID
bi_offload_event(NDIS_HANDLE ProtocolBindingContext,
                 PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    struct bi_floor *floor = ProtocolBindingContext;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST saved = *OffloadBlockList;
    block_list *above = (PVOID)OffloadBlockList;

    above->MiniportOffloadContext = NULL;
    above->NdisOffloadHandle = entry_of(saved.OffloadHandle)->upper;
    NdisMOffloadEventIndicate(floor->upper, above, IndicationCode);
    *OffloadBlockList = saved;
}
