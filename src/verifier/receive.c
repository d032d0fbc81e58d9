/*
 * V-090 … V-104: posting receives.
 *
 * A request may complete short of its end only when the peer has finished, and the event that says
 * so follows the completion (V-132). So a short one is remembered (shadow_object.short_rule): the
 * event clears it; data that comes after all, or a second of silence, makes it a breach. PSH and
 * the push timer, which let a push request complete with what it has, need the frames (V-100,
 * V-101); calls only show that it completed with nothing. V-098 is broken by whoever breaks V-106.
 */
#include "verifier/nbls.h"

/* ---- requests that complete short ---- */

void
receive_went_on(struct call *call, struct shadow_object *object)
{
    if (object->short_rule && !object_reset(object))
        report(call, object->short_rule, BLAME_CALLER, object->handle,
               "a receive completed short, and the stream went on");
    object->short_rule = 0;
}

/* The rule that a successful completion with so many bytes breaks unless the peer has finished. */
static unsigned
short_rule(const struct shadow_nbl *nbl, ULONG bytes)
{
    if (bytes >= nbl->length)
        return 0;
    if (nbl->no_push)
        return 99;
    return bytes || nbl->prefilled ? 0 : 100;
}

static void
check_bytes(struct call *call, struct shadow_nbl *nbl)
{
    struct shadow_object *object = nbl->object;
    ULONG bytes = nbl_transferred(nbl->nbl);

    if (bytes > nbl->length)
        return;
    if (bytes)
        receive_went_on(call, object);
    if (bytes && object->peer_closed)
        report(call, 132, BLAME_CALLER, object->handle,
               "data, but a disconnect was indicated before");
    if (bytes && (object->disconnected & TCP_DISCONNECT_ABORTIVE_CLOSE))
        report(call, 123, BLAME_CALLER, object->handle, "data, but an abortive close is done");
    if (bytes && !owed_matches(&object->owed, nbl->buffers[0].chain, nbl->buffers[0].offset, bytes))
        report(call, object->owed.rule, BLAME_CALLER, object->handle,
               "these are not the bytes that come next");
    if (bytes)
        owed_delivered(&object->owed, bytes);
}

static void
received(struct verifier *verifier, struct call *call, struct shadow_nbl *nbl)
{
    struct shadow_object *object = nbl->object;
    ULONG bytes = nbl_transferred(nbl->nbl);

    check_bytes(call, nbl);
    if (nbl->passed_over)
        report(call, 106, BLAME_CALLER, object->handle,
               "data was indicated while a request of no bytes was posted");
    if (nbl->nbl->Status != NDIS_STATUS_SUCCESS)
        return;
    if (object->peer_closed_at && nbl->number > object->peer_closed_at)
        report(call, 95, BLAME_CALLER, nbl->nbl,
               "SUCCESS, but it was posted after a disconnect was indicated");
    if (!object_peer_finished(object) && !object_uploading(object) && short_rule(nbl, bytes)) {
        object->short_rule = short_rule(nbl, bytes);
        object->short_us = call->started_us;
    }
}

static const struct nbl_rules rules = {.kind = SHADOW_RECEIVE,
                                       .early = 57,
                                       .shape = 102,
                                       .answer = 90,
                                       .once = 91,
                                       .stack = 90,
                                       .order = 92,
                                       .result = 94,
                                       .status = 95,
                                       .more = received};

/* ---- calls ---- */

static void
check_request(struct call *call, const NET_BUFFER_LIST *nbl)
{
    bool no_push = (ULONG_PTR)nbl->NetBufferListInfo[TcpReceiveNoPush] & 0xff;

    if (NET_BUFFER_NEXT_NB(NET_BUFFER_LIST_FIRST_NB(nbl)))
        report(call, 102, BLAME_CALLER, nbl, "a request with several NET_BUFFERs");
    if (!no_push && nbl->NetBufferListInfo[TcpReceiveBytesTransferred])
        report(call, 103, BLAME_CALLER, nbl, "bytes were prefilled in a push request");
}

static void
receive(struct verifier *verifier, struct call *call)
{
    const struct shadow_object *object = call->object;

    if (object && object->life == SHADOW_TERMINATING)
        report(call, 104, BLAME_CALLER, call->crossing->object,
               "a post, but it was asked to terminate");
    if (object && object->calls[SHADOW_RECEIVE])
        report(call, 102, BLAME_CALLER, call->crossing->object, "another post is in progress");
    if (!nbls_post(verifier, call, &rules))
        return;
    for (const NET_BUFFER_LIST *nbl = call->nbl; nbl; nbl = nbl->Next)
        check_request(call, nbl);
}

static void
receive_returned(struct verifier *verifier, struct call *call)
{
    nbls_answered(call, &rules);
}

static void
receive_complete(struct verifier *verifier, struct call *call)
{
    for (NET_BUFFER_LIST *nbl = call->nbl; nbl; nbl = nbl->Next) {
        struct shadow_nbl *found = shadow_nbl_find(verifier, nbl, SHADOW_RECEIVE, call->binding);
        const struct shadow_object *object = found ? found->object : NULL;

        if (!object || call->by_ndis)
            continue;
        if (object->completions[SHADOW_RECEIVE])
            report(call, 96, BLAME_CALLER, object->handle,
                   "another receive completion of it is in progress");
        else if (object->calls[SHADOW_INDICATED])
            report(call, 97, BLAME_CALLER, object->handle, "an indication of it is in progress");
        else
            continue;
        break;
    }
    nbls_complete(verifier, call, &rules);
}

/* ---- time ---- */

static void
look_for_silence(void *arg, struct table_entry *entry)
{
    struct shadow_object *object = container_of(entry, struct shadow_object, entry);
    const struct verifier *verifier = object->short_rule ? arg : NULL;
    unsigned rule = object->short_rule;

    if (!verifier || verifier->looked_us - object->short_us < verifier->options.return_limit_us)
        return;
    object->short_rule = 0;
    if (object_reset(object) || object_uploading(object))
        return;
    report_late(arg, rule, object->adapter->driver->name, object->adapter->name, object->handle,
                "a receive completed short, and the peer has not finished");
}

static void
tick(struct verifier *verifier, uint64_t now_us)
{
    table_each(&verifier->objects, look_for_silence, verifier);
}

static void
finish(struct verifier *verifier)
{
    nbls_finish(verifier, &rules);
}

const struct family receive_family = {
    .before =
        {[CROSSING_TCP_RECEIVE] = receive, [CROSSING_TCP_RECEIVE_COMPLETE] = receive_complete},
    .after = {[CROSSING_TCP_RECEIVE] = receive_returned},
    .tick = tick,
    .finish = finish,
};
