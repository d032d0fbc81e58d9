/*
 * Trees of blocks into NDIS and the soft target. The bytes say their shape, what stands in the
 * nodes (something new, a linker, a placeholder, at any layer), and in which order trees are
 * initiated, queried, updated, invalidated and taken back. The host keeps to the rules about whose
 * memory is whose and takes back what depends on an object with it; for the rest it does as it
 * likes.
 *
 * After every operation each block is as it was, but for its status; a handle has a context if and
 * only if the object is there. The verifier watches the target, or looks away so that it sees what
 * the verifier would stop, and in the end nothing is left.
 */
#include "fuzz.h"

#include "target/soft/test_rig.h"

#include <string.h>

#define ROUNDS 12
#define OBJECTS 24
#define NODES 32
#define DEPTH 4 /* one more than there are layers */

struct object {
    NDIS_OFFLOAD_HANDLE handle;
    unsigned type;         /* NeighborOffloadState … */
    struct object *parent; /* NULL: none, as for what stands under a placeholder */
    bool live, used;       /* used: in the tree at hand */
};

struct node {
    union {
        NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
        struct rig_neighbor neighbor;
        struct rig_path path;
        struct rig_tcp tcp;
        struct rig_node other;
    } u;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST before;
    struct object *object; /* NULL: a placeholder */
    bool fresh;
    NET_BUFFER_LIST *sends;
};

static struct rig rig;
static struct object objects[OBJECTS];
static struct node nodes[NODES];
static unsigned node_count;

/* ---- nodes ---- */

static bool
is_path(unsigned type)
{
    return type == Ip4OffloadState || type == Ip6OffloadState;
}

static struct node *
add_node(struct object *object)
{
    struct node *node = &nodes[node_count++];

    memset(node, 0, sizeof *node);
    node->object = object;
    if (object)
        object->used = true;
    return node;
}

static struct object *
unused_object(void)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        if (!objects[i].live && !objects[i].used)
            return &objects[i];
    return NULL;
}

/* One that is there, of that type, or not at all. */
static struct object *
live_object(struct fuzz *fuzz, unsigned type)
{
    unsigned first = fuzz_below(fuzz, OBJECTS);

    for (unsigned i = 0; i < OBJECTS; i++) {
        struct object *object = &objects[(first + i) % OBJECTS];

        if (object->live && !object->used && object->type == type)
            return object;
    }
    return NULL;
}

static void
choose_numbers(struct fuzz *fuzz, struct rig_tcp *tcp)
{
    TCP_OFFLOAD_STATE_DELEGATED *delegated = &tcp->delegated;
    unsigned what = fuzz_u8(fuzz);

    if (what & 1)
        delegated->State = (TCP_OFFLOAD_CONNECTION_STATE)fuzz_below(fuzz, 12);
    if (what & 2)
        delegated->SndNxt += fuzz_u16(fuzz);
    if (what & 4)
        delegated->SndMax += fuzz_u16(fuzz);
    if (what & 8)
        delegated->SndUna += fuzz_u32(fuzz);
    if (what & 16)
        delegated->RcvWnd = fuzz_u32(fuzz);
    if (what & 32)
        delegated->CWnd = 65536 + (fuzz_u32(fuzz) >> 3); /* the engine bounds it: V-054 */
    if (what & 64) {
        tcp->cached.InitialRcvWnd = fuzz_u32(fuzz);
        tcp->constant.SndWindScale = fuzz_u8(fuzz) & 15;
        tcp->constant.RcvWindScale = fuzz_u8(fuzz) & 15;
    }
    if (what & 128) {
        tcp->constant.RemoteMss = fuzz_u16(fuzz);
        tcp->cached.Flags = fuzz_u16(fuzz);
        if (tcp->cached.Flags & TCP_FLAG_KEEP_ALIVE_ENABLED) /* else it would come back, V-151 */
            delegated->KeepAlive.TimeoutDelta = fuzz_u32(fuzz);
        delegated->Retransmit.TimeoutDelta = fuzz_u32(fuzz);
    }
}

static NET_BUFFER_LIST *
choose_sends(struct fuzz *fuzz)
{
    NET_BUFFER_LIST *head = NULL;

    for (unsigned count = fuzz_below(fuzz, 4); count; count--) {
        NET_BUFFER_LIST *nbl = rig_nbl(&rig, 1u + fuzz_u8(fuzz), 0, 0);
        NET_BUFFER_LIST_NEXT_NBL(nbl) = head;
        head = nbl;
    }
    return head;
}

static void
fill_tcp(struct fuzz *fuzz, struct node *node)
{
    struct rig_tcp *tcp = &node->u.tcp;

    rig_tcp_init(tcp, 4000u + fuzz_below(fuzz, 4), fuzz_u16(fuzz));
    choose_numbers(fuzz, tcp);
    node->sends = choose_sends(fuzz);
    tcp->block.NetBufferListChain = node->sends;
    if (fuzz_u8(fuzz) & 1)
        tcp->delegated.SendDataHead = tcp->delegated.SendDataTail = node->sends;
}

static void
fill_new(struct fuzz *fuzz, struct node *node, unsigned type)
{
    if (type == NeighborOffloadState) {
        rig_neighbor_init(&node->u.neighbor);
        node->u.neighbor.constant.VlanId = fuzz_u8(fuzz) & 3;
        node->u.neighbor.cached.DlDestinationAddress[5] = fuzz_u8(fuzz);
    } else if (is_path(type)) {
        rig_path_init(&node->u.path, type == Ip6OffloadState);
        node->u.path.source[3] = fuzz_u8(fuzz) & 3;
        node->u.path.cached.PathMtu = fuzz_u16(fuzz);
        if (fuzz_u8(fuzz) == 1)
            node->u.path.constant.SourceAddress = NULL;
    } else {
        fill_tcp(fuzz, node);
    }
}

/* ---- initiate ---- */

static unsigned
choose_type(struct fuzz *fuzz, unsigned depth)
{
    static const unsigned types[] = {NeighborOffloadState, Ip4OffloadState, TcpOffloadState,
                                     Ip6OffloadState};
    unsigned odd = fuzz_u8(fuzz);

    if (odd > 240)
        return types[odd % 4];
    if (depth == 1)
        return odd & 1 ? Ip6OffloadState : Ip4OffloadState;
    return depth ? TcpOffloadState : NeighborOffloadState;
}

static struct node *
choose_node(struct fuzz *fuzz, unsigned depth, struct object *parent)
{
    unsigned type = choose_type(fuzz, depth), kind = fuzz_below(fuzz, 8);
    struct object *object = kind == 0                             ? NULL
                            : kind < 4 && type != TcpOffloadState ? live_object(fuzz, type)
                                                                  : unused_object();
    struct node *node = add_node(object);

    fill_new(fuzz, node, type);
    node->u.block.OffloadHandle = object ? &object->handle : NULL;
    if (object && !object->live) {
        node->fresh = true;
        object->handle = (NDIS_OFFLOAD_HANDLE){{NULL}, NULL};
        object->type = type;
        object->parent = parent;
    }
    return node;
}

static NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
choose_list(struct fuzz *fuzz, unsigned depth, struct object *parent)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *head = NULL, **place = &head;

    if (depth == DEPTH)
        return NULL;
    for (unsigned count = 1 + fuzz_below(fuzz, 3); count && node_count < NODES; count--) {
        struct node *node = choose_node(fuzz, depth, parent);

        *place = &node->u.block;
        place = &node->u.block.NextBlock;
        if (depth < 2 || fuzz_u8(fuzz) > 250)
            node->u.block.DependentBlockList = choose_list(fuzz, depth + 1, node->object);
    }
    return head;
}

/* ---- every operation ---- */

static void
remember(void)
{
    for (unsigned i = 0; i < node_count; i++)
        nodes[i].before = nodes[i].u.block;
}

static bool
completed(const char *word)
{
    rig_turn(&rig);
    return strstr(rig.heard, word) != NULL;
}

/* Nothing of it went down: for NDIS, or for the verifier, it is no tree. */
static bool
is_refused(void)
{
    for (unsigned i = 0; i < node_count; i++)
        if (nodes[i].u.block.Status != NDIS_STATUS_FAILURE)
            return false;
    return true;
}

static void
check_nodes(void)
{
    bool refused = is_refused();

    for (unsigned i = 0; i < node_count; i++) {
        const NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *now = &nodes[i].u.block, *before = &nodes[i].before;

        FUZZ_CHECK(now->Status != (NDIS_STATUS)0xdead0001);
        FUZZ_CHECK(now->NextBlock == before->NextBlock);
        FUZZ_CHECK(now->DependentBlockList == before->DependentBlockList);
        FUZZ_CHECK(now->OffloadHandle == before->OffloadHandle);
        FUZZ_CHECK(now->Header.Type == before->Header.Type);
        if (!nodes[i].object && !refused)
            FUZZ_CHECK(now->Status == NDIS_STATUS_SUCCESS); /* a placeholder */
    }
}

static void
clear_tree(void)
{
    node_count = 0;
    for (unsigned i = 0; i < OBJECTS; i++)
        objects[i].used = false;
    rig.got_count = 0;
    rig_forget(&rig);
}

static void
free_chain(NET_BUFFER_LIST *nbls)
{
    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        rig_nbl_free(nbls);
        nbls = next;
    }
}

static void
initiate(struct fuzz *fuzz)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = choose_list(fuzz, 0, NULL);

    remember();
    NdisInitiateOffload(rig.binding, root);
    FUZZ_CHECK(completed("initiated"));
    check_nodes();
    for (unsigned i = 0; i < node_count; i++) {
        struct node *node = &nodes[i];
        NDIS_STATUS status = node->u.block.Status;
        bool there = status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;

        if (node->fresh) {
            FUZZ_CHECK(there == (node->object->handle.MiniportOffloadContext != NULL));
            node->object->live = there;
        }
        if (!node->fresh || !there)
            free_chain(node->sends);
    }
    clear_tree();
}

/* ---- what there is ---- */

enum operation { QUERY, UPDATE, INVALIDATE, TERMINATE };

static unsigned
type_for(const struct object *object, enum operation operation)
{
    static const unsigned cached[] = {[NeighborOffloadState] = NeighborOffloadCachedState,
                                      [Ip4OffloadState] = Ip4OffloadCachedState,
                                      [Ip6OffloadState] = Ip6OffloadCachedState,
                                      [TcpOffloadState] = TcpOffloadCachedState};
    static const unsigned delegated[] = {[NeighborOffloadState] = NeighborOffloadDelegatedState,
                                         [Ip4OffloadState] = Ip4OffloadDelegatedState,
                                         [Ip6OffloadState] = Ip6OffloadDelegatedState,
                                         [TcpOffloadState] = TcpOffloadDelegatedState};

    return operation == UPDATE      ? cached[object->type]
           : operation == TERMINATE ? delegated[object->type]
                                    : object->type;
}

static void
fill_update(struct fuzz *fuzz, struct node *node)
{
    struct rig_node *other = &node->u.other;

    if (node->object->type == NeighborOffloadState) {
        other->state.neighbor.Header.Length = sizeof other->state.neighbor;
        other->state.neighbor.HostReachabilityDelta = fuzz_u32(fuzz);
    } else if (is_path(node->object->type)) {
        other->state.path.Header.Length = sizeof other->state.path;
        other->state.path.PathMtu = fuzz_u16(fuzz);
    } else {
        other->state.cached.Header.Length = sizeof other->state.cached;
        other->state.cached.Flags = fuzz_u16(fuzz);
        other->state.cached.InitialRcvWnd = fuzz_u32(fuzz);
        other->state.cached.KaTimeout = fuzz_u16(fuzz);
        other->state.cached.KaInterval = fuzz_u16(fuzz);
        other->state.cached.MaxRT = fuzz_u16(fuzz);
        other->state.cached.KaProbeCount = fuzz_u8(fuzz);
    }
}

static void
fill_terminate(struct node *node)
{
    struct rig_node *other = &node->u.other;

    if (node->object->type == NeighborOffloadState)
        other->state.neighbor_delegated.Header.Length = sizeof other->state.neighbor_delegated;
    else if (is_path(node->object->type))
        other->state.path.Header.Length = sizeof(PATH_OFFLOAD_STATE_DELEGATED);
    else
        other->state.delegated.Header.Length = sizeof other->state.delegated;
    if (node->object->type == TcpOffloadState)
        other->state.extended.extension.Header.Length = sizeof other->state.extended.extension;
}

static void
fill_other(struct fuzz *fuzz, struct node *node, enum operation operation)
{
    struct object *object = node->object;

    if (operation == QUERY) {
        fill_new(fuzz, node, object->type);
        free_chain(node->sends);
        node->sends = node->u.block.NetBufferListChain = NULL;
        node->u.block.OffloadHandle = &object->handle;
        return;
    }
    rig_node_init(&node->u.other, type_for(object, operation), &object->handle);
    if (operation == UPDATE)
        fill_update(fuzz, node);
    else if (operation == TERMINATE)
        fill_terminate(node);
}

/* What stands on parent, each as itself or as a placeholder. whole: none is left out, for what it
 * stands on goes. */
static NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
list_of(struct fuzz *fuzz, struct object *parent, enum operation operation, bool whole)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *head = NULL, **place = &head;

    for (unsigned i = 0; i < OBJECTS && node_count < NODES; i++) {
        struct object *object = &objects[i];
        bool named = whole || fuzz_u8(fuzz) & 1;

        if (!object->live || object->used || object->parent != parent)
            continue;
        struct node *node = add_node(object);
        if (named)
            fill_other(fuzz, node, operation);
        else
            rig_node_init(&node->u.other, object->type, NULL);
        *place = &node->u.block;
        place = &node->u.block.NextBlock;
        node->u.block.DependentBlockList = list_of(fuzz, object, operation,
                                                   operation == TERMINATE && named);
        if (!named)
            node->object = NULL;
    }
    return head;
}

static void
take_back(void)
{
    for (unsigned i = 0; i < node_count; i++) {
        struct node *node = &nodes[i];

        if (!node->object)
            continue;
        FUZZ_CHECK(!node->object->handle.MiniportOffloadContext);
        node->object->live = false;
        if (node->object->type != TcpOffloadState)
            continue;
        if (node->u.other.state.delegated.BufferedData)
            NdisOffloadTcpReceiveReturn(rig.binding, node->u.other.state.delegated.BufferedData);
        free_chain(node->u.block.NetBufferListChain);
    }
}

static void
operate(struct fuzz *fuzz, enum operation operation, bool whole)
{
    static const char *const words[] = {"queried", "updated", "invalidated", "terminated"};
    static VOID (*const calls[])(NDIS_HANDLE, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) = {
        NdisQueryOffloadState, NdisUpdateOffload, NdisInvalidateOffload, NdisTerminateOffload};
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = list_of(fuzz, NULL, operation, whole);

    if (root) {
        remember();
        calls[operation](rig.binding, root);
        FUZZ_CHECK(completed(words[operation]));
        check_nodes();
    }
    if (operation == TERMINATE)
        take_back();
    clear_tree();
}

static void
round_of(struct fuzz *fuzz)
{
    switch (fuzz_below(fuzz, 8)) {
    case 0:
        operate(fuzz, QUERY, false);
        break;
    case 1:
        operate(fuzz, UPDATE, false);
        break;
    case 2:
        operate(fuzz, INVALIDATE, false);
        break;
    case 3:
        operate(fuzz, TERMINATE, false);
        break;
    case 4:
        rig_pass(&rig, (uint64_t)fuzz_u8(fuzz) * 10000);
        clear_tree();
        break;
    default:
        initiate(fuzz);
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz fuzz = {data, size};
    char small[4];
    const struct house_option options[] = {{"ConnectionCapacity", small}, {"PathCapacity", small},
                                           {"HwAddressCapacity", small},  {"MaxPathMtu", "9000"},
                                           {"VlanCapacity", "2"},         {NULL, NULL}};

    snprintf(small, sizeof small, "%u", 1 + fuzz_below(&fuzz, 8));
    memset(objects, 0, sizeof objects);
    node_count = 0;
    rig_open(&rig, fuzz_u8(&fuzz) & 1 ? options : NULL);
    rig.careless = true;
    if (fuzz_u8(&fuzz) & 1) /* which would keep what is against the rules from the target */
        house_detach_observer(rig.house, verifier_observer(rig.verifier));
    for (unsigned i = 0; i < ROUNDS && fuzz.left; i++)
        round_of(&fuzz);
    for (unsigned i = 0; i < OBJECTS; i++) /* a tree has an end */
        operate(&fuzz, TERMINATE, true);
    for (unsigned i = 0; i < OBJECTS; i++)
        FUZZ_CHECK(!objects[i].live);
    rig_close(&rig);
    return 0;
}
