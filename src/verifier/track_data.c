/*
 * The shadow follows the data calls and the events, as track.c does everything else: after all
 * checks have looked. The poison of NBLs is written here, in Status and TcpOffloadBytesTransferred
 * (V-078, V-094), and where a question about a neighbor expects its answer (V-142).
 */
#include "verifier/nbls.h"

#include <string.h>

/* ---- postings and completions ---- */

/* TcpOffloadBytesTransferred is the checksum's place, and of a segment that is meant. */
static void
poison_nbl(enum shadow_kind kind, NET_BUFFER_LIST *nbl)
{
    nbl->Status = SHADOW_POISON;
    if (kind != SHADOW_FORWARD)
        nbl->NetBufferListInfo[TcpOffloadBytesTransferred] = (PVOID)(LONG_PTR)SHADOW_POISON;
}

/* A graceful close takes a number for its FIN. */
static void
place_in_stream(struct shadow_nbl *nbl)
{
    bool fin = nbl->kind == SHADOW_DISCONNECT && nbl->flags == TCP_DISCONNECT_GRACEFUL_CLOSE;

    if (nbl->kind != SHADOW_SEND && nbl->kind != SHADOW_DISCONNECT)
        return;
    nbl->seq = nbl->object->posted_seq;
    nbl->object->posted_seq += nbl->length + fin;
}

/* They are on their way back from NDIS. */
static void
nbls_refused(struct verifier *verifier, struct call *call, enum shadow_kind kind)
{
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        struct shadow_nbl *shadow = shadow_nbl_add(verifier, call, nbl, kind, call->object);

        if (!shadow)
            continue;
        shadow->posting = call->id;
        shadow->refused = true;
    }
}

static void
nbls_posted(struct verifier *verifier, struct call *call)
{
    bool completion;
    enum shadow_kind kind = call_kind(call->op, &completion);

    if (call->object)
        call->object->calls[kind]++;
    if (!call->object || call->crossing->veto == CROSSING_DROP)
        return;
    if (call->crossing->veto == CROSSING_REFUSE) {
        nbls_refused(verifier, call, kind);
        return;
    }
    if (kind == SHADOW_RECEIVE) {
        call->object->refused = call->object->buffered = false;
        call->object->posts++;
    }
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        struct shadow_nbl *shadow = shadow_nbl_add(verifier, call, nbl, kind, call->object);

        if (!shadow)
            continue;
        shadow->posting = call->id;
        shadow->first = nbl == call->crossing->nbls;
        shadow->flags = call->crossing->code;
        place_in_stream(shadow);
        shadow->no_push = (ULONG_PTR)nbl->NetBufferListInfo[TcpReceiveNoPush] & 0xff;
        shadow->prefilled = (ULONG)(ULONG_PTR)nbl->NetBufferListInfo[TcpReceiveBytesTransferred];
        nbl_note_posted(verifier, shadow, kind != SHADOW_RECEIVE);
        poison_nbl(kind, nbl);
    }
}

static void
post_returned(struct verifier *verifier, struct call *call)
{
    bool completion;
    enum shadow_kind kind = call_kind(call->op, &completion);
    struct shadow_object *object = shadow_object_find(verifier, call->crossing->object);

    if (!object || object != call->object) /* it went during the call */
        return;
    object->calls[kind]--;
    list_for_each(nbl, &object->nbls[kind], struct shadow_nbl, link) {
        if (nbl->posting != call->id)
            continue;
        if (call->crossing->refused)
            nbl_note_refused(verifier, nbl);
    }
}

/* This call completes something of object, until it has returned. */
static void
completing(struct call *call, struct shadow_object *object, enum shadow_kind kind)
{
    if (!list_empty(&object->completing[kind]))
        return; /* V-096; the outer call counts */
    list_add_tail(&call->completing, &object->completing[kind]);
    object->completions[kind]++;
}

static void
disconnect_completed(struct shadow_nbl *nbl)
{
    if (nbl->nbl->Status == NDIS_STATUS_SUCCESS)
        nbl->object->disconnected |= nbl->flags;
    else
        nbl->object->disconnect_failed |= nbl->flags;
}

/* Bytes that the host stack has now (a count that cannot be is V-094's); bytes that it has back. */
static void
note_stream(struct shadow_nbl *nbl)
{
    ULONG bytes = nbl_transferred(nbl->nbl);

    if (nbl->kind == SHADOW_RECEIVE && bytes <= nbl->length)
        nbl->object->delivered_seq += bytes;
    if (nbl->kind == SHADOW_SEND || nbl->kind == SHADOW_DISCONNECT)
        nbl->object->came_back |= nbl->nbl->Status == NDIS_STATUS_UPLOAD_IN_PROGRESS;
}

static void
nbls_completed(struct verifier *verifier, struct call *call)
{
    bool completion;
    enum shadow_kind kind = call_kind(call->op, &completion);

    if (call->crossing->veto != CROSSING_GO)
        return;
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        struct shadow_nbl *shadow = shadow_nbl_find(verifier, nbl, kind, call->binding);

        if (!shadow)
            continue;
        if (kind == SHADOW_INDICATED)
            shadow->adapter->indicated--;
        else if (shadow->object && !call->by_ndis)
            completing(call, shadow->object, kind);
        if (kind == SHADOW_DISCONNECT && shadow->object)
            disconnect_completed(shadow);
        if (shadow->object)
            note_stream(shadow);
        shadow_nbl_drop(verifier, shadow);
    }
}

static void
completion_over(struct verifier *verifier, struct call *call)
{
    bool completion;
    enum shadow_kind kind = call_kind(call->op, &completion);

    while (!list_empty(&call->completing)) {
        struct list *link = list_take_first(&call->completing);
        struct list *links = link - kind; /* the same one of every kind's */
        struct shadow_object *object = (void *)((char *)links -
                                                offsetof(struct shadow_object, completing));

        object->completions[kind]--;
    }
}

static void
disconnect_posted(struct verifier *verifier, struct call *call)
{
    if (call->object && call->crossing->veto == CROSSING_GO) {
        if (!call->object->host_closed)
            call->object->host_closed_at = call->id;
        call->object->host_closed = true;
        call->object->host_aborted |= call->crossing->code == TCP_DISCONNECT_ABORTIVE_CLOSE;
    }
    nbls_posted(verifier, call);
}

static void
indicating(struct verifier *verifier, struct call *call)
{
    NET_BUFFER_LIST *nbl = call->crossing->nbls;
    struct shadow_nbl *shadow;

    if (call->object) {
        call->object->calls[SHADOW_INDICATED]++;
        call->posts = call->object->posts;
    }
    if (!nbl || call->crossing->veto != CROSSING_GO)
        return;
    shadow = shadow_nbl_add(verifier, call, nbl, SHADOW_INDICATED, call->object);
    if (shadow) {
        shadow->posting = call->id;
        call->adapter->indicated++;
    }
    call->length = NET_BUFFER_LIST_FIRST_NB(nbl)
                       ? NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(nbl))
                       : 0;
}

/* A refused NBL is the target's again; an accepted one may have been returned already. */
static void
indicated(struct verifier *verifier, struct call *call)
{
    struct shadow_object *object = shadow_object_find(verifier, call->crossing->object);
    bool accepted = call->crossing->status == NDIS_STATUS_SUCCESS;
    struct shadow_nbl *nbl;

    if (object && object == call->object) {
        object->calls[SHADOW_INDICATED]--;
        object->refused = !accepted && object->posts == call->posts;
        object->delivered_seq += accepted ? call->length : call->crossing->info;
    }
    if (accepted && !call->crossing->refused)
        return;
    nbl = shadow_nbl_find(verifier, call->nbl, SHADOW_INDICATED, call->binding);
    if (nbl && nbl->posting == call->id) {
        call->adapter->indicated--;
        shadow_nbl_drop(verifier, nbl);
    }
}

/* ---- events ---- */

static void
event(struct verifier *verifier, struct call *call)
{
    struct shadow_object *object = call->object;

    if (!object)
        return;
    object->events++;
    switch (call->crossing->code) {
    case TcpIndicateRetrieve:
        if (!reason_is_mandatory(object->retrieve_reason)) {
            object->retrieve_reason = call->crossing->info;
            object->retrieve_us = call->started_us;
            object->stopped_at = reason_is_mandatory(call->crossing->info) ? call->id : 0;
        }
        if (object->stopped_at)
            shadow_owe(verifier, object, 67, call->started_us);
        break;
    case TcpIndicateAbort:
        if (!object->aborted)
            object->aborted_us = call->started_us;
        object->aborted = true;
        object->short_rule = 0;
        shadow_owe(verifier, object, 67, call->started_us);
        break;
    case TcpIndicateDisconnect:
        if (!object->peer_closed)
            object->peer_closed_at = call->id;
        object->peer_closed = true;
        object->short_rule = 0;
        break;
    case TcpIndicateSendBacklogChange:
        object->backlog_us = call->started_us;
        object->backlog = call->crossing->info;
        break;
    default:
        break;
    }
}

static void
event_returned(struct verifier *verifier, struct call *call)
{
    struct shadow_object *object = shadow_object_find(verifier, call->crossing->object);

    if (object && object == call->object)
        object->events--;
}

/* The answer is expected where something that is no answer stands now (V-142). */
static void
asked(struct verifier *verifier, struct call *call)
{
    if (!call->answer || call->crossing->veto != CROSSING_GO)
        return;
    call->unasked = *call->answer;
    *call->answer = (ULONG)SHADOW_POISON;
}

static void
answered(struct verifier *verifier, struct call *call)
{
    struct shadow_object *object = shadow_object_find(verifier, call->crossing->object);

    if (!call->answer || call->crossing->veto != CROSSING_GO)
        return;
    if (*call->answer == (ULONG)SHADOW_POISON)
        *call->answer = call->unasked;
    if (!object || object != call->object)
        return;
    object->reachable_us = call->started_us;
    object->reachable_ticks = *call->answer;
}

const struct family track_data_family = {
    .before = {[CROSSING_TCP_SEND] = nbls_posted,
               [CROSSING_TCP_RECEIVE] = nbls_posted,
               [CROSSING_TCP_FORWARD] = nbls_posted,
               [CROSSING_TCP_DISCONNECT] = disconnect_posted,
               [CROSSING_TCP_SEND_COMPLETE] = nbls_completed,
               [CROSSING_TCP_RECEIVE_COMPLETE] = nbls_completed,
               [CROSSING_TCP_FORWARD_COMPLETE] = nbls_completed,
               [CROSSING_TCP_DISCONNECT_COMPLETE] = nbls_completed,
               [CROSSING_TCP_RECEIVE_RETURN] = nbls_completed,
               [CROSSING_TCP_RECEIVE_INDICATE] = indicating,
               [CROSSING_TCP_EVENT] = event,
               [CROSSING_OFFLOAD_EVENT] = asked},
    .after = {[CROSSING_TCP_SEND] = post_returned,
              [CROSSING_TCP_RECEIVE] = post_returned,
              [CROSSING_TCP_FORWARD] = post_returned,
              [CROSSING_TCP_DISCONNECT] = post_returned,
              [CROSSING_TCP_RECEIVE_INDICATE] = indicated,
              [CROSSING_TCP_SEND_COMPLETE] = completion_over,
              [CROSSING_TCP_RECEIVE_COMPLETE] = completion_over,
              [CROSSING_TCP_FORWARD_COMPLETE] = completion_over,
              [CROSSING_TCP_DISCONNECT_COMPLETE] = completion_over,
              [CROSSING_TCP_EVENT] = event_returned,
              [CROSSING_OFFLOAD_EVENT] = answered},
};
