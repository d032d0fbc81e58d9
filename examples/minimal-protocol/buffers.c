/* Data: NET_BUFFER_LISTs around bytes of ours, and a look at the bytes that come back. */
#include "minimal_protocol.h"

UCHAR
byte_at(ULONG at)
{
    return (UCHAR)(at * 31 + (at >> 8));
}

PNET_BUFFER_LIST
wrap(PVOID bytes, ULONG length)
{
    PMDL mdl = length ? NdisAllocateMdl(protocol, bytes, length) : NULL;
    PNET_BUFFER_LIST nbl;

    if (length && !mdl)
        return NULL;
    nbl = NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, mdl, 0, length);
    if (!nbl && mdl)
        NdisFreeMdl(mdl);
    return nbl;
}

void
unwrap(PNET_BUFFER_LIST nbl)
{
    PMDL mdl = NET_BUFFER_FIRST_MDL(NET_BUFFER_LIST_FIRST_NB(nbl));

    NdisFreeNetBufferList(nbl);
    if (mdl)
        NdisFreeMdl(mdl);
}

struct buffer *
take_back(PNET_BUFFER_LIST nbl)
{
    struct buffer *buffer = nbl->ProtocolReserved[0];

    buffer->nbl = NULL;
    unwrap(nbl);
    return buffer;
}

ULONG
transferred(PNET_BUFFER_LIST nbl)
{
    return (ULONG)(ULONG_PTR)NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred);
}

void
compare(struct binding *b, const UCHAR *bytes, ULONG length)
{
    for (ULONG i = 0; i < length; i++)
        b->bad += bytes[i] != byte_at(b->received + i);
    b->received += length;
}

/* The data of an NBL may lie in many MDLs, and need not begin at the start of the first. */
void
compare_all(struct binding *b, PNET_BUFFER_LIST nbl)
{
    PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    ULONG left = NET_BUFFER_DATA_LENGTH(nb), offset = NET_BUFFER_CURRENT_MDL_OFFSET(nb);

    for (PMDL mdl = NET_BUFFER_CURRENT_MDL(nb); mdl && left; mdl = mdl->Next) {
        const UCHAR *bytes = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
        ULONG here = MmGetMdlByteCount(mdl) - offset;

        here = here < left ? here : left;
        compare(b, bytes + offset, here);
        left -= here;
        offset = 0;
    }
}
