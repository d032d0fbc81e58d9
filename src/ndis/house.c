/*
 * The house (chimney/house.h): loads drivers, adds adapters, binds, and takes everything down
 * again, floors before what they stand on and drivers last. A driver's entry has no handle that
 * could tell which house it is in, so the house that was used last is remembered (objects.c).
 *
 * A driver from a file leaves last of all: its code goes when its bindings, adapters,
 * registrations, timers and work items are gone, so that nothing is left that could call it.
 *
 * Threads: one, the loop's. A driver's threads are out of NDIS when its halt or unload returns; by
 * then nobody else looks at graves.
 */
#include "ndis/landing.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- waiting ---- */

static void
time_is_over(void *arg)
{
    *(bool *)arg = true;
}

bool
ndis_wait(struct house *house, bool (*done)(void *arg), void *arg, uint64_t timeout_us)
{
    struct sys_timer timer;
    bool over = false;

    if (done(arg))
        return true;
    if (sys_timer_init(&timer, house->loop, time_is_over, &over))
        return false;
    sys_timer_set(&timer, sys_loop_now_us(house->loop) + timeout_us);
    house->waiting++; /* before looking: whoever changes something looks after that (ndis_ring) */
    while (!done(arg) && !over)
        sys_loop_turn(house->loop, true);
    house->waiting--;
    sys_timer_fini(&timer);
    return done(arg);
}

static void
rung(void *arg)
{
}

/* ---- the house itself ---- */

int
house_create(struct sys_loop *loop, struct house **out)
{
    struct house *house = calloc(1, sizeof(*house));

    if (!house)
        return -ENOMEM;
    house->loop = loop;
    list_init(&house->drivers);
    list_init(&house->adapters);
    list_init(&house->pools);
    list_init(&house->graves);
    list_init(&house->bindings);
    ndis_callbacks_init(house);
    list_init(&house->wishes);
    list_init(&house->plans);
    sys_task_init(&house->ring, rung, NULL);
    ndis_house_enter(house);
    *out = house;
    return 0;
}

struct sys_loop *
house_loop(const struct house *house)
{
    return house->loop;
}

/* One that stands on its device, as long as there is one: what stands on it goes with it. */
static struct ndis_adapter *
bottom_adapter(struct house *house)
{
    list_for_each(adapter, &house->adapters, struct ndis_adapter, link)
        if (!adapter->below)
            return adapter;
    return list_first(&house->adapters, struct ndis_adapter, link);
}

static void
graves_free(struct house *house)
{
    list_for_each_safe(head, &house->graves, struct ndis_head, grave) {
        list_del(&head->grave);
        free(head); /* the first member of whatever it was */
    }
}

static void driver_unload(struct ndis_driver *driver);

void
house_destroy(struct house *house)
{
    if (!house)
        return;
    ndis_house_enter(house);
    while (!list_empty(&house->adapters))
        ndis_adapter_remove(bottom_adapter(house), NdisHaltDeviceStopped);
    while (!list_empty(&house->drivers))
        driver_unload(container_of(house->drivers.prev, struct ndis_driver, link));
    ndis_wish_forget(house, NULL, NULL);
    ndis_plans_fini(house);
    ndis_callbacks_sweep(house, NULL, "a driver");
    ndis_clones_fini(house);
    ndis_pools_fini(house);
    ndis_callbacks_fini(house);
    graves_free(house);
    ndis_objects_fini(house);
    sys_task_cancel(&house->ring);
    ndis_house_leave(house);
    free(house);
}

/* ---- drivers ---- */

struct ndis_driver *
ndis_driver_find(struct house *house, const char *name)
{
    list_for_each(driver, &house->drivers, struct ndis_driver, link)
        if (!strcmp(driver->name, name))
            return driver;
    return NULL;
}

static int
driver_check_name(struct house *house, const char *name)
{
    size_t length = strlen(name);

    if (!length || length >= NDIS_NAME_SIZE)
        return -EINVAL;
    return ndis_driver_find(house, name) ? -EEXIST : 0;
}

/* The last step: its code may leave the process. */
static void
driver_bury(struct ndis_driver *driver)
{
    ndis_driver_sweep(driver);
    ndis_keys_fini(&driver->keys);
    if (driver->module) {
        ndis_callbacks_sweep(driver->head.house, driver->module, driver->name);
        sys_module_close(driver->module);
        driver->module = NULL;
    }
    list_del(&driver->link);
    ndis_bury(&driver->head);
}

/* Owner: module is the driver's, also when it does not load. */
static int
driver_load(struct house *house, const char *name, house_driver_entry entry, void *context,
            struct sys_module *module)
{
    struct ndis_driver *driver = calloc(1, sizeof(*driver));
    struct ndis_text path;
    NDIS_STATUS status;

    if (!driver) {
        if (module)
            sys_module_close(module);
        return -ENOMEM;
    }
    ndis_head_init(&driver->head, NDIS_MAGIC_DRIVER, house);
    memcpy(driver->name, name, strlen(name));
    ndis_keys_init(&driver->keys);
    driver->object.DriverExtension = context;
    driver->module = module;
    list_add_tail(&house->drivers, &driver->link);
    ndis_house_enter(house);
    house->loading = driver;
    status = entry(&driver->object, ndis_text_set(&path, name));
    house->loading = NULL;
    if (status == NDIS_STATUS_SUCCESS)
        return 0;
    log_error("driver %s does not load: 0x%08x", name, (unsigned)status);
    driver_bury(driver);
    return -EIO;
}

int
house_load(struct house *house, const char *name, house_driver_entry entry, void *context)
{
    int error = driver_check_name(house, name);

    return error ? error : driver_load(house, name, entry, context, NULL);
}

/* A second DriverEntry would find the first one's variables. */
static const struct ndis_driver *
driver_of_module(struct house *house, const struct sys_module *module)
{
    list_for_each(driver, &house->drivers, struct ndis_driver, link)
        if (driver->module && sys_module_same(driver->module, module))
            return driver;
    return NULL;
}

int
house_load_file(struct house *house, const char *name, const char *path)
{
    int error = driver_check_name(house, name);
    const struct ndis_driver *twin;
    struct sys_module *module;
    house_driver_entry entry;
    char why[1024];

    if (error)
        return error;
    error = sys_module_open(path, &module, why, sizeof(why));
    if (error) {
        log_error("driver %s: %s: %s", name, path, why);
        return error;
    }
    twin = driver_of_module(house, module);
    entry = (house_driver_entry)sys_module_function(module, "DriverEntry");
    if (!twin && entry)
        return driver_load(house, name, entry, NULL, module);
    if (twin)
        log_error("driver %s: %s is loaded already, as %s", name, path, twin->name);
    else
        log_error("driver %s: %s exports no function DriverEntry", name, path);
    sys_module_close(module);
    return twin ? -EEXIST : -ENOEXEC;
}

static void
driver_unload(struct ndis_driver *driver)
{
    struct ndis_binding *binding;
    struct ndis_adapter *adapter;

    while (driver->protocol && (binding = ndis_binding_any(driver->protocol)) != NULL)
        ndis_binding_unbind(binding);
    while (driver->miniport && (adapter = ndis_adapter_any(driver->miniport)) != NULL)
        ndis_adapter_remove(adapter, NdisHaltDeviceDisabled);
    if (driver->object.DriverUnload)
        driver->object.DriverUnload(&driver->object);
    driver_bury(driver);
}

int
house_unload(struct house *house, const char *name)
{
    struct ndis_driver *driver = ndis_driver_find(house, name);

    if (!driver)
        return -ENOENT;
    ndis_house_enter(house);
    ndis_wish_forget(house, name, NULL);
    driver_unload(driver);
    return 0;
}

/* ---- adapters and bindings ---- */

int
house_add_adapter(struct house *house, const char *driver, const char *adapter, void *device,
                  const struct house_option *options)
{
    struct ndis_driver *found = ndis_driver_find(house, driver);
    struct ndis_adapter *added;
    int error;

    if (!found)
        return -ENOENT;
    if (!found->miniport || found->miniport->handlers.Flags & NDIS_INTERMEDIATE_DRIVER)
        return -EINVAL; /* virtual adapters come from binds */
    if (ndis_adapter_find(house, adapter))
        return -EEXIST;
    added = ndis_adapter_create(found->miniport, adapter);
    if (!added)
        return -EINVAL;
    ndis_house_enter(house);
    added->device = device;
    error = ndis_keys_set_all(&added->keys, options);
    if (!error)
        error = ndis_adapter_start(added);
    if (error)
        ndis_adapter_remove(added, NdisHaltDeviceInitializationFailed);
    return error;
}

int
house_remove_adapter(struct house *house, const char *adapter)
{
    struct ndis_adapter *found = ndis_adapter_find(house, adapter);

    if (!found)
        return -ENOENT;
    ndis_house_enter(house);
    ndis_wish_forget_above(found, NULL);
    ndis_wish_forget(house, NULL, adapter);
    ndis_adapter_remove(found, NdisHaltDeviceDisabled);
    return 0;
}

int
house_bind(struct house *house, const char *protocol, const char *adapter, const char *section)
{
    struct ndis_driver *driver = ndis_driver_find(house, protocol);
    struct ndis_adapter *found = ndis_adapter_find(house, adapter);
    int error;

    if (!driver || !driver->protocol || !found)
        return -ENOENT;
    if (found->state != NDIS_ADAPTER_RUNNING)
        return -ENETDOWN;
    if (ndis_binding_find(protocol, found))
        return -EEXIST;
    if (section && strlen(section) >= NDIS_NAME_SIZE)
        return -EINVAL;
    ndis_house_enter(house);
    error = ndis_wish_remember(house, protocol, adapter, section);
    return error ? error : ndis_binding_bind(driver->protocol, found, section);
}

int
house_unbind(struct house *house, const char *protocol, const char *adapter)
{
    struct ndis_adapter *found = ndis_adapter_find(house, adapter);
    struct ndis_binding *binding = found ? ndis_binding_find(protocol, found) : NULL;

    ndis_wish_forget(house, protocol, adapter);
    if (!binding)
        return -ENOENT;
    ndis_house_enter(house);
    ndis_wish_forget_above(found, protocol);
    ndis_binding_unbind(binding);
    return 0;
}

/* ---- walking ---- */

static void
join_protocols(const struct ndis_adapter *adapter, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    list_for_each(binding, &adapter->bindings, struct ndis_binding, link) {
        int more = snprintf(text + used, size - used, "%s%s", used ? "," : "",
                            binding->protocol->driver->name);

        if (more < 0 || (size_t)more >= size - used)
            return;
        used += (size_t)more;
    }
}

/* Of a target; what stands above repeats its capabilities. */
static const char *
congestion_of(struct ndis_adapter *adapter)
{
    NDIS_TCP_CONNECTION_OFFLOAD can;

    if (adapter->below || !ndis_adapter_capabilities(adapter, &can))
        return NULL;
    switch (can.CongestionAlgorithm) {
    case NDIS_TCP_CONGESTION_NEWRENO:
        return "NewReno";
    case NDIS_TCP_CONGESTION_CUBIC:
        return "CUBIC";
    default:
        return NULL;
    }
}

static void
show_floor(struct ndis_adapter *adapter, void (*fn)(void *arg, const struct house_floor *floor),
           void *arg)
{
    char protocols[4 * NDIS_NAME_SIZE];
    struct house_floor floor = {
        .adapter = adapter->name,
        .driver = adapter->miniport->driver->name,
        .state = ndis_adapter_state_name(adapter->state),
        .below = adapter->below ? adapter->below->adapter->name : NULL,
        .device = adapter->below ? NULL : adapter->device,
        .protocols = protocols,
        .congestion = congestion_of(adapter),
        .chimney = ndis_adapter_chimney(adapter),
        .paused = adapter->offload_paused,
        .offloaded = adapter->objects,
    };

    join_protocols(adapter, protocols, sizeof(protocols));
    fn(arg, &floor);
}

static bool
is_top(struct house *house, const struct ndis_adapter *adapter)
{
    list_for_each(other, &house->adapters, struct ndis_adapter, link)
        if (other->below && other->below->adapter == adapter)
            return false;
    return true;
}

void
house_walk(struct house *house, void (*fn)(void *arg, const struct house_floor *floor), void *arg)
{
    list_for_each(top, &house->adapters, struct ndis_adapter, link) {
        if (!is_top(house, top))
            continue;
        struct ndis_adapter *adapter = top;
        do {
            show_floor(adapter, fn, arg);
            adapter = adapter->below ? adapter->below->adapter : NULL;
        } while (adapter);
    }
}
