/*
 * Query: the delegated variables of a connection, while the target goes on with it. A drain asks
 * how far the wire has got, the watch for the peer's newest timestamp, and anybody for what the
 * kernel socket does not hear of. Whoever asked, everybody hears the answer; only one question of
 * the last kind is under way per connection. Source: chimney 4.2, V-052, V-069.
 */
#include "base/log.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* True: somebody had asked. */
static bool
answer(struct live_conn *conn, NDIS_STATUS status, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    struct live_question question = conn->question;

    if (!question.fn)
        return false;
    conn->question.fn = NULL;
    if (status == NDIS_STATUS_SUCCESS)
        question.fn(question.arg, 0, delegated);
    else
        question.fn(question.arg, -EIO, NULL);
    return true;
}

void
live_on_queried(struct host_conn *down, NDIS_STATUS status,
                const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    struct live_conn *conn = container_of(down, struct live_conn, down);
    bool asked = answer(conn, status, delegated);

    if (conn->phase == LIVE_DEAD) {
        live_terminate(conn);
        return;
    }
    if (status != NDIS_STATUS_SUCCESS)
        live_upload(conn, HOSTSTACK_TARGET_ASKED); /* V-069; offloaded or nothing happens */
    else if (conn->phase == LIVE_OFFLOADED && !asked)
        conn->local.config.ts_offset = delegated->TsRecent; /* watch.c wanted it */
    if (conn->phase == LIVE_DRAIN)
        live_drain_queried(conn, status == NDIS_STATUS_SUCCESS ? delegated : NULL);
}

static struct steer_key
key_of(const struct hoststack_endpoint *local, const struct hoststack_endpoint *peer)
{
    struct steer_key key = {
        .local_port = htons(local->port), .peer_port = htons(peer->port), .family = local->family};

    memcpy(key.local, local->address, sizeof key.local);
    memcpy(key.peer, peer->address, sizeof key.peer);
    return key;
}

int
hoststack_query(struct hoststack *stack, const struct hoststack_endpoint *local,
                const struct hoststack_endpoint *peer, hoststack_state_fn fn, void *arg)
{
    struct steer_key key = key_of(local, peer);
    struct live_conn *conn = live_find(stack, &key);
    int error;

    if (!conn || conn->phase != LIVE_OFFLOADED)
        return -ENOENT;
    if (conn->question.fn)
        return -EBUSY;
    error = host_query(&conn->down);
    if (error)
        return error;
    conn->question = (struct live_question){fn, arg};
    return 0;
}
