/*
 * A trial: one mutant's life under the verifier, in a child process of its own, so that what
 * becomes of it is seen and harms nobody.
 */
#ifndef TESTS_VERIFIER_TRIAL_H
#define TESTS_VERIFIER_TRIAL_H

#include "mutant.h"

struct trial {
    const char *died;  /* how; NULL: it ended by itself */
    unsigned reached;  /* how often the mutation was */
    unsigned findings; /* reports that are not consequential */
    unsigned rule;     /* of the first of them */
    bool named;        /* one of them, or a consequential one, is of the mutant's rule */
    char report[256];  /* the first finding, in words */
};

/* NULL: the good drivers. */
void trial_run(const struct mutant *mutant, unsigned floors, struct trial *trial);
/* With as many floors as the mutant needs. NULL: as the table says; otherwise what is wrong. */
const char *trial_verdict(const struct mutant *mutant, struct trial *trial);

#endif
