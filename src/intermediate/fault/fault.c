/*
 * The driver: reading the script when the virtual adapter is initialised, which handlers are its
 * own, and the end. A script that is not understood is told with its place, and the adapter does
 * not stand. When either edge pauses everything that waits goes on at once, and nothing new waits
 * until both run again.
 */
#include "intermediate/fault/fault.h"

#include <stdio.h>

#include "base/log.h"
#include "intermediate/drivers.h"

#define PATH_ROOM 256
#define TEXT_ROOM 1024 /* of an option */

/* ---- the script ---- */

static NDIS_STATUS
read_text(struct fault *fault, const char *name, const char *text, size_t length)
{
    struct fault_error error;

    if (fault_script_read(text, length, &fault->script, &error))
        return NDIS_STATUS_SUCCESS;
    log_error("fault %s: %s:%u:%u: %s", fault->floor.name, name, error.line, error.column,
              error.text);
    return NDIS_STATUS_INVALID_PARAMETER;
}

static NDIS_STATUS
read_file(struct fault *fault, const char *path)
{
    FILE *file = fopen(path, "r");
    NDIS_STATUS status = NDIS_STATUS_FAILURE;
    size_t length;
    char *text;

    if (!file) {
        log_error("fault %s: %s cannot be read", fault->floor.name, path);
        return NDIS_STATUS_FAILURE;
    }
    text = NdisAllocateMemoryWithTagPriority(fault->floor.lower, FAULT_TEXT_MAX + 1, FLOOR_TAG,
                                             NormalPoolPriority);
    if (!text)
        goto close;
    length = fread(text, 1, FAULT_TEXT_MAX + 1, file);
    if (ferror(file) || length > FAULT_TEXT_MAX)
        log_error("fault %s: %s cannot be read, or has more than %u bytes", fault->floor.name, path,
                  FAULT_TEXT_MAX);
    else
        status = read_text(fault, path, text, length);
    NdisFreeMemory(text, FAULT_TEXT_MAX + 1, 0);
close:
    fclose(file);
    return status;
}

static NDIS_STATUS
read_options(struct fault *fault, NDIS_HANDLE handle)
{
    char path[PATH_ROOM] = "", text[TEXT_ROOM] = "";
    bool file = floor_option_text(handle, u"File", path, sizeof(path));
    bool script = floor_option_text(handle, u"Script", text, sizeof(text));
    ULONG looked_at; /* it takes the place of the script's, which is read first */
    bool is_seed = floor_option_number(&fault->floor, handle, u"Seed", 0, UINT32_MAX, &looked_at);
    const char *why = NULL;
    NDIS_STATUS status;

    if ((!file && *path) || (!script && *text))
        why = *path ? "File is longer than 255 characters"
                    : "Script is longer than 1023 characters; put it in a File";
    else if (file && script)
        why = "File and Script: there can be one of them";
    if (why)
        log_error("fault %s: %s", fault->floor.name, why);
    if (why || !is_seed)
        return NDIS_STATUS_INVALID_PARAMETER;
    status = file ? read_file(fault, path) : read_text(fault, "Script", text, strlen(text));
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    floor_option_number(&fault->floor, handle, u"Seed", 0, UINT32_MAX, &fault->script.seed);
    fault_script_start(&fault->script);
    return NDIS_STATUS_SUCCESS;
}

/* ---- the adapter ---- */

static NDIS_STATUS
allocate(struct fault *fault, NDIS_HANDLE handle)
{
    NDIS_TIMER_CHARACTERISTICS timer = {
        .Header = {NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_TIMER_CHARACTERISTICS_REVISION_1,
                   sizeof(timer)},
        .AllocationTag = FLOOR_TAG,
        .TimerFunction = fault_turn,
        .FunctionContext = fault,
    };
    NDIS_STATUS status = NdisAllocateTimerObject(handle, &timer, &fault->timer);

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    fault->pool = fault_frame_pool(handle);
    if (fault->pool)
        return NDIS_STATUS_SUCCESS;
    NdisFreeTimerObject(fault->timer);
    return NDIS_STATUS_RESOURCES;
}

static NDIS_STATUS
fault_open(struct floor_adapter *adapter, NDIS_HANDLE handle)
{
    struct fault *fault = fault_of(adapter);
    NDIS_STATUS status = read_options(fault, handle);

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    list_init(&fault->held);
    list_init(&fault->conns);
    list_init(&fault->sends);
    fault->initiates = 0;
    fault->ringing = fault->turning = false;
    fault->tracks = fault_script_has(&fault->script, FAULT_ON_SEND);
    fault->opened_ms = fault_now_ms();
    return allocate(fault, handle);
}

static void
fault_close(struct floor_adapter *adapter)
{
    struct fault *fault = fault_of(adapter);

    fault_let_go(fault, FAULT_DOWN, FAULT_FRAME_COMING_IN, false);
    NdisCancelTimerObject(fault->timer);
    NdisFreeTimerObject(fault->timer);
    NdisFreeNetBufferListPool(fault->pool);
    fault->pool = NULL;
}

/* Frames that were going over the edge that pauses are lost. */
static NDIS_STATUS
FaultPause(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    struct fault *fault = fault_of(MiniportAdapterContext);

    fault->floor.upper_running = false;
    fault_let_go(fault, FAULT_DOWN, FAULT_FRAME_COMING_IN, false);
    return FloorPause(MiniportAdapterContext, PauseParameters);
}

static NDIS_STATUS
FaultNetPnPEvent(NDIS_HANDLE ProtocolBindingContext,
                 PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    NET_PNP_EVENT_CODE code = NetPnPEventNotification->NetPnPEvent.NetEvent;
    struct fault *fault = fault_of(ProtocolBindingContext);

    /* No adapter stands yet, or none any more, without a pool. */
    if (fault && fault->pool && code == NetEventPause) {
        fault->floor.lower_running = false;
        fault_let_go(fault, FAULT_DOWN, FAULT_FRAME_COMING_IN, false);
    }
    return FloorNetPnPEvent(ProtocolBindingContext, NetPnPEventNotification);
}

static NDIS_STATUS
FaultRestart(NDIS_HANDLE MiniportAdapterContext,
             PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    struct fault *fault = fault_of(MiniportAdapterContext);

    fault_ring(fault); /* the rules with a time begin to be looked at */
    return FloorRestart(MiniportAdapterContext, RestartParameters);
}

/* ---- objects ---- */

static void
made(struct floor_offload *floor)
{
    list_init(&fault_offload_of(floor)->link);
}

static void
gone(struct floor_offload *floor)
{
    struct fault_offload *entry = fault_offload_of(floor);

    fault_forget_sends(entry);
    list_del(&entry->link);
}

/* ---- the driver ---- */

static void
override(struct floor_handlers *handlers)
{
    handlers->miniport.PauseHandler = FaultPause;
    handlers->miniport.RestartHandler = FaultRestart;
    handlers->miniport.SendNetBufferListsHandler = FaultSendNetBufferLists;
    handlers->miniport.ReturnNetBufferListsHandler = FaultReturnNetBufferLists;
    handlers->protocol.NetPnPEventHandler = FaultNetPnPEvent;
    handlers->protocol.ReceiveNetBufferListsHandler = FaultReceiveNetBufferLists;
    handlers->protocol.SendNetBufferListsCompleteHandler = FaultSendNetBufferListsComplete;
    handlers->provider.InitiateOffloadHandler = FaultInitiateOffload;
    handlers->provider.TerminateOffloadHandler = FaultTerminateOffload;
    handlers->provider.UpdateOffloadHandler = FaultUpdateOffload;
    handlers->provider.QueryOffloadHandler = FaultQueryOffload;
    handlers->provider.InvalidateOffloadHandler = FaultInvalidateOffload;
    handlers->provider_tcp.TcpOffloadSendHandler = FaultTcpOffloadSend;
    handlers->provider_tcp.TcpOffloadReceiveHandler = FaultTcpOffloadReceive;
    handlers->provider_tcp.TcpOffloadDisconnectHandler = FaultTcpOffloadDisconnect;
    handlers->provider_tcp.TcpOffloadForwardHandler = FaultTcpOffloadForward;
    handlers->provider_tcp.TcpOffloadReceiveReturnHandler = FaultTcpOffloadReceiveReturn;
    handlers->client.InitiateOffloadCompleteHandler = FaultOffloadComplete;
    handlers->client.TerminateOffloadCompleteHandler = FaultOffloadComplete;
    handlers->client.UpdateOffloadCompleteHandler = FaultOffloadComplete;
    handlers->client.QueryOffloadCompleteHandler = FaultOffloadComplete;
    handlers->client.InvalidateOffloadCompleteHandler = FaultOffloadComplete;
    handlers->client_tcp.TcpOffloadSendCompleteHandler = FaultTcpOffloadSendComplete;
    handlers->client_tcp.TcpOffloadDisconnectCompleteHandler = FaultTcpOffloadDisconnectComplete;
    handlers->client_tcp.TcpOffloadReceiveIndicateHandler = FaultTcpOffloadReceiveIndicate;
    handlers->client_tcp.TcpOffloadEventHandler = FaultTcpOffloadEvent;
}

NTSTATUS
fault_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    static const struct floor_kind kind = {.name = "fault",
                                           .protocol_name = NDIS_STRING_CONST(u"fault"),
                                           .adapter_bytes = sizeof(struct fault),
                                           .offload_bytes = sizeof(struct fault_offload),
                                           .override = override,
                                           .open = fault_open,
                                           .close = fault_close,
                                           .tree_up = fault_tree_up,
                                           .offload_made = made,
                                           .offload_gone = gone};

    return floor_start(DriverObject, RegistryPath, &kind);
}
