/*
 * team: several adapters under one virtual adapter. A struct team is the floor's adapter, with a
 * list of members, each a binding. Two questions are asked of it all the time: which members frames
 * go through, and which the offloaded connections are at (used). They differ during a fail-over
 * only. In mode backup each is one member: active, and offload, of whose binding floor.lower is the
 * handle. In mode hash they are all that can be used; active is the first of them, for what is of
 * no flow.
 *
 * Threads: one, the loop's.
 */
#ifndef INTERMEDIATE_TEAM_TEAM_H
#define INTERMEDIATE_TEAM_TEAM_H

#include "intermediate/floor/floor.h"

#define TEAM_SETS 8  /* requests that a later member must hear, by OID */
#define TEAM_POOLS 4 /* pools that a member's received NBLs come from, the latest */

struct team_set {
    NDIS_OID oid;
    ULONG length;
    UCHAR *bytes; /* NULL: free */
};

union team_stats {
    TCP_OFFLOAD_STATS tcp;
    IP_OFFLOAD_STATS ip;
};

struct team_member {
    struct list link; /* team.members, in the order they were bound */
    struct team *team;
    NDIS_HANDLE lower;        /* binding; NULL: not open yet */
    NDIS_HANDLE bind, unbind; /* context of the answer owed; NULL: none */
    bool running;             /* between restart and pause */
    bool asleep;              /* without power */
    NDIS_LINK_STATE link_state;
    bool failed;  /* by order */
    bool used;    /* connections are offloaded to it, or may be */
    bool stopped; /* its OFFLOAD_PAUSE or UPLOAD_ALL is in force */
    bool has_chimney;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    ULONG frames_down, frames_up;
    ULONG indicated;         /* received NBLs of connections, not returned */
    struct list connections; /* team_offload.at: those that are here */
    struct list places;      /* team_place.at */
    ULONG connection_count;
    NDIS_HANDLE pools[TEAM_POOLS];
    PNET_PNP_EVENT_NOTIFICATION event; /* pause or loss of power: the answer is owed */

    NDIS_OID_REQUEST request; /* the one that is below */
    bool asked;               /* it is the team's, copied from floor.original */
    bool catching_up;         /* it is one of team.sets, for a member that was not there then */
    unsigned caught_up;       /* so many of them have been answered */
    unsigned heard;           /* team.sets_number when it had heard them all */
    union team_stats stats;   /* what it answered, for a sum */

    char name[FLOOR_NAME_SIZE]; /* of the adapter below */
};

struct team {
    struct floor_adapter floor; /* lower: of the member that offloads go to */
    struct list link;           /* all teams */
    struct list members;
    bool hash;                   /* the mode */
    ULONG bindings;              /* members, and those that are closing */
    struct team_member *stand;   /* the virtual adapter stands on it; NULL: there is none */
    struct team_member *active;  /* frames go through it; NULL: no member */
    struct team_member *offload; /* floor.lower is its; NULL: no member */
    struct list splits;          /* those under way */
    struct list finished;        /* those of which nothing goes down */
    ULONG initiates;             /* splits on their way */
    struct list holding;         /* team_offload.held: those with an event that waits */
    bool draining;               /* OFFLOAD_PAUSE and UPLOAD_ALL were said, RESUME is owed */
    bool power_told;             /* the drivers above think that there is no power */
    unsigned switches;

    ULONG asked; /* members that have not answered floor.original */
    NDIS_STATUS answer;
    bool summing; /* floor.original asks for statistics, and all are asked */
    union team_stats sum;
    struct team_set sets[TEAM_SETS];
    unsigned sets_number;       /* counts up with every change */
    NDIS_LINK_STATE link_state; /* as the drivers above know it */
};

static inline struct team *
team_of(struct floor_adapter *adapter)
{
    return container_of(adapter, struct team, floor);
}

/* An offload entry. */
struct team_offload {
    struct floor_offload floor; /* lower: of a connection its handle at its member */
    struct team_member *member; /* of a connection where it is; NULL: it is none, or nowhere */
    struct list at;             /* member.connections */
    struct list places;         /* of a neighbor or path, in mode hash: where it is */
    uint64_t flow;              /* of a path, in mode hash: the hash of its addresses */
    bool extended;              /* of a connection: TCP_FLAG_STATE_EXTENDED */
    struct list held;           /* team.holding */
    ULONG held_reason;          /* of a Retrieve that waits; 0: none */
    ULONG held_backlog;         /* of a SendBacklogChange, if backlog_held */
    bool backlog_held;
};

/* A neighbor or path at one member; as long as its entry, or until an initiate has failed there. */
struct team_place {
    struct list link; /* entry.places */
    struct list at;   /* member.places */
    struct team_offload *entry;
    struct team_member *member; /* NULL: it has left */
    NDIS_OFFLOAD_HANDLE lower;  /* its handle there */
};

static inline struct team_offload *
team_offload_of(struct floor_offload *entry)
{
    return container_of(entry, struct team_offload, floor);
}

/* ---- place.c: what is offloaded where ---- */

/* The floor's hooks. */
void team_offload_made(struct floor_offload *entry);
void team_offload_gone(struct floor_offload *entry);
/* A connection is at that member, or, with NULL, nowhere any more. */
void team_locate(struct team_offload *entry, struct team_member *member);
/* Of a neighbor or path. false: out of memory. */
bool team_place_add(struct team_offload *entry, struct team_member *member);
/* It is not there after all: neighbor, path or connection. */
void team_place_drop(struct team_offload *entry, const struct team_member *member);
/* Its handle there; NULL: it is not there. */
PNDIS_OFFLOAD_HANDLE team_handle_at(struct team_offload *entry, const struct team_member *member);
/* At how many members it was offloaded, those that have left included. */
ULONG team_place_count(const struct team_offload *entry);
/* A member leaves: what is still there can be reached no more. */
void team_strand(struct team_member *member);
INDICATE_OFFLOAD_EVENT_HANDLER_FN TeamIndicateOffloadEvent;

/* ---- event.c ---- */
TCP_OFFLOAD_EVENT_HANDLER_FN TeamTcpOffloadEvent;
/* Those that can be told now. */
void team_release_events(struct team *team);

/* ---- hash.c: flows ---- */

/* Both directions of a flow have the same. size: 4 or 16 bytes, network order. */
uint64_t team_flow_addresses(const UCHAR *one, const UCHAR *other, size_t size);
/* ports: network order. */
uint64_t team_flow_ports(uint64_t addresses, USHORT one, USHORT other);
/* Of a frame, from its first byte on, which may be cut short. false: it is of no flow. */
bool team_flow_frame(const UCHAR *frame, size_t length, uint64_t *flow);
/* Of those members for which in holds; NULL: there are none. */
struct team_member *team_choose(const struct team *team, uint64_t flow,
                                bool (*in)(const struct team_member *member));

/* ---- split.c, merge.c: state operations in mode hash ---- */

/* One tree from above, while parts of it are below. */
struct team_split {
    struct list link; /* team.splits, team.finished */
    struct team *team;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root;
    struct floor_call *call;
    struct list parts;           /* team_part */
    ULONG outstanding;           /* of them */
    struct team_part *last;      /* not passed down yet: it has the connections; NULL: none */
    struct team_member *goes_to; /* the connections that are offered; NULL: nowhere */
    UINT bytes;
    struct team_split_node {
        ULONG parent;         /* index; TEAM_NO_PARENT */
        uint64_t flow;        /* of a path */
        bool elsewhere;       /* a connection that belongs to another member than the first */
        bool blocked, wanted; /* scratch: at the member that is looked at */
        ULONG tried, through; /* scratch: its dependents */
    } nodes[];                /* as those of call */
};

#define TEAM_NO_PARENT ((ULONG)-1)

/* What of it goes to one member: blocks of our own, with copies of the state. */
struct team_part {
    struct list link;
    struct team_split *split;
    struct team_member *member;
    UINT bytes;
    struct team_copy {
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block; /* NULL: not in this part */
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST last;  /* of its dependents, so far */
        bool named;                              /* not a placeholder there */
    } copies[];                                  /* as the nodes of call; the blocks follow */
};

/* Bytes of state that follow a block and are part of the operation. */
size_t team_state_bytes(const struct floor_call *call, const struct floor_node *node);
/* The floor's hook. */
void team_pass_down(struct floor_adapter *adapter, struct floor_call *call,
                    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root);
void team_split_free(struct team_split *split);
/* Nothing but split.last is left to be done. */
void team_pass_last(struct team_split *split);
/* A member leaves: what has not gone there has failed. */
void team_fail_last(struct team_member *member);
/* A part has come up. */
void team_part_up(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root);
/* From the work item: those of which no part went down. */
void team_finish_splits(struct team *team);

/* ---- control.c ---- */
extern struct list team_list;

/* ---- member.c: binds and unbinds, events ---- */
PROTOCOL_BIND_ADAPTER_EX TeamBindAdapterEx;
PROTOCOL_UNBIND_ADAPTER_EX TeamUnbindAdapterEx;
PROTOCOL_OPEN_ADAPTER_COMPLETE_EX TeamOpenAdapterCompleteEx;
PROTOCOL_CLOSE_ADAPTER_COMPLETE_EX TeamCloseAdapterCompleteEx;
PROTOCOL_NET_PNP_EVENT TeamNetPnPEvent;
/* A member has heard all it had to hear before it can be used. */
void team_member_ready(struct team_member *member);
/* Whether those above were told that there is no power, and there is. */
bool team_has_power_again(const struct team *team);
/* Tells them, if so. */
void team_tell_power(struct team *team);

/* ---- move.c: who is used ---- */

/* After whatever may change who is used. */
void team_update(struct team *team, const char *why);
/* Nothing is offloaded, and nothing on its way there or back. */
bool team_drained(const struct team *team);
/* Its pause, or its loss of power, need not wait any longer. */
bool team_member_quiet(const struct team_member *member);
/* The floor's hooks. */
void team_settle(struct floor_adapter *adapter);
void team_work(struct floor_adapter *adapter);
bool team_usable(const struct team_member *member);
/* Frames go through it. */
bool team_carries(const struct team_member *member);
bool team_used(const struct team_member *member);
/* Offloading is not allowed by one that is used. */
bool team_stopped(const struct team *team);
/* What all members can do; what those can that are used, if any are. */
void team_capabilities(const struct team *team, NDIS_TCP_CONNECTION_OFFLOAD *can);
/* RESUME, with new capabilities, unless something stands against it. */
void team_resume(struct team *team);
PROTOCOL_STATUS_EX TeamStatusEx;

/* ---- receive.c ---- */
TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER_FN TeamTcpOffloadReceiveIndicate;
W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN TeamTcpOffloadReceiveReturn;
void team_tree_up(struct floor_adapter *adapter, struct floor_call *call);

/* ---- frames.c ---- */
MINIPORT_SEND_NET_BUFFER_LISTS TeamSendNetBufferLists;
MINIPORT_CANCEL_SEND TeamCancelSend;
MINIPORT_RETURN_NET_BUFFER_LISTS TeamReturnNetBufferLists;
PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE TeamSendNetBufferListsComplete;
PROTOCOL_RECEIVE_NET_BUFFER_LISTS TeamReceiveNetBufferLists;

/* ---- request.c ---- */
MINIPORT_OID_REQUEST TeamOidRequest;
MINIPORT_CANCEL_OID_REQUEST TeamCancelOidRequest;
PROTOCOL_OID_REQUEST_COMPLETE TeamOidRequestComplete;
/* A member that joins hears what the others have heard; team_member_ready follows. */
void team_catch_up(struct team_member *member);
void team_forget_sets(struct team *team);

/* ---- stats.c: sums of statistics, in mode hash ---- */

/* Whether the request is for what can be summed up; then the sum is zero now. */
bool team_sum_begin(struct team *team, const NDIS_OID_REQUEST *request);
/* member asks for its own. */
void team_sum_ask(struct team_member *member);
void team_sum_add(struct team_member *member);
/* Into the original. */
void team_sum_end(struct team *team);

#endif
