/*
 * The chimney through a VLAN. VlanId is the neighbor's and const, UserPriority the connection's and
 * cached; both are filled in on the way down where the driver above left zero, and put back on the
 * way up, so that everything that comes up (a query, an event) is as it was given: the driver above
 * is on an untagged adapter and must not learn otherwise. Delegated state knows no VLAN.
 *
 * The state has room for one id. A neighbor that comes with one from above (another VLAN stands
 * there, or the host stack knows of VLANs itself) would need two tags: the whole initiate fails,
 * with OFFLOAD_VLAN_MISMATCH for that neighbor, as a target says whose id is another (V-050,
 * V-166), and the host stack keeps the connections. The VLAN that set the first id knows that its
 * driver above named none, and says FAILURE there. Source: G:802-1q-*, D:ns-ndischimney-*.
 */
#include "base/log.h"
#include "intermediate/vlan/vlan.h"

/* ---- where the two members are; NULL: not behind this block ---- */

static NEIGHBOR_OFFLOAD_STATE_CONST *
neighbor_const(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    switch (block->Header.Type) {
    case NeighborOffloadState:
    case NeighborOffloadConstState:
        return NDIS_OFFLOAD_STATE_FIRST(block);
    default:
        return NULL;
    }
}

static TCP_OFFLOAD_STATE_CACHED *
tcp_cached(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    TCP_OFFLOAD_STATE_CONST *constant;

    switch (block->Header.Type) {
    case TcpOffloadCachedState:
        return NDIS_OFFLOAD_STATE_FIRST(block);
    case TcpOffloadState:
        constant = NDIS_OFFLOAD_STATE_FIRST(block);
        return NDIS_OFFLOAD_STATE_NEXT(constant);
    default:
        return NULL;
    }
}

/* Only what is offered, and what a cached update names, is followed by state on its way down;
 * linkers have a type, too. */
static bool
carries_state(const struct floor_call *call, const struct floor_node *node)
{
    if (call->operation == FLOOR_INITIATE)
        return node->fresh;
    return call->operation == FLOOR_UPDATE && node->entry &&
           node->block->Header.Type == TcpOffloadCachedState;
}

/* ---- down ---- */

void
vlan_tree_down(struct floor_adapter *adapter, struct floor_call *call)
{
    const struct vlan_adapter *vlan = vlan_of(adapter);

    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];
        bool there = carries_state(call, node);
        NEIGHBOR_OFFLOAD_STATE_CONST *constant = there ? neighbor_const(node->block) : NULL;
        TCP_OFFLOAD_STATE_CACHED *cached = there ? tcp_cached(node->block) : NULL;

        if (constant) {
            node->kept = constant->VlanId;
            if (vlan->id)
                constant->VlanId = vlan->id & 0xfffu;
        }
        if (cached) {
            node->kept = cached->UserPriority;
            if (!cached->UserPriority)
                cached->UserPriority = vlan->priority & 7u;
        }
    }
}

/* Neighbors are the lowest layer: the root and its siblings. */
static PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST
find_tagged(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    for (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b = root; b; b = b->NextBlock) {
        bool fresh = b->MiniportOffloadContext && !*b->MiniportOffloadContext;

        if (fresh && neighbor_const(b) && neighbor_const(b)->VlanId)
            return b;
    }
    return NULL;
}

VOID
VlanInitiateOffload(NDIS_HANDLE MiniportAdapterContext,
                    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct floor_adapter *adapter = MiniportAdapterContext;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST tagged = vlan_of(adapter)->id ? find_tagged(OffloadBlockList)
                                                                    : NULL;

    if (!tagged) {
        FloorInitiateOffload(adapter, OffloadBlockList);
        return;
    }
    log_info("vlan %s: not offloaded, the neighbor is in VLAN %u already", adapter->name,
             (unsigned)neighbor_const(tagged)->VlanId);
    floor_fail(adapter, OffloadBlockList, FLOOR_INITIATE);
    tagged->Status = NDIS_STATUS_OFFLOAD_VLAN_MISMATCH;
}

/* ---- up ---- */

/* The VLAN is ours: the driver above has named none, and none can be its neighbor's fault (V-050).
 */
static NDIS_STATUS
without_vlan(const struct floor_adapter *adapter, NDIS_STATUS status)
{
    switch (status) {
    case NDIS_STATUS_OFFLOAD_VLAN_MISMATCH:
        log_info("vlan %s: not offloaded, the adapter below cannot have VLAN %u", adapter->name,
                 ((const struct vlan_adapter *)adapter)->id);
        return NDIS_STATUS_FAILURE;
    case NDIS_STATUS_OFFLOAD_VLAN_ENTRIES:
        return NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES;
    default:
        return status;
    }
}

/* What was filled in goes again. */
static void
put_back(const struct floor_node *node)
{
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = neighbor_const(node->block);
    TCP_OFFLOAD_STATE_CACHED *cached = tcp_cached(node->block);

    if (constant)
        constant->VlanId = node->kept & 0xfffu;
    if (cached)
        cached->UserPriority = node->kept & 7u;
}

/* What the driver above believes: of its neighbors none had an id, or they would not be here. */
static void
disguise(const struct vlan_adapter *vlan, const struct floor_node *node)
{
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = neighbor_const(node->block);
    TCP_OFFLOAD_STATE_CACHED *cached = tcp_cached(node->block);

    if (constant && vlan->id)
        constant->VlanId = 0;
    if (cached)
        cached->UserPriority = container_of(node->entry, struct vlan_offload, floor)->priority & 7u;
}

static bool
succeeded(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

void
vlan_tree_up(struct floor_adapter *adapter, struct floor_call *call)
{
    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];

        if (carries_state(call, node)) {
            put_back(node);
            if (neighbor_const(node->block) && node->kept == 0)
                node->block->Status = without_vlan(adapter, node->block->Status);
            if (tcp_cached(node->block) && succeeded(node->block->Status))
                container_of(node->entry, struct vlan_offload, floor)->priority = (UCHAR)node->kept;
        } else if (call->operation == FLOOR_QUERY && node->entry &&
                   succeeded(node->block->Status)) {
            disguise(vlan_of(adapter), node);
        }
    }
}

/* The state behind the block is the target's: it is as it was when the call returns (P27). */
VOID
VlanIndicateOffloadEvent(NDIS_HANDLE ProtocolBindingContext,
                         PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    const struct vlan_adapter *vlan = vlan_of(ProtocolBindingContext);
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = vlan->id ? neighbor_const((PVOID)OffloadBlockList)
                                                      : NULL;
    unsigned id = constant ? constant->VlanId : 0;

    if (constant)
        constant->VlanId = 0;
    FloorIndicateOffloadEvent(ProtocolBindingContext, OffloadBlockList, IndicationCode);
    if (constant)
        constant->VlanId = id & 0xfffu;
}
