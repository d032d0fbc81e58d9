/*
 * What all data calls have in common: a list of NBLs goes down, the answer is PENDING, and each NBL
 * comes back once, on nobody's stack, with what was done to it written in it.
 *
 * A completion is judged by what the shadow remembers of the posting: the poison that track_data.c
 * wrote tells whether a status was set at all, the lengths and MDLs tell what was advanced, a hash
 * of the data tells whether its owner kept away from it. A list is judged NBL by NBL, and the first
 * may change what holds for the second (the order, V-075); so shadow_nbl.done, and what send.c and
 * receive.c note on the connection, are written here and not by track_data.c.
 *
 * What NDIS refused comes back from NDIS; drivers answer for nothing in it, also not the one that
 * passes it up.
 */
#include "verifier/nbls.h"

#include <string.h>

/* ---- going down ---- */

const struct shadow_nbl *
nbl_under_way(struct verifier *verifier, const NET_BUFFER_LIST *nbl,
              const struct shadow_binding *binding)
{
    static const enum shadow_kind posted[] = {SHADOW_SEND, SHADOW_RECEIVE, SHADOW_DISCONNECT,
                                              SHADOW_FORWARD, SHADOW_FRAME};

    for (size_t i = 0; i < sizeof(posted) / sizeof(posted[0]); i++) {
        const struct shadow_nbl *found = shadow_nbl_find(verifier, nbl, posted[i], binding);

        if (found)
            return found;
    }
    return NULL;
}

bool
nbls_post(struct verifier *verifier, struct call *call, const struct nbl_rules *rules)
{
    if (shadow_nbls_cut(call->crossing->nbls)) {
        report(call, rules->shape, BLAME_CALLER, call->nbl, "the list runs into itself");
        call->crossing->veto = CROSSING_DROP;
        return false;
    }
    if (call->object && call->object->life == SHADOW_INITIATING && rules->early)
        report(call, rules->early, BLAME_CALLER, call->crossing->object,
               "its initiate is outstanding");
    for (const NET_BUFFER_LIST *nbl = call->nbl; nbl; nbl = nbl->Next) {
        if (nbl_under_way(verifier, nbl, call->binding)) {
            report(call, 85, BLAME_CALLER, nbl, "NBL %p is under way already", (const void *)nbl);
            call->crossing->veto = CROSSING_DROP;
            return false;
        }
        if (!nbl_fits(nbl)) {
            report(call, rules->shape, BLAME_CALLER, nbl,
                   "NBL %p has no NET_BUFFER, or data beyond its MDLs", (const void *)nbl);
            call->crossing->veto = CROSSING_REFUSE;
            return false;
        }
    }
    return true;
}

void
nbls_answered(struct call *call, const struct nbl_rules *rules)
{
    if (call->crossing->refused || call->crossing->status == NDIS_STATUS_PENDING)
        return;
    report(call, rules->answer, BLAME_CALLEE, call->crossing->object, "it answered 0x%08x",
           (unsigned)call->crossing->status);
}

/* An intermediate driver sends the same NBL on, so it is under way above already. */
static bool
mark_above(struct verifier *verifier, const struct shadow_nbl *nbl, bool went_down)
{
    bool any = false;

    for (struct table_entry *entry = table_find_older(&nbl->entry); entry;
         entry = table_find_older(entry)) {
        struct shadow_nbl *above = container_of(entry, struct shadow_nbl, entry);

        any = true;
        if (above->adapter->driver == nbl->binding->driver)
            above->went_down = went_down;
    }
    return any;
}

/* The data is looked at where its owner posts it. */
void
nbl_note_posted(struct verifier *verifier, struct shadow_nbl *nbl, bool data)
{
    if (mark_above(verifier, nbl, true) || !data || !nbl_fits(nbl->nbl))
        return;
    nbl->hashed = true;
    nbl->hash = nbl_hash(nbl);
}

void
nbl_note_refused(struct verifier *verifier, struct shadow_nbl *nbl)
{
    nbl->refused = true;
    mark_above(verifier, nbl, false);
}

void
nbl_note_no_memory(const struct shadow_nbl *nbl)
{
    for (struct table_entry *entry = table_find_older(&nbl->entry); entry;
         entry = table_find_older(entry)) {
        struct shadow_nbl *above = container_of(entry, struct shadow_nbl, entry);

        above->no_memory_below |= above->adapter->driver == nbl->binding->driver;
    }
}

/* ---- what a target may say ---- */

bool
object_uploading(const struct shadow_object *object)
{
    return object->life == SHADOW_TERMINATING || reason_is_mandatory(object->retrieve_reason) ||
           object->adapter->paused_offload; /* */
}

bool
object_reset(const struct shadow_object *object)
{
    return object->aborted || object->host_aborted || object->failed ||
           object->retrieve_reason == HardwareFailure;
}

bool
object_host_finished(const struct shadow_object *object)
{
    switch (object->lent_state) {
    case TcpConnectionFinWait1:
    case TcpConnectionFinWait2:
    case TcpConnectionClosing:
    case TcpConnectionLastAck:
        return true;
    default:
        return false;
    }
}

bool
object_peer_finished(const struct shadow_object *object)
{
    switch (object->lent_state) {
    case TcpConnectionCloseWait:
    case TcpConnectionClosing:
    case TcpConnectionLastAck:
        return true;
    default:
        return object->peer_closed;
    }
}

/* The host stack's own mistake, reported when it was made: what comes of it is not the target's. */
static bool
came_too_late(const struct shadow_nbl *nbl)
{
    const struct shadow_object *object = nbl->object;

    if (nbl->kind != SHADOW_SEND && nbl->kind != SHADOW_DISCONNECT)
        return false;
    return object_host_finished(object) ||
           (object->host_closed_at && nbl->posting > object->host_closed_at);
}

/* Posted when the target had stopped already. */
static bool
came_after_stop(const struct shadow_nbl *nbl)
{
    return nbl->object->stopped_at && nbl->number > nbl->object->stopped_at;
}

static unsigned
stopped_rule(const struct shadow_nbl *nbl)
{
    return nbl->kind == SHADOW_SEND ? 152 : 135;
}

static unsigned
upload_rule(const struct shadow_object *object, unsigned rule)
{
    if (object->aborted)
        return 133;
    if (object_uploading(object))
        return 0;
    if (object->host_aborted)
        return 123;
    return object->retrieve_reason ? 135 : rule;
}

/* 0: it is a proper answer; otherwise the rule that it breaks. */
static unsigned
status_rule(const struct shadow_nbl *nbl, NDIS_STATUS status, unsigned rule)
{
    const struct shadow_object *object = nbl->object;

    if (object->life == SHADOW_INITIATING && status != NDIS_STATUS_SUCCESS)
        return 51; /* it will not get in */
    switch (status) {
    case NDIS_STATUS_SUCCESS:
        return came_after_stop(nbl) ? stopped_rule(nbl) : 0;
    case NDIS_STATUS_UPLOAD_IN_PROGRESS:
        return upload_rule(object, rule);
    case NDIS_STATUS_REQUEST_ABORTED:
        if (object_reset(object) || came_too_late(nbl))
            return 0;
        return came_after_stop(nbl) ? stopped_rule(nbl) : rule;
    case NDIS_STATUS_INVALID_STATE:
        return nbl->kind == SHADOW_RECEIVE && object_peer_finished(object) ? 0 : rule;
    case NDIS_STATUS_REQUEST_UPLOAD: /* V-086 */
    case NDIS_STATUS_UPLOAD_REQUESTED:
        return nbl->kind == SHADOW_SEND && nbl->adapter->is_im ? 0 : rule;
    default:
        return rule;
    }
}

/* "Bytes reported" is a rule for the graceful kind of close. */
static unsigned
result_rule(const struct nbl_rules *rules, const struct shadow_nbl *nbl)
{
    return nbl->flags & TCP_DISCONNECT_ABORTIVE_CLOSE ? rules->once : rules->result;
}

static void
check_status(struct call *call, const struct nbl_rules *rules, const struct shadow_nbl *nbl)
{
    NDIS_STATUS status = nbl->nbl->Status;
    unsigned rule;

    if (status == SHADOW_POISON) {
        report(call, result_rule(rules, nbl), BLAME_CALLER, nbl->nbl, "Status was not written");
        return;
    }
    rule = status_rule(nbl, status, rules->status);
    if (rule)
        report(call, rule, BLAME_CALLER, nbl->nbl, "status 0x%08x (retrieve reason %u%s%s)",
               (unsigned)status, nbl->object->retrieve_reason,
               nbl->object->aborted ? ", aborted" : "",
               object_uploading(nbl->object) ? ", going up" : "");
}

/* ---- coming back ---- */

/* What should be first: not those that NDIS keeps, nor those just completed. */
static const struct shadow_nbl *
oldest(const struct shadow_object *object, enum shadow_kind kind)
{
    list_for_each(nbl, &object->nbls[kind], struct shadow_nbl, link)
        if (!nbl->done && !nbl->refused)
            return nbl;
    return NULL;
}

static void
check_order(struct call *call, const struct nbl_rules *rules, const struct shadow_nbl *nbl)
{
    const struct shadow_nbl *first = oldest(nbl->object, nbl->kind);

    if (!rules->order || first == nbl)
        return;
    if (nbl->kind == SHADOW_SEND && nbl->nbl->Status == NDIS_STATUS_UPLOAD_IN_PROGRESS &&
        object_uploading(nbl->object))
        return; /* it overtakes what is returned, R-21 */
    report(call, rules->order, BLAME_CALLER, nbl->nbl, "NBL %p completes before NBL %p",
           (void *)nbl->nbl, first ? (void *)first->nbl : NULL);
}

static const char end_has_moved[] = "its data ends elsewhere than before";

/* NULL: the NET_BUFFERs have been advanced by so many bytes, the first ones first. An advance moves
 * the start of the data, never its end. */
static const char *
look_at_buffers(const struct shadow_nbl *nbl, ULONG bytes)
{
    const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl->nbl);
    const char *wrong = NULL;

    for (size_t i = 0; i < nbl->buffer_count; i++, nb = NET_BUFFER_NEXT_NB(nb)) {
        const struct shadow_buffer *before = &nbl->buffers[i];
        ULONG step = bytes < before->length ? bytes : before->length;

        if (!nb)
            return "NET_BUFFERs are missing";
        if (NET_BUFFER_FIRST_MDL(nb) != before->chain)
            return "MDLs are missing";
        if (NET_BUFFER_DATA_OFFSET(nb) != before->offset + step)
            return "a NET_BUFFER was not advanced by what was transferred";
        if (NET_BUFFER_DATA_LENGTH(nb) != before->length - step)
            wrong = end_has_moved;
        else if (!nb_fits(nb))
            return "a NET_BUFFER's current MDL is not where its data is";
        bytes -= step;
    }
    return nb ? "there are more NET_BUFFERs than before" : wrong;
}

static const char *
look_at_result(const struct shadow_nbl *nbl)
{
    ULONG_PTR count = (ULONG_PTR)nbl->nbl->NetBufferListInfo[TcpOffloadBytesTransferred];
    const char *wrong;

    if (nbl->kind == SHADOW_FORWARD)
        return NULL;
    if (!nbl->with_initiate && count == (ULONG_PTR)(LONG_PTR)SHADOW_POISON)
        return "the count of bytes was not written";
    if (count > nbl->length)
        return "more bytes than there were";
    wrong = look_at_buffers(nbl, (ULONG)count);
    if (!wrong && nbl->kind != SHADOW_RECEIVE && nbl->nbl->Status == NDIS_STATUS_SUCCESS &&
        count != nbl->length)
        return "SUCCESS, but not of every byte";
    return wrong;
}

/* Also of one that a terminate returns. */
bool
nbl_was_changed(const struct shadow_nbl *nbl)
{
    const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl->nbl);

    if (!nbl->hashed)
        return false;
    for (size_t i = 0; i < nbl->buffer_count; i++, nb = NET_BUFFER_NEXT_NB(nb)) {
        const struct shadow_buffer *before = &nbl->buffers[i];

        if (!nb || NET_BUFFER_FIRST_MDL(nb) != before->chain)
            return false; /* not done by its owner */
        if ((uint64_t)NET_BUFFER_DATA_OFFSET(nb) + NET_BUFFER_DATA_LENGTH(nb) !=
            (uint64_t)before->offset + before->length)
            return true;
    }
    return nbl_hash(nbl) != nbl->hash;
}

/*
 * What a target never does, its owner has done: moving the end of the data, changing the data.
 * Where its owner is not the one above, the landing there will tell.
 */
static bool
check_owner(struct call *call, const struct shadow_nbl *nbl)
{
    const char *wrong = NULL;

    if (nbl->kind == SHADOW_RECEIVE)
        return true;
    if (look_at_result(nbl) == end_has_moved)
        wrong = end_has_moved;
    else if (!look_at_result(nbl) && nbl_was_changed(nbl))
        wrong = "its data has changed";
    if (wrong && nbl->hashed)
        report(call, 85, BLAME_CALLEE, nbl->nbl, "NBL %p was out, but %s", (void *)nbl->nbl, wrong);
    return !wrong;
}

static void
check_result(struct call *call, const struct nbl_rules *rules, const struct shadow_nbl *nbl)
{
    const char *wrong = look_at_result(nbl);

    if (wrong)
        report(call, result_rule(rules, nbl), BLAME_CALLER, nbl->nbl, "%s (%u of %u)", wrong,
               nbl_transferred(nbl->nbl), nbl->length);
}

/* A context that an intermediate driver has forgotten is V-163's. */
void
nbl_check_members(struct call *call, const struct shadow_nbl *nbl)
{
    const NET_BUFFER_LIST *now = nbl->nbl;
    USHORT offset = now->Context ? now->Context->Offset : 0;

    if (now->Context != nbl->context || offset != nbl->context_offset)
        report(call, nbl->adapter->is_im ? 163 : 87, BLAME_CALLER, now,
               "NBL %p has another context than before", (const void *)now);
    if (memcmp(now->ProtocolReserved, nbl->protocol_reserved, sizeof(nbl->protocol_reserved)))
        report(call, 87, BLAME_CALLER, now, "ProtocolReserved of NBL %p has changed",
               (const void *)now);
}

static void
unknown(struct verifier *verifier, struct call *call, const struct nbl_rules *rules,
        const NET_BUFFER_LIST *nbl)
{
    const struct shadow_nbl *other = nbl_under_way(verifier, nbl, call->binding);
    const struct shadow_grave *grave = shadow_grave_find(verifier, nbl);
    unsigned rule = rules->once;

    if (other)
        rule = rules->kind == SHADOW_DISCONNECT && other->kind == SHADOW_SEND ? 125 : rule;
    else if (grave && grave->rule)
        rule = grave->rule;
    report(call, rule, BLAME_CALLER, nbl, "NBL %p is %s", (const void *)nbl,
           other ? "under way as something else" : "not under way");
    call->crossing->veto = CROSSING_DROP;
}

static void
check_one(struct verifier *verifier, struct call *call, const struct nbl_rules *rules,
          struct shadow_nbl *nbl)
{
    if (call_with_id(call, nbl->posting))
        report(call, rules->stack, BLAME_CALLER, nbl->nbl, "inside the call that posted it");
    if (!check_owner(call, nbl))
        return;
    check_status(call, rules, nbl);
    check_order(call, rules, nbl);
    check_result(call, rules, nbl);
    nbl_check_members(call, nbl);
    if (rules->more)
        rules->more(verifier, call, nbl);
}

void
nbls_complete(struct verifier *verifier, struct call *call, const struct nbl_rules *rules)
{
    for (NET_BUFFER_LIST *nbl = call->nbl; nbl; nbl = nbl->Next) {
        struct shadow_nbl *found = shadow_nbl_find(verifier, nbl, rules->kind, call->binding);

        if (!found && (verifier->blind || call_for_ndis(call)))
            continue;
        if (!found) {
            unknown(verifier, call, rules, nbl);
            return;
        }
        if (!call_for_ndis(call))
            check_one(verifier, call, rules, found);
        found->done = true;
    }
}

/* ---- the end ---- */

struct lost {
    struct verifier *verifier;
    const struct nbl_rules *rules;
};

/* With the driver that had it last: at the lowest landing. */
static void
look_for_lost(void *arg, struct table_entry *entry)
{
    const struct lost *lost = arg;
    const struct shadow_nbl *nbl = container_of(entry, struct shadow_nbl, entry);

    if (nbl->kind != lost->rules->kind || table_find(&lost->verifier->nbls, nbl->nbl) != entry)
        return;
    report_late(lost->verifier, lost->rules->once, nbl->adapter->driver->name, nbl->adapter->name,
                nbl->nbl, "NBL %p has never come back", (void *)nbl->nbl);
}

void
nbls_finish(struct verifier *verifier, const struct nbl_rules *rules)
{
    struct lost lost = {verifier, rules};

    table_each(&verifier->nbls, look_for_lost, &lost);
}
