/*
 * A driver in between: every breach is seen at two landings, and it is one driver's. What it does
 * wrong itself: V-086, V-163.
 */
#include "verifier/test_kit.h"

#define LENGTH 100u

struct stack {
    struct kit kit;
    struct kit_conn upper, lower;
    struct kit_nbl nbls[2];
};

static void
stack_open(struct stack *stack)
{
    kit_open(&stack->kit, true);
    kit_conn_init(&stack->upper);
    kit_initiate(&stack->kit, &stack->kit.upper, &stack->upper);
    kit_offload(&stack->kit, &stack->kit.landing, &stack->lower);
    kit_initiate_complete(&stack->kit, &stack->kit.upper, &stack->upper);
    kit_nbl_init(&stack->nbls[0], LENGTH, 0);
    kit_nbl_init(&stack->nbls[1], LENGTH, 100);
    stack->nbls[0].nbl.Next = &stack->nbls[1].nbl;
    kit_assert_none(&stack->kit);
}

static void
stack_close(struct stack *stack)
{
    kit_assert_none(&stack->kit);
    kit_close(&stack->kit);
}

/* Down through both landings; status of the lower one when NDIS refuses there. */
static void
send_through(struct stack *stack, bool refused)
{
    struct crossing upper = kit_crossing(&stack->kit.upper, CROSSING_TCP_SEND, false);
    struct crossing lower = kit_crossing(&stack->kit.landing, CROSSING_TCP_SEND, false);

    upper.object = &stack->upper.tcp;
    lower.object = &stack->lower.tcp;
    upper.nbls = lower.nbls = &stack->nbls[0].nbl;
    kit_before(&stack->kit, &upper);
    kit_before(&stack->kit, &lower);
    lower.refused = refused;
    kit_after(&stack->kit, &lower, NDIS_STATUS_PENDING);
    kit_after(&stack->kit, &upper, NDIS_STATUS_PENDING);
}

/* Up through both. */
static void
complete_through(struct stack *stack, bool by_ndis)
{
    struct crossing upper = kit_crossing(&stack->kit.upper, CROSSING_TCP_SEND_COMPLETE, true);
    struct crossing lower = kit_crossing(&stack->kit.landing, CROSSING_TCP_SEND_COMPLETE, true);

    if (by_ndis)
        lower.from = "ndis";
    upper.nbls = lower.nbls = &stack->nbls[0].nbl;
    kit_before(&stack->kit, &lower);
    kit_before(&stack->kit, &upper);
    kit_after(&stack->kit, &upper, NDIS_STATUS_SUCCESS);
    kit_after(&stack->kit, &lower, NDIS_STATUS_SUCCESS);
}

/* Seen at two landings, but one finding: the target's. */
static void
who_passes_it_on_is_not_blamed(void **state)
{
    struct stack stack;

    stack_open(&stack);
    send_through(&stack, false);
    kit_nbl_settle(&stack.nbls[0], NDIS_STATUS_SUCCESS, LENGTH);
    kit_nbl_settle(&stack.nbls[1], NDIS_STATUS_SUCCESS, LENGTH - 1);
    complete_through(&stack, false);
    assert_int_equal(stack.kit.count, 2);
    assert_true(stack.kit.reports[1].consequential);
    kit_assert(&stack.kit, 78, "target");
    stack_close(&stack);
}

/* Who passes a wrong answer down is not to blame. */
static void
a_wrong_answer_from_above(void **state)
{
    struct stack stack;
    struct crossing lower, upper;

    stack_open(&stack);
    stack.nbls[0].nbl.Next = NULL;
    lower = kit_crossing(&stack.kit.landing, CROSSING_TCP_RECEIVE_INDICATE, true);
    upper = kit_crossing(&stack.kit.upper, CROSSING_TCP_RECEIVE_INDICATE, true);
    lower.object = &stack.lower.tcp;
    upper.object = &stack.upper.tcp;
    upper.nbls = lower.nbls = &stack.nbls[0].nbl;
    kit_before(&stack.kit, &lower);
    kit_before(&stack.kit, &upper);
    upper.info = lower.info = 1;
    kit_after(&stack.kit, &upper, NDIS_STATUS_SUCCESS);
    kit_after(&stack.kit, &lower, NDIS_STATUS_SUCCESS);
    assert_int_equal(stack.kit.count, 2);
    assert_true(stack.kit.reports[1].consequential);
    kit_assert(&stack.kit, 110, "host");
    stack_close(&stack);
}

/* One that queues what comes up and passes it on later is not to blame either. */
static void
passed_on_later(void **state)
{
    struct stack stack;

    stack_open(&stack);
    send_through(&stack, false);
    kit_nbl_settle(&stack.nbls[0], NDIS_STATUS_SUCCESS, LENGTH);
    kit_nbl_settle(&stack.nbls[1], NDIS_STATUS_SUCCESS, LENGTH - 1);
    kit_complete(&stack.kit, &stack.kit.landing, CROSSING_TCP_SEND_COMPLETE, &stack.nbls[0]);
    kit_complete(&stack.kit, &stack.kit.upper, CROSSING_TCP_SEND_COMPLETE, &stack.nbls[0]);
    assert_int_equal(stack.kit.count, 2);
    assert_true(stack.kit.reports[1].consequential);
    kit_assert(&stack.kit, 78, "target");
    stack_close(&stack);
}

/* V-085 looks at the host stack, not at who passes its data down. */
static void
whose_data_it_is(void **state)
{
    struct stack stack;

    stack_open(&stack);
    send_through(&stack, false);
    stack.nbls[1].bytes[7]++;
    kit_nbl_settle(&stack.nbls[0], NDIS_STATUS_SUCCESS, LENGTH);
    kit_nbl_settle(&stack.nbls[1], NDIS_STATUS_SUCCESS, LENGTH);
    complete_through(&stack, false);
    kit_assert(&stack.kit, 85, "host");
    stack_close(&stack);
}

/* What NDIS refuses below is nobody's breach above. */
static void
ndis_has_no_memory(void **state)
{
    struct stack stack;

    stack_open(&stack);
    send_through(&stack, true);
    kit_nbl_settle(&stack.nbls[0], NDIS_STATUS_REQUEST_UPLOAD, 0);
    kit_nbl_settle(&stack.nbls[1], NDIS_STATUS_UPLOAD_REQUESTED, 0);
    complete_through(&stack, true);
    stack_close(&stack);
}

struct no_memory {
    NDIS_STATUS first, second;
    bool went_down;
    unsigned rule;
};

static void
the_driver_between_has_no_memory(void **state)
{
    static const struct no_memory cases[] = {
        {NDIS_STATUS_REQUEST_UPLOAD, NDIS_STATUS_UPLOAD_REQUESTED, false, 0},
        {NDIS_STATUS_REQUEST_UPLOAD, NDIS_STATUS_REQUEST_UPLOAD, false, 86},
        {NDIS_STATUS_UPLOAD_REQUESTED, NDIS_STATUS_UPLOAD_REQUESTED, false, 86},
        {NDIS_STATUS_REQUEST_UPLOAD, NDIS_STATUS_UPLOAD_REQUESTED, true, 86},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stack stack;

        stack_open(&stack);
        if (cases[i].went_down)
            send_through(&stack, false);
        else
            kit_post(&stack.kit, &stack.kit.upper, CROSSING_TCP_SEND, &stack.upper, &stack.nbls[0]);
        kit_nbl_settle(&stack.nbls[1], cases[i].second, 0);
        kit_finish(&stack.kit, &stack.kit.upper, CROSSING_TCP_SEND_COMPLETE, &stack.nbls[0],
                   cases[i].first, 0);
        if (cases[i].rule)
            kit_assert(&stack.kit, cases[i].rule, "im");
        stack_close(&stack);
    }
}

/* V-086: the first is refused, and the second has gone down by itself. */
static void
a_part_of_a_list_goes_down(void **state)
{
    struct stack stack;
    struct crossing upper, lower;

    stack_open(&stack);
    upper = kit_crossing(&stack.kit.upper, CROSSING_TCP_SEND, false);
    lower = kit_crossing(&stack.kit.landing, CROSSING_TCP_SEND, false);
    upper.object = &stack.upper.tcp;
    lower.object = &stack.lower.tcp;
    upper.nbls = &stack.nbls[0].nbl;
    lower.nbls = &stack.nbls[1].nbl;
    kit_before(&stack.kit, &upper);
    stack.nbls[0].nbl.Next = NULL;
    kit_before(&stack.kit, &lower);
    kit_after(&stack.kit, &lower, NDIS_STATUS_PENDING);
    kit_after(&stack.kit, &upper, NDIS_STATUS_PENDING);
    kit_finish(&stack.kit, &stack.kit.upper, CROSSING_TCP_SEND_COMPLETE, &stack.nbls[0],
               NDIS_STATUS_REQUEST_UPLOAD, 0);
    kit_assert(&stack.kit, 86, "im");
    stack_close(&stack);
}

/* V-163: what it has put in front and not taken away. */
static void
a_context_is_left(void **state)
{
    static NET_BUFFER_LIST_CONTEXT context;
    struct stack stack;

    stack_open(&stack);
    stack.nbls[0].nbl.Next = NULL;
    send_through(&stack, false);
    stack.nbls[0].nbl.Context = NULL;
    kit_nbl_settle(&stack.nbls[0], NDIS_STATUS_SUCCESS, LENGTH);
    kit_complete(&stack.kit, &stack.kit.landing, CROSSING_TCP_SEND_COMPLETE, &stack.nbls[0]);
    kit_assert_none(&stack.kit);
    stack.nbls[0].nbl.Context = &context;
    kit_complete(&stack.kit, &stack.kit.upper, CROSSING_TCP_SEND_COMPLETE, &stack.nbls[0]);
    kit_assert(&stack.kit, 163, "im");
    stack_close(&stack);
}

/* At the end: who had it last. */
static void
never_completed(void **state)
{
    struct stack stack;

    stack_open(&stack);
    send_through(&stack, false);
    verifier_finish(stack.kit.verifier);
    assert_true(stack.kit.count >= 1);
    kit_assert(&stack.kit, 74, "target");
    stack_close(&stack);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_passes_it_on_is_not_blamed),
        cmocka_unit_test(passed_on_later),
        cmocka_unit_test(a_wrong_answer_from_above),
        cmocka_unit_test(whose_data_it_is),
        cmocka_unit_test(ndis_has_no_memory),
        cmocka_unit_test(the_driver_between_has_no_memory),
        cmocka_unit_test(a_part_of_a_list_goes_down),
        cmocka_unit_test(a_context_is_left),
        cmocka_unit_test(never_completed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
