/*
 * The kernel's list of sockets, and who holds them according to /proc. Both take longer than the
 * heart may wait, so this is done beside the loop: it touches nothing but its own memory, and what
 * comes out is a copy. What has become of a socket since shows when it is looked at.
 *
 * A process that was named in the selector is the owner; only without one all of /proc is read.
 */
#include "host/linux/select.h"

#include "host/linux/procs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel's numbers (include/net/tcp_states.h). */
enum { KERNEL_TIME_WAIT = 6, KERNEL_LISTEN = 10 };

bool
select_is_connection(const struct diag_socket *socket)
{
    return socket->state != KERNEL_LISTEN && socket->state != KERNEL_TIME_WAIT;
}

static bool
endpoint_matches(const struct hoststack_endpoint *want, uint16_t family, const uint8_t *address,
                 uint16_t port)
{
    if (!want->any_port && want->port != ntohs(port))
        return false;
    if (want->any_address)
        return true;
    return want->family == family &&
           memcmp(want->address, address, family == AF_INET ? 4 : 16) == 0;
}

static bool
key_matches(const struct hoststack_selector *selector, const struct steer_key *key)
{
    return endpoint_matches(&selector->local, key->family, key->local, key->local_port) &&
           endpoint_matches(&selector->peer, key->family, key->peer, key->peer_port);
}

struct search {
    struct selection *selection;
    struct procs_inodes *inodes; /* of the process; NULL: any */
};

static void
on_socket(void *arg, const struct diag_socket *socket)
{
    const struct search *search = arg;
    struct selection *selection = search->selection;

    if (!key_matches(&selection->selector, &socket->key))
        return;
    if (search->inodes && !procs_inodes_have(search->inodes, socket->inode))
        return;
    if (selection->count == selection->capacity) {
        size_t capacity = selection->capacity ? selection->capacity * 2 : 16;
        struct selected *sockets = realloc(selection->sockets, capacity * sizeof *sockets);
        if (!sockets) {
            selection->error = -ENOMEM;
            return;
        }
        selection->sockets = sockets;
        selection->capacity = capacity;
    }
    selection->sockets[selection->count++] = (struct selected){.socket = *socket};
}

static int
list_sockets(struct selection *selection)
{
    struct search search = {.selection = selection};
    pid_t pid = selection->selector.pid;
    int error = pid ? procs_inodes_of(pid, &search.inodes) : 0;

    if (error == -ESRCH)
        return 0; /* no such process: no such connection */
    if (!error)
        error = diag_list(on_socket, &search);
    procs_inodes_free(search.inodes);
    return error ? error : selection->error;
}

/* The listener behind connections was not meant. */
static void
drop_listeners(struct selection *selection)
{
    size_t connections = 0;

    for (size_t i = 0; i < selection->count; i++) {
        if (select_is_connection(&selection->sockets[i].socket))
            selection->sockets[connections++] = selection->sockets[i];
    }
    if (connections)
        selection->count = connections;
}

static void
name_owner(struct selection *selection, pid_t pid)
{
    char command[sizeof selection->sockets->command];

    procs_command(pid, command, sizeof command);
    for (size_t i = 0; i < selection->count; i++) {
        selection->sockets[i].pid = pid;
        memcpy(selection->sockets[i].command, command, sizeof command);
    }
}

static void
name_owners(struct selection *selection)
{
    struct procs_owners *owners;

    if (procs_owners_read(&owners))
        return; /* without it the processes stay unknown */
    for (size_t i = 0; i < selection->count; i++) {
        struct selected *selected = &selection->sockets[i];
        procs_owners_find(owners, selected->socket.inode, &selected->pid, selected->command,
                          sizeof selected->command);
    }
    procs_owners_free(owners);
}

void
select_sockets(struct selection *selection)
{
    selection->error = list_sockets(selection);
    if (selection->error) {
        select_free(selection);
        return;
    }
    drop_listeners(selection);
    if (selection->selector.pid)
        name_owner(selection, selection->selector.pid);
    else if (selection->with_owners && selection->count)
        name_owners(selection);
}

void
select_free(struct selection *selection)
{
    free(selection->sockets);
    selection->sockets = NULL;
    selection->count = selection->capacity = 0;
}
