/*
 * The host stack around its connections: the binding it works on, and frames sorted to connections.
 * Frames are copied when they come and go back at once: nothing of the adapter's is kept. What is
 * for nobody is dropped.
 */
#include "base/log.h"
#include "host/script/private.h"

#include <stdio.h>
#include <stdlib.h>

static void
on_running(void *arg, struct host_binding *binding)
{
    struct script *script = arg;

    script->binding = binding;
    list_for_each(conn, &script->conns, struct script_conn, link)
        script_defer(conn);
}

/* Everything comes home; the edge answers NDIS when the last has. */
static void
on_leaving(void *arg, struct host_binding *binding)
{
    struct script *script = arg;

    list_for_each(conn, &script->conns, struct script_conn, link) {
        conn->upload_wanted = conn->down.state != HOST_CONN_HOST;
        if (conn->down.state == HOST_CONN_OFFLOADED)
            script_upload(conn);
    }
    script->binding = NULL;
    host_binding_quiet(binding);
}

static void
on_frames(void *arg, struct host_binding *binding, NET_BUFFER_LIST *nbls)
{
    struct script *script = arg;

    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        struct script_conn *conn = NULL;
        struct script_frame *frame = script_frame_parse(script, nbl, &conn);
        script->stats.frames_in++;
        if (frame)
            script_on_frame(conn, frame);
    }
    host_return_frames(binding, nbls);
}

static void
on_frames_sent(void *arg, struct host_binding *binding, NET_BUFFER_LIST *nbls)
{
    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        void *bytes = nbls->ProtocolReserved[1];
        host_nbl_destroy(nbls);
        free(bytes);
        nbls = next;
    }
}

static void
on_upload_all(void *arg, struct host_binding *binding)
{
    struct script *script = arg;

    list_for_each(conn, &script->conns, struct script_conn, link) {
        conn->upload_wanted = conn->down.state != HOST_CONN_HOST;
        script_defer(conn);
    }
}

static const struct host_ops ops = {
    .on_running = on_running,
    .on_leaving = on_leaving,
    .on_frames = on_frames,
    .on_frames_sent = on_frames_sent,
    .on_upload_all = on_upload_all,
};

struct script *
script_create(const char *name, struct sys_loop *loop)
{
    struct script *script = calloc(1, sizeof *script);

    if (!script)
        return NULL;
    script->host = host_create(name, &ops, script);
    if (!script->host) {
        free(script);
        return NULL;
    }
    snprintf(script->name, sizeof script->name, "%s", name);
    script->loop = loop;
    list_init(&script->conns);
    for (unsigned i = 0; i < SCRIPT_BUCKETS; i++)
        list_init(&script->buckets[i]);
    return script;
}

void
script_destroy(struct script *script)
{
    if (!script)
        return;
    if (!list_empty(&script->conns))
        log_error("%s: destroyed with connections", script->name);
    host_destroy(script->host);
    free(script);
}

struct host *
script_host(struct script *script)
{
    return script->host;
}

struct host_binding *
script_binding(const struct script *script)
{
    return script->binding;
}

const struct script_stats *
script_stats(const struct script *script)
{
    return &script->stats;
}

void
script_breach(struct script_conn *conn, const char *what, uint32_t expected, uint32_t got)
{
    conn->script->stats.breaches++;
    log_error("%s, port %u: %s: expected %u, got %u", conn->script->name, conn->options.local_port,
              what, expected, got);
}
