/*
 * The fan: the open bindings of an adapter, for indications from any thread. An array that only
 * grows: a slot is filled and emptied by the loop's thread, a wider array takes the place of one
 * that is full, and the old one stays as a grave for whoever is still reading it. A binding that an
 * indication holds is waited for before it closes.
 */
#include "ndis/objects.h"

#include <stdlib.h>

static struct ndis_fan *
fan_create(struct ndis_adapter *adapter, const struct ndis_fan *old)
{
    size_t room = old ? 2 * old->room : 4;
    struct ndis_fan *fan = calloc(1, sizeof(*fan) + room * sizeof(fan->bindings[0]));

    if (!fan)
        return NULL;
    ndis_head_init(&fan->head, NDIS_MAGIC_GRAVE, adapter->head.house);
    fan->room = room;
    for (size_t i = 0; old && i < old->room; i++)
        fan->bindings[i] = old->bindings[i];
    return fan;
}

bool
ndis_fan_add(struct ndis_binding *binding)
{
    struct ndis_adapter *adapter = binding->adapter;
    struct ndis_fan *fan = adapter->fan, *wider;

    for (size_t i = 0; fan && i < fan->room; i++)
        if (!fan->bindings[i]) {
            fan->bindings[i] = binding;
            return true;
        }
    wider = fan_create(adapter, fan);
    if (!wider)
        return false;
    wider->bindings[fan ? fan->room : 0] = binding;
    adapter->fan = wider;
    if (fan)
        ndis_bury(&fan->head);
    return true;
}

void
ndis_fan_remove(struct ndis_binding *binding)
{
    struct ndis_fan *fan = binding->adapter->fan;

    for (size_t i = 0; i < fan->room; i++)
        if (fan->bindings[i] == binding)
            fan->bindings[i] = NULL;
}

bool
ndis_binding_known(struct house *house, const struct ndis_binding *binding)
{
    bool known = false;

    sys_lock_take(&house->lock);
    list_for_each(other, &house->bindings, struct ndis_binding, known)
        known |= other == binding;
    sys_lock_give(&house->lock);
    return known;
}

struct ndis_binding *
ndis_binding_hold(struct ndis_adapter *adapter, size_t *at, bool running)
{
    struct ndis_fan *fan = adapter->fan;

    while (fan && *at < fan->room) {
        struct ndis_binding *binding = fan->bindings[(*at)++];

        if (!binding)
            continue;
        binding->indications++;
        if (running ? binding->state == NDIS_BINDING_RUNNING : binding->open)
            return binding;
        ndis_binding_release(binding);
    }
    return NULL;
}

void
ndis_binding_release(struct ndis_binding *binding)
{
    struct house *house = binding->head.house;

    binding->indications--;
    ndis_ring(house);
}
