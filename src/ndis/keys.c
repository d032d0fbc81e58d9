/*
 * Keywords and values of an adapter or a driver: what elsewhere is in the registry. Values are
 * text, whatever type a driver reads or writes them as. A keyword below a sub key has the name of
 * both, "SubKey\Keyword"; case does not matter.
 */
#include "ndis/objects.h"

#include <errno.h>
#include <stdlib.h>

struct key {
    struct list link;
    char *value;
    char name[];
};

static char
folded(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* name begins with so many characters of start. */
static bool
begins(const char *name, const char *start, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (folded(name[i]) != folded(start[i]))
            return false;
    return true;
}

void
ndis_keys_init(struct ndis_keys *keys)
{
    keys->lock = (struct sys_lock){false};
    list_init(&keys->list);
}

void
ndis_keys_fini(struct ndis_keys *keys)
{
    list_for_each_safe(key, &keys->list, struct key, link) {
        list_del(&key->link);
        free(key->value);
        free(key);
    }
}

/* Under the lock. */
static struct key *
find(const struct ndis_keys *keys, const char *name)
{
    list_for_each(key, &keys->list, struct key, link)
        if (begins(key->name, name, strlen(name) + 1))
            return key;
    return NULL;
}

/* How long the value is, with its end; 0: there is none. What fits in a copy of that size goes
 * there. */
static size_t
copy(struct ndis_keys *keys, const char *name, char *to, size_t room)
{
    size_t size = 0;
    struct key *key;

    sys_lock_take(&keys->lock);
    key = find(keys, name);
    if (key) {
        size = strlen(key->value) + 1;
        if (size <= room)
            memcpy(to, key->value, size);
    }
    sys_lock_give(&keys->lock);
    return size;
}

char *
ndis_keys_get(struct ndis_keys *keys, const char *name, int *error)
{
    size_t room = 0, size;
    char *value = NULL;

    *error = 0;
    /* It may be set to something longer meanwhile. */
    while ((size = copy(keys, name, value, room)) > room) {
        free(value);
        value = malloc(size);
        room = size;
        if (!value) {
            *error = -ENOMEM;
            return NULL;
        }
    }
    if (size)
        return value;
    free(value);
    return NULL;
}

bool
ndis_keys_below(struct ndis_keys *keys, const char *sub_key)
{
    size_t length = strlen(sub_key);
    bool found = false;

    sys_lock_take(&keys->lock);
    list_for_each(key, &keys->list, struct key, link)
        found |= strlen(key->name) > length && begins(key->name, sub_key, length) &&
                 key->name[length] == '\\';
    sys_lock_give(&keys->lock);
    return found;
}

static struct key *
key_new(const char *name, const char *value)
{
    struct key *key = calloc(1, sizeof(*key) + strlen(name) + 1);

    if (!key)
        return NULL;
    list_init(&key->link);
    memcpy(key->name, name, strlen(name));
    key->value = strdup(value);
    if (key->value)
        return key;
    free(key);
    return NULL;
}

int
ndis_keys_set(struct ndis_keys *keys, const char *name, const char *value)
{
    struct key *key = key_new(name, value), *old;

    if (!key)
        return -ENOMEM;
    sys_lock_take(&keys->lock);
    old = find(keys, name);
    if (old)
        list_del(&old->link);
    list_add_tail(&keys->list, &key->link);
    sys_lock_give(&keys->lock);
    if (old) {
        free(old->value);
        free(old);
    }
    return 0;
}

int
ndis_keys_set_all(struct ndis_keys *keys, const struct house_option *options)
{
    int error = 0;

    for (; !error && options && options->name; options++)
        error = ndis_keys_set(keys, options->name, options->value ? options->value : "");
    return error;
}

/* from is not changed meanwhile: it is a plan's, the loop's thread only. */
int
ndis_keys_copy(struct ndis_keys *to, struct ndis_keys *from)
{
    int error = 0;

    list_for_each(key, &from->list, struct key, link)
        if (!error)
            error = ndis_keys_set(to, key->name, key->value);
    return error;
}
