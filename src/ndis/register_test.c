/* Registration: what a driver's entry may do, and what is refused. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <errno.h>

static NDIS_STATUS entry_status;
static NDIS_PROTOCOL_DRIVER_CHARACTERISTICS protocol_table;
static NDIS_MINIPORT_DRIVER_CHARACTERISTICS miniport_table;

/* Registers what the tables say. */
static NDIS_STATUS
protocol_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_HANDLE handle;

    entry_status = NdisRegisterProtocolDriver(NULL, &protocol_table, &handle);
    return entry_status;
}

static NDIS_STATUS
miniport_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_HANDLE handle;

    entry_status = NdisMRegisterMiniportDriver(DriverObject, RegistryPath, NULL, &miniport_table,
                                               &handle);
    return entry_status;
}

static NDIS_STATUS
empty_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    assert_string_equal((char *)DriverObject->DriverExtension, "context");
    assert_int_equal(RegistryPath->Length, 2 * strlen("empty"));
    assert_int_equal(RegistryPath->Buffer[4], 'y');
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
failing_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    fake_target_entry(DriverObject, RegistryPath);
    return NDIS_STATUS_RESOURCES;
}

static void
loading(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load(stage->house, "empty", empty_entry, (void *)"context"), 0);
    assert_int_equal(house_load(stage->house, "empty", empty_entry, (void *)"context"), -EEXIST);
    assert_int_equal(house_load(stage->house, "", empty_entry, NULL), -EINVAL);
    assert_int_equal(
        house_load(stage->house,
                   "a-name-that-is-longer-than-any-name-that-anybody-would-give-to-a-driver",
                   empty_entry, NULL),
        -EINVAL);
    assert_int_equal(house_unload(stage->house, "empty"), 0);
    assert_int_equal(house_unload(stage->house, "empty"), -ENOENT);
    assert_int_equal(house_load(stage->house, "target", failing_entry, &stage->target), -EIO);
    assert_true(stage_logged(stage, "left its miniport registered"));
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    assert_int_equal(house_unload(stage->house, "target"), 0);
    assert_string_equal(stage->trace, "initialize restart pause halt unload");
}

static NDIS_STATUS
bind_never(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
           PNDIS_BIND_PARAMETERS BindParameters)
{
    return NDIS_STATUS_FAILURE;
}

static void
protocols_are_checked(void **state)
{
    struct stage *stage = *state;

    memset(&protocol_table, 0, sizeof(protocol_table));
    protocol_table.Header = (NDIS_OBJECT_HEADER){NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                                                 1, sizeof(protocol_table)};
    protocol_table.MajorNdisVersion = 5;
    assert_int_equal(house_load(stage->house, "p", protocol_entry, NULL), -EIO);
    assert_int_equal(entry_status, NDIS_STATUS_BAD_VERSION);
    protocol_table.MajorNdisVersion = 6;
    protocol_table.Header.Size--;
    assert_int_equal(house_load(stage->house, "p", protocol_entry, NULL), -EIO);
    assert_int_equal(entry_status, NDIS_STATUS_BAD_CHARACTERISTICS);
    protocol_table.Header.Size++;
    protocol_table.BindAdapterHandlerEx = bind_never;
    assert_int_equal(house_load(stage->house, "p", protocol_entry, NULL), -EIO);
    assert_int_equal(entry_status, NDIS_STATUS_BAD_CHARACTERISTICS);
    assert_true(stage_logged(stage, "UnbindAdapterHandlerEx is missing"));
    protocol_table.Header.Type = NDIS_OBJECT_TYPE_DEFAULT;
    assert_int_equal(house_load(stage->house, "p", protocol_entry, NULL), -EIO);
    assert_int_equal(entry_status, NDIS_STATUS_BAD_CHARACTERISTICS);
}

static void
miniports_are_checked(void **state)
{
    struct stage *stage = *state;
    DRIVER_OBJECT object;
    NDIS_HANDLE handle;

    memset(&miniport_table, 0, sizeof(miniport_table));
    miniport_table.Header = (NDIS_OBJECT_HEADER){NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                                                 2, sizeof(miniport_table)};
    miniport_table.MajorNdisVersion = 6;
    assert_int_equal(house_load(stage->house, "m", miniport_entry, NULL), -EIO);
    assert_int_equal(entry_status, NDIS_STATUS_BAD_CHARACTERISTICS);
    assert_true(stage_logged(stage, "InitializeHandlerEx is missing"));
    /* Outside of an entry there is no driver to register. */
    assert_int_equal(NdisMRegisterMiniportDriver(&object, NULL, NULL, &miniport_table, &handle),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(NdisRegisterProtocolDriver(NULL, &protocol_table, &handle),
                     NDIS_STATUS_FAILURE);
    NdisMDeregisterMiniportDriver(NULL);
    NdisDeregisterProtocolDriver(stage);
}

static void
tables_without_a_type(void **state)
{
    struct stage *stage = *state;

    stage->target.types_unset = true;
    stage_build(stage);
    assert_true(stage->host.saw_capabilities);
    assert_true(((struct ndis_miniport *)stage->target.driver)->has_tcp);
    assert_true(((struct ndis_miniport *)stage->target.driver)->has_generic);
}

static void
tables_of_the_wrong_kind(void **state)
{
    struct stage *stage = *state;
    union {
        NDIS_DRIVER_OPTIONAL_HANDLERS any;
        NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS client;
        NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS provider;
    } table;

    memset(&table, 0, sizeof(table));
    table.any.Header = (NDIS_OBJECT_HEADER){NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                                            1, sizeof(table.client)};
    assert_int_equal(NdisSetOptionalHandlers(stage->target.driver, &table.any),
                     NDIS_STATUS_FAILURE);
    /* The right kind, but without handlers. */
    table.client.OffloadType = NdisTcpChimneyOffload;
    assert_int_equal(NdisSetOptionalHandlers(stage->host.protocol, &table.any),
                     NDIS_STATUS_BAD_CHARACTERISTICS);
    table.any.Header = (NDIS_OBJECT_HEADER){
        NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 1,
        sizeof(table.provider)};
    assert_int_equal(NdisSetOptionalHandlers(stage->host.protocol, &table.any),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(NdisSetOptionalHandlers(stage->target.driver, &table.any),
                     NDIS_STATUS_BAD_CHARACTERISTICS);
    table.any.Header = (NDIS_OBJECT_HEADER){0, 1, 20};
    assert_int_equal(NdisSetOptionalHandlers(stage->target.driver, &table.any),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(NdisSetOptionalHandlers(stage->target.adapter, &table.any),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(NdisSetOptionalHandlers(NULL, &table.any), NDIS_STATUS_FAILURE);
}

static unsigned overridden;

static VOID
other_completion(NDIS_HANDLE ProtocolBindingContext,
                 PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    overridden++;
}

static VOID
other_event(NDIS_HANDLE ProtocolBindingContext, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList,
            ULONG IndicationCode)
{
}

static void
a_binding_overrides(void **state)
{
    struct stage *stage = *state;
    struct test_block b = {.handle.MiniportOffloadContext = NULL};
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 1,
                   sizeof(generic)},
        .InitiateOffloadCompleteHandler = other_completion,
        .TerminateOffloadCompleteHandler = other_completion,
        .UpdateOffloadCompleteHandler = other_completion,
        .InvalidateOffloadCompleteHandler = other_completion,
        .QueryOffloadCompleteHandler = other_completion,
        .IndicateOffloadEventHandler = other_event,
    };

    overridden = 0;
    assert_int_equal(
        NdisSetOptionalHandlers(stage->host.binding, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&generic), 0);
    test_block_init(&b, TcpOffloadState);
    NdisInitiateOffload(stage->host.binding, &b.block);
    stage_settle(stage);
    test_block_init(&b, TcpOffloadDelegatedState);
    NdisTerminateOffload(stage->host.binding, &b.block);
    stage_settle(stage);
    assert_int_equal(overridden, 2);
    assert_int_equal(stage->host.completions, 0);
}

static void
a_host_without_handlers(void **state)
{
    struct stage *stage = *state;
    struct test_block b = {.handle.MiniportOffloadContext = NULL};

    stage->host.no_chimney = true;
    stage_build(stage);
    test_block_init(&b, TcpOffloadState);
    NdisInitiateOffload(stage->host.binding, &b.block);
    stage_settle(stage);
    assert_int_equal(b.block.Status, NDIS_STATUS_NOT_SUPPORTED);
    assert_true(stage_logged(stage, "without chimney handlers"));
}

static void
offload_handlers(void **state)
{
    struct stage *stage = *state;
    PNDIS_OFFLOAD_EVENT_HANDLERS handlers = (PVOID)stage;

    assert_int_equal(NdisMGetOffloadHandlers(stage->target.adapter, 99, &handlers),
                     NDIS_STATUS_NOT_SUPPORTED);
    assert_null(handlers);
    assert_int_not_equal(
        NdisMGetOffloadHandlers(stage->target.driver, NdisTcpChimneyOffload, &handlers), 0);
    assert_int_equal(stage->target.up.Header.Size, sizeof(stage->target.up));
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)
#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(loading),
        EMPTY(protocols_are_checked),
        EMPTY(miniports_are_checked),
        EMPTY(tables_without_a_type),
        BOUND(tables_of_the_wrong_kind),
        BOUND(a_binding_overrides),
        EMPTY(a_host_without_handlers),
        BOUND(offload_handlers),
    };

    return cmocka_run_group_tests_name("ndis/register", tests, NULL, NULL);
}
