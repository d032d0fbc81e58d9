/*
 * Intermediate drivers: both edges of one driver, and virtual adapters that stand on a binding. A
 * virtual adapter is announced inside the bind of the binding it stands on, and initialised by NDIS
 * after that bind is over.
 */
#include "ndis/landing.h"

#include "base/log.h"

static struct ndis_miniport *
im_of(NDIS_HANDLE handle, const char *call)
{
    struct ndis_miniport *miniport = ndis_checked(handle, NDIS_MAGIC_MINIPORT, call);

    if (miniport && !(miniport->handlers.Flags & NDIS_INTERMEDIATE_DRIVER)) {
        log_error("%s: driver %s is not an intermediate driver", call, miniport->driver->name);
        return NULL;
    }
    return miniport;
}

VOID
NdisIMAssociateMiniport(NDIS_HANDLE DriverHandle, NDIS_HANDLE ProtocolHandle)
{
    struct ndis_miniport *miniport = im_of(DriverHandle, "NdisIMAssociateMiniport");
    struct ndis_protocol *protocol = ndis_checked(ProtocolHandle, NDIS_MAGIC_PROTOCOL,
                                                  "NdisIMAssociateMiniport");

    ndis_at_most(PASSIVE_LEVEL, "NdisIMAssociateMiniport");
    if (miniport && protocol)
        miniport->lower_edge = protocol;
}

NDIS_STATUS
NdisIMInitializeDeviceInstanceEx(NDIS_HANDLE DriverHandle, PNDIS_STRING DriverInstance,
                                 NDIS_HANDLE DeviceContext)
{
    struct ndis_miniport *miniport = im_of(DriverHandle, "NdisIMInitializeDeviceInstanceEx");
    struct ndis_binding *binding;
    struct ndis_adapter *adapter;
    char name[NDIS_NAME_SIZE];

    if (!ndis_given(DriverInstance, "NdisIMInitializeDeviceInstanceEx"))
        return NDIS_STATUS_INVALID_PARAMETER;
    ndis_at_most(PASSIVE_LEVEL, "NdisIMInitializeDeviceInstanceEx");
    if (!miniport)
        return NDIS_STATUS_INVALID_PARAMETER;
    binding = miniport->head.house->binding_now;
    if (!binding || !binding->open || binding->protocol != miniport->lower_edge) {
        ndis_breach(miniport->head.house, 193, miniport->driver->name,
                    "NdisIMInitializeDeviceInstanceEx: only while %s binds, after its open",
                    miniport->driver->name);
        return NDIS_STATUS_NOT_ACCEPTED;
    }
    if (!ndis_text_get(DriverInstance, name, sizeof(name)) ||
        ndis_adapter_find(miniport->head.house, name)) {
        log_error("NdisIMInitializeDeviceInstanceEx: the name is no name, or in use");
        return NDIS_STATUS_NOT_ACCEPTED;
    }
    adapter = ndis_adapter_create(miniport, name);
    if (!adapter)
        return NDIS_STATUS_RESOURCES;
    if (ndis_plan_apply(adapter)) {
        ndis_adapter_remove(adapter, NdisHaltDeviceInitializationFailed);
        return NDIS_STATUS_RESOURCES;
    }
    adapter->below = binding;
    adapter->im_context = DeviceContext;
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
NdisIMCancelInitializeDeviceInstance(NDIS_HANDLE DriverHandle, PNDIS_STRING DeviceInstance)
{
    struct ndis_miniport *miniport = im_of(DriverHandle, "NdisIMCancelInitializeDeviceInstance");
    struct ndis_adapter *adapter;
    char name[NDIS_NAME_SIZE];

    if (!ndis_given(DeviceInstance, "NdisIMCancelInitializeDeviceInstance"))
        return NDIS_STATUS_INVALID_PARAMETER;
    ndis_at_most(PASSIVE_LEVEL, "NdisIMCancelInitializeDeviceInstance");
    if (!miniport || !ndis_text_get(DeviceInstance, name, sizeof(name)))
        return NDIS_STATUS_INVALID_PARAMETER;
    adapter = ndis_adapter_find(miniport->head.house, name);
    if (!adapter || adapter->miniport != miniport || adapter->state != NDIS_ADAPTER_HALTED)
        return NDIS_STATUS_FAILURE;
    ndis_adapter_remove(adapter, NdisHaltDeviceInstanceDeInitialized);
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
NdisIMDeInitializeDeviceInstance(NDIS_HANDLE NdisMiniportHandle)
{
    struct ndis_adapter *adapter = ndis_adapter_of(NdisMiniportHandle,
                                                   "NdisIMDeInitializeDeviceInstance");

    ndis_at_most(PASSIVE_LEVEL, "NdisIMDeInitializeDeviceInstance");
    if (!adapter)
        return NDIS_STATUS_INVALID_PARAMETER;
    if (!adapter->below)
        return NDIS_STATUS_FAILURE;
    ndis_adapter_remove(adapter, NdisHaltDeviceInstanceDeInitialized);
    return NDIS_STATUS_SUCCESS;
}

NDIS_HANDLE
NdisIMGetBindingContext(NDIS_HANDLE NdisBindingHandle)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle, "NdisIMGetBindingContext");

    ndis_at_most(APC_LEVEL, "NdisIMGetBindingContext");
    return binding ? binding->adapter->im_context : NULL;
}
