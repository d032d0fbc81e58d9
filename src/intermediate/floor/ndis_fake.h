/*
 * An NDIS for the tests of this floor: it records what goes down and up, keeps state operations
 * until the test answers them, counts memory, and can run out of it.
 */
#ifndef INTERMEDIATE_FLOOR_NDIS_FAKE_H
#define INTERMEDIATE_FLOOR_NDIS_FAKE_H

#include <ndis.h>
#include <ndischimney.h>

#include <stdlib.h>

#define FAKE_LOWER ((NDIS_HANDLE)0x1000)                          /* the binding below */
#define FAKE_LOWER_AT(n) ((NDIS_HANDLE)(ULONG_PTR)(0x1000 + (n))) /* the others */
#define FAKE_BINDINGS 4
#define FAKE_DOWNS 8
#define FAKE_UPPER ((NDIS_HANDLE)0x2000)    /* the virtual adapter */
#define FAKE_MINIPORT ((NDIS_HANDLE)0x3000) /* driver handles */
#define FAKE_PROTOCOL ((NDIS_HANDLE)0x4000)
#define FAKE_BIND ((NDIS_HANDLE)0x5000)
#define FAKE_UNBIND ((NDIS_HANDLE)0x6000)

#define fake_check(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct fake_call {
    const char *name; /* of the last call of this kind; NULL: none since the last fake_forget */
    ULONG count;
    PVOID handle, data;
    ULONG code;
    NDIS_STATUS status;
};

struct fake {
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS miniport;
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS protocol;
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS provider;
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS provider_tcp;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS client;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS client_tcp;
    NDIS_HANDLE miniport_context, protocol_context;
    NDIS_HANDLE bindings[FAKE_BINDINGS]; /* contexts, of those that are open */
    ULONG binding_count;
    NDIS_HANDLE binding_context, device_context, adapter_context;
    bool associated;
    PVOID attributes_seen; /* one more bit with each, in the required order */

    struct fake_call down;              /* state operation passed down; data: root */
    struct fake_call downs[FAKE_DOWNS]; /* the first ones since the last fake_forget */
    ULONG down_count;
    struct fake_call up;        /* state operation completed up; data: root */
    struct fake_call io;        /* I/O down; handle: offload handle */
    struct fake_call io_up;     /* I/O completed or indicated up */
    struct fake_call frames;    /* regular path, down */
    struct fake_call frames_up; /* regular path, up */
    struct fake_call answer;    /* binding, pause, request */
    NDIS_STATUS statuses[8];    /* indicated up */
    ULONG status_count;

    /* What NDIS answers. */
    NDIS_STATUS open_status, instance_status, close_status, request_status, indicate_status;
    ULONG indicate_consumed;
    void (*on_frames_up)(PNET_BUFFER_LIST nbls);
    void (*on_event_up)(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block); /* instead of an answer */

    NDIS_IO_WORKITEM_ROUTINE work;
    PVOID work_context;
    ULONG blocks;    /* memory, pieces out */
    int allocations; /* since the last fake_forget */
    int fail_at;     /* fails this one, counted from 0; -1: none */
};

extern struct fake fake;

/* ndis_fake_data.c: what the virtual adapter's options are; the list ends with name NULL. */
struct fake_option {
    const char *name, *value;
};
extern const struct fake_option *fake_options;

/* Loads a driver and takes it away again, without a binding. */
void fake_load(DRIVER_INITIALIZE *entry);
void fake_unload(void);
/* Loads passthru, or another one, and binds it; the state is STANDING and Running at both edges. */
void fake_stand(void);
void fake_stand_as(DRIVER_INITIALIZE *entry);
/* Unbinds and unloads; fails the test when something is still out. */
void fake_leave(void);
void fake_forget(void);
void fake_run_work(void);
void fake_bind_parameters(NDIS_BIND_PARAMETERS *parameters);
NDIS_STATUS fake_event(NET_PNP_EVENT_NOTIFICATION *event, NET_PNP_EVENT_CODE code);

/* A block alone, as root. */
void fake_single(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block, PVOID *cell, NDIS_HANDLE handle);
/* The handle that a block carries while it is below. */
PNDIS_OFFLOAD_HANDLE fake_below(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block);
/* Offloads one object; returns the context of the driver under test for it. */
PVOID fake_offload(PVOID *cell, NDIS_HANDLE handle, PVOID context_below);
void fake_terminate(PVOID *cell, NDIS_HANDLE handle);

#endif
