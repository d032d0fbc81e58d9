/* What a host stack might throw: trees that are none, handles that are none, NBLs of others. */
#include "abuse.h"

#include <stdlib.h>
#include <string.h>

#define MANY 1000

typedef VOID tree_call(NDIS_HANDLE NdisBindingHandle,
                       PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef NDIS_STATUS data_call(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle,
                              PNET_BUFFER_LIST NetBufferList);

static tree_call *const tree_calls[] = {NdisInitiateOffload, NdisTerminateOffload,
                                        NdisUpdateOffload, NdisInvalidateOffload,
                                        NdisQueryOffloadState};
static data_call *const data_calls[] = {NdisOffloadTcpSend, NdisOffloadTcpReceive,
                                        NdisOffloadTcpForward};

static NDIS_HANDLE
binding(const struct scene *scene)
{
    return scene->stage->host.binding;
}

/* It does not get there, and comes back. */
static void
refuses(struct scene *scene, tree_call *call, struct test_block *root)
{
    unsigned before = scene->stage->host.completions;

    call(binding(scene), &root->block);
    stage_settle(scene->stage);
    assert_ptr_not_equal(scene->stage->target.root, &root->block);
    assert_int_equal(scene->stage->host.completions, before + 1);
    assert_int_not_equal(root->block.Status, NDIS_STATUS_SUCCESS);
}

/* Every one of the five refuses it and completes it, and does so once. */
static void
all_refuse(struct scene *scene, struct test_block *root)
{
    for (size_t i = 0; i < 5; i++) {
        refuses(scene, tree_calls[i], root);
        assert_ptr_equal(scene->stage->host.done, &root->block);
    }
}

/* ---- nothing ---- */

static void
null_everywhere(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    for (size_t i = 0; i < 5; i++) {
        tree_calls[i](NULL, &b[0].block);
        tree_calls[i](binding(scene), NULL);
        tree_calls[i](NULL, NULL);
    }
    assert_int_equal(scene->count, 15);
    for (size_t i = 0; i < 3; i++) {
        assert_int_not_equal(data_calls[i](NULL, scene->nbl), NDIS_STATUS_PENDING);
        assert_int_not_equal(data_calls[i](&scene->conn[2].handle, NULL), NDIS_STATUS_PENDING);
    }
    assert_int_not_equal(NdisOffloadTcpDisconnect(NULL, scene->nbl, 1), NDIS_STATUS_PENDING);
    assert_int_not_equal(NdisOffloadTcpDisconnect(&scene->conn[2].handle, NULL, 1),
                         NDIS_STATUS_PENDING);
    NdisOffloadTcpReceiveReturn(binding(scene), NULL);
    NdisOffloadTcpReceiveReturn(NULL, scene->nbl);
    NdisSendNetBufferLists(binding(scene), NULL, 0, 0);
    NdisReturnNetBufferLists(binding(scene), NULL, 0);
    assert_int_equal(scene->count, 27);
}

/* ---- handles ---- */

static void
no_handle_at_all(struct scene *scene)
{
    uint64_t zeros[64] = {0};
    struct test_block b[3];

    tree_init(scene, b);
    for (size_t i = 0; i < 5; i++) {
        tree_calls[i](zeros, &b[0].block);
        tree_calls[i]((char *)zeros + 3, &b[0].block);
        tree_calls[i](scene->nic0, &b[0].block); /* an adapter's */
    }
    assert_null(scene->stage->target.root);
    assert_int_equal(scene->count, 15);
}

static void
an_object_of_nobody(struct scene *scene)
{
    struct test_block b;
    NDIS_OFFLOAD_HANDLE copy = scene->conn[2].handle;

    test_block_init(&b, TcpOffloadCachedState);
    b.handle = (NDIS_OFFLOAD_HANDLE){{scene}, scene};
    refuses(scene, NdisUpdateOffload, &b);
    b.handle = (NDIS_OFFLOAD_HANDLE){{NULL}, NULL};
    refuses(scene, NdisUpdateOffload, &b);
    b.block.OffloadHandle = &copy;
    refuses(scene, NdisQueryOffloadState, &b);
}

static void
data_for_nobody(struct scene *scene)
{
    NDIS_OFFLOAD_HANDLE copy = scene->conn[2].handle, wild = {{NULL}, scene};

    for (size_t i = 0; i < 3; i++) {
        assert_int_not_equal(data_calls[i](&copy, scene->nbl), NDIS_STATUS_PENDING);
        assert_int_not_equal(data_calls[i](&wild, scene->nbl), NDIS_STATUS_PENDING);
    }
    assert_null(scene->stage->target.nbls);
}

/* ---- trees ---- */

static void
a_block_that_is_its_own_sibling(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    b[1].block.NextBlock = &b[1].block;
    all_refuse(scene, &b[0]);
}

static void
a_tree_that_bites_its_tail(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    b[2].block.DependentBlockList = &b[0].block;
    all_refuse(scene, &b[0]);
}

static void
a_long_circle(struct scene *scene)
{
    struct test_block *b = calloc(MANY, sizeof(*b));

    assert_non_null(b);
    for (int i = 0; i < MANY; i++) {
        test_block_init(&b[i], NeighborOffloadState);
        b[i].block.OffloadHandle = NULL;
        b[i].block.NextBlock = &b[(i + 1) % MANY].block;
    }
    all_refuse(scene, &b[0]);
    free(b);
}

static void
two_ways_to_one_block(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    b[0].block.NextBlock = &b[1].block;
    all_refuse(scene, &b[0]);
}

/* It is with the target: neither NDIS nor the verifier may touch it. */
static void
the_same_tree_twice(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = query_held(scene);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST before = scene->query[1].block;
    unsigned done = scene->stage->host.completions;

    for (size_t i = 0; i < 5; i++)
        tree_calls[i](binding(scene), &scene->query[0].block);
    stage_settle(scene->stage);
    assert_int_equal(scene->stage->host.completions, done);
    assert_ptr_equal(scene->stage->target.root, root);
    assert_memory_equal(&scene->query[1].block, &before, sizeof(before));
    answer(scene);
    assert_int_equal(scene->stage->host.completions, done + 1);
}

static void
a_block_of_another_tree(struct scene *scene)
{
    struct test_block b;

    query_held(scene);
    test_block_init(&b, Ip4OffloadState);
    b.block.OffloadHandle = NULL;
    b.block.DependentBlockList = &scene->query[1].block;
    refuses(scene, NdisQueryOffloadState, &b);
}

static void
every_wrong_type(struct scene *scene)
{
    static const UCHAR types[] = {0, TcpOffloadResourceState, FilterReservedOffloadState, 19, 255};

    for (size_t i = 0; i < sizeof(types); i++) {
        struct test_block b[3];

        tree_init(scene, b);
        b[2].block.Header.Type = types[i];
        all_refuse(scene, &b[0]);
    }
}

static void
every_wrong_size(struct scene *scene)
{
    static const USHORT sizes[] = {0,
                                   1,
                                   8,
                                   sizeof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) - 1,
                                   sizeof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) + 1,
                                   0xffff};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct test_block b[3];

        tree_init(scene, b);
        b[i % 3].block.Header.Size = sizes[i];
        all_refuse(scene, &b[0]);
    }
}

static void
layers_mixed_up(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    b[0].block.DependentBlockList = &b[2].block;
    b[2].block.DependentBlockList = &b[1].block;
    b[1].block.DependentBlockList = NULL;
    all_refuse(scene, &b[0]);
}

static void
another_layers_type(struct scene *scene)
{
    struct test_block b;

    test_block_init(&b, TcpOffloadState);
    b.block.OffloadHandle = &scene->conn[0].handle; /* the neighbor's */
    refuses(scene, NdisQueryOffloadState, &b);
}

static void
no_states(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    b[2].block.Header.Type = TcpOffloadConstState;
    refuses(scene, NdisInitiateOffload, &b[0]);
}

static void
no_addresses(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    memset(b[1].states, 0, sizeof(b[1].states));
    refuses(scene, NdisInitiateOffload, &b[0]);
}

static void
a_chain_in_a_circle(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    scene->nbl->Next = scene->nbl;
    b[2].block.NetBufferListChain = scene->nbl;
    NdisInitiateOffload(binding(scene), &b[0].block);
    assert_non_null(scene->stage->target.root);
    scene->stage->target.object_status = NDIS_STATUS_RESOURCES; /* the chain stays ours */
    answer(scene);
    scene->stage->target.object_status = NDIS_STATUS_SUCCESS;
    assert_null(scene->nbl->Next);
}

/* ---- twice ---- */

static void
initiated_twice(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    b[2].block.OffloadHandle = &scene->conn[2].handle;
    refuses(scene, NdisInitiateOffload, &b[0]);
}

static void
one_handle_in_two_blocks(struct scene *scene)
{
    struct test_block b[3], more;

    tree_init(scene, b);
    more = b[2];
    more.block.OffloadHandle = &b[2].handle;
    b[2].block.NextBlock = &more.block;
    refuses(scene, NdisInitiateOffload, &b[0]);
}

static void
terminated_twice(struct scene *scene)
{
    struct test_block again[3];

    tree_end(scene, scene->conn);
    NdisTerminateOffload(binding(scene), &scene->conn[0].block);
    memcpy(again, scene->conn, sizeof(again));
    for (int i = 0; i < 3; i++) {
        again[i].block.OffloadHandle = &scene->conn[i].handle;
        again[i].block.DependentBlockList = i < 2 ? &again[i + 1].block : NULL;
    }
    NdisTerminateOffload(binding(scene), &again[0].block);
    stage_settle(scene->stage);
    assert_int_equal(again[2].block.Status, NDIS_STATUS_FAILURE);
    answer(scene);
    assert_null(scene->conn[2].handle.MiniportOffloadContext);
}

/* The refusal has not come back yet when it is passed once more. */
static void
a_refused_tree_twice(struct scene *scene)
{
    struct fake_host *host = &scene->stage->host;
    unsigned before = host->completions;
    struct test_block b[3];

    tree_init(scene, b);
    b[1].block.Header.Size = 0;
    NdisInitiateOffload(binding(scene), &b[0].block);
    NdisInitiateOffload(binding(scene), &b[0].block);
    NdisQueryOffloadState(binding(scene), &b[0].block);
    stage_settle(scene->stage);
    assert_int_equal(host->completions, before + 1);
    assert_null(scene->stage->target.root);
    refuses(scene, NdisInitiateOffload, &b[0]); /* it may be passed again now */
}

static void
buffered_data_in_a_circle(struct scene *scene)
{
    TCP_OFFLOAD_STATE_DELEGATED *state;
    struct test_block b[3];

    tree_init(scene, b);
    state = (void *)((char *)b[2].states + NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CONST) +
                     NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED));
    state->BufferedData = scene->nbl;
    scene->nbl->Next = scene->nbl;
    NdisInitiateOffload(binding(scene), &b[0].block);
    scene->stage->target.object_status = NDIS_STATUS_RESOURCES;
    answer(scene);
    scene->stage->target.object_status = NDIS_STATUS_SUCCESS;
    assert_null(scene->nbl->Next);
}

/* ---- NBLs ---- */

static void
sends_in_a_circle(struct scene *scene)
{
    scene->nbl->Next = scene->nbl;
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    scene->nbl->Next = NULL;
}

static void
a_send_of_nothing(struct scene *scene)
{
    NET_BUFFER *nb = scene->nbl->FirstNetBuffer;

    scene->nbl->FirstNetBuffer = NULL;
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    stage_settle(scene->stage);
    scene->nbl->FirstNetBuffer = nb;
    assert_null(scene->stage->target.nbls);
}

static void
a_refused_send_twice(struct scene *scene)
{
    NET_BUFFER *nb = scene->nbl->FirstNetBuffer;

    scene->nbl->FirstNetBuffer = NULL;
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    stage_settle(scene->stage);
    scene->nbl->FirstNetBuffer = nb;
    assert_int_equal(test_count(scene->stage->host.nbls), 1);
    scene->stage->host.nbls = scene->stage->host.nbls_tail = NULL;
}

static void
buffers_in_a_circle(struct scene *scene)
{
    NET_BUFFER *nb = scene->nbl->FirstNetBuffer;

    for (size_t i = 0; i < 3; i++) {
        nb->Next = nb;
        data_calls[i](&scene->conn[2].handle, scene->nbl);
        assert_null(nb->Next);
    }
    nb->Next = nb;
    NdisOffloadTcpDisconnect(&scene->conn[2].handle, scene->nbl, TCP_DISCONNECT_GRACEFUL_CLOSE);
    assert_null(nb->Next);
    assert_null(scene->stage->target.nbls);
}

static void
a_frame_twice(struct scene *scene)
{
    scene->nbl->SourceHandle = binding(scene);
    NdisSendNetBufferLists(binding(scene), scene->nbl, 0, 0);
    NdisSendNetBufferLists(binding(scene), scene->nbl, 0, 0);
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    assert_ptr_equal(scene->stage->target.nbls, scene->nbl);
    assert_null(scene->nbl->Next);
    scene->stage->target.nbls = scene->stage->target.nbls_tail = NULL;
    scene->nbl->Status = NDIS_STATUS_SUCCESS;
    NdisMSendNetBufferListsComplete(scene->nic0, scene->nbl, 0);
    scene->stage->host.nbls = scene->stage->host.nbls_tail = NULL;
}

static void
a_send_twice(struct scene *scene)
{
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    assert_ptr_equal(scene->stage->target.nbls, scene->nbl);
    assert_null(scene->nbl->Next);
}

static void
returned_and_never_indicated(struct scene *scene)
{
    NdisOffloadTcpReceiveReturn(binding(scene), scene->nbl);
    assert_int_equal(scene->stage->target.returned, 0);
}

static void
returns_in_a_circle(struct scene *scene)
{
    scene->nbl->Next = scene->nbl;
    NdisOffloadTcpReceiveReturn(binding(scene), scene->nbl);
    assert_null(scene->nbl->Next);
}

const struct abuse abuse_from_above[] = {
    {"NULL everywhere", 0, null_everywhere},
    {"no handle at all", 0, no_handle_at_all},
    {"an object of nobody", 0, an_object_of_nobody},
    {"data for nobody", 84, data_for_nobody},
    {"a block that is its own sibling", 18, a_block_that_is_its_own_sibling},
    {"a tree that bites its tail", 18, a_tree_that_bites_its_tail},
    {"a long circle", 18, a_long_circle},
    {"two ways to one block", 18, two_ways_to_one_block},
    {"the same tree twice", 18, the_same_tree_twice},
    {"a block of another tree", 18, a_block_of_another_tree},
    {"every wrong type", 14, every_wrong_type},
    {"every wrong size", 15, every_wrong_size},
    {"layers mixed up", 17, layers_mixed_up},
    {"another layer's type", 14, another_layers_type},
    {"no states", 20, no_states},
    {"no addresses", 22, no_addresses},
    {"a chain in a circle", 0, a_chain_in_a_circle},
    {"initiated twice", 56, initiated_twice},
    {"one handle in two blocks", 56, one_handle_in_two_blocks},
    {"terminated twice", 62, terminated_twice},
    {"a refused tree twice", 18, a_refused_tree_twice},
    {"BufferedData in a circle", 0, buffered_data_in_a_circle},
    {"sends in a circle", 83, sends_in_a_circle},
    {"a refused send twice", 85, a_refused_send_twice},
    {"NET_BUFFERs in a circle", 83, buffers_in_a_circle},
    {"a frame twice", 184, a_frame_twice},
    {"a send of nothing", 83, a_send_of_nothing},
    {"a send twice", 85, a_send_twice},
    {"returned and never indicated", 111, returned_and_never_indicated},
    {"returns in a circle", 0, returns_in_a_circle},
};
const size_t abuse_from_above_count = sizeof(abuse_from_above) / sizeof(abuse_from_above[0]);
