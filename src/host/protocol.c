/*
 * The driver: registration with NDIS, with both client tables of the chimney, and the way out.
 * Everything that NDIS may call is named here once. Source: D:NdisRegisterProtocolDriver; V-002,
 * V-004.
 */
#include "base/log.h"
#include "host/edge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic_table = {
    .Header = {.Type = NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
               .Revision = NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1,
               .Size = sizeof(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS)},
    .InitiateOffloadCompleteHandler = host_initiate_complete,
    .TerminateOffloadCompleteHandler = host_terminate_complete,
    .UpdateOffloadCompleteHandler = host_update_complete,
    .InvalidateOffloadCompleteHandler = host_invalidate_complete,
    .QueryOffloadCompleteHandler = host_query_complete,
    .IndicateOffloadEventHandler = host_offload_event,
};

static NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp_table = {
    .Header = {.Type = NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS,
               .Revision = NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1,
               .Size = sizeof(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS)},
    .OffloadType = NdisTcpChimneyOffload,
    .TcpOffloadSendCompleteHandler = host_send_complete,
    .TcpOffloadReceiveCompleteHandler = host_receive_complete,
    .TcpOffloadDisconnectCompleteHandler = host_disconnect_complete,
    .TcpOffloadForwardCompleteHandler = host_forward_complete,
    .TcpOffloadEventHandler = host_tcp_event,
    .TcpOffloadReceiveIndicateHandler = host_receive_indicate,
};

static NDIS_STATUS
set_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_STATUS status = NdisSetOptionalHandlers(NdisDriverHandle,
                                                 (PNDIS_DRIVER_OPTIONAL_HANDLERS)&generic_table);

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&tcp_table);
}

static NDIS_STATUS
uninstall(VOID)
{
    return NDIS_STATUS_SUCCESS;
}

static NDIS_PROTOCOL_DRIVER_CHARACTERISTICS driver_table = {
    .Header = {.Type = NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
               .Revision = NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1,
               .Size = sizeof(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS)},
    .MajorNdisVersion = 6,
    .MinorNdisVersion = 20,
    .MajorDriverVersion = 1,
    .Name = NDIS_STRING_CONST(u"chimney-host"),
    .SetOptionsHandler = set_options,
    .BindAdapterHandlerEx = host_bind,
    .UnbindAdapterHandlerEx = host_unbind,
    .OpenAdapterCompleteHandlerEx = host_open_complete,
    .CloseAdapterCompleteHandlerEx = host_close_complete,
    .NetPnPEventHandler = host_pnp_event,
    .UninstallHandler = uninstall,
    .OidRequestCompleteHandler = host_oid_complete,
    .StatusHandlerEx = host_status,
    .ReceiveNetBufferListsHandler = host_frames,
    .SendNetBufferListsCompleteHandler = host_frames_sent,
};

static VOID
unload(struct _DRIVER_OBJECT *DriverObject)
{
    struct host *host = DriverObject->DriverExtension;

    NdisDeregisterProtocolDriver(host->protocol); /* unbinds what is still bound */
    host->protocol = NULL;
    NdisFreeNetBufferListPool(host->pool);
    host->pool = NULL;
}

NDIS_STATUS
host_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    struct host *host = driver->DriverExtension;
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {
        .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                   .Revision = NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   .Size = sizeof parameters},
        .ProtocolId = NDIS_PROTOCOL_ID_TCP_IP,
        .fAllocateNetBuffer = TRUE,
        .PoolTag = 0x74736f68 /* "host" */,
    };

    NDIS_STATUS status = NdisRegisterProtocolDriver(host, &driver_table, &host->protocol);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    host->pool = NdisAllocateNetBufferListPool(host->protocol, &parameters);
    if (!host->pool) {
        NdisDeregisterProtocolDriver(host->protocol);
        host->protocol = NULL;
        return NDIS_STATUS_RESOURCES;
    }
    driver->DriverUnload = unload;
    return NDIS_STATUS_SUCCESS;
}

struct host *
host_create(const char *name, const struct host_ops *ops, void *arg)
{
    struct host *host = calloc(1, sizeof *host);

    if (!host)
        return NULL;
    snprintf(host->name, sizeof host->name, "%s", name);
    host->ops = ops;
    host->arg = arg;
    list_init(&host->bindings);
    host->tuning = (struct host_tuning){.delayed_ack_ms = 40, .retransmissions = 15};
    return host;
}

void
host_tune(struct host *host, const struct host_tuning *tuning)
{
    host->tuning = *tuning;
}

const struct host_tuning *
host_tuned(const struct host *host)
{
    return &host->tuning;
}

void
host_destroy(struct host *host)
{
    if (!host)
        return;
    if (host->protocol)
        log_error("%s: destroyed while its driver is loaded", host->name);
    free(host);
}
