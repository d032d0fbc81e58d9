/* Bytes and lists of NBLs (stream.h). */
#include "stream.h"

void
stream_fill(UCHAR *bytes, ULONG length, ULONG port, bool from_peer, ULONG seq)
{
    for (ULONG i = 0; i < length; i++)
        bytes[i] = stream_byte(port, from_peer, seq + i);
}

ULONG
stream_length(const NET_BUFFER_LIST *nbl)
{
    ULONG length = 0;

    for (const NET_BUFFER *nb = nbl->FirstNetBuffer; nb; nb = nb->Next)
        length += nb->DataLength;
    return length;
}

/* Compares up to *left bytes of one NET_BUFFER, from *seq on. */
static ULONG
nb_wrong(const NET_BUFFER *nb, ULONG *left, ULONG port, bool from_peer, ULONG *seq)
{
    ULONG wrong = 0, offset = nb->CurrentMdlOffset;
    ULONG length = nb->DataLength < *left ? nb->DataLength : *left;

    *left -= length;
    for (const MDL *mdl = nb->CurrentMdl; mdl && length; mdl = mdl->Next, offset = 0) {
        const UCHAR *bytes = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);

        for (; offset < mdl->ByteCount && length; offset++, length--)
            wrong += bytes[offset] != stream_byte(port, from_peer, (*seq)++);
    }
    return wrong + length;
}

ULONG
stream_wrong(const NET_BUFFER_LIST *nbl, ULONG length, ULONG port, bool from_peer, ULONG seq)
{
    ULONG wrong = 0;

    for (const NET_BUFFER *nb = nbl->FirstNetBuffer; nb && length; nb = nb->Next)
        wrong += nb_wrong(nb, &length, port, from_peer, &seq);
    return wrong + length;
}

void
stream_advance(NET_BUFFER_LIST *nbl, ULONG bytes)
{
    for (NET_BUFFER *nb = nbl->FirstNetBuffer; nb && bytes; nb = nb->Next) {
        ULONG part = bytes < nb->DataLength ? bytes : nb->DataLength;

        NdisAdvanceNetBufferDataStart(nb, part, FALSE, NULL);
        bytes -= part;
    }
}

void
stream_chain_add(struct stream_chain *chain, NET_BUFFER_LIST *nbl)
{
    nbl->Next = NULL;
    if (chain->head)
        chain->tail->Next = nbl;
    else
        chain->head = nbl;
    chain->tail = nbl;
}

NET_BUFFER_LIST *
stream_chain_take(struct stream_chain *chain)
{
    NET_BUFFER_LIST *list = chain->head;

    chain->head = chain->tail = NULL;
    return list;
}
