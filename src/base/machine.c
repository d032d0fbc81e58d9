/*
 * What the machines of a program have walked, written down when it exits.
 *
 * Invariant: nothing is written, and nothing is registered, unless CHIMNEY_EDGES was there before
 * main. The name of the file is the first number that nobody has taken: creating it exclusively is
 * what makes it this process's own, so that processes need not know of each other.
 */
#include "base/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES 4096

static struct machine *machines;
static const char *folder;

static FILE *
file_of_our_own(void)
{
    char path[PATH_BYTES];
    FILE *file = NULL;

    for (unsigned number = 1; !file; number++) {
        int length = snprintf(path, sizeof(path), "%s/%u", folder, number);

        if (length < 0 || (size_t)length >= sizeof(path))
            return NULL;
        file = fopen(path, "wx");
        if (!file && errno != EEXIST)
            return NULL;
    }
    return file;
}

static void
write_machine(FILE *file, const struct machine *machine)
{
    for (size_t from = 0; from < machine->count; from++)
        for (size_t to = 0; to < machine->count; to++) {
            struct machine_edge *edge = &machine->edges[from * machine->count + to];

            if (edge->legal)
                fprintf(file, "%s\t%s\t%s\t%llu\n", machine->name, machine->states[from],
                        machine->states[to], (unsigned long long)atomic_load(&edge->walked));
        }
}

/* Whoever cannot write, as somebody without privileges, ends as ever and says nothing: what it
 * walked is missed by the reader, or was walked by others. */
static void
write_all(void)
{
    FILE *file = file_of_our_own();

    if (!file)
        return;
    for (struct machine *machine = machines; machine; machine = machine->next)
        write_machine(file, machine);
    fclose(file);
}

void
machine_enter(struct machine *machine)
{
    if (!machines) {
        folder = getenv("CHIMNEY_EDGES");
        if (folder)
            atexit(write_all);
    }
    machine->next = machines;
    machines = machine;
}
