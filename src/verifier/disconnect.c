/*
 * V-120 … V-129: disconnecting.
 *
 * Sends that were posted before it end before it, whichever kind it is, when it succeeds (V-123,
 * V-124); when it fails because the connection goes up, they may be returned instead. What
 * "resources stay" (V-129) means to a caller: the connection can still be terminated.
 *
 * RST, FIN and ACK are on the wire: V-121, V-128, the rest of V-123 and V-124.
 */
#include "verifier/nbls.h"

static const struct shadow_nbl *
earlier_send(const struct shadow_nbl *disconnect)
{
    list_for_each(nbl, &disconnect->object->nbls[SHADOW_SEND], struct shadow_nbl, link)
        if (!nbl->refused && nbl->number < disconnect->number)
            return nbl;
    return NULL;
}

static void
disconnected(struct verifier *verifier, struct call *call, struct shadow_nbl *nbl)
{
    bool abortive = nbl->flags & TCP_DISCONNECT_ABORTIVE_CLOSE;
    const struct shadow_nbl *send = earlier_send(nbl);

    if (nbl->nbl->Status == NDIS_STATUS_SUCCESS && send)
        report(call, abortive ? 123 : 124, BLAME_CALLER, nbl->nbl,
               "it succeeds before send %p has completed", (void *)send->nbl);
}

static const struct nbl_rules rules = {.kind = SHADOW_DISCONNECT,
                                       .early = 57,
                                       .shape = 120,
                                       .answer = 120,
                                       .once = 120,
                                       .stack = 120,
                                       .result = 124,
                                       .status = 126,
                                       .more = disconnected};

/* Where its owner makes it: what becomes of the flags on the way is V-162's. */
static void
check_flags(struct call *call, ULONG flags)
{
    if (table_find(&call->verifier->nbls, call->nbl))
        return;
    if (flags != TCP_DISCONNECT_ABORTIVE_CLOSE && flags != TCP_DISCONNECT_GRACEFUL_CLOSE)
        report(call, 122, BLAME_CALLER, call->crossing->object, "flags 0x%x", flags);
    else if (flags == TCP_DISCONNECT_ABORTIVE_CLOSE && nbl_data_length(call->nbl))
        report(call, 122, BLAME_CALLER, call->crossing->object, "an abortive close with %u bytes",
               nbl_data_length(call->nbl));
}

static void
disconnect(struct verifier *verifier, struct call *call)
{
    const struct shadow_object *object = call->object;
    ULONG flags = call->crossing->code;

    if (!nbls_post(verifier, call, &rules))
        return;
    if (call->nbl->Next || NET_BUFFER_NEXT_NB(NET_BUFFER_LIST_FIRST_NB(call->nbl))) {
        report(call, 120, BLAME_CALLER, call->crossing->object,
               "more than one NBL, or than one NET_BUFFER");
        call->crossing->veto = CROSSING_REFUSE;
    }
    check_flags(call, flags);
    if (object && object->disconnect_failed & flags)
        report(call, 127, BLAME_CALLER, call->crossing->object, "such a disconnect has failed");
}

static void
disconnect_returned(struct verifier *verifier, struct call *call)
{
    nbls_answered(call, &rules);
}

static void
disconnect_complete(struct verifier *verifier, struct call *call)
{
    nbls_complete(verifier, call, &rules);
}

/* ---- V-129 ---- */

/* Its context is gone, and with it the connection. */
static void
terminate(struct verifier *verifier, struct call *call)
{
    struct shadow_node *node = call->tree ? call->tree->first : NULL;

    for (; node; node = node->next) {
        const struct shadow_object *object = node->object;

        if (!object || !object->disconnected ||
            object->handle->MiniportOffloadContext == object->context)
            continue;
        report(call, 129, BLAME_CALLEE, object->handle,
               "it disconnected, and its context has changed since");
        call->crossing->veto = CROSSING_REFUSE;
    }
}

static void
terminate_complete(struct verifier *verifier, struct call *call)
{
    struct shadow_node *node = call->tree && !call_for_ndis(call) ? call->tree->first : NULL;

    for (; node; node = node->next) {
        const struct shadow_object *object = node->object;

        if (object && object->disconnected && !object_reset(object) &&
            node->block->Status == NDIS_STATUS_FAILURE)
            report(call, 129, BLAME_CALLER, object->handle,
                   "it disconnected, and now it cannot be terminated");
    }
}

static void
finish(struct verifier *verifier)
{
    nbls_finish(verifier, &rules);
}

const struct family disconnect_family = {
    .before = {[CROSSING_TCP_DISCONNECT] = disconnect,
               [CROSSING_TCP_DISCONNECT_COMPLETE] = disconnect_complete,
               [CROSSING_TERMINATE] = terminate,
               [CROSSING_TERMINATE_COMPLETE] = terminate_complete},
    .after = {[CROSSING_TCP_DISCONNECT] = disconnect_returned},
    .finish = finish,
};
