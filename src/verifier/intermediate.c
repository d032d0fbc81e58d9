/*
 * V-158 … V-166: intermediate drivers. Such a driver calls at two landings, and what it does at one
 * is compared with what it was asked at the other: its virtual adapter (call.adapter->is_im) is
 * above, the binding that the adapter stands on (adapter.lower_binding) below. A driver that makes
 * one adapter of several has more bindings below: those on which nothing stands may be below any of
 * its virtual adapters, and one operation above may become one at each of them.
 *
 * Which operation below belongs to which above: the one with the same root, because the memory is
 * an overlay and most reuse it; or the one whose call is around on the stack. A driver that does
 * neither (copies the tree and sends it later) is followed by counting. A handle or a connection
 * that comes back to the driver inside the call in which it got it is its own mistake: NDIS goes by
 * the handle, and would go round for ever.
 *
 * ImReserved, SourceHandle and NdisOffloadHandle are put back when they were not restored: without
 * SourceHandle NDIS would not find its way up.
 *
 * Not seen: the driver's own memory (V-165).
 */
#include "verifier/shadow.h"

#include <string.h>

static void
drop(struct call *call)
{
    call->crossing->veto = CROSSING_DROP;
}

static void
refuse(struct call *call)
{
    if (call->crossing->veto == CROSSING_GO)
        call->crossing->veto = CROSSING_REFUSE;
}

/* ---- the two sides ---- */

static bool
stands_on(const struct shadow_adapter *adapter, const struct shadow_binding *binding)
{
    if (!adapter || !binding)
        return false;
    return adapter->lower_binding == binding->entry.key ||
           (adapter->is_im && !binding->carries && adapter->driver == binding->driver);
}

/* What is known of all the bindings below an adapter. */
struct below {
    const struct shadow_adapter *adapter;
    enum crossing_op op;
    unsigned operations;       /* on their way */
    unsigned long long issued; /* the last */
};

static void
add_below(void *arg, struct table_entry *entry)
{
    const struct shadow_binding *binding = container_of(entry, struct shadow_binding, entry);
    struct below *below = arg;

    if (!stands_on(below->adapter, binding))
        return;
    below->operations += binding->operations[below->op];
    if (below->issued < binding->issued[below->op])
        below->issued = binding->issued[below->op];
}

static struct below
look_below(struct verifier *verifier, const struct shadow_tree *tree)
{
    struct below below = {.adapter = tree->adapter, .op = tree->op};

    table_each(&verifier->bindings, add_below, &below);
    return below;
}

/* By the memory; NULL: none. */
static struct shadow_tree *
same_root(struct verifier *verifier, const struct call *call)
{
    for (struct table_entry *entry = table_find(&verifier->trees, call->root); entry;
         entry = table_find_older(entry)) {
        struct shadow_tree *tree = container_of(entry, struct shadow_tree, entry);

        if (tree->op == call->op && stands_on(tree->adapter, call->binding))
            return tree;
    }
    return NULL;
}

/* By the stack; NULL: none. */
static struct shadow_tree *
around(struct verifier *verifier, const struct call *call)
{
    for (const struct call *outer = call->outer; outer; outer = outer->outer) {
        if (outer->op != call->op || !stands_on(outer->adapter, call->binding))
            continue;
        for (struct table_entry *entry = table_find(&verifier->trees, outer->root); entry;
             entry = table_find_older(entry)) {
            struct shadow_tree *tree = container_of(entry, struct shadow_tree, entry);

            if (tree->number == outer->id)
                return tree;
        }
    }
    return NULL;
}

/* ---- V-159, V-160: a state operation goes down ---- */

struct sum {
    const struct call *call;
    unsigned above;
};

static void
add_above(void *arg, struct table_entry *entry)
{
    const struct shadow_adapter *adapter = container_of(entry, struct shadow_adapter, entry);
    struct sum *sum = arg;

    if (stands_on(adapter, sum->call->binding))
        sum->above += adapter->operations[sum->call->op];
}

static bool
passed_on_to(const struct shadow_tree *above, const struct shadow_binding *binding)
{
    for (unsigned i = 0; i < above->below_count; i++)
        if (above->below[i] == binding)
            return true;
    return false;
}

static void
check_one_below(struct verifier *verifier, const struct call *call)
{
    struct shadow_tree *above = same_root(verifier, call);
    struct sum sum = {call, 0};

    if (!above)
        above = around(verifier, call);
    if (above) {
        if (passed_on_to(above, call->binding))
            report(call, 160, BLAME_CALLER, call->root, "it is the second below for one above");
        else if (above->below_count < SHADOW_BELOW)
            above->below[above->below_count++] = call->binding;
        return;
    }
    table_each(&verifier->adapters, add_above, &sum);
    if (call->binding->operations[call->op] >= sum.above)
        report(call, 160, BLAME_CALLER, call->root, "%u are outstanding above, this is number %u",
               sum.above, call->binding->operations[call->op] + 1);
}

static void
going_down(struct verifier *verifier, struct call *call)
{
    if (!call->tree || call->tree->by_ndis || !call->binding->im_above ||
        call->crossing->veto != CROSSING_GO)
        return;
    for (const struct shadow_node *node = call->tree->first; node; node = node->next)
        if (node->object && node->object->binding != call->binding) {
            report(call, 159, BLAME_CALLER, node->issued.OffloadHandle,
                   "the handle that it was given goes down");
            refuse(call);
            return;
        }
    check_one_below(verifier, call);
}

/* ---- V-158, V-159: a tree goes up ---- */

static void
check_restored(const struct call *call, const struct shadow_node *node)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = node->block;
    void *source = (void *)node->tree->binding->entry.key; /* as NDIS wrote it */
    const char *what = NULL;

    if (memcmp(block->ImReserved, node->issued.ImReserved, sizeof(block->ImReserved)))
        what = "ImReserved";
    if (block->SourceHandle != source)
        what = "SourceHandle";
    if (what)
        report(call, 158, BLAME_CALLER, block, "%s of block %p was not restored", what,
               (void *)block);
    if (block->OffloadHandle != node->issued.OffloadHandle)
        report(call, 159, BLAME_CALLER, block, "NdisOffloadHandle is %p, it was %p",
               (void *)block->OffloadHandle, (void *)node->issued.OffloadHandle);
    memcpy(block->ImReserved, node->issued.ImReserved, sizeof(block->ImReserved));
    block->SourceHandle = source;
    block->OffloadHandle = node->issued.OffloadHandle;
}

/* ---- V-160, V-166: whether it was done below ---- */

static bool
outstanding_below(struct verifier *verifier, const struct call *call)
{
    for (struct table_entry *entry = table_find(&verifier->trees, call->root); entry;
         entry = table_find_older(entry))
        if (stands_on(call->adapter, container_of(entry, struct shadow_tree, entry)->binding))
            return true;
    return false;
}

static bool
went_down(struct verifier *verifier, const struct shadow_tree *tree)
{
    return tree->below_count || look_below(verifier, tree).issued > tree->number;
}

bool
shadow_kept_back(struct verifier *verifier, const struct shadow_tree *tree)
{
    return !tree->by_ndis && tree->adapter->is_im && !went_down(verifier, tree);
}

static bool
claims_success(const struct shadow_tree *tree)
{
    for (const struct shadow_node *node = tree->first; node; node = node->next)
        if (node->role != SHADOW_PLACEHOLDER && shadow_came_through(node->block->Status))
            return true;
    return false;
}

struct kept {
    struct verifier *verifier;
    const char *driver;
    bool any;
};

static void
look_if_kept(void *arg, struct table_entry *entry)
{
    const struct shadow_tree *tree = container_of(entry, struct shadow_tree, entry);
    struct kept *kept = arg;

    if (strcmp(tree->adapter->driver->name, kept->driver) == 0)
        kept->any |= shadow_kept_back(kept->verifier, tree);
}

bool
shadow_keeps_trees(struct verifier *verifier, const char *driver)
{
    struct kept kept = {verifier, driver, false};

    table_each(&verifier->trees, look_if_kept, &kept);
    return kept.any;
}

/* ---- V-161: whose context ---- */

/* Small numbers may be indices, of both drivers. */
static bool
looks_like_an_address(const void *context)
{
    return (uintptr_t)context > 0xFFFF;
}

static void
check_context(struct verifier *verifier, const struct call *call, const struct shadow_node *node)
{
    void *context = node->issued.OffloadHandle->MiniportOffloadContext;

    if (!looks_like_an_address(context))
        return;
    for (struct table_entry *entry = table_find(&verifier->contexts, context); entry;
         entry = table_find_older(entry)) {
        const struct shadow_object *object = container_of(entry, struct shadow_object,
                                                          context_entry);
        if (stands_on(call->adapter, object->binding)) {
            report(call, 161, BLAME_CALLER, node->issued.OffloadHandle,
                   "the context %p is that of the driver below", context);
            return;
        }
    }
}

static void
going_up(struct verifier *verifier, struct call *call)
{
    const struct shadow_tree *tree = call->tree;

    if (!tree || !tree->adapter->is_im || call_by_ndis(call) || call->crossing->veto != CROSSING_GO)
        return;
    for (const struct shadow_node *node = tree->first; node; node = node->next) {
        check_restored(call, node);
        if (tree->op == CROSSING_INITIATE && node->role == SHADOW_NEW)
            check_context(verifier, call, node);
    }
    if (outstanding_below(verifier, call)) {
        report(call, 160, BLAME_CALLER, call->root, "it is still outstanding below");
        drop(call);
    } else if (!went_down(verifier, tree) && claims_success(tree)) {
        report(call, 166, BLAME_CALLER, call->root, "success, and nothing was asked below");
    }
}

/* ---- V-159, V-162: data and events ---- */

/* What it was given comes back to it. */
static bool
goes_round(struct call *call, const struct call *outer, bool im)
{
    if (!im || outer->op != call->op || outer->object != call->object || !call->object)
        return false;
    report(call, 159, BLAME_CALLEE, call->object->handle,
           "the handle that it was given comes back to it");
    refuse(call);
    return true;
}

static struct shadow_nbl *
posted_above(struct verifier *verifier, const struct call *call, const NET_BUFFER_LIST *nbl,
             enum shadow_kind kind)
{
    for (struct table_entry *entry = table_find(&verifier->nbls, nbl); entry;
         entry = table_find_older(entry)) {
        struct shadow_nbl *shadow = container_of(entry, struct shadow_nbl, entry);

        if (shadow->kind == kind && stands_on(shadow->adapter, call->binding))
            return shadow;
    }
    return NULL;
}

/* V-086: the beginning of the list stays behind. */
static bool
first_is_kept(const struct call *call, const struct shadow_nbl *above)
{
    if (above->kind != SHADOW_SEND || above->first || above->with_initiate || !above->object)
        return false;
    list_for_each(nbl, &above->object->nbls[SHADOW_SEND], struct shadow_nbl, link) {
        if (nbl->posting != above->posting || !nbl->first || nbl->went_down)
            continue;
        for (const NET_BUFFER_LIST *here = call->nbl; here; here = here->Next)
            if (here == nbl->nbl)
                return false;
        return true;
    }
    return false;
}

static void
check_passed(struct call *call, const struct shadow_nbl *above, NET_BUFFER_LIST *nbl,
             unsigned long long *last)
{
    if (!above) {
        report(call, 162, BLAME_CALLER, nbl, "NBL %p was not given to it above", (void *)nbl);
        return;
    }
    if (above->number < *last)
        report(call, 162, BLAME_CALLER, nbl, "NBL %p was given to it earlier", (void *)nbl);
    else if (above->kind == SHADOW_DISCONNECT && above->flags != call->crossing->code)
        report(call, 162, BLAME_CALLER, nbl, "the flags are 0x%x, they were 0x%x",
               call->crossing->code, above->flags);
    else if (!*last && first_is_kept(call, above))
        report(call, 86, BLAME_CALLER, nbl, "NBL %p goes down, the first of its list does not",
               (void *)nbl);
    *last = above->number;
}

static void
data_down(struct verifier *verifier, struct call *call)
{
    bool completion;
    enum shadow_kind kind = call_kind(call->op, &completion);
    unsigned long long last = 0;

    if (call_by_ndis(call) || !call->binding)
        return;
    for (const struct call *outer = call->outer; outer; outer = outer->outer)
        if (outer->nbl == call->nbl && goes_round(call, outer, call->adapter->is_im))
            return;
    if (!call->binding->im_above || call->crossing->veto != CROSSING_GO)
        return;
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next)
        check_passed(call, posted_above(verifier, call, nbl, kind), nbl, &last);
}

static bool
under_way_below(struct verifier *verifier, const struct call *call, const NET_BUFFER_LIST *nbl,
                enum shadow_kind kind)
{
    for (struct table_entry *entry = table_find(&verifier->nbls, nbl); entry;
         entry = table_find_older(entry)) {
        const struct shadow_nbl *shadow = container_of(entry, struct shadow_nbl, entry);

        if (shadow->kind == kind && stands_on(call->adapter, shadow->binding))
            return true;
    }
    return false;
}

/* V-086 speaks of it. */
static bool
no_memory(NDIS_STATUS status)
{
    return status == NDIS_STATUS_REQUEST_UPLOAD || status == NDIS_STATUS_UPLOAD_REQUESTED;
}

/* V-162, V-163 */
static void
data_up(struct verifier *verifier, struct call *call)
{
    bool completion;
    enum shadow_kind kind = call_kind(call->op, &completion);

    if (call_by_ndis(call) || !call->adapter || !call->adapter->is_im)
        return;
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        const struct shadow_nbl *shadow = shadow_nbl_find(verifier, nbl, kind, call->binding);

        if (kind != SHADOW_FRAME && !no_memory(nbl->Status) &&
            under_way_below(verifier, call, nbl, kind))
            report(call, 162, BLAME_CALLER, nbl, "NBL %p is still under way below", (void *)nbl);
        if (shadow && nbl->Context != shadow->context)
            report(call, 163, BLAME_CALLER, nbl, "a context was left on NBL %p", (void *)nbl);
    }
}

/* V-163 of what was indicated. */
static void
returned(struct verifier *verifier, struct call *call)
{
    bool completion;
    enum shadow_kind kind = call_kind(call->op, &completion);

    if (call_by_ndis(call) || !call->binding || !call->binding->im_above)
        return;
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        const struct shadow_nbl *shadow = shadow_nbl_find(verifier, nbl, kind, call->binding);

        if (shadow && nbl->Context != shadow->context)
            report(call, 163, BLAME_CALLER, nbl, "a context was left on NBL %p", (void *)nbl);
    }
}

static void
event(struct verifier *verifier, struct call *call)
{
    for (const struct call *outer = call->outer; outer && call->binding; outer = outer->outer)
        if (outer->code == call->crossing->code && goes_round(call, outer, call->binding->im_above))
            return;
}

/* ---- V-162, V-164: indications ---- */

/* The indication from below that this one passes on; NULL: it is the driver's own. */
static struct call *
passed_on(const struct call *call)
{
    for (struct call *outer = call->outer; outer && call->adapter->is_im; outer = outer->outer)
        if (outer->op == call->op && stands_on(call->adapter, outer->binding))
            return outer;
    return NULL;
}

static void
indicating(struct verifier *verifier, struct call *call)
{
    const struct call *below = call->adapter ? passed_on(call) : NULL;

    for (const struct call *outer = call->outer; outer && call->binding; outer = outer->outer)
        if (outer->nbl == call->nbl && goes_round(call, outer, call->binding->im_above))
            return;
    if (below && below->nbl != call->nbl)
        report(call, 162, BLAME_CALLER, call->nbl, "it was given NBL %p", (void *)below->nbl);
    if (below && call->crossing->status != below->status)
        report(call, 164, BLAME_CALLER, call->nbl, "the status is 0x%08x, it was 0x%08x",
               (unsigned)call->crossing->status, (unsigned)below->status);
}

static void
indicated(struct verifier *verifier, struct call *call)
{
    struct call *below = call->adapter ? passed_on(call) : NULL;
    const struct crossing *crossing = call->crossing;

    if (below) {
        below->passed = true;
        below->passed_status = crossing->status;
        below->passed_bytes = crossing->info;
    }
    if (call->passed && !crossing->refused &&
        (call->passed_status != crossing->status || call->passed_bytes != crossing->info))
        report(call, 164, BLAME_CALLEE, call->nbl,
               "it answers 0x%08x and %u bytes, it was told 0x%08x and %u",
               (unsigned)crossing->status, crossing->info, (unsigned)call->passed_status,
               call->passed_bytes);
}

/* ---- the end ---- */

static void
lost(void *arg, struct table_entry *entry)
{
    const struct shadow_tree *tree = container_of(entry, struct shadow_tree, entry);
    struct verifier *verifier = arg;
    bool down = went_down(verifier, tree);

    if (tree->by_ndis || !tree->adapter->is_im || look_below(verifier, tree).operations)
        return; /* the driver below has lost it */
    report_late(verifier, down ? 160 : 166, tree->adapter->driver->name, tree->adapter->name,
                tree->entry.key, "a %s was never completed%s", crossing_name(tree->op),
                down ? "" : " and never passed on");
}

static void
finish(struct verifier *verifier)
{
    table_each(&verifier->trees, lost, verifier);
}

const struct family intermediate_family = {
    .before = {[CROSSING_INITIATE] = going_down,
               [CROSSING_TERMINATE] = going_down,
               [CROSSING_UPDATE] = going_down,
               [CROSSING_INVALIDATE] = going_down,
               [CROSSING_QUERY] = going_down,
               [CROSSING_INITIATE_COMPLETE] = going_up,
               [CROSSING_TERMINATE_COMPLETE] = going_up,
               [CROSSING_UPDATE_COMPLETE] = going_up,
               [CROSSING_INVALIDATE_COMPLETE] = going_up,
               [CROSSING_QUERY_COMPLETE] = going_up,
               [CROSSING_TCP_SEND] = data_down,
               [CROSSING_TCP_RECEIVE] = data_down,
               [CROSSING_TCP_DISCONNECT] = data_down,
               [CROSSING_TCP_FORWARD] = data_down,
               [CROSSING_TCP_SEND_COMPLETE] = data_up,
               [CROSSING_TCP_RECEIVE_COMPLETE] = data_up,
               [CROSSING_TCP_DISCONNECT_COMPLETE] = data_up,
               [CROSSING_TCP_FORWARD_COMPLETE] = data_up,
               [CROSSING_SEND_COMPLETE] = data_up,
               [CROSSING_TCP_RECEIVE_RETURN] = returned,
               [CROSSING_RETURN] = returned,
               [CROSSING_TCP_RECEIVE_INDICATE] = indicating,
               [CROSSING_TCP_EVENT] = event},
    .after = {[CROSSING_TCP_RECEIVE_INDICATE] = indicated},
    .finish = finish,
};
