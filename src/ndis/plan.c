/* What was planned for virtual adapters that are not there yet, or come back: their options. */
#include "ndis/objects.h"

#include <errno.h>
#include <stdlib.h>

struct plan {
    struct list link; /* house.plans */
    char adapter[NDIS_NAME_SIZE];
    struct ndis_keys keys;
};

static struct plan *
find(struct house *house, const char *adapter)
{
    list_for_each(plan, &house->plans, struct plan, link)
        if (!strcmp(plan->adapter, adapter))
            return plan;
    return NULL;
}

static void
plan_free(struct plan *plan)
{
    list_del(&plan->link);
    ndis_keys_fini(&plan->keys);
    free(plan);
}

int
house_set_options(struct house *house, const char *adapter, const struct house_option *options)
{
    struct plan *plan = find(house, adapter);
    int error;

    if (!*adapter || strlen(adapter) >= NDIS_NAME_SIZE)
        return -EINVAL;
    if (plan)
        plan_free(plan);
    if (!options)
        return 0;
    plan = calloc(1, sizeof(*plan));
    if (!plan)
        return -ENOMEM;
    memcpy(plan->adapter, adapter, strlen(adapter));
    ndis_keys_init(&plan->keys);
    list_add_tail(&house->plans, &plan->link);
    error = ndis_keys_set_all(&plan->keys, options);
    if (error)
        plan_free(plan);
    return error;
}

int
ndis_plan_apply(struct ndis_adapter *adapter)
{
    struct plan *plan = find(adapter->head.house, adapter->name);

    return plan ? ndis_keys_copy(&adapter->keys, &plan->keys) : 0;
}

void
ndis_plans_fini(struct house *house)
{
    list_for_each_safe(plan, &house->plans, struct plan, link)
        plan_free(plan);
}
