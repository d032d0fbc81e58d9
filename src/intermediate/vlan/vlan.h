/* The VLAN driver's own, between its files. Threads: one, the loop's. */
#ifndef INTERMEDIATE_VLAN_VLAN_H
#define INTERMEDIATE_VLAN_VLAN_H

#include "intermediate/floor/floor.h"

#define VLAN_ID_MAX 4094u
#define VLAN_PRIORITY_MAX 7u
#define VLAN_TAG_BYTES 4u

struct vlan_adapter {
    struct floor_adapter floor; /* first */
    USHORT id;                  /* 0: priority alone */
    UCHAR priority;
    NDIS_HANDLE lists, buffers; /* pools for frames of our own */
};

struct vlan_offload {
    struct floor_offload floor; /* first */
    UCHAR priority;             /* of a connection: UserPriority as the driver above has it */
};

static inline struct vlan_adapter *
vlan_of(struct floor_adapter *adapter)
{
    return container_of(adapter, struct vlan_adapter, floor);
}

/* ---- state.c: the chimney ---- */
void vlan_tree_down(struct floor_adapter *adapter, struct floor_call *call);
void vlan_tree_up(struct floor_adapter *adapter, struct floor_call *call);
W_INITIATE_OFFLOAD_HANDLER_FN VlanInitiateOffload;
INDICATE_OFFLOAD_EVENT_HANDLER_FN VlanIndicateOffloadEvent;

/* ---- frames.c: the regular path ---- */
MINIPORT_SEND_NET_BUFFER_LISTS VlanSendNetBufferLists;
PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE VlanSendNetBufferListsComplete;
PROTOCOL_RECEIVE_NET_BUFFER_LISTS VlanReceiveNetBufferLists;
MINIPORT_RETURN_NET_BUFFER_LISTS VlanReturnNetBufferLists;

#endif
