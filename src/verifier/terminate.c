/*
 * V-054, V-145 … V-153, V-155 … V-157: giving objects back, and power.
 *
 * Everything of the connection comes first: its operations, its I/O, its indications. Sends may be
 * given back in NetBufferListChain instead; each NBL's place in the stream is known from when it
 * was posted (shadow_nbl.seq), so where the chain begins is where SndUna has to be. A chain or
 * BufferedData that holds what is somebody else's is reported and cut in front of it: NDIS and the
 * host stack will walk it.
 *
 * Delegated values are compared with what was seen of them last, at the initiate or by a query:
 * none of SndUna, SndMax, RcvNxt, MaxSndWnd and (where there are timestamps) TsTime goes back. If
 * it did across an update, that is V-054. Where it took no time and no segment, send or timer
 * has left a trace, nothing else may have moved across an update either. RcvNxt ends what was
 * delivered and what comes back. Sends that came back UPLOAD_IN_PROGRESS may have been on the wire
 * so they make room between SndMax and the chain. What a connection in CLOSED says about
 * itself has no meaning any more.
 *
 * V-153: a late call names a handle that NDIS does not know any more; NDIS reports it. Not seen:
 * V-149, V-150 (frames).
 */
#include "verifier/shadow.h"

#include "base/seq.h"

#include <string.h>

/* ---- V-145, V-146: what comes first ---- */

static size_t
count(struct list *nbls)
{
    size_t n = 0;

    list_for_each(nbl, nbls, struct shadow_nbl, link)
        n++;
    return n;
}

static void
check_quiet(const struct call *call, struct shadow_object *object, size_t returned)
{
    static const enum shadow_kind kinds[] = {SHADOW_RECEIVE, SHADOW_DISCONNECT, SHADOW_FORWARD};
    static const char *const names[] = {"receives", "disconnects", "forwards"};
    size_t sends = count(&object->nbls[SHADOW_SEND]);

    if (object->queries || object->updates || object->invalidates)
        report(call, 145, BLAME_CALLER, object->handle,
               "%u queries, %u updates, %u invalidates of it are outstanding", object->queries,
               object->updates, object->invalidates);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!list_empty(&object->nbls[kinds[i]]))
            report(call, 145, BLAME_CALLER, object->handle, "%zu %s are outstanding",
                   count(&object->nbls[kinds[i]]), names[i]);
    if (sends > returned)
        report(call, 145, BLAME_CALLER, object->handle,
               "%zu sends were neither completed nor returned", sends - returned);
    if (object->calls[SHADOW_INDICATED] || object->events)
        report(call, 146, BLAME_CALLER, object->handle, "an indication is still in progress");
}

/* ---- V-147: returned sends ---- */

/* What is known of a returned chain. */
struct chain {
    size_t count;
    ULONG bytes, seq; /* seq: of its first byte */
    /* the first and the last, and those of them with data */
    const NET_BUFFER_LIST *first, *last, *first_full, *last_full;
};

/* NULL: it belongs there. */
static const char *
not_returnable(const struct shadow_object *object, const struct shadow_nbl *nbl,
               unsigned long long after)
{
    if (!nbl)
        return "is not outstanding";
    if (nbl->object != object)
        return "is another connection's";
    return nbl->number <= after ? "is out of order" : NULL;
}

static ULONG
length_of(const NET_BUFFER_LIST *nbl)
{
    ULONG length = 0;

    for (const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb))
        length += NET_BUFFER_DATA_LENGTH(nb);
    return length;
}

static void
add_to_chain(struct chain *chain, const NET_BUFFER_LIST *nbl, const struct shadow_nbl *shadow)
{
    ULONG length = length_of(nbl);

    if (!chain->count++) {
        chain->first = nbl;
        chain->seq = shadow->seq + shadow->length - length;
    }
    chain->last = nbl;
    chain->bytes += length;
    if (!length)
        return;
    chain->first_full = chain->first_full ? chain->first_full : nbl;
    chain->last_full = nbl;
}

static struct chain
check_members(struct verifier *verifier, const struct call *call, const struct shadow_node *node)
{
    NET_BUFFER_LIST **link = &node->block->NetBufferListChain;
    struct chain chain = {.count = 0};
    unsigned long long last = 0;

    for (; *link; link = &(*link)->Next) {
        struct shadow_nbl *shadow = shadow_nbl_find(verifier, *link, SHADOW_SEND, call->binding);
        const char *why = not_returnable(node->object, shadow, last);

        if (!why && last && length_of(*link) != shadow->length)
            why = "is not the first and was advanced";
        if (why) {
            report(call, 147, BLAME_CALLER, node->object->handle, "returned NBL %p %s",
                   (void *)*link, why);
            *link = NULL; /* nobody shall follow it */
            break;
        }
        last = shadow->number;
        add_to_chain(&chain, *link, shadow);
    }
    return chain;
}

static bool
fin_in_sequence(TCP_OFFLOAD_CONNECTION_STATE state)
{
    return state == TcpConnectionFinWait1 || state == TcpConnectionClosing ||
           state == TcpConnectionLastAck;
}

static bool
poison(const void *pointer)
{
    uintptr_t value;

    memset(&value, SHADOW_POISON_BYTE, sizeof(value));
    return (uintptr_t)pointer == value; /* V-055 */
}

static void
check_ends(const struct call *call, const struct shadow_object *object,
           const TCP_OFFLOAD_STATE_DELEGATED *state, const struct chain *chain)
{
    const NET_BUFFER_LIST *head = state->SendDataHead, *tail = state->SendDataTail;

    if (poison(head) || poison(tail))
        return;
    if (head != chain->first && head != chain->first_full)
        report(call, 147, BLAME_CALLER, object->handle,
               "SendDataHead is %p, the chain begins with %p", (const void *)head,
               (const void *)chain->first);
    else if (tail != chain->last && tail != chain->last_full)
        report(call, 147, BLAME_CALLER, object->handle,
               "SendDataTail is %p, the chain ends with %p", (const void *)tail,
               (const void *)chain->last);
}

static void
check_chain(const struct call *call, const struct shadow_object *object,
            const TCP_OFFLOAD_STATE_DELEGATED *state, const struct chain *chain)
{
    ULONG in_flight = state->SndMax - state->SndUna - fin_in_sequence(state->State);

    if (state->State == TcpConnectionClosed)
        return;
    else if (chain->bytes && chain->seq != state->SndUna)
        report(call, 147, BLAME_CALLER, object->handle, "the chain begins at %u, SndUna is %u",
               chain->seq, state->SndUna);
    else if (!object->came_back && seq_diff(in_flight, 0) > 0 && in_flight > chain->bytes)
        report(call, 147, BLAME_CALLER, object->handle, "%u bytes are in flight, the chain has %u",
               in_flight, chain->bytes);
}

/* ---- V-148: returned data ---- */

static bool
under_way(struct verifier *verifier, const struct call *call, const NET_BUFFER_LIST *nbl)
{
    for (struct table_entry *entry = table_find(&verifier->nbls, nbl); entry;
         entry = table_find_older(entry))
        if (container_of(entry, struct shadow_nbl, entry)->binding == call->binding)
            return true;
    return false;
}

/* V-009 */
static void
check_buffers(const struct call *call, const NET_BUFFER_LIST *nbl)
{
    for (; nbl; nbl = nbl->Next) {
        const NET_BUFFER *first = NET_BUFFER_LIST_FIRST_NB(nbl);

        if (!first || NET_BUFFER_NEXT_NB(first))
            report(call, 9, BLAME_CALLER, nbl, "NBL %p of BufferedData has %s NET_BUFFER",
                   (const void *)nbl, first ? "more than one" : "no");
    }
}

static void
check_buffered(struct verifier *verifier, const struct call *call,
               const struct shadow_object *object, TCP_OFFLOAD_STATE_DELEGATED *state)
{
    NET_BUFFER_LIST **link = &state->BufferedData;

    if (poison(*link))
        return;
    if (shadow_nbls_cut(*link))
        report(call, 148, BLAME_CALLER, object->handle, "BufferedData runs in a circle");
    check_buffers(call, *link);
    for (; *link; link = &(*link)->Next)
        if (under_way(verifier, call, *link)) {
            report(call, 148, BLAME_CALLER, object->handle,
                   "NBL %p of BufferedData is not the target's to give", (void *)*link);
            *link = NULL;
            return;
        }
}

/* ---- V-054, V-151, V-155: values ---- */

static const char *
out_of_order(const TCP_OFFLOAD_STATE_DELEGATED *now)
{
    if (seq_after(now->SndUna, now->SndNxt))
        return "SndUna is beyond SndNxt";
    return seq_after(now->SndNxt, now->SndMax) ? "SndNxt is beyond SndMax" : NULL;
}

static const char *
went_back(const struct shadow_object *object, const TCP_OFFLOAD_STATE_DELEGATED *now)
{
    const TCP_OFFLOAD_STATE_DELEGATED *was = &object->delegated.tcp;
    bool timestamps = object->fixed.tcp_state.Flags & TCP_FLAG_TIMESTAMP_ENABLED;

    if (seq_before(now->RcvNxt, was->RcvNxt))
        return "RcvNxt";
    if (seq_before(now->SndUna, was->SndUna))
        return "SndUna";
    if (seq_before(now->SndMax, was->SndMax))
        return "SndMax";
    if (now->MaxSndWnd < was->MaxSndWnd)
        return "MaxSndWnd";
    return timestamps && seq_before(now->TsTime, was->TsTime) ? "TsTime" : NULL;
}

/* Across an update that took no time and during which nothing else moved. */
static bool
changed_by_update(const struct call *call, const struct shadow_object *object,
                  const TCP_OFFLOAD_STATE_DELEGATED *now)
{
    const TCP_OFFLOAD_STATE_DELEGATED *was = &object->delegated.tcp;

    if (call->tree->number <= object->seen || object->updated <= object->seen ||
        object->seen_us != call->started_us || now->State != was->State ||
        now->RcvNxt != was->RcvNxt || now->SndUna != was->SndUna || now->SndNxt != was->SndNxt ||
        now->SndMax != was->SndMax || now->SndWnd != was->SndWnd || now->SendWL1 != was->SendWL1 ||
        now->DupAckCount != was->DupAckCount || now->Retransmit.Count != was->Retransmit.Count)
        return false;
    return now->CWnd != was->CWnd || now->SsThresh != was->SsThresh || now->SRtt != was->SRtt ||
           now->RttVar != was->RttVar;
}

static bool
peer_finished(TCP_OFFLOAD_CONNECTION_STATE state)
{
    return state == TcpConnectionCloseWait || state == TcpConnectionClosing ||
           state == TcpConnectionLastAck || state == TcpConnectionTimeWait;
}

static void
check_values(const struct call *call, const struct shadow_object *object,
             const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    const char *what = out_of_order(state);
    bool updated = object->updated > object->seen;

    if (state->State == TcpConnectionClosed)
        return;
    if (what) {
        report(call, 155, BLAME_CALLER, object->handle, "%s", what);
        return;
    }
    /* of two questions at once the older may be answered last */
    what = call->tree->number > object->seen ? went_back(object, state) : NULL;
    if (what)
        report(call, updated ? 54 : 155, BLAME_CALLER, object->handle, "%s went back%s", what,
               updated ? " across an update" : "");
    else if (changed_by_update(call, object, state))
        report(call, 54, BLAME_CALLER, object->handle,
               "an update has changed the congestion or round-trip state");
    else if (seq_after(state->SndMax, object->posted_seq))
        report(call, 155, BLAME_CALLER, object->handle,
               "SndMax is %u, the last byte to send was before %u", state->SndMax,
               object->posted_seq);
}

/* Every byte before RcvNxt was delivered or comes back. With ack = returned the host stack may have
 * more than is acknowledged. */
static void
check_received(const struct call *call, const struct shadow_object *object,
               const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    bool fin = peer_finished(state->State) && !peer_finished(object->lent_state);
    ULONG end = object->delivered_seq + fin;

    if (state->State == TcpConnectionClosed || poison(state->BufferedData))
        return;
    for (const NET_BUFFER_LIST *nbl = state->BufferedData; nbl; nbl = nbl->Next)
        end += length_of(nbl);
    if (state->RcvNxt != end &&
        (!(object->fixed.tcp_state.Flags & TCP_FLAG_ACK_RETURNED) || seq_after(state->RcvNxt, end)))
        report(call, 155, BLAME_CALLER, object->handle,
               "RcvNxt is %u, what was delivered and returned ends at %u", state->RcvNxt, end);
}

static void
queried(struct verifier *verifier, struct call *call)
{
    if (!call->tree || call_by_ndis(call) || call->crossing->veto != CROSSING_GO)
        return;
    for (const struct shadow_node *node = call->tree->first; node; node = node->next)
        if (node->object && node->layer == SHADOW_TCP && node->length[SHADOW_DELEGATED] &&
            node->block->Status == NDIS_STATUS_SUCCESS)
            check_values(call, node->object, (const void *)node->state[SHADOW_DELEGATED]);
}

/* ---- the completion of a terminate ---- */

static void
terminated_tcp(struct verifier *verifier, const struct call *call, const struct shadow_node *node)
{
    struct shadow_object *object = node->object;
    TCP_OFFLOAD_STATE_DELEGATED *state = (void *)node->state[SHADOW_DELEGATED];
    bool good = state && node->block->Status == NDIS_STATUS_SUCCESS;
    NET_BUFFER_LIST **link = &node->block->NetBufferListChain;
    struct chain chain;
    const char *fault;

    if (!good && *link == node->issued.NetBufferListChain)
        *link = NULL; /* nobody wrote it */
    chain = check_members(verifier, call, node);
    check_quiet(call, object, chain.count);
    if (!good)
        return;
    check_values(call, object, state);
    check_ends(call, object, state, &chain);
    check_chain(call, object, state, &chain);
    check_buffered(verifier, call, object, state);
    check_received(call, object, state);
    fault = shadow_timer_fault(object->adapter, &object->cached.tcp, state, chain.count > 0);
    if (fault)
        report(call, 151, BLAME_CALLER, object->handle, "%s", fault);
}

/* NDIS looks for returned sends in every block of a terminate. */
static void
terminated_other(const struct call *call, const struct shadow_node *node)
{
    NET_BUFFER_LIST **link = &node->block->NetBufferListChain;

    if (*link && *link != node->issued.NetBufferListChain)
        report(call, 147, BLAME_CALLER, node->object->handle, "a %s returns sends",
               shadow_layer_name(node->layer));
    *link = NULL;
    check_quiet(call, node->object, 0);
}

static void
terminated(struct verifier *verifier, struct call *call)
{
    if (!call->tree || call_by_ndis(call) || call->crossing->veto != CROSSING_GO)
        return;
    for (const struct shadow_node *node = call->tree->first; node; node = node->next) {
        if (!node->object || node->object->life != SHADOW_TERMINATING)
            continue;
        if (node->object->layer == SHADOW_TCP)
            terminated_tcp(verifier, call, node);
        else
            terminated_other(call, node);
    }
}

/* ---- V-152 ---- */

/* With another answer than that it comes back; where the connection is lost, that is said. */
static bool
is_served(const struct shadow_nbl *nbl, NDIS_STATUS status)
{
    const struct shadow_object *object = nbl->object;
    bool lost = object->aborted || object->host_aborted ||
                object->retrieve_reason == HardwareFailure;

    if (status == NDIS_STATUS_REQUEST_ABORTED)
        return !lost;
    if (status == NDIS_STATUS_REQUEST_UPLOAD || status == NDIS_STATUS_UPLOAD_REQUESTED)
        return !nbl->adapter->is_im; /* V-086 */
    return status != NDIS_STATUS_UPLOAD_IN_PROGRESS;
}

/* An intermediate driver may ask for an upload of its own and still pass on what comes. */
static void
sent(struct verifier *verifier, struct call *call)
{
    const struct shadow_adapter *adapter = call->adapter;

    if (call_by_ndis(call))
        return;
    for (NET_BUFFER_LIST *nbl = call->crossing->nbls; nbl; nbl = nbl->Next) {
        const struct shadow_nbl *shadow = shadow_nbl_find(verifier, nbl, SHADOW_SEND,
                                                          call->binding);
        if (!shadow || !shadow->object || !is_served(shadow, nbl->Status))
            continue;
        if (shadow->object->stopped_at && shadow->number > shadow->object->stopped_at)
            report(call, 152, BLAME_CALLER, shadow->object->handle,
                   "a send after a mandatory retrieve completes 0x%08x", (unsigned)nbl->Status);
        else if (adapter->uploading_all && !adapter->is_im &&
                 shadow->number > adapter->upload_all_number)
            report(call, 152, BLAME_CALLER, shadow->object->handle,
                   "a send after UPLOAD_ALL completes 0x%08x", (unsigned)nbl->Status);
    }
}

/* ---- V-156, V-157: power ---- */

static bool
power_goes(const NDIS_OID_REQUEST *request)
{
    const struct _SET *set = request ? &request->DATA.SET_INFORMATION : NULL;

    return set && request->RequestType == NdisRequestSetInformation &&
           set->Oid == OID_PNP_SET_POWER && set->InformationBuffer &&
           set->InformationBufferLength >= sizeof(NDIS_DEVICE_POWER_STATE) &&
           *(NDIS_DEVICE_POWER_STATE *)set->InformationBuffer != NdisDeviceStateD0;
}

static void
oid_issued(struct verifier *verifier, struct call *call)
{
    size_t left = 0;

    if (!call->adapter || !call->binding || call->binding->im_above ||
        !power_goes(call->crossing->data))
        return;
    list_for_each(object, &call->adapter->objects, struct shadow_object, link)
        left += object->binding == call->binding;
    if (left)
        report(call, 157, BLAME_CALLER, NULL, "%zu objects are still offloaded", left);
}

static void
check_power(const struct call *call, const NDIS_OID_REQUEST *request, enum blame blame)
{
    if (call->adapter && call->crossing->status == NDIS_STATUS_SUCCESS && power_goes(request) &&
        !list_empty(&call->adapter->objects))
        report(call, 156, blame, NULL, "objects are still offloaded");
}

static void
oid_completed(struct verifier *verifier, struct call *call)
{
    if (!call_by_ndis(call))
        check_power(call, call->crossing->data, BLAME_CALLER);
}

/* The request is still there when it was answered at once. */
static void
oid_returned(struct verifier *verifier, struct call *call)
{
    if (call->crossing->status == NDIS_STATUS_SUCCESS)
        check_power(call, call->root, BLAME_CALLEE);
}

const struct family terminate_family = {
    .before = {[CROSSING_TERMINATE_COMPLETE] = terminated,
               [CROSSING_QUERY_COMPLETE] = queried,
               [CROSSING_TCP_SEND_COMPLETE] = sent,
               [CROSSING_OID] = oid_issued,
               [CROSSING_OID_COMPLETE] = oid_completed},
    .after = {[CROSSING_OID] = oid_returned},
};
