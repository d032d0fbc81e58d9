/*
 * The verifier as an observer: what a crossing means to the families, and which calls are in
 * progress on a thread.
 *
 * A crossing is looked at twice. Before the call: decode.c finds or copies what it is about, then
 * every family checks, then track.c changes the shadow. After it: the families in the same order.
 * Everything that belongs to one call is in struct call, on a stack of the thread's, so "is a call
 * of that kind around this one" (V-030) is a walk up that stack.
 */
#include "verifier/shadow.h"

#include <stdlib.h>
#include <string.h>

#define CALL_DEPTH 64

/* decode first, track last. */
static const struct family *const families[] = {
    &decode_family,     &registration_family, &tree_family,      &complete_family,
    &outcome_family,    &contents_family,     &issue_family,     &intermediate_family,
    &send_family,       &receive_family,      &indicate_family,  &forward_family,
    &disconnect_family, &event_family,        &terminate_family, &base_family,
    &wire_family,       &track_data_family,   &track_family,
};
#define FAMILIES (sizeof(families) / sizeof(families[0]))

static _Thread_local struct call calls[CALL_DEPTH];
static _Thread_local unsigned depth;

/* ---- calls ---- */

const struct call *
call_around(const struct call *call, enum crossing_op op)
{
    for (call = call->outer; call; call = call->outer)
        if (call->op == op)
            return call;
    return NULL;
}

const struct call *
call_with_id(const struct call *call, unsigned long long id)
{
    for (call = call->outer; call; call = call->outer)
        if (call->id == id)
            return call;
    return NULL;
}

bool
call_by_ndis(const struct call *call)
{
    return !strcmp(call->crossing->from, "ndis");
}

bool
call_for_ndis(const struct call *call)
{
    const struct call *outer = call->by_ndis ? NULL : call_around(call, call->op);

    return call->by_ndis || (outer && outer->by_ndis);
}

const struct call *
call_current(void)
{
    return depth && depth <= CALL_DEPTH ? &calls[depth - 1] : NULL;
}

const void *
call_thread(void)
{
    return calls;
}

/*
 * A driver in between passes on what it is given, so a breach shows at every landing it crosses: as
 * a call inside the call where it was seen first, or around it.
 */
bool
call_mark(const struct call *call, unsigned rule)
{
    uint64_t bit = 1ull << rule % 64;
    bool before = false;

    for (struct call *at = &calls[call - calls]; rule && at; at = at->outer) {
        before |= (at->breached[rule / 64 % 4] & bit) != 0;
        at->breached[rule / 64 % 4] |= bit;
    }
    return before;
}

enum shadow_kind
call_kind(enum crossing_op op, bool *completion)
{
    *completion = false;
    switch (op) {
    case CROSSING_TCP_SEND_COMPLETE:
        *completion = true; /* fall through */
    case CROSSING_TCP_SEND:
        return SHADOW_SEND;
    case CROSSING_TCP_RECEIVE_COMPLETE:
        *completion = true; /* fall through */
    case CROSSING_TCP_RECEIVE:
        return SHADOW_RECEIVE;
    case CROSSING_TCP_DISCONNECT_COMPLETE:
        *completion = true; /* fall through */
    case CROSSING_TCP_DISCONNECT:
        return SHADOW_DISCONNECT;
    case CROSSING_TCP_FORWARD_COMPLETE:
        *completion = true; /* fall through */
    case CROSSING_TCP_FORWARD:
        return SHADOW_FORWARD;
    case CROSSING_TCP_RECEIVE_RETURN:
        *completion = true; /* fall through */
    case CROSSING_TCP_RECEIVE_INDICATE:
        return SHADOW_INDICATED;
    case CROSSING_SEND_COMPLETE:
        *completion = true; /* fall through */
    case CROSSING_SEND:
        return SHADOW_FRAME;
    case CROSSING_RETURN:
        *completion = true; /* fall through */
    case CROSSING_RECEIVE:
        return SHADOW_FRAME_UP;
    default:
        return SHADOW_KINDS;
    }
}

static struct call *
enter(struct verifier *verifier, struct crossing *crossing)
{
    struct call *outer = depth && depth <= CALL_DEPTH ? &calls[depth - 1] : NULL;
    struct call *call;

    if (depth++ >= CALL_DEPTH)
        return NULL; /* deeper than any stack of drivers; not looked at */
    call = &calls[depth - 1];
    *call = (struct call){.id = ++verifier->numbers,
                          .verifier = verifier,
                          .crossing = crossing,
                          .op = crossing->op,
                          .outer = outer,
                          .root = crossing->blocks,
                          .object_key = crossing->object,
                          .nbl = crossing->nbls,
                          .code = crossing->code,
                          .status = crossing->status,
                          .started_us = crossing->now_us,
                          .up = crossing->up,
                          .by_ndis = !strcmp(crossing->from, "ndis")};
    list_init(&call->completing);
    if (crossing->miniport)
        call->adapter = shadow_adapter(verifier, crossing);
    if (crossing->binding)
        call->binding = shadow_binding(verifier, crossing);
    if (crossing->object)
        call->object = shadow_object_find(verifier, crossing->object);
    return call;
}

static struct call *
leave(struct crossing *crossing)
{
    struct call *call;

    if (!depth || depth-- > CALL_DEPTH)
        return NULL;
    call = &calls[depth];
    call->crossing = crossing;
    return call;
}

/* Answers and services are told once, there is nothing to come back from. */
static bool
told_once(enum crossing_op op)
{
    switch (op) {
    case CROSSING_PAUSE_COMPLETE:
    case CROSSING_RESTART_COMPLETE:
    case CROSSING_RESET_COMPLETE:
    case CROSSING_BIND_COMPLETE:
    case CROSSING_UNBIND_COMPLETE:
    case CROSSING_PNP_EVENT_COMPLETE:
    case CROSSING_SET_HANDLERS:
    case CROSSING_SET_ATTRIBUTES:
    case CROSSING_GET_HANDLERS:
    case CROSSING_OPEN:
    case CROSSING_CLOSE:
    case CROSSING_POOL:
    case CROSSING_POOL_FREE:
        return true;
    default:
        return false;
    }
}

static void
check(struct verifier *verifier, struct call *call, bool after)
{
    for (size_t i = 0; i < FAMILIES; i++) {
        check_fn *const *checks = after ? families[i]->after : families[i]->before;

        if (checks[call->op])
            checks[call->op](verifier, call);
    }
}

/* ---- the observer ---- */

static void
on_crossing(void *arg, struct crossing *crossing)
{
    struct verifier *verifier = arg;
    struct call *call;

    pthread_mutex_lock(&verifier->lock);
    report_next();
    call = crossing->after ? leave(crossing) : enter(verifier, crossing);
    if (!crossing->after)
        verifier->counts.crossings++;
    if (call)
        check(verifier, call, crossing->after);
    if (!crossing->after && told_once(crossing->op))
        leave(crossing);
    pthread_mutex_unlock(&verifier->lock);
    verifier_tick(verifier, crossing->now_us);
}

static void
note_state(char *state, size_t size, const char *to)
{
    size_t length = strlen(to);

    length = length < size - 1 ? length : size - 1;
    memcpy(state, to, length);
    state[length] = '\0';
}

struct named {
    const char *name, *to;
};

static void
note_adapter(void *arg, struct table_entry *entry)
{
    struct shadow_adapter *adapter = container_of(entry, struct shadow_adapter, entry);
    const struct named *named = arg;

    if (!strcmp(adapter->name, named->name))
        note_state(adapter->state, sizeof(adapter->state), named->to);
}

/* Bindings are named "driver@adapter". */
static void
note_binding(void *arg, struct table_entry *entry)
{
    struct shadow_binding *binding = container_of(entry, struct shadow_binding, entry);
    const struct named *named = arg;
    size_t length = strlen(binding->driver->name);

    if (!strncmp(named->name, binding->driver->name, length) && named->name[length] == '@' &&
        !strcmp(named->name + length + 1, binding->adapter->name))
        note_state(binding->state, sizeof(binding->state), named->to);
}

static void
on_state(void *arg, const char *object, const char *name, const char *from, const char *to,
         const char *why)
{
    struct verifier *verifier = arg;
    struct named named = {name, to};

    pthread_mutex_lock(&verifier->lock);
    if (!strcmp(object, "adapter"))
        table_each(&verifier->adapters, note_adapter, &named);
    else if (!strcmp(object, "binding"))
        table_each(&verifier->bindings, note_binding, &named);
    pthread_mutex_unlock(&verifier->lock);
}

static void
on_breach(void *arg, unsigned rule, const char *driver, const void *object, const char *what)
{
    struct verifier *verifier = arg;

    pthread_mutex_lock(&verifier->lock);
    /* NDIS sees that a tree is not completed, not that it was never passed on. */
    if (rule == 29 && shadow_keeps_trees(verifier, driver))
        rule = 166;
    report_ndis(verifier, rule, driver, object, what);
    pthread_mutex_unlock(&verifier->lock);
}

/* ---- the public calls ---- */

static bool
tables_init(struct verifier *verifier)
{
    struct table *tables[] = {&verifier->adapters, &verifier->bindings, &verifier->objects,
                              &verifier->contexts, &verifier->trees,    &verifier->blocks,
                              &verifier->nbls};

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        if (!table_init(tables[i]))
            return false;
    return true;
}

struct verifier *
verifier_create(const struct verifier_options *options)
{
    struct verifier *verifier = calloc(1, sizeof(*verifier));

    if (!verifier)
        return NULL;
    list_init(&verifier->drivers);
    list_init(&verifier->owing);
    if (options)
        verifier->options = *options;
    if (!verifier->options.return_limit_us)
        verifier->options.return_limit_us = 1000000;
    if (!verifier->options.answer_limit_us)
        verifier->options.answer_limit_us = 30000000;
    verifier->observer = (struct observer){
        .on_crossing = on_crossing, .on_state = on_state, .on_breach = on_breach, .arg = verifier};
    if (pthread_mutex_init(&verifier->lock, NULL)) {
        free(verifier);
        return NULL;
    }
    if (!tables_init(verifier)) {
        verifier_destroy(verifier);
        return NULL;
    }
    return verifier;
}

void
verifier_destroy(struct verifier *verifier)
{
    if (!verifier)
        return;
    shadow_fini(verifier);
    pthread_mutex_destroy(&verifier->lock);
    free(verifier);
}

struct observer *
verifier_observer(struct verifier *verifier)
{
    return &verifier->observer;
}

void
verifier_tick(struct verifier *verifier, uint64_t now_us)
{
    pthread_mutex_lock(&verifier->lock);
    if (now_us - verifier->looked_us >= verifier->options.return_limit_us / 8) {
        verifier->looked_us = now_us;
        for (size_t i = 0; i < FAMILIES; i++)
            if (families[i]->tick)
                families[i]->tick(verifier, now_us);
    }
    pthread_mutex_unlock(&verifier->lock);
}

void
verifier_finish(struct verifier *verifier)
{
    pthread_mutex_lock(&verifier->lock);
    for (size_t i = 0; i < FAMILIES; i++)
        if (families[i]->finish)
            families[i]->finish(verifier);
    pthread_mutex_unlock(&verifier->lock);
}

void
verifier_read_counts(struct verifier *verifier, struct verifier_counts *counts)
{
    pthread_mutex_lock(&verifier->lock);
    *counts = verifier->counts;
    pthread_mutex_unlock(&verifier->lock);
}
