/*
 * Update: cached state of objects that exist, or paths linked to another neighbor. A block of a
 * whole-object type carries no state here (it relinks), one of a cached type carries that.
 */
#include "ndis/landing.h"

const struct ndis_operation ndis_update = {
    .name = "NdisUpdateOffload",
    .down = CROSSING_UPDATE,
    .up = CROSSING_UPDATE_COMPLETE,
    .provider = offsetof(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                         UpdateOffloadHandler),
    .client = offsetof(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                       UpdateOffloadCompleteHandler),
};

static bool carries_state(enum ndis_state_class class)
{
    return class == NDIS_CLASS_CACHED;
}

VOID
NdisUpdateOffload(NDIS_HANDLE NdisBindingHandle, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    ndis_landing_plain_down(&ndis_update, NdisBindingHandle, OffloadBlockList, carries_state);
}

VOID
NdisMUpdateOffloadComplete(NDIS_HANDLE NdisMiniportHandle,
                           PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    ndis_landing_plain_up(&ndis_update, NdisMiniportHandle, OffloadBlockList);
}
