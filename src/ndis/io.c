/*
 * The landing of the data calls. They name an offloaded object and nothing else: its record leads
 * to the miniport, the context it gets is the value in the handle's cell (P22, P23), and the NBLs
 * learn their way home. Completions carry NBLs only, of any mixture of calls and bindings: they are
 * split into runs with one home each, in order (P25).
 *
 * No allocation and no walk but one over the NBL list.
 */
#include "ndis/landing.h"

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
    struct house *house = binding->head.house;
    NET_BUFFER_LIST *last = NULL;

    ndis_home_push(binding, NDIS_HOME_REFUSED,
                   &nbls); /* one that waits already must not be linked */
    if (!nbls)
        return;
    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next) {
        nbl->Status = status;
        if (kind != NDIS_IO_FRAME)
            nbl->NetBufferListInfo[TcpOffloadBytesTransferred] = NULL;
        if (status == NDIS_STATUS_REQUEST_UPLOAD) /* on the first one only */
            status = NDIS_STATUS_UPLOAD_REQUESTED;
        last = nbl;
    }
    ndis_operation_begin(binding);
    sys_lock_take(&house->lock);
    if (queue->tail)
        queue->tail->Next = nbls;
    else
        queue->head = nbls;
    queue->tail = last;
    sys_lock_give(&house->lock);
    sys_loop_post(house->loop, &binding->refusal);
    ndis_operation_over(binding);
}

/* What the miniport below may do with a call: nothing but answer pending (V-073 and siblings). */
static const unsigned pending_rules[NDIS_IO_FRAME] = {
    [NDIS_IO_SEND] = 73,
    [NDIS_IO_RECEIVE] = 90,
    [NDIS_IO_DISCONNECT] = 120,
    [NDIS_IO_FORWARD] = 117,
};

static enum crossing_veto
observe_down(struct ndis_io_call *call, struct ndis_object *object, NET_BUFFER_LIST *nbls,
             ULONG code)
{
    struct crossing *crossing = &call->crossing;

    *crossing = ndis_crossing(call->io->down, object->binding, false);
    crossing->code = code;
    crossing->object = object->handle;
    crossing->miniport_context = object->handle->MiniportOffloadContext;
    crossing->nbls = nbls;
    return ndis_observe_before(call->house, crossing);
}

static struct ndis_object *
io_refuse(struct ndis_io_call *call, struct ndis_binding *binding, NET_BUFFER_LIST *nbls,
          NDIS_STATUS status)
{
    ndis_io_refuse(binding, call->io->kind, nbls, status);
    if (call->observed) {
        call->crossing.refused = true;
        ndis_observe_after(call->house, &call->crossing, NDIS_STATUS_PENDING);
    }
    return NULL;
}

/* The call goes nowhere, and nothing comes home: what it was about is somebody's already. */
static struct ndis_object *
io_drop(struct ndis_io_call *call)
{
    if (call->observed)
        ndis_observe_after(call->house, &call->crossing, NDIS_STATUS_PENDING);
    return NULL;
}

struct ndis_object *
ndis_io_enter_any(struct ndis_io_call *call, const struct ndis_io *io, PNDIS_OFFLOAD_HANDLE handle,
                  NET_BUFFER_LIST **nbls, ULONG code, NDIS_STATUS *status)
{
    struct ndis_object *object = ndis_object_of(handle, io->name);
    struct ndis_binding *binding;

    *status = NDIS_STATUS_INVALID_PARAMETER; /* nobody is known whom a completion could reach */
    if (NDIS_UNLIKELY(!object))
        return NULL;
    if (NDIS_UNLIKELY(!*nbls)) {
        ndis_breach_null(object->binding->head.house, object->binding->protocol->driver, io->name);
        return NULL;
    }
    *status = NDIS_STATUS_PENDING;
    binding = object->binding;
    call->io = io;
    call->house = binding->head.house;
    call->observed = ndis_observed(call->house);
    if (NDIS_UNLIKELY(call->observed)) {
        enum crossing_veto veto = observe_down(call, object, *nbls, code);
        if (veto == CROSSING_REFUSE)
            return io_refuse(call, binding, *nbls, NDIS_STATUS_UPLOAD_IN_PROGRESS);
        if (veto == CROSSING_DROP)
            return io_drop(call);
    }
    if (NDIS_UNLIKELY(object->state == NDIS_OBJECT_INITIATING)) {
        ndis_breach(call->house, 57, binding->protocol->driver->name,
                    "%s: the object is not offloaded yet", io->name);
        return io_refuse(call, binding, *nbls, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    }
    if (NDIS_UNLIKELY(!ndis_home_push(binding, io->kind, nbls)))
        return io_refuse(call, binding, *nbls,
                         io->kind == NDIS_IO_SEND ? NDIS_STATUS_REQUEST_UPLOAD
                                                  : NDIS_STATUS_UPLOAD_IN_PROGRESS);
    return *nbls ? object : io_drop(call);
}

NDIS_STATUS
ndis_io_leave_any(struct ndis_io_call *call, NDIS_STATUS status)
{
    if (NDIS_UNLIKELY(call->observed))
        ndis_observe_after(call->house, &call->crossing, status);
    if (NDIS_UNLIKELY(status != NDIS_STATUS_PENDING))
        ndis_breach(call->house, pending_rules[call->io->kind],
                    call->observed ? call->crossing.to : NULL,
                    "%s: the miniport answered 0x%08x instead of pending", call->io->name,
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

    if (NDIS_UNLIKELY(ndis_observed(adapter->head.house))) {
        crossing = ndis_crossing(io->up, binding, true);
        crossing.nbls = run;
        crossing.status = run->Status;
        if (ndis_observe_before(adapter->head.house, &crossing) == CROSSING_GO)
            handler(binding->context, run);
        ndis_observe_after(adapter->head.house, &crossing, crossing.status);
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
    if (NDIS_UNLIKELY(!ndis_nbls_end(adapter, nbls, io->name, io->kind)))
        return;
    while (nbls && (run = ndis_home_run(&nbls, &binding, adapter, io->kind, io->name)))
        complete_run(io, adapter, binding, run);
}
