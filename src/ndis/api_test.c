/*
 * Every function that include/ndis declares, in its documented success and in one documented
 * failure. The list of functions is made from the headers (tools/api-names), so a declaration
 * without a row fails; calls are counted, so a row that does not call its function fails; and what
 * is documented for a low level must say so when it is called from a higher one.
 */
#include "ndis/objects.h"
#include "ndis/test_api.h"
#include "ndis/test_fakes.h"

#include <stdio.h>
#include <stdlib.h>

unsigned api_calls[API_COUNT];

#define NAME(function) [API_##function] = #function,
static const char *const names[API_COUNT] = {API_NAMES(NAME) API_TABLE_NAMES(NAME)};

static const struct api_rows *const tables[] = {&api_drivers, &api_paths, &api_chimney,
                                                &api_buffers, &api_services};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

static const struct api_row *
row_of(int name, unsigned *count)
{
    const struct api_row *found = NULL;

    *count = 0;
    for (size_t i = 0; i < TABLES; i++)
        for (size_t j = 0; j < tables[i]->count; j++)
            if (tables[i]->rows[j].name == name) {
                found = &tables[i]->rows[j];
                ++*count;
            }
    return found;
}

static void
every_function_has_a_row(void **state)
{
    unsigned missing = 0, count;

    for (int name = 0; name < API_COUNT; name++) {
        const struct api_row *row;

        if (name == API_COUNTED)
            continue;
        row = row_of(name, &count);
        if (count == 1 && row->succeeds && !row->fails != !row->never_fails)
            continue;
        print_error("%s: %u rows, or no success, or not one of a failure and why there is none\n",
                    names[name], count);
        missing++;
    }
    assert_int_equal(missing, 0);
}

/* ---- one row ---- */

struct trial {
    const struct api_row *row;
    struct stage *stage;
};

static int
trial_setup(void **state)
{
    struct trial *trial = malloc(sizeof(*trial));
    void *stage;

    trial->row = *state;
    sys_irql_now = (struct sys_irql){.level = PASSIVE_LEVEL}; /* whatever failed before */
    if (stage_setup_bound(&stage))
        return -1;
    trial->stage = stage;
    *state = trial;
    return 0;
}

static int
trial_teardown(void **state)
{
    struct trial *trial = *state;
    void *stage = trial->stage;

    stage_teardown(&stage);
    free(trial);
    return 0;
}

/* Table entries are members, which the preprocessor cannot count. */
static void
run_counted(struct trial *trial, void (*run)(struct stage *stage))
{
    int name = trial->row->name;
    unsigned before = api_calls[name];

    run(trial->stage);
    if (name < API_COUNTED && api_calls[name] == before)
        fail_msg("%s was not called", names[name]);
    assert_int_equal(chimney_spin_locks_held(), 0);
}

static void
succeeds(void **state)
{
    struct trial *trial = *state;

    run_counted(trial, trial->row->succeeds);
    assert_string_equal(trial->stage->log, "");
    assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static void
fails(void **state)
{
    struct trial *trial = *state;

    run_counted(trial, trial->row->fails);
    assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

static void
says_so_above_its_level(void **state)
{
    struct trial *trial = *state;
    const struct api_row *row = trial->row;
    char complaint[100];
    KIRQL old;

    KeRaiseIrql(DISPATCH_LEVEL, &old);
    run_counted(trial, row->fails ? row->fails : row->succeeds);
    KeLowerIrql(old);
    snprintf(complaint, sizeof(complaint), "%s: called at IRQL %u", names[row->name],
             DISPATCH_LEVEL);
    assert_true(stage_logged(trial->stage, complaint) == (row->limit < DISPATCH_LEVEL));
}

/* ---- all of them ---- */

static struct CMUnitTest tests[3 * API_COUNT + 1];

static void
add(size_t *count, const struct api_row *row, const char *what, CMUnitTestFunction run)
{
    char *name;

    if (asprintf(&name, "%s %s", names[row->name], what) < 0)
        abort();
    tests[(*count)++] = (struct CMUnitTest){name, run, trial_setup, trial_teardown, (void *)row};
}

int
main(void)
{
    size_t count = 0;
    int failed;

    tests[count++] = (struct CMUnitTest)cmocka_unit_test(every_function_has_a_row);
    for (size_t i = 0; i < TABLES; i++)
        for (size_t j = 0; j < tables[i]->count; j++) {
            const struct api_row *row = &tables[i]->rows[j];

            add(&count, row, "succeeds", succeeds);
            if (row->fails)
                add(&count, row, "fails", fails);
            add(&count, row, "and its level", says_so_above_its_level);
        }
    failed = cmocka_run_group_tests_name("ndis/api", tests, NULL, NULL);
    for (size_t i = 1; i < count; i++)
        free((char *)tests[i].name);
    return failed;
}
