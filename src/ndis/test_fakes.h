/*
 * A fake offload target and a fake host stack for the tests: they remember what they were called
 * with and do what the test says. Every call of interest adds a word to the trace, so that a test
 * can compare orders.
 */
#ifndef NDIS_TEST_FAKES_H
#define NDIS_TEST_FAKES_H

#include <ndischimney.h>

#include "chimney/house.h"
#include "chimney/observer.h"
#include "sys/loop.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct stage;

/* What a fake target or host is told to do; set before the driver is loaded. */
struct fake_target {
    struct stage *stage;
    NDIS_HANDLE driver, adapter; /* adapter: the one initialised last */
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS up;
    /* orders */
    bool no_chimney;      /* registers no tables, advertises nothing */
    bool no_capabilities; /* tables, but nothing advertised */
    bool missing_handler; /* leaves one out of the TCP table */
    bool types_unset;     /* Header.Type of the tables is 0 */
    bool pend_pause, pend_restart, never_answer;
    NDIS_STATUS initialize_status, restart_status;
    void (*ask)(NDIS_HANDLE adapter); /* for its options, while it initialises; NULL: it has none */
    bool pend_oid;
    NDIS_STATUS oid_status;
    bool no_direct; /* has no handler for direct requests */
    bool watched;   /* has CheckForHang and Reset */
    bool hangs, pend_reset, cannot_reset;
    NDIS_STATUS reset_status;
    BOOLEAN addressing_reset;
    bool hold_state; /* the test completes state operations itself; otherwise the next turn does */
    NDIS_STATUS object_status; /* of every new object; 0: success */
    /* what happened */
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root; /* of the operation being held */
    NET_BUFFER_LIST *nbls, *nbls_tail;      /* sends, receives … not completed yet */
    PVOID context_seen;
    ULONG flags_seen;
    size_t returned; /* NBLs that came back */
    NDIS_OID_REQUEST *oid;
    unsigned oids;
    NDIS_OID_REQUEST *direct;
    PVOID cancelled; /* id of the last cancelled send or request */
    KIRQL level;     /* of the last request, reset or shutdown */
    ULONG filter_set;
    uintptr_t last_context;
    NET_BUFFER_LIST *chain_back; /* given back in every terminated TCP block */
    /* inside */
    struct sys_task task;
    VOID(*complete)
    (NDIS_HANDLE NdisMiniportHandle, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
};

struct fake_host {
    struct stage *stage;
    NDIS_HANDLE protocol, binding;
    /* orders */
    bool no_chimney;
    bool pend_bind, pend_unbind, never_open, never_close, fail_bind, open_twice;
    bool pend_event; /* answers the next PnP event but pause and restart from a work item */
    bool no_direct;  /* has no handler for the completion of direct requests */
    NDIS_STATUS event_status;
    bool terminate_on_pause; /* host->live */
    NDIS_STATUS restart_status;
    NDIS_MEDIUM medium;
    NDIS_STATUS accept; /* of receive indications */
    ULONG consume;
    /* what happened */
    bool saw_capabilities;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    NDIS_HANDLE bind_context;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST done; /* root that completed last */
    unsigned completions;
    NET_BUFFER_LIST *nbls, *nbls_tail; /* completed */
    unsigned calls;                    /* of a completion handler for NBLs */
    PVOID object_seen;
    ULONG event_seen, information_seen;
    NDIS_STATUS status_seen;
    unsigned statuses;
    NDIS_OID_REQUEST *oid_done;
    NDIS_STATUS oid_status;
    unsigned oids_done;
    NDIS_OID_REQUEST *direct_done;
    PNET_PNP_EVENT_NOTIFICATION event;
    KIRQL level;   /* of the last completion or indication */
    size_t frames; /* received, not to be copied */
    size_t copies;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST live; /* tree to terminate when paused */
    struct sys_task task;
};

struct stage {
    struct sys_loop *loop;
    struct house *house;
    struct fake_target target;
    struct fake_host host;
    char trace[4096];
    char log[16384]; /* every line of the log at warning level and above */
};

NDIS_STATUS fake_target_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);
NDIS_STATUS fake_host_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

/* cmocka fixtures: a stage with nothing on it; and with target, adapter "nic0", host, bound. */
int stage_setup(void **state);
int stage_setup_bound(void **state);
int stage_teardown(void **state);
/* Loads both, adds "nic0", binds; the orders in stage->target and stage->host stand. */
void stage_build(struct stage *stage);
void stage_trace(struct stage *stage, const char *word);
/* Turns until nothing is due any more. */
void stage_settle(struct stage *stage);
bool stage_logged(const struct stage *stage, const char *text);

/* Completes the operation that is being held, with the statuses a good target would write. */
void fake_target_answer(struct fake_target *target);
/* Hands held NBLs back through one completion call. */
void fake_target_complete_nbls(struct fake_target *target, NDIS_TCP_OFFLOAD_SEND_COMPLETE complete,
                               NDIS_STATUS status);

/* A block with room for any three states, and its handle. */
struct test_block {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    UCHAR states[NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CONST) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_DELEGATED)] __attribute__((aligned(8)));
    NDIS_OFFLOAD_HANDLE handle;
};
/* Poisons Status and NdisReserved. The handle's own reserved member is left as it is: it is NDIS's.
 */
void test_block_init(struct test_block *block, UCHAR type);
/* neighbor → path → TCP in b[0..2], sent down and completed. */
void stage_offload(struct stage *stage, struct test_block b[3]);
void test_blocks_as_terminate(struct test_block b[3]);

/* n NBLs of one buffer each, in a list; freed with the pool. */
NDIS_HANDLE test_pool(struct stage *stage);
NET_BUFFER_LIST *test_nbls(NDIS_HANDLE pool, unsigned n);
void test_free_nbls(NET_BUFFER_LIST *nbls);
/* Appends a list to a list. */
void test_keep(NET_BUFFER_LIST **head, NET_BUFFER_LIST **tail, NET_BUFFER_LIST *nbls);
size_t test_count(NET_BUFFER_LIST *nbls);

#endif
