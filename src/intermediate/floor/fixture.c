/* What every test of this floor does before and after, and the small round trips they share. */
#include "intermediate/drivers.h"
#include "intermediate/floor/floor.h"
#include "intermediate/floor/ndis_fake.h"

static DRIVER_OBJECT driver;

void
fake_forget(void)
{
    struct fake_call *calls[] = {&fake.down,   &fake.up,        &fake.io,    &fake.io_up,
                                 &fake.frames, &fake.frames_up, &fake.answer};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        memset(calls[i], 0, sizeof(*calls[i]));
    memset(fake.downs, 0, sizeof(fake.downs));
    fake.down_count = 0;
    fake.status_count = 0;
    fake.allocations = 0;
    fake.fail_at = -1;
}

void
fake_run_work(void)
{
    NDIS_IO_WORKITEM_ROUTINE work = fake.work;

    fake.work = NULL;
    fake_check(work);
    work(fake.work_context, NULL);
}

NDIS_STATUS
fake_event(NET_PNP_EVENT_NOTIFICATION *event_memory, NET_PNP_EVENT_CODE code)
{
    memset(event_memory, 0, sizeof(*event_memory));
    event_memory->NetPnPEvent.NetEvent = code;
    return fake.protocol.NetPnPEventHandler(fake.binding_context, event_memory);
}

void
fake_bind_parameters(NDIS_BIND_PARAMETERS *parameters)
{
    static NDIS_STRING section = NDIS_STRING_CONST(u"virtual0");
    static NDIS_STRING adapter = NDIS_STRING_CONST(u"real0");
    static NDIS_TCP_CONNECTION_OFFLOAD capabilities = {
        .Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3, .SupportIPv4 = 1};

    memset(parameters, 0, sizeof(*parameters));
    parameters->ProtocolSection = &section;
    parameters->AdapterName = &adapter;
    parameters->MtuSize = 1500;
    parameters->TcpConnectionOffloadCapabilities = &capabilities;
}

void
fake_load(DRIVER_INITIALIZE *entry)
{
    NDIS_STATUS status;

    memset(&fake, 0, sizeof(fake));
    fake_forget();
    status = entry(&driver, NULL);
    fake_check(status == NDIS_STATUS_SUCCESS && fake.associated);
}

void
fake_unload(void)
{
    driver.DriverUnload(&driver);
    fake_check(fake.blocks == 0);
}

void
fake_stand(void)
{
    fake_stand_as(passthru_entry);
}

void
fake_stand_as(DRIVER_INITIALIZE *entry)
{
    NDIS_BIND_PARAMETERS parameters;
    NDIS_MINIPORT_INIT_PARAMETERS init = {.Flags = 0};
    NET_PNP_EVENT_NOTIFICATION restart;
    NDIS_STATUS status;

    fake_load(entry);
    fake_bind_parameters(&parameters);
    status = fake.protocol.BindAdapterHandlerEx(fake.protocol_context, FAKE_BIND, &parameters);
    fake_check(status == NDIS_STATUS_SUCCESS);
    init.IMDeviceInstanceContext = fake.device_context;
    status = fake.miniport.InitializeHandlerEx(FAKE_UPPER, fake.miniport_context, &init);
    fake_check(status == NDIS_STATUS_SUCCESS && fake.attributes_seen == (PVOID)7);
    fake.miniport.RestartHandler(fake.adapter_context, NULL);
    fake_event(&restart, NetEventRestart);
    fake_forget();
}

void
fake_leave(void)
{
    NET_PNP_EVENT_NOTIFICATION pause;
    NDIS_STATUS status;

    status = fake.miniport.PauseHandler(fake.adapter_context, NULL);
    fake_check(status == NDIS_STATUS_SUCCESS);
    status = fake_event(&pause, NetEventPause);
    fake_check(status == NDIS_STATUS_SUCCESS);
    status = fake.protocol.UnbindAdapterHandlerEx(FAKE_UNBIND, fake.binding_context);
    fake_check(status == NDIS_STATUS_SUCCESS && !fake.adapter_context);
    fake_unload();
}

PNDIS_OFFLOAD_HANDLE
fake_below(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b)
{
    return ((PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST)(PVOID)b)->OffloadHandle;
}

void
fake_single(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b, PVOID *cell, NDIS_HANDLE handle)
{
    memset(b, 0, sizeof(*b));
    b->MiniportOffloadContext = cell;
    b->NdisOffloadHandle = handle;
}

PVOID
fake_offload(PVOID *cell, NDIS_HANDLE handle, PVOID context_below)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST b;

    fake_single(&b, cell, handle);
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &b);
    fake_below(&b)->MiniportOffloadContext = context_below;
    b.Status = NDIS_STATUS_SUCCESS;
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&b);
    fake_check(*cell);
    return *cell;
}

void
fake_terminate(PVOID *cell, NDIS_HANDLE handle)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST b;

    fake_single(&b, cell, handle);
    fake.provider.TerminateOffloadHandler(fake.adapter_context, &b);
    if (fake.work)
        fake_run_work();
    fake_check(strcmp(fake.down.name, "terminate") == 0);
    b.Status = NDIS_STATUS_SUCCESS;
    fake.client.TerminateOffloadCompleteHandler(fake.binding_context, (PVOID)&b);
    *cell = NULL;
}
