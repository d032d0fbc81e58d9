/*
 * V-052, V-053, V-055: what a query or a terminate wrote behind its blocks.
 *
 * The states were poisoned when the operation went down (track.c), so what is still poison was not
 * written. That is looked at member by member, those of four bytes or more: a value of that size is
 * poison by accident once in four thousand million times, and a pointer never.
 *
 * Const and cached variables come back as the host stack gave them last. A query that was out while
 * an update was may say either value; after an update that failed nobody knows. Flags that are
 * orders are no state. HostReachabilityDelta grows by itself. VlanId and UserPriority are an
 * intermediate driver's to set.
 */
#include "verifier/shadow.h"

#include <string.h>

/* A member of a state structure. size 0: the end. */
struct member {
    const char *name;
    USHORT offset, size;
};
#define MEMBER(type, member)                                                                       \
    {                                                                                              \
#member, offsetof(type, member), sizeof(((type *)0)->member)                               \
    }
#define DELEGATED(member) MEMBER(TCP_OFFLOAD_STATE_DELEGATED, member)

static const struct member neighbor_delegated[] = {
    MEMBER(NEIGHBOR_OFFLOAD_STATE_DELEGATED, NicReachabilityDelta),
    {NULL, 0, 0},
};
static const struct member tcp_delegated[] = {
    DELEGATED(State),
    DELEGATED(RcvNxt),
    DELEGATED(RcvWnd),
    DELEGATED(SndUna),
    DELEGATED(SndNxt),
    DELEGATED(SndMax),
    DELEGATED(SndWnd),
    DELEGATED(MaxSndWnd),
    DELEGATED(SendWL1),
    DELEGATED(CWnd),
    DELEGATED(SsThresh),
    DELEGATED(TotalRT),
    DELEGATED(KeepAlive.TimeoutDelta),
    DELEGATED(Retransmit.TimeoutDelta),
    {NULL, 0, 0},
};
static const struct member tcp_timestamps[] = {
    DELEGATED(TsRecent), DELEGATED(TsRecentAge), DELEGATED(TsTime), {NULL, 0, 0}};
static const struct member tcp_backlog[] = {
    DELEGATED(SendBacklogSize), DELEGATED(ReceiveBacklogSize), {NULL, 0, 0}};
static const struct member tcp_data[] = {
    DELEGATED(SendDataHead), DELEGATED(SendDataTail), DELEGATED(BufferedData), {NULL, 0, 0}};

static bool
all_poison(const UCHAR *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != SHADOW_POISON_BYTE)
            return false;
    return true;
}

/* NULL: every one was written. */
static const char *
unwritten_of(const UCHAR *state, const struct member *members)
{
    for (; members->size; members++)
        if (all_poison(state + members->offset, members->size))
            return members->name;
    return NULL;
}

/* ---- delegated states ---- */

/* With an open window a target wants something to send. */
static bool
no_backlog(const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    return (state->State == TcpConnectionEstablished || state->State == TcpConnectionCloseWait) &&
           state->SndWnd && !state->SendBacklogSize;
}

static const char *
unwritten_tcp(const struct shadow_node *node, const UCHAR *state, bool query)
{
    const struct shadow_object *object = node->object;
    const char *what = unwritten_of(state, query ? tcp_backlog : tcp_data);

    if (!what)
        what = unwritten_of(state, tcp_delegated);
    if (!what && object && object->fixed.tcp_state.Flags & TCP_FLAG_TIMESTAMP_ENABLED)
        what = unwritten_of(state, tcp_timestamps);
    if (!what && query && no_backlog((const void *)state))
        what = "a SendBacklogSize other than 0";
    return what;
}

static void
check_delegated(const struct call *call, const struct shadow_node *node, unsigned rule)
{
    const UCHAR *state = node->state[SHADOW_DELEGATED];
    const char *what = NULL;

    if (!state)
        return;
    if (node->layer == SHADOW_NEIGHBOR)
        what = unwritten_of(state, neighbor_delegated);
    else if (node->layer == SHADOW_TCP)
        what = unwritten_tcp(node, state, call->op == CROSSING_QUERY_COMPLETE);
    if (what)
        report(call, rule, BLAME_CALLER, node->issued.OffloadHandle, "%s was not written", what);
}

/* ---- const and cached states ---- */

static const char *
neighbor_differs(const struct shadow_object *object, const struct shadow_node *node)
{
    const NEIGHBOR_OFFLOAD_STATE_CONST *fixed = (const void *)node->state[SHADOW_CONST];
    const NEIGHBOR_OFFLOAD_STATE_CACHED *cached = (const void *)node->state[SHADOW_CACHED];
    const NEIGHBOR_OFFLOAD_STATE_CONST *was = &object->fixed.neighbor_state;

    if (fixed && memcmp(fixed->DlSourceAddress, was->DlSourceAddress, sizeof(was->DlSourceAddress)))
        return "DlSourceAddress";
    if (fixed && fixed->VlanId != was->VlanId && !object->adapter->is_im)
        return "VlanId";
    if (cached && memcmp(cached->DlDestinationAddress, object->cached.neighbor.DlDestinationAddress,
                         sizeof(cached->DlDestinationAddress)))
        return "DlDestinationAddress";
    return NULL;
}

/* An address that is the pointer that was given may be good no more; what it points at is not
 * looked at. */
static bool
address_differs(const UCHAR *now, const UCHAR *given, const UCHAR *was, bool ipv6)
{
    return now != given && memcmp(now, was, ipv6 ? 16 : 4);
}

static const char *
path_differs(const struct shadow_object *object, const struct shadow_node *node)
{
    const PATH_OFFLOAD_STATE_CONST *fixed = (const void *)node->state[SHADOW_CONST];
    const PATH_OFFLOAD_STATE_CACHED *cached = (const void *)node->state[SHADOW_CACHED];
    const PATH_OFFLOAD_STATE_CONST *was = &object->fixed.path_state;

    if (fixed &&
        address_differs(fixed->SourceAddress, was->SourceAddress, object->source, object->ipv6))
        return "SourceAddress";
    if (fixed && address_differs(fixed->DestinationAddress, was->DestinationAddress,
                                 object->destination, object->ipv6))
        return "DestinationAddress";
    return cached && cached->PathMtu != object->cached.path.PathMtu ? "PathMtu" : NULL;
}

static const char *
tcp_const_differs(const TCP_OFFLOAD_STATE_CONST *now, const TCP_OFFLOAD_STATE_CONST *was)
{
    if (now->Flags != was->Flags)
        return "Flags";
    if (now->RemotePort != was->RemotePort || now->LocalPort != was->LocalPort)
        return "a port";
    if (now->SndWindScale != was->SndWindScale || now->RcvWindScale != was->RcvWindScale)
        return "a window scale";
    if (now->RemoteMss != was->RemoteMss)
        return "RemoteMss";
    return now->HashValue != was->HashValue ? "HashValue" : NULL;
}

static const char *
tcp_cached_differs(const TCP_OFFLOAD_STATE_CACHED *now, const TCP_OFFLOAD_STATE_CACHED *was,
                   bool is_im)
{
    USHORT orders = TCP_FLAG_KEEP_ALIVE_RESTART | TCP_FLAG_MAX_RT_RESTART | TCP_FLAG_UPDATE_RCV_WND;

    if ((now->Flags ^ was->Flags) & ~orders)
        return "Flags";
    if (now->InitialRcvWnd != was->InitialRcvWnd)
        return "InitialRcvWnd";
    if (now->RcvIndicationSize != was->RcvIndicationSize)
        return "RcvIndicationSize";
    if (now->KaProbeCount != was->KaProbeCount || now->KaTimeout != was->KaTimeout ||
        now->KaInterval != was->KaInterval)
        return "a keepalive variable";
    if (now->MaxRT != was->MaxRT)
        return "MaxRT";
    if (now->FlowLabel != was->FlowLabel || now->TtlOrHopLimit != was->TtlOrHopLimit ||
        now->TosOrTrafficClass != was->TosOrTrafficClass)
        return "a header field";
    return now->UserPriority != was->UserPriority && !is_im ? "UserPriority" : NULL;
}

static const char *
tcp_differs(const struct shadow_object *object, const struct shadow_node *node)
{
    const TCP_OFFLOAD_STATE_CONST *fixed = (const void *)node->state[SHADOW_CONST];
    const TCP_OFFLOAD_STATE_CACHED *cached = (const void *)node->state[SHADOW_CACHED];
    const char *what = fixed ? tcp_const_differs(fixed, &object->fixed.tcp_state) : NULL;

    if (!what && cached)
        what = tcp_cached_differs(cached, &object->cached.tcp, object->adapter->is_im);
    return what;
}

static bool
unwritten(const struct shadow_node *node, enum shadow_class class)
{
    size_t header = sizeof(OFFLOAD_STATE_HEADER);

    return node->length[class] > header &&
           all_poison(node->state[class] + header, node->length[class] - header);
}

/* NULL is no address either. */
static bool
pointers_unwritten(const struct shadow_node *node)
{
    const PATH_OFFLOAD_STATE_CONST *fixed = (const void *)node->state[SHADOW_CONST];
    size_t size = sizeof(fixed->SourceAddress);

    return node->layer == SHADOW_PATH && fixed &&
           (!fixed->SourceAddress || !fixed->DestinationAddress ||
            all_poison((const UCHAR *)&fixed->SourceAddress, size) ||
            all_poison((const UCHAR *)&fixed->DestinationAddress, size));
}

/* What the host stack gave last is not in doubt. */
static bool
certain(const struct shadow_node *node)
{
    const struct shadow_object *object = node->object;

    return object && !object->failed && !object->updates && object->updated < node->tree->number;
}

static void
check_given(const struct call *call, const struct shadow_node *node)
{
    const struct shadow_object *object = node->object;
    const char *what = NULL;

    if (unwritten(node, SHADOW_CONST) || unwritten(node, SHADOW_CACHED) ||
        pointers_unwritten(node)) {
        report(call, 52, BLAME_CALLER, node->issued.OffloadHandle, "a %s state was not written",
               unwritten(node, SHADOW_CACHED) ? "cached" : "const");
        return;
    }
    if (!certain(node))
        return;
    if (node->layer == SHADOW_NEIGHBOR)
        what = neighbor_differs(object, node);
    else if (node->layer == SHADOW_PATH)
        what = path_differs(object, node);
    else if (node->layer == SHADOW_TCP)
        what = tcp_differs(object, node);
    if (what)
        report(call, 53, BLAME_CALLER, node->issued.OffloadHandle,
               "%s of the %s is not what the host stack gave", what,
               shadow_layer_name(node->layer));
}

static void
filled(struct verifier *verifier, struct call *call)
{
    bool query = call->op == CROSSING_QUERY_COMPLETE;

    if (!call->tree || call_by_ndis(call) || call->crossing->veto != CROSSING_GO)
        return;
    for (const struct shadow_node *node = call->tree->first; node; node = node->next) {
        if (node->role != SHADOW_REFERENCE || node->block->Status != NDIS_STATUS_SUCCESS)
            continue;
        check_delegated(call, node, query ? 52 : 55);
        if (query)
            check_given(call, node);
    }
}

const struct family contents_family = {
    .before = {[CROSSING_QUERY_COMPLETE] = filled, [CROSSING_TERMINATE_COMPLETE] = filled},
};
