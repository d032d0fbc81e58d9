/*
 * rules-sweep: every rule with its state and, tried here and now, its mutants. The last line is
 *
 *   N of 194 rules checked, M with a mutant
 *
 * where M counts rules of which some mutant was found out by that rule and no other. Exit code 1: a
 * mutant was not found out as the table says.
 */
#include "chimney/verifier.h"
#include "trial.h"

#include <stdio.h>
#include <string.h>

struct tally {
    unsigned tried, found, hidden, wrong;
};

static void
try_mutants(const struct verifier_rule *rule, struct tally *tally)
{
    for (size_t i = 0; i < mutant_count; i++) {
        struct trial trial;
        const char *why;

        if (mutants[i].rule != rule->number)
            continue;
        why = trial_verdict(&mutants[i], &trial);
        tally->tried++;
        tally->hidden += !why && mutants[i].hidden;
        tally->found += !why && !mutants[i].hidden && trial.rule == rule->number;
        tally->wrong += why != NULL;
        if (why)
            printf("      mutant %u (%s): %s\n", mutants[i].variant, mutants[i].what, why);
    }
}

static const char *
immunity(unsigned number)
{
    for (size_t i = 0; i < immune_count; i++)
        if (immunes[i].rule == number)
            return immunes[i].why;
    return "none";
}

static void
print_rule(const struct verifier_rule *rule, const struct tally *tally)
{
    printf("V-%03u %-3s %c %-9s ", rule->number, rule->parties, rule->kind,
           rule->unchecked ? "unchecked" : "checked");
    if (tally->tried)
        printf("%u of %u mutants found%s  %s\n", tally->found, tally->tried,
               tally->hidden ? " (the others cannot be seen in calls)" : "", rule->text);
    else
        printf("no mutant: %s  %s\n", immunity(rule->number), rule->text);
    if (rule->unchecked)
        printf("      not checked: %s\n", rule->unchecked);
}

int
main(void)
{
    size_t count;
    const struct verifier_rule *rules = verifier_rules(&count);
    unsigned checked = 0, with_mutant = 0, wrong = 0;

    for (size_t i = 0; i < count; i++) {
        struct tally tally = {0};

        try_mutants(&rules[i], &tally);
        print_rule(&rules[i], &tally);
        checked += !rules[i].unchecked;
        with_mutant += tally.found > 0;
        wrong += tally.wrong;
    }
    printf("%u of %zu rules checked, %u with a mutant\n", checked, count, with_mutant);
    return wrong != 0;
}
