/* What the cases of abuse have in common (abuse_test.c). */
#ifndef TESTS_VERIFIER_ABUSE_H
#define TESTS_VERIFIER_ABUSE_H

#include "chimney/verifier.h"
#include "ndis/test_fakes.h"
#include "verifier/test_kit.h"

#define SCENE_REPORTS 64

struct scene {
    struct stage *stage;
    struct verifier *verifier;
    unsigned rules[SCENE_REPORTS], count; /* reported since the case began */
    NDIS_HANDLE nic0, nic1, pool;
    UCHAR addresses[2][4];
    struct test_block conn[3]; /* offloaded */
    struct test_block query[2];
    NET_BUFFER_LIST *nbl; /* one, in nobody's hands */
    bool closed;          /* the case has taken the binding away */
};

struct abuse {
    const char *what;
    unsigned rule;
    void (*act)(struct scene *scene);
};
extern const struct abuse abuse_from_above[], abuse_from_below[], abuse_after_close[];
extern const size_t abuse_from_above_count, abuse_from_below_count, abuse_after_close_count;

void tree_init(struct scene *scene, struct test_block b[3]);
void tree_end(struct scene *scene, struct test_block b[3]);
/* The target completes what it holds, well. */
void answer(struct scene *scene);
PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST query_held(struct scene *scene);

#endif
