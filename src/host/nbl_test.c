/* NBLs over bytes that lie scattered: every byte is there, and what is around them is no data. */
#include "host/ndis_fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define AROUND 8u

static struct host *host;

static void
on_running(void *arg, struct host_binding *which)
{
}

static void
on_frames(void *arg, struct host_binding *which, NET_BUFFER_LIST *nbls)
{
    host_return_frames(which, nbls);
}

static const struct host_ops ops = {.on_running = on_running, .on_frames = on_frames};

static int
setup(void **state)
{
    memset(&fake, 0, sizeof fake);
    host = host_create("test", &ops, NULL);
    assert_non_null(fake_start(host));
    return 0;
}

static int
teardown(void **state)
{
    fake_stop();
    assert_int_equal(fake.objects, 0);
    host_destroy(host);
    return 0;
}

/* In MDLs of piece bytes; how many those are. */
static unsigned
scatter(ULONG len, ULONG piece)
{
    UCHAR bytes[AROUND + 64 + AROUND];
    unsigned at = 0, mdls = 0;

    assert_in_range(len, 1, 64);
    NET_BUFFER_LIST *nbl = host_nbl_create_scattered(host, bytes + AROUND, len, AROUND, piece);
    NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    assert_int_equal(nb->DataLength, len);
    assert_int_equal(NET_BUFFER_CURRENT_MDL_OFFSET(nb), AROUND);
    for (MDL *mdl = NET_BUFFER_CURRENT_MDL(nb); mdl; mdl = mdl->Next, mdls++) {
        assert_ptr_equal(MmGetMdlVirtualAddress(mdl), bytes + at);
        at += MmGetMdlByteCount(mdl);
    }
    assert_int_equal(at, AROUND + len + AROUND);
    host_nbl_destroy(nbl);
    return mdls;
}

static void
scattered_bytes_are_the_same_bytes(void **state)
{
    assert_int_equal(scatter(40, 7), 7); /* 8 + 7, then 41 in sevens */
    assert_int_equal(scatter(40, 40), 2);
    assert_int_equal(scatter(40, 1000), 1);
    assert_int_equal(scatter(1, 1), 9);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(scattered_bytes_are_the_same_bytes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
