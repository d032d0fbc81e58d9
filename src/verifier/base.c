/*
 * V-182 … V-194: what NDIS asks of every driver. Much of it NDIS notices itself and tells the
 * observers as a breach (a completion that nothing pends for, a close at the wrong time, a pool
 * freed too early, …); here is what takes a memory: frames under way, events pending, locks held.
 */
#include "verifier/nbls.h"

#include <stdlib.h>
#include <string.h>

#define DISPATCH_LEVEL_VALUE 2

/* ---- frames ---- */

/* What its driver has not heard of yet cannot be held against it. "": nobody has told. */
static bool
may_send(const struct shadow_binding *binding)
{
    return strcmp(binding->state, "Opening") != 0 && strcmp(binding->state, "Paused") != 0 &&
           strcmp(binding->state, "Closing") != 0;
}

static void
frames_sent(struct verifier *verifier, struct call *call)
{
    if (!call->binding || !call->adapter)
        return;
    if (!may_send(call->binding))
        report(call, 184, BLAME_CALLER, call->crossing->nbls, "a send over a binding that is %s",
               call->binding->state);
    for (const NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next)
        if (nbl_under_way(verifier, nbl, call->binding)) {
            report(call, 184, BLAME_CALLER, nbl, "NBL %p is under way already", (const void *)nbl);
            call->crossing->veto = CROSSING_DROP;
            return;
        }
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        if (nbl->SourceHandle != call->crossing->binding)
            report(call, 184, BLAME_CALLER, nbl, "SourceHandle is %p, not the binding's handle",
                   nbl->SourceHandle);
        if (!shadow_nbl_add(verifier, call, nbl, SHADOW_FRAME, NULL))
            continue;
        call->adapter->frames_down++;
        call->binding->frames_down++;
    }
}

/* Where the frame comes home whole. Drivers on the way put back what they change. */
static void
check_alone(const struct call *call, const struct shadow_nbl *shadow)
{
    size_t at = 0;

    if (shadow->binding->im_above)
        return;
    for (const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(shadow->nbl); nb;
         nb = NET_BUFFER_NEXT_NB(nb), at++)
        if (at >= shadow->buffer_count ||
            NET_BUFFER_DATA_LENGTH(nb) != shadow->buffers[at].length) {
            report(call, 184, BLAME_CALLEE, shadow->nbl,
                   "NET_BUFFER %zu of NBL %p is not as it was sent", at, (void *)shadow->nbl);
            return;
        }
}

static void
frames_done(struct verifier *verifier, struct call *call)
{
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        struct shadow_nbl *shadow = shadow_nbl_find(verifier, nbl, SHADOW_FRAME, call->binding);

        if (!shadow)
            continue; /* NDIS has a word on those */
        check_alone(call, shadow);
        shadow->adapter->frames_down--;
        shadow->binding->frames_down--;
        shadow_nbl_drop(verifier, shadow);
    }
}

static void
frames_indicated(struct verifier *verifier, struct call *call)
{
    if (!call->adapter || call->crossing->code & NDIS_RECEIVE_FLAGS_RESOURCES)
        return;
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next)
        if (shadow_nbl_add(verifier, call, nbl, SHADOW_FRAME_UP, NULL))
            call->adapter->frames_up++;
}

static void
frames_returned(struct verifier *verifier, struct call *call)
{
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        struct shadow_nbl *shadow = shadow_nbl_find(verifier, nbl, SHADOW_FRAME_UP, call->binding);

        if (!shadow) {
            report(call, 0, BLAME_CALLER, nbl, "an NBL is returned that was not indicated here");
            call->crossing->veto = CROSSING_REFUSE;
            return;
        }
        shadow->adapter->frames_up--;
        shadow_nbl_drop(verifier, shadow);
    }
}

/* ---- pause, close ---- */

static void
check_paused(const struct call *call, enum blame blame)
{
    const struct shadow_adapter *adapter = call->adapter;

    if (adapter && (adapter->frames_down || adapter->frames_up))
        report(call, 183, blame, NULL, "paused with %zu sends and %zu indicated NBLs outstanding",
               adapter->frames_down, adapter->frames_up);
}

static void
paused(struct verifier *verifier, struct call *call)
{
    if (call->crossing->status != NDIS_STATUS_PENDING)
        check_paused(call, BLAME_CALLEE);
}

static void
pause_completed(struct verifier *verifier, struct call *call)
{
    check_paused(call, BLAME_CALLER);
}

/* Its state was told before anybody here knew it. */
static void
binding(struct verifier *verifier, struct call *call)
{
    if (call->binding)
        strcpy(call->binding->state, "Opening");
}

static void
opened(struct verifier *verifier, struct call *call)
{
    if (call->binding)
        call->binding->open = true;
}

static void
closed(struct verifier *verifier, struct call *call)
{
    if (!call->binding)
        return;
    call->binding->open = false;
    if (call->binding->frames_down)
        report(call, 186, BLAME_CALLER, NULL, "closed with %zu sends outstanding",
               call->binding->frames_down);
    if (call->binding->requests)
        report(call, 186, BLAME_CALLER, NULL, "closed with %zu requests outstanding",
               call->binding->requests);
}

/* ---- requests and events ---- */

/* A request may be complete before its handler has returned PENDING, on any thread: it counts from
 * the call on. */
static void
request_issued(struct verifier *verifier, struct call *call)
{
    if (call->binding)
        call->binding->requests++;
}

static void
request_over(struct shadow_binding *binding)
{
    if (binding && binding->requests)
        binding->requests--;
}

static void
request_returned(struct verifier *verifier, struct call *call)
{
    if (call->crossing->status != NDIS_STATUS_PENDING)
        request_over(call->binding);
}

static void
request_completed(struct verifier *verifier, struct call *call)
{
    request_over(call->binding);
}

static const char *
unfailing(ULONG code)
{
    switch (code) {
    case NetEventPause:
        return "NetEventPause";
    case NetEventRestart:
        return "NetEventRestart";
    case NetEventReconfigure:
        return "NetEventReconfigure";
    case NetEventBindList:
        return "NetEventBindList";
    default:
        return NULL;
    }
}

static void
check_event(const struct call *call, ULONG code, NDIS_STATUS status, enum blame blame)
{
    const char *name = unfailing(code);

    if (status == NDIS_STATUS_NOT_SUPPORTED)
        report(call, 188, blame, NULL, "event %u is answered with NOT_SUPPORTED", code);
    else if (name && status != NDIS_STATUS_SUCCESS)
        report(call, 188, blame, NULL, "%s fails with 0x%08x", name, (unsigned)status);
}

static void
event_returned(struct verifier *verifier, struct call *call)
{
    if (call->crossing->status != NDIS_STATUS_PENDING)
        check_event(call, call->crossing->code, call->crossing->status, BLAME_CALLEE);
}

static void
event_completed(struct verifier *verifier, struct call *call)
{
    check_event(call, call->crossing->code, call->crossing->status, BLAME_CALLER);
}

/* ---- locks and levels ---- */

static void
no_locks(struct verifier *verifier, struct call *call)
{
    if (call->crossing->locks)
        report(call, 191, BLAME_CALLER, NULL, "called with %u spin locks held",
               call->crossing->locks);
}

static void
indication_level(struct verifier *verifier, struct call *call)
{
    no_locks(verifier, call);
    if (call->crossing->irql > DISPATCH_LEVEL_VALUE)
        report(call, 194, BLAME_CALLER, NULL, "called at IRQL %u", call->crossing->irql);
}

static void
sending(struct verifier *verifier, struct call *call)
{
    no_locks(verifier, call);
    frames_sent(verifier, call);
}

static void
send_done(struct verifier *verifier, struct call *call)
{
    no_locks(verifier, call);
    frames_done(verifier, call);
}

static void
indicating(struct verifier *verifier, struct call *call)
{
    no_locks(verifier, call);
    frames_indicated(verifier, call);
}

static void
oid_issued(struct verifier *verifier, struct call *call)
{
    no_locks(verifier, call);
    request_issued(verifier, call);
}

static void
oid_completed(struct verifier *verifier, struct call *call)
{
    no_locks(verifier, call);
    request_completed(verifier, call);
}

const struct family base_family = {
    .before = {[CROSSING_INITIATE] = no_locks,
               [CROSSING_INITIATE_COMPLETE] = no_locks,
               [CROSSING_TERMINATE] = no_locks,
               [CROSSING_TERMINATE_COMPLETE] = no_locks,
               [CROSSING_UPDATE] = no_locks,
               [CROSSING_UPDATE_COMPLETE] = no_locks,
               [CROSSING_INVALIDATE] = no_locks,
               [CROSSING_INVALIDATE_COMPLETE] = no_locks,
               [CROSSING_QUERY] = no_locks,
               [CROSSING_QUERY_COMPLETE] = no_locks,
               [CROSSING_TCP_SEND] = no_locks,
               [CROSSING_TCP_SEND_COMPLETE] = no_locks,
               [CROSSING_TCP_RECEIVE] = no_locks,
               [CROSSING_TCP_RECEIVE_COMPLETE] = no_locks,
               [CROSSING_TCP_DISCONNECT] = no_locks,
               [CROSSING_TCP_DISCONNECT_COMPLETE] = no_locks,
               [CROSSING_TCP_FORWARD] = no_locks,
               [CROSSING_TCP_FORWARD_COMPLETE] = no_locks,
               [CROSSING_TCP_RECEIVE_INDICATE] = indication_level,
               [CROSSING_TCP_EVENT] = indication_level,
               [CROSSING_OFFLOAD_EVENT] = indication_level,
               [CROSSING_STATUS] = no_locks,
               [CROSSING_SEND] = sending,
               [CROSSING_SEND_COMPLETE] = send_done,
               [CROSSING_RECEIVE] = indicating,
               [CROSSING_RETURN] = frames_returned,
               [CROSSING_OID] = oid_issued,
               [CROSSING_OID_COMPLETE] = oid_completed,
               [CROSSING_PAUSE_COMPLETE] = pause_completed,
               [CROSSING_PNP_EVENT_COMPLETE] = event_completed,
               [CROSSING_BIND] = binding,
               [CROSSING_OPEN] = opened,
               [CROSSING_CLOSE] = closed},
    .after = {[CROSSING_PAUSE] = paused,
              [CROSSING_PNP_EVENT] = event_returned,
              [CROSSING_OID] = request_returned},
};
