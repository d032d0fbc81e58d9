/*
 * Timers of a loop: a wheel of wheels. Each level has 64 slots and a slot of a level is as long as
 * the whole level below; those of the lowest are one microsecond. A timer lies at the level of the
 * highest group of six bits in which its deadline differs from the cursor, in the slot that this
 * group names: so setting, moving and stopping one touch one list, however many there are.
 *
 * The cursor follows time. When it comes to a slot of a higher level, the timers in it go to the
 * levels below, each at most once per level; nothing can be in those before. Therefore the timers
 * of a slot are always in the order in which they were set, and equal deadlines fire in it. What
 * was set to a time before the cursor lies at the cursor, and is put in its place among the due.
 *
 * sys_core_deadline_us names the beginning of the first slot that is not empty. Above the lowest
 * level that is earlier than any deadline: a real loop then wakes for nothing, once for a slot. A
 * simulated one, which jumps to the deadline, asks for the exact one.
 *
 * A turn first moves all that is due to a list and then fires from the list. Thus a timer that sets
 * itself to the past cannot keep the others from firing, and a callback may stop or move any other
 * timer.
 */
#include "sys/core.h"

#include <errno.h>
#include <stdlib.h>

#define SLOT_BITS 6u
#define SLOT_MASK 63u

struct timer_node {
    struct sys_timer *timer;
    struct list link; /* in a slot; or on core->due while about to fire */
    uint64_t deadline_us;
    unsigned level, slot; /* while in_slot */
    bool in_slot;
};

/* ---- slots ---- */

static void
wheel_add(struct sys_core *core, struct timer_node *node)
{
    uint64_t at_us = node->deadline_us > core->cursor_us ? node->deadline_us : core->cursor_us;
    uint64_t differs = at_us ^ core->cursor_us;

    node->level = differs ? (63u - (unsigned)__builtin_clzll(differs)) / SLOT_BITS : 0;
    node->slot = (unsigned)(at_us >> SLOT_BITS * node->level) & SLOT_MASK;
    node->in_slot = true;
    list_add_tail(&core->slots[node->level][node->slot], &node->link);
    core->occupied[node->level] |= 1ull << node->slot;
}

static void
wheel_remove(struct sys_core *core, struct timer_node *node)
{
    struct list *slot = &core->slots[node->level][node->slot];

    list_del(&node->link);
    node->in_slot = false;
    if (list_empty(slot))
        core->occupied[node->level] &= ~(1ull << node->slot);
}

/* The first slot that is not empty, and where it begins; SYS_NEVER: there is none. */
static uint64_t
first_slot(const struct sys_core *core, unsigned *level, unsigned *slot)
{
    for (unsigned i = 0; i < SYS_WHEEL_LEVELS; i++) {
        if (!core->occupied[i])
            continue;
        unsigned shift = SLOT_BITS * i;
        uint64_t above = shift + SLOT_BITS < 64 ? ~0ull << (shift + SLOT_BITS) : 0;
        *level = i;
        *slot = (unsigned)__builtin_ctzll(core->occupied[i]);
        return (core->cursor_us & above) | (uint64_t)*slot << shift;
    }
    return SYS_NEVER;
}

/* What is in a slot of a higher level goes below; the cursor is at its beginning. */
static void
cascade(struct sys_core *core, unsigned level, unsigned slot)
{
    struct list *list = &core->slots[level][slot], *last = list->prev, *link;

    core->occupied[level] &= ~(1ull << slot);
    do {
        link = list->next;
        list_del(link);
        wheel_add(core, container_of(link, struct timer_node, link));
    } while (link != last);
}

/* By deadline; those that were in order already just go to the end. */
static void
due_add(struct sys_core *core, struct timer_node *node)
{
    struct list *before = core->due.prev;

    while (before != &core->due &&
           container_of(before, struct timer_node, link)->deadline_us > node->deadline_us)
        before = before->prev;
    list_add_head(before, &node->link);
}

static void
take_due(struct sys_core *core, uint64_t now_us)
{
    unsigned level, slot;
    uint64_t begin_us;

    while ((begin_us = first_slot(core, &level, &slot)) <= now_us && begin_us != SYS_NEVER) {
        struct list *list = &core->slots[level][slot];
        core->cursor_us = begin_us;
        if (level) {
            cascade(core, level, slot);
            continue;
        }
        while (!list_empty(list)) {
            struct timer_node *node = list_first(list, struct timer_node, link);
            wheel_remove(core, node);
            due_add(core, node);
        }
    }
    if (now_us > core->cursor_us)
        core->cursor_us = now_us;
}

/* ---- timers ---- */

int
sys_timer_init(struct sys_timer *timer, struct sys_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct timer_node *node = calloc(1, sizeof(*node));

    if (node == NULL)
        return -ENOMEM;
    sys_core_of(loop)->timer_count++;
    list_init(&node->link);
    node->timer = timer;
    *timer = (struct sys_timer){loop, fn, arg, SYS_NEVER, node};
    return 0;
}

void
sys_timer_set(struct sys_timer *timer, uint64_t deadline_us)
{
    struct timer_node *node = timer->impl;
    struct sys_core *core;

    if (timer->deadline_us == deadline_us)
        return;
    core = sys_core_of(timer->loop);
    timer->deadline_us = deadline_us;
    if (node->in_slot)
        wheel_remove(core, node);
    list_del(&node->link);
    node->deadline_us = deadline_us;
    if (deadline_us != SYS_NEVER)
        wheel_add(core, node);
}

void
sys_timer_fini(struct sys_timer *timer)
{
    if (timer->impl == NULL)
        return;
    sys_timer_set(timer, SYS_NEVER);
    sys_core_of(timer->loop)->timer_count--;
    free(timer->impl);
    timer->impl = NULL;
}

/* ---- for the loops ---- */

void
sys_core_init_timers(struct sys_core *core)
{
    for (unsigned level = 0; level < SYS_WHEEL_LEVELS; level++) {
        core->occupied[level] = 0;
        for (unsigned slot = 0; slot < SYS_WHEEL_SLOTS; slot++)
            list_init(&core->slots[level][slot]);
    }
    list_init(&core->due);
    core->cursor_us = 0;
}

uint64_t
sys_core_deadline_us(const struct sys_core *core)
{
    unsigned level, slot;

    return first_slot(core, &level, &slot);
}

uint64_t
sys_core_reach_us(struct sys_core *core)
{
    unsigned level = 0, slot = 0;
    uint64_t begin_us;

    while ((begin_us = first_slot(core, &level, &slot)) != SYS_NEVER && level) {
        core->cursor_us = begin_us;
        cascade(core, level, slot);
    }
    return begin_us;
}

bool
sys_core_run_timers(struct sys_core *core, uint64_t now_us)
{
    bool any = false;

    take_due(core, now_us);
    while (!list_empty(&core->due)) {
        struct timer_node *node = list_first(&core->due, struct timer_node, link);
        struct sys_timer *timer = node->timer;

        list_del(&node->link);
        timer->deadline_us = SYS_NEVER;
        any = true;
        timer->fn(timer->arg);
    }
    return any;
}
