/*
 * The regular path through a VLAN. Somebody else's frame is never written to: it may have other
 * readers, and must come home unchanged. So each NET_BUFFER_LIST gets one of ours in its place,
 * whose frames have a link header of our own in front of the rest of the original's memory; the
 * original waits behind ParentNetBufferList until ours is back.
 *
 * Down, what has no tag gets ours; a tag without an id is completed, not doubled; one with an id
 * keeps it and gets ours in front. Up, a VLAN takes what carries its id and nothing else (a tag
 * without an id is no VLAN), and takes the tag off; with Id=0 everything is taken, and tags without
 * an id come off. Tags are in the bytes of the frame: nobody below looks at
 * Ieee8021QNetBufferListInfo. Offsets that count from the start of the frame move with the tag.
 * Source: IEEE 802.1Q, 6.9 and 9.6.
 */
#include "base/bytes.h"
#include "intermediate/vlan/vlan.h"

#define LINK_BYTES 14u
#define TAGGED_BYTES (LINK_BYTES + VLAN_TAG_BYTES)
#define ETHERTYPE_TAG 0x8100u
#define ID_MASK 0xfffu
#define PRIORITY_SHIFT 13

/* The link header of a frame, as it was and as it will be. */
struct link {
    UCHAR bytes[TAGGED_BYTES];
    bool tagged;
    unsigned tag;       /* if tagged */
    ULONG skip, length; /* what it replaces, what it is */
};

/* What is ours in one frame of ours; its MDL describes link. */
struct piece {
    UCHAR link[TAGGED_BYTES];
    PMDL rest; /* the first of the original's that is used in part; NULL: none is */
};

struct queue {
    PNET_BUFFER_LIST head, *tail;
    ULONG count;
};

static void
queue_init(struct queue *queue)
{
    queue->head = NULL;
    queue->tail = &queue->head;
    queue->count = 0;
}

static void
queue_add(struct queue *queue, PNET_BUFFER_LIST nbl)
{
    NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
    *queue->tail = nbl;
    queue->tail = &NET_BUFFER_LIST_NEXT_NBL(nbl);
    queue->count++;
}

/* ---- link headers ---- */

/* false: too short for one. */
static bool
link_read(PNET_BUFFER nb, struct link *link)
{
    ULONG there = NET_BUFFER_DATA_LENGTH(nb) < TAGGED_BYTES ? LINK_BYTES : TAGGED_BYTES;
    const UCHAR *bytes = NdisGetDataBuffer(nb, there, link->bytes, 1, 0);

    if (!bytes)
        return false;
    if (bytes != link->bytes)
        NdisMoveMemory(link->bytes, bytes, there);
    link->tagged = there == TAGGED_BYTES && bytes_load_be16(link->bytes + 12) == ETHERTYPE_TAG;
    link->tag = link->tagged ? bytes_load_be16(link->bytes + 14) : 0;
    link->skip = link->length = LINK_BYTES;
    return true;
}

static void
link_insert(struct link *link, unsigned tag)
{
    bytes_store_be16(link->bytes + 16, bytes_load_be16(link->bytes + 12));
    bytes_store_be16(link->bytes + 12, ETHERTYPE_TAG);
    bytes_store_be16(link->bytes + 14, (uint16_t)tag);
    link->length = TAGGED_BYTES;
}

static void
link_replace(struct link *link, unsigned tag)
{
    bytes_store_be16(link->bytes + 14, (uint16_t)tag);
    link->skip = link->length = TAGGED_BYTES;
}

static void
link_strip(struct link *link)
{
    bytes_store_be16(link->bytes + 12, bytes_load_be16(link->bytes + 16));
    link->skip = TAGGED_BYTES;
}

static bool
link_down(const struct vlan_adapter *vlan, struct link *link)
{
    unsigned ours = (unsigned)vlan->priority << PRIORITY_SHIFT | vlan->id;
    bool priority = link->tag >> PRIORITY_SHIFT != 0;

    if (!link->tagged || (link->tag & ID_MASK && vlan->id))
        link_insert(link, ours);
    else
        link_replace(link, link->tag | (priority ? vlan->id : ours));
    return true;
}

/* false: it is not for this VLAN. */
static bool
link_up(const struct vlan_adapter *vlan, struct link *link)
{
    unsigned id = link->tag & ID_MASK;

    if (vlan->id && id != vlan->id)
        return false;
    if (link->tagged && id == vlan->id)
        link_strip(link);
    return true;
}

/* ---- frames of ours ---- */

/* What is behind the first bytes of a frame, as a chain; *own: the part of it that is ours. false:
 * out of memory. */
static bool
rest_of(const struct vlan_adapter *vlan, const NET_BUFFER *nb, ULONG skip, PMDL *chain, PMDL *own)
{
    ULONG offset = NET_BUFFER_CURRENT_MDL_OFFSET(nb) + skip;
    PMDL mdl = NET_BUFFER_CURRENT_MDL(nb);

    while (mdl && offset >= MmGetMdlByteCount(mdl)) {
        offset -= MmGetMdlByteCount(mdl);
        mdl = mdl->Next;
    }
    *chain = mdl;
    *own = NULL;
    if (!mdl || offset == 0)
        return true;
    *own = NdisAllocateMdl(vlan->floor.lower,
                           (PUCHAR)MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) + offset,
                           MmGetMdlByteCount(mdl) - offset);
    if (!*own)
        return false;
    (*own)->Next = mdl->Next;
    *chain = *own;
    return true;
}

static void
piece_free(struct piece *piece)
{
    if (piece->rest)
        NdisFreeMdl(piece->rest);
    NdisFreeMemory(piece, sizeof(*piece), 0);
}

static PNET_BUFFER
buffer_create(const struct vlan_adapter *vlan, const NET_BUFFER *nb, const struct link *link)
{
    struct piece *piece = NdisAllocateMemoryWithTagPriority(vlan->floor.lower, sizeof(*piece),
                                                            FLOOR_TAG, NormalPoolPriority);
    PNET_BUFFER buffer = NULL;
    PMDL mdl = NULL, rest;

    if (!piece)
        return NULL;
    NdisMoveMemory(piece->link, link->bytes, sizeof(piece->link));
    piece->rest = NULL;
    if (rest_of(vlan, nb, link->skip, &rest, &piece->rest))
        mdl = NdisAllocateMdl(vlan->floor.lower, piece->link, link->length);
    if (mdl) {
        mdl->Next = rest;
        buffer = NdisAllocateNetBuffer(vlan->buffers, mdl, 0,
                                       NET_BUFFER_DATA_LENGTH(nb) - link->skip + link->length);
    }
    if (buffer)
        return buffer;
    if (mdl)
        NdisFreeMdl(mdl);
    piece_free(piece);
    return NULL;
}

/* Gives the original back. */
static PNET_BUFFER_LIST
list_free(PNET_BUFFER_LIST list)
{
    PNET_BUFFER_LIST original = list->ParentNetBufferList;
    PNET_BUFFER buffer;

    while ((buffer = NET_BUFFER_LIST_FIRST_NB(list)) != NULL) {
        PMDL mdl = NET_BUFFER_FIRST_MDL(buffer);

        NET_BUFFER_LIST_FIRST_NB(list) = NET_BUFFER_NEXT_NB(buffer);
        NET_BUFFER_NEXT_NB(buffer) = NULL;
        piece_free(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority));
        NdisFreeMdl(mdl);
        NdisFreeNetBuffer(buffer);
    }
    list->ParentNetBufferList = NULL;
    NdisFreeNetBufferList(list);
    return original;
}

/* The slots that count from the start of the frame. */
static void
move_offsets(PNET_BUFFER_LIST list, const struct link *link, bool down)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {
        .Value = NET_BUFFER_LIST_INFO(list, TcpLargeSendNetBufferListInfo)};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO checksum = {
        .Value = NET_BUFFER_LIST_INFO(list, TcpIpChecksumNetBufferListInfo)};

    if (large.LsoV2Transmit.MSS && large.LsoV2Transmit.TcpHeaderOffset)
        large.LsoV2Transmit.TcpHeaderOffset += link->length - link->skip;
    if (down && (checksum.Transmit.TcpChecksum || checksum.Transmit.UdpChecksum))
        checksum.Transmit.TcpHeaderOffset += link->length - link->skip;
    NET_BUFFER_LIST_INFO(list, TcpLargeSendNetBufferListInfo) = large.Value;
    NET_BUFFER_LIST_INFO(list, TcpIpChecksumNetBufferListInfo) = checksum.Value;
}

/* Every frame of a list, each with its link header changed; anything but SUCCESS: why there is
 * none. */
static NDIS_STATUS
fill(const struct vlan_adapter *vlan, PNET_BUFFER_LIST list, bool down)
{
    PNET_BUFFER_LIST original = list->ParentNetBufferList;
    PNET_BUFFER *end = &NET_BUFFER_LIST_FIRST_NB(list);
    struct link link;

    for (PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(original); nb; nb = NET_BUFFER_NEXT_NB(nb)) {
        if (!link_read(nb, &link))
            return NDIS_STATUS_INVALID_LENGTH;
        if (!(down ? link_down : link_up)(vlan, &link))
            return NDIS_STATUS_NOT_ACCEPTED;
        *end = buffer_create(vlan, nb, &link);
        if (!*end)
            return NDIS_STATUS_RESOURCES;
        if (nb == NET_BUFFER_LIST_FIRST_NB(original))
            move_offsets(list, &link, down);
        end = &NET_BUFFER_NEXT_NB(*end);
    }
    return NDIS_STATUS_SUCCESS;
}

/* NULL: *status says why. */
static PNET_BUFFER_LIST
list_create(const struct vlan_adapter *vlan, PNET_BUFFER_LIST original, bool down,
            NDIS_STATUS *status)
{
    PNET_BUFFER_LIST list = NdisAllocateNetBufferList(vlan->lists, 0, 0);

    *status = NDIS_STATUS_RESOURCES;
    if (!list)
        return NULL;
    if (down)
        NdisCopySendNetBufferListInfo(list, original);
    else
        NdisCopyReceiveNetBufferListInfo(list, original);
    list->NblFlags = original->NblFlags;
    list->SourceHandle = down ? vlan->floor.lower : vlan->floor.upper;
    list->ParentNetBufferList = original;
    NET_BUFFER_LIST_FIRST_NB(list) = NULL;
    *status = fill(vlan, list, down);
    if (*status == NDIS_STATUS_SUCCESS)
        return list;
    list_free(list);
    return NULL;
}

/* Sorts nbls: frames of ours in their place, and those that get none, with why in their Status if
 * they go down. */
static void
replace(const struct vlan_adapter *vlan, PNET_BUFFER_LIST nbls, bool down, struct queue *ours,
        struct queue *rest)
{
    PNET_BUFFER_LIST next;

    queue_init(ours);
    queue_init(rest);
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = next) {
        NDIS_STATUS status;
        PNET_BUFFER_LIST list = list_create(vlan, nbl, down, &status);

        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        if (list) {
            queue_add(ours, list);
            continue;
        }
        if (down)
            NET_BUFFER_LIST_STATUS(nbl) = status;
        queue_add(rest, nbl);
    }
}

/* The way back: the originals, in order. */
static void
restore(PNET_BUFFER_LIST lists, bool down, struct queue *originals)
{
    PNET_BUFFER_LIST next;

    queue_init(originals);
    for (PNET_BUFFER_LIST list = lists; list; list = next) {
        NDIS_STATUS status = NET_BUFFER_LIST_STATUS(list);
        PNET_BUFFER_LIST original;

        next = NET_BUFFER_LIST_NEXT_NBL(list);
        original = list_free(list);
        if (down)
            NET_BUFFER_LIST_STATUS(original) = status;
        queue_add(originals, original);
    }
}

/* ---- down ---- */

VOID
VlanSendNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                       NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct floor_adapter *adapter = MiniportAdapterContext;
    ULONG end = (SendFlags & NDIS_SEND_FLAGS_DISPATCH_LEVEL)
                    ? NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL
                    : 0;
    struct queue ours, refused;

    if (!adapter->upper_running || !adapter->lower_running) {
        for (PNET_BUFFER_LIST nbl = NetBufferList; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
            NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_PAUSED;
        NdisMSendNetBufferListsComplete(adapter->upper, NetBufferList, end);
        return;
    }
    replace(vlan_of(adapter), NetBufferList, true, &ours, &refused);
    adapter->frames_down += ours.count;
    if (ours.head)
        NdisSendNetBufferLists(adapter->lower, ours.head, PortNumber, SendFlags);
    if (refused.head)
        NdisMSendNetBufferListsComplete(adapter->upper, refused.head, end);
}

VOID
VlanSendNetBufferListsComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                               ULONG SendCompleteFlags)
{
    struct floor_adapter *adapter = ProtocolBindingContext;
    struct queue originals;

    restore(NetBufferList, true, &originals);
    adapter->frames_down -= originals.count;
    NdisMSendNetBufferListsComplete(adapter->upper, originals.head, SendCompleteFlags);
    floor_settle(adapter);
}

/* ---- up ---- */

/* Lent frames are the lower driver's again when the call returns; its list is not touched. */
static void
indicate_lent(struct floor_adapter *adapter, PNET_BUFFER_LIST nbls, NDIS_PORT_NUMBER port,
              ULONG flags)
{
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        NDIS_STATUS status;
        PNET_BUFFER_LIST list = list_create(vlan_of(adapter), nbl, false, &status);

        if (!list)
            continue;
        NdisMIndicateReceiveNetBufferLists(adapter->upper, list, port, 1, flags);
        list_free(list);
    }
}

VOID
VlanReceiveNetBufferLists(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                          NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists,
                          ULONG ReceiveFlags)
{
    struct floor_adapter *adapter = ProtocolBindingContext;
    bool lent = NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags);
    struct queue ours, others;

    if (!adapter->upper_running) {
        if (!lent)
            NdisReturnNetBufferLists(adapter->lower, NetBufferLists, 0);
        return;
    }
    if (lent) {
        indicate_lent(adapter, NetBufferLists, PortNumber, ReceiveFlags);
        return;
    }
    replace(vlan_of(adapter), NetBufferLists, false, &ours, &others);
    adapter->frames_up += ours.count;
    if (ours.head)
        NdisMIndicateReceiveNetBufferLists(adapter->upper, ours.head, PortNumber, ours.count,
                                           ReceiveFlags);
    if (others.head)
        NdisReturnNetBufferLists(adapter->lower, others.head, 0);
}

VOID
VlanReturnNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                         ULONG ReturnFlags)
{
    struct floor_adapter *adapter = MiniportAdapterContext;
    struct queue originals;

    restore(NetBufferLists, false, &originals);
    adapter->frames_up -= originals.count;
    NdisReturnNetBufferLists(adapter->lower, originals.head, ReturnFlags);
    floor_settle(adapter);
}
