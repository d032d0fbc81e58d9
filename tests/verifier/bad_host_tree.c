/*
 * Trees, on the way down: built from objects. The role of a block follows from its object: one that
 * is at home is new, with its three states; one that is down is a linker or a reference; none is a
 * placeholder.
 *
 * Sources: G:offload-block-lists, G:placeholders--linkers--and-new-offloads,
 * D:w_initiate_offload_handler and siblings; V-014 … V-028, V-056 … V-072.
 */
#include "bad_host.h"

#include "mutant.h"

#include <stdlib.h>

typedef NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block_list;

/* ---- objects ---- */

static void
object_init(struct bh_object *object, struct bad_host *host, enum bh_kind kind,
            struct bh_object *parent)
{
    object->kind = kind;
    object->host = host;
    object->parent = parent;
    list_add_tail(&host->objects, &object->all);
}

struct bh_neighbor *
bh_neighbor_create(struct bad_host *host, UCHAR last)
{
    struct bh_neighbor *neighbor = calloc(1, sizeof(*neighbor));
    UCHAR mac[6] = {2, 0, 0, 0, 1, last};

    if (!neighbor)
        abort();
    object_init(&neighbor->object, host, BH_NEIGHBOR, NULL);
    NdisMoveMemory(neighbor->cached.DlDestinationAddress, mac, sizeof(mac));
    neighbor->cached.HostReachabilityDelta = 5;
    neighbor->delegated.NicReachabilityDelta = bad(72) ? 9 : 5; /* V-072 */
    if (bad(28))
        neighbor->constant.DlSourceAddress[20] = 1;
    return neighbor;
}

struct bh_path *
bh_path_create(struct bad_host *host, struct bh_neighbor *neighbor, bool ipv6)
{
    struct bh_path *path = calloc(1, sizeof(*path));

    if (!path)
        abort();
    object_init(&path->object, host, BH_PATH, &neighbor->object);
    path->ipv6 = ipv6;
    path->source[0] = path->destination[0] = ipv6 ? 0xfd : 10;
    path->source[3] = 1;
    path->destination[3] = 2;
    path->cached.PathMtu = 1500;
    return path;
}

struct bh_conn *
bh_conn_create(struct bad_host *host, struct bh_path *path, USHORT port)
{
    struct bh_conn *conn = calloc(1, sizeof(*conn));
    ULONG una = 1000u * port, rcv = 0xfffff000u + port; /* it wraps soon */

    if (!conn)
        abort();
    object_init(&conn->object, host, BH_TCP, &path->object);
    list_init(&conn->sends);
    list_init(&conn->posts);
    conn->port = port;
    conn->take = BH_TAKE_ALL;
    conn->send_seq = una;
    conn->receive_seq = rcv;
    conn->constant = (TCP_OFFLOAD_STATE_CONST){.Flags = TCP_FLAG_WINDOW_SCALING_ENABLED |
                                                        TCP_FLAG_SACK_ENABLED,
                                               .RemotePort = stream_port(80),
                                               .LocalPort = stream_port(port),
                                               .SndWindScale = bad(27) ? 15 : 7,
                                               .RcvWindScale = 7,
                                               .RemoteMss = 1460};
    conn->cached = (TCP_OFFLOAD_STATE_CACHED){.InitialRcvWnd = 65535,
                                              .KaProbeCount = 5,
                                              .KaTimeout = 7200,
                                              .KaInterval = 75,
                                              .TtlOrHopLimit = 64};
    conn->state = (TCP_OFFLOAD_STATE_DELEGATED){
        .State = TcpConnectionEstablished,
        .RcvNxt = rcv,
        .RcvWnd = 65535,
        .SndUna = una,
        .SndNxt = una,
        .SndMax = una,
        .SndWnd = 60000,
        .MaxSndWnd = 60000,
        .CWnd = 14600,
        .SsThresh = 60000,
        .SRtt = 8,
        .RttVar = 4,
        .KeepAlive = {.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF},
        .Retransmit = {.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF}, /* V-071 */
    };
    return conn;
}

/* ---- states behind a block ---- */

enum { CLASS_CONST, CLASS_CACHED, CLASS_DELEGATED, CLASS_ALL, CLASS_NONE };

static const ULONG state_sizes[3][3] = {
    {sizeof(NEIGHBOR_OFFLOAD_STATE_CONST), sizeof(NEIGHBOR_OFFLOAD_STATE_CACHED),
     sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED)},
    {sizeof(PATH_OFFLOAD_STATE_CONST), sizeof(PATH_OFFLOAD_STATE_CACHED),
     sizeof(PATH_OFFLOAD_STATE_DELEGATED)},
    {sizeof(TCP_OFFLOAD_STATE_CONST), sizeof(TCP_OFFLOAD_STATE_CACHED),
     sizeof(TCP_OFFLOAD_STATE_DELEGATED)},
};

static int
class_of(UCHAR type)
{
    switch (type) {
    case NeighborOffloadState:
    case Ip4OffloadState:
    case Ip6OffloadState:
    case TcpOffloadState:
        return CLASS_ALL;
    case TcpOffloadConstState:
    case TcpOffloadCachedState:
    case TcpOffloadDelegatedState:
        return type - TcpOffloadConstState;
    default:
        return type < NeighborOffloadState ? type - NeighborOffloadConstState
               : type < Ip4OffloadState    ? type - Ip4OffloadConstState
               : type < Ip6OffloadState    ? type - Ip6OffloadConstState
                                           : CLASS_NONE;
    }
}

PVOID
bh_state(struct bh_block *block, unsigned index)
{
    PUCHAR at = block->states;

    if (class_of(block->block.Header.Type) == CLASS_ALL)
        for (unsigned i = 0; i < index; i++)
            at += NDIS_OFFLOAD_STATE_ALIGN(state_sizes[block->object->kind][i]);
    return at;
}

static void
fill_path(struct bh_path *path, PATH_OFFLOAD_STATE_CONST *constant)
{
    constant->SourceAddress = bad(22) ? NULL : path->source;
    constant->DestinationAddress = path->destination;
}

/* One state of an object: its header, and with values what the host stack knows. */
static void
put_state(struct bh_object *object, int class, PVOID at, bool values)
{
    struct bh_neighbor *neighbor = (struct bh_neighbor *)object;
    struct bh_conn *conn = (struct bh_conn *)object;
    ULONG size = state_sizes[object->kind][class];
    const void *from = NULL;

    if (object->kind == BH_NEIGHBOR)
        from = class == CLASS_CONST    ? (void *)&neighbor->constant
               : class == CLASS_CACHED ? (void *)&neighbor->cached
                                       : (void *)&neighbor->delegated;
    else if (object->kind == BH_TCP)
        from = class == CLASS_CONST    ? (void *)&conn->constant
               : class == CLASS_CACHED ? (void *)&conn->cached
                                       : (void *)&conn->state;
    else if (class == CLASS_CACHED)
        from = &((struct bh_path *)object)->cached;
    if (values && from)
        NdisMoveMemory(at, from, size);
    else if (values && class == CLASS_CONST)
        fill_path((struct bh_path *)object, at);
    *(OFFLOAD_STATE_HEADER *)at = (OFFLOAD_STATE_HEADER){.Length = bad_once(21) ? size - 4 : size};
}

static void
put_states(struct bh_block *block, bool values)
{
    int class = class_of(block->block.Header.Type);

    if (class == CLASS_NONE)
        return;
    for (int i = CLASS_CONST; i <= CLASS_DELEGATED; i++)
        if (class == CLASS_ALL || class == i)
            put_state(block->object, i, bh_state(block, (unsigned)i), values);
}

/* ---- building ---- */

struct bh_op *
bh_op_create(struct bad_host *host, enum bh_operation operation)
{
    struct bh_op *op = calloc(1, sizeof(*op));

    if (!op)
        abort();
    op->host = host;
    op->operation = operation;
    list_add_tail(&host->operations, &op->link);
    return op;
}

static UCHAR
whole_type(const struct bh_object *object)
{
    if (object->kind == BH_NEIGHBOR)
        return NeighborOffloadState;
    if (object->kind == BH_TCP)
        return TcpOffloadState;
    return ((const struct bh_path *)object)->ipv6 ? Ip6OffloadState : Ip4OffloadState;
}

static UCHAR
default_type(enum bh_operation operation, const struct bh_object *object)
{
    UCHAR type = whole_type(object);
    UCHAR first = object->kind == BH_TCP ? TcpOffloadConstState : (UCHAR)(type - CLASS_ALL);
    bool fresh = operation == BH_INITIATE && object->where == BH_HOME;

    if (operation == BH_UPDATE)
        return first + (bad_v(24, 1) ? CLASS_DELEGATED : bad_v(24, 2) ? CLASS_CONST : CLASS_CACHED);
    if (operation == BH_TERMINATE)
        return object->kind == BH_TCP && bad(25) ? type : first + CLASS_DELEGATED;
    if (operation == BH_INVALIDATE && bad(23))
        return first + CLASS_DELEGATED;
    if (operation == BH_INITIATE && !fresh && bad_v(14, 1))
        return FilterReservedOffloadState;
    if (fresh && object->kind == BH_TCP && bad_once_v(14, 2))
        return TcpOffloadResourceState;
    if (fresh && object->kind == BH_TCP && bad_once(20))
        return first + CLASS_DELEGATED;
    return type;
}

static void
link_block(struct bh_op *op, struct bh_block *parent, struct bh_block *block)
{
    block_list **at = parent ? &parent->block.DependentBlockList : &op->blocks[0].block.NextBlock;

    if (block == &op->blocks[0])
        return;
    if (op->operation == BH_QUERY && parent && bad(16))
        at = &parent->block.NextBlock;
    while (*at)
        at = &(*at)->NextBlock;
    *at = &block->block;
}

/* V-019, V-023 … V-025: which blocks carry states at all. */
static bool
carries_states(const struct bh_op *op, const struct bh_block *block)
{
    switch (op->operation) {
    case BH_INITIATE:
        return block->fresh;
    case BH_UPDATE:
        return class_of(block->block.Header.Type) == CLASS_CACHED;
    case BH_INVALIDATE:
        return false;
    default:
        return true;
    }
}

struct bh_block *
bh_op_add_type(struct bh_op *op, struct bh_block *parent, struct bh_object *object, UCHAR type)
{
    struct bh_block *block = &op->blocks[op->count++];

    if (op->count > BH_BLOCKS)
        abort();
    op->root = &op->blocks[0].block;
    block->object = object;
    block->layer = object ? object->kind : parent ? parent->layer + 1 : BH_NEIGHBOR;
    block->block.Header = (NDIS_OBJECT_HEADER){type, NDIS_OFFLOAD_BLOCK_LIST_REVISION_1,
                                               sizeof(block->block)};
    block->block.Status = NDIS_STATUS_PENDING;
    block->block.ProtocolReserved[0] = op;
    link_block(op, parent, block);
    if (!object)
        return block;
    block->block.OffloadHandle = &object->handle;
    block->fresh = op->operation == BH_INITIATE && object->where == BH_HOME;
    if (block->fresh)
        object->handle = (NDIS_OFFLOAD_HANDLE){{NULL}, NULL};
    if (carries_states(op, block))
        put_states(block, op->operation == BH_INITIATE || op->operation == BH_UPDATE);
    return block;
}

struct bh_block *
bh_op_add(struct bh_op *op, struct bh_block *parent, struct bh_object *object)
{
    static const UCHAR placeholders[] = {NeighborOffloadState, Ip4OffloadState, TcpOffloadState};
    unsigned layer = parent ? parent->layer + 1 : BH_NEIGHBOR;

    return bh_op_add_type(op, parent, object,
                          object ? default_type(op->operation, object) : placeholders[layer % 3]);
}

/* The chain and the buffered data of a new connection; the timer that goes with the former. */
static void
attach_data(struct bh_block *block)
{
    struct bh_conn *conn = (struct bh_conn *)block->object;
    TCP_OFFLOAD_STATE_DELEGATED *state = bh_state(block, CLASS_DELEGATED);
    struct stream_chain chain = {NULL, NULL};

    bh_sends_take(conn, &chain);
    block->buffered = bh_buffered_make(conn);
    block->block.NetBufferListChain = chain.head;
    state->SendDataHead = chain.head;
    state->SendDataTail = chain.tail;
    state->BufferedData = block->buffered;
    if (state->SndUna != state->SndMax)
        state->Retransmit.TimeoutDelta = 20;
    if (bad_v(58, 1))
        state->State = TcpConnectionTimeWait;
    if (bad_v(58, 2))
        state->State = TcpConnectionSynSent;
    if (bad_v(71, 1))
        state->KeepAlive.TimeoutDelta = 0;
    if (state->SndUna == state->SndMax && bad_v(71, 2))
        state->Retransmit.TimeoutDelta = 5;
}

static void
depart(struct bh_op *op, struct bh_block *block)
{
    struct bh_object *object = block->object;

    if (op->operation == BH_TERMINATE)
        object->where = BH_COMING;
    else if (op->operation != BH_INITIATE)
        object->busy++;
    else if (block->fresh)
        object->where = BH_GOING;
    if (block->fresh && object->kind == BH_TCP)
        attach_data(block);
}

static VOID (*const calls[])(NDIS_HANDLE, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) = {
    [BH_INITIATE] = NdisInitiateOffload, [BH_TERMINATE] = NdisTerminateOffload,
    [BH_UPDATE] = NdisUpdateOffload,     [BH_INVALIDATE] = NdisInvalidateOffload,
    [BH_QUERY] = NdisQueryOffloadState,
};

void
bh_op_start(struct bh_op *op)
{
    bh_spoil_op(op);
    for (unsigned i = 0; i < op->count; i++)
        if (op->blocks[i].object)
            depart(op, &op->blocks[i]);
    op->out = true;
    op->host->out++;
    calls[op->operation](op->host->binding, op->root);
    bh_spoil_outstanding(op);
}

/* ---- short forms ---- */

struct bh_op *
bh_offload(struct bh_conn *conn)
{
    struct bh_op *op = bh_op_create(conn->object.host, BH_INITIATE);
    struct bh_block *neighbor = bh_op_add(op, NULL, conn->object.parent->parent);
    bool down = conn->object.parent->where == BH_DOWN;
    struct bh_block *path = bh_op_add(op, neighbor, down && bad(59) ? NULL : conn->object.parent);

    if (!(down && bad(19)))
        bh_op_add(op, path, &conn->object);
    if (bad_once_v(84, 3)) /* not yet */
        bh_send(conn, 1, 1, 10);
    bh_op_start(op);
    return op;
}

struct bh_op *
bh_upload(struct bh_conn *conn)
{
    struct bh_op *op = bh_op_create(conn->object.host, BH_TERMINATE);
    struct bh_block *neighbor = bh_op_add(op, NULL, NULL);
    struct bh_block *path = bh_op_add(op, neighbor, bad_once(63) ? conn->object.parent : NULL);

    bh_op_add(op, path, &conn->object);
    bh_op_start(op);
    return op;
}

static void
add_tree(struct bh_op *op, struct bh_block *parent, struct bh_object *object)
{
    struct bh_block *block = bh_op_add(op, parent, object);

    list_for_each(child, &op->host->objects, struct bh_object, all)
        if (child->parent == object && child->where == BH_DOWN)
            add_tree(op, block, child);
}

struct bh_op *
bh_upload_all(struct bad_host *host)
{
    struct bh_op *op = NULL;

    if (host->out)
        return NULL;
    list_for_each(object, &host->objects, struct bh_object, all) {
        if (object->where != BH_DOWN || (object->parent && object->parent->where == BH_DOWN))
            continue;
        if (!op)
            op = bh_op_create(host, BH_TERMINATE);
        add_tree(op, NULL, object);
    }
    if (op)
        bh_op_start(op);
    return op;
}

/* ---- beginning and end ---- */

void
bh_init(struct bad_host *host)
{
    list_init(&host->objects);
    list_init(&host->operations);
}

void
bh_fini(struct bad_host *host)
{
    while (!list_empty(&host->operations))
        free(container_of(list_take_first(&host->operations), struct bh_op, link));
    while (!list_empty(&host->objects)) {
        struct bh_object *object = container_of(list_take_first(&host->objects), struct bh_object,
                                                all);
        struct bh_conn *conn = (struct bh_conn *)object;

        while (object->kind == BH_TCP && !list_empty(&conn->sends))
            bh_data_destroy(list_first(&conn->sends, struct bh_data, link));
        while (object->kind == BH_TCP && !list_empty(&conn->posts))
            bh_data_destroy(list_first(&conn->posts, struct bh_data, link));
        free(object);
    }
}
