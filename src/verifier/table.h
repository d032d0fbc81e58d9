/* A table of things found by a pointer. The entry is a member of the thing; nothing is copied. */
#ifndef VERIFIER_TABLE_H
#define VERIFIER_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct table_entry {
    const void *key;
    struct table_entry *next; /* in its bucket; newest first */
};

struct table {
    struct table_entry **buckets;
    size_t mask, count;
};

/* false: out of memory. */
bool table_init(struct table *table);
/* The entries are the caller's. */
void table_fini(struct table *table);
/* A key may be added again: the newest is found first. Growing may fail; then it gets slower. */
void table_add(struct table *table, struct table_entry *entry, const void *key);
void table_remove(struct table *table, struct table_entry *entry);
/* NULL: not there. */
struct table_entry *table_find(const struct table *table, const void *key);
/* The next older one with the same key. */
struct table_entry *table_find_older(const struct table_entry *entry);
/* Any entry, to empty a table; NULL: it is empty. */
struct table_entry *table_any(const struct table *table);
/* Every entry; fn may remove the one it is given. */
void table_each(struct table *table, void (*fn)(void *arg, struct table_entry *entry), void *arg);

#endif
