/*
 * team: several adapters under one virtual adapter. A struct team is the floor's adapter, with a
 * list of members, each a binding. Two questions are asked of it all the time: which member frames
 * go through (active), and which the offloaded connections are at (offload, of whose binding
 * floor.lower is the handle).
 * They differ during a fail-over only.
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

struct team_member {
    struct list link; /* team.members, in the order they were bound */
    struct team *team;
    NDIS_HANDLE lower;        /* binding; NULL: not open yet */
    NDIS_HANDLE bind, unbind; /* context of the answer owed; NULL: none */
    bool running;             /* between restart and pause */
    bool asleep;              /* without power */
    NDIS_LINK_STATE link_state;
    bool failed;  /* by order */
    bool stopped; /* its OFFLOAD_PAUSE or UPLOAD_ALL is in force */
    bool has_chimney;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    ULONG frames_down, frames_up;
    ULONG indicated; /* received NBLs of connections, not returned */
    NDIS_HANDLE pools[TEAM_POOLS];
    PNET_PNP_EVENT_NOTIFICATION event; /* pause or loss of power: the answer is owed */

    NDIS_OID_REQUEST request; /* the one that is below */
    bool asked;               /* it is the team's, copied from floor.original */
    bool catching_up;         /* it is one of team.sets, for a member that was not there then */
    unsigned caught_up;       /* so many of them have been answered */
    unsigned heard;           /* team.sets_number when it had heard them all */

    char name[FLOOR_NAME_SIZE]; /* of the adapter below */
};

struct team {
    struct floor_adapter floor; /* lower: of the member that offloads go to */
    struct list link;           /* all teams */
    struct list members;
    ULONG bindings;              /* members, and those that are closing */
    struct team_member *stand;   /* the virtual adapter stands on it; NULL: there is none */
    struct team_member *active;  /* frames go through it; NULL: no member */
    struct team_member *offload; /* floor.lower is its; NULL: no member */
    bool draining;               /* OFFLOAD_PAUSE and UPLOAD_ALL were said, RESUME is owed */
    bool power_told;             /* the drivers above think that there is no power */
    unsigned switches;

    ULONG asked; /* members that have not answered floor.original */
    NDIS_STATUS answer;
    struct team_set sets[TEAM_SETS];
    unsigned sets_number;       /* counts up with every change */
    NDIS_LINK_STATE link_state; /* as the drivers above know it */
};

static inline struct team *
team_of(struct floor_adapter *adapter)
{
    return container_of(adapter, struct team, floor);
}

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

#endif
