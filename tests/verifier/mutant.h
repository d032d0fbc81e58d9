/*
 * Mutants: what the three drivers can do wrong, one thing per run. A mutation point in a driver
 * asks whether its own mutation is in force, and thereby counts that it was reached. Without a
 * mutation every answer is no.
 *
 * The first thing that can be seen from outside should be the breach of the rule the mutant is
 * named after.
 *
 * Threads: one.
 */
#ifndef TESTS_VERIFIER_MUTANT_H
#define TESTS_VERIFIER_MUTANT_H

#include <stdbool.h>
#include <stddef.h>

struct mutant {
    unsigned rule;    /* V-... */
    char floor;       /* whose code misbehaves: H, I, T */
    unsigned variant; /* from 1, over all floors */
    const char *what;
    /* 0, or a rule whose breach cannot be told apart from this one, or has to come first because
     * another floor has to help. */
    unsigned or_rule;
    bool hidden; /* the calls alone may not show it: what the peer did, or what is configured, is
                    needed */
};
extern const struct mutant mutants[];
extern const size_t mutant_count;

/* Rules without a mutant, and why. */
struct immune {
    unsigned rule;
    const char *why;
};
extern const struct immune immunes[];
extern const size_t immune_count;

/* NULL: none. The pointer is kept. */
void mutate(const struct mutant *mutant);
unsigned mutant_reached(void);

/* In force? bad(r): variant 1. bad_once: the first time only. */
bool bad(unsigned rule);
bool bad_v(unsigned rule, unsigned variant);
bool bad_once(unsigned rule);
bool bad_once_v(unsigned rule, unsigned variant);
/* The same for a floor that helps another one to misbehave; not counted. */
bool helps_v(unsigned rule, unsigned variant);

#endif
