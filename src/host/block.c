/*
 * Block lists: one allocation per operation holds the whole tree, a node and then its state
 * structures, so that nothing can be freed too early by halves. Invariant: while a tree is with
 * NDIS its memory is not touched here (V-045). The root's ProtocolReserved[0] leads back to the
 * operation. Source: chimney 3, R-07 for the placement.
 */
#include "host/edge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t
align8(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

struct host_operation *
host_operation_create(struct host_binding *binding)
{
    struct host_operation *operation = calloc(1, sizeof *operation);

    if (!operation)
        return NULL;
    list_init(&operation->link);
    operation->binding = binding;
    return operation;
}

void
host_operation_destroy(struct host_operation *operation)
{
    if (!operation)
        return;
    list_del(&operation->link);
    free(operation->what);
    free(operation);
}

void
host_operation_reset(struct host_operation *operation)
{
    free(operation->what);
    operation->what = NULL;
    operation->conn = NULL;
    operation->path = NULL;
    operation->neighbor = NULL;
    operation->root = operation->neighbor_block = operation->path_block = operation
                                                                              ->tcp_block = NULL;
    operation->used = 0;
    memset(operation->memory, 0, sizeof operation->memory);
}

static void *
take(struct host_operation *operation, size_t bytes)
{
    void *start = operation->memory + operation->used;

    assert(operation->used + align8(bytes) <= sizeof operation->memory);
    operation->used += align8(bytes);
    return start;
}

NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
host_block_add(struct host_operation *operation, ULONG type, NDIS_OFFLOAD_HANDLE *handle)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = take(operation, sizeof *block);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST **place = &operation->root;

    while (*place)
        place = &(*place)->DependentBlockList;
    *place = block;
    block->Header.Type = (UCHAR)type;
    block->Header.Revision = NDIS_OFFLOAD_BLOCK_LIST_REVISION_1;
    block->Header.Size = sizeof *block;
    block->OffloadHandle = handle;
    operation->root->ProtocolReserved[0] = operation;
    return block;
}

void *
host_state_add(struct host_operation *operation, ULONG size)
{
    OFFLOAD_STATE_HEADER *header = take(operation, size);

    header->Length = size;
    return header;
}

struct host_operation *
host_operation_of(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root)
{
    return root->ProtocolReserved[0];
}
