/*
 * Whether a neighbor is still there. Two ages are kept: when the host stack last knew (HRT), when
 * the target last saw a sign (NRT). Something of ours acknowledged is a sign; so is data in order,
 * for without our acknowledgements a peer stops after a window. When both are older than
 * NceStaleTicks and something is to be sent, the host stack is asked, and answers in place; what it
 * then does about the neighbor is its business (an update, or an invalidate). An answer that is
 * stale itself is no reason to ask again for every segment: the next question comes as long after.
 *
 * NceStaleTicks 0: never asked. Source: chimney 7; V-141.
 */
#include "target/soft/conn.h"

#include <string.h>

/* The block and its states lie as NDIS_OFFLOAD_STATE_FIRST and _NEXT look for them. */
struct question {
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    NEIGHBOR_OFFLOAD_STATE_CONST constant __attribute__((aligned(8)));
    NEIGHBOR_OFFLOAD_STATE_CACHED cached __attribute__((aligned(8)));
    NEIGHBOR_OFFLOAD_STATE_DELEGATED delegated __attribute__((aligned(8)));
};

const uint8_t *
soft_neighbor_own(const struct soft_neighbor *neighbor)
{
    static const uint8_t none[6];

    return memcmp(neighbor->constant.DlSourceAddress, none, 6)
               ? neighbor->constant.DlSourceAddress
               : wire_mac(neighbor->object.adapter->wire);
}

void
soft_neighbor_heard(struct soft_neighbor *neighbor, ULONG host_delta)
{
    const struct soft_adapter *adapter = neighbor->object.adapter;

    neighbor->host_us = soft_now_us(adapter) - soft_ticks_us(adapter, host_delta);
}

ULONG
soft_neighbor_age(const struct soft_neighbor *neighbor)
{
    const struct soft_adapter *adapter = neighbor->object.adapter;

    return soft_us_ticks(adapter, soft_now_us(adapter) - neighbor->progress_us);
}

static void
ask(struct soft_neighbor *neighbor)
{
    struct soft_adapter *adapter = neighbor->object.adapter;
    struct question question;

    memset(&question, 0, sizeof question);
    question.block.Header.Type = NeighborOffloadState;
    question.block.Header.Revision = NDIS_OFFLOAD_BLOCK_LIST_REVISION_1;
    question.block.Header.Size = sizeof question.block;
    question.block.NdisOffloadHandle = neighbor->object.handle;
    question.constant = neighbor->constant;
    question.cached = neighbor->cached;
    question.delegated.Header.Length = sizeof question.delegated;
    question.delegated.NicReachabilityDelta = soft_neighbor_age(neighbor);
    neighbor->asked_us = soft_now_us(adapter);
    NdisMOffloadEventIndicate(adapter->handle, &question.block, NeighborReachabilityQuery);
    soft_neighbor_heard(neighbor, question.cached.HostReachabilityDelta);
}

void
soft_neighbor_check(struct soft_conn *conn)
{
    const struct soft_adapter *adapter = conn->object.adapter;
    struct soft_neighbor *neighbor = soft_path_neighbor(soft_conn_path(conn));
    uint64_t now_us = soft_now_us(adapter), stale_us = adapter->params.stale_us;

    if (!stale_us || now_us - neighbor->progress_us <= stale_us ||
        now_us - neighbor->host_us <= stale_us || now_us - neighbor->asked_us <= stale_us)
        return;
    if (conn->phase == SOFT_OPEN && !adapter->initiates) /* V-137 */
        ask(neighbor);
}
