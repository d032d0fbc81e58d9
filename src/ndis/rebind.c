/*
 * Binds that somebody asked for, and drivers that go and come back by themselves.
 *
 * house_bind leaves a wish behind, which stays when the driver lets go (NdisUnbindAdapter) or does
 * not bind at all, and which NdisReEnumerateProtocolBindings tries to fulfil again; what stood on a
 * virtual adapter that comes back with it, too. Both happen at a later turn of the loop: a driver
 * calls from inside one of its own callbacks, or from a thread of its own.
 */
#include "ndis/landing.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

struct wish {
    struct list link; /* house.wishes, in the order asked for */
    char protocol[NDIS_NAME_SIZE], adapter[NDIS_NAME_SIZE], section[NDIS_NAME_SIZE];
    bool has_section;
    bool tried; /* in the run in progress */
};

static bool
wish_is(const struct wish *wish, const char *protocol, const char *adapter)
{
    return (!protocol || !strcmp(wish->protocol, protocol)) &&
           (!adapter || !strcmp(wish->adapter, adapter));
}

void
ndis_wish_forget(struct house *house, const char *protocol, const char *adapter)
{
    list_for_each_safe(wish, &house->wishes, struct wish, link) {
        if (!wish_is(wish, protocol, adapter))
            continue;
        list_del(&wish->link);
        free(wish);
    }
}

/* The adapter stands on this one, or on a binding of this protocol; NULL: no matter. */
static bool
stands_on(const struct ndis_adapter *adapter, const struct ndis_adapter *below,
          const char *protocol)
{
    for (; adapter && adapter->below; adapter = adapter->below->adapter)
        if ((!below || adapter->below->adapter == below) &&
            (!protocol || !strcmp(adapter->below->protocol->driver->name, protocol)))
            return true;
    return false;
}

void
ndis_wish_forget_above(struct ndis_adapter *adapter, const char *protocol)
{
    list_for_each(above, &adapter->head.house->adapters, struct ndis_adapter, link)
        if (stands_on(above, adapter, protocol))
            ndis_wish_forget(adapter->head.house, NULL, above->name);
}

/* Names are checked by the caller. */
int
ndis_wish_remember(struct house *house, const char *protocol, const char *adapter,
                   const char *section)
{
    struct wish *wish = calloc(1, sizeof(*wish));

    if (!wish)
        return -ENOMEM;
    ndis_wish_forget(house, protocol, adapter);
    memcpy(wish->protocol, protocol, strlen(protocol));
    memcpy(wish->adapter, adapter, strlen(adapter));
    wish->has_section = section != NULL;
    if (section)
        memcpy(wish->section, section, strlen(section));
    list_add_tail(&house->wishes, &wish->link);
    return 0;
}

/* ---- going ---- */

void
ndis_unbind_due(struct ndis_binding *binding)
{
    if (binding->unbind_wanted)
        sys_loop_post(binding->head.house->loop, &binding->unbind);
}

/* In the middle of a bind it is too early: the bind asks again when it is over. */
void
ndis_unbind_run(void *arg)
{
    struct ndis_binding *binding = arg;
    struct ndis_level level;

    if (binding->state != NDIS_BINDING_RUNNING && binding->state != NDIS_BINDING_PAUSED)
        return;
    level = ndis_level_enter(PASSIVE_LEVEL);
    ndis_binding_unbind(binding);
    ndis_level_leave(&level, "unbind");
}

NDIS_STATUS
NdisUnbindAdapter(NDIS_HANDLE NdisBindingHandle)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle, "NdisUnbindAdapter");

    if (!binding)
        return NDIS_STATUS_INVALID_PARAMETER;
    if (binding->state == NDIS_BINDING_CLOSING || atomic_exchange(&binding->unbind_wanted, true)) {
        log_error("NdisUnbindAdapter: %s is leaving %s already", binding->protocol->driver->name,
                  binding->adapter->name);
        return NDIS_STATUS_FAILURE;
    }
    ndis_unbind_due(binding);
    return NDIS_STATUS_SUCCESS;
}

/* ---- coming back ---- */

static bool
can_be_tried(struct house *house, const struct wish *wish, const char *protocol)
{
    struct ndis_driver *driver = ndis_driver_find(house, wish->protocol);
    struct ndis_adapter *adapter = ndis_adapter_find(house, wish->adapter);

    if (wish->tried || !driver || !driver->protocol || !adapter ||
        adapter->state != NDIS_ADAPTER_RUNNING || ndis_binding_find(wish->protocol, adapter))
        return false;
    return wish_is(wish, protocol, NULL) || stands_on(adapter, NULL, protocol);
}

/* Tries one wish; false: there is none left. A bind may change the list, so it is read from its
 * beginning each time. */
static bool
try_one(struct house *house, const char *protocol)
{
    list_for_each(wish, &house->wishes, struct wish, link) {
        if (!can_be_tried(house, wish, protocol))
            continue;
        wish->tried = true;
        ndis_binding_bind(ndis_driver_find(house, wish->protocol)->protocol,
                          ndis_adapter_find(house, wish->adapter),
                          wish->has_section ? wish->section : NULL);
        return true;
    }
    return false;
}

void
ndis_rebind_run(void *arg)
{
    struct ndis_protocol *protocol = arg;
    struct ndis_level level = ndis_level_enter(PASSIVE_LEVEL);
    char name[NDIS_NAME_SIZE];
    struct house *house = protocol->head.house;

    memcpy(name, protocol->driver->name, sizeof(name)); /* the driver may be gone soon */
    list_for_each(wish, &house->wishes, struct wish, link)
        wish->tried = false;
    while (try_one(house, name))
        continue;
    ndis_level_leave(&level, "bind");
}

VOID
NdisReEnumerateProtocolBindings(NDIS_HANDLE NdisProtocolHandle)
{
    struct ndis_protocol *protocol = ndis_checked(NdisProtocolHandle, NDIS_MAGIC_PROTOCOL,
                                                  "NdisReEnumerateProtocolBindings");

    ndis_at_most(PASSIVE_LEVEL, "NdisReEnumerateProtocolBindings");
    if (protocol)
        sys_loop_post(protocol->head.house->loop, &protocol->rebind);
}
