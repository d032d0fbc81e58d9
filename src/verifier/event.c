/*
 * V-130 … V-144: events of a connection, the question about a neighbor, status of the adapter.
 *
 * A handle that NDIS does not know (V-130) never crosses a landing; NDIS reports it, report.c finds
 * out whose it was. The state of a connection is followed only as far as calls show it: FIN_WAIT_2
 * is certain when a graceful close has succeeded, CLOSE_WAIT when the peer's end was indicated.
 * V-135 and V-140 are looked at where the I/O completes (nbls.c, send.c). V-137 is read as: no
 * event of the connection that is on its way, and none that could wait of any other.
 *
 * A RST, a limit, urgent data need the frames: V-133 in part, V-138, V-139.
 */
#include "verifier/nbls.h"

#include <string.h>

/* Backlog events: steps up of at most a quarter, so many of them without a pause between. */
#define SMALL_STEPS 8u
#define PAUSE_US 1000u

/* ---- of a connection ---- */

static bool
is_optional(ULONG reason)
{
    return reason > UploadRequested && reason <= SmallIO;
}

static bool
can_wait(const struct call *call)
{
    return call->crossing->code == TcpIndicateSendBacklogChange ||
           (call->crossing->code == TcpIndicateRetrieve && is_optional(call->crossing->info));
}

static void
check_known(struct call *call, const struct shadow_object *object)
{
    ULONG type = call->crossing->code, info = call->crossing->info;

    if (object->layer != SHADOW_TCP) {
        report(call, 131, BLAME_CALLER, object->handle, "an event of a %s",
               shadow_layer_name(object->layer));
        call->crossing->veto = CROSSING_REFUSE;
    } else if (type < TcpIndicateDisconnect || type > TcpIndicateSendBacklogChange) {
        report(call, 131, BLAME_CALLER, object->handle, "event type %u", type);
    } else if (type == TcpIndicateRetrieve && (info < HardwareFailure || info > SmallIO)) {
        report(call, 131, BLAME_CALLER, object->handle, "retrieve reason %u", info);
    }
}

static void
check_disconnect(struct call *call, const struct shadow_object *object)
{
    if (object->peer_closed)
        report(call, 132, BLAME_CALLER, object->handle, "a second disconnect");
    else if (object->refused || object->buffered || object->owed.bytes)
        report(call, 132, BLAME_CALLER, object->handle,
               "a disconnect, but not all data has been taken");
}

/* NULL: it is in another state, or that is not certain. */
static const char *
half_closed(const struct shadow_object *object)
{
    bool graceful = object->disconnected & TCP_DISCONNECT_GRACEFUL_CLOSE;
    bool lent_closing = object->lent_state == TcpConnectionFinWait1 ||
                        object->lent_state == TcpConnectionFinWait2;

    if ((graceful || lent_closing) && !object_peer_finished(object))
        return "FIN_WAIT";
    if (object->host_closed || object_host_finished(object) || !object_peer_finished(object))
        return NULL;
    return "CLOSE_WAIT";
}

static void
check_retrieve(struct call *call, const struct shadow_object *object)
{
    const char *state = half_closed(object);

    if (is_optional(call->crossing->info) && state)
        report(call, 134, BLAME_CALLER, object->handle, "reason %u in %s", call->crossing->info,
               state);
}

static void
check_backlog(struct call *call, struct shadow_object *object)
{
    ULONG now = call->crossing->info, last = object->backlog;
    bool at_once = object->backlog_us && call->started_us - object->backlog_us < PAUSE_US;
    bool small = now >= last && now - last <= last / 4;

    if (!at_once)
        object->small_steps = 0;
    else if (small && ++object->small_steps == SMALL_STEPS)
        report(call, 136, BLAME_CALLER, object->handle, "%u small steps without a pause, now %u",
               SMALL_STEPS, now);
}

static void
event(struct verifier *verifier, struct call *call)
{
    struct shadow_object *object = call->object;

    if (!object)
        return;
    check_known(call, object);
    if (call->crossing->veto != CROSSING_GO)
        return;
    if (object->life == SHADOW_INITIATING || !object->announced)
        report(call, 137, BLAME_CALLER, object->handle,
               "the initiate's completion has not returned");
    else if (object->adapter->initiates && can_wait(call))
        report(call, 137, BLAME_CALLER, object->handle, "an initiate is in progress");
    if (call->crossing->code == TcpIndicateDisconnect)
        check_disconnect(call, object);
    else if (call->crossing->code == TcpIndicateRetrieve)
        check_retrieve(call, object);
    else if (call->crossing->code == TcpIndicateSendBacklogChange)
        check_backlog(call, object);
}

/* ---- about a neighbor ---- */

/* NULL: a block of the form that R-18 says. */
static const char *
look_at_question(const struct call *call, const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block)
{
    const NEIGHBOR_OFFLOAD_STATE_CONST *constant;
    const NEIGHBOR_OFFLOAD_STATE_CACHED *cached;

    if (call->crossing->code != NeighborReachabilityQuery)
        return "an unknown indication code";
    if (!call->object || call->object->layer != SHADOW_NEIGHBOR)
        return "it names no neighbor";
    if (block->Header.Type != NeighborOffloadState || block->Header.Size != sizeof(*block))
        return "the block's type or size";
    constant = NDIS_OFFLOAD_STATE_FIRST(block);
    if (constant->Header.Length != sizeof(*constant))
        return "the length of the const state";
    cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    if (cached->Header.Length != sizeof(*cached))
        return "the length of the cached state";
    return NULL;
}

static void
check_age(struct call *call, const struct shadow_object *neighbor,
          const NEIGHBOR_OFFLOAD_STATE_DELEGATED *delegated)
{
    const NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS *parameters = &call->adapter->parameters;
    uint64_t since_us = call->started_us - neighbor->reachable_us;
    uint64_t host = neighbor->reachable_ticks +
                    since_us * (parameters->TicksPerSecond ? parameters->TicksPerSecond : 1000) /
                        1000000;

    if (!call->adapter->has_parameters)
        return;
    if (host + 2 <= parameters->NceStaleTicks) /* give or take a tick */
        report(call, 141, BLAME_CALLER, neighbor->handle,
               "the host stack knew of it %lu ticks ago, %u is stale", (unsigned long)host,
               parameters->NceStaleTicks);
    else if (delegated->NicReachabilityDelta <= parameters->NceStaleTicks)
        report(call, 141, BLAME_CALLER, neighbor->handle,
               "the target heard of it %u ticks ago, %u is stale", delegated->NicReachabilityDelta,
               parameters->NceStaleTicks);
}

static void
question(struct verifier *verifier, struct call *call)
{
    const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block = call->root;
    const char *wrong = look_at_question(call, block);
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached;

    if (wrong) {
        report(call, 141, BLAME_CALLER, call->crossing->object, "%s", wrong);
        call->crossing->veto = CROSSING_REFUSE; /* the answer would be written somewhere */
        return;
    }
    if (block->NextBlock || block->DependentBlockList || block->Status != NDIS_STATUS_SUCCESS)
        report(call, 141, BLAME_CALLER, call->crossing->object,
               "not one block, or its Status is not SUCCESS");
    cached = NDIS_OFFLOAD_STATE_NEXT(
        (NEIGHBOR_OFFLOAD_STATE_CONST *)NDIS_OFFLOAD_STATE_FIRST(block));
    check_age(call, call->object, NDIS_OFFLOAD_STATE_NEXT(cached));
    call->answer = &cached->HostReachabilityDelta;
}

static void
answer(struct verifier *verifier, struct call *call)
{
    if (call->answer && call->crossing->veto == CROSSING_GO &&
        *call->answer == (ULONG)SHADOW_POISON)
        report(call, 142, BLAME_CALLEE, call->crossing->object,
               "it returned without an answer in HostReachabilityDelta");
}

/* ---- of the adapter ---- */

static bool
other_capabilities(const struct shadow_adapter *adapter, const NDIS_STATUS_INDICATION *indication)
{
    const NDIS_TCP_CONNECTION_OFFLOAD *old = &adapter->capabilities, *now;

    if (!indication || !indication->StatusBuffer || indication->StatusBufferSize < sizeof(*now) ||
        !adapter->has_capabilities)
        return false; /* or not known */
    now = indication->StatusBuffer;
    return now->Encapsulation != old->Encapsulation || now->SupportIPv4 != old->SupportIPv4 ||
           now->SupportIPv6 != old->SupportIPv6 || now->SupportSack != old->SupportSack ||
           now->TcpConnectionOffloadCapacity != old->TcpConnectionOffloadCapacity;
}

/* It hears of a pause that was said before it was there when it starts (P28). */
static bool
not_started(const struct shadow_binding *binding)
{
    return binding && (!strcmp(binding->state, "Opening") || !strcmp(binding->state, "Paused") ||
                       !strcmp(binding->state, "Restarting"));
}

static void
status(struct verifier *verifier, struct call *call)
{
    const NDIS_STATUS_INDICATION *indication = call->crossing->data;
    const struct shadow_adapter *adapter = call->adapter;
    NDIS_STATUS code = (NDIS_STATUS)call->crossing->code;

    if (!adapter || adapter->paused_offload)
        return;
    if (code == NDIS_STATUS_TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES)
        report(call, 144, BLAME_CALLER, NULL, "hardware capabilities change without a pause");
    if (code != NDIS_STATUS_OFFLOAD_RESUME)
        return;
    if (call->binding && call->binding->told_pause)
        return; /* the one that the bindings before have heard already */
    if (not_started(call->binding))
        return;
    if (other_capabilities(adapter, indication))
        report(call, 144, BLAME_CALLER, NULL, "other capabilities, but no pause before");
    else
        report(call, 143, BLAME_CALLER, NULL, "a resume of what was not paused");
}

const struct family event_family = {
    .before = {[CROSSING_TCP_EVENT] = event,
               [CROSSING_OFFLOAD_EVENT] = question,
               [CROSSING_STATUS] = status},
    .after = {[CROSSING_OFFLOAD_EVENT] = answer},
};
