/* Configuration: every type both ways, sub keys, the network address, and what cannot be read. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

static NDIS_HANDLE
open_configuration(NDIS_HANDLE owner)
{
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT, 1, sizeof(object)}, .NdisHandle = owner};
    NDIS_HANDLE handle;

    return NdisOpenConfigurationEx(&object, &handle) == NDIS_STATUS_SUCCESS ? handle : NULL;
}

/* With the target and an adapter that has these options, which its driver need not ask for. */
static NDIS_HANDLE
open_with(struct stage *stage, const struct house_option *options)
{
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    assert_int_equal(
        ndis_keys_set_all(&((struct ndis_adapter *)stage->target.adapter)->keys, options), 0);
    return open_configuration(stage->target.adapter);
}

/* NULL, or what was read. */
static NDIS_CONFIGURATION_PARAMETER *
read_as(NDIS_HANDLE handle, PCWSTR keyword, NDIS_PARAMETER_TYPE type)
{
    NDIS_CONFIGURATION_PARAMETER *parameter;
    NDIS_STRING name;
    NDIS_STATUS status;

    NdisInitUnicodeString(&name, keyword);
    NdisReadConfiguration(&status, &parameter, handle, &name, type);
    assert_true((status == NDIS_STATUS_SUCCESS) == (parameter != NULL));
    if (parameter)
        assert_int_equal(parameter->ParameterType, type);
    else
        assert_int_equal(status, NDIS_STATUS_FAILURE);
    return parameter;
}

static NDIS_STATUS
write_to(NDIS_HANDLE handle, PCWSTR keyword, NDIS_CONFIGURATION_PARAMETER *parameter)
{
    NDIS_STRING name;
    NDIS_STATUS status;

    NdisInitUnicodeString(&name, keyword);
    NdisWriteConfiguration(&status, handle, &name, parameter);
    return status;
}

static void
reading(void **state)
{
    struct stage *stage = *state;
    struct house_option options[] = {
        {"VlanId", "17"}, {"Name", "eth 0"}, {"Empty", ""}, {"Big", "4294967296"}, {NULL, NULL}};
    NDIS_HANDLE handle = open_with(stage, options);
    NDIS_CONFIGURATION_PARAMETER *parameter;

    options[0].value = "99"; /* they were copied */
    parameter = read_as(handle, u"vlanid", NdisParameterInteger);
    assert_int_equal(parameter->ParameterData.IntegerData, 17);
    parameter = read_as(handle, u"VlanId", NdisParameterHexInteger);
    assert_int_equal(parameter->ParameterData.IntegerData, 0x17);
    parameter = read_as(handle, u"Name", NdisParameterString);
    assert_int_equal(parameter->ParameterData.StringData.Length, 10);
    assert_int_equal(parameter->ParameterData.StringData.Buffer[4], '0');
    parameter = read_as(handle, u"Empty", NdisParameterString);
    assert_int_equal(parameter->ParameterData.StringData.Length, 0);
    assert_null(read_as(handle, u"Name", NdisParameterInteger));
    assert_null(read_as(handle, u"Empty", NdisParameterInteger));
    assert_null(read_as(handle, u"Big", NdisParameterInteger));
    assert_null(read_as(handle, u"Name", NdisParameterBinary));
    assert_null(read_as(handle, u"Empty", NdisParameterBinary));
    assert_null(read_as(handle, u"Nothing", NdisParameterString));
    assert_null(read_as(handle, u"\u00e4", NdisParameterString));
    assert_null(read_as(handle, u"Name", (NDIS_PARAMETER_TYPE)77));
    NdisCloseConfiguration(handle);
    assert_null(open_configuration(NULL));
    assert_null(open_configuration(stage->house));
    NdisCloseConfiguration(NULL);
    assert_true(stage_logged(stage, "NdisCloseConfiguration: the configuration handle is NULL"));
}

static void
lists_and_bytes(void **state)
{
    const struct house_option options[] = {{"List", "one|two"}, {"Bytes", "00ff1A"}, {NULL, NULL}};
    static const WCHAR list[] = {'o', 'n', 'e', 0, 't', 'w', 'o', 0, 0};
    static const UCHAR bytes[] = {0x00, 0xff, 0x1a};
    NDIS_HANDLE handle = open_with(*state, options);
    NDIS_CONFIGURATION_PARAMETER *parameter = read_as(handle, u"List", NdisParameterMultiString);

    assert_int_equal(parameter->ParameterData.StringData.Length, sizeof(list) - sizeof(WCHAR));
    assert_memory_equal(parameter->ParameterData.StringData.Buffer, list, sizeof(list));
    assert_int_equal(write_to(handle, u"Copy", parameter), NDIS_STATUS_SUCCESS);
    parameter = read_as(handle, u"Copy", NdisParameterMultiString);
    assert_memory_equal(parameter->ParameterData.StringData.Buffer, list, sizeof(list));

    parameter = read_as(handle, u"Bytes", NdisParameterBinary);
    assert_int_equal(parameter->ParameterData.BinaryData.Length, 3);
    assert_memory_equal(parameter->ParameterData.BinaryData.Buffer, bytes, 3);
    assert_int_equal(write_to(handle, u"Copy", parameter), NDIS_STATUS_SUCCESS);
    parameter = read_as(handle, u"Copy", NdisParameterBinary);
    assert_memory_equal(parameter->ParameterData.BinaryData.Buffer, bytes, 3);
    NdisCloseConfiguration(handle);
}

static void
writing(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE handle = open_with(stage, NULL), again = open_configuration(stage->target.adapter);
    NDIS_CONFIGURATION_PARAMETER parameter = {.ParameterType = NdisParameterInteger,
                                              .ParameterData.IntegerData = 4000000000};

    assert_int_equal(write_to(handle, u"Speed", &parameter), NDIS_STATUS_SUCCESS);
    assert_int_equal(read_as(again, u"SPEED", NdisParameterInteger)->ParameterData.IntegerData,
                     4000000000);
    parameter.ParameterType = NdisParameterHexInteger;
    parameter.ParameterData.IntegerData = 0xbeef;
    assert_int_equal(write_to(handle, u"speed", &parameter), NDIS_STATUS_SUCCESS);
    assert_null(read_as(again, u"Speed", NdisParameterInteger)); /* it is "beef" now */
    assert_int_equal(read_as(again, u"Speed", NdisParameterHexInteger)->ParameterData.IntegerData,
                     0xbeef);
    parameter.ParameterType = NdisParameterString;
    NdisInitUnicodeString(&parameter.ParameterData.StringData, u"fast");
    assert_int_equal(write_to(handle, u"Speed", &parameter), NDIS_STATUS_SUCCESS);
    assert_int_equal(read_as(again, u"Speed", NdisParameterString)->ParameterData.StringData.Length,
                     8);

    NdisInitUnicodeString(&parameter.ParameterData.StringData, u"\u00fcber");
    assert_int_equal(write_to(handle, u"Speed", &parameter), NDIS_STATUS_FAILURE);
    parameter.ParameterType = NdisParameterMultiString;
    NdisInitUnicodeString(&parameter.ParameterData.StringData,
                          u"a|b"); /* it would come back as two */
    assert_int_equal(write_to(handle, u"Speed", &parameter), NDIS_STATUS_FAILURE);
    assert_int_equal(write_to(handle, u"", &parameter), NDIS_STATUS_FAILURE);
    assert_int_equal(write_to(NULL, u"Speed", &parameter), NDIS_STATUS_FAILURE);
    assert_non_null(read_as(again, u"Speed", NdisParameterString)); /* as it was */
    NdisCloseConfiguration(handle);
    NdisCloseConfiguration(again);
}

/* A driver has a place of its own, which an adapter of it does not see. */
static void
of_the_driver(void **state)
{
    struct stage *stage = *state;
    const struct house_option options[] = {{"Speed", "1"}, {NULL, NULL}};
    NDIS_HANDLE adapter = open_with(stage, options);
    NDIS_HANDLE driver = open_configuration(stage->target.driver);
    NDIS_CONFIGURATION_PARAMETER parameter = {.ParameterType = NdisParameterInteger,
                                              .ParameterData.IntegerData = 2};

    assert_null(read_as(driver, u"Speed", NdisParameterInteger));
    assert_int_equal(write_to(driver, u"Speed", &parameter), NDIS_STATUS_SUCCESS);
    assert_int_equal(read_as(driver, u"Speed", NdisParameterInteger)->ParameterData.IntegerData, 2);
    assert_int_equal(read_as(adapter, u"Speed", NdisParameterInteger)->ParameterData.IntegerData,
                     1);
    NdisCloseConfiguration(driver);
    NdisCloseConfiguration(adapter);
}

static NDIS_HANDLE
open_sub_key(NDIS_HANDLE handle, PCWSTR sub_key, NDIS_STATUS expected)
{
    NDIS_STRING name;
    NDIS_HANDLE found;
    NDIS_STATUS status;

    NdisInitUnicodeString(&name, sub_key);
    NdisOpenConfigurationKeyByName(&status, handle, &name, &found);
    assert_int_equal(status, expected);
    return found;
}

static void
sub_keys(void **state)
{
    const struct house_option options[] = {
        {"Ndi\\Speed", "10"}, {"Ndi\\Params\\Speed", "100"}, {"Speed", "1"}, {NULL, NULL}};
    NDIS_HANDLE top = open_with(*state, options);
    NDIS_HANDLE ndi = open_sub_key(top, u"NDI", NDIS_STATUS_SUCCESS);
    NDIS_HANDLE params = open_sub_key(ndi, u"Params", NDIS_STATUS_SUCCESS);
    NDIS_CONFIGURATION_PARAMETER parameter = {.ParameterType = NdisParameterInteger,
                                              .ParameterData.IntegerData = 7};

    assert_int_equal(read_as(top, u"Speed", NdisParameterInteger)->ParameterData.IntegerData, 1);
    assert_int_equal(read_as(ndi, u"Speed", NdisParameterInteger)->ParameterData.IntegerData, 10);
    assert_int_equal(read_as(params, u"Speed", NdisParameterInteger)->ParameterData.IntegerData,
                     100);
    assert_int_equal(write_to(params, u"New", &parameter), NDIS_STATUS_SUCCESS);
    NdisCloseConfiguration(params);
    params = open_sub_key(top, u"Ndi\\Params", NDIS_STATUS_SUCCESS);
    assert_int_equal(read_as(params, u"New", NdisParameterInteger)->ParameterData.IntegerData, 7);
    assert_null(open_sub_key(top, u"Speed", NDIS_STATUS_FAILURE)); /* no key, a keyword */
    assert_null(open_sub_key(top, u"Nd", NDIS_STATUS_FAILURE));
    assert_null(open_sub_key(NULL, u"Ndi", NDIS_STATUS_FAILURE));
    NdisCloseConfiguration(params);
    NdisCloseConfiguration(ndi);
    NdisCloseConfiguration(top);
}

static const UCHAR *
address_of(NDIS_HANDLE handle, UINT *length)
{
    NDIS_STATUS status;
    PVOID address;

    NdisReadNetworkAddress(&status, &address, length, handle);
    assert_true((status == NDIS_STATUS_SUCCESS) == (address != NULL));
    assert_true(address || *length == 0);
    return address;
}

static void
network_address(void **state)
{
    struct stage *stage = *state;
    static const UCHAR expected[] = {0x02, 0x11, 0x22, 0x33, 0x44, 0xaa};
    static const char *const texts[] = {"02112233 44aa", "02-11-22-33-44-AA", "02:11:22:33:44:aa",
                                        "02112233",      "0211223344aa",      "02112",
                                        "02-11-22-"};
    static const UINT lengths[] = {0, 6, 6, 4, 6, 0, 0};
    NDIS_HANDLE handle = open_with(stage, NULL);
    const UCHAR *address;
    UINT length;

    assert_null(address_of(handle, &length));
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        assert_int_equal(ndis_keys_set(&((struct ndis_adapter *)stage->target.adapter)->keys,
                                       "NetworkAddress", texts[i]),
                         0);
        address = address_of(handle, &length);
        assert_int_equal(length, lengths[i]);
        if (length)
            assert_memory_equal(address, expected, length);
    }
    NdisCloseConfiguration(handle);
    assert_null(address_of(NULL, &length));
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(reading),       EMPTY(lists_and_bytes), EMPTY(writing),
        EMPTY(of_the_driver), EMPTY(sub_keys),        EMPTY(network_address),
    };

    return cmocka_run_group_tests_name("ndis/config", tests, NULL, NULL);
}
