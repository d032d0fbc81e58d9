/* V-014 … V-028: one thing wrong with a tree, and trees that only look wrong. */
#include "verifier/test_kit.h"

#include <string.h>

/* ---- initiates ---- */

struct spoiled {
    const char *what;
    unsigned rule; /* 0: nothing is wrong */
    enum crossing_veto veto;
    void (*spoil)(struct kit_conn *conn);
};

static NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
block_of(struct kit_conn *conn, int layer)
{
    return &conn->blocks[layer].block;
}

static void *
const_of(struct kit_conn *conn, int layer)
{
    return NDIS_OFFLOAD_STATE_FIRST(block_of(conn, layer));
}

static void
reserved_type(struct kit_conn *conn)
{
    block_of(conn, 2)->Header.Type = TcpOffloadResourceState;
}

static void
no_type(struct kit_conn *conn)
{
    block_of(conn, 0)->Header.Type = 0;
}

/* Of a placeholder the type means nothing. */
static void
placeholder_of_any_type(struct kit_conn *conn)
{
    block_of(conn, 0)->NextBlock = block_of(conn, 2);
    block_of(conn, 1)->DependentBlockList = NULL;
    block_of(conn, 2)->Header.Type = 99;
    block_of(conn, 2)->OffloadHandle = NULL;
}

static void
too_small(struct kit_conn *conn)
{
    block_of(conn, 1)->Header.Size = 8;
}

static void
placeholder_too_small(struct kit_conn *conn)
{
    placeholder_of_any_type(conn);
    block_of(conn, 2)->Header.Size = 0;
}

static void
unknown_revision(struct kit_conn *conn)
{
    block_of(conn, 0)->Header.Revision = 7;
}

static void
sibling_of_another_layer(struct kit_conn *conn)
{
    block_of(conn, 0)->NextBlock = block_of(conn, 2);
    block_of(conn, 1)->DependentBlockList = NULL;
}

static void
layer_left_out(struct kit_conn *conn)
{
    block_of(conn, 0)->DependentBlockList = block_of(conn, 2);
}

static void
layers_upside_down(struct kit_conn *conn)
{
    block_of(conn, 0)->DependentBlockList = block_of(conn, 2);
    block_of(conn, 2)->DependentBlockList = block_of(conn, 1);
    block_of(conn, 1)->DependentBlockList = NULL;
}

static void
own_sibling(struct kit_conn *conn)
{
    block_of(conn, 1)->NextBlock = block_of(conn, 1);
}

static void
back_to_the_root(struct kit_conn *conn)
{
    block_of(conn, 2)->DependentBlockList = block_of(conn, 0);
}

static void
one_class_only(struct kit_conn *conn)
{
    block_of(conn, 2)->Header.Type = TcpOffloadDelegatedState;
}

static void
wrong_length(struct kit_conn *conn)
{
    ((OFFLOAD_STATE_HEADER *)const_of(conn, 1))->Length = 12;
}

/* NDIS sets it (P12). */
static void
length_left_out(struct kit_conn *conn)
{
    ((OFFLOAD_STATE_HEADER *)const_of(conn, 1))->Length = 0;
}

static void
no_address(struct kit_conn *conn)
{
    ((PATH_OFFLOAD_STATE_CONST *)const_of(conn, 1))->DestinationAddress = NULL;
}

static void
window_scale_15(struct kit_conn *conn)
{
    ((TCP_OFFLOAD_STATE_CONST *)const_of(conn, 2))->RcvWindScale = 15;
}

static void
window_scale_14(struct kit_conn *conn)
{
    ((TCP_OFFLOAD_STATE_CONST *)const_of(conn, 2))->RcvWindScale = 14;
}

static void
address_of_a_group(struct kit_conn *conn)
{
    memset(((NEIGHBOR_OFFLOAD_STATE_CONST *)const_of(conn, 0))->DlSourceAddress, 0xff, 6);
}

static void
address_too_long(struct kit_conn *conn)
{
    ((NEIGHBOR_OFFLOAD_STATE_CONST *)const_of(conn, 0))->DlSourceAddress[6] = 1;
}

static void
address_of_a_station(struct kit_conn *conn)
{
    memset(((NEIGHBOR_OFFLOAD_STATE_CONST *)const_of(conn, 0))->DlSourceAddress, 0x42, 6);
}

static void
initiates(void **state)
{
    static const struct spoiled cases[] = {
        {"reserved type", 14, CROSSING_REFUSE, reserved_type},
        {"no type", 14, CROSSING_REFUSE, no_type},
        {"placeholder of any type", 0, CROSSING_GO, placeholder_of_any_type},
        {"too small", 15, CROSSING_REFUSE, too_small},
        {"placeholder too small", 15, CROSSING_REFUSE, placeholder_too_small},
        {"unknown revision", 15, CROSSING_REFUSE, unknown_revision},
        {"sibling of another layer", 16, CROSSING_REFUSE, sibling_of_another_layer},
        {"layer left out", 17, CROSSING_REFUSE, layer_left_out},
        {"layers upside down", 17, CROSSING_REFUSE, layers_upside_down},
        {"own sibling", 18, CROSSING_REFUSE, own_sibling},
        {"back to the root", 18, CROSSING_REFUSE, back_to_the_root},
        {"one class only", 20, CROSSING_REFUSE, one_class_only},
        {"wrong length", 21, CROSSING_GO, wrong_length},
        {"length left out", 0, CROSSING_GO, length_left_out},
        {"no address", 22, CROSSING_REFUSE, no_address},
        {"window scale 15", 27, CROSSING_GO, window_scale_15},
        {"window scale 14", 0, CROSSING_GO, window_scale_14},
        {"address of a group", 28, CROSSING_GO, address_of_a_group},
        {"address too long", 28, CROSSING_GO, address_too_long},
        {"address of a station", 0, CROSSING_GO, address_of_a_station},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kit_conn conn;
        struct kit kit;

        print_message("# %s\n", cases[i].what);
        kit_open(&kit, false);
        kit_conn_init(&conn);
        cases[i].spoil(&conn);
        assert_int_equal(kit_tree(&kit, &kit.landing, CROSSING_INITIATE, false, &conn.blocks[0]),
                         cases[i].veto);
        if (cases[i].rule)
            kit_assert(&kit, cases[i].rule, "host");
        kit_assert_none(&kit);
        kit_close(&kit);
    }
}

/* ---- everything else, on an object that is there ---- */

struct typed {
    enum crossing_op op;
    int layer;
    UCHAR type;
    unsigned rule;
};

static void
types(void **state)
{
    static const struct typed cases[] = {
        {CROSSING_QUERY, 2, TcpOffloadState, 0},
        {CROSSING_QUERY, 2, TcpOffloadConstState, 0},
        {CROSSING_QUERY, 2, TcpOffloadResourceState, 14},
        {CROSSING_QUERY, 2, Ip4OffloadState, 14}, /* it names a connection */
        {CROSSING_QUERY, 1, Ip6OffloadCachedState, 22},
        {CROSSING_INVALIDATE, 0, NeighborOffloadState, 0},
        {CROSSING_INVALIDATE, 0, NeighborOffloadCachedState, 23},
        {CROSSING_UPDATE, 2, TcpOffloadCachedState, 0},
        {CROSSING_UPDATE, 2, TcpOffloadConstState, 24},
        {CROSSING_UPDATE, 1, Ip4OffloadDelegatedState, 24},
        {CROSSING_UPDATE, 0, NeighborOffloadState, 0},
        {CROSSING_UPDATE, 1, Ip4OffloadState, 26}, /* linked to nothing */
        {CROSSING_UPDATE, 2, TcpOffloadState, 26},
        {CROSSING_TERMINATE, 2, TcpOffloadDelegatedState, 0},
        {CROSSING_TERMINATE, 2, TcpOffloadState, 25},
        {CROSSING_TERMINATE, 2, TcpOffloadCachedState, 25},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kit_conn conn;
        struct kit_block block;
        struct kit kit;

        print_message("# %s of type %u\n", crossing_name(cases[i].op), cases[i].type);
        kit_open(&kit, false);
        kit_offload(&kit, &kit.landing, &conn);
        kit_block_init(&block, cases[i].type,
                       cases[i].layer == 0   ? &conn.neighbor
                       : cases[i].layer == 1 ? &conn.path
                                             : &conn.tcp);
        kit_tree(&kit, &kit.landing, cases[i].op, false, &block);
        if (cases[i].rule)
            kit_assert(&kit, cases[i].rule, "host");
        kit_assert_none(&kit);
        kit_close(&kit);
    }
}

/* ---- linkers and relinking ---- */

static void
a_linker_has_a_dependent(void **state)
{
    struct kit_conn conn, other;
    struct kit kit;

    kit_open(&kit, false);
    kit_offload(&kit, &kit.landing, &conn);
    kit_conn_init(&other);
    other.blocks[1].block.OffloadHandle = &conn.path;
    kit_tree(&kit, &kit.landing, CROSSING_INITIATE, false, &other.blocks[1]);
    kit_assert_none(&kit);
    kit_block_init(&conn.blocks[0], NeighborOffloadState, &conn.neighbor);
    kit_tree(&kit, &kit.landing, CROSSING_INITIATE, false, &conn.blocks[0]);
    kit_assert(&kit, 19, "host");
    kit_close(&kit);
}

static void
linking_to_another_neighbor(void **state)
{
    struct kit_conn conn, other;
    struct kit_block neighbor, path, tcp;
    struct kit kit;

    kit_open(&kit, false);
    kit_offload(&kit, &kit.landing, &conn);
    kit_offload(&kit, &kit.landing, &other);
    kit_block_init(&neighbor, NeighborOffloadState, &other.neighbor);
    kit_block_init(&path, Ip4OffloadState, &conn.path);
    neighbor.block.DependentBlockList = &path.block;
    kit_tree(&kit, &kit.landing, CROSSING_UPDATE, false, &neighbor);
    neighbor.block.Status = path.block.Status = NDIS_STATUS_SUCCESS;
    kit_tree(&kit, &kit.landing, CROSSING_UPDATE_COMPLETE, true, &neighbor);
    kit_assert_none(&kit);

    kit_block_init(&path, Ip4OffloadState, &other.path);
    kit_block_init(&tcp, TcpOffloadCachedState, &conn.tcp);
    kit_state_add(&tcp, &(size_t){0}, sizeof(TCP_OFFLOAD_STATE_CACHED));
    path.block.DependentBlockList = &tcp.block;
    kit_tree(&kit, &kit.landing, CROSSING_UPDATE, false, &path);
    kit_assert(&kit, 26, "host");
    kit_close(&kit);
}

/* ---- two trees ---- */

static void
a_block_in_two_trees(void **state)
{
    struct kit_conn conn;
    struct kit_block first, second;
    struct kit kit;

    kit_open(&kit, false);
    kit_offload(&kit, &kit.landing, &conn);
    kit_block_init(&first, TcpOffloadConstState, &conn.tcp);
    kit_state_add(&first, &(size_t){0}, sizeof(TCP_OFFLOAD_STATE_CONST));
    second = first;
    kit_tree(&kit, &kit.landing, CROSSING_QUERY, false, &first);
    assert_int_equal(kit_tree(&kit, &kit.landing, CROSSING_QUERY, false, &second), CROSSING_GO);
    kit_assert_none(&kit);
    /* refusing it would write into what the target works on */
    assert_int_equal(kit_tree(&kit, &kit.landing, CROSSING_QUERY, false, &first), CROSSING_DROP);
    kit_assert(&kit, 18, "host");
    kit_close(&kit);
}

/* The memory that it was given is an overlay, so an intermediate driver may send it on. */
static void
the_same_block_below(void **state)
{
    struct kit_conn upper;
    NDIS_OFFLOAD_HANDLE handles[3] = {{{NULL}, NULL}};
    struct crossing crossing;
    struct kit kit;

    kit_open(&kit, true);
    kit_conn_init(&upper);
    kit_tree_before(&kit, &crossing, &kit.upper, CROSSING_INITIATE, false, &upper.blocks[0].block);
    for (int i = 0; i < 3; i++)
        upper.blocks[i].block.OffloadHandle = &handles[i];
    assert_int_equal(kit_tree(&kit, &kit.landing, CROSSING_INITIATE, false, &upper.blocks[0]),
                     CROSSING_GO);
    kit_after(&kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_assert_none(&kit);
    assert_int_equal(kit_tree(&kit, &kit.upper, CROSSING_INITIATE, false, &upper.blocks[0]),
                     CROSSING_DROP);
    kit_assert(&kit, 18, "host");
    kit_close(&kit);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initiates),
        cmocka_unit_test(types),
        cmocka_unit_test(a_linker_has_a_dependent),
        cmocka_unit_test(linking_to_another_neighbor),
        cmocka_unit_test(a_block_in_two_trees),
        cmocka_unit_test(the_same_block_below),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
