/*
 * Timers of a loop: a binary heap by (deadline, order of setting). Every timer knows its place in
 * the heap, so moving one costs a few swaps and stopping one needs no search. Room for all timers
 * is reserved when a timer is initialised: setting cannot fail.
 *
 * A turn first moves all that is due from the heap to a list and then fires from the list. Thus a
 * timer that sets itself to the past cannot keep the others from firing, and a callback may stop or
 * move any other timer.
 */
#include "sys/core.h"

#include <errno.h>
#include <stdlib.h>

#define NOT_IN_HEAP SIZE_MAX

struct timer_node {
    struct sys_timer *timer;
    struct list due; /* on core->due while about to fire */
    uint64_t deadline_us;
    uint64_t order;
    size_t index;
};

static bool
node_before(const struct timer_node *a, const struct timer_node *b)
{
    if (a->deadline_us != b->deadline_us)
        return a->deadline_us < b->deadline_us;
    return a->order < b->order;
}

static void
heap_place(struct sys_core *core, size_t index, struct timer_node *node)
{
    core->heap[index] = node;
    node->index = index;
}

static void
heap_rise(struct sys_core *core, size_t index, struct timer_node *node)
{
    while (index > 0) {
        size_t parent = (index - 1) / 2;

        if (!node_before(node, core->heap[parent]))
            break;
        heap_place(core, index, core->heap[parent]);
        index = parent;
    }
    heap_place(core, index, node);
}

static void
heap_sink(struct sys_core *core, size_t index, struct timer_node *node)
{
    for (;;) {
        size_t child = 2 * index + 1;

        if (child >= core->heap_count)
            break;
        if (child + 1 < core->heap_count && node_before(core->heap[child + 1], core->heap[child]))
            child++;
        if (!node_before(core->heap[child], node))
            break;
        heap_place(core, index, core->heap[child]);
        index = child;
    }
    heap_place(core, index, node);
}

/* Puts node at index, whose former content is gone, and restores the order of the heap. */
static void
heap_settle(struct sys_core *core, size_t index, struct timer_node *node)
{
    if (index > 0 && node_before(node, core->heap[(index - 1) / 2]))
        heap_rise(core, index, node);
    else
        heap_sink(core, index, node);
}

static void
heap_remove(struct sys_core *core, struct timer_node *node)
{
    size_t index = node->index;
    struct timer_node *last = core->heap[--core->heap_count];

    node->index = NOT_IN_HEAP;
    if (last != node)
        heap_settle(core, index, last);
}

static bool
heap_reserve(struct sys_core *core, size_t count)
{
    size_t room = core->heap_room != 0 ? 2 * core->heap_room : 16;
    struct timer_node **heap;

    if (count <= core->heap_room)
        return true;
    heap = realloc(core->heap, room * sizeof(*heap));
    if (heap == NULL)
        return false;
    core->heap = heap;
    core->heap_room = room;
    return true;
}

int
sys_timer_init(struct sys_timer *timer, struct sys_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct sys_core *core = sys_core_of(loop);
    struct timer_node *node = calloc(1, sizeof(*node));

    if (node == NULL)
        return -ENOMEM;
    if (!heap_reserve(core, core->timer_count + 1)) {
        free(node);
        return -ENOMEM;
    }
    core->timer_count++;
    list_init(&node->due);
    node->timer = timer;
    node->index = NOT_IN_HEAP;
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
    list_del(&node->due);
    if (deadline_us == SYS_NEVER) {
        if (node->index != NOT_IN_HEAP)
            heap_remove(core, node);
        return;
    }
    node->deadline_us = deadline_us;
    node->order = core->next_order++;
    if (node->index != NOT_IN_HEAP)
        heap_settle(core, node->index, node);
    else
        heap_rise(core, core->heap_count++, node);
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

uint64_t
sys_core_deadline_us(const struct sys_core *core)
{
    return core->heap_count != 0 ? core->heap[0]->deadline_us : SYS_NEVER;
}

bool
sys_core_run_timers(struct sys_core *core, uint64_t now_us)
{
    bool any = false;

    while (core->heap_count != 0 && core->heap[0]->deadline_us <= now_us) {
        struct timer_node *node = core->heap[0];

        heap_remove(core, node);
        list_add_tail(&core->due, &node->due);
    }
    while (!list_empty(&core->due)) {
        struct timer_node *node = list_first(&core->due, struct timer_node, due);
        struct sys_timer *timer = node->timer;

        list_del(&node->due);
        timer->deadline_us = SYS_NEVER;
        any = true;
        timer->fn(timer->arg);
    }
    return any;
}
