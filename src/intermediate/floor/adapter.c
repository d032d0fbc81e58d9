/*
 * The upper edge: a virtual miniport that looks like the adapter below. Its attributes are those
 * the bind parameters showed, its chimney is there when the one below is. A pause waits for the
 * frames of the regular path in both directions (V-183); NDIS sees to it that no offload is left by
 * then (P33).
 */
#include "base/log.h"
#include "intermediate/floor/floor.h"

static NDIS_STATUS
set_attributes(struct floor_adapter *adapter, NDIS_HANDLE handle)
{
    NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES registration = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_1, sizeof(registration)},
        .MiniportAdapterContext = adapter,
    };
    NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES offload = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1, sizeof(offload)},
        .DefaultTcpConnectionOffloadConfiguration = &adapter->capabilities,
        .TcpConnectionOffloadHardwareCapabilities = &adapter->capabilities,
    };
    NDIS_STATUS status;

    /* V-189: in this order. */
    status = NdisMSetMiniportAttributes(handle, (PVOID)&registration);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    status = NdisMSetMiniportAttributes(handle, (PVOID)&adapter->general);
    if (status != NDIS_STATUS_SUCCESS || !adapter->has_chimney)
        return status;
    return NdisMSetMiniportAttributes(handle, (PVOID)&offload);
}

static NDIS_STATUS
get_handlers(struct floor_adapter *adapter, NDIS_HANDLE handle)
{
    PNDIS_OFFLOAD_EVENT_HANDLERS handlers;
    NDIS_STATUS status = NdisMGetOffloadHandlers(handle, NdisTcpChimneyOffload, &handlers);

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    if (handlers->Header.Size < sizeof(adapter->events))
        return NDIS_STATUS_BAD_VERSION;
    /* V-006 */
    NdisMoveMemory(&adapter->events, handlers, sizeof(adapter->events));
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
FloorInitializeEx(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
                  PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters)
{
    struct floor_adapter *adapter = MiniportInitParameters->IMDeviceInstanceContext;
    const struct floor_kind *kind = adapter->driver->kind;
    NDIS_STATUS status;

    status = kind->open ? kind->open(adapter, NdisMiniportHandle) : NDIS_STATUS_SUCCESS;
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    status = set_attributes(adapter, NdisMiniportHandle);
    if (status == NDIS_STATUS_SUCCESS && adapter->has_chimney)
        status = get_handlers(adapter, NdisMiniportHandle);
    if (status != NDIS_STATUS_SUCCESS) {
        if (kind->close)
            kind->close(adapter);
        return status;
    }
    NdisResetEvent(&adapter->halted);
    adapter->upper = NdisMiniportHandle;
    floor_set_state(adapter, FLOOR_STANDING, "initialized");
    return NDIS_STATUS_SUCCESS;
}

VOID
FloorHaltEx(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
    struct floor_adapter *adapter = MiniportAdapterContext;

    if (adapter->driver->kind->close)
        adapter->driver->kind->close(adapter);
    adapter->upper = NULL;
    floor_set_state(adapter, FLOOR_WAITING, "halted");
    NdisSetEvent(&adapter->halted);
}

NDIS_STATUS
FloorPause(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    struct floor_adapter *adapter = MiniportAdapterContext;

    adapter->upper_running = false;
    if (adapter->frames_down == 0 && adapter->frames_up == 0)
        return NDIS_STATUS_SUCCESS;
    adapter->upper_pausing = true;
    return NDIS_STATUS_PENDING;
}

NDIS_STATUS
FloorRestart(NDIS_HANDLE MiniportAdapterContext,
             PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    struct floor_adapter *adapter = MiniportAdapterContext;

    adapter->upper_running = true;
    /* Whoever binds now has not heard of it. */
    if (adapter->stopped_below)
        floor_indicate(adapter, NDIS_STATUS_OFFLOAD_PAUSE);
    return NDIS_STATUS_SUCCESS;
}

/* A virtual adapter has no device of its own. */
VOID
FloorDevicePnPEventNotify(NDIS_HANDLE MiniportAdapterContext,
                          PNET_DEVICE_PNP_EVENT NetDevicePnPEvent)
{
}

VOID
FloorShutdownEx(NDIS_HANDLE MiniportAdapterContext, NDIS_SHUTDOWN_ACTION ShutdownAction)
{
}
