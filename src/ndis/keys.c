/*
 * Keywords and values of an adapter or a driver: what elsewhere is in the registry. Values are
 * text, whatever type a driver reads or writes them as. A keyword below a sub key has the name of
 * both, "SubKey\Keyword"; case does not matter.
 *
 * A driver takes a keyword that it does not know for one that is not there: it cannot list them. So
 * what a driver asks for while it is initialised is what it knows, and what the program gave and
 * nobody asked for is a mistake of whoever wrote it (given.c).
 */
#include "ndis/objects.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct key {
    struct list link;
    char *value;
    bool given;               /* by the program; otherwise the driver wrote it */
    bool asked, understood;   /* by the driver */
    NDIS_PARAMETER_TYPE type; /* it wanted, if asked */
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

/* name is one of those in list. */
static bool
is_listed(const char *list, const char *name)
{
    while (*list) {
        size_t length = strcspn(list, ",");

        if (length == strlen(name) && begins(list, name, length))
            return true;
        list += length;
        list += strspn(list, ", ");
    }
    return false;
}

/* Somebody asks for it, whether it is there or not. */
static void
note_asked(struct ndis_keys *keys, const char *name)
{
    size_t length, more = strlen(name) + 2;

    sys_lock_take(&keys->lock);
    length = strlen(keys->asked);
    if (keys->listening && length + more < sizeof(keys->asked) && !is_listed(keys->asked, name))
        snprintf(keys->asked + length, sizeof(keys->asked) - length, "%s%s", length ? ", " : "",
                 name);
    sys_lock_give(&keys->lock);
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
    note_asked(keys, name);
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

void
ndis_keys_read(struct ndis_keys *keys, const char *name, NDIS_PARAMETER_TYPE type, bool understood)
{
    struct key *key;

    sys_lock_take(&keys->lock);
    key = find(keys, name);
    if (key) {
        key->asked = true;
        key->understood |= understood;
        key->type = type;
    }
    sys_lock_give(&keys->lock);
}

bool
ndis_keys_misfit(struct ndis_keys *keys, unsigned n, struct ndis_misfit *out)
{
    bool found = false;

    sys_lock_take(&keys->lock);
    list_for_each(key, &keys->list, struct key, link) {
        if (!key->given || key->understood || found || n-- > 0)
            continue;
        found = true;
        snprintf(out->name, sizeof(out->name), "%s", key->name);
        snprintf(out->value, sizeof(out->value), "%s", key->value);
        out->asked = key->asked;
        out->type = key->type;
    }
    sys_lock_give(&keys->lock);
    return found;
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

static int
set(struct ndis_keys *keys, const char *name, const char *value, bool given)
{
    struct key *key = key_new(name, value), *old;

    if (!key)
        return -ENOMEM;
    key->given = given;
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
ndis_keys_set(struct ndis_keys *keys, const char *name, const char *value)
{
    return set(keys, name, value, false);
}

/* Drivers would hear of one, and nobody of the other. */
static bool
are_distinct(const struct house_option *options)
{
    for (const struct house_option *at = options; at && at->name; at++) {
        for (const struct house_option *other = options; other < at; other++) {
            if (!begins(other->name, at->name, strlen(at->name) + 1))
                continue;
            log_error("option %s is given twice, as %s and as %s", at->name,
                      other->value ? other->value : "", at->value ? at->value : "");
            return false;
        }
    }
    return true;
}

int
ndis_keys_set_all(struct ndis_keys *keys, const struct house_option *options)
{
    int error = are_distinct(options) ? 0 : -EINVAL;

    for (; !error && options && options->name; options++)
        error = set(keys, options->name, options->value ? options->value : "", true);
    return error;
}

/* from is not changed meanwhile: it is a plan's, the loop's thread only. */
int
ndis_keys_copy(struct ndis_keys *to, struct ndis_keys *from)
{
    int error = 0;

    list_for_each(key, &from->list, struct key, link)
        if (!error)
            error = set(to, key->name, key->value, true);
    return error;
}
