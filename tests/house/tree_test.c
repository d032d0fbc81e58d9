/*
 * Large trees: a hundred thousand blocks go down through an intermediate driver and back, in
 * shapes from wide to deep, on a stack on which nothing could recurse (P7), in memory that is
 * bounded for each block.
 */
#include "ndis/test_grove.h"

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NODES 100000
#define SMALL (NODES / 10)
/* A recursion of one frame a block would need several megabytes. */
#define STACK_BYTES (256 * 1024)
/* Two records of 64 bytes, which double in number when there are too few, an entry and a call entry
 * of the intermediate driver. */
#define MOST_BYTES_A_NODE (2 * 2 * 64 + 64 + 72)

struct walk {
    size_t nodes;
    enum grove_shape shape;
    const char *wrong;             /* assertions are for the main thread */
    double most_bytes, rest_bytes; /* a node: while the target has the tree; afterwards */
};

static size_t
bytes_in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static void
count_offloaded(void *arg, const struct house_floor *floor)
{
    *(unsigned long long *)arg += floor->offloaded;
}

/* What is wrong after an operation; NULL: nothing. */
static const char *
look(struct grove *grove)
{
    unsigned long long offloaded = 0;
    bool gone = grove->operation == GROVE_TERMINATE;

    if (grove->ended != &grove->nodes[0].block)
        return "it did not complete with its root";
    for (size_t i = 0; i < grove->count; i++) {
        const struct grove_node *node = &grove->nodes[i];

        if (node->block.Status != NDIS_STATUS_SUCCESS)
            return "a block without success";
        if (node->block.OffloadHandle != &node->handle || node->block.NdisReserved[2])
            return "a block that is not as it was";
        if (!node->handle.MiniportOffloadContext != gone || !node->handle.NdisReserved[0] != gone)
            return "a handle in a wrong state";
    }
    if (grove_walk(grove) != grove->count)
        return "links have changed";
    house_walk(grove->pair.house, count_offloaded, &offloaded);
    return offloaded == (gone ? 0 : 2 * grove->count) ? NULL : "objects are miscounted";
}

static void
one_life(struct grove *grove, struct walk *walk, size_t before)
{
    for (int i = 0; i < GROVE_OPERATION_COUNT && !walk->wrong; i++) {
        double bytes;

        grove_set(grove, walk->shape, (enum grove_operation)i);
        grove_send(grove);
        if (!grove->held) {
            walk->wrong = "it did not reach the target";
            return;
        }
        bytes = ((double)bytes_in_use() - (double)before) / (double)grove->count;
        if (bytes > walk->most_bytes)
            walk->most_bytes = bytes;
        grove_answer(grove);
        walk->wrong = look(grove);
    }
    walk->rest_bytes = ((double)bytes_in_use() - (double)before) / (double)grove->count;
}

static void *
walk_main(void *arg)
{
    struct walk *walk = arg;
    struct grove *grove = calloc(1, sizeof(*grove));
    double rest_bytes;
    size_t before;

    if (!grove_open(grove, passthru_entry, 1, walk->nodes)) {
        walk->wrong = "no stage";
        return NULL;
    }
    before = bytes_in_use();
    one_life(grove, walk, before);
    rest_bytes = walk->rest_bytes;
    if (!walk->wrong)
        one_life(grove, walk, before);
    if (!walk->wrong && walk->rest_bytes > rest_bytes)
        walk->wrong = "the second life needed more memory";
    grove_close(grove);
    free(grove);
    return NULL;
}

static struct walk
walk_of(size_t nodes, enum grove_shape shape)
{
    struct walk walk = {.nodes = nodes, .shape = shape};
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &attributes, walk_main, &walk), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    if (walk.wrong)
        print_error("%s of %zu: %s\n", grove_shape_name(shape), nodes, walk.wrong);
    assert_null(walk.wrong);
    return walk;
}

static void
large(void **state)
{
    enum grove_shape shape = *(enum grove_shape *)*state;
    struct walk small = walk_of(SMALL, shape), big = walk_of(NODES, shape);

    print_message("# %s: %.0f bytes a node at most, %.0f afterwards; of a tenth: %.0f, %.0f\n",
                  grove_shape_name(shape), big.most_bytes, big.rest_bytes, small.most_bytes,
                  small.rest_bytes);
    assert_true(small.most_bytes <= MOST_BYTES_A_NODE);
    assert_true(big.most_bytes <= MOST_BYTES_A_NODE);
    assert_true(big.rest_bytes <= 2 * 2 * 64 + 1);
}

#define SHAPE_VALUE(name) GROVE_##name,
static enum grove_shape shapes[] = {GROVE_SHAPES(SHAPE_VALUE)};
#define SHAPE_TEST(name) {#name, large, NULL, NULL, &shapes[GROVE_##name]},

int
main(void)
{
    const struct CMUnitTest tests[] = {GROVE_SHAPES(SHAPE_TEST)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
