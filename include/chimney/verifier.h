/*
 * The verifier: checks at run time that drivers keep the contract, rules V-001 … V-194
 * (contract/rules.md). It is an observer of a house; attach it before the first driver is loaded,
 * detach and destroy it after the house is gone.
 *
 * Threads: the observer's calls come from any thread; the functions here belong to one at a time.
 */
#ifndef CHIMNEY_VERIFIER_H
#define CHIMNEY_VERIFIER_H

#include "chimney/observer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct verifier;

/* What was breached. Pointers are good for the call of on_report only. */
struct verifier_report {
    unsigned rule;       /* 33 is V-033; 0: misuse that no numbered rule speaks about */
    bool warning;        /* the rule is a "should", or a heuristic */
    bool consequential;  /* the same object (or driver) had a breach before: probably its echo */
    const char *driver;  /* who broke it; "?": not known */
    const char *adapter; /* where; NULL: nowhere in particular */
    const char *call;    /* the crossing at which it was seen */
    const void *object;  /* handle, block or NBL; NULL: none */
    const char *seen;    /* what was seen, in words */
};

struct verifier_options {
    /* NULL: each report goes to the log (errors as errors), and a build with assertions stops at
     * the first that is an error and not consequential. */
    void (*on_report)(void *arg, const struct verifier_report *report);
    void *arg;
    uint64_t return_limit_us; /* a handler should have returned by then (V-032); 0: 1 s */
    uint64_t answer_limit_us; /* what must follow has followed by then (V-067 …); 0: 30 s */
};

/* NULL: out of memory. Options are copied; NULL: defaults. */
struct verifier *verifier_create(const struct verifier_options *options);
void verifier_destroy(struct verifier *verifier);
struct observer *verifier_observer(struct verifier *verifier);
/* Looks whether a limit has passed; crossings do so as well. now_us: the loop's clock. */
void verifier_tick(struct verifier *verifier, uint64_t now_us);
/* The house is gone: what is still outstanding now was lost by somebody. */
void verifier_finish(struct verifier *verifier);

struct verifier_counts {
    unsigned long long crossings, frames; /* frames: of offloaded connections */
    unsigned long long errors, warnings, consequential;
};
void verifier_read_counts(struct verifier *verifier, struct verifier_counts *counts);

/*
 * A frame that the driver of an adapter puts on its wire, or gets from it: what the rules of kind C
 * need. Without such a stream they stay silent.
 */
struct verifier_frame {
    const char *adapter;  /* as named in the house */
    bool out;             /* sent by the driver */
    const uint8_t *bytes; /* from the Ethernet header on, all headers and maybe more */
    size_t len;           /* of bytes */
    size_t frame_len;     /* of the whole frame */
    uint16_t gso_size;    /* payload bytes per segment; 0: one segment */
    const uint8_t *mac;   /* of the adapter: 6 bytes */
};
void verifier_frame(struct verifier *verifier, const struct verifier_frame *frame);

/* ---- the rules ---- */

struct verifier_rule {
    unsigned number;
    const char *parties;   /* of H host, I intermediate, T target, N our NDIS */
    char kind;             /* E error, W warning, C needs the frames */
    const char *unchecked; /* why it is not checked; NULL: it is */
    const char *text, *source;
};
/* Ascending, [0] is V-001. */
const struct verifier_rule *verifier_rules(size_t *count);
/* NULL: no such rule. */
const struct verifier_rule *verifier_rule(unsigned number);

#endif
