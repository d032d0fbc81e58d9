/*
 * What tests of mode hash play with: a team of two members over the fake NDIS, trees of one
 * neighbor, one path and connections, and members that answer by layer.
 */
#ifndef INTERMEDIATE_TEAM_TEST_TWO_H
#define INTERMEDIATE_TEAM_TEST_TWO_H

#include "intermediate/floor/ndis_fake.h"
#include "intermediate/team/team.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CONNS 12u

/* ---- a team of two ---- */

void stand(void);
/* Asserts that nothing is left. */
void leave(void);
struct team_member *member(unsigned i);

/* ---- trees ---- */

struct node {
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    UCHAR states[1024] __attribute__((aligned(8)));
};

/* A neighbor, a path, connections that are spread by their ports. */
struct tree {
    struct node neighbor, path, conns[CONNS];
    PVOID cells[2 + CONNS];
    UCHAR addresses[2][4];
};

/* As the last dependent of parent; NULL: as a root. */
void node_init(struct node *node, UCHAR type, PVOID *cell, struct node *parent);
void tree_init(struct tree *tree, unsigned conns);
/* Another connection under what is there. */
void tree_again(struct tree *tree, unsigned conn);
/* Whose it is: a member's number. */
unsigned home_of(const struct tree *tree, unsigned conn);
unsigned first_at(const struct tree *tree, unsigned home);

/* ---- answers ---- */

/* By layer; the context that a member gives is its own number and that of the layer. */
struct answer {
    NDIS_STATUS neighbor, path, tcp;
};
extern const struct answer fine;
extern const struct answer both_fine[2];

/* The member that it went to. */
unsigned whose(const struct fake_call *down);
/* It answers. */
void complete(const struct fake_call *down, const struct answer *answer);

/* ---- whole operations; answers[i]: of member i ---- */

void initiate(struct tree *tree, const struct answer answers[2]);
/* Each block went home as it came, with our context for what came through. */
void check_node(const struct node *node, NDIS_STATUS status);
typedef VOID request_fn(NDIS_HANDLE adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root);
void operate(request_fn *request, struct node *root, const struct answer answers[2]);
/* In one tree; what is not there may be named. */
void terminate_all(struct tree *tree, unsigned conns);

#endif
