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

static struct key *
find(const struct ndis_keys *keys, const char *name)
{
    list_for_each(key, &keys->list, struct key, link)
        if (begins(key->name, name, strlen(name) + 1))
            return key;
    return NULL;
}

const char *
ndis_keys_get(const struct ndis_keys *keys, const char *name)
{
    struct key *key = find(keys, name);

    return key ? key->value : NULL;
}

bool
ndis_keys_below(const struct ndis_keys *keys, const char *sub_key)
{
    size_t length = strlen(sub_key);

    list_for_each(key, &keys->list, struct key, link)
        if (strlen(key->name) > length && begins(key->name, sub_key, length) &&
            key->name[length] == '\\')
            return true;
    return false;
}

int
ndis_keys_set(struct ndis_keys *keys, const char *name, const char *value)
{
    struct key *key = find(keys, name);
    char *copy = strdup(value);

    if (!copy)
        return -ENOMEM;
    if (!key) {
        key = calloc(1, sizeof(*key) + strlen(name) + 1);
        if (!key) {
            free(copy);
            return -ENOMEM;
        }
        memcpy(key->name, name, strlen(name));
        list_add_tail(&keys->list, &key->link);
    }
    free(key->value);
    key->value = copy;
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
