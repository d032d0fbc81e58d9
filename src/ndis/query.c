/*
 * Query: reads whatever states follow the blocks, of objects that exist. The miniport fills them in
 * place.
 */
#include "ndis/landing.h"

const struct ndis_operation ndis_query = {
    .name = "NdisQueryOffloadState",
    .down = CROSSING_QUERY,
    .up = CROSSING_QUERY_COMPLETE,
    .provider = offsetof(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                         QueryOffloadHandler),
    .client = offsetof(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                       QueryOffloadCompleteHandler),
};

static bool carries_state(enum ndis_state_class class)
{
    return class != NDIS_CLASS_NONE;
}

VOID
NdisQueryOffloadState(NDIS_HANDLE NdisBindingHandle,
                      PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    ndis_landing_plain_down(&ndis_query, NdisBindingHandle, OffloadBlockList, carries_state);
}

VOID
NdisMQueryOffloadStateComplete(NDIS_HANDLE NdisMiniportHandle,
                               PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    ndis_landing_plain_up(&ndis_query, NdisMiniportHandle, OffloadBlockList);
}
