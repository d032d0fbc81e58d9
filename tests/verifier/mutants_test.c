/*
 * Every mutant is found out: the first finding is the breach of the rule it is named after, or of
 * the one the table allows instead; what follows is marked as consequential or comes later. The
 * good drivers are found clean, or none of this would mean anything.
 */
#include "chimney/verifier.h"
#include "trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
good_drivers_are_clean(void **state)
{
    for (unsigned floors = 0; floors < 3; floors++) {
        struct trial trial;

        trial_run(NULL, floors, &trial);
        if (trial.died || trial.findings)
            print_error("%u floors: %s, %u findings, the first: %s\n", floors,
                        trial.died ? trial.died : "ended", trial.findings, trial.report);
        assert_null(trial.died);
        assert_int_equal(trial.findings, 0);
    }
}

static void
of_floor(char floor)
{
    const char *only = getenv("MUTANT"); /* "29" or "29/2": to look at one */
    unsigned wrong = 0;

    for (size_t i = 0; i < mutant_count; i++) {
        char name[32];
        struct trial trial;
        const char *why;

        snprintf(name, sizeof(name), "%u/%u", mutants[i].rule, mutants[i].variant);
        if (mutants[i].floor != floor || (only && strncmp(name, only, strlen(only)) != 0))
            continue;
        why = trial_verdict(&mutants[i], &trial);
        if (only || why)
            print_error("V-%03u/%u (%s): %s; %s\n", mutants[i].rule, mutants[i].variant,
                        mutants[i].what, why ? why : "as it should be", trial.report);
        wrong += why != NULL;
    }
    assert_int_equal(wrong, 0);
}

static void
targets_are_found_out(void **state)
{
    of_floor('T');
}

static void
host_stacks_are_found_out(void **state)
{
    of_floor('H');
}

static void
intermediate_drivers_are_found_out(void **state)
{
    of_floor('I');
}

/* What is said to be unchecked has no mutant that is said to be seen. */
static void
seen_mutants_are_of_checked_rules(void **state)
{
    for (size_t i = 0; i < mutant_count; i++) {
        const struct verifier_rule *rule = verifier_rule(mutants[i].rule);

        if (rule->unchecked && !mutants[i].hidden && !mutants[i].or_rule)
            fail_msg("V-%03u/%u: the rule is not checked: %s", mutants[i].rule, mutants[i].variant,
                     rule->unchecked);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_drivers_are_clean),
        cmocka_unit_test(seen_mutants_are_of_checked_rules),
        cmocka_unit_test(targets_are_found_out),
        cmocka_unit_test(host_stacks_are_found_out),
        cmocka_unit_test(intermediate_drivers_are_found_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
