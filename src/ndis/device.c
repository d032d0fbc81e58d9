/*
 * What happens to a device rather than over it: it hangs and is reset, it is pulled out, the
 * machine goes down.
 *
 * A reset is the miniport's affair: NDIS says to the bindings that one begins and ends,
 * holds requests back meanwhile, and sets the packet filter again if the miniport asks for that.
 *
 * Threads: all of it is the loop's, but for the completion of a reset.
 */
#include "ndis/landing.h"

#include "base/log.h"

#include <errno.h>

#define HANG_SECONDS 2 /* of a driver that does not say; OURS */

/* ---- hang and reset ---- */

/* The one that ended it. */
static void
reset_over(struct ndis_adapter *adapter, NDIS_STATUS status, BOOLEAN addressing)
{
    log_warn("adapter %s: reset ended with 0x%08x", adapter->name, (unsigned)status);
    ndis_status_tell(adapter, NDIS_STATUS_RESET_END);
    if (addressing && status == NDIS_STATUS_SUCCESS)
        ndis_oid_restore(adapter);
    sys_loop_post(adapter->head.house->loop, &adapter->oid_task);
}

static void
reset(struct ndis_adapter *adapter)
{
    struct ndis_level level;
    BOOLEAN addressing = FALSE;
    NDIS_STATUS status;

    if (adapter->resetting)
        return;
    if (!adapter->miniport->handlers.ResetHandlerEx) {
        log_error("adapter %s hangs, and its driver cannot reset it", adapter->name);
        return;
    }
    log_warn("adapter %s hangs, it is reset", adapter->name);
    adapter->resetting = true;
    ndis_status_tell(adapter, NDIS_STATUS_RESET_START);
    level = ndis_level_enter(DISPATCH_LEVEL);
    status = adapter->miniport->handlers.ResetHandlerEx(adapter->context, &addressing);
    ndis_level_leave(&level, "reset handler");
    if (status != NDIS_STATUS_PENDING && atomic_exchange(&adapter->resetting, false))
        reset_over(adapter, status, addressing);
}

VOID
NdisMResetComplete(NDIS_HANDLE MiniportAdapterHandle, NDIS_STATUS Status, BOOLEAN AddressingReset)
{
    struct ndis_adapter *adapter = ndis_adapter_of(MiniportAdapterHandle, "NdisMResetComplete");

    if (sys_irql() != DISPATCH_LEVEL)
        log_error("NdisMResetComplete: called at IRQL %u, it is for %u", sys_irql(),
                  DISPATCH_LEVEL);
    if (!adapter)
        return;
    if (!atomic_exchange(&adapter->resetting, false)) {
        ndis_breach(adapter->head.house, 187, adapter->miniport->driver->name,
                    "NdisMResetComplete: no reset of adapter %s is in progress", adapter->name);
        return;
    }
    reset_over(adapter, Status, AddressingReset);
}

static void
hang_set(struct ndis_adapter *adapter)
{
    uint64_t seconds = adapter->hang_seconds ? adapter->hang_seconds : HANG_SECONDS;

    sys_timer_set(&adapter->hang_timer,
                  sys_loop_now_us(adapter->head.house->loop) + seconds * 1000 * 1000);
}

static void
hang_due(void *arg)
{
    struct ndis_adapter *adapter = arg;
    struct ndis_level level = ndis_level_enter(PASSIVE_LEVEL);
    bool hangs = adapter->miniport->handlers.CheckForHangHandlerEx(adapter->context);

    ndis_level_leave(&level, "check for hang");
    hang_set(adapter);
    if (hangs)
        reset(adapter);
}

int
ndis_device_init(struct ndis_adapter *adapter)
{
    return sys_timer_init(&adapter->hang_timer, adapter->head.house->loop, hang_due, adapter);
}

void
ndis_device_watch(struct ndis_adapter *adapter)
{
    if (adapter->miniport->handlers.CheckForHangHandlerEx)
        hang_set(adapter);
}

void
ndis_device_unwatch(struct ndis_adapter *adapter)
{
    sys_timer_set(&adapter->hang_timer, SYS_NEVER);
    if (adapter->resetting)
        log_error("adapter %s is halted in the middle of a reset", adapter->name);
    adapter->resetting = false;
}

void
ndis_device_fini(struct ndis_adapter *adapter)
{
    sys_timer_fini(&adapter->hang_timer);
    sys_task_cancel(&adapter->oid_task);
}

/* ---- pulled out, powered off ---- */

int
house_surprise_remove_adapter(struct house *house, const char *adapter)
{
    struct ndis_adapter *found = ndis_adapter_find(house, adapter);
    NET_DEVICE_PNP_EVENT event = {
        .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                   .Revision = NET_DEVICE_PNP_EVENT_REVISION_1,
                   .Size = sizeof(event)},
        .DevicePnPEvent = NdisDevicePnPEventSurpriseRemoved,
    };

    if (!found)
        return -ENOENT;
    ndis_house_enter(house);
    if (ndis_adapter_up(found))
        found->miniport->handlers.DevicePnPEventNotifyHandler(found->context, &event);
    ndis_wish_forget_above(found, NULL);
    ndis_wish_forget(house, NULL, adapter);
    ndis_adapter_remove(found, NdisHaltDeviceSurpriseRemoved);
    return 0;
}

void
house_shutdown(struct house *house, bool crash)
{
    struct ndis_level level = ndis_level_enter(crash ? HIGH_LEVEL : PASSIVE_LEVEL);

    ndis_house_enter(house);
    list_for_each(adapter, &house->adapters, struct ndis_adapter, link)
        if (ndis_adapter_up(adapter))
            adapter->miniport->handlers.ShutdownHandlerEx(
                adapter->context, crash ? NdisShutdownBugCheck : NdisShutdownPowerOff);
    ndis_level_leave(&level, "shutdown handler");
}
