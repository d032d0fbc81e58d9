/*
 * The table of connections by 4-tuple: whose a received frame is. It grows with the connections and
 * never stands still for it: a table of twice the size is put beside the old one, and every
 * operation that follows carries a few buckets over. Until that is done a connection is in the old
 * table if its bucket there has not been carried over, otherwise in the new one: either way one
 * bucket is looked through. It does not shrink: empty buckets cost little, and come back to use.
 *
 * A connection keeps its hash, so that strangers in a bucket are told by one word, and nothing is
 * computed again when it moves.
 */
#include "target/soft/conn.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 64u
#define CARRY 4u /* buckets with each operation: twice as many as are needed to be done in time */

bool
soft_map_init(struct soft_map *map, uint64_t seed)
{
    *map = (struct soft_map){.seed = seed, .mask = BUCKETS_MIN - 1};
    map->buckets = calloc(BUCKETS_MIN, sizeof *map->buckets);
    return map->buckets;
}

void
soft_map_fini(struct soft_map *map)
{
    free(map->former);
    free(map->buckets);
}

/* ---- growing ---- */

static void
carry(struct soft_map *map)
{
    for (unsigned i = 0; map->former && i < CARRY; i++) {
        struct soft_conn *conn = map->former[map->carried++];
        while (conn) {
            struct soft_conn *next = conn->next, **to = &map->buckets[conn->hash & map->mask];
            conn->next = *to;
            *to = conn;
            conn = next;
        }
        if (map->carried > map->former_mask) {
            free(map->former);
            map->former = NULL;
        }
    }
}

/* Out of memory: the buckets get longer. */
static void
grow(struct soft_map *map)
{
    struct soft_conn **larger = calloc(2 * ((size_t)map->mask + 1), sizeof *larger);

    if (!larger)
        return;
    map->former = map->buckets;
    map->former_mask = map->mask;
    map->carried = 0;
    map->buckets = larger;
    map->mask = 2 * map->mask + 1;
}

static struct soft_conn **
bucket_of(struct soft_map *map, uint32_t hash)
{
    if (map->former && (hash & map->former_mask) >= map->carried)
        return &map->former[hash & map->former_mask];
    return &map->buckets[hash & map->mask];
}

/* ---- use ---- */

static uint32_t
hash_of(const struct soft_map *map, const struct soft_key *key)
{
    return (uint32_t)hash_tuple(key->local, key->peer, key->ipv6 ? 16 : 4, key->local_port,
                                key->peer_port, map->seed);
}

static bool
same_key(const struct soft_key *a, const struct soft_key *b)
{
    size_t len = a->ipv6 ? 16 : 4;

    return a->ipv6 == b->ipv6 && a->local_port == b->local_port && a->peer_port == b->peer_port &&
           !memcmp(a->local, b->local, len) && !memcmp(a->peer, b->peer, len);
}

void
soft_conn_insert(struct soft_conn *conn)
{
    struct soft_map *map = &conn->object.adapter->map;

    carry(map);
    if (!map->former && map->count > map->mask)
        grow(map);
    conn->hash = hash_of(map, &conn->key);
    struct soft_conn **bucket = bucket_of(map, conn->hash);
    conn->next = *bucket;
    *bucket = conn;
    map->count++;
}

/* The next in the bucket, from conn on, that has the key. */
static struct soft_conn *
next_of(struct soft_conn *conn, uint32_t hash, const struct soft_key *key)
{
    while (conn && (conn->hash != hash || !same_key(&conn->key, key)))
        conn = conn->next;
    return conn;
}

struct soft_conn *
soft_conn_find(struct soft_adapter *adapter, const struct soft_key *key, unsigned vlan)
{
    uint32_t hash = hash_of(&adapter->map, key);
    struct soft_conn *conn = next_of(*bucket_of(&adapter->map, hash), hash, key);

    /* A path may be relinked to a neighbor in another VLAN, so the id is asked for and not kept. */
    while (conn && soft_path_neighbor(soft_conn_path(conn))->constant.VlanId != vlan)
        conn = next_of(conn->next, hash, key);
    return conn;
}

struct soft_conn *
soft_conn_find_any(struct soft_adapter *adapter, const struct soft_key *key)
{
    uint32_t hash = hash_of(&adapter->map, key);

    return next_of(*bucket_of(&adapter->map, hash), hash, key);
}

void
soft_conn_remove(struct soft_conn *conn)
{
    struct soft_map *map = &conn->object.adapter->map;
    struct soft_conn **at;

    carry(map);
    at = bucket_of(map, conn->hash);
    while (*at && *at != conn)
        at = &(*at)->next;
    if (*at) {
        *at = conn->next;
        map->count--;
    }
    conn->next = NULL;
}
