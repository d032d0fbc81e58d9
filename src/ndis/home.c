/*
 * The way home of NBLs (P11). A completion carries neither connection nor binding, and the same NBL
 * crosses several bindings on its way down, so every NBL carries a small stack of homes: pushed on
 * the way down, popped on the way up. A home is the address of a binding, and in its low bits by
 * what kind of call the NBL went there.
 *
 * The newest level is in NdisReserved[0], where the way up needs to look first; what was there
 * before goes to a shelf, at which NdisReserved[1] points. NBLs of NDIS pools have a shelf of their
 * own (pool.c) which is enough for any usual stack, so no level costs more than two stores; others,
 * and those in a very high stack, get shelves from the heap. Every way leaves an NBL as it found
 * it.
 *
 * A driver may have written over the two, or complete what never went down. So nothing in them is
 * followed before it is known: a home is compared with the bindings of the adapter that completes,
 * which also tells whether adapter and call are the right ones; a shelf is the one behind the NBL,
 * or in the table of those from the heap, which knows whose it is.
 *
 * Threads: an NBL, and with it all of this, belongs to whoever has it at the moment. The table has
 * a lock for each of its slots.
 */
#include "ndis/landing.h"

#include <stdlib.h>

/* What a completion breaks that answers no post (V-074 and siblings); 0: no rule has a number. */
static const unsigned once_rules[NDIS_IO_KINDS] = {[NDIS_IO_SEND] = 74,
                                                   [NDIS_IO_RECEIVE] = 91,
                                                   [NDIS_IO_DISCONNECT] = 120,
                                                   [NDIS_IO_FORWARD] = 117};

static inline enum ndis_io_kind
home_kind(const void *home)
{
    return (uintptr_t)home % _Alignof(struct ndis_binding);
}

/* To be compared. */
static inline struct ndis_binding *
home_binding(void *home)
{
    return (struct ndis_binding *)((uintptr_t)home - home_kind(home));
}

/* ---- shelves ---- */

/* A shelf from the heap, gone when it is empty. */
struct drawer {
    struct ndis_shelf shelf;
    const NET_BUFFER_LIST *nbl;
    struct drawer *next;
};

struct slot {
    struct sys_lock lock;
    struct drawer *drawers;
};

static struct slot slots[256];

static struct slot *
slot_of(const void *shelf)
{
    return &slots[((uintptr_t)shelf >> 4 ^ (uintptr_t)shelf >> 12) % 256];
}

static struct ndis_shelf *
drawer_create(NET_BUFFER_LIST *nbl, struct ndis_shelf *older)
{
    struct drawer *drawer = malloc(sizeof(*drawer));
    struct slot *slot = slot_of(drawer);

    if (!drawer)
        return NULL;
    *drawer = (struct drawer){.shelf.older = older, .nbl = nbl};
    sys_lock_take(&slot->lock);
    drawer->next = slot->drawers;
    slot->drawers = drawer;
    sys_lock_give(&slot->lock);
    nbl->NdisReserved[1] = &drawer->shelf;
    return &drawer->shelf;
}

static bool
drawer_known(const NET_BUFFER_LIST *nbl, const struct ndis_shelf *shelf)
{
    struct slot *slot = slot_of(shelf);
    struct drawer *drawer;

    sys_lock_take(&slot->lock);
    drawer = slot->drawers;
    while (drawer && (&drawer->shelf != shelf || drawer->nbl != nbl))
        drawer = drawer->next;
    sys_lock_give(&slot->lock);
    return drawer != NULL;
}

static void
drawer_destroy(struct ndis_shelf *shelf)
{
    struct slot *slot = slot_of(shelf);
    struct drawer **at = &slot->drawers;

    sys_lock_take(&slot->lock);
    while (&(*at)->shelf != shelf)
        at = &(*at)->next;
    *at = (*at)->next;
    sys_lock_give(&slot->lock);
    free(container_of(shelf, struct drawer, shelf));
}

/* NULL: it has none, or what it says is none of its. */
static inline struct ndis_shelf *
shelf_of(NET_BUFFER_LIST *nbl)
{
    struct ndis_shelf *shelf = nbl->NdisReserved[1];

    if (NDIS_UNLIKELY(shelf != ndis_shelf_own(nbl)) && shelf && !drawer_known(nbl, shelf))
        return NULL;
    return shelf;
}

static void *
home_unshelve(NET_BUFFER_LIST *nbl, struct ndis_shelf *shelf)
{
    void *home = shelf->homes[--shelf->count];

    if (NDIS_UNLIKELY(!shelf->count && shelf != ndis_shelf_own(nbl))) {
        nbl->NdisReserved[1] = shelf->older;
        drawer_destroy(shelf);
    }
    return home;
}

static void __attribute__((noinline)) pop_unusual(NET_BUFFER_LIST *nbl)
{
    struct ndis_shelf *shelf = shelf_of(nbl);

    nbl->NdisReserved[0] = shelf && shelf->count ? home_unshelve(nbl, shelf) : NULL;
}

static inline void
home_pop(NET_BUFFER_LIST *nbl)
{
    struct ndis_shelf *shelf = nbl->NdisReserved[1];

    if (NDIS_UNLIKELY(shelf != ndis_shelf_own(nbl)))
        pop_unusual(nbl);
    else
        nbl->NdisReserved[0] = shelf->count ? shelf->homes[--shelf->count] : NULL;
}

/* ---- down ---- */

/* Makes room on top. false: out of memory. */
static bool
home_shelve(NET_BUFFER_LIST *nbl)
{
    struct ndis_shelf *shelf = shelf_of(nbl);

    if (NDIS_UNLIKELY(!shelf || shelf->count >= NDIS_SHELF_ROOM)) {
        shelf = drawer_create(nbl, shelf);
        if (!shelf)
            return false;
    }
    shelf->homes[shelf->count++] = nbl->NdisReserved[0];
    return true;
}

static bool
out_through(NET_BUFFER_LIST *nbl, const struct ndis_binding *binding)
{
    bool out = ndis_home_through(nbl->NdisReserved[0], binding);

    for (struct ndis_shelf *shelf = shelf_of(nbl); shelf && !out; shelf = shelf->older)
        for (unsigned i = 0; i < shelf->count; i++)
            out |= ndis_home_through(shelf->homes[i], binding);
    return out;
}

/*
 * It is out already, so that nobody could say which completion is for which call: by the same
 * binding, or, where somebody watches and it may take a moment, by one that does not lead to the
 * driver which passes it on now.
 */
static bool
out_already(NET_BUFFER_LIST *nbl, const struct ndis_binding *binding)
{
    struct house *house = binding->head.house;
    struct ndis_binding *last = home_binding(nbl->NdisReserved[0]);

    if (out_through(nbl, binding))
        return true;
    return ndis_observed(house) && ndis_binding_known(house, last) &&
           last->adapter->miniport->driver != binding->protocol->driver;
}

/* Not to be followed, and nothing of it to be kept. */
static bool
written_over(const struct ndis_binding *binding, NET_BUFFER_LIST *nbl)
{
    struct house *house = binding->head.house;

    if (nbl->NdisReserved[1] && !shelf_of(nbl))
        return true;
    return ndis_observed(house) && !ndis_binding_known(house, home_binding(nbl->NdisReserved[0]));
}

static void
tell_post(const struct ndis_binding *binding, enum ndis_io_kind kind, NET_BUFFER_LIST *nbl,
          const char *what)
{
    ndis_breach_of(binding->head.house, kind == NDIS_IO_FRAME ? 184 : 85,
                   binding->protocol->driver->name, nbl, "NBL %p is posted %s", (void *)nbl, what);
}

/* *link is under way, or says so. false: it must not go down, and was taken off the list. */
static bool
may_leave(const struct ndis_binding *binding, enum ndis_io_kind kind, NET_BUFFER_LIST **head,
          NET_BUFFER_LIST **link)
{
    NET_BUFFER_LIST *nbl = *link;
    void **closing;

    if (NDIS_LIKELY(!out_already(nbl, binding))) {
        if (NDIS_LIKELY(!written_over(binding, nbl)))
            return true;
        tell_post(binding, kind, nbl, "with NdisReserved written over");
        nbl->NdisReserved[0] = nbl->NdisReserved[1] = NULL;
        return true;
    }
    closing = list_circle(*head, offsetof(NET_BUFFER_LIST, Next));
    if (closing)
        *closing = NULL; /* which is *link, unless one was out before the list was made */
    tell_post(binding, kind, nbl, closing ? "in a circle" : "while it is under way");
    if (*link)
        *link = nbl->Next;
    return false;
}

bool
ndis_home_push(struct ndis_binding *binding, enum ndis_io_kind kind, NET_BUFFER_LIST **nbls)
{
    NET_BUFFER_LIST **link = nbls, *nbl;

    while ((nbl = *link) != NULL) {
        if (nbl->NdisReserved[0] && NDIS_UNLIKELY(!may_leave(binding, kind, nbls, link)))
            continue;
        if (nbl->NdisReserved[0] && NDIS_UNLIKELY(!home_shelve(nbl)))
            break;
        nbl->NdisReserved[0] = ndis_home_of(binding, kind);
        link = &nbl->Next;
    }
    if (!nbl)
        return true;
    for (NET_BUFFER_LIST *pushed = *nbls; pushed != nbl; pushed = pushed->Next)
        home_pop(pushed);
    return false;
}

/* ---- up ---- */

void *
ndis_home_pop(NET_BUFFER_LIST *nbl)
{
    void *home = nbl->NdisReserved[0];

    home_pop(nbl);
    return home;
}

void
ndis_home_forget(struct ndis_binding *binding, NET_BUFFER_LIST *nbls, unsigned rule)
{
    size_t strangers = 0;
    void **closing;

    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next) {
        if (nbl->NdisReserved[0] == ndis_home_of(binding, NDIS_IO_SEND)) {
            home_pop(nbl);
            continue;
        }
        closing = strangers++ ? NULL : list_circle(nbls, offsetof(NET_BUFFER_LIST, Next));
        if (closing)
            *closing = NULL;
    }
    if (strangers)
        ndis_breach(binding->head.house, rule, binding->adapter->miniport->driver->name,
                    "adapter %s returned %zu NBLs that are not under way through this binding",
                    binding->adapter->name, strangers);
}

struct ndis_binding *
ndis_home_out(struct house *house, const NET_BUFFER_LIST *nbl)
{
    struct ndis_binding *binding = home_binding(nbl->NdisReserved[0]);

    return ndis_binding_known(house, binding) ? binding : NULL;
}

void
ndis_home_clear(NET_BUFFER_LIST *nbl)
{
    struct ndis_shelf *shelf;

    while ((shelf = shelf_of(nbl)) && shelf->count)
        home_unshelve(nbl, shelf);
    nbl->NdisReserved[0] = NULL;
}

bool
ndis_nbls_end(struct ndis_adapter *adapter, NET_BUFFER_LIST *nbls, const char *call,
              enum ndis_io_kind kind)
{
    void **closing;

    if (NDIS_UNLIKELY(!nbls)) {
        ndis_breach_null(adapter->head.house, adapter->miniport->driver, call);
        return false;
    }
    if (NDIS_UNLIKELY(!ndis_observed(adapter->head.house)))
        return true;
    closing = list_circle(nbls, offsetof(NET_BUFFER_LIST, Next));
    if (closing) {
        ndis_breach_of(adapter->head.house, once_rules[kind], adapter->miniport->driver->name, nbls,
                       "%s: the list runs in a circle", call);
        *closing = NULL;
    }
    return true;
}

/* Says why an NBL is not one that this adapter may complete by such a call. */
static void __attribute__((noinline))
tell_stranger(const struct ndis_adapter *adapter, enum ndis_io_kind kind, const char *call,
              NET_BUFFER_LIST *nbl)
{
    void *home = nbl->NdisReserved[0];
    struct ndis_binding *binding = home_binding(home);
    const char *driver = adapter->miniport->driver->name;
    unsigned rule = once_rules[kind];

    if (!home) {
        ndis_breach_of(adapter->head.house, rule, driver, nbl,
                       "%s: NBL %p is not on its way anywhere (completed twice?)", call,
                       (void *)nbl);
    } else if (!ndis_binding_known(adapter->head.house, binding) ||
               home_kind(home) >= NDIS_IO_KINDS) {
        ndis_breach_of(adapter->head.house, rule, driver, nbl,
                       "%s: NBL %p never was on its way, or NdisReserved was written over", call,
                       (void *)nbl);
    } else if (!binding->open) {
        ndis_breach_of(adapter->head.house, kind == NDIS_IO_FRAME ? 0 : 153, driver, nbl,
                       "%s: completed over a binding that was closed", call);
        ndis_home_pop(nbl);
    } else if (binding->adapter != adapter) {
        ndis_breach_of(adapter->head.house, rule, driver, nbl,
                       "%s: adapter %s completes what adapter %s was given", call, adapter->name,
                       binding->adapter->name);
    } else {
        if (kind == NDIS_IO_DISCONNECT && home_kind(home) == NDIS_IO_SEND)
            rule = 125;
        else if (kind == NDIS_IO_FRAME)
            rule = once_rules[home_kind(home)];
        ndis_breach_of(adapter->head.house, rule, driver, nbl,
                       "%s: NBL %p went down by another kind of call", call, (void *)nbl);
    }
}

NET_BUFFER_LIST *
ndis_home_run(NET_BUFFER_LIST **nbls, struct ndis_binding **binding,
              const struct ndis_adapter *adapter, enum ndis_io_kind kind, const char *call)
{
    NET_BUFFER_LIST *first, *last, *next;
    void *home;

    while ((first = *nbls) != NULL) {
        home = first->NdisReserved[0];
        *binding = (struct ndis_binding *)((uintptr_t)home - kind); /* to be compared */
        if (NDIS_LIKELY(home && ndis_fan_has(adapter, *binding)))
            break;
        *nbls = first->Next;
        first->Next = NULL;
        tell_stranger(adapter, kind, call, first);
    }
    if (!first)
        return NULL;
    home_pop(first);
    for (last = first; (next = last->Next) && next->NdisReserved[0] == home; last = next)
        home_pop(next);
    *nbls = next;
    last->Next = NULL;
    return first;
}
