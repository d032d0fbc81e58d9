/* The life of adapters and bindings: states, order, drivers that answer late, never, or wrongly. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <errno.h>
#include <stdio.h>

static void
up_and_down_in_order(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_load(stage->house, "host", fake_host_entry, &stage->host), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), 0);
    assert_true(stage->host.saw_capabilities);
    assert_int_equal(stage->host.capabilities.TcpConnectionOffloadCapacity, 1000);
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
    assert_string_equal(stage->trace,
                        "initialize restart bind event-restart event-pause unbind pause halt");
    assert_string_equal(stage->log, "");
}

static void
names_that_are_not_there(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_add_adapter(stage->house, "nobody", "nic1", NULL, NULL), -ENOENT);
    assert_int_equal(house_add_adapter(stage->house, "host", "nic1", NULL, NULL), -EINVAL);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), -EEXIST);
    assert_int_equal(house_add_adapter(stage->house, "target", "", NULL, NULL), -EINVAL);
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), -EEXIST);
    assert_int_equal(house_bind(stage->house, "host", "nic1", NULL), -ENOENT);
    assert_int_equal(house_bind(stage->house, "target", "nic0", NULL), -ENOENT);
    assert_int_equal(house_unbind(stage->house, "other", "nic0"), -ENOENT);
    assert_int_equal(house_remove_adapter(stage->house, "nic1"), -ENOENT);
}

static void
answers_that_come_later(void **state)
{
    struct stage *stage = *state;

    stage->target.pend_pause = stage->target.pend_restart = true;
    stage->host.pend_bind = stage->host.pend_unbind = true;
    stage_build(stage);
    assert_non_null(stage->host.binding);
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
    assert_string_equal(stage->trace, "event-pause unbind pause halt");
    assert_string_equal(stage->log, "");
}

static void
answers_that_never_come(void **state)
{
    struct stage *stage = *state;

    stage->target.pend_restart = stage->target.never_answer = true;
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), -EIO);
    assert_true(stage_logged(stage, "does not complete its restart"));
    assert_string_equal(stage->trace, "initialize restart halt");
    stage->target.pend_restart = false;
    stage->target.pend_pause = true;
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
    assert_true(stage_logged(stage, "does not complete its pause"));
}

static void
drivers_that_fail(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_load(stage->house, "host", fake_host_entry, &stage->host), 0);
    stage->target.initialize_status = NDIS_STATUS_RESOURCES;
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), -EIO);
    stage->target.initialize_status = 0;
    stage->target.restart_status = NDIS_STATUS_FAILURE;
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), -EIO);
    assert_string_equal(stage->trace, "initialize initialize restart halt");
    stage->target.restart_status = 0;
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    stage->trace[0] = '\0';

    stage->host.never_open = true;
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), -EIO);
    assert_true(stage_logged(stage, "it did not open it"));
    stage->host.never_open = false;
    stage->host.medium = NdisMediumMax;
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), -EIO);
    stage->host.medium = NdisMedium802_3;
    stage->host.fail_bind = true;
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), -EIO);
    stage->host.fail_bind = false;
    stage->host.restart_status = NDIS_STATUS_FAILURE;
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), -EIO);
    assert_string_equal(stage->trace, "bind bind bind bind event-restart unbind");
    stage->host.restart_status = 0;
    stage->host.open_twice = true;
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), 0);
    assert_true(stage_logged(stage, "V-185"));
}

static void
opens_and_closes_out_of_place(void **state)
{
    struct stage *stage = *state;
    NDIS_OPEN_PARAMETERS parameters = {.MediumArraySize = 0};
    NDIS_HANDLE handle, binding = stage->host.binding;

    assert_int_equal(NdisCloseAdapterEx(binding), NDIS_STATUS_FAILURE);
    assert_int_not_equal(NdisOpenAdapterEx(stage->host.protocol, stage, &parameters,
                                           stage->host.bind_context, &handle),
                         NDIS_STATUS_SUCCESS);
    assert_null(handle);
    stage->host.never_close = true;
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_true(stage_logged(stage, "did not close its binding"));
    assert_int_equal(NdisCloseAdapterEx(binding), NDIS_STATUS_INVALID_PARAMETER);
    assert_true(stage_logged(stage, "was closed before"));
    NdisCompleteBindAdapterEx(stage->host.bind_context, 0);
    NdisCompleteUnbindAdapterEx(stage->host.bind_context);
    NdisMPauseComplete(stage->target.adapter);
    NdisMRestartComplete(stage->target.adapter, 0);
    assert_true(stage_logged(stage, "NdisMPauseComplete: no pause is in progress"));
    assert_true(stage_logged(stage, "NdisMRestartComplete: no restart is in progress"));
}

static void
attributes_out_of_place(void **state)
{
    struct stage *stage = *state;
    NDIS_MINIPORT_ADAPTER_ATTRIBUTES attributes = {
        .Header.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
    };

    assert_int_equal(NdisMSetMiniportAttributes(stage->target.adapter, &attributes),
                     NDIS_STATUS_INVALID_STATE);
    assert_int_equal(NdisMSetMiniportAttributes(stage->target.driver, &attributes),
                     NDIS_STATUS_INVALID_PARAMETER);
    ((struct ndis_adapter *)stage->target.adapter)->state = NDIS_ADAPTER_INITIALIZING;
    attributes.Header.Type = 0x11;
    assert_int_equal(NdisMSetMiniportAttributes(stage->target.adapter, &attributes),
                     NDIS_STATUS_NOT_SUPPORTED);
    ((struct ndis_adapter *)stage->target.adapter)->has_registration = false;
    attributes.Header.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES;
    assert_int_equal(NdisMSetMiniportAttributes(stage->target.adapter, &attributes),
                     NDIS_STATUS_FAILURE);
    ((struct ndis_adapter *)stage->target.adapter)->state = NDIS_ADAPTER_RUNNING;
}

/* P33: the miniport is not paused before the last object came back. */
static void
pause_waits_for_objects(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    stage_offload(stage, b);
    test_blocks_as_terminate(b);
    stage->host.terminate_on_pause = true;
    stage->host.live = &b[0].block;
    stage->trace[0] = '\0';
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
    assert_string_equal(stage->trace, "event-pause terminate complete unbind pause halt");
    assert_string_equal(stage->log, "");
}

/* P35: a host that leaves its objects, with sends out and receive data inside. */
static void
objects_left_at_close(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *sent = test_nbls(pool, 2);

    stage_offload(stage, b);
    NdisOffloadTcpSend(&b[2].handle, sent);
    stage->target.chain_back = sent;
    stage->target.nbls = NULL;
    stage->trace[0] = '\0';
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
    assert_string_equal(stage->trace,
                        "event-pause unbind terminate terminate terminate pause halt");
    assert_true(stage_logged(stage, "left 3 objects"));
    assert_true(stage_logged(stage, "V-064"));
    for (int i = 0; i < 3; i++)
        assert_null(b[i].handle.MiniportOffloadContext);
    assert_ptr_equal(stage->host.nbls, sent);
    assert_int_equal(sent->Next->Status, NDIS_STATUS_REQUEST_ABORTED);
    test_free_nbls(sent);
    NdisFreeNetBufferListPool(pool);
}

/* The same with a target that does not answer any more: nothing hangs. */
static void
objects_left_with_a_dead_target(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root;

    stage_offload(stage, b);
    stage->target.hold_state = true;
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_true(stage_logged(stage, "does not give objects back"));
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, 0);
    root = stage->target.root;
    NdisMTerminateOffloadComplete(stage->target.adapter, root); /* too late */
    assert_int_equal(stage->host.completions, 1);
}

/* The same with objects whose contexts are gone, so that no target could be asked for them: the
 * records go without it. */
static void
objects_left_without_contexts(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    stage_offload(stage, b);
    for (int i = 0; i < 3; i++)
        b[i].handle.MiniportOffloadContext = NULL;
    stage->trace[0] = '\0';
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_string_equal(stage->trace, "event-pause unbind");
    assert_true(stage_logged(stage, "V-064"));
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, 0);
    for (int i = 0; i < 3; i++)
        assert_null(b[i].handle.NdisReserved[0]);
}

static void
refusals_reach_a_closing_driver(void **state)
{
    struct stage *stage = *state;
    struct test_block b = {.handle.MiniportOffloadContext = NULL};

    ((struct ndis_binding *)stage->host.binding)->state = NDIS_BINDING_PAUSED;
    test_block_init(&b, TcpOffloadState);
    NdisInitiateOffload(stage->host.binding, &b.block);
    assert_int_equal(stage->host.completions, 0);
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_int_equal(stage->host.completions, 1);
    assert_int_equal(b.block.Status, NDIS_STATUS_PAUSED);
    stage_settle(stage);
    assert_int_equal(stage->host.completions, 1);
}

/* ---- walking and watching ---- */

static void
note_floor(void *arg, const struct house_floor *floor)
{
    struct stage *stage = arg;
    char text[200];

    snprintf(text, sizeof(text), "%s/%s/%s/%s/%s/%d%d/%llu", floor->adapter, floor->driver,
             floor->state, floor->below ? floor->below : "-", floor->protocols, floor->chimney,
             floor->paused, floor->offloaded);
    stage_trace(stage, text);
}

static void
note_state(void *arg, const char *object, const char *name, const char *from, const char *to,
           const char *why)
{
    struct stage *stage = arg;
    char text[200];

    snprintf(text, sizeof(text), "%s:%s:%s", name, from, to);
    stage_trace(stage, text);
}

static void
walking(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    house_walk(stage->house, note_floor, stage);
    assert_string_equal(stage->trace, "nic0/target/Running/-/host/10/0");
    stage_offload(stage, b);
    stage->trace[0] = '\0';
    house_walk(stage->house, note_floor, stage);
    assert_string_equal(stage->trace, "nic0/target/Running/-/host/10/3");
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    assert_ptr_equal(house_loop(stage->house), stage->loop);
}

static void
watching_states(void **state)
{
    struct stage *stage = *state;
    struct observer observer = {.on_state = note_state, .arg = stage};

    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    stage->trace[0] = '\0';
    house_attach_observer(stage->house, &observer);
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), 0);
    assert_string_equal(stage->trace,
                        "host@nic0:Unbound:Opening bind host@nic0:Opening:Paused "
                        "host@nic0:Paused:Restarting event-restart host@nic0:Restarting:Running");
    assert_false(ndis_binding_set_state(stage->host.binding, NDIS_BINDING_UNBOUND, "test"));
    assert_false(ndis_adapter_set_state(stage->target.adapter, NDIS_ADAPTER_HALTED, "test"));
    assert_true(stage_logged(stage, "is no edge"));
    house_detach_observer(stage->house, &observer);
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)
#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(up_and_down_in_order),
        BOUND(names_that_are_not_there),
        EMPTY(answers_that_come_later),
        EMPTY(answers_that_never_come),
        EMPTY(drivers_that_fail),
        BOUND(opens_and_closes_out_of_place),
        BOUND(attributes_out_of_place),
        BOUND(pause_waits_for_objects),
        BOUND(objects_left_at_close),
        BOUND(objects_left_with_a_dead_target),
        BOUND(objects_left_without_contexts),
        BOUND(refusals_reach_a_closing_driver),
        BOUND(walking),
        BOUND(watching_states),
    };

    return cmocka_run_group_tests_name("ndis/binding", tests, NULL, NULL);
}
