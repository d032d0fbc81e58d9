/*
 * What is asked of a descriptor, or set. Only what would keep a connection from being handed over
 * is refused here; what the kernel knows no better than the target is put together of both.
 */
#include "calls.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

int
call_getsockopt(struct adapter *adapter, int fd, int level, int name, void *value,
                socklen_t *length)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct entry entry;

    if (!calls_settle(adapter, fd) || getsockopt(fd, level, name, value, length) != 0)
        return -1;
    if (level == IPPROTO_TCP && name == TCP_INFO && table_read(adapter->table, fd, &entry) &&
        entry.state == ENTRY_CONNECTED &&
        behind_query(adapter->behind, &entry.local, &entry.peer, &delegated) == 0)
        info_merge(value, *length, &delegated);
    return 0;
}

#ifndef TCP_AO_ADD_KEY /* newer than some headers */
#define TCP_AO_ADD_KEY 38
#endif

static bool
is_obstacle(int level, int name)
{
    static const int names[] = {TCP_REPAIR,           TCP_REPAIR_QUEUE, TCP_REPAIR_OPTIONS,
                                TCP_REPAIR_WINDOW,    TCP_QUEUE_SEQ,    TCP_ULP,
                                TCP_MD5SIG,           TCP_MD5SIG_EXT,   TCP_FASTOPEN,
                                TCP_FASTOPEN_CONNECT, TCP_AO_ADD_KEY};

    for (unsigned i = 0; level == IPPROTO_TCP && i < sizeof(names) / sizeof(names[0]); i++)
        if (name == names[i])
            return true;
    return false;
}

int
call_setsockopt(struct adapter *adapter, int fd, int level, int name, const void *value,
                socklen_t length)
{
    if (!calls_settle(adapter, fd))
        return -1;
    return is_obstacle(level, name) ? calls_fail(EOPNOTSUPP)
                                    : setsockopt(fd, level, name, value, length);
}

int
call_ioctl(struct adapter *adapter, int fd, unsigned long request, void *argument)
{
    if (!calls_settle(adapter, fd))
        return -1;
    switch (request) {
    case FIONREAD:
    case FIONBIO:
    case SIOCATMARK:
    case SIOCOUTQ:
    case SIOCOUTQNSD:
        return ioctl(fd, request, argument);
    default:
        return calls_fail(EOPNOTSUPP);
    }
}

/* ---- status ---- */

static enum adapter_owner
owner_of(const char *name)
{
    if (strcmp(name, "target") == 0)
        return ADAPTER_TARGET;
    if (strcmp(name, "kernel") == 0)
        return ADAPTER_KERNEL;
    return strcmp(name, "none") == 0 ? ADAPTER_NOBODY : ADAPTER_MOVING;
}

static void
fill_last(const struct hoststack_move *move, struct adapter_status *status)
{
    status->last_move_was_down = move->down;
    snprintf(status->reason, sizeof(status->reason), "%s", hoststack_reason_token(move->reason));
    snprintf(status->words, sizeof(status->words), "%s", hoststack_reason_words(move->reason));
}

int
call_status(struct adapter *adapter, int fd, struct adapter_status *status)
{
    struct hoststack_conn_info info = {0};
    struct hoststack_totals totals;
    struct entry entry;

    if (!calls_settle(adapter, fd) || !table_read(adapter->table, fd, &entry))
        return -1;
    *status = (struct adapter_status){.owner = ADAPTER_NOBODY};
    if (behind_look(adapter->behind, &entry.local, &entry.peer, &info, &totals))
        status->owner = owner_of(info.owner);
    table_read(adapter->table, fd, &entry); /* a move may have ended meanwhile */
    if (entry.moved)
        fill_last(&entry.last, status);
    status->moves_down = info.moves_down;
    status->moves_up = info.moves_up;
    status->bytes_out = info.engine_bytes_out;
    status->bytes_in = info.engine_bytes_in;
    status->wire_segments = totals.wire_segments_out;
    status->wire_retransmits = totals.wire_retransmits;
    return 0;
}
