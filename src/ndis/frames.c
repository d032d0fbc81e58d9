/*
 * The regular path: frames down, their completions, frames up, their returns.
 *
 * Sends know their way home as chimney NBLs do (home.c), so that a driver in between needs no care
 * for SourceHandle; it is put back to what the sender had written. A frame that comes up is offered
 * to every running binding: all but the last must copy it (RESOURCES), the last one keeps it until
 * it returns it. If nobody runs it goes straight back.
 */
#include "ndis/landing.h"

/* Before the call; the answer to a veto is no call. */
static bool
observe(struct crossing *crossing, enum crossing_op op, struct ndis_binding *binding, bool up,
        NET_BUFFER_LIST *nbls, ULONG flags)
{
    *crossing = ndis_crossing(op, binding, up);
    crossing->nbls = nbls;
    crossing->code = flags;
    return ndis_observe_before(binding->head.house, crossing) == CROSSING_GO;
}

static void
observe_over(struct ndis_binding *binding, struct crossing *crossing)
{
    ndis_observe_after(binding->head.house, crossing, NDIS_STATUS_SUCCESS);
}

VOID
NdisSendNetBufferLists(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferLists,
                       NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle, "NdisSendNetBufferLists");
    struct ndis_adapter *adapter;
    struct crossing crossing;
    bool observed;

    if (NDIS_UNLIKELY(!binding))
        return;
    if (NDIS_UNLIKELY(!NetBufferLists)) {
        ndis_breach_null(binding->head.house, binding->protocol->driver, "NdisSendNetBufferLists");
        return;
    }
    adapter = binding->adapter;
    observed = ndis_observed(binding->head.house);
    if (observed && !observe(&crossing, CROSSING_SEND, binding, false, NetBufferLists, SendFlags)) {
        if (crossing.veto == CROSSING_REFUSE)
            ndis_io_refuse(binding, NDIS_IO_FRAME, NetBufferLists, NDIS_STATUS_FAILURE);
    } else if (NDIS_UNLIKELY(binding->state != NDIS_BINDING_RUNNING ||
                             adapter->state != NDIS_ADAPTER_RUNNING)) {
        ndis_io_refuse(binding, NDIS_IO_FRAME, NetBufferLists, NDIS_STATUS_PAUSED);
        crossing.refused = true;
    } else if (NDIS_UNLIKELY(adapter->low_power)) {
        ndis_io_refuse(binding, NDIS_IO_FRAME, NetBufferLists, NDIS_STATUS_LOW_POWER_STATE);
        crossing.refused = true;
    } else if (NDIS_UNLIKELY(!ndis_home_push(binding, NDIS_IO_FRAME, &NetBufferLists))) {
        ndis_io_refuse(binding, NDIS_IO_FRAME, NetBufferLists, NDIS_STATUS_RESOURCES);
        crossing.refused = true;
    } else if (NDIS_LIKELY(NetBufferLists != NULL)) {
        adapter->miniport->handlers.SendNetBufferListsHandler(adapter->context, NetBufferLists,
                                                              PortNumber, SendFlags);
    }
    if (observed)
        observe_over(binding, &crossing);
}

static void
send_complete_run(struct ndis_binding *binding, NET_BUFFER_LIST *run, ULONG flags)
{
    bool observed = ndis_observed(binding->head.house);
    struct crossing crossing;

    for (NET_BUFFER_LIST *nbl = run; nbl; nbl = nbl->Next)
        nbl->SourceHandle = binding;
    if (!observed || observe(&crossing, CROSSING_SEND_COMPLETE, binding, true, run, flags))
        binding->protocol->handlers.SendNetBufferListsCompleteHandler(binding->context, run, flags);
    if (observed)
        observe_over(binding, &crossing);
}

VOID
NdisMSendNetBufferListsComplete(NDIS_HANDLE MiniportAdapterHandle, PNET_BUFFER_LIST NetBufferList,
                                ULONG SendCompleteFlags)
{
    static const char call[] = "NdisMSendNetBufferListsComplete";
    struct ndis_adapter *adapter = ndis_adapter_of(MiniportAdapterHandle, call);
    struct ndis_binding *binding;
    NET_BUFFER_LIST *run;

    if (NDIS_UNLIKELY(!adapter || !ndis_nbls_end(adapter, NetBufferList, call, NDIS_IO_FRAME)))
        return;
    while ((run = ndis_home_run(&NetBufferList, &binding, adapter, NDIS_IO_FRAME, call)) != NULL)
        send_complete_run(binding, run, SendCompleteFlags);
}

/* The high byte of a driver's cancel ids; they repeat when there are more drivers than bytes. */
UCHAR
NdisGeneratePartialCancelId(VOID)
{
    static UCHAR last;

    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

VOID
NdisCancelSendNetBufferLists(NDIS_HANDLE NdisBindingHandle, PVOID CancelId)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle,
                                                   "NdisCancelSendNetBufferLists");

    if (binding && ndis_adapter_up(binding->adapter))
        binding->adapter->miniport->handlers.CancelSendHandler(binding->adapter->context, CancelId);
}

/* And releases the binding. */
static void
receive_over(struct ndis_binding *binding, NET_BUFFER_LIST *nbls, NDIS_PORT_NUMBER port,
             ULONG count, ULONG flags)
{
    bool observed = ndis_observed(binding->head.house);
    struct crossing crossing;

    if (!observed || observe(&crossing, CROSSING_RECEIVE, binding, true, nbls, flags))
        binding->protocol->handlers.ReceiveNetBufferListsHandler(binding->context, nbls, port,
                                                                 count, flags);
    if (observed)
        observe_over(binding, &crossing);
    ndis_binding_release(binding);
}

VOID
NdisMIndicateReceiveNetBufferLists(NDIS_HANDLE MiniportAdapterHandle,
                                   PNET_BUFFER_LIST NetBufferList, NDIS_PORT_NUMBER PortNumber,
                                   ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    struct ndis_adapter *adapter = ndis_adapter_of(MiniportAdapterHandle,
                                                   "NdisMIndicateReceiveNetBufferLists");
    struct ndis_binding *binding, *keeper = NULL;
    size_t at = 0;

    if (NDIS_UNLIKELY(!adapter))
        return;
    if (NDIS_UNLIKELY(!NetBufferList)) {
        ndis_breach_null(adapter->head.house, adapter->miniport->driver,
                         "NdisMIndicateReceiveNetBufferLists");
        return;
    }
    if (NDIS_UNLIKELY(!ndis_adapter_up(adapter) || adapter->state == NDIS_ADAPTER_PAUSED))
        ndis_breach(adapter->head.house, 182, adapter->miniport->driver->name,
                    "adapter %s indicates frames while it is %s", adapter->name,
                    ndis_adapter_state_name(adapter->state));
    while ((binding = ndis_binding_hold(adapter, &at, true)) != NULL) {
        if (keeper)
            receive_over(keeper, NetBufferList, PortNumber, NumberOfNetBufferLists,
                         ReceiveFlags | NDIS_RECEIVE_FLAGS_RESOURCES);
        keeper = binding;
    }
    if (keeper)
        receive_over(keeper, NetBufferList, PortNumber, NumberOfNetBufferLists, ReceiveFlags);
    else if (!NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags))
        adapter->miniport->handlers.ReturnNetBufferListsHandler(adapter->context, NetBufferList, 0);
}

VOID
NdisReturnNetBufferLists(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferLists,
                         ULONG ReturnFlags)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle, "NdisReturnNetBufferLists");
    struct ndis_adapter *adapter;
    struct crossing crossing;
    bool observed;

    if (NDIS_UNLIKELY(!binding))
        return;
    if (NDIS_UNLIKELY(!NetBufferLists)) {
        ndis_breach_null(binding->head.house, binding->protocol->driver,
                         "NdisReturnNetBufferLists");
        return;
    }
    adapter = binding->adapter;
    observed = ndis_observed(binding->head.house);
    if (!observed ||
        observe(&crossing, CROSSING_RETURN, binding, false, NetBufferLists, ReturnFlags))
        adapter->miniport->handlers.ReturnNetBufferListsHandler(adapter->context, NetBufferLists,
                                                                ReturnFlags);
    if (observed)
        observe_over(binding, &crossing);
}
