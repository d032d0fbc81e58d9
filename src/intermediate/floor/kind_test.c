/* A driver made of the defaults: what it overrides is asked, what it wants to know it is told. */
#include "intermediate/floor/floor.h"
#include "intermediate/floor/ndis_fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct own_adapter {
    struct floor_adapter floor; /* first */
    unsigned mark;
};

struct own_offload {
    struct floor_offload floor; /* first */
    unsigned mark;
};

static struct told {
    unsigned opened, closed, made, gone, sends;
    bool take_back; /* the next tree does not go down */
    enum floor_operation down[8], up[8];
    unsigned downs, ups;
    ULONG kept;
} told;
static NDIS_STATUS open_status;

static NDIS_STATUS
own_open(struct floor_adapter *adapter, NDIS_HANDLE handle)
{
    told.opened++;
    ((struct own_adapter *)adapter)->mark = 77;
    adapter->general.MtuSize -= 4;
    return open_status;
}

static void
own_close(struct floor_adapter *adapter)
{
    assert_int_equal(((struct own_adapter *)adapter)->mark, 77);
    told.closed++;
}

static void
own_made(struct floor_offload *entry)
{
    ((struct own_offload *)entry)->mark = 88;
    told.made++;
}

static void
own_gone(struct floor_offload *entry)
{
    assert_int_equal(((struct own_offload *)entry)->mark, 88);
    told.gone++;
}

static void
own_down(struct floor_adapter *adapter, struct floor_call *call)
{
    told.down[told.downs++] = call->operation;
    call->nodes[0].kept = 99;
}

static void
own_up(struct floor_adapter *adapter, struct floor_call *call)
{
    told.up[told.ups++] = call->operation;
    told.kept = call->nodes[0].kept;
}

static void
own_pass(struct floor_adapter *adapter, struct floor_call *call,
         PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    assert_ptr_equal(call->nodes[0].block, root);
    if (told.take_back)
        floor_take_back(adapter, root);
    else
        floor_pass_down(adapter, root, call->operation);
    told.take_back = false;
}

static NDIS_STATUS
own_send(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
         PNET_BUFFER_LIST NetBufferList)
{
    told.sends++;
    return FloorTcpOffloadSend(MiniportAdapterContext, MiniportOffloadContext, NetBufferList);
}

static void
own_override(struct floor_handlers *handlers)
{
    handlers->provider_tcp.TcpOffloadSendHandler = own_send;
}

static NTSTATUS
own_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    static const struct floor_kind kind = {.name = "own",
                                           .protocol_name = NDIS_STRING_CONST(u"own"),
                                           .adapter_bytes = sizeof(struct own_adapter),
                                           .offload_bytes = sizeof(struct own_offload),
                                           .override = own_override,
                                           .open = own_open,
                                           .close = own_close,
                                           .tree_down = own_down,
                                           .tree_up = own_up,
                                           .pass_down = own_pass,
                                           .offload_made = own_made,
                                           .offload_gone = own_gone};

    return floor_start(DriverObject, RegistryPath, &kind);
}

static int
setup(void **state)
{
    memset(&told, 0, sizeof(told));
    open_status = NDIS_STATUS_SUCCESS;
    return 0;
}

static void
is_told_and_asked(void **state)
{
    NET_BUFFER_LIST nbl = {.Status = 0};
    PVOID cell = NULL;

    fake_stand_as(own_entry);
    assert_int_equal(told.opened, 1);
    fake_offload(&cell, (PVOID)1, (PVOID)2);
    assert_int_equal(told.made, 1);
    fake.provider_tcp.TcpOffloadSendHandler(fake.adapter_context, cell, &nbl);
    assert_int_equal(told.sends, 1);
    assert_string_equal(fake.io.name, "send"); /* and it went on */
    fake_terminate(&cell, (PVOID)1);
    assert_int_equal(told.gone, 1);
    assert_int_equal(told.downs, 2);
    assert_int_equal(told.down[0], FLOOR_INITIATE);
    assert_int_equal(told.down[1], FLOOR_TERMINATE);
    assert_int_equal(told.ups, 2);
    assert_int_equal(told.up[1], FLOOR_TERMINATE);
    assert_int_equal(told.kept, 99);
    fake_leave();
    assert_int_equal(told.closed, 1);
}

/* What is refused below is gone again. */
static void
entries_of_what_fails(void **state)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST b;
    PVOID cell = NULL;

    fake_stand_as(own_entry);
    fake_single(&b, &cell, (PVOID)1);
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &b);
    b.Status = NDIS_STATUS_OFFLOAD_TCP_ENTRIES;
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&b);
    assert_null(cell);
    assert_int_equal(told.made, 1);
    assert_int_equal(told.gone, 1);
    fake_leave();
}

/* As if there had been no memory for its call entry: it fails later, and a terminate goes later. */
static void
what_is_taken_back(void **state)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST b, was;
    PVOID cell = NULL;

    fake_stand_as(own_entry);
    fake_single(&b, &cell, (PVOID)1);
    was = b;
    told.take_back = true;
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &b);
    assert_null(fake.down.name);
    assert_null(fake.up.name);
    assert_int_equal(told.gone, 1);
    assert_int_equal(b.Status, NDIS_STATUS_RESOURCES);
    assert_ptr_equal(b.MiniportOffloadContext, was.MiniportOffloadContext);
    assert_ptr_equal(b.NdisOffloadHandle, was.NdisOffloadHandle);
    assert_ptr_equal(b.ImReserved[0], was.ImReserved[0]);
    fake_run_work();
    assert_string_equal(fake.up.name, "initiate");
    assert_ptr_equal(fake.up.data, &b);
    assert_null(cell);

    fake_offload(&cell, (PVOID)1, (PVOID)2);
    fake_forget();
    told.take_back = true;
    fake_terminate(&cell, (PVOID)1); /* by the work item */
    assert_string_equal(fake.up.name, "terminate");
    assert_int_equal(told.gone, 2);
    fake_leave();
}

/* The virtual adapter does not stand; whoever bound takes everything down again. */
static void
does_not_open(void **state)
{
    NDIS_MINIPORT_INIT_PARAMETERS init = {.Flags = 0};
    NDIS_BIND_PARAMETERS parameters;

    open_status = NDIS_STATUS_INVALID_PARAMETER;
    fake_load(own_entry);
    fake_bind_parameters(&parameters);
    assert_int_equal(
        fake.protocol.BindAdapterHandlerEx(fake.protocol_context, FAKE_BIND, &parameters),
        NDIS_STATUS_SUCCESS);
    init.IMDeviceInstanceContext = fake.device_context;
    assert_int_equal(fake.miniport.InitializeHandlerEx(FAKE_UPPER, fake.miniport_context, &init),
                     NDIS_STATUS_INVALID_PARAMETER);
    assert_null(fake.attributes_seen);
    assert_int_equal(told.opened, 1);
    fake.protocol.UnbindAdapterHandlerEx(FAKE_UNBIND, fake.binding_context);
    assert_int_equal(told.closed, 0);
    fake_unload();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_told_and_asked, setup),
        cmocka_unit_test_setup(entries_of_what_fails, setup),
        cmocka_unit_test_setup(what_is_taken_back, setup),
        cmocka_unit_test_setup(does_not_open, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
