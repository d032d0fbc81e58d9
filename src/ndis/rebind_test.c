/* Binds that are wanted: a driver that lets go, asks again, and what stands on it. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"
#include "ndis/test_im.h"

#include <errno.h>

static void
letting_go(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE binding = stage->host.binding;

    assert_int_equal(NdisUnbindAdapter(binding), NDIS_STATUS_SUCCESS);
    assert_string_equal(stage->trace, ""); /* not nested */
    assert_int_equal(NdisUnbindAdapter(binding), NDIS_STATUS_FAILURE);
    assert_true(stage_logged(stage, "host is leaving nic0 already"));
    stage_settle(stage);
    assert_string_equal(stage->trace, "event-pause unbind");
    assert_int_equal(NdisUnbindAdapter(binding), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), 0); /* it may come back */
}

static void
letting_go_at_dispatch(void **state)
{
    struct stage *stage = *state;
    KIRQL old;

    KeRaiseIrql(DISPATCH_LEVEL, &old);
    assert_int_equal(NdisUnbindAdapter(stage->host.binding), NDIS_STATUS_SUCCESS);
    KeLowerIrql(old);
    stage_settle(stage);
    assert_string_equal(stage->trace, "event-pause unbind");
    assert_string_equal(stage->log, "");
}

/* The house is quicker: the driver's own unbind has nothing left to do. */
static void
unbound_meanwhile(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(NdisUnbindAdapter(stage->host.binding), NDIS_STATUS_SUCCESS);
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    stage_settle(stage);
    assert_string_equal(stage->trace, "event-pause unbind");
}

static void
coming_back(void **state)
{
    struct stage *stage = *state;

    NdisReEnumerateProtocolBindings(stage->host.protocol);
    stage_settle(stage);
    assert_string_equal(stage->trace, ""); /* there is nothing to do */
    NdisUnbindAdapter(stage->host.binding);
    NdisReEnumerateProtocolBindings(stage->host.protocol);
    stage_settle(stage);
    assert_string_equal(stage->trace, "event-pause unbind bind event-restart");
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), -EEXIST);
    NdisReEnumerateProtocolBindings(stage->host.binding);
    assert_true(stage_logged(stage, "is not a protocol driver handle"));
}

/* A bind that failed stays wanted; one that was taken back does not. */
static void
wanted_or_not(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    stage->trace[0] = '\0';
    NdisReEnumerateProtocolBindings(stage->host.protocol);
    stage_settle(stage);
    assert_string_equal(stage->trace, "");
    stage->host.fail_bind = true;
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), -EIO);
    NdisReEnumerateProtocolBindings(stage->host.protocol);
    stage_settle(stage);
    assert_string_equal(stage->trace, "bind bind"); /* once each */
    stage->host.fail_bind = false;
    NdisReEnumerateProtocolBindings(stage->host.protocol);
    stage_settle(stage);
    assert_string_equal(stage->trace, "bind bind bind event-restart");
    /* Nor does one whose adapter was taken away. */
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    stage->trace[0] = '\0';
    NdisReEnumerateProtocolBindings(stage->host.protocol);
    stage_settle(stage);
    assert_string_equal(stage->trace, "");
}

/* A driver that goes away with the question on its way. */
static void
unloaded_meanwhile(void **state)
{
    struct stage *stage = *state;

    NdisUnbindAdapter(stage->host.binding);
    NdisReEnumerateProtocolBindings(stage->host.protocol);
    assert_int_equal(house_unload(stage->house, "host"), 0);
    stage_settle(stage);
    assert_string_equal(stage->trace, "event-pause unbind");
}

/* An intermediate driver takes its floor away and brings it back: what stood on it comes back, too.
 */
static void
with_a_floor_in_between(void **state)
{
    struct stage *stage = *state;
    struct fake_im im = {.stage = stage};

    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_int_equal(house_load(stage->house, "im", fake_im_entry, &im), 0);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "im0"), 0);
    assert_int_equal(house_bind(stage->house, "host", "im0", NULL), 0);
    stage->trace[0] = '\0';
    NdisUnbindAdapter(ndis_binding_find("im", ndis_adapter_find(stage->house, "nic0")));
    stage_settle(stage);
    assert_string_equal(stage->trace, "event-pause unbind v-pause v-event-pause v-unbind v-halt");
    stage->trace[0] = '\0';
    assert_null(ndis_adapter_find(stage->house, "im0"));
    NdisReEnumerateProtocolBindings(im.protocol);
    stage_settle(stage);
    assert_string_equal(stage->trace, "v-event-restart v-initialize v-restart bind event-restart");
    assert_non_null(ndis_adapter_find(stage->house, "im0"));
    /* Taken back from below, it is not wanted any more. */
    assert_int_equal(house_unbind(stage->house, "im", "nic0"), 0);
    stage->trace[0] = '\0';
    assert_int_equal(house_bind(stage->house, "im", "nic0", "im0"), 0);
    NdisReEnumerateProtocolBindings(im.protocol);
    NdisReEnumerateProtocolBindings(stage->host.protocol);
    stage_settle(stage);
    assert_string_equal(stage->trace, "v-event-restart v-initialize v-restart");
    assert_int_equal(house_unload(stage->house, "im"), 0);
}

/* NDIS answers opens and closes later, and the driver waits for that. */
static void
late_answers(void **state)
{
    struct stage *stage = *state;

    house_set_late(stage->house, true);
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_string_equal(stage->trace, "event-pause unbind closed");
    stage->trace[0] = '\0';
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), 0);
    assert_string_equal(stage->trace, "bind opened event-restart");
    stage->trace[0] = '\0';
    NdisUnbindAdapter(stage->host.binding);
    stage_settle(stage);
    assert_string_equal(stage->trace, "event-pause unbind closed");
    assert_string_equal(stage->log, "");
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(letting_go),   BOUND(letting_go_at_dispatch),  BOUND(unbound_meanwhile),
        BOUND(coming_back),  BOUND(wanted_or_not),           BOUND(unloaded_meanwhile),
        BOUND(late_answers), BOUND(with_a_floor_in_between),
    };

    return cmocka_run_group_tests_name("ndis/rebind", tests, NULL, NULL);
}
