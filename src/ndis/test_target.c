/* The fake offload target: every state operation succeeds at the next turn, unless it is told
 * otherwise. */
#include "ndis/test_fakes.h"

/* ---- the target: registration and life ---- */

static struct fake_target *
target_of(NDIS_HANDLE context)
{
    return context;
}

static void
target_task(void *arg)
{
    fake_target_answer(arg);
}

static NDIS_STATUS
target_initialize(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
                  PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters)
{
    struct fake_target *target = target_of(MiniportDriverContext);
    NDIS_TCP_CONNECTION_OFFLOAD can = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_TCP_CONNECTION_OFFLOAD_REVISION_2, sizeof(can)},
        .Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3,
        .SupportIPv4 = NDIS_OFFLOAD_SUPPORTED,
        .TcpConnectionOffloadCapacity = 1000,
    };
    NDIS_MINIPORT_ADAPTER_ATTRIBUTES attributes;
    PNDIS_OFFLOAD_EVENT_HANDLERS handlers;

    stage_trace(target->stage, "initialize");
    target->adapter = NdisMiniportHandle;
    if (target->ask)
        target->ask(NdisMiniportHandle);
    if (target->initialize_status)
        return target->initialize_status;
    memset(&attributes, 0, sizeof(attributes));
    attributes.Header.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES;
    attributes.RegistrationAttributes.MiniportAdapterContext = target;
    attributes.RegistrationAttributes.CheckForHangTimeInSeconds = 3;
    assert_int_equal(NdisMSetMiniportAttributes(NdisMiniportHandle, &attributes), 0);
    memset(&attributes, 0, sizeof(attributes));
    attributes.Header.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES;
    attributes.GeneralAttributes.MtuSize = 1500;
    attributes.GeneralAttributes.MacAddressLength = 6;
    assert_int_equal(NdisMSetMiniportAttributes(NdisMiniportHandle, &attributes), 0);
    memset(&attributes, 0, sizeof(attributes));
    attributes.Header.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES;
    attributes.OffloadAttributes.DefaultTcpConnectionOffloadConfiguration = &can;
    if (!target->no_chimney && !target->no_capabilities)
        assert_int_equal(NdisMSetMiniportAttributes(NdisMiniportHandle, &attributes), 0);
    assert_int_equal(NdisMGetOffloadHandlers(NdisMiniportHandle, NdisTcpChimneyOffload, &handlers),
                     0);
    memcpy(&target->up, handlers, sizeof(target->up));
    return NDIS_STATUS_SUCCESS;
}

static VOID
target_halt(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
    stage_trace(target_of(MiniportAdapterContext)->stage,
                HaltAction == NdisHaltDeviceSurpriseRemoved ? "halt-gone" : "halt");
}

static void
pause_later(void *arg)
{
    struct fake_target *target = arg;

    NdisMPauseComplete(target->adapter);
}

static void
restart_later(void *arg)
{
    struct fake_target *target = arg;

    NdisMRestartComplete(target->adapter, target->restart_status);
}

static NDIS_STATUS
target_pause(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    struct fake_target *target = target_of(MiniportAdapterContext);

    stage_trace(target->stage, "pause");
    if (!target->pend_pause)
        return NDIS_STATUS_SUCCESS;
    sys_task_init(&target->task, pause_later, target);
    if (!target->never_answer)
        sys_loop_defer(target->stage->loop, &target->task);
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
target_restart(NDIS_HANDLE MiniportAdapterContext,
               PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    struct fake_target *target = target_of(MiniportAdapterContext);

    stage_trace(target->stage, "restart");
    if (!target->pend_restart)
        return target->restart_status;
    sys_task_init(&target->task, restart_later, target);
    if (!target->never_answer)
        sys_loop_defer(target->stage->loop, &target->task);
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
target_oid(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct fake_target *target = target_of(MiniportAdapterContext);

    target->oid = OidRequest;
    target->oids++;
    target->level = KeGetCurrentIrql();
    if (OidRequest->DATA.SET_INFORMATION.Oid == OID_GEN_CURRENT_PACKET_FILTER)
        memcpy(&target->filter_set, OidRequest->DATA.SET_INFORMATION.InformationBuffer,
               sizeof(target->filter_set));
    return target->pend_oid ? NDIS_STATUS_PENDING : target->oid_status;
}

static NDIS_STATUS
target_direct(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct fake_target *target = target_of(MiniportAdapterContext);

    target->direct = OidRequest;
    target->level = KeGetCurrentIrql();
    return target->pend_oid ? NDIS_STATUS_PENDING : target->oid_status;
}

static VOID
target_cancel(NDIS_HANDLE MiniportAdapterContext, PVOID Id)
{
    target_of(MiniportAdapterContext)->cancelled = Id;
}

/* ---- the target: what happens to the device ---- */

static BOOLEAN
target_check_for_hang(NDIS_HANDLE MiniportAdapterContext)
{
    struct fake_target *target = target_of(MiniportAdapterContext);

    stage_trace(target->stage, "check");
    return target->hangs;
}

static NDIS_STATUS
target_reset(NDIS_HANDLE MiniportAdapterContext, PBOOLEAN AddressingReset)
{
    struct fake_target *target = target_of(MiniportAdapterContext);

    stage_trace(target->stage, "reset");
    target->hangs = false;
    target->level = KeGetCurrentIrql();
    *AddressingReset = target->addressing_reset;
    return target->pend_reset ? NDIS_STATUS_PENDING : target->reset_status;
}

static VOID
target_device_event(NDIS_HANDLE MiniportAdapterContext, PNET_DEVICE_PNP_EVENT NetDevicePnPEvent)
{
    assert_int_equal(NetDevicePnPEvent->DevicePnPEvent, NdisDevicePnPEventSurpriseRemoved);
    stage_trace(target_of(MiniportAdapterContext)->stage, "surprise");
}

static VOID
target_shutdown(NDIS_HANDLE MiniportAdapterContext, NDIS_SHUTDOWN_ACTION ShutdownAction)
{
    struct fake_target *target = target_of(MiniportAdapterContext);

    stage_trace(target->stage, ShutdownAction == NdisShutdownBugCheck ? "crash" : "shutdown");
    target->level = KeGetCurrentIrql();
}

/* ---- the target: frames ---- */

static VOID
target_send_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                   NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct fake_target *target = target_of(MiniportAdapterContext);

    test_keep(&target->nbls, &target->nbls_tail, NetBufferList);
}

static VOID
target_return_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                     ULONG ReturnFlags)
{
    target_of(MiniportAdapterContext)->returned += test_count(NetBufferLists);
}

/* ---- the target: state operations ---- */

static void
write_block(struct fake_target *target, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    bool initiate = target->complete == NdisMInitiateOffloadComplete;
    bool terminate = target->complete == NdisMTerminateOffloadComplete;

    block->Status = NDIS_STATUS_SUCCESS;
    if (!block->MiniportOffloadContext)
        return;
    if (initiate && !*block->MiniportOffloadContext) {
        block->Status = target->object_status;
        if (!target->object_status)
            *block->MiniportOffloadContext = (PVOID)(target->last_context += 16);
    }
    if (terminate && block->Header.Type == TcpOffloadDelegatedState) {
        block->NetBufferListChain = target->chain_back;
        target->chain_back = NULL;
    }
}

/* Like NDIS it may not recurse: it walks with a stack that it links through MiniportReserved. */
static void
write_tree(struct fake_target *target, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST top)
{
    if (top)
        top->MiniportReserved[0] = NULL;
    while (top) {
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = top;

        top = block->MiniportReserved[0];
        if (block->NextBlock) {
            block->NextBlock->MiniportReserved[0] = top;
            top = block->NextBlock;
        }
        if (block->DependentBlockList) {
            block->DependentBlockList->MiniportReserved[0] = top;
            top = block->DependentBlockList;
        }
        write_block(target, block);
    }
}

void
fake_target_answer(struct fake_target *target)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = target->root;

    write_tree(target, root);
    target->root = NULL;
    target->complete(target->adapter, root);
}

#define STATE_OPERATION(function, word, completion)                                                \
    static VOID function(NDIS_HANDLE MiniportAdapterContext,                                       \
                         PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)                       \
    {                                                                                              \
        struct fake_target *target = target_of(MiniportAdapterContext);                            \
                                                                                                   \
        stage_trace(target->stage, word);                                                          \
        target->root = OffloadBlockList;                                                           \
        target->complete = completion;                                                             \
        sys_task_init(&target->task, target_task, target);                                         \
        if (!target->hold_state)                                                                   \
            sys_loop_defer(target->stage->loop, &target->task);                                    \
    }
STATE_OPERATION(target_initiate, "initiate", NdisMInitiateOffloadComplete)
STATE_OPERATION(target_terminate, "terminate", NdisMTerminateOffloadComplete)
STATE_OPERATION(target_update, "update", NdisMUpdateOffloadComplete)
STATE_OPERATION(target_invalidate, "invalidate", NdisMInvalidateOffloadComplete)
STATE_OPERATION(target_query, "query", NdisMQueryOffloadStateComplete)

/* ---- the target: data ---- */

static NDIS_STATUS
target_take(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
            PNET_BUFFER_LIST NetBufferList)
{
    struct fake_target *target = target_of(MiniportAdapterContext);

    target->context_seen = MiniportOffloadContext;
    test_keep(&target->nbls, &target->nbls_tail, NetBufferList);
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
target_disconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                  PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    target_of(MiniportAdapterContext)->flags_seen = Flags;
    return target_take(MiniportAdapterContext, MiniportOffloadContext, NetBufferList);
}

static NDIS_STATUS
target_receive_return(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    target_of(MiniportAdapterContext)->returned += test_count(NetBufferList);
    return NDIS_STATUS_SUCCESS;
}

void
fake_target_complete_nbls(struct fake_target *target, NDIS_TCP_OFFLOAD_SEND_COMPLETE complete,
                          NDIS_STATUS status)
{
    NET_BUFFER_LIST *nbls = target->nbls;

    target->nbls = target->nbls_tail = NULL;
    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next)
        nbl->Status = status;
    complete(target->adapter, nbls);
}

/* ---- the target: entry ---- */

static NDIS_STATUS
target_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    struct fake_target *target = target_of(DriverContext);
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 1,
                   sizeof(generic)},
        .InitiateOffloadHandler = target_initiate,
        .TerminateOffloadHandler = target_terminate,
        .UpdateOffloadHandler = target_update,
        .InvalidateOffloadHandler = target_invalidate,
        .QueryOffloadHandler = target_query,
    };
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS, 1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendHandler = target_take,
        .TcpOffloadReceiveHandler = target_take,
        .TcpOffloadDisconnectHandler = target_disconnect,
        .TcpOffloadForwardHandler = target->missing_handler ? NULL : target_take,
        .TcpOffloadReceiveReturnHandler = target_receive_return,
    };

    target->driver = NdisDriverHandle;
    if (target->no_chimney)
        return NDIS_STATUS_SUCCESS;
    if (target->types_unset)
        generic.Header.Type = tcp.Header.Type = 0;
    NdisSetOptionalHandlers(NdisDriverHandle, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&generic);
    NdisSetOptionalHandlers(NdisDriverHandle, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&tcp);
    return NDIS_STATUS_SUCCESS;
}

static VOID
target_unload(PDRIVER_OBJECT DriverObject)
{
    struct fake_target *target = DriverObject->DriverExtension;

    stage_trace(target->stage, "unload");
    NdisMDeregisterMiniportDriver(target->driver);
}

NDIS_STATUS
fake_target_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS, 2, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .SetOptionsHandler = target_options,
        .InitializeHandlerEx = target_initialize,
        .HaltHandlerEx = target_halt,
        .UnloadHandler = target_unload,
        .PauseHandler = target_pause,
        .RestartHandler = target_restart,
        .OidRequestHandler = target_oid,
        .SendNetBufferListsHandler = target_send_frames,
        .ReturnNetBufferListsHandler = target_return_frames,
        .CancelSendHandler = target_cancel,
        .CancelOidRequestHandler = target_cancel,
        .DevicePnPEventNotifyHandler = target_device_event,
        .ShutdownHandlerEx = target_shutdown,
        .DirectOidRequestHandler = target_direct,
    };
    struct fake_target *target = DriverObject->DriverExtension;

    if (target->watched) {
        characteristics.CheckForHangHandlerEx = target_check_for_hang;
        characteristics.ResetHandlerEx = target->cannot_reset ? NULL : target_reset;
    }
    if (target->no_direct)
        characteristics.Header.Size = NDIS_SIZEOF_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_1;
    return NdisMRegisterMiniportDriver(DriverObject, RegistryPath, target, &characteristics,
                                       &target->driver);
}
