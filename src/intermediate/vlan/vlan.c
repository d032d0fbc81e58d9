/*
 * A VLAN (802.1Q) on the adapter below: the virtual adapter is in it, and whoever stands above
 * knows nothing of tags. What is offloaded through it is tagged by the target, told so in the state
 * (state.c); frames of the regular path are tagged and untagged here (frames.c).
 *
 * Options: Id, 1 to 4094, and Priority, 0 to 7, for what has none. With Id=0 the adapter is in no
 * VLAN and adds a priority alone, so such a floor goes with any other. An id that is there already
 * cannot be replaced, and two cannot be said in the state: then nothing is offloaded.
 *
 * The MTU is that of the adapter below: a tag is no part of an Ethernet payload, and media that
 * carry tags have room for one. They have none for a second, so over an adapter that is in a VLAN
 * (NDIS_MAC_OPTION_8021Q_VLAN) it is smaller by a tag.
 */
#include "intermediate/vlan/vlan.h"

#include "base/log.h"
#include "intermediate/drivers.h"

#define NOT_SET 0xffffffffu

static NDIS_STATUS
read_options(struct vlan_adapter *vlan, NDIS_HANDLE handle)
{
    const char *name = vlan->floor.name;
    ULONG id = NOT_SET, priority = 0;
    bool is_id = floor_option_number(&vlan->floor, handle, u"Id", 0, VLAN_ID_MAX, &id);
    bool is_priority = floor_option_number(&vlan->floor, handle, u"Priority", 0, VLAN_PRIORITY_MAX,
                                           &priority);

    if (!is_id || !is_priority)
        return NDIS_STATUS_INVALID_PARAMETER;
    if (id == NOT_SET) {
        log_error("vlan %s: which VLAN? Say vlan:Id=10, or vlan:Id=0:Priority=3 for a priority "
                  "alone",
                  name);
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    if (id == 0 && priority == 0) {
        log_error("vlan %s: Id=0 without a Priority from 1 to 7 does nothing", name);
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    vlan->id = (USHORT)id;
    vlan->priority = (UCHAR)priority;
    return NDIS_STATUS_SUCCESS;
}

static void
close_pools(struct floor_adapter *adapter)
{
    struct vlan_adapter *vlan = vlan_of(adapter);

    if (vlan->lists)
        NdisFreeNetBufferListPool(vlan->lists);
    if (vlan->buffers)
        NdisFreeNetBufferPool(vlan->buffers);
    vlan->lists = vlan->buffers = NULL;
}

static NDIS_STATUS
open_pools(struct vlan_adapter *vlan, NDIS_HANDLE handle)
{
    NET_BUFFER_LIST_POOL_PARAMETERS lists = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   sizeof(lists)},
        .ProtocolId = NDIS_PROTOCOL_ID_DEFAULT,
        .PoolTag = FLOOR_TAG,
    };
    NET_BUFFER_POOL_PARAMETERS buffers = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_POOL_PARAMETERS_REVISION_1,
                   sizeof(buffers)},
        .PoolTag = FLOOR_TAG,
    };

    vlan->lists = NdisAllocateNetBufferListPool(handle, &lists);
    vlan->buffers = NdisAllocateNetBufferPool(handle, &buffers);
    if (vlan->lists && vlan->buffers)
        return NDIS_STATUS_SUCCESS;
    close_pools(&vlan->floor);
    return NDIS_STATUS_RESOURCES;
}

static NDIS_STATUS
open_adapter(struct floor_adapter *adapter, NDIS_HANDLE handle)
{
    struct vlan_adapter *vlan = vlan_of(adapter);
    NDIS_STATUS status = read_options(vlan, handle);

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    if (vlan->id && adapter->general.MacOptions & NDIS_MAC_OPTION_8021Q_VLAN)
        adapter->general.MtuSize -= VLAN_TAG_BYTES;
    if (vlan->id)
        adapter->general.MacOptions |= NDIS_MAC_OPTION_8021Q_VLAN;
    adapter->general.MacOptions |= NDIS_MAC_OPTION_8021P_PRIORITY;
    log_info("vlan %s: id %u, priority %u, MTU %u", adapter->name, vlan->id, vlan->priority,
             (unsigned)adapter->general.MtuSize);
    return open_pools(vlan, handle);
}

static void
override(struct floor_handlers *handlers)
{
    handlers->miniport.SendNetBufferListsHandler = VlanSendNetBufferLists;
    handlers->miniport.ReturnNetBufferListsHandler = VlanReturnNetBufferLists;
    handlers->protocol.ReceiveNetBufferListsHandler = VlanReceiveNetBufferLists;
    handlers->protocol.SendNetBufferListsCompleteHandler = VlanSendNetBufferListsComplete;
    handlers->provider.InitiateOffloadHandler = VlanInitiateOffload;
    handlers->client.IndicateOffloadEventHandler = VlanIndicateOffloadEvent;
}

NTSTATUS
vlan_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    static const struct floor_kind kind = {.name = "vlan",
                                           .protocol_name = NDIS_STRING_CONST(u"vlan"),
                                           .adapter_bytes = sizeof(struct vlan_adapter),
                                           .offload_bytes = sizeof(struct vlan_offload),
                                           .override = override,
                                           .open = open_adapter,
                                           .close = close_pools,
                                           .tree_down = vlan_tree_down,
                                           .tree_up = vlan_tree_up};

    return floor_start(DriverObject, RegistryPath, &kind);
}
