/* The stage of the tests: a house in simulated time, a log that is kept, lists, blocks. */
#include "ndis/test_fakes.h"

#include "base/log.h"
#include "sys/lock.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the stage ---- */

void
stage_trace(struct stage *stage, const char *word)
{
    size_t used = strlen(stage->trace);

    snprintf(stage->trace + used, sizeof(stage->trace) - used, "%s%s", used ? " " : "", word);
}

/* From any thread. */
static void
on_log(enum log_level level, const char *line, void *arg)
{
    static struct sys_lock lock;
    struct stage *stage = arg;
    size_t used;

    sys_lock_take(&lock);
    used = strlen(stage->log);
    snprintf(stage->log + used, sizeof(stage->log) - used, "%s\n", line);
    sys_lock_give(&lock);
}

bool
stage_logged(const struct stage *stage, const char *text)
{
    return strstr(stage->log, text) != NULL;
}

void
stage_settle(struct stage *stage)
{
    while (sys_loop_turn(stage->loop, false))
        continue;
}

int
stage_setup(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    stage->loop = sys_loop_create();
    log_set_sink(on_log, stage);
    assert_int_equal(house_create(stage->loop, &stage->house), 0);
    stage->target.stage = stage;
    stage->host.stage = stage;
    stage->host.accept = NDIS_STATUS_SUCCESS;
    *state = stage;
    return 0;
}

void
stage_build(struct stage *stage)
{
    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_load(stage->house, "host", fake_host_entry, &stage->host), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    assert_int_equal(house_bind(stage->house, "host", "nic0", NULL), 0);
    stage->trace[0] = '\0';
}

int
stage_setup_bound(void **state)
{
    stage_setup(state);
    stage_build(*state);
    return 0;
}

int
stage_teardown(void **state)
{
    struct stage *stage = *state;

    house_destroy(stage->house);
    sys_loop_destroy(stage->loop);
    log_set_sink(NULL, NULL);
    free(stage);
    return 0;
}

/* ---- lists of NBLs ---- */

void
test_keep(NET_BUFFER_LIST **head, NET_BUFFER_LIST **tail, NET_BUFFER_LIST *nbls)
{
    if (*head)
        (*tail)->Next = nbls;
    else
        *head = nbls;
    for (*tail = nbls; (*tail)->Next; *tail = (*tail)->Next)
        continue;
}

size_t
test_count(NET_BUFFER_LIST *nbls)
{
    size_t n = 0;

    for (; nbls; nbls = nbls->Next)
        n++;
    return n;
}

NDIS_HANDLE
test_pool(struct stage *stage)
{
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .fAllocateNetBuffer = TRUE,
        .PoolTag = 0x74736574,
    };

    return NdisAllocateNetBufferListPool(stage->host.protocol, &parameters);
}

NET_BUFFER_LIST *
test_nbls(NDIS_HANDLE pool, unsigned n)
{
    NET_BUFFER_LIST *head = NULL;

    for (unsigned i = 0; i < n; i++) {
        NET_BUFFER_LIST *nbl = NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, NULL, 0, 0);

        assert_non_null(nbl);
        nbl->Next = head;
        head = nbl;
    }
    return head;
}

void
test_free_nbls(NET_BUFFER_LIST *nbls)
{
    while (nbls) {
        NET_BUFFER_LIST *next = nbls->Next;

        NdisFreeNetBufferList(nbls);
        nbls = next;
    }
}

/* ---- blocks ---- */

void
test_block_init(struct test_block *block, UCHAR type)
{
    NDIS_OFFLOAD_HANDLE handle = block->handle;

    memset(block, 0, sizeof(*block));
    block->handle = handle;
    block->block.Header = (NDIS_OBJECT_HEADER){type, NDIS_OFFLOAD_BLOCK_LIST_REVISION_1,
                                               sizeof(block->block)};
    block->block.Status = 0x5a5a5a5a;
    memset(block->block.NdisReserved, 0x5a, sizeof(block->block.NdisReserved));
    block->block.OffloadHandle = &block->handle;
}

void
stage_offload(struct stage *stage, struct test_block b[3])
{
    memset(b, 0, 3 * sizeof(b[0]));
    test_block_init(&b[0], NeighborOffloadState);
    test_block_init(&b[1], Ip4OffloadState);
    test_block_init(&b[2], TcpOffloadState);
    b[0].block.DependentBlockList = &b[1].block;
    b[1].block.DependentBlockList = &b[2].block;
    NdisInitiateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    assert_ptr_equal(stage->host.done, &b[0].block);
    for (int i = 0; i < 3; i++)
        assert_int_equal(b[i].block.Status, NDIS_STATUS_SUCCESS);
}

void
test_blocks_as_terminate(struct test_block b[3])
{
    static const UCHAR types[] = {NeighborOffloadDelegatedState, Ip4OffloadDelegatedState,
                                  TcpOffloadDelegatedState};

    for (int i = 0; i < 3; i++)
        test_block_init(&b[i], types[i]);
    b[0].block.DependentBlockList = &b[1].block;
    b[1].block.DependentBlockList = &b[2].block;
}
