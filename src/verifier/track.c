/*
 * The shadow follows the calls: what was allowed to go on becomes what the verifier believes. This
 * family comes last, so every check has seen the world as it was before the call.
 *
 * It also writes the poison by which the others see that a driver wrote nothing: in the Status of
 * every block, in the delegated states that a query or terminate asks for, in Status and
 * TcpOffloadBytesTransferred of NBLs. The callee must overwrite all of these (V-033, V-052, V-055,
 * V-078, V-094).
 */
#include "verifier/nbls.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the host stack owes ---- */

void
shadow_owe(struct verifier *verifier, struct shadow_object *object, unsigned rule, uint64_t now_us)
{
    if (object->owed_rule || object->binding->im_above || object->life == SHADOW_TERMINATING)
        return;
    object->owed_rule = rule;
    object->owed_us = now_us;
    list_add_tail(&verifier->owing, &object->owing);
}

/* ---- requests ---- */

/* The classes from here on are asked for. */
static enum shadow_class
first_asked(enum crossing_op op)
{
    if (op == CROSSING_QUERY)
        return SHADOW_CONST;
    return op == CROSSING_TERMINATE ? SHADOW_DELEGATED : SHADOW_CLASSES;
}

static void
poison_node(const struct shadow_tree *tree, struct shadow_node *node)
{
    node->block->Status = SHADOW_POISON;
    for (enum shadow_class class = first_asked(tree->op); class < SHADOW_CLASSES; class ++)
        if (node->length[class])
            memset(node->state[class] + sizeof(OFFLOAD_STATE_HEADER), SHADOW_POISON_BYTE,
                   node->length[class] - sizeof(OFFLOAD_STATE_HEADER));
}

/* A FIN has a sequence number and no buffer. */
static bool
fin_in_flight(TCP_OFFLOAD_CONNECTION_STATE state)
{
    return state == TcpConnectionFinWait1 || state == TcpConnectionClosing ||
           state == TcpConnectionLastAck;
}

static ULONG
bytes_of(const NET_BUFFER_LIST *nbls)
{
    ULONG bytes = 0;

    for (; nbls; nbls = nbls->Next)
        for (const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbls); nb; nb = NET_BUFFER_NEXT_NB(nb))
            bytes += NET_BUFFER_DATA_LENGTH(nb);
    return bytes;
}

static void
chain_posted(struct verifier *verifier, const struct call *call, struct shadow_node *node)
{
    for (NET_BUFFER_LIST *nbl = node->issued.NetBufferListChain; nbl; nbl = nbl->Next) {
        struct shadow_nbl *shadow = shadow_nbl_add(verifier, call, nbl, SHADOW_SEND, node->object);

        if (shadow) {
            shadow->posting = call->id;
            shadow->with_initiate = true;
            shadow->seq = node->object->posted_seq;
            node->object->posted_seq += shadow->length;
            shadow->info0 = nbl->NetBufferListInfo[TcpOffloadBytesTransferred];
            nbl_note_posted(verifier, shadow, true);
        }
    }
}

/* V-141: HostReachabilityDelta says how long ago the host stack knew of it. */
static void
note_reachable(struct shadow_object *neighbor, uint64_t now_us)
{
    neighbor->reachable_us = now_us;
    neighbor->reachable_ticks = neighbor->cached.neighbor.HostReachabilityDelta;
}

static void
node_issued(struct verifier *verifier, const struct call *call, struct shadow_node *node)
{
    struct shadow_object *object;

    if (node->role == SHADOW_NEW && !node->object) {
        node->object = shadow_object_add(verifier, node);
        if (node->object)
            node->object->named++;
    }
    object = node->object;
    if (!object)
        return;
    switch (call->op) {
    case CROSSING_INITIATE:
        if (node->role == SHADOW_NEW && object->layer == SHADOW_NEIGHBOR)
            note_reachable(object, call->started_us);
        if (node->role != SHADOW_NEW || object->layer != SHADOW_TCP)
            break;
        object->posted_seq = object->delegated.tcp.SndUna;
        chain_posted(verifier, call, node);
        object->posted_seq += fin_in_flight(object->delegated.tcp.State);
        if (shadow_nbls_cut(object->delegated.tcp.BufferedData))
            report(call, 0, BLAME_CALLER, object->handle, "BufferedData runs in a circle");
        object->delivered_seq = object->delegated.tcp.RcvNxt -
                                bytes_of(object->delegated.tcp.BufferedData);
        object->chain_handed_over = !list_empty(&object->nbls[SHADOW_SEND]);
        object->buffered = object->delegated.tcp.BufferedData != NULL;
        owed_chain(&object->owed, 114, object->delegated.tcp.BufferedData);
        break;
    case CROSSING_TERMINATE:
        object->life = SHADOW_TERMINATING;
        list_del(&object->owing);
        break;
    case CROSSING_UPDATE:
        object->updates++;
        break;
    case CROSSING_INVALIDATE:
        object->invalidates++;
        object->invalidated = true;
        object->invalidated_us = call->started_us;
        break;
    case CROSSING_QUERY:
        object->queries++;
        break;
    default:
        break;
    }
}

static void
count_tree(struct shadow_tree *tree, int by)
{
    tree->adapter->operations[tree->op] += (unsigned)by;
    tree->binding->operations[tree->op] += (unsigned)by;
    if (tree->op == CROSSING_INITIATE)
        tree->adapter->initiates += (size_t)by;
}

static void
request_issued(struct verifier *verifier, struct call *call)
{
    struct shadow_tree *tree = call->tree;

    if (!tree)
        return;
    if (call->crossing->veto == CROSSING_DROP || tree->truncated) {
        shadow_tree_free(verifier, tree);
        call->tree = NULL;
        return;
    }
    table_add(&verifier->trees, &tree->entry, call->root);
    tree->refused = call->crossing->veto == CROSSING_REFUSE;
    if (tree->refused)
        return;
    count_tree(tree, 1);
    tree->binding->issued[tree->op] = tree->number;
    for (struct shadow_node *node = tree->first; node; node = node->next) {
        node_issued(verifier, call, node);
        poison_node(tree, node);
    }
}

/* ---- completions of trees ---- */

/* V-049 */
static void
note_taken(struct shadow_object *object)
{
    struct shadow_adapter *adapter = object->adapter;
    bool scaled = object->fixed.tcp_state.Flags & TCP_FLAG_WINDOW_SCALING_ENABLED;
    ULONG mtu = object->cached.path.PathMtu;

    if (object->layer == SHADOW_TCP &&
        object->cached.tcp.InitialRcvWnd > adapter->window_taken[scaled])
        adapter->window_taken[scaled] = object->cached.tcp.InitialRcvWnd;
    if (object->layer != SHADOW_PATH)
        return;
    if (!adapter->mtu_taken[object->ipv6].least || mtu < adapter->mtu_taken[object->ipv6].least)
        adapter->mtu_taken[object->ipv6].least = mtu;
    if (mtu > adapter->mtu_taken[object->ipv6].most)
        adapter->mtu_taken[object->ipv6].most = mtu;
}

static void
initiated(struct verifier *verifier, struct shadow_node *node)
{
    struct shadow_object *object = node->object;

    if (node->role != SHADOW_NEW || !object)
        return;
    object->context = object->handle->MiniportOffloadContext;
    if (!shadow_came_through(node->block->Status) || !object->context) {
        shadow_node_drop_object(verifier, node); /* NDIS sees it the same way */
        return;
    }
    object->life = SHADOW_OFFLOADED;
    note_taken(object);
    if (!object->context_entry.key)
        table_add(&verifier->contexts, &object->context_entry, object->context);
}

static void
updated(const struct call *call, struct shadow_node *node)
{
    struct shadow_object *object = node->object;

    object->updates--;
    object->updated = call->id;
    if (node->block->Status != NDIS_STATUS_SUCCESS)
        return;
    if (node->length[SHADOW_CACHED])
        memcpy(&object->cached, node->copy[SHADOW_CACHED], node->length[SHADOW_CACHED]);
    if (node->length[SHADOW_CACHED] && object->layer == SHADOW_NEIGHBOR)
        note_reachable(object, node->tree->started_us);
    if (object->layer == SHADOW_PATH && node->parent && node->parent->object &&
        node->parent->object->layer == SHADOW_NEIGHBOR) { /* relinked */
        shadow_object_stand_on(object, node->parent->object);
    }
}

static void
failed(struct verifier *verifier, const struct call *call, struct shadow_object *object)
{
    if (!object->failed)
        object->failed_us = call->started_us;
    object->failed = true;
    shadow_owe(verifier, object, 69, call->started_us);
}

static void
node_completed(struct verifier *verifier, const struct call *call, struct shadow_node *node)
{
    struct shadow_object *object = node->object;
    bool good = node->block->Status == NDIS_STATUS_SUCCESS;

    if (!object)
        return;
    switch (node->tree->op) {
    case CROSSING_INITIATE:
        initiated(verifier, node);
        break;
    case CROSSING_UPDATE:
        updated(call, node);
        if (!good)
            failed(verifier, call, object);
        break;
    case CROSSING_INVALIDATE:
        object->invalidates--;
        if (good && !object->invalid_at)
            object->invalid_at = verifier->numbers;
        shadow_owe(verifier, object, 70, call->started_us);
        break;
    case CROSSING_QUERY:
        object->queries--;
        if (!good)
            failed(verifier, call, object);
        if (!good || !node->length[SHADOW_DELEGATED])
            break;
        memcpy(&object->delegated, node->state[SHADOW_DELEGATED], node->length[SHADOW_DELEGATED]);
        object->seen = call->id;
        object->seen_us = call->started_us;
        break;
    default:
        break;
    }
}

/* Children before parents: a parent may only go when nothing refers to it. */
static void
objects_terminated(struct verifier *verifier, struct shadow_tree *tree)
{
    for (int layer = SHADOW_TCP; layer >= SHADOW_NEIGHBOR; layer--)
        for (struct shadow_node *node = tree->first; node; node = node->next)
            if (node->object && node->object->layer == (enum shadow_layer)layer &&
                node->object->life == SHADOW_TERMINATING)
                shadow_node_drop_object(verifier, node);
}

/* Also what NDIS refused: then nothing was ever begun below. */
static void
undo_refused(struct verifier *verifier, struct shadow_tree *tree)
{
    for (struct shadow_node *node = tree->first; node; node = node->next) {
        struct shadow_object *object = node->object;

        if (!object)
            continue;
        if (tree->op == CROSSING_INITIATE && node->role == SHADOW_NEW &&
            object->life == SHADOW_INITIATING) {
            shadow_node_drop_object(verifier, node);
        } else if (tree->op == CROSSING_TERMINATE) {
            object->life = SHADOW_OFFLOADED;
            object->owed_rule = 0;
        } else if (tree->op == CROSSING_UPDATE) {
            object->updates--;
        } else if (tree->op == CROSSING_QUERY) {
            object->queries--;
        } else if (tree->op == CROSSING_INVALIDATE) {
            object->invalidates--;
            object->invalidated = object->invalidates > 0;
        }
    }
}

/* NBLs that come back in a chain, or as BufferedData, change hands without a completion (P20,
 * P21). */
static void
terminated_data(struct verifier *verifier, const struct call *call, struct shadow_node *node)
{
    const TCP_OFFLOAD_STATE_DELEGATED *state = (const void *)node->state[SHADOW_DELEGATED];

    for (NET_BUFFER_LIST *nbl = node->block->NetBufferListChain; nbl; nbl = nbl->Next) {
        struct shadow_nbl *shadow = shadow_nbl_find(verifier, nbl, SHADOW_SEND, call->binding);

        if (shadow) {
            shadow->again = 147;
            shadow_nbl_drop(verifier, shadow);
        }
    }
    if (!state || node->layer != SHADOW_TCP || node->block->Status != NDIS_STATUS_SUCCESS)
        return;
    for (NET_BUFFER_LIST *nbl = state->BufferedData; nbl; nbl = nbl->Next)
        if (shadow_nbl_add(verifier, call, nbl, SHADOW_INDICATED, NULL))
            call->adapter->indicated++;
}

/* NDIS has refused it: nobody below was asked to write anything. */
static void
restore_states(struct shadow_tree *tree)
{
    for (struct shadow_node *node = tree->first; node; node = node->next)
        for (enum shadow_class class = first_asked(tree->op); class < SHADOW_CLASSES; class ++)
            if (node->length[class])
                memcpy(node->state[class], node->copy[class], node->length[class]);
}

/* What nobody wrote has been complained about; nobody shall follow it. */
static void
unpoison(const struct shadow_tree *tree, struct shadow_node *node)
{
    TCP_OFFLOAD_STATE_DELEGATED *state = (void *)node->state[SHADOW_DELEGATED];
    NET_BUFFER_LIST *poison;

    if (node->block->Status == SHADOW_POISON)
        node->block->Status = NDIS_STATUS_FAILURE;
    if (tree->op != CROSSING_TERMINATE || !state || node->layer != SHADOW_TCP)
        return;
    memset(&poison, SHADOW_POISON_BYTE, sizeof(poison));
    if (state->BufferedData == poison)
        state->BufferedData = NULL;
    if (state->SendDataHead == poison)
        state->SendDataHead = NULL;
    if (state->SendDataTail == poison)
        state->SendDataTail = NULL;
}

/* From here on the memory is the caller's, who may use it again at once. */
static void
forget_blocks(struct verifier *verifier, struct shadow_tree *tree)
{
    for (struct shadow_node *node = tree->first; node; node = node->next) {
        if (node->object)
            node->object->named--;
        node->object = NULL;
        table_remove(&verifier->blocks, &node->entry);
        node->entry.key = NULL;
    }
}

static void
request_completed(struct verifier *verifier, struct call *call)
{
    struct shadow_tree *tree = call->tree;

    if (!tree || call->crossing->veto != CROSSING_GO)
        return;
    table_remove(&verifier->trees, &tree->entry);
    tree->entry.key = NULL;
    if (tree->refused) {
        forget_blocks(verifier, tree);
        return;
    }
    verifier->completed[verifier->completed_at++ % 16] = call->root;
    count_tree(tree, -1);
    if (call_by_ndis(call)) {
        restore_states(tree);
        undo_refused(verifier, tree);
    } else {
        for (struct shadow_node *node = tree->first; node; node = node->next) {
            unpoison(tree, node);
            if (tree->op == CROSSING_TERMINATE)
                terminated_data(verifier, call, node);
            node_completed(verifier, call, node);
        }
        if (tree->op == CROSSING_TERMINATE)
            objects_terminated(verifier, tree);
    }
    forget_blocks(verifier, tree);
}

static void
completion_returned(struct verifier *verifier, struct call *call)
{
    struct shadow_tree *tree = call->tree;

    if (!tree || tree->entry.key) /* vetoed: still outstanding */
        return;
    for (struct shadow_node *node = tree->first; node; node = node->next) {
        struct shadow_object *object = NULL;

        if (tree->op == CROSSING_INITIATE && node->role == SHADOW_NEW)
            object = shadow_object_find(verifier, node->issued.OffloadHandle);
        if (object && object->born == tree->number)
            object->announced = true;
    }
    shadow_tree_free(verifier, tree);
    call->tree = NULL;
}

/* ---- status, requests ---- */

static void
status(struct verifier *verifier, struct call *call)
{
    const NDIS_STATUS_INDICATION *indication = call->crossing->data;
    struct shadow_adapter *adapter = call->adapter;

    if (!adapter)
        return;
    switch ((NDIS_STATUS)call->crossing->code) {
    case NDIS_STATUS_UPLOAD_ALL:
        if (!adapter->uploading_all) {
            adapter->upload_all_us = call->started_us;
            adapter->upload_all_number = call->id;
        }
        adapter->uploading_all = true; /* fall through */
    case NDIS_STATUS_OFFLOAD_PAUSE:
        adapter->paused_offload = true;
        break;
    case NDIS_STATUS_OFFLOAD_RESUME:
        adapter->paused_offload = adapter->uploading_all = false;
        if (call->binding)
            call->binding->told_pause = call->binding->told_upload_all = false;
        if (indication && indication->StatusBuffer &&
            indication->StatusBufferSize >= sizeof(adapter->capabilities))
            memcpy(&adapter->capabilities, indication->StatusBuffer, sizeof(adapter->capabilities));
        break;
    default:
        break;
    }
}

static void
attributes_set(struct verifier *verifier, struct call *call)
{
    const NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES *attributes = call->crossing->data;
    struct shadow_adapter *adapter = call->adapter;

    if (!adapter || !attributes)
        return;
    if (attributes->Header.Type != NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES ||
        !attributes->DefaultTcpConnectionOffloadConfiguration)
        return;
    adapter->capabilities = *attributes->DefaultTcpConnectionOffloadConfiguration;
    adapter->has_capabilities = true;
}

static void
status_told(struct verifier *verifier, struct call *call)
{
    struct shadow_binding *binding = call->binding;
    NDIS_STATUS code = (NDIS_STATUS)call->crossing->code;

    if (!binding)
        return;
    if (code == NDIS_STATUS_OFFLOAD_PAUSE || code == NDIS_STATUS_UPLOAD_ALL)
        binding->told_pause = true;
    if (code != NDIS_STATUS_UPLOAD_ALL || binding->told_upload_all)
        return;
    binding->told_upload_all = true;
    binding->upload_overdue = false;
    binding->told_us = call->crossing->now_us;
}

static void
remember_parameters(struct call *call, const NDIS_OID_REQUEST *request, NDIS_STATUS result)
{
    const struct _SET *set = &request->DATA.SET_INFORMATION;

    if (!call->adapter || result != NDIS_STATUS_SUCCESS ||
        request->RequestType != NdisRequestSetInformation ||
        set->Oid != OID_TCP_CONNECTION_OFFLOAD_PARAMETERS || !set->InformationBuffer ||
        set->InformationBufferLength < sizeof(call->adapter->parameters))
        return;
    memcpy(&call->adapter->parameters, set->InformationBuffer, sizeof(call->adapter->parameters));
    call->adapter->has_parameters = true;
}

static void
oid_completed(struct verifier *verifier, struct call *call)
{
    if (call->crossing->data)
        remember_parameters(call, call->crossing->data, call->crossing->status);
}

static void
oid_issued(struct verifier *verifier, struct call *call)
{
    call->root = call->crossing->data; /* still good when the miniport answers at once */
}

static void
oid_returned(struct verifier *verifier, struct call *call)
{
    if (call->crossing->status != NDIS_STATUS_PENDING && call->root)
        remember_parameters(call, call->root, call->crossing->status);
}

const struct family track_family = {
    .before = {[CROSSING_INITIATE] = request_issued,
               [CROSSING_TERMINATE] = request_issued,
               [CROSSING_UPDATE] = request_issued,
               [CROSSING_INVALIDATE] = request_issued,
               [CROSSING_QUERY] = request_issued,
               [CROSSING_INITIATE_COMPLETE] = request_completed,
               [CROSSING_TERMINATE_COMPLETE] = request_completed,
               [CROSSING_UPDATE_COMPLETE] = request_completed,
               [CROSSING_INVALIDATE_COMPLETE] = request_completed,
               [CROSSING_QUERY_COMPLETE] = request_completed,
               [CROSSING_STATUS] = status,
               [CROSSING_SET_ATTRIBUTES] = attributes_set,
               [CROSSING_OID] = oid_issued,
               [CROSSING_OID_COMPLETE] = oid_completed},
    .after = {[CROSSING_INITIATE_COMPLETE] = completion_returned,
              [CROSSING_TERMINATE_COMPLETE] = completion_returned,
              [CROSSING_UPDATE_COMPLETE] = completion_returned,
              [CROSSING_INVALIDATE_COMPLETE] = completion_returned,
              [CROSSING_QUERY_COMPLETE] = completion_returned,
              [CROSSING_STATUS] = status_told,
              [CROSSING_OID] = oid_returned},
};
