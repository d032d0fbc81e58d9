/* Chained buckets, doubled when there are as many entries. A run that cannot grow only slows. */
#include "verifier/table.h"

#include "base/hash.h"

#include <stdlib.h>

#define FIRST_BUCKETS 64

static size_t
slot(const struct table *table, const void *key)
{
    return (size_t)hash_word(0, (uintptr_t)key) & table->mask;
}

bool
table_init(struct table *table)
{
    *table = (struct table){.buckets = calloc(FIRST_BUCKETS, sizeof(*table->buckets)),
                            .mask = FIRST_BUCKETS - 1};
    return table->buckets != NULL;
}

void
table_fini(struct table *table)
{
    free(table->buckets);
    *table = (struct table){NULL, 0, 0};
}

static void
link_oldest(struct table *table, struct table_entry *entry)
{
    struct table_entry **at = &table->buckets[slot(table, entry->key)];

    while (*at)
        at = &(*at)->next;
    entry->next = NULL;
    *at = entry;
}

static void
grow(struct table *table)
{
    struct table old = *table;
    size_t buckets = (old.mask + 1) * 2;

    table->buckets = calloc(buckets, sizeof(*table->buckets));
    if (!table->buckets) {
        *table = old;
        return;
    }
    table->mask = buckets - 1;
    for (size_t i = 0; i <= old.mask; i++)
        for (struct table_entry *entry = old.buckets[i]; entry;) {
            struct table_entry *next = entry->next;

            link_oldest(table, entry); /* the order of equal keys stays */
            entry = next;
        }
    free(old.buckets);
}

void
table_add(struct table *table, struct table_entry *entry, const void *key)
{
    if (table->count > table->mask)
        grow(table);
    struct table_entry **bucket = &table->buckets[slot(table, key)];
    entry->key = key;
    entry->next = *bucket;
    *bucket = entry;
    table->count++;
}

void
table_remove(struct table *table, struct table_entry *entry)
{
    struct table_entry **at = &table->buckets[slot(table, entry->key)];

    while (*at && *at != entry)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = entry->next;
    entry->next = NULL;
    table->count--;
}

static struct table_entry *
match(struct table_entry *entry, const void *key)
{
    while (entry && entry->key != key)
        entry = entry->next;
    return entry;
}

struct table_entry *
table_find(const struct table *table, const void *key)
{
    return match(table->buckets[slot(table, key)], key);
}

struct table_entry *
table_find_older(const struct table_entry *entry)
{
    return match(entry->next, entry->key);
}

struct table_entry *
table_any(const struct table *table)
{
    for (size_t i = 0; table->buckets && i <= table->mask; i++)
        if (table->buckets[i])
            return table->buckets[i];
    return NULL;
}

void
table_each(struct table *table, void (*fn)(void *arg, struct table_entry *entry), void *arg)
{
    for (size_t i = 0; table->buckets && i <= table->mask; i++)
        for (struct table_entry *entry = table->buckets[i]; entry;) {
            struct table_entry *next = entry->next;

            fn(arg, entry);
            entry = next;
        }
}
