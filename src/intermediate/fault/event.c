/*
 * Events, and uploads that are asked for here. What completed before an event is told before it. An
 * event that can wait does so while an initiate is under way above (V-137), of which the target may
 * not know; uploads are asked for in the next turn, because what sets them off is a call in
 * progress.
 */
#include "intermediate/fault/fault.h"

static bool
is_mandatory(ULONG reason)
{
    return reason <= UploadRequested;
}

static void
raise_event(struct fault_offload *entry, ULONG type, ULONG info)
{
    entry->floor.adapter->events.NdisTcpOffloadEventHandler(entry->floor.upper, type, info);
}

VOID
FaultTcpOffloadEvent(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct fault_offload *entry = fault_offload_of(floor_offload_of(OffloadContext));
    struct fault *fault = fault_of(entry->floor.adapter);
    bool optional = EventType == TcpIndicateRetrieve && !is_mandatory(EventSpecificInformation);

    fault_let_go(fault, FAULT_SENT, FAULT_DISCONNECTED, false);
    entry->half_closed |= EventType == TcpIndicateDisconnect || EventType == TcpIndicateAbort;
    entry->aborted |= EventType == TcpIndicateAbort;
    if (fault->initiates && EventType == TcpIndicateSendBacklogChange) {
        entry->late = true;
        entry->late_backlog = EventSpecificInformation;
    } else if (fault->initiates && optional) {
        entry->late_reason = EventSpecificInformation;
    } else {
        FloorTcpOffloadEvent(OffloadContext, EventType, EventSpecificInformation);
    }
}

/* ---- uploads ---- */

static void
wish(struct fault_offload *entry, ULONG reason)
{
    if (!entry->wish || (is_mandatory(reason) && !is_mandatory(entry->wish)))
        entry->wish = reason;
}

void
fault_wish(struct fault_offload *entry, ULONG reason)
{
    wish(entry, reason);
    fault_ring(fault_of(entry->floor.adapter));
}

void
fault_segment(struct fault_offload *entry, ULONG count)
{
    struct fault_script *script = &fault_of(entry->floor.adapter)->script;
    ULONG before = entry->segments;

    entry->segments += count;
    for (ULONG i = 0; i < script->count; i++) {
        const struct fault_rule *rule = &script->rules[i];

        if (rule->point == FAULT_ON_SEGMENTS && before < rule->number &&
            entry->segments >= rule->number)
            fault_wish(entry, rule->reason);
    }
}

static void
grant(struct fault_offload *entry)
{
    ULONG reason = entry->wish;

    entry->wish = 0;
    if (!reason || entry->terminating || entry->stopped || entry->aborted ||
        (!is_mandatory(reason) && entry->half_closed))
        return;
    fault_let_go(fault_of(entry->floor.adapter), FAULT_SENT, FAULT_DISCONNECTED, false);
    entry->stopped = is_mandatory(reason);
    raise_event(entry, TcpIndicateRetrieve, reason);
}

static void
tell_late(struct fault_offload *entry)
{
    ULONG reason = entry->late_reason;
    bool late = entry->late;

    entry->late = false;
    entry->late_reason = 0;
    if (entry->terminating)
        return;
    if (late)
        raise_event(entry, TcpIndicateSendBacklogChange, entry->late_backlog);
    if (reason && !entry->half_closed)
        raise_event(entry, TcpIndicateRetrieve, reason);
}

void
fault_tell(struct fault *fault)
{
    list_for_each(entry, &fault->conns, struct fault_offload, link) {
        if (fault->initiates)
            return; /* rings when it is completed */
        tell_late(entry);
        grant(entry);
    }
}

uint64_t
fault_next_time(struct fault *fault, uint64_t now_ms)
{
    uint64_t next = 0;

    for (ULONG i = 0; i < fault->script.count; i++) {
        struct fault_rule *rule = &fault->script.rules[i];
        uint64_t at = fault->opened_ms + rule->number;

        if (rule->point != FAULT_ON_TIME || rule->count)
            continue;
        if (at > now_ms) {
            next = !next || at < next ? at : next;
            continue;
        }
        rule->count = 1;
        fault->ringing = true;
        list_for_each(entry, &fault->conns, struct fault_offload, link)
            wish(entry, rule->reason);
    }
    return next;
}
