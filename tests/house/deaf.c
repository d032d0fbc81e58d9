/*
 * The deaf intermediate driver: passthru's own entry, compiled once more, with its chimney tables
 * lost on the way to NDIS. See meson.build.
 */
#include <ndischimney.h>

NDIS_STATUS deaf_set_options(NDIS_HANDLE NdisHandle,
                             PNDIS_DRIVER_OPTIONAL_HANDLERS OptionalHandlers);

NDIS_STATUS
deaf_set_options(NDIS_HANDLE NdisHandle, PNDIS_DRIVER_OPTIONAL_HANDLERS OptionalHandlers)
{
    return NDIS_STATUS_SUCCESS;
}
