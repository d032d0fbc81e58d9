/*
 * Invalidate: stops sending on everything that depends on the named objects. Blocks only, no states
 * (V-023).
 */
#include "ndis/landing.h"

const struct ndis_operation ndis_invalidate = {
    .name = "NdisInvalidateOffload",
    .down = CROSSING_INVALIDATE,
    .up = CROSSING_INVALIDATE_COMPLETE,
    .provider = offsetof(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                         InvalidateOffloadHandler),
    .client = offsetof(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                       InvalidateOffloadCompleteHandler),
};

static bool carries_state(enum ndis_state_class class)
{
    return false;
}

VOID
NdisInvalidateOffload(NDIS_HANDLE NdisBindingHandle,
                      PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    ndis_landing_plain_down(&ndis_invalidate, NdisBindingHandle, OffloadBlockList, carries_state);
}

VOID
NdisMInvalidateOffloadComplete(NDIS_HANDLE NdisMiniportHandle,
                               PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    ndis_landing_plain_up(&ndis_invalidate, NdisMiniportHandle, OffloadBlockList);
}
