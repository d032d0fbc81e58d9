/*
 * Power of an adapter that stands on its device; what stands on that adapter goes with it.
 *
 * Away from D0: from now on neither an initiate nor a frame goes down (P14), and the bindings hear
 * NetEventSetPower, which drivers in between pass on, so that the host stacks take everything back.
 * Then the miniport gets OID_PNP_SET_POWER and holds it until the last terminate is complete. If it
 * does not give its power away, everything is as it was. Back: first the request, then the events.
 * Source: G:power-management-for-offload-targets; V-156, V-157.
 */
#include "ndis/landing.h"

#include "base/log.h"

#include <errno.h>

static bool
answered(void *arg)
{
    return ((struct ndis_adapter *)arg)->power_answered;
}

static void
tell(struct ndis_adapter *adapter, NDIS_DEVICE_POWER_STATE state)
{
    NET_PNP_EVENT_NOTIFICATION event = {
        .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                   .Revision = NET_PNP_EVENT_NOTIFICATION_REVISION_1,
                   .Size = sizeof(event)},
        .NetPnPEvent = {.NetEvent = NetEventSetPower,
                        .Buffer = &state,
                        .BufferLength = sizeof(state)},
    };

    list_for_each_safe(binding, &adapter->bindings, struct ndis_binding, link)
        ndis_binding_event(binding, &event, "power event");
}

/* The drivers on top whose objects are still there; false: none. */
static bool
blame_hosts(const struct ndis_adapter *adapter)
{
    bool blamed = false;

    list_for_each(binding, &adapter->bindings, struct ndis_binding, link) {
        const char *driver = binding->protocol->driver->name;
        bool above = false;

        if (!binding->object_count)
            continue;
        blamed = true;
        list_for_each(virtual, &binding->head.house->adapters, struct ndis_adapter, link)
            if (virtual->below == binding)
                above |= blame_hosts(virtual);
        if (!above)
            ndis_breach(binding->head.house, 157, driver,
                        "driver %s left %llu objects offloaded over %s, which loses its power",
                        driver, (unsigned long long)binding->object_count, adapter->name);
    }
    return blamed;
}

static NDIS_STATUS
ask(struct ndis_adapter *adapter, NDIS_DEVICE_POWER_STATE state)
{
    adapter->power_wanted = state;
    ndis_oid_power(adapter);
    if (ndis_wait(adapter->head.house, answered, adapter, NDIS_PATIENCE_US))
        return adapter->power_answer;
    if (state != NdisDeviceStateD0 && blame_hosts(adapter)) /* the miniport holds it for them */
        return NDIS_STATUS_FAILURE;
    ndis_breach(adapter->head.house, 187, adapter->miniport->driver->name,
                "adapter %s does not complete OID_PNP_SET_POWER, %llu objects are offloaded",
                adapter->name, (unsigned long long)adapter->objects);
    return NDIS_STATUS_FAILURE;
}

static int
power_off(struct ndis_adapter *adapter, NDIS_DEVICE_POWER_STATE state)
{
    NDIS_STATUS status;

    adapter->low_power = true;
    tell(adapter, state);
    status = ask(adapter, state);
    if (status == NDIS_STATUS_SUCCESS)
        return 0;
    log_error("adapter %s keeps its power: 0x%08x", adapter->name, (unsigned)status);
    adapter->low_power = false;
    tell(adapter, NdisDeviceStateD0);
    return -EIO;
}

static int
power_on(struct ndis_adapter *adapter)
{
    NDIS_STATUS status = ask(adapter, NdisDeviceStateD0);

    if (status != NDIS_STATUS_SUCCESS) {
        log_error("adapter %s does not come back to power: 0x%08x", adapter->name,
                  (unsigned)status);
        return -EIO;
    }
    adapter->low_power = false;
    tell(adapter, NdisDeviceStateD0);
    return 0;
}

int
house_set_power(struct house *house, const char *adapter, NDIS_DEVICE_POWER_STATE state)
{
    struct ndis_adapter *found = ndis_adapter_find(house, adapter);
    bool on = state == NdisDeviceStateD0;

    if (!found)
        return -ENOENT;
    if (found->below || state <= NdisDeviceStateUnspecified || state >= NdisDeviceStateMaximum)
        return -EINVAL;
    if (!ndis_adapter_up(found) || !answered(found)) /* it has not answered the last one */
        return -EBUSY;
    ndis_house_enter(house);
    if (on != found->low_power)
        return 0;
    log_info("adapter %s: power state D%d", found->name, (int)state - NdisDeviceStateD0);
    return on ? power_on(found) : power_off(found, state);
}
