/*
 * The adapter loses its power in the middle of a transfer: everything is home before it does, no
 * byte is lost, and afterwards connections go down again. The target is the one that has to say
 * when; the verifier watches that it does not say so too early (V-156, V-157).
 */
#include "stage.h"

#include <errno.h>

#define SECOND_US 1000000u
#define PAIRS 5

struct witness {
    struct observer observer;
    struct stage *stage;
    struct pair *pairs;
    char story[256];
    unsigned away; /* connections that were not home when the request came */
};

/* "!": told to the driver above, "d3", "d0": asked of the target, "+": it has done so. */
static void
on_crossing(void *arg, struct crossing *crossing)
{
    struct witness *witness = arg;
    const NDIS_OID_REQUEST *request = crossing->data;
    char *end = witness->story + strlen(witness->story);

    if (crossing->op == CROSSING_PNP_EVENT && crossing->code == NetEventSetPower &&
        !crossing->after)
        strcat(end, "!");
    if (crossing->op != CROSSING_OID || crossing->code != OID_PNP_SET_POWER)
        return;
    if (crossing->after) {
        strcat(end, crossing->status == NDIS_STATUS_SUCCESS ? "+" : "-");
        return;
    }
    bool on = *(NDIS_DEVICE_POWER_STATE *)request->DATA.SET_INFORMATION.InformationBuffer ==
              NdisDeviceStateD0;
    strcat(end, on ? "d0" : "d3");
    for (int i = 0; i < PAIRS; i++)
        witness->away += !on && !actor_at_home(&witness->pairs[i].actors[LEFT]);
}

static void
lost_and_found(void **state)
{
    struct stage stage;
    struct pair pairs[PAIRS];
    struct witness witness = {.stage = &stage, .pairs = pairs};
    const struct script_options sides[2] = {{0}, {0}};

    witness.observer = (struct observer){.on_crossing = on_crossing, .arg = &witness};
    stage_open(&stage, &(struct stage_options){.passthru = *state ? 2 : 0,
                                               .impaired = true,
                                               .impair = {{.delay_us = 5000}, {.delay_us = 5000}},
                                               .observer = &witness.observer});
    for (int i = 0; i < PAIRS; i++) {
        pair_open(&stage, &pairs[i], sides);
        actor_offload(&pairs[i].actors[LEFT]);
        pair_send(&pairs[i], 400000, 300000, false);
    }
    stage_pass(&stage, 30000);
    assert_int_equal(house_set_power(stage.house, "a0", NdisDeviceStateD3), 0);
    /* The host, and every floor in between. */
    assert_int_equal(strspn(witness.story, "!"), 1 + stage.floor_count[LEFT]);
    assert_string_equal(strchr(witness.story, 'd'), "d3+");
    assert_int_equal(witness.away, 0);
    for (int i = 0; i < PAIRS; i++) {
        assert_true(actor_at_home(&pairs[i].actors[LEFT]));
        assert_int_equal(script_offload(pairs[i].actors[LEFT].conn), -EAGAIN);
        assert_false(pair_done(&pairs[i]));
    }
    stage_pass(&stage, 10000); /* what is on the wire already */
    uint64_t received = pairs[0].actors[RIGHT].received;
    stage_pass(&stage, 3 * SECOND_US); /* frames go nowhere */
    assert_int_equal(pairs[0].actors[RIGHT].received, received);
    assert_int_equal(house_set_power(stage.house, "a0", NdisDeviceStateD0), 0);
    for (int i = 0; i < PAIRS; i++) {
        actor_offload(&pairs[i].actors[LEFT]);
        assert_true(stage_run(&stage, pair_done, &pairs[i], 60 * SECOND_US));
        pair_check(&pairs[i]);
        pair_close(&pairs[i]);
    }
    stage_close(&stage);
}

int
main(void)
{
    static bool floors;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_and_found),
        cmocka_unit_test_prestate(lost_and_found, &floors),
    };

    return cmocka_run_group_tests_name("house/power", tests, NULL, NULL);
}
