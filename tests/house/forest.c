/* See forest.h. The one target and the one host are of this file, there is one forest at a time. */
#include "forest.h"

#include <string.h>

#define NO_STATUS ((NDIS_STATUS)0x5a5a5a5a)
#define MTU 1500
#define REFUSED_IN 8 /* one new node in so many */

/* ---- the host and the target, as NDIS calls them ---- */

static struct forest *forest_now;

static VOID
target_holds(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    forest_now->held = OffloadBlockList;
}

static NDIS_STATUS
target_agrees(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    return NDIS_STATUS_SUCCESS;
}

static VOID
host_hears(NDIS_HANDLE ProtocolBindingContext, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    forest_now->ended = OffloadBlockList;
    forest_now->completions++;
}

static void
settle(struct forest *forest)
{
    while (sys_loop_turn(forest->pair.loop, false))
        ;
}

/* ---- what there is ---- */

static int
add_node(struct forest *forest, int parent, enum forest_layer layer)
{
    struct forest_node *node = &forest->nodes[forest->count];
    const UCHAR addresses[2][4] = {{10, 0, 0, 1}, {10, 0, 1, (UCHAR)(forest->count + 1)}};

    memset(node, 0, sizeof(*node));
    memcpy(node->addresses, addresses, sizeof(addresses));
    node->parent = parent;
    node->layer = layer;
    return forest->count++;
}

static unsigned
some(struct forest *forest)
{
    return 1 + random_below(&forest->random, FOREST_WIDTH);
}

static void
grow(struct forest *forest)
{
    forest->count = 0;
    for (unsigned i = some(forest); i-- > 0;) {
        int neighbor = add_node(forest, -1, FOREST_NEIGHBOR);

        for (unsigned j = some(forest); j-- > 0;) {
            int path = add_node(forest, neighbor, FOREST_PATH);

            for (unsigned k = some(forest); k-- > 0;)
                add_node(forest, path, FOREST_TCP);
        }
    }
}

bool
forest_open(struct forest *forest, uint64_t seed)
{
    memset(forest, 0, sizeof(*forest));
    forest_now = forest;
    random_init(&forest->random, seed);
    grow(forest);
    pair_init(&forest->pair);
    forest->pair.miniport.OidRequestHandler = target_agrees;
    forest->pair.target.InitiateOffloadHandler = target_holds;
    forest->pair.target.TerminateOffloadHandler = target_holds;
    forest->pair.host.InitiateOffloadCompleteHandler = host_hears;
    forest->pair.host.TerminateOffloadCompleteHandler = host_hears;
    return pair_open(&forest->pair, NULL, 0) &&
           house_unbind(forest->pair.house, "host", "nic0") == 0;
}

void
forest_close(struct forest *forest)
{
    pair_close(&forest->pair);
}

/* V-011 */
bool
forest_bind(struct forest *forest, const char *adapter)
{
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .TicksPerSecond = 1000,
        .NceStaleTicks = 30000,
    };
    NDIS_OID_REQUEST request = {
        .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, sizeof(request)},
        .RequestType = NdisRequestSetInformation,
        .DATA.SET_INFORMATION = {.Oid = OID_TCP_CONNECTION_OFFLOAD_PARAMETERS,
                                 .InformationBuffer = &parameters,
                                 .InformationBufferLength = sizeof(parameters)},
    };
    NDIS_STATUS status;

    if (house_bind(forest->pair.house, "host", adapter, NULL) != 0)
        return false;
    status = NdisOidRequest(forest->pair.binding, &request);
    settle(forest);
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_PENDING;
}

/* ---- blocks ---- */

static void *
add_state(struct forest_node *node, size_t *at, ULONG length)
{
    OFFLOAD_STATE_HEADER *header = (void *)((UCHAR *)NDIS_OFFLOAD_STATE_FIRST(&node->block) + *at);

    header->Length = length;
    *at += NDIS_OFFLOAD_STATE_ALIGN(length);
    return header;
}

static void
write_neighbor(struct forest_node *node)
{
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached;
    size_t at = 0;

    add_state(node, &at, sizeof(NEIGHBOR_OFFLOAD_STATE_CONST));
    cached = add_state(node, &at, sizeof(*cached));
    cached->DlDestinationAddress[0] = 2;
    add_state(node, &at, sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED));
}

static void
write_path(struct forest_node *node)
{
    PATH_OFFLOAD_STATE_CONST *constant;
    PATH_OFFLOAD_STATE_CACHED *cached;
    size_t at = 0;

    constant = add_state(node, &at, sizeof(*constant));
    constant->SourceAddress = node->addresses[0];
    constant->DestinationAddress = node->addresses[1];
    cached = add_state(node, &at, sizeof(*cached));
    cached->PathMtu = MTU;
    add_state(node, &at, sizeof(PATH_OFFLOAD_STATE_DELEGATED));
}

/* Every member, not only those that are not zero: a target has to. */
static void
write_delegated(TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    *delegated = (TCP_OFFLOAD_STATE_DELEGATED){
        .Header = delegated->Header,
        .State = TcpConnectionEstablished,
        .RcvWnd = 65535,
        .SndWnd = 65535,
        .MaxSndWnd = 65535,
        .CWnd = 14600,
        .KeepAlive.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF,
        .Retransmit.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF,
    };
}

static void
write_tcp(struct forest_node *node, USHORT port)
{
    TCP_OFFLOAD_STATE_CONST *constant;
    TCP_OFFLOAD_STATE_CACHED *cached;
    size_t at = 0;

    constant = add_state(node, &at, sizeof(*constant));
    constant->LocalPort = port;
    constant->RemotePort = 0x5678;
    constant->RemoteMss = 1460;
    cached = add_state(node, &at, sizeof(*cached));
    cached->InitialRcvWnd = 65535;
    cached->TtlOrHopLimit = 64;
    write_delegated(add_state(node, &at, sizeof(TCP_OFFLOAD_STATE_DELEGATED)));
}

static void
set_block(struct forest_node *node, UCHAR type)
{
    memset(&node->block, 0, sizeof(node->block));
    memset(node->states, 0, sizeof(node->states));
    node->block.Header = (NDIS_OBJECT_HEADER){type, NDIS_OFFLOAD_BLOCK_LIST_REVISION_1,
                                              sizeof(node->block)};
    node->block.Status = NO_STATUS;
    node->block.OffloadHandle = node->role == FOREST_PLACEHOLDER ? NULL : &node->handle;
}

static void
set_initiate(struct forest_node *node, USHORT port)
{
    static const UCHAR types[] = {NeighborOffloadState, Ip4OffloadState, TcpOffloadState};

    set_block(node, types[node->layer]);
    if (node->role != FOREST_NEW)
        return;
    if (node->layer == FOREST_NEIGHBOR)
        write_neighbor(node);
    else if (node->layer == FOREST_PATH)
        write_path(node);
    else
        write_tcp(node, port);
}

static void
set_terminate(struct forest_node *node)
{
    static const UCHAR types[] = {NeighborOffloadDelegatedState, Ip4OffloadDelegatedState,
                                  TcpOffloadDelegatedState};
    static const ULONG lengths[] = {sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED),
                                    sizeof(PATH_OFFLOAD_STATE_DELEGATED),
                                    sizeof(TCP_OFFLOAD_STATE_DELEGATED)};
    size_t at = 0;

    node->role = FOREST_LINKER;
    set_block(node, types[node->layer]);
    add_state(node, &at, lengths[node->layer]);
}

/* Siblings in their order. The first that is used: the root. */
static struct forest_node *
link_nodes(struct forest *forest)
{
    struct forest_node *last[FOREST_NODES + 1] = {NULL}, *root = NULL;

    for (int i = 0; i < forest->count; i++) {
        struct forest_node *node = &forest->nodes[i], **elder = &last[node->parent + 1];

        if (!node->used)
            continue;
        if (*elder)
            (*elder)->block.NextBlock = &node->block;
        else if (node->parent >= 0)
            forest->nodes[node->parent].block.DependentBlockList = &node->block;
        else
            root = node;
        *elder = node;
    }
    return root;
}

static bool
is_offloaded(const struct forest_node *node)
{
    return node->handle.MiniportOffloadContext != NULL;
}

/* A target has to know the object under which something new comes, and no other. */
static bool
has_new_below(const struct forest *forest, int parent)
{
    for (int i = parent + 1; i < forest->count; i++)
        if (forest->nodes[i].parent == parent && forest->nodes[i].used &&
            forest->nodes[i].role == FOREST_NEW)
            return true;
    return false;
}

struct forest_node *
forest_offer(struct forest *forest)
{
    for (int i = 0; i < forest->count; i++)
        forest->nodes[i].used = !is_offloaded(&forest->nodes[i]);
    for (int i = forest->count; i-- > 0;) {
        struct forest_node *node = &forest->nodes[i];

        if (node->used && node->parent >= 0)
            forest->nodes[node->parent].used = true;
        node->role = is_offloaded(node) ? FOREST_LINKER : FOREST_NEW;
        node->refused = node->role == FOREST_NEW && random_below(&forest->random, REFUSED_IN) == 0;
    }
    for (int i = 0; i < forest->count; i++) {
        struct forest_node *node = &forest->nodes[i];

        if (node->role == FOREST_LINKER && !has_new_below(forest, i) &&
            random_below(&forest->random, 2) == 0)
            node->role = FOREST_PLACEHOLDER;
        if (node->used)
            set_initiate(node, (USHORT)(1000 + i));
    }
    return link_nodes(forest);
}

struct forest_node *
forest_recall(struct forest *forest)
{
    for (int i = 0; i < forest->count; i++) {
        forest->nodes[i].used = is_offloaded(&forest->nodes[i]);
        if (forest->nodes[i].used)
            set_terminate(&forest->nodes[i]);
    }
    return link_nodes(forest);
}

/* ---- the documented target ---- */

/* A block stays where it is when NDIS translates it. */
static struct forest_node *
node_of(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    for (int i = 0; i < forest_now->count; i++)
        if ((void *)&forest_now->nodes[i].block == (void *)block)
            return &forest_now->nodes[i];
    return NULL;
}

static void
say(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST list, NDIS_STATUS status)
{
    for (; list; list = list->NextBlock) {
        list->Status = list->MiniportOffloadContext ? status : NDIS_STATUS_SUCCESS;
        say(list->DependentBlockList, status);
    }
}

struct outcome {
    unsigned tried, through; /* of the immediate dependents that are no placeholders */
};

static struct outcome take(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST list);

static NDIS_STATUS
take_one(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    static const NDIS_STATUS reasons[] = {NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES,
                                          NDIS_STATUS_OFFLOAD_PATH_ENTRIES,
                                          NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER};
    struct forest_node *node = node_of(block);
    bool is_new = block->MiniportOffloadContext && !*block->MiniportOffloadContext;
    struct outcome below;

    if (is_new && node->refused) {
        say(block->DependentBlockList, NDIS_STATUS_FAILURE);
        return reasons[node->layer];
    }
    if (is_new)
        *block->MiniportOffloadContext = node;
    below = take(block->DependentBlockList);
    if (!block->MiniportOffloadContext || below.through == below.tried)
        return NDIS_STATUS_SUCCESS;
    return below.through || is_new ? NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS : NDIS_STATUS_FAILURE;
}

static struct outcome
take(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST list)
{
    struct outcome outcome = {0, 0};

    for (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = list; block; block = block->NextBlock) {
        block->Status = take_one(block);
        outcome.tried += block->MiniportOffloadContext != NULL;
        outcome.through += block->MiniportOffloadContext && forest_came_through(block->Status);
    }
    return outcome;
}

/* If the root fails the walk stops. */
static void
take_tree(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST rest = root->NextBlock;

    root->Status = take_one(root);
    if (forest_came_through(root->Status))
        take(rest);
    else
        say(rest, NDIS_STATUS_FAILURE);
}

/* What is delegated comes home as it went down, for nothing has happened (V-052, V-055). */
static void
give_back(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST list)
{
    for (; list; list = list->NextBlock) {
        void *state = NDIS_OFFLOAD_STATE_FIRST(list);
        enum forest_layer layer = node_of(list)->layer;

        if (layer == FOREST_NEIGHBOR)
            ((NEIGHBOR_OFFLOAD_STATE_DELEGATED *)state)->NicReachabilityDelta = 0;
        else if (layer == FOREST_TCP)
            write_delegated(state);
        list->Status = NDIS_STATUS_SUCCESS;
        give_back(list->DependentBlockList);
    }
}

/* ---- operations ---- */

static void
begin(struct forest *forest)
{
    forest->held = NULL;
    forest->ended = NULL;
    forest->completions = 0;
}

void
forest_initiate(struct forest *forest, struct forest_node *root)
{
    begin(forest);
    NdisInitiateOffload(forest->pair.binding, &root->block);
    settle(forest);
    if (forest->held) {
        take_tree(forest->held);
        NdisMInitiateOffloadComplete(forest->pair.adapter, forest->held);
    }
    settle(forest);
}

void
forest_terminate(struct forest *forest, struct forest_node *root)
{
    begin(forest);
    NdisTerminateOffload(forest->pair.binding, &root->block);
    settle(forest);
    if (forest->held) {
        give_back(forest->held);
        NdisMTerminateOffloadComplete(forest->pair.adapter, forest->held);
    }
    settle(forest);
}
