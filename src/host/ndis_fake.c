/* The calls of NDIS that src/host makes, noted in struct fake. */
#include "host/ndis_fake.h"

#include <assert.h>
#include <stdlib.h>

struct fake fake;
static DRIVER_OBJECT driver_object;
static NET_PNP_EVENT_NOTIFICATION pnp_event;

/* ---- driving ---- */

void
fake_run_work(void)
{
    NDIS_IO_WORKITEM_ROUTINE routine = fake.work;

    assert(routine);
    fake.work = NULL;
    routine(fake.work_context, &fake);
}

static NDIS_STATUS
send_event(NET_PNP_EVENT_CODE code)
{
    pnp_event.NetPnPEvent.NetEvent = code;
    return fake.driver.NetPnPEventHandler(fake.binding, &pnp_event);
}

struct host_binding *
fake_start(struct host *host)
{
    static WCHAR name[] = u"a0";
    NDIS_STRING adapter = {4, 6, name};
    NDIS_BIND_PARAMETERS parameters = {.AdapterName = &adapter,
                                       .TcpConnectionOffloadCapabilities = &fake.capabilities};

    driver_object.DriverExtension = host;
    if (host_entry(&driver_object, NULL) != NDIS_STATUS_SUCCESS)
        return NULL;
    NDIS_STATUS status = fake.driver.BindAdapterHandlerEx(fake.driver_context, &parameters,
                                                          &parameters);
    if (status == NDIS_STATUS_PENDING)
        fake.driver.OpenAdapterCompleteHandlerEx(fake.binding, NDIS_STATUS_SUCCESS);
    else if (status != NDIS_STATUS_SUCCESS)
        return NULL;
    send_event(NetEventRestart);
    fake_run_work();
    return fake.binding;
}

void
fake_pause(void)
{
    if (send_event(NetEventPause) == NDIS_STATUS_SUCCESS)
        fake.events_completed++;
}

void
fake_stop(void)
{
    if (fake.binding) {
        fake_pause();
        if (fake.work)
            fake_run_work();
        fake.driver.UnbindAdapterHandlerEx(&fake, fake.binding);
        fake.binding = NULL;
    }
    driver_object.DriverUnload(&driver_object);
}

void
fake_status(NDIS_STATUS code)
{
    NDIS_STATUS_INDICATION indication = {.StatusCode = code};

    fake.driver.StatusHandlerEx(fake.binding, &indication);
}

NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
fake_take(enum fake_operation operation)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake.calls[0].root;

    if (!fake.call_count || fake.calls[0].operation != operation)
        return NULL;
    fake.call_count--;
    memmove(fake.calls, fake.calls + 1, fake.call_count * sizeof *fake.calls);
    return root;
}

PNET_BUFFER_LIST
fake_take_data(enum fake_data kind)
{
    unsigned at = 0;

    while (at < fake.data_count && fake.data_kinds[at] != kind)
        at++;
    if (at == fake.data_count)
        return NULL;
    PNET_BUFFER_LIST nbls = fake.data[at];
    fake.data_count--;
    memmove(fake.data + at, fake.data + at + 1, (fake.data_count - at) * sizeof *fake.data);
    memmove(fake.data_kinds + at, fake.data_kinds + at + 1,
            (fake.data_count - at) * sizeof *fake.data_kinds);
    return nbls;
}

static void
answer_node(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block, NDIS_STATUS status)
{
    bool there = status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;

    block->Status = status;
    if (there && block->OffloadHandle && !block->OffloadHandle->MiniportOffloadContext)
        block->OffloadHandle->MiniportOffloadContext = block;
}

void
fake_answer_initiate(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root, NDIS_STATUS neighbor, NDIS_STATUS path,
                     NDIS_STATUS tcp)
{
    answer_node(root, neighbor);
    answer_node(root->DependentBlockList, path);
    answer_node(root->DependentBlockList->DependentBlockList, tcp);
    fake.generic.InitiateOffloadCompleteHandler(fake.binding, root);
}

void
fake_answer_terminate(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root)
{
    for (NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = root; block; block = block->DependentBlockList) {
        block->Status = NDIS_STATUS_SUCCESS;
        if (block->OffloadHandle)
            block->OffloadHandle->MiniportOffloadContext = NULL;
    }
    fake.generic.TerminateOffloadCompleteHandler(fake.binding, root);
}

void
fake_answer(enum fake_operation operation, NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root,
            NDIS_STATUS status)
{
    for (NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = root; block; block = block->DependentBlockList)
        block->Status = block->OffloadHandle ? status : NDIS_STATUS_SUCCESS;
    if (operation == FAKE_UPDATE)
        fake.generic.UpdateOffloadCompleteHandler(fake.binding, root);
    else if (operation == FAKE_INVALIDATE)
        fake.generic.InvalidateOffloadCompleteHandler(fake.binding, root);
    else
        fake.generic.QueryOffloadCompleteHandler(fake.binding, root);
}

/* ---- registration and bindings ---- */

NDIS_STATUS
NdisRegisterProtocolDriver(NDIS_HANDLE ProtocolDriverContext,
                           PNDIS_PROTOCOL_DRIVER_CHARACTERISTICS ProtocolCharacteristics,
                           PNDIS_HANDLE NdisProtocolHandle)
{
    fake.driver = *ProtocolCharacteristics;
    fake.driver_context = ProtocolDriverContext;
    *NdisProtocolHandle = &fake;
    return fake.driver.SetOptionsHandler(&fake, ProtocolDriverContext);
}

NDIS_STATUS
NdisSetOptionalHandlers(NDIS_HANDLE NdisHandle, PNDIS_DRIVER_OPTIONAL_HANDLERS OptionalHandlers)
{
    if (OptionalHandlers->Header.Size == sizeof fake.generic)
        memcpy(&fake.generic, OptionalHandlers, sizeof fake.generic);
    else
        memcpy(&fake.tcp, OptionalHandlers, sizeof fake.tcp);
    return NDIS_STATUS_SUCCESS;
}

VOID
NdisDeregisterProtocolDriver(NDIS_HANDLE NdisProtocolHandle)
{
    fake.driver_context = NULL;
}

NDIS_STATUS
NdisOpenAdapterEx(NDIS_HANDLE NdisProtocolHandle, NDIS_HANDLE ProtocolBindingContext,
                  PNDIS_OPEN_PARAMETERS OpenParameters, NDIS_HANDLE BindContext,
                  PNDIS_HANDLE NdisBindingHandle)
{
    fake.binding = ProtocolBindingContext;
    *NdisBindingHandle = &fake.binding;
    return fake.open_status;
}

NDIS_STATUS
NdisCloseAdapterEx(NDIS_HANDLE NdisBindingHandle)
{
    return NDIS_STATUS_SUCCESS;
}

VOID
NdisCompleteBindAdapterEx(NDIS_HANDLE BindAdapterContext, NDIS_STATUS Status)
{
    fake.binds_completed++;
}

VOID
NdisCompleteUnbindAdapterEx(NDIS_HANDLE UnbindContext)
{
    fake.unbinds_completed++;
}

VOID
NdisCompleteNetPnPEvent(NDIS_HANDLE NdisBindingHandle,
                        PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification, NDIS_STATUS Status)
{
    fake.events_completed++;
}

NDIS_STATUS
NdisOidRequest(NDIS_HANDLE NdisBindingHandle, PNDIS_OID_REQUEST OidRequest)
{
    fake.oid = OidRequest;
    if (OidRequest->RequestType == NdisRequestQueryInformation &&
        fake.oid_status == NDIS_STATUS_SUCCESS) {
        memcpy(OidRequest->DATA.QUERY_INFORMATION.InformationBuffer, fake.oid_answer,
               fake.oid_answer_size);
        OidRequest->DATA.QUERY_INFORMATION.BytesWritten = fake.oid_answer_size;
    }
    return fake.oid_status;
}

NDIS_HANDLE
NdisAllocateIoWorkItem(NDIS_HANDLE NdisObjectHandle)
{
    fake.objects++;
    return &fake.work;
}

VOID
NdisQueueIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle, NDIS_IO_WORKITEM_ROUTINE Routine,
                    PVOID WorkItemContext)
{
    fake.work = Routine;
    fake.work_context = WorkItemContext;
}

VOID
NdisFreeIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle)
{
    fake.objects--;
}

/* ---- block lists ---- */

static void
note(enum fake_operation operation, NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root)
{
    assert(fake.call_count < FAKE_CALLS);
    fake.calls[fake.call_count++] = (struct fake_call){operation, root};
}

VOID
NdisInitiateOffload(NDIS_HANDLE NdisBindingHandle,
                    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    note(FAKE_INITIATE, OffloadBlockList);
}

VOID
NdisTerminateOffload(NDIS_HANDLE NdisBindingHandle,
                     PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    note(FAKE_TERMINATE, OffloadBlockList);
}

VOID
NdisUpdateOffload(NDIS_HANDLE NdisBindingHandle, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    note(FAKE_UPDATE, OffloadBlockList);
}

VOID
NdisQueryOffloadState(NDIS_HANDLE NdisBindingHandle,
                      PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    note(FAKE_QUERY, OffloadBlockList);
}

VOID
NdisInvalidateOffload(NDIS_HANDLE NdisBindingHandle,
                      PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    note(FAKE_INVALIDATE, OffloadBlockList);
}

/* ---- data ---- */

static NDIS_STATUS
note_data(enum fake_data kind, PNET_BUFFER_LIST nbls)
{
    assert(fake.data_count < FAKE_CALLS);
    fake.data_kinds[fake.data_count] = kind;
    fake.data[fake.data_count++] = nbls;
    return NDIS_STATUS_PENDING;
}

NDIS_STATUS
NdisOffloadTcpSend(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList)
{
    return note_data(FAKE_SEND, NetBufferList);
}

NDIS_STATUS
NdisOffloadTcpReceive(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList)
{
    return note_data(FAKE_RECEIVE, NetBufferList);
}

NDIS_STATUS
NdisOffloadTcpDisconnect(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList,
                         ULONG Flags)
{
    fake.disconnect_flags = Flags;
    return note_data(FAKE_DISCONNECT, NetBufferList);
}

NDIS_STATUS
NdisOffloadTcpForward(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle, PNET_BUFFER_LIST NetBufferList)
{
    return note_data(FAKE_FORWARD, NetBufferList);
}

VOID
NdisOffloadTcpReceiveReturn(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferList)
{
    note_data(FAKE_RECEIVE_RETURN, NetBufferList);
}

VOID
NdisSendNetBufferLists(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferLists,
                       NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    note_data(FAKE_FRAMES, NetBufferLists);
}

VOID
NdisReturnNetBufferLists(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferLists,
                         ULONG ReturnFlags)
{
    note_data(FAKE_FRAMES_RETURN, NetBufferLists);
}

/* ---- buffers ---- */

NDIS_HANDLE
NdisAllocateNetBufferListPool(NDIS_HANDLE NdisHandle,
                              NET_BUFFER_LIST_POOL_PARAMETERS const *Parameters)
{
    fake.objects++;
    return &fake.objects;
}

VOID
NdisFreeNetBufferListPool(NDIS_HANDLE PoolHandle)
{
    fake.objects--;
}

NET_BUFFER_LIST *
NdisAllocateNetBufferAndNetBufferList(NDIS_HANDLE PoolHandle, USHORT ContextSize,
                                      USHORT ContextBackFill, MDL *MdlChain, ULONG DataOffset,
                                      SIZE_T DataLength)
{
    struct {
        NET_BUFFER_LIST nbl;
        NET_BUFFER nb;
    } * both;

    if (fake.refuse_nbl && --fake.refuse_nbl == 0)
        return NULL;
    both = aligned_alloc(16, sizeof *both);
    assert(both);
    memset(both, 0, sizeof *both);
    both->nbl.FirstNetBuffer = &both->nb;
    both->nbl.NdisPoolHandle = PoolHandle;
    both->nb.MdlChain = both->nb.CurrentMdl = MdlChain;
    both->nb.DataLength = (ULONG)DataLength;
    both->nb.DataOffset = both->nb.CurrentMdlOffset = DataOffset; /* inside the first MDL */
    fake.objects++;
    return &both->nbl;
}

VOID
NdisFreeNetBufferList(NET_BUFFER_LIST *NetBufferList)
{
    fake.objects--;
    free(NetBufferList);
}

MDL *
NdisAllocateMdl(NDIS_HANDLE NdisHandle, PVOID VirtualAddress, ULONG Length)
{
    MDL *mdl = calloc(1, sizeof *mdl);

    assert(mdl);
    mdl->StartVa = VirtualAddress;
    mdl->ByteCount = Length;
    fake.objects++;
    return mdl;
}

VOID
NdisFreeMdl(MDL *Mdl)
{
    fake.objects--;
    free(Mdl);
}

PVOID
NdisGetDataBuffer(NET_BUFFER *NetBuffer, ULONG BytesNeeded, PVOID Storage, ULONG AlignMultiple,
                  ULONG AlignOffset)
{
    return MmGetMdlVirtualAddress(NetBuffer->CurrentMdl);
}
