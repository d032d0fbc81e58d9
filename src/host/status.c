/*
 * Status indications: OFFLOAD_PAUSE and UPLOAD_ALL stop initiates, OFFLOAD_RESUME allows them again
 * and may bring new capabilities. After an UPLOAD_ALL, or with a new link, frames may take another
 * way, which the host stack is told. A loss of power (binding.c) is an UPLOAD_ALL, too. What that
 * means is the host stack's business; without one that listens, the edge terminates. Source:
 * chimney 4.6, 7, 10; V-065, V-066, V-157, P29.
 */
#include "base/log.h"
#include "host/edge.h"

#include <string.h>

static void
resume(struct host_binding *binding, const NDIS_STATUS_INDICATION *status)
{
    binding->offload_paused = false;
    if (status->StatusBuffer && status->StatusBufferSize >= sizeof binding->capabilities)
        memcpy(&binding->capabilities, status->StatusBuffer, sizeof binding->capabilities);
}

void
host_upload_all(struct host_binding *binding)
{
    const struct host_ops *ops = binding->host->ops;

    if (ops->on_upload_all)
        ops->on_upload_all(binding->host->arg, binding);
    else
        host_terminate_all(binding);
}

static void
moved(struct host_binding *binding)
{
    if (binding->host->ops->on_moved)
        binding->host->ops->on_moved(binding->host->arg, binding);
}

static bool
has_link(const NDIS_STATUS_INDICATION *status)
{
    const NDIS_LINK_STATE *link = status->StatusBuffer;

    return link && status->StatusBufferSize >= sizeof *link &&
           link->MediaConnectState == MediaConnectStateConnected;
}

VOID
host_status(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct host_binding *binding = ProtocolBindingContext;
    NDIS_STATUS code = StatusIndication->StatusCode;

    log_debug("%s: status %08x", binding->adapter, (unsigned)code);
    if (code == NDIS_STATUS_OFFLOAD_PAUSE || code == NDIS_STATUS_UPLOAD_ALL)
        binding->offload_paused = true;
    else if (code == NDIS_STATUS_OFFLOAD_RESUME)
        resume(binding, StatusIndication);
    if (binding->offload_paused)
        host_initiate_refuse(binding, NDIS_STATUS_PAUSED);
    if (code == NDIS_STATUS_UPLOAD_ALL) {
        binding->uploading = true;
        host_upload_all(binding);
    } else if (code == NDIS_STATUS_OFFLOAD_RESUME && binding->uploading) {
        binding->uploading = false;
        moved(binding);
    } else if (code == NDIS_STATUS_LINK_STATE && has_link(StatusIndication)) {
        moved(binding);
    }
}
