/*
 * What a call is about, before anybody judges it: a request's tree is copied, block by block and
 * state by state, without recursion and without trusting it; a completion's tree is found again.
 *
 * The walk is the documented one: a block, its dependents, its siblings. Each block is entered in
 * verifier.blocks when it is first met, so a block met again is in this tree twice, or in another
 * one that is still outstanding. Memory is linear in the blocks.
 */
#include "verifier/shadow.h"

#include <stdlib.h>
#include <string.h>

/* ---- types ---- */

bool
shadow_type(UCHAR type, enum shadow_layer *layer, bool *ipv6)
{
    *ipv6 = type >= Ip6OffloadConstState && type <= Ip6OffloadState;
    *layer = SHADOW_NO_LAYER;
    if (type == TcpOffloadResourceState)
        return false;
    if (type >= NeighborOffloadConstState && type <= NeighborOffloadState)
        *layer = SHADOW_NEIGHBOR;
    else if (type >= Ip4OffloadConstState && type <= Ip6OffloadState)
        *layer = SHADOW_PATH;
    else if (type >= TcpOffloadConstState && type <= TcpOffloadState)
        *layer = SHADOW_TCP;
    return *layer != SHADOW_NO_LAYER;
}

unsigned
shadow_type_classes(UCHAR type)
{
    switch ((OFFLOAD_STATE_TYPE)type) {
    case NeighborOffloadConstState:
    case Ip4OffloadConstState:
    case Ip6OffloadConstState:
    case TcpOffloadConstState:
        return 1u << SHADOW_CONST;
    case NeighborOffloadCachedState:
    case Ip4OffloadCachedState:
    case Ip6OffloadCachedState:
    case TcpOffloadCachedState:
        return 1u << SHADOW_CACHED;
    case NeighborOffloadDelegatedState:
    case Ip4OffloadDelegatedState:
    case Ip6OffloadDelegatedState:
    case TcpOffloadDelegatedState:
        return 1u << SHADOW_DELEGATED;
    case NeighborOffloadState:
    case Ip4OffloadState:
    case Ip6OffloadState:
    case TcpOffloadState:
        return 1u << SHADOW_CONST | 1u << SHADOW_CACHED | 1u << SHADOW_DELEGATED;
    case TcpOffloadResourceState:
    case FilterReservedOffloadState:
        break;
    }
    return 0;
}

USHORT
shadow_state_size(enum shadow_layer layer, enum shadow_class class)
{
    static const USHORT sizes[SHADOW_NO_LAYER][SHADOW_CLASSES] = {
        {sizeof(NEIGHBOR_OFFLOAD_STATE_CONST), sizeof(NEIGHBOR_OFFLOAD_STATE_CACHED),
         sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED)},
        {sizeof(PATH_OFFLOAD_STATE_CONST), sizeof(PATH_OFFLOAD_STATE_CACHED),
         sizeof(PATH_OFFLOAD_STATE_DELEGATED)},
        {sizeof(TCP_OFFLOAD_STATE_CONST), sizeof(TCP_OFFLOAD_STATE_CACHED),
         sizeof(TCP_OFFLOAD_STATE_DELEGATED)},
    };

    return layer < SHADOW_NO_LAYER ? sizes[layer][class] : 0;
}

const char *
shadow_layer_name(enum shadow_layer layer)
{
    static const char *const names[] = {"neighbor", "path", "TCP", "block"};

    return names[layer];
}

/* ---- lists of NBLs ---- */

bool
shadow_nbls_cut(NET_BUFFER_LIST *nbls)
{
    void **last = list_circle(nbls, offsetof(NET_BUFFER_LIST, Next));
    bool cut = last != NULL;

    if (last)
        *last = NULL;
    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next) {
        last = list_circle(NET_BUFFER_LIST_FIRST_NB(nbl), offsetof(NET_BUFFER, Next));
        cut |= last != NULL;
        if (last)
            *last = NULL;
    }
    return cut;
}

/* Of posted ones the rules of their kind speak (nbls.c); completions NDIS has taken apart. */
static void
nbls(struct verifier *verifier, struct call *call)
{
    if (shadow_nbls_cut(call->crossing->nbls))
        report(call, 0, BLAME_CALLER, call->crossing->nbls, "a list of NBLs runs in a circle");
}

/* ---- building ---- */

/* The classes of state that the caller owns behind this block in this operation. */
static unsigned
classes_of(enum crossing_op op, enum shadow_role role, UCHAR type)
{
    if (role == SHADOW_PLACEHOLDER || role == SHADOW_LINKER || op == CROSSING_INVALIDATE)
        return 0;
    unsigned classes = shadow_type_classes(type);
    switch (op) {
    case CROSSING_UPDATE: /* of a whole type only the name is meant (relinking) */
        return classes == 1u << SHADOW_CACHED ? classes : 0;
    case CROSSING_TERMINATE:
        return classes == 1u << SHADOW_DELEGATED ? classes : 0;
    default:
        return classes;
    }
}

static enum shadow_role
role_of(enum crossing_op op, const NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block)
{
    if (!block->OffloadHandle)
        return SHADOW_PLACEHOLDER;
    if (op != CROSSING_INITIATE)
        return SHADOW_REFERENCE;
    return block->OffloadHandle->MiniportOffloadContext ? SHADOW_LINKER : SHADOW_NEW;
}

static void
copy_states(struct shadow_node *node, unsigned classes)
{
    UCHAR *from = NDIS_OFFLOAD_STATE_FIRST(node->block);
    UCHAR *to = (UCHAR *)(node + 1);

    for (int class = SHADOW_CONST; class < SHADOW_CLASSES; class ++) {
        USHORT size = classes & 1u << class ? shadow_state_size(node->layer, class) : 0;

        if (!size)
            continue;
        node->length[class] = size;
        node->state[class] = from;
        node->copy[class] = memcpy(to, from, size);
        from += NDIS_OFFLOAD_STATE_ALIGN(size);
        to += NDIS_OFFLOAD_STATE_ALIGN(size);
    }
}

static struct shadow_node *
node_create(struct shadow_tree *tree, NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block)
{
    enum shadow_role role = role_of(tree->op, block);
    unsigned classes = classes_of(tree->op, role, block->Header.Type);
    enum shadow_layer layer;
    struct shadow_node *node;
    size_t space = 0;
    bool ipv6;

    shadow_type(block->Header.Type, &layer, &ipv6);
    if (role == SHADOW_PLACEHOLDER)
        layer = SHADOW_NO_LAYER; /* its type means nothing */
    for (int class = SHADOW_CONST; class < SHADOW_CLASSES; class ++)
        if (classes & 1u << class)
            space += NDIS_OFFLOAD_STATE_ALIGN(shadow_state_size(layer, class));
    node = calloc(1, sizeof(*node) + space);
    if (!node)
        return NULL;
    node->tree = tree;
    node->block = block;
    node->issued = *block;
    node->role = role;
    node->layer = layer;
    if (block->Header.Size == sizeof(*block)) /* or nobody knows where they are */
        copy_states(node, classes);
    return node;
}

/*
 * An intermediate driver may send the memory it was given on its way down (it is an overlay), so a
 * block may be outstanding at several landings: but only one under the other.
 */
static bool
met_before(struct verifier *verifier, struct shadow_tree *tree, const void *block)
{
    struct table_entry *known = table_find(&verifier->blocks, block);
    struct shadow_tree *other;

    if (!known)
        return false;
    other = container_of(known, struct shadow_node, entry)->tree;
    if (other == tree)
        tree->repeated = true;
    else if (other->adapter->driver == tree->binding->driver)
        return false;
    else
        tree->shared = true;
    tree->shared_root |= tree->shared && !tree->first;
    return true;
}

static struct shadow_node *
push(struct verifier *verifier, struct shadow_tree *tree, struct shadow_node *pending,
     NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block, struct shadow_node *parent, struct shadow_node *from)
{
    struct shadow_node *node;

    if (!block || tree->truncated || met_before(verifier, tree, block))
        return pending;
    node = node_create(tree, block);
    if (!node) {
        tree->truncated = true;
        return pending;
    }
    node->parent = parent;
    node->from = from;
    node->sibling = from != parent;
    if (node->layer == SHADOW_NO_LAYER && parent && parent->layer < SHADOW_TCP)
        node->layer = parent->layer + 1;
    if (node->issued.OffloadHandle)
        node->object = shadow_object_find(verifier, node->issued.OffloadHandle);
    if (node->object)
        node->object->named++;
    table_add(&verifier->blocks, &node->entry, block);
    node->pending = pending;
    return node;
}

static void
walk(struct verifier *verifier, struct shadow_tree *tree, void *root)
{
    struct shadow_node *pending = push(verifier, tree, NULL, root, NULL, NULL);

    while (pending) {
        struct shadow_node *node = pending;

        pending = node->pending;
        if (tree->last)
            tree->last->next = node;
        else
            tree->first = node;
        tree->last = node;
        tree->count++;
        pending = push(verifier, tree, pending, node->issued.NextBlock, node->parent, node);
        pending = push(verifier, tree, pending, node->issued.DependentBlockList, node, node);
    }
}

/* The NBLs that come with new offloads. */
static void
chains(const struct call *call, const struct shadow_tree *tree)
{
    for (struct shadow_node *node = tree->first; node; node = node->next) {
        if (node->role != SHADOW_NEW)
            continue;
        if (shadow_nbls_cut(node->issued.NetBufferListChain))
            report(call, 0, BLAME_CALLER, node->issued.OffloadHandle,
                   "NetBufferListChain of block %p runs in a circle", (void *)node->block);
        for (NET_BUFFER_LIST *nbl = node->issued.NetBufferListChain; nbl; nbl = nbl->Next)
            node->chain++;
    }
}

static void
request(struct verifier *verifier, struct call *call)
{
    struct shadow_tree *tree;

    if (!call->adapter || !call->binding)
        return;
    tree = calloc(1, sizeof(*tree));
    if (!tree)
        return;
    tree->op = call->op;
    tree->adapter = call->adapter;
    tree->binding = call->binding;
    tree->started_us = call->started_us;
    tree->by_ndis = call_by_ndis(call);
    tree->number = call->id;
    walk(verifier, tree, call->crossing->blocks);
    call->tree = tree;
    chains(call, tree);
}

void
shadow_tree_free(struct verifier *verifier, struct shadow_tree *tree)
{
    struct shadow_node *node = tree->first;

    while (node) {
        struct shadow_node *next = node->next;

        if (node->object)
            node->object->named--;
        table_remove(&verifier->blocks, &node->entry);
        free(node);
        node = next;
    }
    table_remove(&verifier->trees, &tree->entry);
    free(tree);
}

/* ---- finding ---- */

enum crossing_op
shadow_request_of(enum crossing_op completion)
{
    switch (completion) {
    case CROSSING_INITIATE_COMPLETE:
        return CROSSING_INITIATE;
    case CROSSING_TERMINATE_COMPLETE:
        return CROSSING_TERMINATE;
    case CROSSING_UPDATE_COMPLETE:
        return CROSSING_UPDATE;
    case CROSSING_INVALIDATE_COMPLETE:
        return CROSSING_INVALIDATE;
    case CROSSING_QUERY_COMPLETE:
        return CROSSING_QUERY;
    default:
        return CROSSING_COUNT;
    }
}

static void
returned_chains(const struct call *call, const struct shadow_tree *tree)
{
    if (call->op != CROSSING_TERMINATE_COMPLETE)
        return;
    for (const struct shadow_node *node = tree->first; node; node = node->next)
        if (shadow_nbls_cut(node->block->NetBufferListChain))
            report(call, 147, BLAME_CALLER, node->issued.OffloadHandle,
                   "the chain of block %p runs in a circle", (void *)node->block);
}

/*
 * The same memory may be under way at several landings, of an intermediate driver's making. The
 * binding is not known when SourceHandle of the root has been overwritten.
 */
static void
completion(struct verifier *verifier, struct call *call)
{
    for (struct table_entry *entry = table_find(&verifier->trees, call->root); entry;
         entry = table_find_older(entry)) {
        struct shadow_tree *tree = container_of(entry, struct shadow_tree, entry);

        if (tree->adapter == call->adapter) {
            call->tree = tree;
            call->binding = tree->binding;
            returned_chains(call, tree);
            return;
        }
    }
}

const struct family decode_family = {
    .before = {[CROSSING_INITIATE] = request,
               [CROSSING_TERMINATE] = request,
               [CROSSING_UPDATE] = request,
               [CROSSING_INVALIDATE] = request,
               [CROSSING_QUERY] = request,
               [CROSSING_INITIATE_COMPLETE] = completion,
               [CROSSING_TERMINATE_COMPLETE] = completion,
               [CROSSING_UPDATE_COMPLETE] = completion,
               [CROSSING_INVALIDATE_COMPLETE] = completion,
               [CROSSING_QUERY_COMPLETE] = completion,
               [CROSSING_TCP_RECEIVE_INDICATE] = nbls,
               [CROSSING_TCP_RECEIVE_RETURN] = nbls,
               [CROSSING_SEND] = nbls,
               [CROSSING_RECEIVE] = nbls,
               [CROSSING_RETURN] = nbls},
};
