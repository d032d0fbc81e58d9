/*
 * V-029 … V-036, V-044, V-045, V-047: how a state operation completes. What an initiate came to is
 * in outcome.c, what a query or terminate wrote in contents.c.
 *
 * A completion that belongs to nothing outstanding, or to something else, is dropped: NDIS would
 * take memory for a tree that may be anything by now. Members that were not the driver's to change
 * are reported and put back from what was issued, so NDIS finds its way and the issuer gets the
 * tree that it passed. The same members of a tree from an intermediate driver are in
 * intermediate.c.
 *
 * Not seen: NdisReserved, which NDIS overwrites anyway; what happens to a tree after its completion
 * (V-046), for it is the issuer's memory again. Const and cached state of an initiate or update
 * that differs at the end was changed by its owner, the issuer (V-045): no driver below has a
 * reason to write there. VlanId and UserPriority are an intermediate driver's to set.
 */
#include "verifier/shadow.h"

#include <string.h>

static void
drop(struct call *call)
{
    call->crossing->veto = CROSSING_DROP;
}

static const void *
name_of(const struct shadow_node *node)
{
    return node->issued.OffloadHandle ? (const void *)node->issued.OffloadHandle
                                      : (const void *)node->block;
}

/* ---- V-029 … V-031: which operation ---- */

static bool
completed_lately(const struct verifier *verifier, const void *root)
{
    for (size_t i = 0; i < sizeof(verifier->completed) / sizeof(verifier->completed[0]); i++)
        if (verifier->completed[i] == root)
            return true;
    return false;
}

static const struct shadow_node *
inner_node(struct verifier *verifier, const struct call *call)
{
    for (struct table_entry *entry = table_find(&verifier->blocks, call->root); entry;
         entry = table_find_older(entry)) {
        const struct shadow_node *node = container_of(entry, struct shadow_node, entry);

        if (node->tree->adapter == call->adapter)
            return node;
    }
    return NULL;
}

static void
report_unknown(struct verifier *verifier, const struct call *call)
{
    struct table_entry *entry = table_find(&verifier->trees, call->root);
    const struct shadow_node *node = inner_node(verifier, call);

    if (node)
        report(call, 31, BLAME_CALLER, call->root, "the root it was given is %p",
               (void *)node->tree->first->block);
    else if (entry)
        report(call, 31, BLAME_CALLER, call->root, "the operation was given to adapter %s",
               container_of(entry, struct shadow_tree, entry)->adapter->name);
    else if (completed_lately(verifier, call->root))
        report(call, 29, BLAME_CALLER, call->root, "the operation was completed before");
    else
        report(call, 31, BLAME_CALLER, call->root, "no operation with this root is outstanding");
}

static bool
on_its_own_stack(const struct call *call)
{
    for (const struct call *outer = call->outer; outer; outer = outer->outer)
        if (outer->id == call->tree->number)
            return true;
    return false;
}

static bool
check_operation(struct verifier *verifier, struct call *call)
{
    if (!call->tree) {
        report_unknown(verifier, call);
        drop(call);
        return false;
    }
    if (call->tree->op != shadow_request_of(call->op)) {
        report(call, 31, BLAME_CALLER, call->root, "the operation is a %s",
               crossing_name(call->tree->op));
        drop(call);
        return false;
    }
    if (on_its_own_stack(call))
        report(call, 30, BLAME_CALLER, call->root, "the call has not returned yet");
    return true;
}

/* ---- V-044: what is not the driver's ---- */

/* Compares and puts back. */
static bool
changed(void *now, const void *issued, size_t size)
{
    bool different = memcmp(now, issued, size) != 0;

    if (different)
        memcpy(now, issued, size);
    return different;
}

#define CHANGED(member)                                                                            \
    changed(&(node)->block->member, &(node)->issued.member, sizeof((node)->issued.member))

static const char *
member_changed(const struct shadow_node *node)
{
    const char *what = NULL;

    what = CHANGED(Header) ? "Header" : what;
    what = CHANGED(NextBlock) ? "NextBlock" : what;
    what = CHANGED(DependentBlockList) ? "DependentBlockList" : what;
    what = CHANGED(ProtocolReserved) ? "ProtocolReserved" : what;
    what = CHANGED(PortNumber) ? "PortNumber" : what;
    return what;
}

/* Those that an intermediate driver changes on the way down and restores. */
static const char *
borrowed_changed(const struct shadow_node *node)
{
    const char *what = NULL;

    what = CHANGED(ImReserved) ? "ImReserved" : what;
    what = CHANGED(OffloadHandle) ? "NdisOffloadHandle" : what;
    if (node->block->SourceHandle != node->tree->binding->entry.key) { /* as NDIS wrote it */
        node->block->SourceHandle = (PVOID)node->tree->binding->entry.key;
        what = "SourceHandle";
    }
    return what;
}

static void
check_members(const struct call *call)
{
    for (const struct shadow_node *node = call->tree->first; node; node = node->next) {
        const char *kept = member_changed(node);
        const char *lent = call->adapter->is_im ? NULL : borrowed_changed(node);

        if (kept || lent)
            report(call, 44, BLAME_CALLER, name_of(node), "%s of block %p was changed",
                   kept ? kept : lent, (void *)node->block);
    }
}

/* ---- V-045 ---- */

/* What an intermediate driver may set counts as unchanged. */
static void
forgive(const struct shadow_node *node, enum shadow_class class, UCHAR *was)
{
    if (node->layer == SHADOW_NEIGHBOR && class == SHADOW_CONST)
        ((NEIGHBOR_OFFLOAD_STATE_CONST *)was)
            ->VlanId = ((NEIGHBOR_OFFLOAD_STATE_CONST *)node->state[class])->VlanId;
    if (node->layer == SHADOW_TCP && class == SHADOW_CACHED)
        ((TCP_OFFLOAD_STATE_CACHED *)was)
            ->UserPriority = ((TCP_OFFLOAD_STATE_CACHED *)node->state[class])->UserPriority;
}

static void
check_states(const struct call *call)
{
    size_t header = sizeof(OFFLOAD_STATE_HEADER);

    for (const struct shadow_node *node = call->tree->first; node; node = node->next)
        for (enum shadow_class class = SHADOW_CONST; class < SHADOW_DELEGATED; class ++) {
            if (!node->length[class])
                continue;
            if (call->adapter->is_im)
                forgive(node, class, node->copy[class]);
            if (memcmp(node->state[class] + header, node->copy[class] + header,
                       node->length[class] - header))
                report(call, 45, BLAME_CALLEE, name_of(node),
                       "the %s state that it issued was changed since",
                       class == SHADOW_CONST ? "const" : "cached");
        }
}

/* ---- V-033, V-035, V-036: a Status each ---- */

bool
shadow_one_failure(const struct shadow_tree *tree)
{
    NDIS_STATUS status = tree->first->block->Status;

    for (const struct shadow_node *node = tree->first; node; node = node->next)
        if (node->block->Status != status)
            return false;
    return tree->adapter->is_im && !shadow_came_through(status);
}

/* unwritten: the rule about a node that has no Status. */
static void
check_status(const struct call *call, const struct shadow_node *node, unsigned unwritten)
{
    NDIS_STATUS status = node->block->Status;

    if (status == SHADOW_POISON)
        report(call, unwritten, BLAME_CALLER, name_of(node), "Status of block %p was not written",
               (void *)node->block);
    else if (node->role == SHADOW_PLACEHOLDER && status != NDIS_STATUS_SUCCESS)
        report(call, 36, BLAME_CALLER, name_of(node), "a placeholder completes 0x%08x",
               (unsigned)status);
    else if (node->tree->op != CROSSING_INITIATE && status != NDIS_STATUS_SUCCESS &&
             status != NDIS_STATUS_FAILURE)
        report(call, 35, BLAME_CALLER, name_of(node), "Status is 0x%08x", (unsigned)status);
}

/* An intermediate driver hands on what NDIS said when it refused the tree below: one failure for
 * every block. One that it did not pass on has to fail as a whole (V-166). */
static void
check_statuses(struct verifier *verifier, const struct call *call)
{
    const struct shadow_tree *tree = call->tree;
    unsigned unwritten = shadow_kept_back(verifier, tree) ? 166 : 33;

    if (tree->first->block->Status != SHADOW_POISON && shadow_one_failure(tree))
        return;
    for (const struct shadow_node *node = tree->first; node; node = node->next)
        check_status(call, node, unwritten);
}

static void
completing(struct verifier *verifier, struct call *call)
{
    if (call_by_ndis(call) || !check_operation(verifier, call) || !call->tree->first)
        return;
    check_members(call);
    check_statuses(verifier, call);
    if (call->tree->op == CROSSING_INITIATE || call->tree->op == CROSSING_UPDATE)
        check_states(call);
}

/* ---- V-032: the call ---- */

/* The innermost that took long is the one that did. */
static void
returned(struct verifier *verifier, struct call *call)
{
    uint64_t now_us = call->crossing->now_us;

    if (call->crossing->refused || now_us < call->started_us + verifier->options.return_limit_us)
        return;
    report(call, 32, BLAME_CALLEE, call->root, "it returned after %llu ms",
           (unsigned long long)(now_us - call->started_us) / 1000);
    for (struct call *outer = call->outer; outer; outer = outer->outer)
        outer->started_us = now_us;
}

/* ---- V-047: the handle that is kept ---- */

/* One that is nobody's NDIS reports (V-130); of questions about neighbors V-141 speaks. */
static void
indicated(struct verifier *verifier, struct call *call)
{
    if (!call->object || call->object->layer == SHADOW_TCP)
        return;
    report(call, 47, BLAME_CALLER, call->object->handle, "data of a %s",
           shadow_layer_name(call->object->layer));
    drop(call);
}

/* ---- the end ---- */

/* An intermediate driver's are looked at by intermediate.c. */
static void
lost(void *arg, struct table_entry *entry)
{
    const struct shadow_tree *tree = container_of(entry, struct shadow_tree, entry);

    if (!tree->by_ndis && !tree->adapter->is_im)
        report_late(arg, 29, tree->adapter->driver->name, tree->adapter->name, tree->entry.key,
                    "a %s was never completed", crossing_name(tree->op));
}

static void
finish(struct verifier *verifier)
{
    table_each(&verifier->trees, lost, verifier);
}

const struct family complete_family = {
    .before = {[CROSSING_INITIATE_COMPLETE] = completing,
               [CROSSING_TERMINATE_COMPLETE] = completing,
               [CROSSING_UPDATE_COMPLETE] = completing,
               [CROSSING_INVALIDATE_COMPLETE] = completing,
               [CROSSING_QUERY_COMPLETE] = completing,
               [CROSSING_TCP_RECEIVE_INDICATE] = indicated},
    .after = {[CROSSING_INITIATE] = returned,
              [CROSSING_TERMINATE] = returned,
              [CROSSING_UPDATE] = returned,
              [CROSSING_INVALIDATE] = returned,
              [CROSSING_QUERY] = returned},
    .finish = finish,
};
