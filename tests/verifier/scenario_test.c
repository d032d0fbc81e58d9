/*
 * The scenario by itself: with three good drivers it runs to its end, every byte, status and count
 * as it should be, with any number of floors between host and target.
 *
 * With a mutation in force it may end anywhere, but NDIS must survive, and the mutation must have
 * been reached. Each mutant runs in a child, so that what happens to it is seen.
 */
#include "mutant.h"
#include "scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 60 /* of a mutant: it hangs */

static void
good_drivers(unsigned floors)
{
    struct world world;

    mutate(NULL);
    scenario_run(&world, floors, NULL);
    if (world.failures)
        print_error("%u failures; the first: %s\n", world.failures, world.first);
    if (world.complaints != world.excused)
        print_error("%u complaints; the first: %s\n", world.complaints, world.complaint);
    assert_int_equal(world.failures, 0);
}

static void
good_drivers_alone(void **state)
{
    good_drivers(0);
}

static void
good_drivers_with_one_between(void **state)
{
    good_drivers(1);
}

static void
good_drivers_with_two_between(void **state)
{
    good_drivers(2);
}

/* ---- mutants ---- */

enum { CHILD_REACHED = 0, CHILD_NOT_REACHED = 77 };

static void
child(const struct mutant *mutant)
{
    struct world world;

    alarm(PATIENCE_S);
    mutate(mutant);
    scenario_run(&world, mutant->floor == 'I', NULL);
    if (getenv("MUTANT"))
        print_error("V-%03u/%u: reached %u, %u failures, first: %s; %u complaints, first: %s\n",
                    mutant->rule, mutant->variant, mutant_reached(), world.failures, world.first,
                    world.complaints, world.complaint);
    /* Without the leak check: a mutant may lose what it likes. */
    _exit(mutant_reached() ? CHILD_REACHED : CHILD_NOT_REACHED);
}

/* What became of it; NULL: it was reached and nothing broke. */
static const char *
run_mutant(const struct mutant *mutant)
{
    int status;
    pid_t pid = fork();

    if (pid < 0)
        return "no child";
    if (!pid)
        child(mutant);
    if (waitpid(pid, &status, 0) != pid)
        return "no answer";
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? "hangs" : "killed by a signal";
    if (WEXITSTATUS(status) == CHILD_NOT_REACHED)
        return "not reached";
    return WEXITSTATUS(status) == CHILD_REACHED ? NULL : "died";
}

static void
mutants_are_reached(void **state)
{
    const char *only = getenv("MUTANT"); /* "29" or "29/2": to look at one */
    unsigned wrong = 0;

    for (size_t i = 0; i < mutant_count; i++) {
        char name[32];
        const char *why;

        snprintf(name, sizeof(name), "%u/%u", mutants[i].rule, mutants[i].variant);
        if (only && strncmp(name, only, strlen(only)) != 0)
            continue;
        why = run_mutant(&mutants[i]);
        if (why)
            print_error("V-%03u/%u (%s): %s\n", mutants[i].rule, mutants[i].variant,
                        mutants[i].what, why);
        wrong += why != NULL;
    }
    assert_int_equal(wrong, 0);
}

/* ---- the tables ---- */

#define RULES 194

/* Of the table of rules: who is bound by which. */
static void
read_binds(char binds[RULES + 1][8])
{
    FILE *file = fopen(CONTRACT_RULES, "r");
    char line[1024];

    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        char floors[8] = "";
        unsigned rule;

        if (sscanf(line, "| V-%u | %7[HINT, ] |", &rule, floors) == 2 && rule <= RULES)
            memcpy(binds[rule], floors, sizeof(floors));
    }
    fclose(file);
}

static void
every_rule_is_accounted_for(void **state)
{
    unsigned mutants_of[RULES + 1] = {0}, immune[RULES + 1] = {0}, covered = 0;

    for (size_t i = 0; i < mutant_count; i++)
        mutants_of[mutants[i].rule]++;
    for (size_t i = 0; i < immune_count; i++)
        immune[immunes[i].rule]++;
    for (unsigned rule = 1; rule <= RULES; rule++) {
        if (!mutants_of[rule] != (immune[rule] == 1))
            print_error("V-%03u: %u mutants, %u reasons for having none\n", rule, mutants_of[rule],
                        immune[rule]);
        assert_true(!mutants_of[rule] == (immune[rule] == 1));
        covered += mutants_of[rule] != 0;
    }
    print_message("# %u rules have mutants, %zu in all\n", covered, mutant_count);
    assert_true(covered >= 120);
}

static void
mutants_are_of_floors_that_are_bound(void **state)
{
    char binds[RULES + 1][8] = {""};

    read_binds(binds);
    for (size_t i = 0; i < mutant_count; i++) {
        const struct mutant *mutant = &mutants[i];

        assert_non_null(strchr(binds[mutant->rule], mutant->floor));
        assert_in_range(mutant->or_rule, 0, RULES);
        for (size_t j = 0; j < i; j++)
            assert_false(mutants[j].rule == mutant->rule && mutants[j].variant == mutant->variant);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_is_accounted_for),
        cmocka_unit_test(mutants_are_of_floors_that_are_bound),
        cmocka_unit_test(good_drivers_alone),
        cmocka_unit_test(good_drivers_with_one_between),
        cmocka_unit_test(good_drivers_with_two_between),
        cmocka_unit_test(mutants_are_reached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
