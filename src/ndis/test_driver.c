/*
 * Drivers that file_test.c loads from a file, one per kind; their code may leave the process at any
 * time after their unload. With no kind given: a protocol driver that does everything right.
 */
#include <ndischimney.h>

static NDIS_HANDLE protocol, timer, work;

static NDIS_STATUS
bind_adapter(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
             PNDIS_BIND_PARAMETERS BindParameters)
{
    return NDIS_STATUS_NOT_SUPPORTED;
}

static NDIS_STATUS
unbind_adapter(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    return NDIS_STATUS_SUCCESS;
}

static VOID
open_complete(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
}

static VOID
close_complete(NDIS_HANDLE ProtocolBindingContext)
{
}

static NDIS_STATUS
pnp_event(NDIS_HANDLE ProtocolBindingContext, PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    return NDIS_STATUS_SUCCESS;
}

static VOID
oid_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest, NDIS_STATUS Status)
{
}

static VOID
status(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
}

static VOID
receive(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
        NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
}

static VOID
send_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
              ULONG SendCompleteFlags)
{
}

static NDIS_STATUS
register_protocol(void)
{
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .Name = NDIS_STRING_CONST(u"from-a-file"),
        .BindAdapterHandlerEx = bind_adapter,
        .UnbindAdapterHandlerEx = unbind_adapter,
        .OpenAdapterCompleteHandlerEx = open_complete,
        .CloseAdapterCompleteHandlerEx = close_complete,
        .NetPnPEventHandler = pnp_event,
        .OidRequestCompleteHandler = oid_complete,
        .StatusHandlerEx = status,
        .ReceiveNetBufferListsHandler = receive,
        .SendNetBufferListsCompleteHandler = send_complete,
    };

    return NdisRegisterProtocolDriver(NULL, &characteristics, &protocol);
}

static VOID
ring(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2, PVOID SystemSpecific3)
{
}

static VOID
routine(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
}

/* Both are on their way when this returns. */
static inline void
start_callbacks(void)
{
    NDIS_TIMER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_TIMER_CHARACTERISTICS_REVISION_1,
                   sizeof(characteristics)},
        .TimerFunction = ring,
    };
    LARGE_INTEGER soon = {.QuadPart = -10000};

    if (NdisAllocateTimerObject(protocol, &characteristics, &timer) == NDIS_STATUS_SUCCESS)
        NdisSetTimerObject(timer, soon, 1, NULL);
    work = NdisAllocateIoWorkItem(protocol);
    if (work)
        NdisQueueIoWorkItem(work, routine, NULL);
}

static VOID
unload(PDRIVER_OBJECT DriverObject)
{
#if defined(LEAVES)
    start_callbacks();
#else
    NdisDeregisterProtocolDriver(protocol);
#endif
}

#if defined(BROKEN)
VOID NdisThatIsNot(VOID);
VOID NdisNorIsThis(VOID);
#endif

#if defined(UNNAMED)
NDIS_API DRIVER_INITIALIZE SomeOtherEntry;
#define DriverEntry SomeOtherEntry
#endif

NTSTATUS
DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_STATUS result = register_protocol();

    if (DriverObject->DriverExtension || result != NDIS_STATUS_SUCCESS)
        return NDIS_STATUS_FAILURE;
    DriverObject->DriverUnload = unload;
#if defined(BROKEN)
    NdisThatIsNot();
    NdisNorIsThis();
#elif defined(FAILS)
    start_callbacks();
    result = NDIS_STATUS_RESOURCES;
#endif
    return result;
}
