/*
 * The bytes that the three drivers of the scenario exchange. Byte number seq of a connection can be
 * computed by everybody, so everybody compares what it gets. Also the few walks over NBLs that they
 * share.
 */
#ifndef TESTS_VERIFIER_STREAM_H
#define TESTS_VERIFIER_STREAM_H

#include <ndischimney.h>

/* from_peer: the direction. */
static inline UCHAR
stream_byte(ULONG port, bool from_peer, ULONG seq)
{
    return (UCHAR)((seq * 2654435761u >> 19) + port * 7 + (from_peer ? 129 : 0));
}

/* Ports in states and segments are in network order. */
static inline USHORT
stream_port(USHORT port)
{
    const UCHAR *bytes = (const UCHAR *)&port;

    return (USHORT)(bytes[0] << 8 | bytes[1]);
}

void stream_fill(UCHAR *bytes, ULONG length, ULONG port, bool from_peer, ULONG seq);

/* Data bytes of all NET_BUFFERs. */
ULONG stream_length(const NET_BUFFER_LIST *nbl);
/* How many bytes of the first `length` are not those of the stream from seq on; missing ones count.
 */
ULONG stream_wrong(const NET_BUFFER_LIST *nbl, ULONG length, ULONG port, bool from_peer, ULONG seq);
/* Advances the NET_BUFFERs, first to last, by so many bytes in all; MDLs stay (V-078, V-094). */
void stream_advance(NET_BUFFER_LIST *nbl, ULONG bytes);

/* A list linked by Next. */
struct stream_chain {
    NET_BUFFER_LIST *head, *tail;
};
/* Appends one NBL. */
void stream_chain_add(struct stream_chain *chain, NET_BUFFER_LIST *nbl);
/* The list, which is empty afterwards. */
NET_BUFFER_LIST *stream_chain_take(struct stream_chain *chain);

#endif
