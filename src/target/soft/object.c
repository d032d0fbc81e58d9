/*
 * Neighbors, paths and connections: made by initiate, freed by terminate. The block tree of the
 * initiate lives on in the parent pointers. An object knows its dependents, so that an invalidated
 * neighbor reaches its connections and an object that is terminated too early outlives them (the
 * host stack's mistake, not our crash).
 */
#include "target/soft/conn.h"

#include "base/log.h"
#include "base/machine.h"

#include <stdlib.h>
#include <string.h>

static const char *const phase_names[SOFT_PHASE_COUNT] = {
#define NAME(name) [SOFT_##name] = #name,
    SOFT_PHASES(NAME)
#undef NAME
};

static struct machine_edge edges[SOFT_PHASE_COUNT][SOFT_PHASE_COUNT] = {
#define EDGE(from, to) [SOFT_##from][SOFT_##to].legal = true,
    SOFT_PHASE_EDGES(EDGE)
#undef EDGE
};
MACHINE(machine, "soft connection", phase_names, edges);

void
soft_conn_set_phase(struct soft_conn *conn, enum soft_phase phase, const char *why)
{
    if (!machine_walk(&machine, conn->phase, phase)) {
        log_error("soft conn %p: no edge %s -> %s (%s)", (void *)conn, phase_names[conn->phase],
                  phase_names[phase], why);
        return;
    }
    log_debug("soft conn %p: %s -> %s, %s", (void *)conn, phase_names[conn->phase],
              phase_names[phase], why);
    conn->phase = phase;
}

static unsigned *
count_of(struct soft_adapter *adapter, enum soft_kind kind)
{
    switch (kind) {
    case SOFT_NEIGHBOR:
        return &adapter->neighbors;
    case SOFT_PATH:
        return &adapter->paths;
    default:
        return &adapter->connections;
    }
}

void
soft_object_init(struct soft_object *object, enum soft_kind kind, struct soft_adapter *adapter,
                 struct soft_object *parent, NDIS_HANDLE handle)
{
    object->kind = kind;
    object->adapter = adapter;
    object->parent = parent;
    object->handle = handle;
    list_init(&object->children);
    list_init(&object->sibling);
    list_init(&object->grave);
    list_add_tail(&adapter->objects, &object->all);
    if (parent)
        list_add_tail(&parent->children, &object->sibling);
    ++*count_of(adapter, kind);
}

void
soft_object_relink(struct soft_object *object, struct soft_object *parent)
{
    struct soft_object *former = object->parent;

    list_del(&object->sibling);
    list_add_tail(&parent->children, &object->sibling);
    object->parent = parent;
    if (former && former->doomed)
        soft_object_free(former);
}

void
soft_neighbor_free(struct soft_neighbor *neighbor)
{
    soft_use_put(neighbor->source);
    soft_use_put(neighbor->vlan);
    free(neighbor);
}

void
soft_path_free(struct soft_path *path)
{
    soft_use_put(path->address);
    free(path);
}

static void
free_memory(struct soft_object *object)
{
    switch (object->kind) {
    case SOFT_NEIGHBOR:
        soft_neighbor_free(container_of(object, struct soft_neighbor, object));
        break;
    case SOFT_PATH:
        soft_path_free(container_of(object, struct soft_path, object));
        break;
    case SOFT_TCP:
        soft_stats_collect(soft_conn_of(object));
        sys_timer_fini(&soft_conn_of(object)->timer);
        free(soft_conn_of(object));
        break;
    }
}

void
soft_object_free(struct soft_object *object)
{
    while (object) {
        struct soft_object *parent = object->parent;
        object->doomed = true;
        if (!list_empty(&object->children))
            return;
        list_del(&object->sibling);
        list_del(&object->all);
        --*count_of(object->adapter, object->kind);
        free_memory(object);
        object = parent && parent->doomed ? parent : NULL;
    }
}

bool
soft_object_is(const struct soft_object *object, enum soft_kind kind)
{
    return object && object->kind == kind && !object->doomed;
}

struct soft_conn *
soft_conn_create(struct soft_adapter *adapter)
{
    struct soft_conn *conn = aligned_alloc(SOFT_CACHE_LINE, sizeof *conn);

    if (!conn)
        return NULL;
    memset(conn, 0, sizeof *conn);
    if (sys_timer_init(&conn->timer, adapter->loop, soft_on_timer, conn)) {
        free(conn);
        return NULL;
    }
    conn->object.adapter = adapter;
    list_init(&conn->adopted);
    list_init(&conn->dirty);
    list_init(&conn->blocked);
    list_init(&conn->later);
    list_init(&conn->sends);
    list_init(&conn->posted);
    list_init(&conn->buffered);
    list_init(&conn->lent);
    list_init(&conn->held);
    list_init(&conn->forwards);
    conn->push_deadline_us = SYS_NEVER;
    conn->sent_flush = UINT64_MAX;
    return conn;
}
