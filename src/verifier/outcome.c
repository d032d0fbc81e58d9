/*
 * V-034, V-037 … V-043, V-048 … V-051, V-154: what an initiate came to, block by block.
 *
 * A dependent came through when its status is SUCCESS or OFFLOAD_PARTIAL_SUCCESS; placeholders do
 * not count. An intermediate driver that could do nothing writes one failure into every
 * block (V-166), also into placeholders when it passes on what NDIS said: that is looked at no
 * further.
 *
 * Not seen: the order in which the walk writes contexts (V-041); which source addresses and VLAN
 * ids the adapter is configured for (of V-048 and V-050 only what contradicts the neighbor's own
 * state); how large a window or MTU a target supports, which may change with its medium (of V-049
 * what it has taken before); when it frees its memory (of V-154 a context that is given out again).
 */
#include "verifier/shadow.h"

static bool
through(const struct shadow_node *node)
{
    return shadow_came_through(node->block->Status);
}

static bool
counts(const struct shadow_node *node)
{
    return node->role != SHADOW_PLACEHOLDER;
}

/* ---- V-034, V-037 … V-040: statuses that fit each other ---- */

static bool
documented(NDIS_STATUS status)
{
    switch (status) {
    case NDIS_STATUS_SUCCESS:
    case NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS:
    case NDIS_STATUS_FAILURE:
    case NDIS_STATUS_RESOURCES:
    case NDIS_STATUS_OFFLOAD_TCP_ENTRIES:
    case NDIS_STATUS_OFFLOAD_PATH_ENTRIES:
    case NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES:
    case NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES:
    case NDIS_STATUS_OFFLOAD_IP_ADDRESS_ENTRIES:
    case NDIS_STATUS_OFFLOAD_TCP_XMIT_BUFFER:
    case NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER:
    case NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW:
    case NDIS_STATUS_OFFLOAD_VLAN_ENTRIES:
    case NDIS_STATUS_OFFLOAD_VLAN_MISMATCH:
    case NDIS_STATUS_OFFLOAD_PATH_MTU:
    case NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED:
        return true;
    default:
        return false;
    }
}

static void
tally(const struct shadow_tree *tree)
{
    for (struct shadow_node *node = tree->first; node; node = node->next)
        node->tried = node->through = 0;
    for (struct shadow_node *node = tree->first; node; node = node->next)
        if (node->parent && counts(node)) {
            node->parent->tried++;
            node->parent->through += through(node);
        }
}

static void
check_linker(const struct call *call, const struct shadow_node *node)
{
    NDIS_STATUS expected = NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;

    if (!node->tried) /* nothing but placeholders: all of none, or none */
        expected = node->block->Status == NDIS_STATUS_SUCCESS ? NDIS_STATUS_SUCCESS
                                                              : NDIS_STATUS_FAILURE;
    else if (node->through == node->tried)
        expected = NDIS_STATUS_SUCCESS;
    else if (!node->through)
        expected = NDIS_STATUS_FAILURE;
    if (node->block->Status != expected)
        report(call, 37, BLAME_CALLER, node->issued.OffloadHandle,
               "%zu of a linker's %zu dependents came through, it completes 0x%08x", node->through,
               node->tried, (unsigned)node->block->Status);
}

static void
check_new(const struct call *call, const struct shadow_node *node)
{
    NDIS_STATUS status = node->block->Status;
    const void *handle = node->issued.OffloadHandle;

    if (!documented(status))
        report(call, 34, BLAME_CALLER, handle, "Status is 0x%08x", (unsigned)status);
    else if (status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS && !node->issued.DependentBlockList)
        report(call, 34, BLAME_CALLER, handle, "partial success of a block without dependents");
    else if (status == NDIS_STATUS_SUCCESS && node->through != node->tried)
        report(call, 38, BLAME_CALLER, handle, "success, and %zu of %zu dependents came through",
               node->through, node->tried);
    else if (status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS && node->through == node->tried)
        report(call, 38, BLAME_CALLER, handle, "partial success, and no dependent failed");
}

static void
check_below(const struct call *call, const struct shadow_node *node)
{
    const struct shadow_node *parent = node->parent;

    if (parent && parent->role == SHADOW_NEW && !through(parent) && through(node))
        report(call, 39, BLAME_CALLER, node->issued.OffloadHandle,
               "it came through under a parent that failed with 0x%08x",
               (unsigned)parent->block->Status);
}

static const struct shadow_node *
top_of(const struct shadow_node *node)
{
    while (node->parent)
        node = node->parent;
    return node;
}

static void
check_root(const struct call *call, const struct shadow_tree *tree)
{
    const struct shadow_node *root = tree->first;

    if (root->role != SHADOW_NEW || through(root)) /* a linker fails with what hangs on it */
        return;
    for (const struct shadow_node *node = root->next; node; node = node->next)
        if (counts(node) && through(node) && top_of(node) != root)
            report(call, 40, BLAME_CALLER, node->issued.OffloadHandle,
                   "it came through although the root failed with 0x%08x",
                   (unsigned)root->block->Status);
}

static void
check_statuses(const struct call *call, const struct shadow_tree *tree)
{
    tally(tree);
    for (const struct shadow_node *node = tree->first; node; node = node->next) {
        if (!counts(node) || node->block->Status == SHADOW_POISON)
            continue;
        if (node->role == SHADOW_LINKER)
            check_linker(call, node);
        else
            check_new(call, node);
        check_below(call, node);
    }
    check_root(call, tree);
}

/* ---- V-042, V-043, V-154: contexts ---- */

/* The tree's own objects are entered as they are met, so two of them are found as well. */
static const struct shadow_object *
context_owner(struct verifier *verifier, struct shadow_object *object, void *context)
{
    for (struct table_entry *entry = table_find(&verifier->contexts, context); entry;
         entry = table_find_older(entry)) {
        struct shadow_object *other = container_of(entry, struct shadow_object, context_entry);

        if (other != object && other->adapter == object->adapter)
            return other;
    }
    return NULL;
}

static void
check_taken(struct verifier *verifier, const struct call *call, struct shadow_object *object,
            void *context)
{
    const struct shadow_object *owner = context_owner(verifier, object, context);

    if (owner && owner->life == SHADOW_TERMINATING)
        report(call, 154, BLAME_CALLER, object->handle,
               "its context %p is that of an object whose terminate is outstanding", context);
    else if (owner)
        report(call, 42, BLAME_CALLER, object->handle, "its context %p is another object's, too",
               context);
    else if (!object->context_entry.key)
        table_add(&verifier->contexts, &object->context_entry, context);
}

static void
check_context(struct verifier *verifier, const struct call *call, struct shadow_node *node)
{
    struct shadow_object *object = node->object;
    void *context = object->handle->MiniportOffloadContext;

    if (!through(node)) {
        if (context && node->block->Status != SHADOW_POISON)
            report(call, 43, BLAME_CALLER, object->handle,
                   "it failed with 0x%08x and has a context", (unsigned)node->block->Status);
    } else if (!context) {
        report(call, 42, BLAME_CALLER, object->handle, "it was offloaded without a context");
    } else {
        check_taken(verifier, call, object, context);
    }
}

/* ---- V-048 … V-050: reasons that cannot be ---- */

static void
check_neighbor_reason(const struct call *call, const struct shadow_node *node)
{
    const NEIGHBOR_OFFLOAD_STATE_CONST *fixed = (const void *)node->copy[SHADOW_CONST];
    bool neighbor = node->layer == SHADOW_NEIGHBOR && fixed;
    const void *handle = node->issued.OffloadHandle;
    bool address = false;

    for (size_t i = 0; neighbor && i < sizeof(fixed->DlSourceAddress); i++)
        address |= fixed->DlSourceAddress[i] != 0;
    switch (node->block->Status) {
    case NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES:
        if (!address)
            report(call, 48, BLAME_CALLER, handle, "no source address was asked for");
        break;
    case NDIS_STATUS_OFFLOAD_VLAN_ENTRIES:
    case NDIS_STATUS_OFFLOAD_VLAN_MISMATCH:
        if (!neighbor || !fixed->VlanId)
            report(call, 50, BLAME_CALLER, handle, "0x%08x, and no VLAN id was asked for",
                   (unsigned)node->block->Status);
        break;
    default:
        break;
    }
}

/* It is refused for its size, and one that is no smaller was taken before. */
static bool
fitted_before(const struct shadow_adapter *adapter, const struct shadow_node *node)
{
    const TCP_OFFLOAD_STATE_CONST *tcp = (const void *)node->copy[SHADOW_CONST];
    const TCP_OFFLOAD_STATE_CACHED *tcp_cached = (const void *)node->copy[SHADOW_CACHED];
    const PATH_OFFLOAD_STATE_CACHED *path = (const void *)node->copy[SHADOW_CACHED];
    bool ipv6 = node->issued.Header.Type == Ip6OffloadState;
    bool scaled = tcp && tcp->Flags & TCP_FLAG_WINDOW_SCALING_ENABLED;

    if (node->layer == SHADOW_TCP && tcp && tcp_cached)
        return node->block->Status == NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW &&
               tcp_cached->InitialRcvWnd <= adapter->window_taken[scaled];
    return node->layer == SHADOW_PATH && path &&
           node->block->Status == NDIS_STATUS_OFFLOAD_PATH_MTU && adapter->mtu_taken[ipv6].least &&
           path->PathMtu >= adapter->mtu_taken[ipv6].least &&
           path->PathMtu <= adapter->mtu_taken[ipv6].most;
}

static void
check_size_reason(const struct call *call, const struct shadow_node *node)
{
    const void *handle = node->issued.OffloadHandle;
    NDIS_STATUS status = node->block->Status;

    if (fitted_before(call->adapter, node))
        report(call, 49, BLAME_CALLER, handle, "0x%08x, and what is no smaller was taken before",
               (unsigned)status);
    else if ((status == NDIS_STATUS_OFFLOAD_PATH_MTU && node->layer != SHADOW_PATH) ||
             (status == NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW && node->layer != SHADOW_TCP))
        report(call, 49, BLAME_CALLER, handle, "0x%08x of a %s", (unsigned)status,
               shadow_layer_name(node->layer));
}

/* ---- V-051: the chain of a failed connection ---- */

/* The NBLs that are still there, in order; the list is cut behind them. */
static size_t
chain_kept(struct verifier *verifier, const struct call *call, const struct shadow_node *node,
           bool *marked)
{
    NET_BUFFER_LIST *before = NULL, *nbl = node->issued.NetBufferListChain;
    size_t count = 0;

    *marked = false;
    for (; nbl && count < node->chain; before = nbl, nbl = nbl->Next, count++) {
        const struct shadow_nbl *shadow = shadow_nbl_find(verifier, nbl, SHADOW_SEND,
                                                          call->binding);
        if (!shadow || shadow->object != node->object)
            break;
        *marked |= nbl->Status != shadow->status;
    }
    if (before)
        before->Next = NULL;
    else
        node->block->NetBufferListChain = NULL;
    return count;
}

static void
check_chain(struct verifier *verifier, const struct call *call, const struct shadow_node *node)
{
    bool replaced = node->block->NetBufferListChain != node->issued.NetBufferListChain, marked;
    size_t kept;

    node->block->NetBufferListChain = node->issued.NetBufferListChain;
    kept = chain_kept(verifier, call, node, &marked);
    if (replaced || marked || kept != node->chain)
        report(call, 51, BLAME_CALLER, node->issued.OffloadHandle,
               "it failed, and its send chain was not left alone: %zu of %zu NBLs are there%s",
               kept, node->chain, marked ? ", with another Status" : "");
}

static void
initiated(struct verifier *verifier, struct call *call)
{
    const struct shadow_tree *tree = call->tree;

    if (!tree || !tree->first || call_by_ndis(call) || call->crossing->veto != CROSSING_GO)
        return;
    if (!shadow_one_failure(tree))
        check_statuses(call, tree);
    for (struct shadow_node *node = tree->first; node; node = node->next) {
        if (node->role != SHADOW_NEW)
            continue;
        check_neighbor_reason(call, node);
        check_size_reason(call, node);
        if (node->object && node->object->life == SHADOW_INITIATING)
            check_context(verifier, call, node);
        if (node->object && node->chain && !through(node))
            check_chain(verifier, call, node);
    }
}

const struct family outcome_family = {
    .before = {[CROSSING_INITIATE_COMPLETE] = initiated},
};
