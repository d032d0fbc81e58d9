/* Options of virtual adapters, and how a floor with options is written. */
#include "ndis/objects.h"
#include "ndis/test_im.h"

#include <errno.h>
#include <stdlib.h>

static void
assert_option(struct stage *stage, const char *adapter, const char *name, const char *value)
{
    int error;
    char *found = ndis_keys_get(&ndis_adapter_find(stage->house, adapter)->keys, name, &error);

    assert_int_equal(error, 0);
    if (value)
        assert_string_equal(found, value);
    else
        assert_null(found);
    free(found);
}

static void
ask(NDIS_HANDLE adapter)
{
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT, 1, sizeof(object)},
        .NdisHandle = adapter};
    PNDIS_CONFIGURATION_PARAMETER parameter;
    NDIS_STRING id = NDIS_STRING_CONST(u"Id"), name = NDIS_STRING_CONST(u"Name");
    NDIS_HANDLE handle;
    NDIS_STATUS status;

    assert_int_equal(NdisOpenConfigurationEx(&object, &handle), NDIS_STATUS_SUCCESS);
    NdisReadConfiguration(&status, &parameter, handle, &id, NdisParameterInteger);
    NdisReadConfiguration(&status, &parameter, handle, &name, NdisParameterString);
    NdisCloseConfiguration(handle);
}

static void
reach_the_adapter_they_are_for(void **state)
{
    static const struct house_option ten[] = {{"Id", "10"}, {"Name", "ten"}, {NULL, NULL}};
    static const struct house_option twenty[] = {{"Id", "20"}, {NULL, NULL}};
    static struct fake_im im;
    struct stage *stage = *state;

    im = (struct fake_im){.stage = stage, .ask = ask};
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_load(stage->house, "im", fake_im_entry, &im), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    assert_int_equal(house_set_options(stage->house, "v0", ten), 0);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    assert_int_equal(house_bind(stage->house, "im", "v0", "v1"), 0);
    assert_option(stage, "v0", "Id", "10");
    assert_option(stage, "v0", "Name", "ten");
    assert_option(stage, "v1", "Id", NULL);
    /* Again whenever it comes back; what was set since counts. */
    assert_int_equal(house_unbind(stage->house, "im", "nic0"), 0);
    assert_int_equal(house_set_options(stage->house, "v0", twenty), 0);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    assert_option(stage, "v0", "Id", "20");
    assert_option(stage, "v0", "Name", NULL);
    assert_int_equal(house_unbind(stage->house, "im", "nic0"), 0);
    assert_int_equal(house_set_options(stage->house, "v0", NULL), 0);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    assert_option(stage, "v0", "Id", NULL);
    assert_int_equal(house_set_options(stage->house, "", ten), -EINVAL);
    static const struct house_option twice[] = {{"Id", "10"}, {"id", "11"}, {NULL, NULL}};
    assert_int_equal(house_set_options(stage->house, "v0", twice), -EINVAL);
    assert_true(stage_logged(stage, "option id is given twice, as 10 and as 11"));
    assert_int_equal(house_add_adapter(stage->house, "target", "nic1", NULL, twice), -EINVAL);
}

static void
floors_are_read(void **state)
{
    static const struct {
        const char *text, *name, *options[2][2], *why;
    } cases[] = {
        {"passthru", "passthru", {{NULL, NULL}, {NULL, NULL}}, NULL},
        {"vlan:Id=10", "vlan", {{"Id", "10"}, {NULL, NULL}}, NULL},
        {"trace:File=/tmp/a=b.pcapng:Ring=4",
         "trace",
         {{"File", "/tmp/a=b.pcapng"}, {"Ring", "4"}},
         NULL},
        {"/lib/x.so:Empty=", "/lib/x.so", {{"Empty", ""}, {NULL, NULL}}, NULL},
        {"", NULL, {{NULL, NULL}, {NULL, NULL}}, "a name is missing"},
        {":Id=1", NULL, {{NULL, NULL}, {NULL, NULL}}, "a name is missing"},
        {"vlan:10", NULL, {{NULL, NULL}, {NULL, NULL}}, "an option is KEY=VALUE"},
        {"vlan:=10", NULL, {{NULL, NULL}, {NULL, NULL}}, "an option is KEY=VALUE"},
        {"v:a=:b=:c=:d=:e=:f=:g=:h=:i=:j=:k=:l=:m=:n=:o=:p=:q=",
         NULL,
         {{NULL, NULL}, {NULL, NULL}},
         "there are too many options"},
        {"vlan:Id=10:Id=11", NULL, {{NULL, NULL}, {NULL, NULL}}, "an option is given twice"},
        {"vlan:Id=10:Priority=1:ID=10",
         NULL,
         {{NULL, NULL}, {NULL, NULL}},
         "an option is given twice"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct house_floor_words words;
        const char *why;

        assert_int_equal(house_read_floor(cases[i].text, &words, &why), cases[i].why ? -EINVAL : 0);
        if (cases[i].why) {
            assert_string_equal(why, cases[i].why);
            continue;
        }
        assert_string_equal(words.name, cases[i].name);
        for (int j = 0; j < 2 && cases[i].options[j][0]; j++) {
            assert_string_equal(words.options[j].name, cases[i].options[j][0]);
            assert_string_equal(words.options[j].value, cases[i].options[j][1]);
        }
    }
}

static void
too_long_to_be_read(void **state)
{
    struct house_floor_words words;
    char text[1024];
    const char *why;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(house_read_floor(text, &words, &why), -EINVAL);
    assert_string_equal(why, "the name is too long");
    memcpy(text, "v:a=", 4);
    assert_int_equal(house_read_floor(text, &words, &why), -EINVAL);
    assert_string_equal(why, "the options are too long");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reach_the_adapter_they_are_for, stage_setup,
                                        stage_teardown),
        cmocka_unit_test(floors_are_read),
        cmocka_unit_test(too_long_to_be_read),
    };

    return cmocka_run_group_tests_name("ndis/plan", tests, NULL, NULL);
}
