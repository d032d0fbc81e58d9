/*
 * What a large tree costs: a million blocks, in several shapes, are offloaded, queried and
 * terminated through intermediate drivers (passthru), and held by a target that writes a status
 * into each. ns and bytes for each block; beside it, in the same run, a plain walk over the same
 * tree.
 *
 * tree [--nodes N] [--rounds N] [--cpu N]
 */
#include "clock.h"
#include "ndis/test_grove.h"

#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_ROUNDS 101
#define MOST_FLOORS 1

struct figures {
    double walk[MOST_ROUNDS];
    double down[GROVE_OPERATION_COUNT][MOST_ROUNDS], up[GROVE_OPERATION_COUNT][MOST_ROUNDS];
    double bytes[GROVE_OPERATION_COUNT]; /* a block, while the target has the tree */
};

static size_t
bytes_in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(double *values, unsigned count)
{
    qsort(values, count, sizeof(values[0]), compare);
    return values[count / 2];
}

static void
one_operation(struct grove *grove, struct figures *figures, enum grove_operation operation,
              unsigned round, size_t before)
{
    double count = (double)grove->count;
    uint64_t begin_ns, sent_ns, answered_ns;

    grove_set(grove, grove->shape, operation);
    begin_ns = cpu_ns();
    grove_send(grove);
    sent_ns = cpu_ns();
    if (!grove->held)
        exit(1);
    figures->bytes[operation] = ((double)bytes_in_use() - (double)before) / count;
    answered_ns = cpu_ns();
    grove_answer(grove);
    figures->up[operation][round] = (double)(cpu_ns() - answered_ns) / count;
    figures->down[operation][round] = (double)(sent_ns - begin_ns) / count;
    if (grove->ended != &grove->nodes[0].block)
        exit(1);
}

static void
one_shape(struct grove *grove, enum grove_shape shape, unsigned rounds, size_t before)
{
    static struct figures figures;
    double walk_ns;

    grove->shape = shape;
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t begin_ns;

        for (int i = 0; i < GROVE_OPERATION_COUNT; i++)
            one_operation(grove, &figures, (enum grove_operation)i, round, before);
        begin_ns = cpu_ns();
        if (grove_walk(grove) != grove->count)
            exit(1);
        figures.walk[round] = (double)(cpu_ns() - begin_ns) / (double)grove->count;
    }
    walk_ns = median(figures.walk, rounds);
    printf("    %-7s walk %6.1f ns", grove_shape_name(shape), walk_ns);
    for (int i = 0; i < GROVE_OPERATION_COUNT; i++) {
        double down = median(figures.down[i], rounds), up = median(figures.up[i], rounds);

        printf("   %9s %6.1f down %6.1f up, %4.1f walks, %3.0f bytes",
               grove_operation_name((enum grove_operation)i), down, up, (down + up) / walk_ns,
               figures.bytes[i]);
    }
    printf("\n");
}

static unsigned long
option(int argc, char **argv, const char *name, unsigned long value)
{
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0)
            return strtoul(argv[i + 1], NULL, 10);
    return value;
}

int
main(int argc, char **argv)
{
    size_t nodes = option(argc, argv, "--nodes", 1000000);
    unsigned rounds = (unsigned)option(argc, argv, "--rounds", 5);
    unsigned cpu = (unsigned)option(argc, argv, "--cpu", 1);
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        perror("tree: not pinned");
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    if (rounds < 1 || rounds > MOST_ROUNDS)
        rounds = MOST_ROUNDS;
    printf("tree: CPU %u, %zu blocks of %zu bytes, %u rounds, medians, ns (of the processor) and "
           "bytes a block\n",
           cpu, nodes, sizeof(struct grove_node), rounds);
    for (unsigned floors = 0; floors <= MOST_FLOORS; floors++) {
        static struct grove grove;
        size_t before;

        if (!grove_open(&grove, passthru_entry, floors, nodes))
            return 1;
        before = bytes_in_use();
        printf("  intermediates: %u\n", floors);
        for (int shape = 0; shape < GROVE_SHAPE_COUNT; shape++)
            one_shape(&grove, (enum grove_shape)shape, rounds, before);
        grove_close(&grove);
    }
    return 0;
}
