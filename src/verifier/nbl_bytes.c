/*
 * The bytes of NBLs: whether they are there, what they are, and which are owed. A NET_BUFFER is
 * read from the start of its MDL chain and its DataOffset, so what was posted is found again after
 * an advance. What is owed is kept as a copy: the memory is the target's, which may do with it what
 * it likes as long as the bytes come.
 */
#include "verifier/nbls.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define MDLS_MAX 65536u /* of one NET_BUFFER; more is a circle */

/* ---- bytes ---- */

struct place {
    const MDL *mdl;
    ULONG offset, left;
};

/* The next piece of contiguous bytes; NULL: no more. */
static const UCHAR *
next_piece(struct place *at, ULONG *bytes)
{
    const UCHAR *piece;

    while (at->mdl && at->left && at->offset >= at->mdl->ByteCount) {
        at->offset -= at->mdl->ByteCount;
        at->mdl = at->mdl->Next;
    }
    if (!at->mdl || !at->left)
        return NULL;
    *bytes = at->mdl->ByteCount - at->offset;
    if (*bytes > at->left)
        *bytes = at->left;
    piece = (const UCHAR *)MmGetSystemAddressForMdlSafe(at->mdl, NormalPagePriority) + at->offset;
    at->offset += *bytes;
    at->left -= *bytes;
    return piece;
}

uint64_t
nbl_hash(const struct shadow_nbl *nbl)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < nbl->buffer_count; i++) {
        const struct shadow_buffer *buffer = &nbl->buffers[i];
        struct place at = {buffer->chain, buffer->offset, buffer->length};
        const UCHAR *piece;
        ULONG bytes;

        while ((piece = next_piece(&at, &bytes)))
            hash = hash_bytes(piece, bytes, hash);
    }
    return hash;
}

bool
nb_fits(const NET_BUFFER *nb)
{
    uint64_t room = 0, before = 0;
    unsigned count = 0;
    bool current = false;

    for (const MDL *mdl = NET_BUFFER_FIRST_MDL(nb); mdl; mdl = mdl->Next) {
        if (++count > MDLS_MAX)
            return false;
        if (mdl == NET_BUFFER_CURRENT_MDL(nb)) {
            current = true;
            before = room;
        }
        room += mdl->ByteCount;
    }
    if (!NET_BUFFER_DATA_LENGTH(nb))
        return true;
    return current && before + NET_BUFFER_CURRENT_MDL_OFFSET(nb) == NET_BUFFER_DATA_OFFSET(nb) &&
           room >= (uint64_t)NET_BUFFER_DATA_OFFSET(nb) + NET_BUFFER_DATA_LENGTH(nb);
}

bool
nbl_fits(const NET_BUFFER_LIST *nbl)
{
    for (const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb))
        if (!nb_fits(nb))
            return false;
    return NET_BUFFER_LIST_FIRST_NB(nbl) != NULL;
}

bool
nbl_is_locked(const NET_BUFFER_LIST *nbl)
{
    for (const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb))
        for (const MDL *mdl = NET_BUFFER_FIRST_MDL(nb); mdl; mdl = mdl->Next)
            if (!(mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL)))
                return false;
    return true;
}

ULONG
nbl_read(const NET_BUFFER *nb, UCHAR *to, ULONG length)
{
    struct place at = {NET_BUFFER_FIRST_MDL(nb), NET_BUFFER_DATA_OFFSET(nb), length};
    const UCHAR *piece;
    ULONG bytes, done = 0;

    for (; (piece = next_piece(&at, &bytes)); done += bytes)
        memcpy(to + done, piece, bytes);
    return done;
}

ULONG
nbl_transferred(const NET_BUFFER_LIST *nbl)
{
    return (ULONG)(ULONG_PTR)nbl->NetBufferListInfo[TcpOffloadBytesTransferred];
}

ULONG
nbl_data_length(const NET_BUFFER_LIST *nbl)
{
    ULONG bytes = 0;

    for (const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb))
        bytes += NET_BUFFER_DATA_LENGTH(nb);
    return bytes;
}

/* ---- what is owed ---- */

void
owed_settle(struct shadow_owed *owed)
{
    free(owed->bytes);
    *owed = (struct shadow_owed){NULL, 0, 0, 0};
}

/* Behind what is owed already. false: out of memory, nothing is. */
static bool
owe(struct shadow_owed *owed, unsigned rule, const struct shadow_buffer *buffer, ULONG skip)
{
    ULONG more = buffer->length - skip, old = owed->length - owed->at;
    struct place at = {buffer->chain, buffer->offset + skip, more};
    UCHAR *bytes = malloc((size_t)old + more + 1);
    const UCHAR *piece;
    ULONG step;

    if (!bytes) {
        owed_settle(owed);
        return false;
    }
    if (old)
        memcpy(bytes, owed->bytes + owed->at, old);
    free(owed->bytes);
    *owed = (struct shadow_owed){.bytes = bytes, .length = old, .rule = rule};
    for (; (piece = next_piece(&at, &step)); owed->length += step)
        memcpy(bytes + owed->length, piece, step);
    return true;
}

void
owed_chain(struct shadow_owed *owed, unsigned rule, const NET_BUFFER_LIST *chain)
{
    for (; chain; chain = chain->Next) {
        if (!nbl_fits(chain)) {
            owed_settle(owed);
            return;
        }
        for (const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(chain); nb;
             nb = NET_BUFFER_NEXT_NB(nb)) {
            struct shadow_buffer buffer = {NET_BUFFER_DATA_LENGTH(nb), NET_BUFFER_DATA_OFFSET(nb),
                                           NET_BUFFER_FIRST_MDL(nb)};

            if (!owe(owed, rule, &buffer, 0))
                return;
        }
    }
}

void
owed_rest(struct shadow_owed *owed, const struct shadow_nbl *nbl, ULONG consumed)
{
    const struct shadow_buffer *buffer = &nbl->buffers[0];

    if (owed->bytes && owed->length - owed->at >= buffer->length) {
        owed->at += consumed; /* a part of what is owed anyhow */
        return;
    }
    owed_settle(owed);
    if (consumed < buffer->length)
        owe(owed, 109, buffer, consumed);
}

bool
owed_matches(const struct shadow_owed *owed, const MDL *chain, ULONG offset, ULONG bytes)
{
    ULONG left = owed->length - owed->at, done = 0, step;
    struct place at = {chain, offset, bytes < left ? bytes : left};
    const UCHAR *piece;

    if (!owed->bytes)
        return true;
    for (; (piece = next_piece(&at, &step)); done += step)
        if (memcmp(owed->bytes + owed->at + done, piece, step))
            return false;
    return true;
}

void
owed_delivered(struct shadow_owed *owed, ULONG bytes)
{
    if (bytes >= owed->length - owed->at)
        owed_settle(owed);
    else
        owed->at += bytes;
}
