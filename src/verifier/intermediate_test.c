/* V-158 … V-166: a driver in between that passes things on, and one thing wrong with it. */
#include "verifier/test_kit.h"

#include <string.h>

#define LENGTH 100u

/* host ── im ── target. The driver in between sends the tree that it was given, with its own
 * handles, and puts everything back on the way up. */
struct stack {
    struct kit kit;
    struct kit_conn conn;
    NDIS_OFFLOAD_HANDLE handles[3]; /* of the driver in between */
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST saved[3];
    struct kit_conn own;  /* its connection below, for data calls: handles[2] is in it */
    struct crossing down; /* upper landing */
};

static void
save(struct stack *stack)
{
    for (int i = 0; i < 3; i++) {
        NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = &stack->conn.blocks[i].block;

        stack->saved[i] = *block;
        block->OffloadHandle = &stack->handles[i];
        block->ImReserved[0] = stack;
    }
}

static void
restore(struct stack *stack)
{
    for (int i = 0; i < 3; i++) {
        NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = &stack->conn.blocks[i].block;

        block->OffloadHandle = stack->saved[i].OffloadHandle;
        block->ImReserved[0] = stack->saved[i].ImReserved[0];
        block->SourceHandle = stack->saved[i].SourceHandle;
    }
}

/* Asked above, and not passed on yet. */
static void
stack_open(struct stack *stack)
{
    memset(stack->handles, 0, sizeof(stack->handles));
    kit_open(&stack->kit, true);
    kit_conn_init(&stack->conn);
    kit_tree_before(&stack->kit, &stack->down, &stack->kit.upper, CROSSING_INITIATE, false,
                    &stack->conn.blocks[0].block);
    save(stack);
}

static enum crossing_veto
pass_down(struct stack *stack)
{
    enum crossing_veto veto = kit_tree(&stack->kit, &stack->kit.landing, CROSSING_INITIATE, false,
                                       &stack->conn.blocks[0]);

    kit_after(&stack->kit, &stack->down, NDIS_STATUS_SUCCESS);
    return veto;
}

/* The target's answer, and the driver's own contexts. */
static void
answer(struct stack *stack)
{
    for (int i = 0; i < 3; i++) {
        stack->conn.blocks[i].block.Status = NDIS_STATUS_SUCCESS;
        stack->handles[i].MiniportOffloadContext = &stack->own.blocks[i];
    }
    kit_tree(&stack->kit, &stack->kit.landing, CROSSING_INITIATE_COMPLETE, true,
             &stack->conn.blocks[0]);
    restore(stack);
    stack->conn.neighbor.MiniportOffloadContext = &stack->handles[0];
    stack->conn.path.MiniportOffloadContext = &stack->handles[1];
    stack->conn.tcp.MiniportOffloadContext = &stack->handles[2];
}

static enum crossing_veto
pass_up(struct stack *stack)
{
    return kit_tree(&stack->kit, &stack->kit.upper, CROSSING_INITIATE_COMPLETE, true,
                    &stack->conn.blocks[0]);
}

static void
stack_close(struct stack *stack, unsigned rule)
{
    if (rule)
        kit_assert(&stack->kit, rule, "im");
    kit_assert_none(&stack->kit);
    kit_close(&stack->kit);
}

/* All of it, well. */
static void
stack_offload(struct stack *stack)
{
    stack_open(stack);
    pass_down(stack);
    answer(stack);
    pass_up(stack);
    kit_assert_none(&stack->kit);
}

static void
a_good_driver(void **state)
{
    struct stack stack;

    stack_offload(&stack);
    stack_close(&stack, 0);
}

/* ---- trees ---- */

static void
not_restored(void **state)
{
    static const struct {
        size_t offset;
        unsigned rule;
    } cases[] = {
        {offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, ImReserved), 158},
        {offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, SourceHandle), 158},
        {offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, OffloadHandle), 159},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kit_block right;
        struct stack stack;

        stack_open(&stack);
        pass_down(&stack);
        answer(&stack);
        right = stack.conn.blocks[2];
        *((UCHAR *)&stack.conn.blocks[2] + cases[i].offset) ^= 1;
        assert_int_equal(pass_up(&stack), CROSSING_GO);
        assert_memory_equal(&stack.conn.blocks[2], &right, sizeof(right.block));
        stack_close(&stack, cases[i].rule);
    }
}

/* The handle from above is not for below: NDIS would find the way to the driver itself. */
static void
the_handle_it_was_given(void **state)
{
    struct stack stack;

    stack_open(&stack);
    stack.conn.blocks[2].block.OffloadHandle = &stack.conn.tcp;
    assert_int_equal(pass_down(&stack), CROSSING_REFUSE);
    stack_close(&stack, 159);
}

static void
twice_below(void **state)
{
    struct kit_conn copy;
    struct stack stack;

    stack_open(&stack);
    pass_down(&stack);
    kit_assert_none(&stack.kit);
    kit_conn_init(&copy); /* in memory of its own, later */
    kit_tree(&stack.kit, &stack.kit.landing, CROSSING_INITIATE, false, &copy.blocks[0]);
    stack_close(&stack, 160);
}

/* One that makes one adapter of several: once at each of those below, and no more. */
static void
once_at_each_adapter(void **state)
{
    struct kit_conn copies[2];
    struct stack stack;

    for (int again = 0; again < 2; again++) {
        struct kit_landing other;

        stack_open(&stack);
        other = stack.kit.landing;
        other.adapter = "other nic";
        kit_conn_init(&copies[0]);
        kit_conn_init(&copies[1]);
        kit_tree(&stack.kit, &stack.kit.landing, CROSSING_INITIATE, false, &stack.conn.blocks[0]);
        kit_tree(&stack.kit, &other, CROSSING_INITIATE, false, &copies[0].blocks[0]);
        kit_assert_none(&stack.kit);
        if (again)
            kit_tree(&stack.kit, &other, CROSSING_INITIATE, false, &copies[1].blocks[0]);
        kit_after(&stack.kit, &stack.down, NDIS_STATUS_SUCCESS);
        stack_close(&stack, again ? 160 : 0);
    }
}

/* A driver may copy the tree and send it later. */
static void
a_copy_later(void **state)
{
    struct kit_conn copy;
    struct stack stack;

    stack_open(&stack);
    restore(&stack);
    kit_after(&stack.kit, &stack.down, NDIS_STATUS_SUCCESS);
    kit_offload(&stack.kit, &stack.kit.landing, &copy);
    kit_initiate_complete(&stack.kit, &stack.kit.upper, &stack.conn);
    stack_close(&stack, 0);
}

static void
completed_before_it_is_done_below(void **state)
{
    struct stack stack;

    stack_open(&stack);
    pass_down(&stack);
    restore(&stack);
    for (int i = 0; i < 3; i++)
        stack.conn.blocks[i].block.Status = NDIS_STATUS_FAILURE;
    assert_int_equal(pass_up(&stack), CROSSING_DROP);
    stack_close(&stack, 160);
}

static void
the_context_from_below(void **state)
{
    struct stack stack;

    stack_open(&stack);
    pass_down(&stack);
    answer(&stack);
    stack.conn.tcp.MiniportOffloadContext = &stack.own.blocks[2];
    pass_up(&stack);
    stack_close(&stack, 161);
}

/* V-166: what it cannot do fails as a whole, with one status or with those of R-23. */
static void
it_cannot(void **state)
{
    enum { unwritten = 1 }; /* no status that there is */
    static const struct {
        NDIS_STATUS statuses[3];
        unsigned rule;
    } cases[] = {
        {{NDIS_STATUS_RESOURCES, NDIS_STATUS_FAILURE, NDIS_STATUS_FAILURE}, 0},
        {{NDIS_STATUS_PAUSED, NDIS_STATUS_PAUSED, NDIS_STATUS_PAUSED}, 0},
        {{NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS}, 166},
        {{NDIS_STATUS_PAUSED, NDIS_STATUS_FAILURE, NDIS_STATUS_FAILURE}, 34},
        {{NDIS_STATUS_FAILURE, unwritten, NDIS_STATUS_FAILURE}, 166},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool good = cases[i].statuses[0] == NDIS_STATUS_SUCCESS;
        struct stack stack;

        print_message("# %zu\n", i);
        stack_open(&stack);
        restore(&stack);
        kit_after(&stack.kit, &stack.down, NDIS_STATUS_SUCCESS);
        for (int n = 0; n < 3; n++)
            if (cases[i].statuses[n] != unwritten)
                stack.conn.blocks[n].block.Status = cases[i].statuses[n];
        stack.conn.neighbor.MiniportOffloadContext = good ? &stack.handles[0] : NULL;
        stack.conn.path.MiniportOffloadContext = good ? &stack.handles[1] : NULL;
        stack.conn.tcp.MiniportOffloadContext = good ? &stack.handles[2] : NULL;
        pass_up(&stack);
        stack_close(&stack, cases[i].rule);
    }
}

/* NDIS waits for a completion in vain: it cannot know why there is none. */
static void
ndis_waits(void **state)
{
    struct stack stack;

    stack_open(&stack);
    kit_after(&stack.kit, &stack.down, NDIS_STATUS_SUCCESS);
    stack.kit.observer->on_breach(stack.kit.observer->arg, 29, "im", NULL, "not complete");
    stack_close(&stack, 166);

    stack_open(&stack);
    kit_after(&stack.kit, &stack.down, NDIS_STATUS_SUCCESS);
    stack.kit.observer->on_breach(stack.kit.observer->arg, 29, "target", NULL, "not complete");
    kit_assert(&stack.kit, 29, "target");
    stack_close(&stack, 0);

    stack_open(&stack);
    pass_down(&stack);
    stack.kit.observer->on_breach(stack.kit.observer->arg, 29, "im", NULL, "not complete");
    stack_close(&stack, 29);
}

/* At the end: who had it last. */
static void
lost(void **state)
{
    struct stack stack;

    stack_open(&stack);
    kit_after(&stack.kit, &stack.down, NDIS_STATUS_SUCCESS);
    verifier_finish(stack.kit.verifier);
    stack_close(&stack, 166);

    stack_open(&stack);
    pass_down(&stack);
    answer(&stack);
    verifier_finish(stack.kit.verifier);
    assert_int_equal(stack.kit.reports[0].rule, 160);
    kit_close(&stack.kit);

    stack_open(&stack);
    pass_down(&stack);
    verifier_finish(stack.kit.verifier);
    kit_assert(&stack.kit, 29, "target");
    kit_close(&stack.kit);
}

/* ---- data ---- */

static void
crossing_begin(struct stack *stack, struct crossing *crossing, struct kit_landing *landing,
               enum crossing_op op, NDIS_OFFLOAD_HANDLE *object, NET_BUFFER_LIST *nbls, ULONG code)
{
    bool up = op == CROSSING_TCP_RECEIVE_INDICATE || op == CROSSING_TCP_EVENT ||
              op == CROSSING_TCP_SEND_COMPLETE || op == CROSSING_TCP_DISCONNECT_COMPLETE;

    *crossing = kit_crossing(landing, op, up);
    crossing->object = object;
    crossing->nbls = nbls;
    crossing->code = code;
    kit_before(&stack->kit, crossing);
}

static void
another_nbl(void **state)
{
    for (int own = 0; own < 2; own++) {
        struct crossing upper, lower;
        struct kit_nbl nbl, copy;
        struct stack stack;

        stack_offload(&stack);
        kit_nbl_init(&nbl, LENGTH, 0);
        kit_nbl_init(&copy, LENGTH, 0);
        crossing_begin(&stack, &upper, &stack.kit.upper, CROSSING_TCP_SEND, &stack.conn.tcp,
                       &nbl.nbl, 0);
        crossing_begin(&stack, &lower, &stack.kit.landing, CROSSING_TCP_SEND, &stack.handles[2],
                       own ? &copy.nbl : &nbl.nbl, 0);
        kit_after(&stack.kit, &lower, NDIS_STATUS_PENDING);
        kit_after(&stack.kit, &upper, NDIS_STATUS_PENDING);
        stack_close(&stack, own ? 162 : 0);
    }
}

static void
other_flags(void **state)
{
    struct crossing upper, lower;
    struct kit_nbl nbl;
    struct stack stack;

    stack_offload(&stack);
    kit_nbl_init(&nbl, 0, 0);
    crossing_begin(&stack, &upper, &stack.kit.upper, CROSSING_TCP_DISCONNECT, &stack.conn.tcp,
                   &nbl.nbl, TCP_DISCONNECT_GRACEFUL_CLOSE);
    crossing_begin(&stack, &lower, &stack.kit.landing, CROSSING_TCP_DISCONNECT, &stack.handles[2],
                   &nbl.nbl, TCP_DISCONNECT_ABORTIVE_CLOSE);
    kit_after(&stack.kit, &lower, NDIS_STATUS_PENDING);
    kit_after(&stack.kit, &upper, NDIS_STATUS_PENDING);
    stack_close(&stack, 162);
}

static void
another_order(void **state)
{
    struct crossing upper, lower;
    struct kit_nbl nbls[2];
    struct stack stack;

    stack_offload(&stack);
    for (int i = 0; i < 2; i++)
        kit_nbl_init(&nbls[i], LENGTH, 0);
    nbls[0].nbl.Next = &nbls[1].nbl;
    crossing_begin(&stack, &upper, &stack.kit.upper, CROSSING_TCP_SEND, &stack.conn.tcp,
                   &nbls[0].nbl, 0);
    nbls[1].nbl.Next = &nbls[0].nbl;
    nbls[0].nbl.Next = NULL;
    crossing_begin(&stack, &lower, &stack.kit.landing, CROSSING_TCP_SEND, &stack.handles[2],
                   &nbls[1].nbl, 0);
    kit_after(&stack.kit, &lower, NDIS_STATUS_PENDING);
    kit_after(&stack.kit, &upper, NDIS_STATUS_PENDING);
    stack_close(&stack, 162);
}

/* V-163: a context that it added to an NBL goes before the NBL goes up. */
static void
a_context_left_behind(void **state)
{
    for (int left = 0; left < 2; left++) {
        NET_BUFFER_LIST_CONTEXT context;
        struct crossing upper, lower;
        struct kit_nbl nbl;
        struct stack stack;

        stack_offload(&stack);
        kit_nbl_init(&nbl, LENGTH, 0);
        crossing_begin(&stack, &upper, &stack.kit.upper, CROSSING_TCP_SEND, &stack.conn.tcp,
                       &nbl.nbl, 0);
        nbl.nbl.Context = &context;
        crossing_begin(&stack, &lower, &stack.kit.landing, CROSSING_TCP_SEND, &stack.handles[2],
                       &nbl.nbl, 0);
        kit_after(&stack.kit, &lower, NDIS_STATUS_PENDING);
        kit_after(&stack.kit, &upper, NDIS_STATUS_PENDING);
        kit_nbl_settle(&nbl, NDIS_STATUS_SUCCESS, LENGTH);
        crossing_begin(&stack, &lower, &stack.kit.landing, CROSSING_TCP_SEND_COMPLETE, NULL,
                       &nbl.nbl, 0);
        nbl.nbl.Context = left ? &context : NULL;
        crossing_begin(&stack, &upper, &stack.kit.upper, CROSSING_TCP_SEND_COMPLETE, NULL, &nbl.nbl,
                       0);
        kit_after(&stack.kit, &upper, NDIS_STATUS_SUCCESS);
        kit_after(&stack.kit, &lower, NDIS_STATUS_SUCCESS);
        if (left)
            kit_assert(&stack.kit, 163, "im");
        stack_close(&stack, 0);
    }
}

static void
answers_of_indications(void **state)
{
    static const struct {
        NDIS_STATUS told, says;
        ULONG told_bytes, says_bytes;
        unsigned rule;
    } cases[] = {
        {NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, LENGTH, LENGTH, 0},
        {NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED, NDIS_STATUS_SUCCESS, 0, LENGTH, 164},
        {NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED, NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED,
         30, 31, 164},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct crossing upper, lower;
        struct kit_nbl nbl;
        struct stack stack;

        print_message("# %zu\n", i);
        stack_offload(&stack);
        kit_nbl_init(&nbl, LENGTH, 0);
        crossing_begin(&stack, &lower, &stack.kit.landing, CROSSING_TCP_RECEIVE_INDICATE,
                       &stack.handles[2], &nbl.nbl, 0);
        crossing_begin(&stack, &upper, &stack.kit.upper, CROSSING_TCP_RECEIVE_INDICATE,
                       &stack.conn.tcp, &nbl.nbl, 0);
        upper.info = cases[i].told_bytes;
        kit_after(&stack.kit, &upper, cases[i].told);
        lower.info = cases[i].says_bytes;
        kit_after(&stack.kit, &lower, cases[i].says);
        stack_close(&stack, cases[i].rule);
    }
}

/* It raises the event with its own handle: NDIS would bring it back, and so on. */
static void
round_and_round(void **state)
{
    struct crossing first, second;
    struct kit_nbl nbl;
    struct stack stack;

    stack_offload(&stack);
    crossing_begin(&stack, &first, &stack.kit.landing, CROSSING_TCP_EVENT, &stack.handles[2], NULL,
                   TcpIndicateSendBacklogChange);
    crossing_begin(&stack, &second, &stack.kit.landing, CROSSING_TCP_EVENT, &stack.handles[2], NULL,
                   TcpIndicateSendBacklogChange);
    assert_int_equal(second.veto, CROSSING_REFUSE);
    kit_assert(&stack.kit, 159, "im");
    kit_after(&stack.kit, &second, NDIS_STATUS_SUCCESS);
    kit_after(&stack.kit, &first, NDIS_STATUS_SUCCESS);
    kit_close(&stack.kit);

    stack_offload(&stack);
    kit_nbl_init(&nbl, LENGTH, 0);
    crossing_begin(&stack, &first, &stack.kit.upper, CROSSING_TCP_SEND, &stack.conn.tcp, &nbl.nbl,
                   0);
    crossing_begin(&stack, &second, &stack.kit.upper, CROSSING_TCP_SEND, &stack.conn.tcp, &nbl.nbl,
                   0);
    assert_int_not_equal(second.veto, CROSSING_GO);
    kit_assert(&stack.kit, 159, "im");
    kit_after(&stack.kit, &second, NDIS_STATUS_PENDING);
    kit_after(&stack.kit, &first, NDIS_STATUS_PENDING);
    kit_close(&stack.kit);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_driver),
        cmocka_unit_test(not_restored),
        cmocka_unit_test(the_handle_it_was_given),
        cmocka_unit_test(twice_below),
        cmocka_unit_test(once_at_each_adapter),
        cmocka_unit_test(a_copy_later),
        cmocka_unit_test(completed_before_it_is_done_below),
        cmocka_unit_test(the_context_from_below),
        cmocka_unit_test(it_cannot),
        cmocka_unit_test(ndis_waits),
        cmocka_unit_test(lost),
        cmocka_unit_test(another_nbl),
        cmocka_unit_test(other_flags),
        cmocka_unit_test(another_order),
        cmocka_unit_test(a_context_left_behind),
        cmocka_unit_test(answers_of_indications),
        cmocka_unit_test(round_and_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
