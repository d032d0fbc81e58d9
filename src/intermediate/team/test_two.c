/* See test_two.h. */
#include "intermediate/team/test_two.h"
#include "intermediate/drivers.h"

/* ---- a team of two ---- */

VOID
NdisMSleep(ULONG MicrosecondsToSleep)
{
    fake_run_work();
}

void
stand(void)
{
    static const struct fake_option hash[] = {{"Mode", "hash"}, {NULL, NULL}};
    NET_PNP_EVENT_NOTIFICATION restart;
    NDIS_BIND_PARAMETERS parameters;

    fake_options = hash;
    fake_stand_as(team_entry);
    fake_bind_parameters(&parameters);
    assert_int_equal(
        fake.protocol.BindAdapterHandlerEx(fake.protocol_context, FAKE_BIND, &parameters),
        NDIS_STATUS_SUCCESS);
    fake_event(&restart, NetEventRestart);
    fake_run_work();
    assert_int_equal(fake.status_count, 3);
    assert_int_equal(fake.statuses[0], NDIS_STATUS_OFFLOAD_PAUSE);
    assert_int_equal(fake.statuses[1], NDIS_STATUS_UPLOAD_ALL);
    assert_int_equal(fake.statuses[2], NDIS_STATUS_OFFLOAD_RESUME);
    fake_forget();
}

struct team_member *
member(unsigned i)
{
    return fake.bindings[i];
}

void
leave(void)
{
    NET_PNP_EVENT_NOTIFICATION pauses[2];

    for (unsigned i = 0; i < fake.binding_count; i++) {
        assert_int_equal(member(i)->connection_count, 0);
        assert_true(list_empty(&member(i)->connections) && list_empty(&member(i)->places));
    }
    fake.miniport.PauseHandler(fake.adapter_context, NULL);
    for (unsigned i = 0; i < fake.binding_count; i++) {
        fake.binding_context = fake.bindings[i];
        fake_event(&pauses[i], NetEventPause);
        if (fake.work)
            fake_run_work();
    }
    for (ULONG i = fake.binding_count; i-- > 0;)
        fake.protocol.UnbindAdapterHandlerEx(FAKE_UNBIND, fake.bindings[i]);
    if (fake.work)
        fake_run_work();
    fake_unload();
    fake_options = NULL;
}

/* ---- trees ---- */

void
node_init(struct node *node, UCHAR type, PVOID *cell, struct node *parent)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST *link;

    memset(node, 0, sizeof(*node));
    node->block.Header = (NDIS_OBJECT_HEADER){type, 1, sizeof(node->block)};
    node->block.MiniportOffloadContext = cell;
    node->block.NdisOffloadHandle = node;
    node->block.ImReserved[0] = &node->states[1];
    node->block.SourceHandle = &node->states[2];
    node->block.Status = 0x1234;
    if (!parent)
        return;
    link = &parent->block.DependentBlockList;
    while (*link)
        link = &(*link)->NextBlock;
    *link = &node->block;
}

void
tree_init(struct tree *tree, unsigned conns)
{
    PATH_OFFLOAD_STATE_CONST *path;

    memset(tree, 0, sizeof(*tree));
    tree->addresses[0][0] = 10;
    tree->addresses[1][0] = 11;
    node_init(&tree->neighbor, NeighborOffloadState, &tree->cells[0], NULL);
    node_init(&tree->path, Ip4OffloadState, &tree->cells[1], &tree->neighbor);
    path = NDIS_OFFLOAD_STATE_FIRST(&tree->path.block);
    path->SourceAddress = tree->addresses[0];
    path->DestinationAddress = tree->addresses[1];
    for (unsigned i = 0; i < conns; i++) {
        TCP_OFFLOAD_STATE_CONST *tcp;

        node_init(&tree->conns[i], TcpOffloadState, &tree->cells[2 + i], &tree->path);
        tcp = NDIS_OFFLOAD_STATE_FIRST(&tree->conns[i].block);
        tcp->LocalPort = (USHORT)i;
    }
}

/* Another connection under what is there. */
void
tree_again(struct tree *tree, unsigned conn)
{
    TCP_OFFLOAD_STATE_CONST *tcp;

    node_init(&tree->neighbor, NeighborOffloadState, &tree->cells[0], NULL);
    node_init(&tree->path, Ip4OffloadState, &tree->cells[1], &tree->neighbor);
    node_init(&tree->conns[conn], TcpOffloadState, &tree->cells[2 + conn], &tree->path);
    tcp = NDIS_OFFLOAD_STATE_FIRST(&tree->conns[conn].block);
    tcp->LocalPort = (USHORT)conn;
}

/* Whose it is. */
unsigned
home_of(const struct tree *tree, unsigned conn)
{
    uint64_t flow = team_flow_addresses(tree->addresses[0], tree->addresses[1], 4);

    return team_flow_ports(flow, (USHORT)conn, 0) % 2;
}

unsigned
first_at(const struct tree *tree, unsigned home)
{
    for (unsigned i = 0; i < CONNS; i++)
        if (home_of(tree, i) == home)
            return i;
    fail();
    return 0;
}

/* ---- answers from below ---- */

static NDIS_STATUS
status_of(const struct answer *answer, UCHAR type)
{
    if (type <= NeighborOffloadState)
        return answer->neighbor;
    return type <= Ip6OffloadState ? answer->path : answer->tcp;
}

static void
answer_blocks(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block, const struct answer *answer, bool above)
{
    for (; block; block = block->NextBlock) {
        NDIS_STATUS status = above ? status_of(answer, block->Header.Type) : NDIS_STATUS_FAILURE;
        bool through = status == NDIS_STATUS_SUCCESS ||
                       status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;

        assert_ptr_equal(block->SourceHandle, FAKE_LOWER);
        block->Status = block->OffloadHandle ? status : NDIS_STATUS_SUCCESS;
        if (through && block->OffloadHandle && !block->OffloadHandle->MiniportOffloadContext)
            block->OffloadHandle->MiniportOffloadContext = block->OffloadHandle;
        answer_blocks(block->DependentBlockList, answer, through);
    }
}

unsigned
whose(const struct fake_call *down)
{
    return (unsigned)((ULONG_PTR)down->handle - (ULONG_PTR)FAKE_LOWER);
}

void
complete(const struct fake_call *down, const struct answer *answer)
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root = down->data;

    assert_null(fake.up.name); /* one completion, and not before the last part */
    answer_blocks(root, answer, true);
    fake.client.InitiateOffloadCompleteHandler(fake.bindings[whose(down)], root);
}

/* answers[i]: of member i. */
void
initiate(struct tree *tree, const struct answer answers[2])
{
    fake_forget();
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &tree->neighbor.block);
    for (unsigned i = 0; i < fake.down_count; i++)
        complete(&fake.downs[i], &answers[whose(&fake.downs[i])]);
    if (!fake.down_count)
        fake_run_work();
    assert_string_equal(fake.up.name, "initiate");
    assert_int_equal(fake.up.count, 1);
    assert_ptr_equal(fake.up.data, &tree->neighbor.block);
}

const struct answer fine;
const struct answer both_fine[2];

/* Each block goes home as it came, with our context for what came through. */
void
check_node(const struct node *node, NDIS_STATUS status)
{
    bool through = status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;

    assert_int_equal(node->block.Status, status);
    assert_ptr_equal(node->block.NdisOffloadHandle, node);
    assert_ptr_equal(node->block.ImReserved[0], &node->states[1]);
    assert_ptr_equal(node->block.SourceHandle, &node->states[2]);
    assert_int_equal(*node->block.MiniportOffloadContext != NULL, through);
}

/* ---- others ---- */

void
operate(request_fn *request, struct node *root, const struct answer answers[2])
{
    fake_forget();
    request(fake.adapter_context, &root->block);
    for (unsigned i = 0; i < fake.down_count; i++)
        complete(&fake.downs[i], &answers[whose(&fake.downs[i])]);
    if (!fake.down_count)
        fake_run_work();
    assert_int_equal(fake.up.count, 1);
    assert_ptr_equal(fake.up.data, &root->block);
}

void
terminate_all(struct tree *tree, unsigned conns)
{
    node_init(&tree->neighbor, NeighborOffloadDelegatedState, &tree->cells[0], NULL);
    node_init(&tree->path, Ip4OffloadDelegatedState, &tree->cells[1], &tree->neighbor);
    for (unsigned i = 0; i < conns; i++)
        node_init(&tree->conns[i], TcpOffloadDelegatedState, &tree->cells[2 + i], &tree->path);
    operate(fake.provider.TerminateOffloadHandler, &tree->neighbor, both_fine);
    memset(tree->cells, 0, sizeof(tree->cells));
}
