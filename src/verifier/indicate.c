/*
 * V-105 … V-116: indicating received data, and giving it back.
 *
 * Whether the rest of a refused indication "stays buffered" (V-109) and whether BufferedData of an
 * initiate comes before anything newer, copied in time (V-114), is seen in the bytes: what was not
 * taken is kept here and compared with what is delivered next.
 *
 * "Requests are posted" (V-106) means posted by the thread that indicates: on another one a request
 * may arrive while the indication is on its way. Calls cannot tell where BufferedData ends (V-115)
 * nor what went up the regular path instead (V-116).
 */
#include "verifier/nbls.h"

/* ---- the NBL ---- */

static void
check_form(struct verifier *verifier, struct call *call)
{
    const NET_BUFFER_LIST *nbl = call->nbl;
    const char *wrong = NULL;

    if (!nbl_fits(nbl))
        wrong = "no NET_BUFFER, or data beyond its MDLs";
    else if (nbl->Next || NET_BUFFER_NEXT_NB(NET_BUFFER_LIST_FIRST_NB(nbl)))
        wrong = "more than one NBL, or than one NET_BUFFER";
    else if (call->crossing->status != NDIS_STATUS_SUCCESS)
        wrong = "a status that is not SUCCESS";
    if (wrong)
        report(call, 105, BLAME_CALLER, call->crossing->object, "%s", wrong);
    if (!nbl_fits(nbl))
        call->crossing->veto = CROSSING_REFUSE;
    if (shadow_nbl_find(verifier, nbl, SHADOW_INDICATED, call->binding))
        report(call, 109, BLAME_CALLER, nbl, "NBL %p is still the host stack's", (const void *)nbl);
}

/* ---- the moment ---- */

/*
 * One of no bytes cannot be asked whether it should have come first until it completes: that it
 * never does is another breach (V-091), and receive.c tells them apart.
 */
static bool
is_posted(const struct shadow_object *object)
{
    list_for_each(nbl, &object->nbls[SHADOW_RECEIVE], struct shadow_nbl, link) {
        if (nbl->refused || nbl->thread != call_thread())
            continue;
        if (nbl->length)
            return true;
        nbl->passed_over = true;
    }
    return false;
}

static void
check_moment(struct call *call, const struct shadow_object *object)
{
    const void *handle = object->handle;

    if (object->life == SHADOW_INITIATING || !object->announced)
        report(call, 107, BLAME_CALLER, handle, "the initiate's completion has not returned");
    if (object->buffered)
        report(call, 114, BLAME_CALLER, handle, "nothing was posted since BufferedData went down");
    else if (object->refused)
        report(call, 108, BLAME_CALLER, handle, "refused before, and nothing was posted since");
    if (is_posted(object))
        report(call, 106, BLAME_CALLER, handle, "receive requests are posted");
    if (object->completions[SHADOW_RECEIVE] || object->calls[SHADOW_INDICATED])
        report(call, 97, BLAME_CALLER, handle, "another delivery of it is in progress");
    if (object->peer_closed)
        report(call, 132, BLAME_CALLER, handle, "data, but a disconnect was indicated before");
    if (object->disconnected & TCP_DISCONNECT_ABORTIVE_CLOSE)
        report(call, 123, BLAME_CALLER, handle, "data, but an abortive close is done");
}

static void
check_bytes(struct call *call, const struct shadow_object *object)
{
    const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(call->nbl);

    if (!owed_matches(&object->owed, NET_BUFFER_FIRST_MDL(nb), NET_BUFFER_DATA_OFFSET(nb),
                      NET_BUFFER_DATA_LENGTH(nb)))
        report(call, object->owed.rule, BLAME_CALLER, object->handle,
               "these are not the bytes that come next");
}

static void
indicate(struct verifier *verifier, struct call *call)
{
    struct shadow_object *object = call->object;

    check_form(verifier, call);
    if (!object)
        return;
    if (object->layer != SHADOW_TCP) {
        report(call, 131, BLAME_CALLER, object->handle, "data of a %s",
               shadow_layer_name(object->layer));
        call->crossing->veto = CROSSING_REFUSE;
    }
    if (call->crossing->veto != CROSSING_GO)
        return;
    receive_went_on(call, object);
    check_moment(call, object);
    check_bytes(call, object);
}

/* ---- the answer ---- */

static bool
is_answer(const struct call *call)
{
    ULONG consumed = call->crossing->info;

    switch (call->crossing->status) {
    case NDIS_STATUS_SUCCESS:
        return consumed == call->length;
    case NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED:
        return consumed == 0;
    case NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED:
        return consumed > 0 && consumed < call->length;
    default:
        return false;
    }
}

static void
indicated(struct verifier *verifier, struct call *call)
{
    struct shadow_object *object = shadow_object_find(verifier, call->crossing->object);
    const struct shadow_nbl *nbl = shadow_nbl_find(verifier, call->nbl, SHADOW_INDICATED,
                                                   call->binding);
    ULONG consumed = call->crossing->info;

    if (call->crossing->refused)
        return;
    if (!is_answer(call))
        report(call, 110, BLAME_CALLEE, call->crossing->object,
               "answered 0x%08x with BytesConsumed %u of %u", (unsigned)call->crossing->status,
               consumed, call->length);
    if (call->crossing->status == NDIS_STATUS_SUCCESS) {
        if (object && object == call->object)
            owed_delivered(&object->owed, call->length);
        return;
    }
    if (!nbl || nbl->posting != call->id)
        report(call, 111, BLAME_CALLEE, call->nbl, "returned, and refused");
    else if (object && object == call->object && consumed <= call->length)
        owed_rest(&object->owed, nbl, consumed);
}

/* ---- giving back ---- */

static void
receive_return(struct verifier *verifier, struct call *call)
{
    for (NET_BUFFER_LIST *nbl = call->nbl; nbl; nbl = nbl->Next) {
        if (verifier->blind || shadow_nbl_find(verifier, nbl, SHADOW_INDICATED, call->binding))
            continue;
        report(call, 111, BLAME_CALLER, nbl, "NBL %p is not one that it has", (void *)nbl);
        call->crossing->veto = CROSSING_DROP; /* it may be anything */
        return;
    }
}

static void
receive_return_returned(struct verifier *verifier, struct call *call)
{
    if (!call->crossing->refused && call->crossing->status != NDIS_STATUS_SUCCESS)
        report(call, 112, BLAME_CALLEE, NULL, "it answered 0x%08x",
               (unsigned)call->crossing->status);
}

/* ---- the end ---- */

static void
look_for_kept(void *arg, struct table_entry *entry)
{
    struct call *call = arg;
    struct shadow_nbl *nbl = container_of(entry, struct shadow_nbl, entry);

    if (nbl->kind == SHADOW_INDICATED && nbl->binding == call->binding)
        report(call, 111, BLAME_CALLER, nbl->nbl, "NBL %p was not returned", (void *)nbl->nbl);
}

/* From now on it cannot return anything. */
static void
close(struct verifier *verifier, struct call *call)
{
    if (call->binding)
        table_each(&verifier->nbls, look_for_kept, call);
}

static void
halt(struct verifier *verifier, struct call *call)
{
    if (call->adapter && call->adapter->indicated)
        report(call, 113, BLAME_CALLEE, NULL, "%zu indicated NBLs are out",
               call->adapter->indicated);
}

const struct family indicate_family = {
    .before = {[CROSSING_TCP_RECEIVE_INDICATE] = indicate,
               [CROSSING_TCP_RECEIVE_RETURN] = receive_return,
               [CROSSING_CLOSE] = close,
               [CROSSING_HALT] = halt},
    .after = {[CROSSING_TCP_RECEIVE_INDICATE] = indicated,
              [CROSSING_TCP_RECEIVE_RETURN] = receive_return_returned},
};
