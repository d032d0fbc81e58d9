/*
 * V-056 … V-072: what a host stack may ask, and when; what it owes afterwards.
 *
 * Only where the host stack itself calls: an intermediate driver below it passes on what it was
 * asked. What it must do soon (V-067, V-069, V-070) is a list of objects in the order in which the
 * terminate fell due, so that a tick looks at its head only; verifier.answer_limit_us says how long
 * "soon" is. A pause counts from when the status handler has returned: an initiate may have been on
 * its way before.
 *
 * V-071 sees of the host stack's timers what it hands over: with nothing in flight, an open window
 * and no FIN on its way no retransmission is timed, and a keepalive timer that nobody asked for is
 * either off or the one that a challenge ACK started, with at most five minutes to go.
 */
#include "verifier/shadow.h"

#define CHALLENGE_SECONDS 300

/* ---- objects that may be named ---- */

static void
refuse(struct call *call)
{
    if (call->crossing->veto == CROSSING_GO)
        call->crossing->veto = CROSSING_REFUSE;
}

static void
check_linker(struct call *call, const struct shadow_node *node)
{
    const struct shadow_object *object = node->object;
    const void *handle = node->issued.OffloadHandle;

    if (!object || object->binding != call->binding || object->life == SHADOW_TERMINATING) {
        report(call, 59, BLAME_CALLER, handle, "a linker names what is not offloaded here");
        refuse(call);
    } else if (object->layer == SHADOW_TCP) {
        report(call, 56, BLAME_CALLER, handle, "the connection is offloaded already");
        refuse(call);
    } else if (object->life == SHADOW_INITIATING) {
        report(call, 59, BLAME_CALLER, handle, "a linker names what is still on its way");
    }
}

static void
check_parent(const struct call *call, const struct shadow_node *node)
{
    const struct shadow_node *parent = node->parent;
    const char *below = node->layer == SHADOW_TCP ? "path" : "neighbor";

    if (node->layer == SHADOW_NEIGHBOR || (parent && parent->role != SHADOW_PLACEHOLDER))
        return;
    report(call, 59, BLAME_CALLER, node->issued.OffloadHandle, "a new %s stands on no %s",
           shadow_layer_name(node->layer), below);
}

/* ---- the state that goes down ---- */

static const TCP_OFFLOAD_STATE_DELEGATED *
delegated_of(const struct shadow_node *node)
{
    return (const void *)node->copy[SHADOW_DELEGATED];
}

static bool
may_be_offloaded(TCP_OFFLOAD_CONNECTION_STATE state)
{
    return state == TcpConnectionEstablished || state == TcpConnectionFinWait1 ||
           state == TcpConnectionFinWait2 || state == TcpConnectionCloseWait ||
           state == TcpConnectionClosing || state == TcpConnectionLastAck;
}

const char *
shadow_timer_fault(const struct shadow_adapter *adapter, const TCP_OFFLOAD_STATE_CACHED *cached,
                   const TCP_OFFLOAD_STATE_DELEGATED *state, bool unsent)
{
    bool open = state->State == TcpConnectionEstablished || state->State == TcpConnectionCloseWait;
    ULONG ticks = adapter->has_parameters ? adapter->parameters.TicksPerSecond : 1000;
    ULONG keep = state->KeepAlive.TimeoutDelta;

    if (open && state->SndUna == state->SndMax && state->SndWnd && !unsent &&
        state->Retransmit.TimeoutDelta != TCP_OFFLOAD_TIMER_OFF)
        return "nothing is in flight, and a retransmission is timed";
    if (open && !(cached->Flags & TCP_FLAG_KEEP_ALIVE_ENABLED) && !state->KeepAlive.ProbeCount &&
        keep != TCP_OFFLOAD_TIMER_OFF && (!keep || keep > CHALLENGE_SECONDS * ticks))
        return "keepalive is not enabled, and a keepalive is timed";
    return NULL;
}

static void
check_new_tcp(const struct call *call, const struct shadow_node *node)
{
    const TCP_OFFLOAD_STATE_DELEGATED *state = delegated_of(node);
    const void *handle = node->issued.OffloadHandle;
    const char *fault;

    if (!state)
        return;
    if (!may_be_offloaded(state->State)) {
        report(call, 58, BLAME_CALLER, handle, "the connection's state is %d", (int)state->State);
        return;
    }
    fault = shadow_timer_fault(call->adapter, (const void *)node->copy[SHADOW_CACHED], state,
                               node->issued.NetBufferListChain != NULL);
    if (fault)
        report(call, 71, BLAME_CALLER, handle, "%s", fault);
}

static void
check_new_neighbor(const struct call *call, const struct shadow_node *node)
{
    const NEIGHBOR_OFFLOAD_STATE_CACHED *cached = (const void *)node->copy[SHADOW_CACHED];
    const NEIGHBOR_OFFLOAD_STATE_DELEGATED *state = (const void *)node->copy[SHADOW_DELEGATED];

    if (cached && state && cached->HostReachabilityDelta != state->NicReachabilityDelta)
        report(call, 72, BLAME_CALLER, node->issued.OffloadHandle,
               "HostReachabilityDelta is %u, NicReachabilityDelta is %u",
               cached->HostReachabilityDelta, state->NicReachabilityDelta);
}

/* ---- initiate ---- */

static void
check_new(struct call *call, const struct shadow_node *node)
{
    static const char *const lives[] = {"on its way down", "offloaded", "on its way up"};

    if (node->object) {
        report(call, 56, BLAME_CALLER, node->issued.OffloadHandle, "the object is %s already",
               lives[node->object->life]);
        refuse(call);
        return;
    }
    check_parent(call, node);
    if (node->layer == SHADOW_TCP)
        check_new_tcp(call, node);
    else if (node->layer == SHADOW_NEIGHBOR)
        check_new_neighbor(call, node);
}

static void
check_paused(const struct call *call)
{
    if (call->binding->told_upload_all)
        report(call, 66, BLAME_CALLER, call->root, "the adapter wants everything back");
    else if (call->binding->told_pause)
        report(call, 65, BLAME_CALLER, call->root, "offloading is paused");
}

static void
check_capacity(const struct call *call, const struct shadow_tree *tree)
{
    const struct shadow_adapter *adapter = call->adapter;
    size_t connections = adapter->connections;

    for (const struct shadow_node *node = tree->first; node; node = node->next)
        connections += node->role == SHADOW_NEW && node->layer == SHADOW_TCP;
    if (adapter->has_capabilities && connections > adapter->connections &&
        connections > adapter->capabilities.TcpConnectionOffloadCapacity)
        report(call, 60, BLAME_CALLER, call->root, "%zu connections, the adapter takes %u",
               connections, adapter->capabilities.TcpConnectionOffloadCapacity);
}

static bool
of_host(const struct call *call)
{
    return call->tree && !call->tree->by_ndis && !call->tree->truncated &&
           !call->binding->im_above && call->crossing->veto == CROSSING_GO;
}

static void
initiate(struct verifier *verifier, struct call *call)
{
    if (!of_host(call))
        return;
    for (const struct shadow_node *node = call->tree->first; node; node = node->next) {
        if (node->role == SHADOW_LINKER)
            check_linker(call, node);
        else if (node->role == SHADOW_NEW)
            check_new(call, node);
    }
    if (call->crossing->veto != CROSSING_GO)
        return;
    check_paused(call);
    check_capacity(call, call->tree);
}

/* ---- the other operations ---- */

/* false: it must not be asked anything. */
static bool
check_named(struct call *call, const struct shadow_node *node)
{
    const struct shadow_object *object = node->object;
    const void *handle = node->issued.OffloadHandle;

    if (!object || object->binding != call->binding) {
        report(call, 0, BLAME_CALLER, handle, "names an object that is not offloaded here");
        refuse(call);
    } else if (object->life == SHADOW_INITIATING) {
        report(call, 57, BLAME_CALLER, handle, "the object's initiate is outstanding");
        refuse(call);
    } else if (object->life == SHADOW_TERMINATING) {
        report(call, 62, BLAME_CALLER, handle, "the object's terminate is outstanding");
        refuse(call);
    } else if (object->handle->MiniportOffloadContext != object->context) {
        report(call, object->disconnected ? 129 : 154, BLAME_CALLEE, handle,
               "the object's context is %p, it was %p", object->handle->MiniportOffloadContext,
               object->context);
        object->handle->MiniportOffloadContext = object->context;
    }
    return call->crossing->veto == CROSSING_GO;
}

static void
check_update(const struct call *call, const struct shadow_node *node)
{
    const struct shadow_object *object = node->object;

    if (object->updates)
        report(call, 61, BLAME_CALLER, node->issued.OffloadHandle,
               "another update of the object is outstanding");
    else if (object->invalidated)
        report(call, 61, BLAME_CALLER, node->issued.OffloadHandle, "the object was invalidated");
}

static void
check_quiet(const struct call *call, const struct shadow_node *node)
{
    const struct shadow_object *object = node->object;

    if (object->layer != SHADOW_TCP)
        return;
    if (object->invalidates || object->queries || object->updates)
        report(call, 62, BLAME_CALLER, node->issued.OffloadHandle,
               "%u queries, %u updates, %u invalidates of it are outstanding", object->queries,
               object->updates, object->invalidates);
    else if (object->calls[SHADOW_RECEIVE] || object->calls[SHADOW_DISCONNECT])
        report(call, 62, BLAME_CALLER, node->issued.OffloadHandle, "a %s call is in progress",
               object->calls[SHADOW_RECEIVE] ? "receive" : "disconnect");
}

static void
check_dependents(const struct call *call, const struct shadow_tree *tree)
{
    for (const struct shadow_node *node = tree->first; node; node = node->next)
        if (node->object)
            node->object->leaving = 0;
    for (const struct shadow_node *node = tree->first; node; node = node->next)
        if (node->object && node->object->parent)
            node->object->parent->leaving++;
    for (const struct shadow_node *node = tree->first; node; node = node->next)
        if (node->object && node->object->dependents > node->object->leaving)
            report(call, 63, BLAME_CALLER, node->issued.OffloadHandle,
                   "%zu objects stand on the %s and %zu of them leave with it",
                   node->object->dependents, shadow_layer_name(node->layer), node->object->leaving);
}

static void
operation(struct verifier *verifier, struct call *call)
{
    if (!of_host(call))
        return;
    for (const struct shadow_node *node = call->tree->first; node; node = node->next) {
        if (node->role == SHADOW_PLACEHOLDER)
            continue;
        if (!check_named(call, node))
            return;
        if (call->op == CROSSING_UPDATE)
            check_update(call, node);
        else if (call->op == CROSSING_TERMINATE)
            check_quiet(call, node);
    }
    if (call->op == CROSSING_TERMINATE)
        check_dependents(call, call->tree);
}

/* V-057 for data; forwarding has a rule of its own (V-119). NDIS refuses the call itself. */
static void
data(struct verifier *verifier, struct call *call)
{
    if (call->object && call->object->life == SHADOW_INITIATING && !call->object->binding->im_above)
        report(call, 57, BLAME_CALLER, call->object->handle,
               "the connection's initiate is outstanding");
}

/* ---- what is left, what is late ---- */

static void
close(struct verifier *verifier, struct call *call)
{
    size_t left = 0;

    if (!call->binding || !call->adapter)
        return;
    list_for_each(object, &call->adapter->objects, struct shadow_object, link)
        left += object->binding == call->binding;
    if (left)
        report(call, 64, BLAME_CALLER, NULL, "%zu objects are still offloaded over it", left);
}

/* The host stack could not do it: something of it was lost below, and that is the finding. */
static bool
stuck(const struct shadow_object *object)
{
    bool nbls = false;

    for (int kind = 0; kind < SHADOW_KINDS; kind++)
        nbls |= kind != SHADOW_INDICATED && !list_empty(&object->nbls[kind]);
    return nbls || object->named || object->dependents;
}

static void
left_over(void *arg, struct table_entry *entry)
{
    const struct shadow_object *object = container_of(entry, struct shadow_object, entry);

    if (object->life == SHADOW_OFFLOADED && !object->binding->im_above && !stuck(object))
        report_late(arg, 64, object->binding->driver->name, object->adapter->name, object->handle,
                    "a %s was never terminated", shadow_layer_name(object->layer));
}

static void
finish(struct verifier *verifier)
{
    table_each(&verifier->objects, left_over, verifier);
}

static const char *
owed_why(unsigned rule)
{
    if (rule == 67)
        return "after an abort or a mandatory retrieve";
    return rule == 69 ? "after a failed query or update" : "after an invalidate";
}

struct late {
    struct verifier *verifier;
    uint64_t now_us;
};

static void
upload_late(void *arg, struct table_entry *entry)
{
    struct shadow_binding *binding = container_of(entry, struct shadow_binding, entry);
    const struct late *late = arg;
    size_t left = 0;

    if (!binding->told_upload_all || binding->upload_overdue || binding->im_above ||
        late->now_us < binding->told_us + late->verifier->options.answer_limit_us)
        return;
    list_for_each(object, &binding->adapter->objects, struct shadow_object, link)
        left += object->binding == binding && object->life == SHADOW_OFFLOADED;
    if (!left)
        return;
    binding->upload_overdue = true;
    report_late(late->verifier, 66, binding->driver->name, binding->adapter->name, NULL,
                "%zu objects are still offloaded after UPLOAD_ALL", left);
}

static void
tick(struct verifier *verifier, uint64_t now_us)
{
    struct late late = {verifier, now_us};

    while (!list_empty(&verifier->owing)) {
        struct shadow_object *object = list_first(&verifier->owing, struct shadow_object, owing);

        if (now_us < object->owed_us + verifier->options.answer_limit_us)
            break;
        list_del(&object->owing);
        report_late(verifier, object->owed_rule, object->binding->driver->name,
                    object->adapter->name, object->handle, "the %s was not terminated %s",
                    shadow_layer_name(object->layer), owed_why(object->owed_rule));
    }
    table_each(&verifier->bindings, upload_late, &late);
}

const struct family issue_family = {
    .before = {[CROSSING_INITIATE] = initiate,
               [CROSSING_TERMINATE] = operation,
               [CROSSING_UPDATE] = operation,
               [CROSSING_INVALIDATE] = operation,
               [CROSSING_QUERY] = operation,
               [CROSSING_TCP_SEND] = data,
               [CROSSING_TCP_RECEIVE] = data,
               [CROSSING_TCP_DISCONNECT] = data,
               [CROSSING_CLOSE] = close},
    .tick = tick,
    .finish = finish,
};
