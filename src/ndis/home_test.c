/* The way home: any number of levels, of NBLs from pools and of others, and nothing left behind. */
#include "ndis/landing.h"
#include "ndis/test_fakes.h"

#include <stdlib.h>

#define LEVELS 40

/* Of a binding the way home needs little but the address. */
static struct ndis_binding bindings[LEVELS];

static bool
push(unsigned binding, NET_BUFFER_LIST *nbl)
{
    NET_BUFFER_LIST *list = nbl;

    bindings[binding].head.house = ndis_house_current();
    return ndis_home_push(&bindings[binding], NDIS_IO_FORWARD, &list) && list == nbl;
}

static void *
home(unsigned binding)
{
    return ndis_home_of(&bindings[binding], NDIS_IO_FORWARD);
}

static void
climb(NET_BUFFER_LIST *nbl, unsigned levels)
{
    PVOID before[2] = {nbl->NdisReserved[0], nbl->NdisReserved[1]};

    for (unsigned i = 0; i < levels; i++)
        assert_true(push(i, nbl));
    for (unsigned i = levels; i-- > 0;)
        assert_ptr_equal(ndis_home_pop(nbl), home(i));
    assert_null(ndis_home_pop(nbl));
    assert_ptr_equal(nbl->NdisReserved[0], before[0]);
    assert_ptr_equal(nbl->NdisReserved[1], before[1]);
}

static void
any_number_of_levels(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *pooled = test_nbls(pool, 1), own = {.Next = NULL};

    for (unsigned levels = 0; levels <= LEVELS; levels++) {
        climb(pooled, levels);
        climb(&own, levels);
    }
    NdisFreeNetBufferList(pooled);
    NdisFreeNetBufferListPool(pool);
}

/* Up and down around the places where a shelf ends. */
static void
back_and_forth(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = test_nbls(pool, 1);
    unsigned level = 0;

    while (level < 2 * NDIS_SHELF_ROOM + 3) {
        assert_true(push(level, nbl));
        assert_true(push(level + 1, nbl));
        assert_ptr_equal(ndis_home_pop(nbl), home(level + 1));
        level++;
    }
    while (level-- > 0) {
        assert_ptr_equal(ndis_home_pop(nbl), home(level));
        assert_true(push(level, nbl));
        assert_ptr_equal(ndis_home_pop(nbl), home(level));
    }
    NdisFreeNetBufferList(nbl);
    NdisFreeNetBufferListPool(pool);
}

/* One list, pushed together on top of levels of their own, comes apart where the homes differ. */
static void
runs_end_where_homes_differ(void **state)
{
    static const unsigned homes[] = {0, 0, 1, 0, 0, 0, 2, 2};
    static const unsigned runs[] = {2, 1, 3, 2};
    struct stage *stage = *state;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *all = test_nbls(pool, 8), *list = all, *nbl = all, *kept = NULL, *last = NULL;
    NET_BUFFER_LIST *each[8];
    struct ndis_binding *owner;
    struct ndis_driver driver = {.name = "test"};
    struct ndis_miniport miniport = {.driver = &driver};
    struct ndis_adapter adapter = {.miniport = &miniport, .head.house = stage->house};
    const size_t room = 10;

    adapter.fan = calloc(1, sizeof(struct ndis_fan) + room * sizeof(void *));
    adapter.fan->room = room;
    for (size_t i = 0; i < room; i++)
        adapter.fan->bindings[i] = &bindings[i];

    for (unsigned i = 0; i < 8; i++, nbl = nbl->Next) {
        NET_BUFFER_LIST *next = nbl->Next;

        nbl->Next = NULL;
        assert_true(push(9, nbl));
        assert_true(push(homes[i], nbl));
        nbl->Next = next;
    }
    for (unsigned i = 0, at = 0; i < 4; i++) {
        NET_BUFFER_LIST *run = ndis_home_run(&list, &owner, &adapter, NDIS_IO_FORWARD, "test");

        assert_int_equal(test_count(run), runs[i]);
        assert_ptr_equal(owner, &bindings[homes[at]]);
        at += runs[i];
        test_keep(&kept, &last, run);
    }
    assert_null(ndis_home_run(&list, &owner, &adapter, NDIS_IO_FORWARD, "test"));
    assert_ptr_equal(ndis_home_run(&kept, &owner, &adapter, NDIS_IO_FORWARD, "test"),
                     all); /* one run: they share the rest */
    assert_ptr_equal(owner, &bindings[9]);
    assert_int_equal(test_count(all), 8);
    nbl = all;
    for (unsigned i = 0; i < 8; i++, nbl = nbl->Next)
        each[i] = nbl;
    assert_null(ndis_home_run(&all, &owner, &adapter, NDIS_IO_FORWARD,
                              "test")); /* no home: said, and dropped */
    assert_null(all);
    assert_true(stage_logged(stage, "is not on its way anywhere"));
    free(adapter.fan);
    for (unsigned i = 0; i < 8; i++)
        NdisFreeNetBufferList(each[i]);
    NdisFreeNetBufferListPool(pool);
}

/* A driver that frees what is still on its way, and a pool that hands it out again. */
static void
a_freed_one_starts_afresh(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = test_nbls(pool, 1), *again;

    for (unsigned i = 0; i < 3; i++)
        assert_true(push(i, nbl));
    NdisFreeNetBufferList(nbl);
    again = test_nbls(pool, 1);
    assert_ptr_equal(again, nbl);
    climb(again, 3);
    NdisFreeNetBufferList(again);
    NdisFreeNetBufferListPool(pool);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_number_of_levels, stage_setup_bound, stage_teardown),
        cmocka_unit_test_setup_teardown(back_and_forth, stage_setup_bound, stage_teardown),
        cmocka_unit_test_setup_teardown(runs_end_where_homes_differ, stage_setup_bound,
                                        stage_teardown),
        cmocka_unit_test_setup_teardown(a_freed_one_starts_afresh, stage_setup_bound,
                                        stage_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
