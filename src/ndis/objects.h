/*
 * What the handles of NDIS point at. Every object begins with struct ndis_head, whose magic tells
 * what it is; a closed object stays in memory as a grave until its house goes, so that a late
 * handle is recognised and logged, not followed.
 *
 * Threads: drivers call from any, several at once. What a crossing needs is found without a lock:
 * what handles point at neither moves nor goes away, the record of an offloaded object stands still
 * between initiate and terminate but for its state, and a block list, an NBL, a request belong to
 * whoever has them, with the members that NDIS keeps in them. States, flags and counts are atomic.
 * The rest is under the lock of the house, of an adapter or of a pool, each held for a few
 * instructions, never two at once and never while anybody is called.
 *
 * Lives are the loop's: drivers, adapters and bindings come and go on its thread alone, which turns
 * the loop while it waits for something (ndis_wait). Whoever has changed what it may be waiting for
 * rings (ndis_ring).
 */
#ifndef NDIS_OBJECTS_H
#define NDIS_OBJECTS_H

#include <ndischimney.h>

#include "base/list.h"
#include "chimney/house.h"
#include "chimney/observer.h"
#include "sys/irql.h"
#include "sys/lock.h"
#include "sys/loop.h"
#include "sys/module.h"

#include <stdatomic.h>

#define NDIS_NAME_SIZE 64
/* How long NDIS waits for a driver to answer before it logs and goes on. */
#define NDIS_PATIENCE_US (5 * 1000 * 1000ull)
#define NDIS_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define NDIS_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

enum ndis_magic {
    NDIS_MAGIC_DRIVER = 0x64726976,
    NDIS_MAGIC_TICKET = 0x7469636b,
    NDIS_MAGIC_MINIPORT = 0x6d696e69,
    NDIS_MAGIC_PROTOCOL = 0x70726f74,
    NDIS_MAGIC_ADAPTER = 0x61646170,
    NDIS_MAGIC_BINDING = 0x62696e64,
    NDIS_MAGIC_OBJECT = 0x6f626a65,
    NDIS_MAGIC_NBL_POOL = 0x6e626c70,
    NDIS_MAGIC_NB_POOL = 0x6e622070,
    NDIS_MAGIC_CONFIGURATION = 0x636f6e66,
    NDIS_MAGIC_TIMER = 0x74696d65,
    NDIS_MAGIC_WORK = 0x776f726b,
    NDIS_MAGIC_RW_LOCK = 0x72776c6b,
    NDIS_MAGIC_GRAVE = 0x67726176
};

struct ndis_head {
    _Atomic uint32_t magic;
    struct house *house;
    struct list grave; /* on house.graves once closed; timers, work items: on house.callbacks */
};

/* Keywords and values (keys.c). */
#define NDIS_ASKED_SIZE 512
struct ndis_keys {
    struct sys_lock lock;
    struct list list;
    bool listening;              /* the driver is being initialised, and should say what it knows */
    char asked[NDIS_ASKED_SIZE]; /* it did: names with ", " between them, as many as fit */
};

/* ---- drivers ---- */

struct ndis_driver {
    struct ndis_head head;
    struct list link; /* house.drivers, in the order loaded */
    char name[NDIS_NAME_SIZE];
    DRIVER_OBJECT object;
    struct sys_module *module;      /* its code, when that is a file; NULL: part of the program */
    struct ndis_keys keys;          /* what it wrote itself */
    struct ndis_miniport *miniport; /* NULL: none registered */
    struct ndis_protocol *protocol;
};

/* The upper edge of a driver: NdisMRegisterMiniportDriver. */
struct ndis_miniport {
    struct ndis_head head;
    struct ndis_driver *driver;
    NDIS_HANDLE context;
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS handlers;
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic;
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp;
    bool has_generic, has_tcp;
    struct ndis_protocol *lower_edge; /* NdisIMAssociateMiniport */
};

/* CLIENT_* tables, of a protocol or of one binding. Absent ones are filled with handlers that log.
 */
struct ndis_client {
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp;
    bool has_generic, has_tcp;
};

/* The lower edge of a driver: NdisRegisterProtocolDriver. */
struct ndis_protocol {
    struct ndis_head head;
    struct ndis_driver *driver;
    NDIS_HANDLE context;
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS handlers;
    struct ndis_client client;
    struct sys_task rebind; /* NdisReEnumerateProtocolBindings */
};

/* ---- adapters ---- */

/* The open bindings of an adapter, for those who indicate something to all of them. It only grows;
 * one that is too small is replaced, and stays as a grave for whoever is looking at it. */
struct ndis_fan {
    struct ndis_head head;
    size_t room;
    _Atomic(struct ndis_binding *) bindings[];
};

#define NDIS_ADAPTER_STATES(X)                                                                     \
    X(HALTED, "Halted")                                                                            \
    X(INITIALIZING, "Initializing")                                                                \
    X(PAUSED, "Paused")                                                                            \
    X(RESTARTING, "Restarting")                                                                    \
    X(RUNNING, "Running")                                                                          \
    X(PAUSING, "Pausing")
#define NDIS_ADAPTER_ENUM(name, text) NDIS_ADAPTER_##name,
enum ndis_adapter_state { NDIS_ADAPTER_STATES(NDIS_ADAPTER_ENUM) NDIS_ADAPTER_STATE_COUNT };

struct ndis_adapter {
    struct ndis_head head;
    struct list link; /* house.adapters */
    char name[NDIS_NAME_SIZE];
    struct ndis_miniport *miniport;
    NDIS_HANDLE context; /* MiniportAdapterContext */
    _Atomic enum ndis_adapter_state state;
    struct list bindings;           /* open ones; the loop's */
    _Atomic(struct ndis_fan *) fan; /* the same for other threads; NULL: never had one */
    _Atomic uint64_t objects;       /* initiated and not terminated through here */

    void *device;
    struct ndis_keys keys; /* the options of house_add_adapter, and what the driver wrote */
    ULONG if_index;
    NDIS_HANDLE im_context;     /* virtual adapter: DeviceContext */
    struct ndis_binding *below; /* virtual adapter: the binding it stands on */

    bool has_registration, has_general;
    _Atomic bool offload_paused;
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES general;
    struct sys_lock lock; /* for what follows, down to the requests */
    bool has_capabilities, has_parameters;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities; /* current configuration */
    NDIS_TCP_CONNECTION_OFFLOAD hardware;
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS parameters; /* as last set successfully */

    struct list oids;             /* struct ndis_oid, waiting for their turn */
    NDIS_OID_REQUEST *oid_active; /* with the miniport */
    bool oid_busy;                /* a pump is on the stack */
    struct sys_task oid_task;     /* goes on at PASSIVE_LEVEL */
    struct list direct_oids;      /* struct ndis_oid, with the miniport */
    bool has_filter;
    ULONG filter; /* the packet filter as last set successfully */
    NDIS_OID_REQUEST own_request;

    _Atomic bool low_power; /* not in D0, or on its way there */
    NDIS_DEVICE_POWER_STATE power_wanted;
    NDIS_OID_REQUEST power_request;
    _Atomic bool power_answered; /* no request of that kind is out */
    NDIS_STATUS power_answer;

    UINT hang_seconds; /* between two CheckForHang */
    struct sys_timer hang_timer;
    _Atomic bool resetting;

    _Atomic bool answered; /* to a pause or restart in progress */
    NDIS_STATUS answer;
};

/* ---- bindings ---- */

#define NDIS_BINDING_STATES(X)                                                                     \
    X(UNBOUND, "Unbound")                                                                          \
    X(OPENING, "Opening")                                                                          \
    X(PAUSED, "Paused")                                                                            \
    X(RESTARTING, "Restarting")                                                                    \
    X(RUNNING, "Running")                                                                          \
    X(PAUSING, "Pausing")                                                                          \
    X(CLOSING, "Closing")
#define NDIS_BINDING_ENUM(name, text) NDIS_BINDING_##name,
enum ndis_binding_state { NDIS_BINDING_STATES(NDIS_BINDING_ENUM) NDIS_BINDING_STATE_COUNT };

/* Calls that carry NBLs which come home later. */
enum ndis_io_kind {
    NDIS_IO_SEND,
    NDIS_IO_RECEIVE,
    NDIS_IO_DISCONNECT,
    NDIS_IO_FORWARD,
    NDIS_IO_FRAME,
    NDIS_IO_KINDS
};

struct ndis_nbl_queue {
    NET_BUFFER_LIST *head, *tail;
};

struct ndis_binding {
    struct ndis_head head;
    struct list link;  /* adapter.bindings while open */
    struct list known; /* house.bindings, also when it is a grave */
    struct ndis_protocol *protocol;
    struct ndis_adapter *adapter;
    NDIS_HANDLE context; /* ProtocolBindingContext */
    _Atomic enum ndis_binding_state state;
    _Atomic bool open;
    struct ndis_client *client; /* the protocol's, or own */
    struct ndis_client own;

    struct list objects; /* struct ndis_object; under the house's lock */
    _Atomic uint64_t object_count;
    _Atomic uint64_t operations;  /* state operations that have not been completed to the driver */
    _Atomic uint64_t indications; /* calls up that are in progress, of those that go to all */
    _Atomic(void *) forced;       /* root of a terminate that NDIS itself issued, while it is out */
    /* Undeliverable work that completes at the next turn (P14); under the house's lock. */
    struct sys_task refusal;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *refused_head, *refused_tail;
    struct ndis_nbl_queue refused_nbls[NDIS_IO_KINDS];

    /* BindContext and UnbindContext: alive during a bind and an unbind, and longer than the handle.
     */
    struct ndis_head ticket;
    _Atomic bool answered; /* to a bind or unbind in progress */
    NDIS_STATUS answer;
    PNET_PNP_EVENT_NOTIFICATION event; /* in progress */
    _Atomic bool event_answered;
    NDIS_STATUS event_answer;
    _Atomic bool unbind_wanted; /* by the driver itself */
    struct sys_task unbind;
    bool late; /* an open or a close has still to be answered */
    struct sys_task late_answer;
};

/* Heads of freed objects of one kind, oldest first. */
struct ndis_retired {
    struct list heads;
    size_t count;
};

struct house {
    /* The loop's thread, or read only. */
    struct sys_loop *loop;
    struct list drivers, adapters;
    struct list wishes; /* binds that were asked for (rebind.c) */
    struct list plans;  /* options of virtual adapters (plan.c) */
    struct observer *observers;
    struct ndis_driver *loading;      /* its entry is on the stack */
    struct ndis_binding *binding_now; /* house_bind of it is on the stack */
    ULONG last_if_index;

    /* Any thread. */
    _Atomic(const void *) thread; /* sys_thread_self of the loop's */
    _Atomic unsigned waiting;     /* ndis_wait on the loop's stack, how often */
    struct sys_task ring;         /* ends its sleep */
    struct sys_lock lock;         /* for what follows, and the lists of bindings */
    size_t objects_made;
    struct ndis_object *free_objects;
    struct list pools, graves, bindings;
    struct list callbacks; /* heads of timers and work items */
    struct ndis_retired retired_timers, retired_work;
    _Atomic NDIS_HANDLE clone_lists, clone_buffers; /* pools of clones that name none */
    bool late;                                      /* house_set_late */
};

/* This thread is the loop's, and works for this house; the house is about to go. */
void ndis_house_enter(struct house *house);
void ndis_house_leave(struct house *house);
/* The house that calls without a handle mean: the one this thread entered last, otherwise the one
 * that any thread entered last. NULL: there is none. */
struct house *ndis_house_current(void);

/* ---- heads (objects.c) ---- */
void ndis_head_init(struct ndis_head *head, enum ndis_magic magic, struct house *house);
/* Owner: head, the first member of a malloc'ed object, passes to its house. */
void ndis_bury(struct ndis_head *head);
void ndis_bad_handle(const void *handle, enum ndis_magic wanted, const char *call);
/* The house of any handle; NULL: the current one. */
struct house *ndis_house_of(NDIS_HANDLE handle);

/* handle is a live object of that kind. */
static inline bool
ndis_is(NDIS_HANDLE handle, enum ndis_magic magic)
{
    struct ndis_head *head = handle;

    return head && !((uintptr_t)head & 7) &&
           atomic_load_explicit(&head->magic, memory_order_relaxed) == magic;
}

/* NULL, and a line in the log, unless it is. */
static inline void *
ndis_checked(NDIS_HANDLE handle, enum ndis_magic magic, const char *call)
{
    if (NDIS_UNLIKELY(!ndis_is(handle, magic))) {
        ndis_bad_handle(handle, magic, call);
        return NULL;
    }
    return handle;
}

/* What a driver must give and did not: told, as a breach of no numbered rule (observe.c). */
void ndis_tell_null(const char *call);

static inline bool
ndis_given(const void *argument, const char *call)
{
    if (NDIS_UNLIKELY(!argument))
        ndis_tell_null(call);
    return argument != NULL;
}

static inline struct ndis_binding *
ndis_binding_of(NDIS_HANDLE handle, const char *call)
{
    return ndis_checked(handle, NDIS_MAGIC_BINDING, call);
}

static inline struct ndis_adapter *
ndis_adapter_of(NDIS_HANDLE handle, const char *call)
{
    return ndis_checked(handle, NDIS_MAGIC_ADAPTER, call);
}

/* ---- levels (irql.c) ---- */

/* Logged, told to the observers, and that is all. */
void ndis_irql_breach(const char *call, KIRQL limit);

/* At the beginning of every call that has a limit below DISPATCH_LEVEL. */
static inline void
ndis_at_most(KIRQL limit, const char *call)
{
    if (NDIS_UNLIKELY(sys_irql() > limit))
        ndis_irql_breach(call, limit);
}

/* Around a call of the loop into a driver. */
struct ndis_level {
    KIRQL before, level;
    unsigned locks;
};
struct ndis_level ndis_level_enter(KIRQL level);
/* Back to what it was; a driver that does not leave things as it found them is told so. */
void ndis_level_leave(const struct ndis_level *entered, const char *what);

/* ---- states (adapter.c, binding.c, objects.c) ---- */
const char *ndis_adapter_state_name(enum ndis_adapter_state state);
bool ndis_adapter_set_state(struct ndis_adapter *adapter, enum ndis_adapter_state to,
                            const char *why);
bool ndis_binding_set_state(struct ndis_binding *binding, enum ndis_binding_state to,
                            const char *why);

/* Initialised and not halted: the miniport may be called. */
static inline bool
ndis_adapter_up(const struct ndis_adapter *adapter)
{
    return adapter->state != NDIS_ADAPTER_HALTED && adapter->state != NDIS_ADAPTER_INITIALIZING;
}

/* ---- adapters (adapter.c) ---- */
struct ndis_adapter *ndis_adapter_create(struct ndis_miniport *miniport, const char *name);
struct ndis_adapter *ndis_adapter_find(struct house *house, const char *name);
/* Any adapter of this driver. */
struct ndis_adapter *ndis_adapter_any(struct ndis_miniport *miniport);
/* An adapter that stands on this binding. */
struct ndis_adapter *ndis_adapter_above(struct ndis_binding *binding);
/* Initialize and restart; on an error the adapter is halted again, and still there. */
int ndis_adapter_start(struct ndis_adapter *adapter);
/* Waits for the last object, then MiniportPause. */
void ndis_adapter_pause(struct ndis_adapter *adapter);
/* Unbinds what is bound, pauses, halts, buries. */
void ndis_adapter_remove(struct ndis_adapter *adapter, NDIS_HALT_ACTION action);
/* P32: tables and capabilities of this adapter and of all under it (P30). */
bool ndis_adapter_chimney(struct ndis_adapter *adapter);
/* A copy of the current configuration; false: it has none. */
bool ndis_adapter_capabilities(struct ndis_adapter *adapter, NDIS_TCP_CONNECTION_OFFLOAD *can);

/* ---- bindings (binding.c) ---- */
/* One event to the driver above; waits for its answer. */
NDIS_STATUS ndis_binding_event(struct ndis_binding *binding, PNET_PNP_EVENT_NOTIFICATION event,
                               const char *what);
int ndis_binding_bind(struct ndis_protocol *protocol, struct ndis_adapter *adapter,
                      const char *section);
void ndis_binding_unbind(struct ndis_binding *binding);
/*
 * The next open binding of an adapter, at or after *at, which is not closed before it is released;
 * running: nor paused. NULL: no more. Context: any thread.
 */
struct ndis_binding *ndis_binding_hold(struct ndis_adapter *adapter, size_t *at, bool running);
void ndis_binding_release(struct ndis_binding *binding);
/* The loop's thread. false: out of memory. */
bool ndis_fan_add(struct ndis_binding *binding);
void ndis_fan_remove(struct ndis_binding *binding);
/* It is an open binding of this adapter. binding may point anywhere, and is only compared. Context:
 * any thread. */
static inline bool
ndis_fan_has(const struct ndis_adapter *adapter, const struct ndis_binding *binding)
{
    const struct ndis_fan *fan = atomic_load_explicit(&adapter->fan, memory_order_acquire);

    if (NDIS_UNLIKELY(!fan || !binding))
        return false;
    if (NDIS_LIKELY(atomic_load_explicit(&fan->bindings[0], memory_order_acquire) == binding))
        return true; /* the only one, usually */
    for (size_t i = 1; i < fan->room; i++)
        if (atomic_load_explicit(&fan->bindings[i], memory_order_acquire) == binding)
            return true;
    return false;
}

/* It is, or was, a binding of this house. The same, but slow. */
bool ndis_binding_known(struct house *house, const struct ndis_binding *binding);
struct ndis_binding *ndis_binding_find(const char *protocol, struct ndis_adapter *adapter);
/* Any open binding of this driver. */
struct ndis_binding *ndis_binding_any(struct ndis_protocol *protocol);
/* P35: takes objects down whose driver left them. */
void ndis_force_terminate(struct ndis_binding *binding);
/* Reports who keeps NDIS waiting: the lowest driver under the binding that was given a state
 * operation and has not completed it. false: nobody was. */
bool ndis_blame_miniport(struct ndis_binding *binding);

/* ---- registration (register.c, options.c) ---- */
void ndis_client_init(struct ndis_client *client);
/* Registrations that a failed or unloaded driver left behind. */
void ndis_driver_sweep(struct ndis_driver *driver);

/* ---- house (house.c) ---- */
/* Turns the loop until done(arg) or the time is over; false: it is over. Context: the loop's
 * thread. */
bool ndis_wait(struct house *house, bool (*done)(void *arg), void *arg, uint64_t timeout_us);
static inline bool
ndis_on_loop(const struct house *house)
{
    return atomic_load_explicit(&house->thread, memory_order_relaxed) == sys_thread_self();
}

/* After a change that done of an ndis_wait may see. Context: any thread. */
static inline void
ndis_ring(struct house *house)
{
    if (NDIS_UNLIKELY(atomic_load(&house->waiting)) && !ndis_on_loop(house))
        sys_loop_post(house->loop, &house->ring);
}

struct ndis_driver *ndis_driver_find(struct house *house, const char *name);

/* ---- timers, work items (timer.c) ---- */
/* Stops and frees those whose function is in module, which is about to go; NULL: all that are left.
 */
void ndis_callbacks_sweep(struct house *house, const struct sys_module *module, const char *whose);
void ndis_callbacks_init(struct house *house);
void ndis_callbacks_fini(struct house *house);

/* ---- frames, requests, pools ---- */
void ndis_status_remembered(struct ndis_binding *binding);

/* ---- requests (oid.c, direct.c) ---- */

/* In NDIS_OID_REQUEST.NdisReserved. */
struct ndis_oid {
    struct list link;
    struct ndis_binding *binding; /* NULL: NDIS's own */
};
_Static_assert(sizeof(struct ndis_oid) <= sizeof(((NDIS_OID_REQUEST *)0)->NdisReserved), "fits");
_Static_assert(offsetof(NDIS_OID_REQUEST, NdisReserved) % 8 == 0, "aligned");

static inline struct ndis_oid *
ndis_oid_of(NDIS_OID_REQUEST *request)
{
    return (struct ndis_oid *)request->NdisReserved;
}

static inline NDIS_OID_REQUEST *
ndis_oid_request(struct ndis_oid *oid)
{
    return (NDIS_OID_REQUEST *)((char *)oid - offsetof(NDIS_OID_REQUEST, NdisReserved));
}

/* What a binding may ask for; otherwise a breach by that call, and *status. */
bool ndis_oid_sane(struct ndis_binding *binding, const NDIS_OID_REQUEST *request, const char *call,
                   NDIS_STATUS *status);
/* It waits, or the miniport has it. Under the lock of the adapter. */
bool ndis_oid_out(const struct ndis_adapter *adapter, const NDIS_OID_REQUEST *request);
/* A breach, and what the call returns. */
NDIS_STATUS ndis_oid_twice(struct ndis_binding *binding, const char *call);
void ndis_oid_init(struct ndis_adapter *adapter);
/* Goes on with what waits, as a task. */
void ndis_oid_pump(void *adapter);
/* OID_PNP_SET_POWER to adapter->power_wanted, in its turn; adapter->power_answered says when. */
void ndis_oid_power(struct ndis_adapter *adapter);
/* Sets the packet filter that the miniport lost in a reset. */
void ndis_oid_restore(struct ndis_adapter *adapter);
/* The binding closes: what waits is completed, what the miniport has is reported. */
void ndis_oid_abort(struct ndis_binding *binding);
void ndis_direct_abort(struct ndis_binding *binding);

/* ---- devices (device.c) ---- */
int ndis_device_init(struct ndis_adapter *adapter);
/* CheckForHang, as often as the driver asked for, while the adapter is initialised. */
void ndis_device_watch(struct ndis_adapter *adapter);
void ndis_device_unwatch(struct ndis_adapter *adapter);
void ndis_device_fini(struct ndis_adapter *adapter);

/* ---- late answers (late.c) ---- */
/* What the call returns. */
NDIS_STATUS ndis_answer_open(struct ndis_binding *binding);
NDIS_STATUS ndis_answer_close(struct ndis_binding *binding);
void ndis_answers_wait(struct ndis_binding *binding);

/* ---- binds that were asked for (rebind.c) ---- */
/* -ENOMEM; section may be NULL. */
int ndis_wish_remember(struct house *house, const char *protocol, const char *adapter,
                       const char *section);
/* NULL: any. */
void ndis_wish_forget(struct house *house, const char *protocol, const char *adapter);
/* Of whatever stands on this adapter, over a binding of this protocol; NULL: any. */
void ndis_wish_forget_above(struct ndis_adapter *adapter, const char *protocol);
/* Tasks. */
void ndis_rebind_run(void *protocol);
void ndis_unbind_run(void *binding);
/* NdisUnbindAdapter was called for it, and now it can be done. */
void ndis_unbind_due(struct ndis_binding *binding);

/* ---- frames, pools ---- */
/* A status of NDIS's own, to every open binding. */
void ndis_status_tell(struct ndis_adapter *adapter, NDIS_STATUS code);
void ndis_status_remembered(struct ndis_binding *binding);
void ndis_pools_fini(struct house *house);
void ndis_clones_fini(struct house *house);

/* ---- keywords (keys.c) ---- */
void ndis_keys_init(struct ndis_keys *keys);
void ndis_keys_fini(struct ndis_keys *keys);
/* NULL: there is none, or no memory (*error). Owner: the copy is the caller's, to be freed. */
char *ndis_keys_get(struct ndis_keys *keys, const char *name, int *error);
/* That value was read as this type; understood: it is one. */
void ndis_keys_read(struct ndis_keys *keys, const char *name, NDIS_PARAMETER_TYPE type,
                    bool understood);
/* Something is below this sub key. */
bool ndis_keys_below(struct ndis_keys *keys, const char *sub_key);
/* Both are copied; 0 or -ENOMEM; -EINVAL: one of all is there twice. */
int ndis_keys_set(struct ndis_keys *keys, const char *name, const char *value);
int ndis_keys_set_all(struct ndis_keys *keys, const struct house_option *options);
int ndis_keys_copy(struct ndis_keys *to, struct ndis_keys *from);
/* What the program gave (set_all, copy) and the driver does nothing with. */
struct ndis_misfit {
    char name[2 * NDIS_NAME_SIZE], value[NDIS_NAME_SIZE]; /* cut */
    bool asked;               /* it was read, and is no such type; otherwise nobody asked for it */
    NDIS_PARAMETER_TYPE type; /* if asked */
};
/* Number n of them; false: there are no more. */
bool ndis_keys_misfit(struct ndis_keys *keys, unsigned n, struct ndis_misfit *out);
/* Before MiniportInitializeEx, and after it with its answer (given.c). false: an option that the
 * driver does not have, or a value that is none of it; it is said. */
void ndis_options_begin(struct ndis_adapter *adapter);
bool ndis_options_fit(struct ndis_adapter *adapter, NDIS_STATUS status);
/* Options that were set for an adapter of that name (plan.c). 0 or -ENOMEM. */
int ndis_plan_apply(struct ndis_adapter *adapter);
void ndis_plans_fini(struct house *house);

/* ---- strings (string.c): names are ASCII here, UTF-16 there ---- */
struct ndis_text {
    UNICODE_STRING string;
    WCHAR buffer[NDIS_NAME_SIZE];
};
PUNICODE_STRING ndis_text_set(struct ndis_text *text, const char *name);
/* false: too long or not ASCII. */
bool ndis_text_get(const UNICODE_STRING *string, char *name, size_t size);
bool ndis_text_equal(const UNICODE_STRING *string, const char *name);

#endif
