/*
 * An intermediate driver that passes everything through: both edges, one virtual adapter per
 * binding, named after the bind's section, so that it can be stacked on itself. It behaves well
 * unless a mutation is in force (mutant.h).
 *
 * Per offloaded object an entry (the way up, and our handle for below), per state operation a call
 * (what the overlay of the two block forms destroys). Source:
 * G:reusing-an-ndis-protocol-offload-block-list-structure,
 * G:referencing-offloaded-state-through-an-intermediate-driver.
 *
 * Threads: one.
 */
#ifndef TESTS_VERIFIER_BAD_IM_H
#define TESTS_VERIFIER_BAD_IM_H

#include "base/list.h"
#include "stream.h"

#define BI_TAG 0x6d696269u
#define BI_NODES 24
#define BI_NAME 16

struct bad_im {
    NDIS_HANDLE miniport, protocol;
    struct list floors;

    /* ---- orders ---- */
    bool no_memory;  /* sends and initiates find none */
    bool fail_binds; /* after the virtual adapter was asked for */

    /* ---- what happened ---- */
    unsigned refused, cancelled, beats;
};

struct bi_floor {
    struct list link; /* im.floors */
    struct bad_im *im;
    NDIS_HANDLE lower, upper; /* binding; miniport handle, NULL: not initialised */
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS up;
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES general;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    bool has_chimney, lower_running, upper_running;

    struct list entries;
    unsigned calls, frames_down, frames_up;
    bool pausing;                      /* NdisMPauseComplete is owed */
    PNET_PNP_EVENT_NOTIFICATION pause; /* NdisCompleteNetPnPEvent is owed */
    NDIS_EVENT halted;
    NDIS_HANDLE work, timer;
    NDIS_SPIN_LOCK lock;
    bool work_queued;

    struct list refused;              /* trees that complete, failed, in the work item */
    struct stream_chain refused_nbls; /* sends */

    NDIS_OID_REQUEST request;
    PNDIS_OID_REQUEST original; /* NULL: none is below */

    NDIS_STRING instance;
    WCHAR name[BI_NAME];
};

struct bi_entry {
    struct list link; /* floor.entries */
    struct bi_floor *floor;
    NDIS_HANDLE upper;
    NDIS_OFFLOAD_HANDLE own;
};

struct bi_call {
    unsigned count;
    struct bi_node {
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
        PVOID *cell;
        NDIS_HANDLE handle;
        PVOID reserved[2], source;
        struct bi_entry *entry; /* NULL: placeholder */
        bool fresh;
    } nodes[BI_NODES];
};

NDIS_STATUS bad_im_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

/* ---- between the files of the driver ---- */

void bi_kick(struct bi_floor *floor);
/* Gives the answers that nothing under way delays any more. */
void bi_settle(struct bi_floor *floor);
void bi_refused_complete(struct bi_floor *floor);
void bi_entry_free(struct bi_entry *entry);
/* An NBL context of ours, with the SourceHandle as it was; false: out of memory. */
bool bi_context_add(NET_BUFFER_LIST *nbl, struct bi_floor *floor);
void bi_context_remove(NET_BUFFER_LIST *nbl);

W_INITIATE_OFFLOAD_HANDLER_FN bi_initiate;
W_TERMINATE_OFFLOAD_HANDLER_FN bi_terminate;
W_UPDATE_OFFLOAD_HANDLER_FN bi_update;
W_INVALIDATE_OFFLOAD_HANDLER_FN bi_invalidate;
W_QUERY_OFFLOAD_HANDLER_FN bi_query;
W_TCP_OFFLOAD_SEND_HANDLER_FN bi_send;
W_TCP_OFFLOAD_RECEIVE_HANDLER_FN bi_receive;
W_TCP_OFFLOAD_DISCONNECT_HANDLER_FN bi_disconnect;
W_TCP_OFFLOAD_FORWARD_HANDLER_FN bi_forward;
W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN bi_receive_return;
INITIATE_OFFLOAD_COMPLETE_HANDLER_FN bi_initiate_complete;
TERMINATE_OFFLOAD_COMPLETE_HANDLER_FN bi_terminate_complete;
UPDATE_OFFLOAD_COMPLETE_HANDLER_FN bi_update_complete;
INVALIDATE_OFFLOAD_COMPLETE_HANDLER_FN bi_invalidate_complete;
QUERY_OFFLOAD_COMPLETE_HANDLER_FN bi_query_complete;
INDICATE_OFFLOAD_EVENT_HANDLER_FN bi_offload_event;
TCP_OFFLOAD_SEND_COMPLETE_HANDLER_FN bi_send_complete;
TCP_OFFLOAD_RECEIVE_COMPLETE_HANDLER_FN bi_receive_complete;
TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER_FN bi_disconnect_complete;
TCP_OFFLOAD_FORWARD_COMPLETE_HANDLER_FN bi_forward_complete;
TCP_OFFLOAD_EVENT_HANDLER_FN bi_event;
TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER_FN bi_indicate;

MINIPORT_OID_REQUEST bi_oid;
PROTOCOL_OID_REQUEST_COMPLETE bi_oid_complete;
MINIPORT_SEND_NET_BUFFER_LISTS bi_send_frames;
MINIPORT_RETURN_NET_BUFFER_LISTS bi_return_frames;
PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE bi_frames_sent;
PROTOCOL_RECEIVE_NET_BUFFER_LISTS bi_receive_frames;
PROTOCOL_STATUS_EX bi_status;

#endif
