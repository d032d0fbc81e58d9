/*
 * Observers on the landings. They are a list of the house; the test whether there is any is the one
 * branch that a crossing pays (ndis_observed), and everything an observer is told is put together
 * behind it.
 */
#include "ndis/landing.h"

#include "base/log.h"
#include "sys/irql.h"

#include <stdarg.h>
#include <stdio.h>

#define CROSSING_NAME(name) [CROSSING_##name] = #name,
static const char *const names[CROSSING_COUNT] = {CHIMNEY_CROSSINGS(CROSSING_NAME)};

const char *
crossing_name(enum crossing_op op)
{
    return (unsigned)op < CROSSING_COUNT ? names[op] : "?";
}

void
house_attach_observer(struct house *house, struct observer *observer)
{
    struct observer **end = &house->observers;

    while (*end && *end != observer)
        end = &(*end)->next;
    if (!*end)
        observer->next = NULL;
    *end = observer;
}

void
house_detach_observer(struct house *house, struct observer *observer)
{
    for (struct observer **at = &house->observers; *at; at = &(*at)->next)
        if (*at == observer) {
            *at = observer->next;
            observer->next = NULL;
            return;
        }
}

void
ndis_observe(struct house *house, struct crossing *crossing)
{
    crossing->now_us = sys_loop_now_us(house->loop);
    crossing->irql = sys_irql();
    crossing->locks = sys_irql_now.locks;
    for (struct observer *observer = house->observers; observer; observer = observer->next)
        if (observer->on_crossing)
            observer->on_crossing(observer->arg, crossing);
}

void
ndis_observe_state(struct house *house, const char *object, const char *name, const char *from,
                   const char *to, const char *why)
{
    for (struct observer *observer = house->observers; observer; observer = observer->next)
        if (observer->on_state)
            observer->on_state(observer->arg, object, name, from, to, why);
}

enum crossing_veto
ndis_observe_before(struct house *house, struct crossing *crossing)
{
    ndis_observe(house, crossing);
    if (NDIS_UNLIKELY(crossing->veto != CROSSING_GO))
        crossing->refused = true;
    return crossing->veto;
}

void
ndis_observe_after(struct house *house, struct crossing *crossing, NDIS_STATUS status)
{
    crossing->after = true;
    crossing->nbls = NULL;
    crossing->data = NULL;
    crossing->status = status;
    ndis_observe(house, crossing);
}

static void __attribute__((format(printf, 5, 0)))
breach(struct house *house, unsigned rule, const char *driver, const void *object,
       const char *format, va_list arguments)
{
    char what[256], id[16] = "";

    vsnprintf(what, sizeof(what), format, arguments);
    if (rule)
        snprintf(id, sizeof(id), " (V-%03u)", rule);
    log_error("%s%s", what, id);
    if (!house)
        return;
    for (struct observer *observer = house->observers; observer; observer = observer->next)
        if (observer->on_breach)
            observer->on_breach(observer->arg, rule, driver ? driver : "?", object, what);
}

void
ndis_breach(struct house *house, unsigned rule, const char *driver, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    breach(house, rule, driver, NULL, format, arguments);
    va_end(arguments);
}

void
ndis_breach_of(struct house *house, unsigned rule, const char *driver, const void *object,
               const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    breach(house, rule, driver, object, format, arguments);
    va_end(arguments);
}

void
ndis_tell_null(const char *call)
{
    ndis_breach(ndis_house_current(), 0, NULL, "%s: what it is about is NULL", call);
}

void
ndis_breach_null(struct house *house, const struct ndis_driver *driver, const char *call)
{
    ndis_breach(house, 0, driver->name, "%s: what it is about is NULL", call);
}

/* ---- what a crossing says about its two sides ---- */

static struct crossing
crossing_of(enum crossing_op op, struct ndis_adapter *adapter, const char *from, const char *to)
{
    return (struct crossing){.op = op,
                             .from = from,
                             .to = to,
                             .adapter = adapter->name,
                             .miniport = adapter,
                             .lower_binding = adapter->below,
                             .im_below = adapter->miniport->handlers.Flags &
                                         NDIS_INTERMEDIATE_DRIVER};
}

struct crossing
ndis_crossing(enum crossing_op op, struct ndis_binding *binding, bool up)
{
    struct ndis_adapter *adapter = binding->adapter;
    const char *above = binding->protocol->driver->name;
    const char *below = adapter->miniport->driver->name;
    struct crossing crossing = crossing_of(op, adapter, up ? below : above, up ? above : below);

    crossing.up = up;
    crossing.im_above = binding->protocol->driver->miniport != NULL;
    crossing.binding = binding;
    crossing.to_context = up ? binding->context : adapter->context;
    return crossing;
}

struct crossing
ndis_crossing_unknown(enum crossing_op op, struct ndis_adapter *adapter)
{
    struct crossing crossing = crossing_of(op, adapter, adapter->miniport->driver->name, "?");

    crossing.up = true;
    return crossing;
}

struct crossing
ndis_crossing_up(enum crossing_op op, struct ndis_binding *binding)
{
    struct crossing crossing = ndis_crossing(op, binding, true);

    crossing.from = "ndis";
    return crossing;
}

struct crossing
ndis_crossing_down(enum crossing_op op, struct ndis_adapter *adapter)
{
    struct crossing crossing = crossing_of(op, adapter, "ndis", adapter->miniport->driver->name);

    crossing.to_context = adapter->context;
    return crossing;
}

struct crossing
ndis_crossing_service(enum crossing_op op, struct ndis_driver *driver, struct ndis_adapter *adapter)
{
    const char *from = driver ? driver->name : "?";
    struct crossing crossing = {.op = op, .from = from, .to = "ndis"};

    if (adapter)
        crossing = crossing_of(op, adapter, from, "ndis");
    return crossing;
}
