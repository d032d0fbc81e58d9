/*
 * The descriptors that came from socket and accept. One lock around a table by number: it is held
 * for a few instructions, and never over a system call but those of its end. The house's thread
 * comes here to leave what it hears of moves.
 */
#include "parts.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct table {
    pthread_mutex_t lock;
    struct entry *entries; /* by descriptor */
    int count;
};

struct table *
table_create(void)
{
    struct table *table = calloc(1, sizeof(*table));

    if (table != NULL)
        pthread_mutex_init(&table->lock, NULL);
    return table;
}

void
table_close_all(struct table *table)
{
    pthread_mutex_lock(&table->lock);
    for (int fd = 0; fd < table->count; fd++) {
        if (table->entries[fd].state != ENTRY_FREE)
            close(fd);
        table->entries[fd].state = ENTRY_FREE;
    }
    pthread_mutex_unlock(&table->lock);
}

void
table_destroy(struct table *table)
{
    pthread_mutex_destroy(&table->lock);
    free(table->entries);
    free(table);
}

/* Under the lock. NULL: not ours. */
static struct entry *
find(struct table *table, int fd)
{
    if (fd < 0 || fd >= table->count || table->entries[fd].state == ENTRY_FREE)
        return NULL;
    return &table->entries[fd];
}

static bool
grow(struct table *table, int fd)
{
    int count = fd < 32 ? 64 : 2 * fd;
    struct entry *entries;

    if (fd < table->count)
        return true;
    entries = realloc(table->entries, (size_t)count * sizeof(*entries));
    if (entries == NULL)
        return false;
    memset(entries + table->count, 0, (size_t)(count - table->count) * sizeof(*entries));
    table->entries = entries;
    table->count = count;
    return true;
}

int
table_add(struct table *table, int fd)
{
    bool done;

    pthread_mutex_lock(&table->lock);
    done = grow(table, fd);
    if (done)
        table->entries[fd] = (struct entry){.state = ENTRY_FRESH};
    pthread_mutex_unlock(&table->lock);
    return done ? 0 : -ENOMEM;
}

bool
table_remove(struct table *table, int fd)
{
    struct entry *entry;

    pthread_mutex_lock(&table->lock);
    entry = find(table, fd);
    if (entry != NULL)
        entry->state = ENTRY_FREE;
    pthread_mutex_unlock(&table->lock);
    return entry != NULL;
}

bool
table_read(struct table *table, int fd, struct entry *out)
{
    const struct entry *entry;

    pthread_mutex_lock(&table->lock);
    entry = find(table, fd);
    if (entry != NULL)
        *out = *entry;
    pthread_mutex_unlock(&table->lock);
    return entry != NULL;
}

bool
table_change(struct table *table, int fd, enum entry_state from, enum entry_state to)
{
    struct entry *entry;
    bool done;

    pthread_mutex_lock(&table->lock);
    entry = find(table, fd);
    done = entry != NULL && entry->state == from;
    if (done)
        entry->state = to;
    pthread_mutex_unlock(&table->lock);
    return done;
}

void
table_renew(struct table *table, int fd)
{
    struct entry *entry;

    pthread_mutex_lock(&table->lock);
    entry = find(table, fd);
    if (entry != NULL)
        *entry = (struct entry){.state = ENTRY_FRESH};
    pthread_mutex_unlock(&table->lock);
}

void
table_set_ends(struct table *table, int fd, const struct hoststack_endpoint *local,
               const struct hoststack_endpoint *peer)
{
    struct entry *entry;

    pthread_mutex_lock(&table->lock);
    entry = find(table, fd);
    if (entry != NULL) {
        entry->local = *local;
        entry->peer = *peer;
    }
    pthread_mutex_unlock(&table->lock);
}

static bool
same_end(const struct hoststack_endpoint *a, const struct hoststack_endpoint *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

void
table_on_move(void *arg, const struct hoststack_move *move)
{
    struct table *table = arg;

    pthread_mutex_lock(&table->lock);
    for (int fd = 0; fd < table->count; fd++) {
        struct entry *entry = &table->entries[fd];

        if (entry->state != ENTRY_CONNECTED || !same_end(&entry->local, &move->conn.local) ||
            !same_end(&entry->peer, &move->conn.peer))
            continue;
        entry->last = *move;
        entry->moved = true;
    }
    pthread_mutex_unlock(&table->lock);
}
