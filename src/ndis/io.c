/*
 * The landing of the data calls. They name an offloaded object and nothing else: its record leads
 * to the miniport, the context it gets is the value in the handle's cell (P22, P23), and the NBLs
 * learn their way home. Completions carry NBLs only, of any mixture of calls and bindings: they are
 * split into runs with one home each, in order (P25).
 *
 * No allocation and no walk but one over the NBL list.
 */
#include "ndis/landing.h"

#include "base/log.h"

#define CLIENT(member) offsetof(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, member)

const struct ndis_io ndis_io_kinds[NDIS_IO_FRAME] = {
    [NDIS_IO_SEND] = {"NdisOffloadTcpSend", CROSSING_TCP_SEND, CROSSING_TCP_SEND_COMPLETE,
                      NDIS_IO_SEND, CLIENT(TcpOffloadSendCompleteHandler)},
    [NDIS_IO_RECEIVE] = {"NdisOffloadTcpReceive", CROSSING_TCP_RECEIVE,
                         CROSSING_TCP_RECEIVE_COMPLETE, NDIS_IO_RECEIVE,
                         CLIENT(TcpOffloadReceiveCompleteHandler)},
    [NDIS_IO_DISCONNECT] = {"NdisOffloadTcpDisconnect", CROSSING_TCP_DISCONNECT,
                            CROSSING_TCP_DISCONNECT_COMPLETE, NDIS_IO_DISCONNECT,
                            CLIENT(TcpOffloadDisconnectCompleteHandler)},
    [NDIS_IO_FORWARD] = {"NdisOffloadTcpForward", CROSSING_TCP_FORWARD,
                         CROSSING_TCP_FORWARD_COMPLETE, NDIS_IO_FORWARD,
                         CLIENT(TcpOffloadForwardCompleteHandler)},
};

void
ndis_io_refuse(struct ndis_binding *binding, enum ndis_io_kind kind, NET_BUFFER_LIST *nbls,
               NDIS_STATUS status)
{
    struct ndis_nbl_queue *queue = &binding->refused_nbls[kind];

    if (queue->tail)
        queue->tail->Next = nbls;
    else
        queue->head = nbls;
    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next) {
        nbl->Status = status;
        if (kind != NDIS_IO_FRAME)
            nbl->NetBufferListInfo[TcpOffloadBytesTransferred] = NULL;
        if (status == NDIS_STATUS_REQUEST_UPLOAD) /* on the first one only */
            status = NDIS_STATUS_UPLOAD_REQUESTED;
        queue->tail = nbl;
    }
    sys_loop_defer(binding->head.house->loop, &binding->refusal);
}

static void
observe_down(const struct ndis_io *io, struct ndis_object *object, NET_BUFFER_LIST *nbls,
             ULONG code, bool after, NDIS_STATUS status)
{
    struct crossing crossing = ndis_crossing(io->down, object->binding, false);

    crossing.after = after;
    crossing.status = status;
    crossing.code = code;
    crossing.object = object->handle;
    crossing.miniport_context = object->handle->MiniportOffloadContext;
    crossing.nbls = after ? NULL : nbls; /* afterwards they may be anywhere */
    ndis_observe(object->binding->head.house, &crossing);
}

struct ndis_object *
ndis_io_enter(const struct ndis_io *io, PNDIS_OFFLOAD_HANDLE handle, NET_BUFFER_LIST *nbls,
              ULONG code, NDIS_STATUS *status)
{
    struct ndis_object *object = ndis_object_of(handle, io->name);

    *status = NDIS_STATUS_INVALID_PARAMETER; /* nobody is known whom a completion could reach */
    if (NDIS_UNLIKELY(!object || !nbls))
        return NULL;
    *status = NDIS_STATUS_PENDING;
    if (NDIS_UNLIKELY(object->state == NDIS_OBJECT_INITIATING)) {
        log_error("%s: the object is not offloaded yet (V-057)", io->name);
        ndis_io_refuse(object->binding, io->kind, nbls, NDIS_STATUS_UPLOAD_IN_PROGRESS);
        return NULL;
    }
    if (NDIS_UNLIKELY(!ndis_home_push(object->binding, nbls))) {
        ndis_io_refuse(object->binding, io->kind, nbls,
                       io->kind == NDIS_IO_SEND ? NDIS_STATUS_REQUEST_UPLOAD
                                                : NDIS_STATUS_UPLOAD_IN_PROGRESS);
        return NULL;
    }
    if (ndis_observed(object->binding->head.house))
        observe_down(io, object, nbls, code, false, NDIS_STATUS_SUCCESS);
    return object;
}

NDIS_STATUS
ndis_io_leave(const struct ndis_io *io, struct ndis_object *object, NET_BUFFER_LIST *nbls,
              ULONG code, NDIS_STATUS status)
{
    /* The record may be free by now: a completion can terminate. Its slot stays ours, so it can be
     * asked. */
    if (object->magic == NDIS_MAGIC_OBJECT && ndis_observed(object->binding->head.house))
        observe_down(io, object, nbls, code, true, status);
    if (NDIS_UNLIKELY(status != NDIS_STATUS_PENDING))
        log_error("%s: the miniport answered 0x%08x instead of pending (V-073)", io->name,
                  (unsigned)status);
    return status;
}

static void
complete_run(const struct ndis_io *io, struct ndis_adapter *adapter, struct ndis_binding *binding,
             NET_BUFFER_LIST *run)
{
    TCP_OFFLOAD_SEND_COMPLETE_HANDLER handler = *(
        TCP_OFFLOAD_SEND_COMPLETE_HANDLER *)((char *)&binding->client->tcp + io->client);
    struct crossing crossing;

    if (NDIS_UNLIKELY(binding->adapter != adapter))
        log_error("%s: adapter %s completes what adapter %s was given", io->name, adapter->name,
                  binding->adapter->name);
    if (ndis_observed(adapter->head.house)) {
        crossing = ndis_crossing(io->up, binding, true);
        crossing.nbls = run;
        crossing.status = run->Status;
        ndis_observe(adapter->head.house, &crossing);
        handler(binding->context, run);
        crossing.after = true;
        crossing.nbls = NULL;
        ndis_observe(adapter->head.house, &crossing);
    } else {
        handler(binding->context, run);
    }
}

void
ndis_io_complete(const struct ndis_io *io, NDIS_HANDLE handle, NET_BUFFER_LIST *nbls)
{
    struct ndis_adapter *adapter = ndis_adapter_of(handle, io->name);
    struct ndis_binding *binding;
    NET_BUFFER_LIST *run;

    if (NDIS_UNLIKELY(!adapter))
        return;
    while ((run = ndis_home_run(&nbls, &binding, io->name)) != NULL) {
        if (NDIS_UNLIKELY(binding->head.magic != NDIS_MAGIC_BINDING))
            log_error("%s: completed over a binding that was closed", io->name);
        else
            complete_run(io, adapter, binding, run);
    }
}
