/*
 * The calls that this floor makes, each as little as possible: record, and answer what the test has
 * set. The slots that NDIS itself uses in a block are overwritten on the way down as the real one
 * does, so that a driver that does not save what it must save is found out.
 */
#include "intermediate/floor/ndis_fake.h"

struct fake fake;

static void
record(struct fake_call *call, const char *name, PVOID handle, PVOID data, ULONG code,
       NDIS_STATUS status)
{
    call->name = name;
    call->count++;
    call->handle = handle;
    call->data = data;
    call->code = code;
    call->status = status;
}

/* ---- memory ---- */

PVOID
NdisAllocateMemoryWithTagPriority(NDIS_HANDLE NdisHandle, UINT Length, ULONG Tag,
                                  EX_POOL_PRIORITY Priority)
{
    if (fake.allocations++ == fake.fail_at)
        return NULL;
    fake.blocks++;
    return malloc(Length);
}

VOID
NdisFreeMemory(PVOID VirtualAddress, UINT Length, UINT MemoryFlags)
{
    fake.blocks--;
    free(VirtualAddress);
}

NDIS_STATUS
NdisAllocateNetBufferListContext(NET_BUFFER_LIST *NetBufferList, USHORT ContextSize,
                                 USHORT ContextBackFill, ULONG PoolTag)
{
    PNET_BUFFER_LIST_CONTEXT context;

    fake_check(ContextSize % MEMORY_ALLOCATION_ALIGNMENT == 0);
    if (fake.allocations++ == fake.fail_at)
        return NDIS_STATUS_RESOURCES;
    fake.blocks++;
    context = calloc(1, sizeof(*context) + ContextSize);
    context->Next = NetBufferList->Context;
    context->Size = ContextSize;
    NetBufferList->Context = context;
    return NDIS_STATUS_SUCCESS;
}

VOID
NdisFreeNetBufferListContext(NET_BUFFER_LIST *NetBufferList, USHORT ContextSize)
{
    PNET_BUFFER_LIST_CONTEXT context = NetBufferList->Context;

    fake_check(context->Size == ContextSize);
    NetBufferList->Context = context->Next;
    fake.blocks--;
    free(context);
}

/* ---- drivers ---- */

NDIS_STATUS
NdisMRegisterMiniportDriver(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath,
                            NDIS_HANDLE MiniportDriverContext,
                            PNDIS_MINIPORT_DRIVER_CHARACTERISTICS MiniportDriverCharacteristics,
                            PNDIS_HANDLE NdisMiniportDriverHandle)
{
    fake.miniport = *MiniportDriverCharacteristics;
    fake.miniport_context = MiniportDriverContext;
    DriverObject->DriverUnload = fake.miniport.UnloadHandler;
    *NdisMiniportDriverHandle = FAKE_MINIPORT;
    return fake.miniport.SetOptionsHandler(FAKE_MINIPORT, MiniportDriverContext);
}

NDIS_STATUS
NdisRegisterProtocolDriver(NDIS_HANDLE ProtocolDriverContext,
                           PNDIS_PROTOCOL_DRIVER_CHARACTERISTICS ProtocolCharacteristics,
                           PNDIS_HANDLE NdisProtocolHandle)
{
    fake.protocol = *ProtocolCharacteristics;
    fake.protocol_context = ProtocolDriverContext;
    *NdisProtocolHandle = FAKE_PROTOCOL;
    return fake.protocol.SetOptionsHandler(FAKE_PROTOCOL, ProtocolDriverContext);
}

NDIS_STATUS
NdisSetOptionalHandlers(NDIS_HANDLE NdisHandle, PNDIS_DRIVER_OPTIONAL_HANDLERS OptionalHandlers)
{
    PVOID from = OptionalHandlers;

    switch (OptionalHandlers->Header.Type) {
    case NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS:
        memcpy(&fake.provider, from, sizeof(fake.provider));
        break;
    case NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS:
        memcpy(&fake.provider_tcp, from, sizeof(fake.provider_tcp));
        break;
    case NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS:
        memcpy(&fake.client, from, sizeof(fake.client));
        break;
    case NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS:
        memcpy(&fake.client_tcp, from, sizeof(fake.client_tcp));
        break;
    default:
        return NDIS_STATUS_FAILURE;
    }
    return NDIS_STATUS_SUCCESS;
}

VOID
NdisMDeregisterMiniportDriver(NDIS_HANDLE NdisMiniportDriverHandle)
{
    memset(&fake.miniport, 0, sizeof(fake.miniport));
}

VOID
NdisDeregisterProtocolDriver(NDIS_HANDLE NdisProtocolHandle)
{
    memset(&fake.protocol, 0, sizeof(fake.protocol));
}

VOID
NdisIMAssociateMiniport(NDIS_HANDLE DriverHandle, NDIS_HANDLE ProtocolHandle)
{
    fake.associated = DriverHandle == FAKE_MINIPORT && ProtocolHandle == FAKE_PROTOCOL;
}

/* ---- the two edges ---- */

NDIS_STATUS
NdisOpenAdapterEx(NDIS_HANDLE NdisProtocolHandle, NDIS_HANDLE ProtocolBindingContext,
                  PNDIS_OPEN_PARAMETERS OpenParameters, NDIS_HANDLE BindContext,
                  PNDIS_HANDLE NdisBindingHandle)
{
    fake_check(fake.binding_count < FAKE_BINDINGS);
    fake.binding_context = ProtocolBindingContext;
    *NdisBindingHandle = FAKE_LOWER_AT(fake.binding_count);
    fake.bindings[fake.binding_count++] = ProtocolBindingContext;
    return fake.open_status;
}

NDIS_STATUS
NdisCloseAdapterEx(NDIS_HANDLE NdisBindingHandle)
{
    fake.binding_count--;
    record(&fake.answer, "close", NdisBindingHandle, NULL, 0, fake.close_status);
    return fake.close_status;
}

VOID
NdisCompleteBindAdapterEx(NDIS_HANDLE BindAdapterContext, NDIS_STATUS Status)
{
    record(&fake.answer, "bind", BindAdapterContext, NULL, 0, Status);
}

VOID
NdisCompleteUnbindAdapterEx(NDIS_HANDLE UnbindContext)
{
    record(&fake.answer, "unbind", UnbindContext, NULL, 0, 0);
}

VOID
NdisCompleteNetPnPEvent(NDIS_HANDLE NdisBindingHandle,
                        PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification, NDIS_STATUS Status)
{
    record(&fake.answer, "event", NdisBindingHandle, NetPnPEventNotification, 0, Status);
}

NDIS_STATUS
NdisIMInitializeDeviceInstanceEx(NDIS_HANDLE DriverHandle, PNDIS_STRING DriverInstance,
                                 NDIS_HANDLE DeviceContext)
{
    fake.device_context = DeviceContext;
    return fake.instance_status;
}

NDIS_STATUS
NdisIMCancelInitializeDeviceInstance(NDIS_HANDLE DriverHandle, PNDIS_STRING DeviceInstance)
{
    fake.device_context = NULL;
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
NdisIMDeInitializeDeviceInstance(NDIS_HANDLE NdisMiniportHandle)
{
    fake.miniport.HaltHandlerEx(fake.adapter_context, NdisHaltDeviceInstanceDeInitialized);
    fake.adapter_context = NULL;
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
NdisMSetMiniportAttributes(NDIS_HANDLE NdisMiniportHandle,
                           PNDIS_MINIPORT_ADAPTER_ATTRIBUTES MiniportAttributes)
{
    ULONG_PTR seen = (ULONG_PTR)fake.attributes_seen;

    switch (MiniportAttributes->Header.Type) {
    case NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES:
        fake_check(seen == 0);
        fake.adapter_context = MiniportAttributes->RegistrationAttributes.MiniportAdapterContext;
        break;
    case NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES:
        fake_check(seen == 1);
        break;
    default:
        fake_check(seen == 3);
        break;
    }
    fake.attributes_seen = (PVOID)(seen << 1 | 1);
    return NDIS_STATUS_SUCCESS;
}

VOID
NdisMPauseComplete(NDIS_HANDLE MiniportAdapterHandle)
{
    record(&fake.answer, "pause", MiniportAdapterHandle, NULL, 0, 0);
}

NDIS_STATUS
NdisMNetPnPEvent(NDIS_HANDLE MiniportAdapterHandle,
                 PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    record(&fake.answer, "event up", MiniportAdapterHandle, NetPnPEventNotification, 0, 0);
    return NDIS_STATUS_NOT_SUPPORTED;
}

VOID
NdisMIndicateStatusEx(NDIS_HANDLE MiniportAdapterHandle, PNDIS_STATUS_INDICATION StatusIndication)
{
    fake_check(StatusIndication->SourceHandle == FAKE_UPPER);
    fake_check(fake.status_count < 8);
    fake.statuses[fake.status_count++] = StatusIndication->StatusCode;
}

/* ---- requests ---- */

NDIS_STATUS
NdisOidRequest(NDIS_HANDLE NdisBindingHandle, PNDIS_OID_REQUEST OidRequest)
{
    record(&fake.down, "request", NdisBindingHandle, OidRequest, 0, fake.request_status);
    OidRequest->DATA.QUERY_INFORMATION.BytesWritten = 7;
    return fake.request_status;
}

VOID
NdisCancelOidRequest(NDIS_HANDLE NdisBindingHandle, PVOID RequestId)
{
    record(&fake.down, "cancel", NdisBindingHandle, RequestId, 0, 0);
}

VOID
NdisMOidRequestComplete(NDIS_HANDLE MiniportAdapterHandle, PNDIS_OID_REQUEST OidRequest,
                        NDIS_STATUS Status)
{
    record(&fake.up, "request", MiniportAdapterHandle, OidRequest, 0, Status);
}

/* ---- the regular path ---- */

VOID
NdisSendNetBufferLists(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferLists,
                       NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    record(&fake.frames, "send", NdisBindingHandle, NetBufferLists, SendFlags, 0);
}

VOID
NdisCancelSendNetBufferLists(NDIS_HANDLE NdisBindingHandle, PVOID CancelId)
{
    record(&fake.frames, "cancel", NdisBindingHandle, CancelId, 0, 0);
}

VOID
NdisReturnNetBufferLists(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferLists,
                         ULONG ReturnFlags)
{
    record(&fake.frames, "return", NdisBindingHandle, NetBufferLists, ReturnFlags, 0);
}

VOID
NdisMSendNetBufferListsComplete(NDIS_HANDLE MiniportAdapterHandle, PNET_BUFFER_LIST NetBufferList,
                                ULONG SendCompleteFlags)
{
    record(&fake.frames_up, "complete", MiniportAdapterHandle, NetBufferList, SendCompleteFlags,
           NET_BUFFER_LIST_STATUS(NetBufferList));
}

VOID
NdisMIndicateReceiveNetBufferLists(NDIS_HANDLE MiniportAdapterHandle,
                                   PNET_BUFFER_LIST NetBufferList, NDIS_PORT_NUMBER PortNumber,
                                   ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    record(&fake.frames_up, "indicate", MiniportAdapterHandle, NetBufferList,
           NumberOfNetBufferLists, 0);
    if (fake.on_frames_up)
        fake.on_frames_up(NetBufferList);
}

/* ---- the chimney, down ---- */

/* What NDIS does to a block on its way down (P4, P8, P10). */
static void
convert(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block)
{
    for (; block; block = block->NextBlock) {
        PNDIS_OFFLOAD_HANDLE handle = block->OffloadHandle;

        block->NdisReserved[2] = handle ? &handle->MiniportOffloadContext : NULL;
        block->SourceHandle = FAKE_LOWER;
        convert(block->DependentBlockList);
    }
}

#define DOWN(function, kind)                                                                       \
    VOID function(NDIS_HANDLE NdisBindingHandle,                                                   \
                  PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)                              \
    {                                                                                              \
        convert(OffloadBlockList);                                                                 \
        record(&fake.down, kind, NdisBindingHandle, OffloadBlockList, 0, 0);                       \
        if (fake.down_count < FAKE_DOWNS)                                                          \
            fake.downs[fake.down_count++] = fake.down;                                             \
    }
DOWN(NdisInitiateOffload, "initiate")
DOWN(NdisTerminateOffload, "terminate")
DOWN(NdisUpdateOffload, "update")
DOWN(NdisInvalidateOffload, "invalidate")
DOWN(NdisQueryOffloadState, "query")

#define IO_DOWN(function, kind)                                                                    \
    NDIS_STATUS function(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList)   \
    {                                                                                              \
        record(&fake.io, kind, NdisOffloadHandle, NetBufferList, 0, 0);                            \
        return NDIS_STATUS_PENDING;                                                                \
    }
IO_DOWN(NdisOffloadTcpSend, "send")
IO_DOWN(NdisOffloadTcpReceive, "receive")
IO_DOWN(NdisOffloadTcpForward, "forward")

NDIS_STATUS
NdisOffloadTcpDisconnect(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList,
                         ULONG Flags)
{
    record(&fake.io, "disconnect", NdisOffloadHandle, NetBufferList, Flags, 0);
    return NDIS_STATUS_PENDING;
}

VOID
NdisOffloadTcpReceiveReturn(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferList)
{
    record(&fake.io, "return", NdisBindingHandle, NetBufferList, 0, 0);
}

/* ---- the chimney, up ---- */

#define UP(function, kind)                                                                         \
    VOID function(NDIS_HANDLE NdisMiniportHandle,                                                  \
                  PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)                              \
    {                                                                                              \
        record(&fake.up, kind, NdisMiniportHandle, OffloadBlockList, 0, OffloadBlockList->Status); \
    }
UP(NdisMInitiateOffloadComplete, "initiate")
UP(NdisMTerminateOffloadComplete, "terminate")
UP(NdisMUpdateOffloadComplete, "update")
UP(NdisMInvalidateOffloadComplete, "invalidate")
UP(NdisMQueryOffloadStateComplete, "query")

VOID
NdisMOffloadEventIndicate(NDIS_HANDLE NdisMiniportHandle,
                          PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    PNEIGHBOR_OFFLOAD_STATE_CACHED cached = NDIS_OFFLOAD_STATE_FIRST(OffloadBlockList);

    if (fake.on_event_up)
        fake.on_event_up(OffloadBlockList);
    else
        cached->HostReachabilityDelta = 42;
    record(&fake.up, "event", OffloadBlockList->NdisOffloadHandle, OffloadBlockList, IndicationCode,
           0);
}

#define IO_UP(function, kind)                                                                      \
    static VOID function(NDIS_HANDLE NdisMiniportHandle, PNET_BUFFER_LIST NetBufferList)           \
    {                                                                                              \
        record(&fake.io_up, kind, NdisMiniportHandle, NetBufferList, 0, 0);                        \
    }
IO_UP(send_complete, "send")
IO_UP(receive_complete, "receive")
IO_UP(disconnect_complete, "disconnect")
IO_UP(forward_complete, "forward")

static VOID
event(NDIS_HANDLE NdisOffloadHandle, ULONG EventType, ULONG EventSpecificInformation)
{
    record(&fake.io_up, "event", NdisOffloadHandle, (PVOID)(ULONG_PTR)EventSpecificInformation,
           EventType, 0);
}

static NDIS_STATUS
indicate(NDIS_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
         PULONG BytesConsumed)
{
    record(&fake.io_up, "indicate", NdisOffloadHandle, NetBufferList, 0, Status);
    *BytesConsumed = fake.indicate_consumed;
    return fake.indicate_status;
}

NDIS_STATUS
NdisMGetOffloadHandlers(NDIS_HANDLE NdisMiniportHandle, NDIS_CHIMNEY_OFFLOAD_TYPE Type,
                        PNDIS_OFFLOAD_EVENT_HANDLERS *OffloadHandlers)
{
    static NDIS_TCP_OFFLOAD_EVENT_HANDLERS table = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_TCP_OFFLOAD_EVENT_HANDLERS_REVISION_1,
                   sizeof(table)},
        .NdisTcpOffloadEventHandler = event,
        .NdisTcpOffloadReceiveHandler = indicate,
        .NdisTcpOffloadSendComplete = send_complete,
        .NdisTcpOffloadReceiveComplete = receive_complete,
        .NdisTcpOffloadDisconnectComplete = disconnect_complete,
        .NdisTcpOffloadForwardComplete = forward_complete,
    };

    *OffloadHandlers = (PVOID)&table;
    return NDIS_STATUS_SUCCESS;
}

/* ---- services ---- */

NDIS_HANDLE
NdisAllocateIoWorkItem(NDIS_HANDLE NdisObjectHandle)
{
    return NdisAllocateMemoryWithTagPriority(NdisObjectHandle, 16, 0, NormalPoolPriority);
}

VOID
NdisFreeIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle)
{
    NdisFreeMemory(NdisIoWorkItemHandle, 16, 0);
}

VOID
NdisQueueIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle, NDIS_IO_WORKITEM_ROUTINE Routine,
                    PVOID WorkItemContext)
{
    fake_check(!fake.work);
    fake.work = Routine;
    fake.work_context = WorkItemContext;
}

VOID
NdisInitializeEvent(PNDIS_EVENT Event)
{
    Event->Reserved[0] = NULL;
}

VOID
NdisSetEvent(PNDIS_EVENT Event)
{
    Event->Reserved[0] = Event;
}

VOID
NdisResetEvent(PNDIS_EVENT Event)
{
    Event->Reserved[0] = NULL;
}

BOOLEAN
NdisWaitEvent(PNDIS_EVENT Event, UINT MsToWait)
{
    fake_check(Event->Reserved[0]);
    return TRUE;
}
