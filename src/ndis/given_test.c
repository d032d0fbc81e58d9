/* Options that a driver does not have, and values that are none: the adapter does not stand, and it
 * is said what there would be. */
#include "ndis/test_im.h"

#include <errno.h>

struct wish {
    PCWSTR name;
    NDIS_PARAMETER_TYPE type;
};

static void
ask_for(NDIS_HANDLE adapter, const struct wish *wish)
{
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT, 1, sizeof(object)},
        .NdisHandle = adapter};
    PNDIS_CONFIGURATION_PARAMETER parameter;
    NDIS_HANDLE handle;
    NDIS_STRING name;
    NDIS_STATUS status;

    assert_int_equal(NdisOpenConfigurationEx(&object, &handle), NDIS_STATUS_SUCCESS);
    for (; wish->name; wish++) {
        NdisInitUnicodeString(&name, wish->name);
        NdisReadConfiguration(&status, &parameter, handle, &name, wish->type);
    }
    NdisCloseConfiguration(handle);
}

/* Twice the same in one way and another; once more in another spelling. */
static void
ask(NDIS_HANDLE adapter)
{
    static const struct wish wishes[] = {
        {u"Id", NdisParameterInteger},     {u"Speed", NdisParameterString},
        {u"Address", NdisParameterBinary}, {u"Mask", NdisParameterHexInteger},
        {u"Either", NdisParameterInteger}, {u"Either", NdisParameterString},
        {u"speed", NdisParameterString},   {u"Ndi\\Deep", NdisParameterInteger},
        {NULL, NdisParameterInteger}};

    ask_for(adapter, wishes);
}

#define KNOWN "it has Id, Speed, Address, Mask, Either, Ndi\\Deep\n"

static const struct {
    const char *name, *value, *said; /* NULL: it stands */
} cases[] = {
    {"Id", "10", NULL},
    {"iD", "10", NULL},
    {"Speed", "", NULL},
    {"Either", "text", NULL},
    {"Ndi\\Deep", "1", NULL},
    {"Idd", "10", "has no option Idd; " KNOWN},
    {"I", "10", "has no option I; " KNOWN},
    {"Deep", "1", "has no option Deep; " KNOWN},
    {"Id", "ten", "cannot read Id=ten: it is a number\n"},
    {"Id", "", "cannot read Id=: it is a number\n"},
    {"Mask", "xyz", "cannot read Mask=xyz: it is a hexadecimal number\n"},
    {"Address", "0", "cannot read Address=0: it is bytes in hexadecimal\n"},
};

#define COUNT (sizeof(cases) / sizeof(cases[0]))

static void
of_a_target(void **state)
{
    struct stage *stage = *state;

    stage->target.ask = ask;
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    for (size_t i = 0; i < COUNT; i++) {
        const char *other = strcmp(cases[i].name, "Speed") ? "Speed" : "Id";
        const struct house_option options[] = {
            {other, "1"}, {cases[i].name, cases[i].value}, {NULL, NULL}};

        stage->log[0] = stage->trace[0] = '\0';
        assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, options),
                         cases[i].said ? -EIO : 0);
        if (!cases[i].said) {
            assert_string_equal(stage->log, "");
            assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
            continue;
        }
        assert_true(stage_logged(stage, "adapter nic0: driver target "));
        assert_true(stage_logged(stage, cases[i].said));
        assert_true(stage_logged(stage, "NDIS_STATUS_INVALID_PARAMETER"));
        /* It was up: it is told that it is not any more, and never ran. */
        assert_string_equal(stage->trace, "initialize halt");
        assert_int_equal(house_remove_adapter(stage->house, "nic0"), -ENOENT);
    }
}

static void
of_a_virtual_adapter(void **state)
{
    static struct fake_im im;
    struct stage *stage = *state;

    im = (struct fake_im){.stage = stage, .ask = ask};
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_load(stage->house, "im", fake_im_entry, &im), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    for (size_t i = 0; i < COUNT; i++) {
        const struct house_option options[] = {{cases[i].name, cases[i].value}, {NULL, NULL}};

        stage->log[0] = '\0';
        assert_int_equal(house_set_options(stage->house, "v0", options), 0);
        assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), cases[i].said ? -EIO : 0);
        if (cases[i].said)
            assert_true(stage_logged(stage, cases[i].said));
        else
            assert_int_equal(house_unbind(stage->house, "im", "nic0"), 0);
    }
}

/* All of them are named, not the first alone. */
static void
all_are_named(void **state)
{
    const struct house_option options[] = {
        {"One", "1"}, {"Id", "x"}, {"Two", "2"}, {"Speed", "3"}, {NULL, NULL}};
    struct stage *stage = *state;

    stage->target.ask = ask;
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, options), -EIO);
    assert_true(stage_logged(stage, "no option One;"));
    assert_true(stage_logged(stage, "cannot read Id=x:"));
    assert_true(stage_logged(stage, "no option Two;"));
    assert_false(stage_logged(stage, "Speed=3"));
}

static void
of_a_driver_without_any(void **state)
{
    const struct house_option options[] = {{"Id", "1"}, {NULL, NULL}};
    struct stage *stage = *state;

    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, options), -EIO);
    assert_true(stage_logged(stage, "driver target has no option Id, nor any other\n"));
}

/* What it does not find it may say itself; what it may have been meant by is said as well. But one
 * that fails for another reason may just not have come so far. */
static void
of_a_driver_that_fails(void **state)
{
    const struct house_option options[] = {{"Idd", "1"}, {NULL, NULL}};
    struct stage *stage = *state;

    stage->target.ask = ask;
    stage->target.initialize_status = NDIS_STATUS_INVALID_PARAMETER;
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, options), -EIO);
    assert_true(stage_logged(stage, "no option Idd; " KNOWN));
    stage->log[0] = '\0';
    stage->target.initialize_status = NDIS_STATUS_RESOURCES;
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, options), -EIO);
    assert_false(stage_logged(stage, "option"));
    assert_string_equal(stage->trace, "initialize initialize");
}

/* What is asked for once it stands comes too late, and what a driver wrote itself was not given. */
static void
written_by_the_driver(void **state)
{
    static const struct wish late[] = {{u"Later", NdisParameterInteger},
                                       {NULL, NdisParameterInteger}};
    const struct house_option options[] = {{"Later", "1"}, {NULL, NULL}};
    NDIS_CONFIGURATION_PARAMETER parameter = {.ParameterType = NdisParameterInteger,
                                              .ParameterData.IntegerData = 2};
    NDIS_STRING name = NDIS_STRING_CONST(u"Own");
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT, 1, sizeof(object)}};
    struct stage *stage = *state;
    NDIS_HANDLE handle;
    NDIS_STATUS status;

    stage->target.ask = ask;
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    object.NdisHandle = stage->target.adapter;
    assert_int_equal(NdisOpenConfigurationEx(&object, &handle), NDIS_STATUS_SUCCESS);
    NdisWriteConfiguration(&status, handle, &name, &parameter);
    assert_int_equal(status, NDIS_STATUS_SUCCESS);
    NdisCloseConfiguration(handle);
    ask_for(stage->target.adapter, late);
    assert_string_equal(stage->log, "");
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, options), -EIO);
    assert_true(stage_logged(stage, "no option Later; " KNOWN));
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(of_a_target),
        EMPTY(of_a_virtual_adapter),
        EMPTY(all_are_named),
        EMPTY(of_a_driver_without_any),
        EMPTY(of_a_driver_that_fails),
        EMPTY(written_by_the_driver),
    };

    return cmocka_run_group_tests_name("ndis/given", tests, NULL, NULL);
}
