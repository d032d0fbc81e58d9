/*
 * State machines: which edges each has, and how often each of them was walked.
 *
 * A machine is defined beside its setter, from the two lists that name its states and its edges:
 *
 *     #define NAME(name) [DOOR_##name] = #name,
 *     #define EDGE(from, to) [DOOR_##from][DOOR_##to].legal = true,
 *     static const char *const names[DOOR_COUNT] = {DOOR_STATES(NAME)};
 *     static struct machine_edge edges[DOOR_COUNT][DOOR_COUNT] = {DOOR_EDGES(EDGE)};
 *     MACHINE(machine, "door", names, edges);
 *
 * What is logged, and what happens when there is no such edge, is the setter's.
 *
 * A process that finds CHIMNEY_EDGES in its environment writes into that folder, when it exits,
 * what all machines that are linked into it have walked: a file of its own, with one line for each
 * edge, "machine, from, to, times" with tabs between. Who ends by _exit or a signal, as a child
 * does in which drivers misbehave, writes nothing. tools/edges reads them.
 */
#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine_edge {
    bool legal;
    _Atomic uint64_t walked;
};

struct machine {
    const char *name;
    const char *const *states;  /* their names */
    size_t count;               /* of states */
    struct machine_edge *edges; /* count rows, from, of count columns, to */
    struct machine *next;       /* of the program's */
};

/* names: one for each state; edges: square. Both last as long as the program. */
#define MACHINE(variable, title, names, edges)                                                     \
    static struct machine variable = {title, names, sizeof(names) / sizeof((names)[0]),            \
                                      (edges)[0], NULL};                                           \
    __attribute__((constructor)) static void enter_##variable(void)                                \
    {                                                                                              \
        machine_enter(&variable);                                                                  \
    }                                                                                              \
    _Static_assert(sizeof(edges) == sizeof((edges)[0][0]) * (sizeof(names) / sizeof((names)[0])) * \
                                        (sizeof(names) / sizeof((names)[0])),                      \
                   "a row and a column for each state")

/* Before main, for MACHINE. */
void machine_enter(struct machine *machine);

/* True: there is such an edge, and it is counted. Context: any thread. */
static inline bool
machine_walk(struct machine *machine, unsigned from, unsigned to)
{
    struct machine_edge *edge;

    if (from >= machine->count || to >= machine->count)
        return false;
    edge = &machine->edges[from * machine->count + to];
    if (edge->legal)
        atomic_fetch_add_explicit(&edge->walked, 1, memory_order_relaxed);
    return edge->legal;
}

#endif
