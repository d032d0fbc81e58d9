/* V-034, V-037 … V-043, V-048 … V-051, V-154: outcomes of an initiate, good and bad. */
#include "verifier/test_kit.h"

#include <string.h>

enum node { N, P1, T1, T2, P2, T3, NODES };

/* N ── P1 ── T1, T2
 *  └── P2 ── T3 */
struct tree {
    struct kit kit;
    struct kit_conn conns[3];
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *blocks[NODES];
};

static void
tree_open(struct tree *tree)
{
    kit_open(&tree->kit, false);
    for (int i = 0; i < 3; i++)
        kit_conn_init(&tree->conns[i]);
    tree->blocks[N] = &tree->conns[0].blocks[0].block;
    tree->blocks[P1] = &tree->conns[0].blocks[1].block;
    tree->blocks[T1] = &tree->conns[0].blocks[2].block;
    tree->blocks[T2] = &tree->conns[1].blocks[2].block;
    tree->blocks[P2] = &tree->conns[2].blocks[1].block;
    tree->blocks[T3] = &tree->conns[2].blocks[2].block;
    tree->blocks[P1]->NextBlock = tree->blocks[P2];
    tree->blocks[T1]->NextBlock = tree->blocks[T2];
}

static void
issue(struct tree *tree)
{
    assert_int_equal(
        kit_tree(&tree->kit, &tree->kit.landing, CROSSING_INITIATE, false, tree->blocks[N]),
        CROSSING_GO);
    kit_assert_none(&tree->kit);
}

/* Contexts as the statuses say. */
static void
answer(struct tree *tree, const NDIS_STATUS statuses[NODES])
{
    for (int i = 0; i < NODES; i++) {
        bool good = statuses[i] == NDIS_STATUS_SUCCESS ||
                    statuses[i] == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;

        tree->blocks[i]->Status = statuses[i];
        if (tree->blocks[i]->OffloadHandle &&
            !tree->blocks[i]->OffloadHandle->MiniportOffloadContext)
            tree->blocks[i]->OffloadHandle->MiniportOffloadContext = good ? tree->blocks[i] : NULL;
    }
}

static void
complete(struct tree *tree, unsigned rule)
{
    kit_tree(&tree->kit, &tree->kit.landing, CROSSING_INITIATE_COMPLETE, true, tree->blocks[N]);
    if (rule)
        kit_assert(&tree->kit, rule, "target");
    kit_assert_none(&tree->kit);
    kit_close(&tree->kit);
}

/* ---- statuses ---- */

#define OK NDIS_STATUS_SUCCESS
#define PART NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS
#define FAIL NDIS_STATUS_FAILURE
#define FULL NDIS_STATUS_OFFLOAD_TCP_ENTRIES

static void
new_offloads(void **state)
{
    static const struct {
        NDIS_STATUS statuses[NODES]; /* N, P1, T1, T2, P2, T3 */
        unsigned rule;
    } cases[] = {
        {{OK, OK, OK, OK, OK, OK}, 0},
        {{PART, PART, OK, FULL, FAIL, FAIL}, 0}, /* the documented example */
        {{OK, PART, OK, FULL, OK, OK}, 0},       /* a part of a dependent counts for its parent */
        {{FAIL, FAIL, FAIL, FAIL, FAIL, FAIL}, 0},
        {{OK, PART, OK, NDIS_STATUS_NOT_ACCEPTED, OK, OK}, 34},
        {{OK, OK, OK, PART, OK, OK}, 34}, /* of a connection */
        {{OK, OK, OK, FULL, OK, OK}, 38},
        {{PART, OK, OK, OK, OK, OK}, 38},
        {{PART, FAIL, OK, FAIL, OK, OK}, 39},
        {{FAIL, FAIL, FAIL, FAIL, OK, OK}, 39},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tree tree;

        print_message("# %zu\n", i);
        tree_open(&tree);
        issue(&tree);
        answer(&tree, cases[i].statuses);
        complete(&tree, cases[i].rule);
    }
}

/* The walk ends with a root that failed; below it that is V-039. */
static void
a_failed_root(void **state)
{
    for (int walked_on = 0; walked_on < 2; walked_on++) {
        NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *sibling;
        struct tree tree;

        tree_open(&tree);
        sibling = &tree.conns[1].blocks[0].block;
        sibling->DependentBlockList = tree.blocks[N]->DependentBlockList = NULL;
        tree.blocks[N]->NextBlock = sibling;
        issue(&tree);
        tree.blocks[N]->Status = FAIL;
        sibling->Status = walked_on ? OK : FAIL;
        sibling->OffloadHandle->MiniportOffloadContext = walked_on ? sibling : NULL;
        complete(&tree, walked_on ? 40 : 0);
    }
}

/* P1 is there already, N is a placeholder. */
static void
linkers(void **state)
{
    static const struct {
        NDIS_STATUS statuses[NODES];
        unsigned rule;
    } cases[] = {
        {{OK, OK, OK, OK, OK, OK}, 0},
        {{OK, PART, OK, FULL, OK, OK}, 0},
        {{OK, FAIL, FULL, FULL, OK, OK}, 0},
        {{OK, OK, OK, FULL, OK, OK}, 37},
        {{OK, PART, OK, OK, OK, OK}, 37},
        {{OK, PART, FULL, FULL, OK, OK}, 37},
        {{OK, NDIS_STATUS_RESOURCES, FULL, FULL, OK, OK}, 37},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kit_conn first;
        struct tree tree;

        print_message("# %zu\n", i);
        tree_open(&tree);
        kit_offload(&tree.kit, &tree.kit.landing, &first);
        tree.blocks[N]->OffloadHandle = NULL;
        tree.blocks[P1]->OffloadHandle = &first.path;
        tree.blocks[P1]->NextBlock = NULL;
        issue(&tree);
        answer(&tree, cases[i].statuses);
        complete(&tree, cases[i].rule);
    }
}

/* ---- contexts ---- */

static void
contexts(void **state)
{
    static const NDIS_STATUS all[NODES] = {OK, OK, OK, OK, OK, OK};
    static const NDIS_STATUS most[NODES] = {OK, PART, OK, FULL, OK, OK};
    struct tree tree;

    tree_open(&tree);
    issue(&tree);
    answer(&tree, all);
    tree.blocks[T2]->OffloadHandle->MiniportOffloadContext = NULL;
    complete(&tree, 42);

    tree_open(&tree);
    issue(&tree);
    answer(&tree, all);
    tree.blocks[T2]->OffloadHandle->MiniportOffloadContext = tree.blocks[T1];
    complete(&tree, 42);

    tree_open(&tree);
    issue(&tree);
    answer(&tree, most);
    tree.blocks[T2]->OffloadHandle->MiniportOffloadContext = tree.blocks[T2];
    complete(&tree, 43);
}

/* The context of an object is used as long as its terminate is out. */
static void
a_context_given_out_again(void **state)
{
    struct kit_conn old, new;
    struct kit kit;

    for (int early = 0; early < 2; early++) {
        kit_open(&kit, false);
        kit_offload(&kit, &kit.landing, &old);
        kit_terminate(&kit, &kit.landing, &old);
        kit_conn_init(&new);
        kit_initiate(&kit, &kit.landing, &new);
        if (!early)
            kit_terminate_complete(&kit, &kit.landing, &old, OK, NULL);
        for (int i = 0; i < 3; i++)
            new.blocks[i].block.Status = OK;
        new.neighbor.MiniportOffloadContext = &new.blocks[0];
        new.path.MiniportOffloadContext = &new.blocks[1];
        new.tcp.MiniportOffloadContext = &old.blocks[2]; /* as before */
        kit_tree(&kit, &kit.landing, CROSSING_INITIATE_COMPLETE, true, &new.blocks[0]);
        if (early)
            kit_assert(&kit, 154, "target");
        kit_assert_none(&kit);
        kit_close(&kit);
    }
}

/* ---- reasons ---- */

static void
reasons(void **state)
{
    static const struct {
        enum node node;
        NDIS_STATUS status;
        unsigned vlan, rule;
        bool address;
    } cases[] = {
        {N, NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES, 0, 48, false},
        {N, NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES, 0, 0, true},
        {T3, NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES, 0, 48, true},
        {N, NDIS_STATUS_OFFLOAD_VLAN_MISMATCH, 0, 50, false},
        {N, NDIS_STATUS_OFFLOAD_VLAN_MISMATCH, 7, 0, false},
        {N, NDIS_STATUS_OFFLOAD_VLAN_ENTRIES, 7, 0, false},
        {T3, NDIS_STATUS_OFFLOAD_VLAN_ENTRIES, 7, 50, false},
        {T3, NDIS_STATUS_OFFLOAD_PATH_MTU, 0, 49, false},
        {T3, NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW, 0, 0, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        NDIS_STATUS root[NODES] = {FAIL, FAIL, FAIL, FAIL, FAIL, FAIL};
        NDIS_STATUS leaf[NODES] = {OK, OK, OK, OK, PART, FAIL};
        NDIS_STATUS *statuses = cases[i].node == N ? root : leaf;
        NEIGHBOR_OFFLOAD_STATE_CONST *fixed;
        struct tree tree;

        print_message("# %zu\n", i);
        tree_open(&tree);
        fixed = NDIS_OFFLOAD_STATE_FIRST(tree.blocks[N]);
        fixed->VlanId = cases[i].vlan;
        fixed->DlSourceAddress[0] = cases[i].address ? 2 : 0;
        issue(&tree);
        statuses[cases[i].node] = cases[i].status;
        answer(&tree, statuses);
        complete(&tree, cases[i].rule);
    }
}

/* V-049: what fitted once fits again. */
static void
a_window_that_was_taken(void **state)
{
    static const struct {
        int more; /* than before */
        unsigned rule;
    } cases[] = {{0, 49}, {-1, 49}, {1, 0}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        TCP_OFFLOAD_STATE_CONST *fixed;
        TCP_OFFLOAD_STATE_CACHED *cached;
        struct kit_conn first, second;
        struct kit kit;

        kit_open(&kit, false);
        kit_offload(&kit, &kit.landing, &first);
        kit_conn_init(&second);
        fixed = NDIS_OFFLOAD_STATE_FIRST(&second.blocks[2].block);
        cached = NDIS_OFFLOAD_STATE_NEXT(fixed);
        cached->InitialRcvWnd += (ULONG)cases[i].more;
        kit_initiate(&kit, &kit.landing, &second);
        second.initiate_status = NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW;
        kit_initiate_complete(&kit, &kit.landing, &second);
        if (cases[i].rule)
            kit_assert(&kit, cases[i].rule, "target");
        kit_assert_none(&kit);
        kit_close(&kit);
    }
}

/* ---- the chain of a failed connection ---- */

static void
keep(struct kit *kit, struct kit_conn *conn, struct kit_nbl nbls[2])
{
}

static void
mark(struct kit *kit, struct kit_conn *conn, struct kit_nbl nbls[2])
{
    nbls[1].nbl.Status = NDIS_STATUS_FAILURE;
}

static void
take(struct kit *kit, struct kit_conn *conn, struct kit_nbl nbls[2])
{
    conn->blocks[2].block.NetBufferListChain = NULL;
}

static void
unlink(struct kit *kit, struct kit_conn *conn, struct kit_nbl nbls[2])
{
    nbls[0].nbl.Next = NULL;
}

static void
finish(struct kit *kit, struct kit_conn *conn, struct kit_nbl nbls[2])
{
    nbls[0].nbl.Next = NULL;
    kit_finish(kit, &kit->landing, CROSSING_TCP_SEND_COMPLETE, &nbls[0], OK, 10);
    kit->count = 0; /* its rules are not what is meant here */
}

static void
chains(void **state)
{
    static const struct {
        void (*spoil)(struct kit *kit, struct kit_conn *conn, struct kit_nbl nbls[2]);
        unsigned rule;
    } cases[] = {{keep, 0}, {mark, 51}, {take, 51}, {unlink, 51}, {finish, 51}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kit_nbl nbls[2];
        struct kit_conn conn;
        struct kit kit;

        print_message("# %zu\n", i);
        kit_open(&kit, false);
        kit_conn_init(&conn);
        for (int n = 0; n < 2; n++) {
            kit_nbl_init(&nbls[n], 10, 0);
            nbls[n].nbl.Status = NDIS_STATUS_NOT_ACCEPTED;
        }
        nbls[0].nbl.Next = &nbls[1].nbl;
        conn.blocks[2].block.NetBufferListChain = &nbls[0].nbl;
        kit_delegated(&conn)->SendDataHead = &nbls[0].nbl;
        kit_delegated(&conn)->SendDataTail = &nbls[1].nbl;
        kit_initiate(&kit, &kit.landing, &conn);
        cases[i].spoil(&kit, &conn, nbls);
        conn.initiate_status = NDIS_STATUS_OFFLOAD_TCP_ENTRIES;
        kit_initiate_complete(&kit, &kit.landing, &conn);
        if (cases[i].rule)
            kit_assert(&kit, cases[i].rule, "target");
        kit_assert_none(&kit);
        kit_close(&kit);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_offloads),
        cmocka_unit_test(a_failed_root),
        cmocka_unit_test(linkers),
        cmocka_unit_test(contexts),
        cmocka_unit_test(a_context_given_out_again),
        cmocka_unit_test(reasons),
        cmocka_unit_test(a_window_that_was_taken),
        cmocka_unit_test(chains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
