/*
 * What waits, for how long, and the timer that goes on with it. One list in the order of arrival:
 * completed sends and disconnects are due in that order as well, so data keep theirs (V-075,
 * V-124); trees and frames overtake each other as their rules say. The timer's function is also the
 * next turn: what may not be answered on the stack of its call (V-030, V-074) is answered there.
 */
#include "intermediate/fault/fault.h"

#define TICK (-10000) /* a millisecond from now, in units of 100 ns */

uint64_t
fault_now_ms(void)
{
    LARGE_INTEGER now;

    NdisGetSystemUpTimeEx(&now);
    return (uint64_t)now.QuadPart;
}

static bool
is_data(enum fault_kind kind)
{
    return kind == FAULT_SENT || kind == FAULT_DISCONNECTED;
}

/* ---- the timer ---- */

static void
arm(struct fault *fault)
{
    uint64_t now = fault_now_ms(), next = fault_next_time(fault, now);
    LARGE_INTEGER due;

    if (fault->turning)
        return;
    list_for_each(held, &fault->held, struct fault_held, link)
        if (!next || held->due_ms < next)
            next = held->due_ms;
    if (fault->ringing)
        next = now;
    if (!next)
        return;
    due.QuadPart = next > now ? (LONGLONG)(next - now) * TICK : -1;
    NdisSetTimerObject(fault->timer, due, 0, fault);
}

void
fault_ring(struct fault *fault)
{
    fault->ringing = true;
    arm(fault);
}

/* ---- holding ---- */

bool
fault_may_hold(const struct fault *fault)
{
    return fault->floor.upper_running && fault->floor.lower_running;
}

struct fault_held *
fault_held_create(struct fault *fault)
{
    return NdisAllocateMemoryWithTagPriority(fault->floor.lower, sizeof(struct fault_held),
                                             FLOOR_TAG, NormalPoolPriority);
}

void
fault_hold(struct fault *fault, struct fault_held *held, enum fault_kind kind, PVOID what,
           ULONG delay_ms, bool passing)
{
    uint64_t due = fault_now_ms() + delay_ms;

    list_for_each(other, &fault->held, struct fault_held, link)
        if (is_data(kind) && is_data(other->kind) && other->due_ms > due)
            due = other->due_ms;
    *held = (struct fault_held){.kind = kind, .due_ms = due, .passing = passing, .what = what};
    list_add_tail(&fault->held, &held->link);
    arm(fault);
}

bool
fault_holds(const struct fault *fault, enum fault_kind kind)
{
    list_for_each(held, &fault->held, struct fault_held, link)
        if (held->kind == kind)
            return true;
    return false;
}

/* ---- going on ---- */

static void
go(struct fault *fault, struct fault_held *held)
{
    enum fault_kind kind = held->kind;
    PVOID what = held->what;

    list_del(&held->link);
    NdisFreeMemory(held, sizeof(*held), 0);
    switch (kind) {
    case FAULT_DOWN:
        fault_go_down(fault, what);
        break;
    case FAULT_UP:
        fault_go_up(fault, what);
        break;
    case FAULT_SENT:
        fault_sent(fault, what);
        break;
    case FAULT_DISCONNECTED:
        fault_disconnected(fault, what);
        break;
    default:
        fault_frame_go(fault, kind, what);
        break;
    }
}

void
fault_let_go(struct fault *fault, enum fault_kind first, enum fault_kind last, bool only_passing)
{
    bool found;

    /* From the beginning each time: whoever is called may add and take. */
    do {
        found = false;
        list_for_each(held, &fault->held, struct fault_held, link) {
            if (held->kind < first || held->kind > last)
                continue;
            found = held->passing || !only_passing;
            if (!found && !is_data(held->kind))
                continue;
            if (found)
                go(fault, held);
            break; /* data does not overtake data */
        }
    } while (found);
}

/* The first that is due; NULL: none. */
static struct fault_held *
first_due(struct fault *fault, uint64_t now)
{
    list_for_each(held, &fault->held, struct fault_held, link)
        if (held->due_ms <= now)
            return held;
    return NULL;
}

VOID
fault_turn(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2,
           PVOID SystemSpecific3)
{
    struct fault *fault = FunctionContext;
    struct fault_held *held;
    uint64_t now = fault_now_ms();

    fault->turning = true;
    while ((held = first_due(fault, now)))
        go(fault, held);
    fault_next_time(fault, now);
    while (fault->ringing) {
        fault->ringing = false;
        list_for_each_safe(entry, &fault->conns, struct fault_offload, link)
            fault_settle(entry, false);
        fault_tell(fault);
    }
    fault->turning = false;
    arm(fault);
}
