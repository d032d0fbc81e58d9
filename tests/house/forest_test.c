/*
 * Wide trees with linkers and placeholders through stacks of one to eight floors, among them one or
 * several that refuse nodes, over a target that refuses others: what comes of each node is what
 * chimney 3 says, whoever decided it, and nothing is left behind when everything is taken back.
 * Seeds decide about trees, stacks, scripts and refusals; FOREST_SEED=N in the environment runs one
 * of them and says what it made.
 */
#include "forest.h"

#include "chimney/verifier.h"
#include "intermediate/drivers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 200
#define FLOORS 8
#define ROUNDS 4 /* what was refused is offered again */

/* What a run has seen, so that it can be known to have seen something. */
struct tally {
    unsigned nodes, failed, partial, linkers, placeholders, failed_roots, refused_above;
};

struct trial {
    struct forest forest;
    struct verifier *verifier;
    uint64_t seed;
    char floors[FLOORS][160]; /* from below */
    unsigned floor_count;
    char wrong[256]; /* the first thing; "": nothing */
    struct tally *tally;
};

__attribute__((format(printf, 2, 3))) static void
complain(struct trial *trial, const char *format, ...)
{
    va_list arguments;

    if (*trial->wrong)
        return;
    va_start(arguments, format);
    vsnprintf(trial->wrong, sizeof trial->wrong, format, arguments);
    va_end(arguments);
}

static void
on_report(void *arg, const struct verifier_report *report)
{
    complain(arg, "V-%03u, %s at %s: %s", report->rule, report->driver, report->call, report->seen);
}

/* ---- the stack ---- */

/* One rule, of those that are about what an initiate comes to. */
static void
draw_rule(struct random *random, char *rule, size_t room)
{
    static const char *const layers[] = {"neighbor", "path", "tcp"};
    static const char *const statuses[][3] = {
        {"", " RESOURCES", " OFFLOAD_NEIGHBOR_ENTRIES"},
        {"", " RESOURCES", " OFFLOAD_IP_ADDRESS_ENTRIES"},
        {"", " FAILURE", " OFFLOAD_CONNECTION_REJECTED"},
    };
    unsigned layer = random_below(random, 3), n = 1 + random_below(random, 5);

    if (random_below(random, 12) == 0)
        snprintf(rule, room, "initiate 1 fail");
    else
        snprintf(rule, room, "initiate refuse %s %u%s%s", layers[layer], n,
                 random_below(random, 3) == 0 ? "0%" : "",
                 statuses[layer][random_below(random, 3)]);
}

static void
draw_floor(struct random *random, bool refuses, char *floor, size_t room)
{
    static const char *const others[] = {"passthru", "trace:File=/dev/null", "vlan:Id=0:Priority=3",
                                         "fault"};
    char first[64], second[64] = "";

    if (!refuses) {
        snprintf(floor, room, "%s", others[random_below(random, 4)]);
        return;
    }
    draw_rule(random, first, sizeof first);
    if (random_below(random, 2))
        draw_rule(random, second, sizeof second);
    snprintf(floor, room, "fault:Seed=%u:Script=%s;%s", random_below(random, 1000), first, second);
}

/* Every height has its turn; one floor at least refuses. */
static void
draw_stack(struct trial *trial)
{
    struct random *random = &trial->forest.random;
    unsigned one;

    trial->floor_count = 1 + (unsigned)(trial->seed % FLOORS);
    one = random_below(random, trial->floor_count);
    for (unsigned i = 0; i < trial->floor_count; i++)
        draw_floor(random, i == one || random_below(random, 4) == 0, trial->floors[i],
                   sizeof trial->floors[i]);
}

static void
build_stack(struct trial *trial)
{
    static const struct {
        const char *name;
        house_driver_entry entry;
    } drivers[] = {{"passthru", passthru_entry},
                   {"trace", trace_entry},
                   {"vlan", vlan_entry},
                   {"fault", fault_entry}};
    struct house *house = trial->forest.pair.house;
    char below[16] = "nic0", above[16];

    for (unsigned i = 0; i < sizeof drivers / sizeof drivers[0]; i++)
        assert_int_equal(house_load(house, drivers[i].name, drivers[i].entry, NULL), 0);
    for (unsigned i = 0; i < trial->floor_count; i++) {
        struct house_floor_words words;
        const char *why;

        snprintf(above, sizeof above, "f%u", i + 1);
        assert_int_equal(house_read_floor(trial->floors[i], &words, &why), 0);
        assert_int_equal(house_set_options(house, above, words.options), 0);
        assert_int_equal(house_bind(house, words.name, below, above), 0);
        memcpy(below, above, sizeof below);
    }
    assert_true(forest_bind(&trial->forest, below));
}

/* ---- what may come of a node (chimney 3) ---- */

static bool
is_of_layer(enum forest_layer layer, NDIS_STATUS status)
{
    switch (status) {
    case NDIS_STATUS_SUCCESS:
    case NDIS_STATUS_FAILURE:
    case NDIS_STATUS_RESOURCES:
        return true;
    case NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS:
        return layer != FOREST_TCP;
    case NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES:
        return layer == FOREST_NEIGHBOR;
    case NDIS_STATUS_OFFLOAD_PATH_ENTRIES:
    case NDIS_STATUS_OFFLOAD_IP_ADDRESS_ENTRIES:
        return layer == FOREST_PATH;
    case NDIS_STATUS_OFFLOAD_TCP_ENTRIES:
    case NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER:
    case NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED:
        return layer == FOREST_TCP;
    default:
        return false;
    }
}

struct dependents {
    unsigned count, through, failed; /* failed: with FAILURE; placeholders do not count */
};

static struct dependents
dependents_of(const struct forest *forest, int parent)
{
    struct dependents found = {0, 0, 0};

    for (int i = 0; i < forest->count; i++) {
        const struct forest_node *node = &forest->nodes[i];

        if (node->parent != parent || !node->used || node->role == FOREST_PLACEHOLDER)
            continue;
        found.count++;
        found.through += forest_came_through(node->block.Status);
        found.failed += node->block.Status == NDIS_STATUS_FAILURE;
    }
    return found;
}

/* Of a node that is there, or a linker, by what became of those below. */
static NDIS_STATUS
status_by(const struct dependents *below, bool is_there)
{
    if (below->through == below->count)
        return NDIS_STATUS_SUCCESS;
    return below->through || is_there ? NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS : NDIS_STATUS_FAILURE;
}

static const char *
wrong_with_new(const struct forest *forest, int i)
{
    const struct forest_node *node = &forest->nodes[i];
    struct dependents below = dependents_of(forest, i);
    NDIS_STATUS status = node->block.Status;
    bool through = forest_came_through(status);

    if (!node->handle.MiniportOffloadContext == through)
        return "the context and the status do not agree";
    if (through && node->refused)
        return "it came through though the target refused it";
    if (!is_of_layer(node->layer, status))
        return "a status that its layer does not have";
    if (through && status != status_by(&below, true))
        return "success does not agree with the dependents";
    if (!through && below.failed != below.count)
        return "a dependent of what failed has not failed";
    return NULL;
}

static const char *
wrong_with(const struct forest *forest, int i)
{
    const struct forest_node *node = &forest->nodes[i];
    struct dependents below = dependents_of(forest, i);

    if (node->block.OffloadHandle != (node->role == FOREST_PLACEHOLDER ? NULL : &node->handle))
        return "another handle";
    switch (node->role) {
    case FOREST_PLACEHOLDER:
        return node->block.Status == NDIS_STATUS_SUCCESS ? NULL : "a placeholder that failed";
    case FOREST_LINKER:
        if (!node->handle.MiniportOffloadContext)
            return "a linker that lost its context";
        return node->block.Status == status_by(&below, false) ? NULL
                                                              : "a linker unlike its dependents";
    case FOREST_NEW:
        break;
    }
    return wrong_with_new(forest, i);
}

static void
count(struct tally *tally, const struct forest_node *node)
{
    NDIS_STATUS status = node->block.Status;

    tally->nodes++;
    tally->linkers += node->role == FOREST_LINKER;
    tally->placeholders += node->role == FOREST_PLACEHOLDER;
    tally->failed += !forest_came_through(status);
    tally->partial += status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
    tally->refused_above += !node->refused && !forest_came_through(status);
}

/* If the root fails the walk stops: nobody else has come through. */
static void
check_root(struct trial *trial, const struct forest_node *root)
{
    const struct forest *forest = &trial->forest;

    if (root->role != FOREST_NEW || forest_came_through(root->block.Status))
        return;
    trial->tally->failed_roots++;
    for (int i = 0; i < forest->count; i++) {
        const struct forest_node *node = &forest->nodes[i];

        if (node != root && node->used && node->role != FOREST_PLACEHOLDER &&
            node->block.Status != NDIS_STATUS_FAILURE)
            complain(trial, "node %d: the root failed, this did not", i);
    }
}

static void
check_initiate(struct trial *trial, const struct forest_node *root)
{
    const struct forest *forest = &trial->forest;

    if (forest->completions != 1 || forest->ended != &root->block)
        complain(trial, "the initiate completed %u times", forest->completions);
    for (int i = 0; i < forest->count && !*trial->wrong; i++) {
        const char *wrong;

        if (!forest->nodes[i].used)
            continue;
        wrong = wrong_with(forest, i);
        if (wrong)
            complain(trial, "node %d: %s", i, wrong);
        count(trial->tally, &forest->nodes[i]);
    }
    check_root(trial, root);
}

static void
count_offloaded(void *arg, const struct house_floor *floor)
{
    *(unsigned long long *)arg += floor->offloaded;
}

static unsigned long long
objects(const struct trial *trial)
{
    unsigned long long found = 0;

    house_walk(trial->forest.pair.house, count_offloaded, &found);
    return found;
}

/* At every landing there is what the host has, and no more. */
static void
check_objects(struct trial *trial)
{
    const struct forest *forest = &trial->forest;
    unsigned there = 0;

    for (int i = 0; i < forest->count; i++)
        there += forest->nodes[i].handle.MiniportOffloadContext != NULL;
    if (objects(trial) != there * (trial->floor_count + 1ull))
        complain(trial, "%llu objects at %u landings, the host has %u", objects(trial),
                 trial->floor_count + 1, there);
}

/* ---- a run ---- */

static void
live(struct trial *trial)
{
    struct forest *forest = &trial->forest;
    struct forest_node *root;

    for (unsigned i = 0; i < ROUNDS && !*trial->wrong; i++) {
        root = forest_offer(forest);
        if (!root)
            break;
        forest_initiate(forest, root);
        check_initiate(trial, root);
        check_objects(trial);
    }
    root = *trial->wrong ? NULL : forest_recall(forest);
    if (!root)
        return;
    forest_terminate(forest, root);
    if (forest->completions != 1 || forest->ended != &root->block)
        complain(trial, "the terminate completed %u times", forest->completions);
    check_objects(trial);
    if (objects(trial))
        complain(trial, "%llu objects are left", objects(trial));
}

static void
print(const struct trial *trial)
{
    print_message("# FOREST_SEED=%llu: %s\n# from below:", (unsigned long long)trial->seed,
                  *trial->wrong ? trial->wrong : "right");
    for (unsigned i = 0; i < trial->floor_count; i++)
        print_message(" %s", trial->floors[i]);
    print_message("\n");
    for (int i = 0; i < trial->forest.count; i++) {
        const struct forest_node *node = &trial->forest.nodes[i];

        print_message("# %2d: parent %2d layer %u %s role %u%s status 0x%08x%s\n", i, node->parent,
                      node->layer, node->used ? "in" : "out", node->role,
                      node->refused ? " refused" : "", (unsigned)node->block.Status,
                      node->handle.MiniportOffloadContext ? " offloaded" : "");
    }
}

static bool
run(uint64_t seed, bool show, struct tally *tally)
{
    static struct trial trial;

    memset(&trial, 0, sizeof trial);
    trial.seed = seed;
    trial.tally = tally;
    trial.verifier = verifier_create(
        &(struct verifier_options){.on_report = on_report, .arg = &trial});
    assert_non_null(trial.verifier);
    assert_true(forest_open(&trial.forest, seed));
    house_attach_observer(trial.forest.pair.house, verifier_observer(trial.verifier));
    draw_stack(&trial);
    build_stack(&trial);
    live(&trial);
    if (show || *trial.wrong)
        print(&trial);
    forest_close(&trial.forest);
    verifier_finish(trial.verifier);
    verifier_destroy(trial.verifier);
    return !*trial.wrong;
}

static void
every_node_is_documented(void **state)
{
    const char *one = getenv("FOREST_SEED");
    struct tally tally = {0};

    if (one) {
        assert_true(run(strtoull(one, NULL, 10), true, &tally));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        assert_true(run(seed, false, &tally));
    print_message("# %u nodes: %u failed, %u in part, %u linkers, %u placeholders, %u roots\n",
                  tally.nodes, tally.failed, tally.partial, tally.linkers, tally.placeholders,
                  tally.failed_roots);
    assert_in_range(tally.failed, 500, tally.nodes);
    assert_in_range(tally.refused_above, 300, tally.nodes);
    assert_in_range(tally.partial, 100, tally.nodes);
    assert_in_range(tally.linkers, 300, tally.nodes);
    assert_in_range(tally.placeholders, 20, tally.nodes);
    assert_in_range(tally.failed_roots, 10, tally.nodes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_node_is_documented)};

    return cmocka_run_group_tests_name("house/forest", tests, NULL, NULL);
}
