/*
 * V-014 … V-028: the shape of a tree, before anybody follows it.
 *
 * What would lead NDIS or a driver astray is refused: a circle, a block that is somebody's already,
 * layers mixed up, a type or a size that puts the states elsewhere, states or addresses that are
 * not there. The rest is reported and goes on. A tree whose root is outstanding already is dropped:
 * refusing it would write into blocks that the driver below works on.
 *
 * A placeholder's type means nothing, its size does. Rules that bind the host stack alone are
 * checked where it calls; an intermediate driver passes on what it was given. The trees of a forced
 * terminate are NDIS's own.
 *
 * Not seen: whether memory behind a block that should carry no state holds one (V-019, V-023); the
 * type decides. Bits outside a bit-field (V-027).
 */
#include "verifier/shadow.h"

#define ALL_CLASSES (1u << SHADOW_CONST | 1u << SHADOW_CACHED | 1u << SHADOW_DELEGATED)
#define ETHERNET_ADDRESS 6

/* A bad block stops the tree. */
static void
refuse(struct call *call)
{
    if (call->crossing->veto == CROSSING_GO)
        call->crossing->veto = CROSSING_REFUSE;
}

static const void *
name_of(const struct shadow_node *node)
{
    return node->issued.OffloadHandle ? (const void *)node->issued.OffloadHandle
                                      : (const void *)node->block;
}

/* ---- V-014 … V-018: whoever issues it ---- */

static void
check_header(struct call *call, const struct shadow_node *node)
{
    const NDIS_OBJECT_HEADER *header = &node->issued.Header;

    if (header->Size == sizeof(node->issued) &&
        header->Revision == NDIS_OFFLOAD_BLOCK_LIST_REVISION_1)
        return;
    report(call, 15, BLAME_CALLER, name_of(node), "block %p has size %u and revision %u",
           (void *)node->block, header->Size, header->Revision);
    refuse(call);
}

static void
check_type(struct call *call, const struct shadow_node *node)
{
    const struct shadow_object *object = node->object;
    enum shadow_layer layer;
    bool ipv6;

    if (node->role == SHADOW_PLACEHOLDER)
        return;
    if (!shadow_type(node->issued.Header.Type, &layer, &ipv6)) {
        report(call, 14, BLAME_CALLER, name_of(node), "block %p is of type %u", (void *)node->block,
               node->issued.Header.Type);
        refuse(call);
    } else if (object && object->layer != layer) {
        report(call, 14, BLAME_CALLER, name_of(node), "block %p is a %s by its type and names a %s",
               (void *)node->block, shadow_layer_name(layer), shadow_layer_name(object->layer));
        refuse(call);
    } else if (object && layer == SHADOW_PATH && object->ipv6 != ipv6) {
        report(call, 22, BLAME_CALLER, name_of(node), "block %p is of the other IP family",
               (void *)node->block);
    }
}

static void
check_links(struct call *call, const struct shadow_node *node)
{
    const struct shadow_node *from = node->from;

    if (!from || from->layer == SHADOW_NO_LAYER || node->layer == SHADOW_NO_LAYER)
        return;
    if (node->sibling && node->layer != from->layer) {
        report(call, 16, BLAME_CALLER, name_of(node), "a %s is a sibling of a %s",
               shadow_layer_name(node->layer), shadow_layer_name(from->layer));
        refuse(call);
    } else if (!node->sibling && node->layer != from->layer + 1) {
        report(call, 17, BLAME_CALLER, name_of(node), "a %s depends on a %s",
               shadow_layer_name(node->layer), shadow_layer_name(from->layer));
        refuse(call);
    }
}

/* true: it is a tree, and all of it is its issuer's. */
static bool
check_once(struct call *call, const struct shadow_tree *tree)
{
    if (tree->repeated) {
        report(call, 18, BLAME_CALLER, call->root, "a block is in it twice");
        refuse(call);
    } else if (tree->shared) {
        report(call, 18, BLAME_CALLER, call->root, "%s is in another tree that is outstanding",
               tree->shared_root ? "the root" : "a block");
        call->crossing->veto = tree->shared_root ? CROSSING_DROP : CROSSING_REFUSE;
    }
    return !tree->repeated && !tree->shared;
}

/* ---- V-019 … V-028: the host stack ---- */

static void
check_lengths(const struct call *call, const struct shadow_node *node)
{
    for (enum shadow_class class = SHADOW_CONST; class < SHADOW_CLASSES; class ++) {
        const OFFLOAD_STATE_HEADER *header = (const void *)node->copy[class];

        if (header && header->Length && header->Length != node->length[class]) /* P12 */
            report(call, 21, BLAME_CALLER, name_of(node), "a state of %u bytes says it has %u",
                   node->length[class], header->Length);
    }
}

/* V-028. A source address is one station's. */
static bool
whole_address(const UCHAR *address)
{
    bool any = false, beyond = false;

    for (size_t i = 0; i < NDIS_OFFLOAD_LINK_ADDRESS_LENGTH; i++) {
        any |= i < ETHERNET_ADDRESS && address[i];
        beyond |= i >= ETHERNET_ADDRESS && address[i];
    }
    return !beyond && (!any || !(address[0] & 1));
}

static void
check_new_neighbor(const struct call *call, const struct shadow_node *node)
{
    const NEIGHBOR_OFFLOAD_STATE_CONST *fixed = (const void *)node->copy[SHADOW_CONST];

    if (fixed && !whole_address(fixed->DlSourceAddress))
        report(call, 28, BLAME_CALLER, name_of(node),
               "DlSourceAddress is neither zero nor the address of a station");
}

static void
check_new_path(struct call *call, const struct shadow_node *node)
{
    const PATH_OFFLOAD_STATE_CONST *fixed = (const void *)node->copy[SHADOW_CONST];

    if (!fixed || (fixed->SourceAddress && fixed->DestinationAddress))
        return;
    report(call, 22, BLAME_CALLER, name_of(node), "%s is NULL",
           fixed->SourceAddress ? "DestinationAddress" : "SourceAddress");
    refuse(call);
}

static void
check_new_tcp(const struct call *call, const struct shadow_node *node)
{
    const TCP_OFFLOAD_STATE_CONST *fixed = (const void *)node->copy[SHADOW_CONST];

    if (fixed && (fixed->SndWindScale > 14 || fixed->RcvWindScale > 14))
        report(call, 27, BLAME_CALLER, name_of(node), "window scales are %u and %u",
               fixed->SndWindScale, fixed->RcvWindScale);
}

static void
check_new(struct call *call, const struct shadow_node *node)
{
    if (shadow_type_classes(node->issued.Header.Type) != ALL_CLASSES) {
        report(call, 20, BLAME_CALLER, name_of(node), "a new offload is of type %u",
               node->issued.Header.Type);
        refuse(call);
    } else if (node->layer == SHADOW_NEIGHBOR) {
        check_new_neighbor(call, node);
    } else if (node->layer == SHADOW_PATH) {
        check_new_path(call, node);
    } else {
        check_new_tcp(call, node);
    }
}

/* What carries no state is linked: a path to the neighbor above it, and with no dependent; a
 * connection never. */
static bool
bad_link(const struct shadow_node *node)
{
    const struct shadow_object *above = node->parent ? node->parent->object : NULL;
    bool whole = shadow_type_classes(node->issued.Header.Type) == ALL_CLASSES;

    if (node->layer == SHADOW_TCP)
        return whole || (node->object && above && node->object->parent != above);
    return node->layer == SHADOW_PATH && whole && !above && !node->issued.DependentBlockList;
}

/* Of a whole type only the name is meant. */
static void
check_update(const struct call *call, const struct shadow_node *node)
{
    unsigned classes = shadow_type_classes(node->issued.Header.Type);

    if (bad_link(node))
        report(call, 26, BLAME_CALLER, name_of(node), "%s",
               node->layer == SHADOW_TCP ? "a connection is linked to another path"
                                         : "a path is linked to no neighbor");
    else if (classes != 1u << SHADOW_CACHED && classes != ALL_CLASSES)
        report(call, 24, BLAME_CALLER, name_of(node), "a %s in an update is of type %u",
               shadow_layer_name(node->layer), node->issued.Header.Type);
}

static void
check_reference(const struct call *call, const struct shadow_node *node)
{
    unsigned classes = shadow_type_classes(node->issued.Header.Type);

    if (call->op == CROSSING_UPDATE)
        check_update(call, node);
    else if (call->op == CROSSING_INVALIDATE && classes != ALL_CLASSES)
        report(call, 23, BLAME_CALLER, name_of(node), "type %u says that a state follows",
               node->issued.Header.Type);
    else if (call->op == CROSSING_TERMINATE && classes != 1u << SHADOW_DELEGATED)
        report(call, 25, BLAME_CALLER, name_of(node), "a %s in a terminate is of type %u",
               shadow_layer_name(node->layer), node->issued.Header.Type);
}

static void
check_of_host(struct call *call, const struct shadow_node *node)
{
    if (node->role == SHADOW_NEW)
        check_new(call, node);
    else if (node->role == SHADOW_REFERENCE)
        check_reference(call, node);
    else if (node->role == SHADOW_LINKER && node->layer < SHADOW_TCP &&
             !node->issued.DependentBlockList)
        report(call, 19, BLAME_CALLER, name_of(node), "a linker has no dependent");
    if (call->crossing->veto == CROSSING_GO)
        check_lengths(call, node);
}

static void
shape(struct verifier *verifier, struct call *call)
{
    const struct shadow_tree *tree = call->tree;

    if (!tree || tree->by_ndis || tree->truncated || !check_once(call, tree))
        return;
    for (const struct shadow_node *node = tree->first; node; node = node->next) {
        check_header(call, node);
        check_type(call, node);
        check_links(call, node);
    }
    if (call->crossing->veto != CROSSING_GO || tree->binding->im_above)
        return;
    for (const struct shadow_node *node = tree->first; node; node = node->next)
        check_of_host(call, node);
}

const struct family tree_family = {
    .before = {[CROSSING_INITIATE] = shape,
               [CROSSING_TERMINATE] = shape,
               [CROSSING_UPDATE] = shape,
               [CROSSING_INVALIDATE] = shape,
               [CROSSING_QUERY] = shape},
};
