/*
 * Stacks of drivers from a seed (stage_draw.h). Which drivers in which order is drawn first, their
 * options afterwards, because those of vlan depend on all others: one floor of a stack can be in a
 * VLAN, as the state of an offload has room for one id, and the rest add priorities; and an end
 * that tags is not heard by one that does not.
 */
#include "stage_draw.h"

#include "base/random.h"

#include <stdio.h>
#include <string.h>

#define FLOORS_MAX 8
#define NO_FLOOR FLOORS_MAX

enum driver { PASSTHRU, VLAN, TRACE, FAULT, TEAM, DRIVERS };

struct stack {
    unsigned count;
    enum driver drivers[FLOORS_MAX];
    unsigned in_vlan; /* this floor; NO_FLOOR: none */
};

static unsigned
pick(struct random *random, unsigned count)
{
    return random_below(random, count);
}

static bool
has_vlan(const struct stack *stack)
{
    for (unsigned i = 0; i < stack->count; i++)
        if (stack->drivers[i] == VLAN)
            return true;
    return false;
}

static void
draw_drivers(struct random *random, struct stack *stack)
{
    stack->count = 1 + pick(random, FLOORS_MAX);
    for (unsigned i = 0; i < stack->count; i++)
        stack->drivers[i] = pick(random, DRIVERS);
}

/* Unless there is one, a floor becomes one; a stack without floors gets it. */
static void
need_vlan(struct random *random, struct stack *stack)
{
    if (has_vlan(stack))
        return;
    if (!stack->count)
        stack->count = 1;
    stack->drivers[pick(random, stack->count)] = VLAN;
}

static void
put_in_vlan(struct random *random, struct stack *stack)
{
    unsigned at = pick(random, stack->count);

    while (stack->drivers[at] != VLAN)
        at = (at + 1) % stack->count;
    stack->in_vlan = at;
}

static const char *
pick_fault(struct random *random, bool faults)
{
    static const char *const harmless[] = {
        "", ":Script=query 1000000 fail", ":Script=frames in drop 1000000; send 1000000 no-memory"};
    static const char *const harmful[] = {
        ":Script=complete send inline 20%; complete send delay 1ms 10%",
        ":Script=complete initiate delay 2ms 30%; complete terminate reorder",
        ":Script=complete terminate delay 3ms 50%; complete update reorder; complete query reorder",
        ":Script=frames in reorder 1%; frames out reorder 1%; frames in delay 1ms 2%",
        ":Script=frames out duplicate 1%; frames in duplicate 1%; frames out drop 0.2%"};

    return faults ? harmful[pick(random, sizeof harmful / sizeof harmful[0])]
                  : harmless[pick(random, sizeof harmless / sizeof harmless[0])];
}

static void
write_floor(struct random *random, const struct stack *stack, unsigned at, unsigned vlan_id,
            bool faults, char *text, size_t room)
{
    switch (stack->drivers[at]) {
    case VLAN:
        if (at == stack->in_vlan)
            snprintf(text, room, "vlan:Id=%u:Priority=%u", vlan_id, pick(random, 8));
        else
            snprintf(text, room, "vlan:Id=0:Priority=%u", 1 + pick(random, 7));
        break;
    case TRACE:
        snprintf(text, room, "trace:File=/dev/null%s", pick(random, 2) ? ":Snap=60" : "");
        break;
    case FAULT:
        snprintf(text, room, "fault%s:Seed=%u", pick_fault(random, faults), pick(random, 1000));
        break;
    case TEAM:
        snprintf(text, room, "team%s", pick(random, 2) ? ":Mode=backup" : "");
        break;
    default:
        snprintf(text, room, "passthru");
    }
}

static void
write_stack(struct random *random, const struct stack *stack, unsigned vlan_id, bool faults,
            char list[STAGE_LIST_SIZE])
{
    *list = '\0';
    for (unsigned i = 0; i < stack->count; i++) {
        size_t length = strlen(list);

        if (i)
            list[length++] = ',';
        write_floor(random, stack, i, vlan_id, faults, list + length, STAGE_LIST_SIZE - length);
    }
}

void
stage_draw(uint64_t seed, bool faults, struct stage_stacks *out)
{
    struct stack stacks[2] = {{.in_vlan = NO_FLOOR}, {.in_vlan = NO_FLOOR}};
    struct random random;
    unsigned vlan_id;

    random_init(&random, seed);
    draw_drivers(&random, &stacks[0]);
    if (pick(&random, 2))
        draw_drivers(&random, &stacks[1]);
    vlan_id = pick(&random, 2) ? 1 + pick(&random, 4094) : 0;
    if (has_vlan(&stacks[0]) || has_vlan(&stacks[1])) {
        for (unsigned i = 0; i < 2; i++) {
            need_vlan(&random, &stacks[i]);
            if (vlan_id)
                put_in_vlan(&random, &stacks[i]);
        }
    }
    for (unsigned i = 0; i < 2; i++)
        write_stack(&random, &stacks[i], vlan_id, faults, out->floors[i]);
}
