/*
 * Observers on the landings. They are a list of the house; the test whether there is any is the one
 * branch that a crossing pays (ndis_observed), and everything an observer is told is put together
 * behind it.
 */
#include "ndis/landing.h"

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

struct crossing
ndis_crossing(enum crossing_op op, struct ndis_binding *binding, bool up)
{
    struct ndis_adapter *adapter = binding->adapter;
    const char *above = binding->protocol->driver->name;
    const char *below = adapter->miniport->driver->name;

    return (struct crossing){.op = op,
                             .up = up,
                             .from = up ? below : above,
                             .to = up ? above : below,
                             .adapter = adapter->name,
                             .from_handle = up ? (void *)adapter : (void *)binding,
                             .to_context = up ? binding->context : adapter->context};
}

struct crossing
ndis_crossing_refused(enum crossing_op op, struct ndis_binding *binding)
{
    struct crossing crossing = ndis_crossing(op, binding, true);

    crossing.from = "ndis";
    crossing.from_handle = NULL;
    return crossing;
}
