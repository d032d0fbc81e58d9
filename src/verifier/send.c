/*
 * V-073 … V-089: sending.
 *
 * A connection's sends end in the order in which they were posted: those that succeeded, those that
 * a terminate returns, those that the host stack sends itself. So behind one that failed
 * nothing succeeds and not a byte has been sent, and at most the first has been sent in part
 * (V-079, V-080). What V-085 forbids is seen in the data and in a second posting; a change of
 * lengths looks like V-078.
 *
 * Calls cannot tell what was on the wire: V-076, V-077, V-088, and of V-089 what is sent first.
 */
#include "verifier/nbls.h"

/* Of its list, NULL: none. */
static const struct shadow_nbl *
gone_down(const struct shadow_nbl *of)
{
    list_for_each(nbl, &of->object->nbls[SHADOW_SEND], struct shadow_nbl, link)
        if (nbl->posting == of->posting && nbl->went_down)
            return nbl;
    return NULL;
}

/* Their status says that an intermediate driver had no memory: then it passed nothing on. */
static void
check_no_memory(struct call *call, const struct shadow_nbl *nbl)
{
    NDIS_STATUS status = nbl->nbl->Status;
    const struct shadow_nbl *down;

    if (status != NDIS_STATUS_REQUEST_UPLOAD && status != NDIS_STATUS_UPLOAD_REQUESTED)
        return;
    nbl_note_no_memory(nbl);
    if (nbl->no_memory_below)
        return;
    down = gone_down(nbl);
    if (down)
        report(call, 86, BLAME_CALLER, nbl->nbl, "status 0x%08x, but NBL %p of its list went down",
               (unsigned)status, (void *)down->nbl);
    else if (nbl->first != (status == NDIS_STATUS_REQUEST_UPLOAD))
        report(call, 86, BLAME_CALLER, nbl->nbl, "status 0x%08x on the %s NBL of its list",
               (unsigned)status, nbl->first ? "first" : "second or later");
}

static void
check_failures(struct call *call, struct shadow_nbl *nbl)
{
    struct shadow_object *object = nbl->object;
    bool failed = nbl->nbl->Status != NDIS_STATUS_SUCCESS;
    ULONG bytes = nbl_transferred(nbl->nbl);

    if (object->send_failed_at && nbl->number > object->send_failed_at) {
        if (!failed)
            report(call, 79, BLAME_CALLER, nbl->nbl, "it succeeds behind one that has failed");
        else if (bytes && object->send_failed_short)
            report(call, object->send_failed_partly ? 80 : 79, BLAME_CALLER, nbl->nbl,
                   "%u bytes of it were sent behind one that has failed", bytes);
    } else if (failed) {
        object->send_failed_at = nbl->number;
        object->send_failed_partly = bytes && bytes < nbl->length;
        object->send_failed_short = bytes < nbl->length;
    }
}

/* V-140, R-42: what stands on it waits, until it is uploaded or relinked. */
static void
check_invalid(struct call *call, const struct shadow_nbl *nbl)
{
    if (nbl->nbl->Status != NDIS_STATUS_SUCCESS || !nbl->length)
        return;
    for (const struct shadow_object *on = nbl->object; on; on = on->parent)
        if (on->invalid_at && nbl->number > on->invalid_at)
            report(call, 140, BLAME_CALLER, nbl->nbl, "sent, but the %s was invalidated before",
                   shadow_layer_name(on->layer));
}

static void
sent(struct verifier *verifier, struct call *call, struct shadow_nbl *nbl)
{
    check_no_memory(call, nbl);
    check_failures(call, nbl);
    check_invalid(call, nbl);
}

static const struct nbl_rules rules = {.kind = SHADOW_SEND,
                                       .early = 57,
                                       .shape = 83,
                                       .answer = 73,
                                       .once = 74,
                                       .stack = 74,
                                       .order = 75,
                                       .result = 78,
                                       .status = 81,
                                       .more = sent};

/* NULL: nothing is wrong with sending now. */
static const char *
not_now(const struct shadow_object *object)
{
    if (object->life == SHADOW_TERMINATING)
        return "it was asked to terminate";
    if (object->host_closed || object_host_finished(object))
        return "it was asked to disconnect";
    return object->layer == SHADOW_TCP ? NULL : "it is no connection";
}

static void
send(struct verifier *verifier, struct call *call)
{
    const struct shadow_object *object = call->object;
    const char *why = object ? not_now(object) : NULL;

    if (why)
        report(call, 84, BLAME_CALLER, call->crossing->object, "a send, but %s", why);
    if (object && object->calls[SHADOW_SEND])
        report(call, 82, BLAME_CALLER, call->crossing->object, "another send is in progress");
    if (!nbls_post(verifier, call, &rules))
        return;
    for (const NET_BUFFER_LIST *nbl = call->nbl; nbl; nbl = nbl->Next)
        if (!nbl_is_locked(nbl))
            report(call, 83, BLAME_CALLER, nbl, "an MDL is neither locked nor nonpaged");
}

static void
send_returned(struct verifier *verifier, struct call *call)
{
    nbls_answered(call, &rules);
}

static void
send_complete(struct verifier *verifier, struct call *call)
{
    nbls_complete(verifier, call, &rules);
}

/* ---- the chain of a terminate ---- */

static void
check_returned(struct verifier *verifier, struct call *call, const struct shadow_node *node)
{
    NET_BUFFER_LIST *nbl = node->block->NetBufferListChain;

    if (nbl &&
        (node->object->aborted || node->object->disconnected & TCP_DISCONNECT_ABORTIVE_CLOSE))
        report(call, node->object->aborted ? 133 : 123, BLAME_CALLER, node->object->handle,
               "sends are returned, but it was %s",
               node->object->aborted ? "aborted" : "disconnected abortively");
    for (; nbl; nbl = nbl->Next) {
        const struct shadow_nbl *found = shadow_nbl_find(verifier, nbl, SHADOW_SEND, call->binding);

        if (!found)
            continue; /* V-147 */
        if (nbl_was_changed(found))
            report(call, 85, BLAME_CALLEE, nbl, "NBL %p was out, but it has changed", (void *)nbl);
        nbl_check_members(call, found);
    }
}

static void
terminate_complete(struct verifier *verifier, struct call *call)
{
    struct shadow_node *node = call->tree && !call->by_ndis ? call->tree->first : NULL;

    for (; node; node = node->next)
        if (node->object && node->object->layer == SHADOW_TCP)
            check_returned(verifier, call, node);
}

/* ---- the chain of an initiate ---- */

static bool
contains(const NET_BUFFER_LIST *chain, const NET_BUFFER_LIST *nbl)
{
    while (chain && chain != nbl)
        chain = chain->Next;
    return chain != NULL;
}

static void
check_chain(struct call *call, const struct shadow_node *node)
{
    const TCP_OFFLOAD_STATE_DELEGATED *state = (const void *)node->copy[SHADOW_DELEGATED];
    const NET_BUFFER_LIST *chain = node->issued.NetBufferListChain;

    for (const NET_BUFFER_LIST *nbl = chain; nbl; nbl = nbl->Next)
        if (!nbl_fits(nbl) || !nbl_is_locked(nbl))
            report(call, 83, BLAME_CALLER, node->block, "NBL %p of the chain has no usable data",
                   (const void *)nbl);
    if ((state->SendDataHead && !contains(chain, state->SendDataHead)) ||
        (state->SendDataTail && !contains(chain, state->SendDataTail)))
        report(call, 89, BLAME_CALLER, node->block,
               "SendDataHead %p, SendDataTail %p: not in the chain", (void *)state->SendDataHead,
               (void *)state->SendDataTail);
}

static void
initiate(struct verifier *verifier, struct call *call)
{
    struct shadow_node *node = call->tree ? call->tree->first : NULL;

    for (; node; node = node->next)
        if (node->role == SHADOW_NEW && node->layer == SHADOW_TCP && node->copy[SHADOW_DELEGATED])
            check_chain(call, node);
}

static void
finish(struct verifier *verifier)
{
    nbls_finish(verifier, &rules);
}

const struct family send_family = {
    .before = {[CROSSING_INITIATE] = initiate,
               [CROSSING_TERMINATE_COMPLETE] = terminate_complete,
               [CROSSING_TCP_SEND] = send,
               [CROSSING_TCP_SEND_COMPLETE] = send_complete},
    .after = {[CROSSING_TCP_SEND] = send_returned},
    .finish = finish,
};
