/* Intermediate drivers: floors between host and target, and what they may do wrongly. */
#include "ndis/objects.h"
#include "ndis/test_im.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- tests ---- */

static void
load(struct stage *stage, struct fake_im *im)
{
    im->stage = stage;
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_load(stage->house, "im", fake_im_entry, im), 0);
    assert_int_equal(house_load(stage->house, "host", fake_host_entry, &stage->host), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    stage->trace[0] = '\0';
}

/* host / v2 / v1 / v0 / nic0 */
static void
stack_three(struct stage *stage, struct fake_im *im)
{
    load(stage, im);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    assert_int_equal(house_bind(stage->house, "im", "v0", "v1"), 0);
    assert_int_equal(house_bind(stage->house, "im", "v1", "v2"), 0);
    assert_int_equal(house_bind(stage->house, "host", "v2", NULL), 0);
    stage->trace[0] = '\0';
}

static void
note_floor(void *arg, const struct house_floor *floor)
{
    struct stage *stage = arg;
    char text[100];

    snprintf(text, sizeof(text), "%s<%s:%s", floor->adapter, floor->protocols,
             floor->chimney ? "yes" : "no");
    stage_trace(stage, text);
}

static void
up_and_down_in_order(void **state)
{
    struct stage *stage = *state;
    static struct fake_im im = {.twice = true};

    load(stage, &im);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    assert_int_equal(house_bind(stage->house, "host", "v0", NULL), 0);
    assert_string_equal(stage->trace, "v-event-restart v-initialize v-restart bind event-restart");
    stage->trace[0] = '\0';
    house_walk(stage->house, note_floor, stage);
    assert_string_equal(stage->trace, "v0<host:yes nic0<im:yes");
    stage->trace[0] = '\0';
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
    assert_string_equal(stage->trace,
                        "event-pause unbind v-pause v-event-pause v-unbind v-halt pause halt");
}

static void
objects_through_every_floor(void **state)
{
    struct stage *stage = *state;
    static struct fake_im im;
    struct test_block b = {.handle.MiniportOffloadContext = NULL};
    struct entry *v2, *v1, *v0;

    stack_three(stage, &im);
    assert_true(stage->host.saw_capabilities);
    test_block_init(&b, TcpOffloadState);
    NdisInitiateOffload(stage->host.binding, &b.block);
    stage_settle(stage);
    assert_int_equal(b.block.Status, NDIS_STATUS_SUCCESS);
    v2 = b.handle.MiniportOffloadContext;
    v1 = v2->own.MiniportOffloadContext;
    v0 = v1->own.MiniportOffloadContext;
    assert_ptr_equal(v2->upper, &b.handle);
    assert_ptr_equal(v1->upper, &v2->own);
    assert_ptr_equal(v0->upper, &v1->own);
    assert_int_equal((uintptr_t)v0->own.MiniportOffloadContext, stage->target.last_context);
    test_block_init(&b, TcpOffloadDelegatedState);
    NdisQueryOffloadState(stage->host.binding, &b.block);
    stage_settle(stage);
    assert_int_equal(b.block.Status, NDIS_STATUS_SUCCESS);
    assert_ptr_equal(b.block.OffloadHandle, &b.handle);
    b.block.ProtocolReserved[0] = &stage->host;
    stage->target.up.NdisTcpOffloadEventHandler(&v0->own, TcpIndicateDisconnect, 0);
    assert_ptr_equal(stage->host.object_seen, &b.handle);
    NdisTerminateOffload(stage->host.binding, &b.block);
    stage_settle(stage);
    assert_null(b.handle.MiniportOffloadContext);
    assert_null(b.handle.NdisReserved[0]);
    assert_int_equal(stage->host.completions, 3);
    assert_string_equal(stage->log, "");
}

static void
the_way_home_has_three_floors(void **state)
{
    struct stage *stage = *state;
    static struct fake_im im;
    static struct fake_host direct;
    struct test_block b = {.handle.MiniportOffloadContext = NULL}, d = {.block.Status = 0};
    NET_BUFFER_LIST *far[4], *near[2];
    NDIS_HANDLE pool;
    PVOID shelves[4];

    stack_three(stage, &im);
    direct.stage = stage;
    assert_int_equal(house_load(stage->house, "direct", fake_host_entry, &direct), 0);
    assert_int_equal(house_bind(stage->house, "direct", "nic0", NULL), 0);
    test_block_init(&b, TcpOffloadState);
    NdisInitiateOffload(stage->host.binding, &b.block);
    stage_settle(stage);
    test_block_init(&d, TcpOffloadState);
    NdisInitiateOffload(direct.binding, &d.block);
    stage_settle(stage);
    pool = test_pool(stage);
    for (int i = 0; i < 4; i++) {
        far[i] = test_nbls(pool, 1);
        shelves[i] = far[i]->NdisReserved[1];
    }
    near[0] = test_nbls(pool, 1);
    near[1] = test_nbls(pool, 1);
    for (int round = 0; round < 2; round++) {
        NdisOffloadTcpSend(&b.handle, far[0]);
        NdisOffloadTcpSend(&d.handle, near[0]);
        NdisOffloadTcpSend(&b.handle, far[1]);
        NdisOffloadTcpSend(&b.handle, far[2]);
        NdisOffloadTcpSend(&d.handle, near[1]);
        NdisOffloadTcpSend(&b.handle, far[3]);
        stage->host.calls = direct.calls = 0;
        stage->host.nbls = direct.nbls = NULL;
        fake_target_complete_nbls(&stage->target, stage->target.up.NdisTcpOffloadSendComplete, 0);
        assert_int_equal(stage->host.calls, 3);
        assert_int_equal(direct.calls, 2);
        assert_ptr_equal(stage->host.nbls, far[0]);
        for (int i = 0; i < 4; i++) {
            assert_ptr_equal(far[i]->Next, i < 3 ? far[i + 1] : NULL);
            assert_null(far[i]->NdisReserved[0]);
            assert_ptr_equal(far[i]->NdisReserved[1], shelves[i]);
            far[i]->Next = NULL;
        }
        assert_ptr_equal(direct.nbls, near[0]);
        assert_ptr_equal(near[0]->Next, near[1]);
        near[0]->Next = NULL;
    }
    NdisSendNetBufferLists(stage->host.binding, far[0], 0, 0);
    assert_ptr_equal(stage->target.nbls, far[0]);
    stage->host.calls = 0;
    NdisMSendNetBufferListsComplete(stage->target.adapter, far[0], 0);
    assert_int_equal(stage->host.calls, 1);
    stage->target.nbls = NULL;
    NdisMIndicateReceiveNetBufferLists(stage->target.adapter, far[0], 0, 1, 0);
    assert_int_equal(stage->host.copies, 1); /* the floors copy, the direct one keeps */
    assert_int_equal(stage->target.returned, 1);
    for (int i = 0; i < 4; i++)
        NdisFreeNetBufferList(far[i]);
    NdisFreeNetBufferList(near[0]);
    NdisFreeNetBufferList(near[1]);
    NdisFreeNetBufferListPool(pool);
    test_block_init(&b, TcpOffloadDelegatedState);
    NdisTerminateOffload(stage->host.binding, &b.block);
    stage_settle(stage);
    test_block_init(&d, TcpOffloadDelegatedState);
    NdisTerminateOffload(direct.binding, &d.block);
    stage_settle(stage);
    assert_int_equal(house_unload(stage->house, "direct"), 0);
    assert_string_equal(stage->log, "");
}

static void
a_floor_without_chimney(void **state)
{
    struct stage *stage = *state;
    static struct fake_im im = {.no_client = true};
    struct test_block b = {.handle.MiniportOffloadContext = NULL};

    load(stage, &im);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    assert_int_equal(house_bind(stage->house, "host", "v0", NULL), 0);
    assert_false(stage->host.saw_capabilities); /* although v0 advertises them */
    stage->trace[0] = '\0';
    house_walk(stage->house, note_floor, stage);
    assert_string_equal(stage->trace, "v0<host:no nic0<im:yes");
    test_block_init(&b, TcpOffloadState);
    NdisInitiateOffload(stage->host.binding, &b.block);
    stage_settle(stage);
    assert_int_equal(b.block.Status, NDIS_STATUS_NOT_SUPPORTED);
}

static void
a_virtual_adapter_that_fails(void **state)
{
    struct stage *stage = *state;
    static struct fake_im im = {.fail_initialize = true};

    load(stage, &im);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), -EIO);
    assert_null(ndis_adapter_find(stage->house, "v0"));
    assert_true(list_empty(&((struct ndis_adapter *)stage->target.adapter)->bindings));
    im.fail_initialize = false;
    im.cancel = true; /* announced and withdrawn: a binding with nothing on it */
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    assert_null(ndis_adapter_find(stage->house, "v0"));
    assert_int_equal(house_unbind(stage->house, "im", "nic0"), 0);
    im.cancel = false;
    assert_int_equal(house_bind(stage->house, "im", "nic0", NULL), -EIO);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "nic0"), -EIO);
    assert_int_equal(house_add_adapter(stage->house, "im", "v9", NULL, NULL), -EINVAL);
}

static void
an_adapter_left_behind(void **state)
{
    struct stage *stage = *state;
    static struct fake_im im = {.leave_adapter = true};
    struct floor *floor;

    load(stage, &im);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    floor = ndis_adapter_find(stage->house, "v0")->context;
    assert_int_equal(house_unbind(stage->house, "im", "nic0"), 0);
    assert_true(stage_logged(stage, "left its adapter v0 behind"));
    assert_null(ndis_adapter_find(stage->house, "v0"));
    free(floor);
}

static void
calls_of_other_drivers(void **state)
{
    struct stage *stage = *state;
    static struct fake_im im;
    NDIS_STRING name;

    stack_three(stage, &im);
    NdisInitUnicodeString(&name, u"v7");
    assert_int_equal(NdisIMInitializeDeviceInstanceEx(stage->target.driver, &name, NULL),
                     NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisIMInitializeDeviceInstanceEx(im.miniport, &name, NULL),
                     NDIS_STATUS_NOT_ACCEPTED);
    assert_true(stage_logged(stage, "V-193"));
    assert_int_equal(NdisIMCancelInitializeDeviceInstance(im.miniport, &name), NDIS_STATUS_FAILURE);
    assert_int_equal(NdisIMDeInitializeDeviceInstance(stage->target.adapter), NDIS_STATUS_FAILURE);
    assert_ptr_equal(NdisIMGetBindingContext(stage->host.binding),
                     ndis_adapter_find(stage->house, "v2")->context);
    assert_null(NdisIMGetBindingContext(NULL));
    NdisIMAssociateMiniport(stage->target.driver, im.protocol);
    assert_int_equal(house_unload(stage->house, "im"), 0); /* with all its floors */
    assert_null(ndis_adapter_find(stage->house, "v0"));
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), 0);
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(up_and_down_in_order),          EMPTY(objects_through_every_floor),
        EMPTY(the_way_home_has_three_floors), EMPTY(a_floor_without_chimney),
        EMPTY(a_virtual_adapter_that_fails),  EMPTY(an_adapter_left_behind),
        EMPTY(calls_of_other_drivers),
    };

    return cmocka_run_group_tests_name("ndis/im", tests, NULL, NULL);
}
