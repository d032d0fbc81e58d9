/*
 * The way home of NBLs (P11). A completion carries neither connection nor binding, and the same NBL
 * crosses several bindings on its way down, so every NBL carries a small stack of bindings: pushed
 * on the way down, popped on the way up.
 *
 * The newest level is in NdisReserved[0], where the way up needs to look first; what was there
 * before goes to a shelf, at which NdisReserved[1] points. NBLs of NDIS pools have a shelf of their
 * own (pool.c) which is enough for any usual stack, so no level costs more than two stores; others,
 * and those in a very high stack, get shelves from the heap. Every way leaves an NBL as it found
 * it.
 *
 * Threads: an NBL, and with it all of this, belongs to whoever has it at the moment.
 */
#include "ndis/landing.h"

#include <stdlib.h>

static inline struct ndis_binding *
home_peek(const NET_BUFFER_LIST *nbl)
{
    return nbl->NdisReserved[0];
}

/* Makes room on top. false: out of memory. */
static bool
home_shelve(NET_BUFFER_LIST *nbl)
{
    struct ndis_shelf *shelf = nbl->NdisReserved[1];

    if (NDIS_UNLIKELY(!shelf || shelf->count == NDIS_SHELF_ROOM)) {
        shelf = malloc(sizeof(*shelf));
        if (!shelf)
            return false;
        *shelf = (struct ndis_shelf){.older = nbl->NdisReserved[1]};
        nbl->NdisReserved[1] = shelf;
    }
    shelf->homes[shelf->count++] = nbl->NdisReserved[0];
    return true;
}

static void
home_unshelve(NET_BUFFER_LIST *nbl, struct ndis_shelf *shelf)
{
    nbl->NdisReserved[0] = shelf->homes[--shelf->count];
    if (NDIS_UNLIKELY(!shelf->count && !shelf->pooled)) {
        nbl->NdisReserved[1] = shelf->older;
        free(shelf);
    }
}

bool
ndis_home_push(struct ndis_binding *binding, NET_BUFFER_LIST *nbls)
{
    NET_BUFFER_LIST *nbl;

    for (nbl = nbls; nbl; nbl = nbl->Next) {
        if (nbl->NdisReserved[0] && NDIS_UNLIKELY(!home_shelve(nbl)))
            break;
        nbl->NdisReserved[0] = binding;
    }
    if (!nbl)
        return true;
    for (NET_BUFFER_LIST *pushed = nbls; pushed != nbl; pushed = pushed->Next)
        ndis_home_pop(pushed);
    return false;
}

struct ndis_binding *
ndis_home_pop(NET_BUFFER_LIST *nbl)
{
    struct ndis_binding *binding = nbl->NdisReserved[0];
    struct ndis_shelf *shelf = nbl->NdisReserved[1];

    if (shelf && shelf->count)
        home_unshelve(nbl, shelf);
    else
        nbl->NdisReserved[0] = NULL;
    return binding;
}

void
ndis_home_forget(struct ndis_binding *binding, NET_BUFFER_LIST *nbls, unsigned rule)
{
    size_t strangers = 0;

    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next) {
        if (home_peek(nbl) == binding)
            ndis_home_pop(nbl);
        else
            strangers++;
    }
    if (strangers)
        ndis_breach(binding->head.house, rule, binding->adapter->miniport->driver->name,
                    "adapter %s returned %zu NBLs that are not under way through this binding",
                    binding->adapter->name, strangers);
}

bool
ndis_nbls_end(struct ndis_adapter *adapter, NET_BUFFER_LIST *nbls, const char *call, unsigned rule)
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
        ndis_breach_of(adapter->head.house, rule, adapter->miniport->driver->name, nbls,
                       "%s: the list runs in a circle", call);
        *closing = NULL;
    }
    return true;
}

NET_BUFFER_LIST *
ndis_home_run(NET_BUFFER_LIST **nbls, struct ndis_binding **binding,
              const struct ndis_adapter *adapter, const char *call, unsigned rule)
{
    NET_BUFFER_LIST *first = *nbls, *last, *next;

    for (; first && NDIS_UNLIKELY(!home_peek(first)); first = first->Next)
        ndis_breach_of(adapter->head.house, rule, adapter->miniport->driver->name, first,
                       "%s: NBL %p is not on its way anywhere (completed twice?)", call,
                       (void *)first);
    *nbls = NULL;
    if (!first)
        return NULL;
    *binding = ndis_home_pop(first);
    for (last = first; (next = last->Next) && home_peek(next) == *binding; last = next)
        ndis_home_pop(next);
    *nbls = next;
    last->Next = NULL;
    return first;
}
