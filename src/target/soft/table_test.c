/*
 * The table of connections: everyone is found at every moment of its growth, nobody else is, and no
 * step of it is large.
 */
#include "target/soft/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 20000 };

static struct soft_adapter adapter;
static struct soft_neighbor neighbor;
static struct soft_path path;
static struct soft_conn *conns[COUNT];

static struct soft_key
key_of(unsigned i)
{
    struct soft_key key = {.ipv6 = i % 3 == 0, .local_port = 80, .peer_port = (uint16_t)i};

    memcpy(key.peer, &i, sizeof i);
    return key;
}

static struct soft_conn *
find(unsigned i, unsigned vlan)
{
    struct soft_key key = key_of(i);

    return soft_conn_find(&adapter, &key, vlan);
}

static void
add(unsigned i)
{
    conns[i] = aligned_alloc(SOFT_CACHE_LINE, sizeof *conns[i]);
    assert_non_null(conns[i]);
    memset(conns[i], 0, sizeof *conns[i]);
    conns[i]->object.adapter = &adapter;
    conns[i]->object.parent = &path.object;
    conns[i]->key = key_of(i);
    soft_conn_insert(conns[i]);
}

static void
drop(unsigned i)
{
    soft_conn_remove(conns[i]);
    free(conns[i]);
    conns[i] = NULL;
}

static int
set_up(void **state)
{
    memset(&adapter, 0, sizeof adapter);
    neighbor.constant.VlanId = 5;
    path.object.parent = &neighbor.object;
    assert_true(soft_map_init(&adapter.map, 4711));
    return 0;
}

static int
tear_down(void **state)
{
    for (unsigned i = 0; i < COUNT; i++)
        if (conns[i])
            drop(i);
    assert_int_equal(adapter.map.count, 0);
    soft_map_fini(&adapter.map);
    return 0;
}

/* Some are looked for after each step, all at the end, and strangers never found. */
static void
grows(void **state)
{
    unsigned growths = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        uint32_t mask = adapter.map.mask, carried = adapter.map.carried;
        bool growing = adapter.map.former;
        add(i);
        growths += adapter.map.mask != mask;
        if (growing && adapter.map.former && adapter.map.mask == mask)
            assert_in_range(adapter.map.carried - carried, 0, 4);
        for (unsigned j = i; j; j /= 2)
            assert_ptr_equal(find(j, 5), conns[j]);
        assert_null(find(i + 1, 5));
    }
    assert_true(growths >= 8);
    assert_true(adapter.map.mask + 1 >= COUNT / 2);
    for (unsigned i = 0; i < COUNT; i++)
        assert_ptr_equal(find(i, 5), conns[i]);
    assert_null(find(7, 6)); /* another VLAN */
}

/* Growth is done before the next begins, so there are never three tables. */
static void
done_in_time(void **state)
{
    for (unsigned i = 0; i < COUNT; i++) {
        uint32_t mask = adapter.map.mask;
        bool growing = adapter.map.former;
        add(i);
        if (adapter.map.mask != mask)
            assert_false(growing);
    }
}

/* Removed in the middle of a growth: from the old table as well as from the new one. */
static void
removed_while_growing(void **state)
{
    unsigned i = 0;

    while (!adapter.map.former)
        add(i++);
    for (unsigned j = 0; j < i; j += 2) {
        drop(j);
        assert_null(find(j, 5));
        for (unsigned k = j + 1; k < i; k++)
            assert_ptr_equal(find(k, 5), conns[k]);
    }
    soft_conn_remove(conns[1]);
    soft_conn_remove(conns[1]); /* harmless */
    assert_null(find(1, 5));
    free(conns[1]);
    conns[1] = NULL;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(grows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(done_in_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(removed_while_growing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
