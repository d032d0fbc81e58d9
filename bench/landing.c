/*
 * What a landing costs: a chimney send goes down and its completion comes up, through a stack of
 * 0, 1 or 3 intermediate drivers (passthru), with nothing attached and with an observer that counts
 * crossings. The target does nothing but keep the NBLs and give a batch of them back in one call.
 *
 * Beside it in the same run: a bare indirect call, and a chain of bare indirect calls with as many
 * hops between the same two ends. All figures are taken in turn, round after round; what is printed
 * are medians, in ns of the processor per NBL down and up.
 *
 * landing [--rounds N] [--cpu N] [--json]
 */
#include "chimney/observer.h"
#include "clock.h"
#include "ndis/test_pair.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_FLOORS 3
#define BATCH 64
#define BATCHES 500
#define MOST_ROUNDS 1001

static const unsigned stacks[] = {0, 1, MOST_FLOORS};
#define STACKS (sizeof(stacks) / sizeof(stacks[0]))

/* ---- the two ends ---- */

struct kept {
    NET_BUFFER_LIST *head, **end;
};

static inline void
keep(struct kept *kept, NET_BUFFER_LIST *nbl)
{
    *kept->end = nbl;
    kept->end = &nbl->Next;
}

static inline NET_BUFFER_LIST *
give_back(struct kept *kept)
{
    NET_BUFFER_LIST *nbls = kept->head;

    kept->head = NULL;
    kept->end = &kept->head;
    return nbls;
}

/* ---- the stack ---- */

struct block {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    TCP_OFFLOAD_STATE_CONST fixed;
    UCHAR rest[sizeof(TCP_OFFLOAD_STATE_CACHED) + sizeof(TCP_OFFLOAD_STATE_DELEGATED) + 64];
    NDIS_OFFLOAD_HANDLE handle;
};

struct stack {
    struct pair pair;
    struct kept kept;
    unsigned long long completed;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST held;
    struct block blocks[3];
    NDIS_HANDLE pool;
    NET_BUFFER_LIST *nbls[BATCH];
};

static VOID
target_operation(NDIS_HANDLE MiniportAdapterContext,
                 PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    ((struct stack *)MiniportAdapterContext)->held = OffloadBlockList;
}

static NDIS_STATUS
target_send(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
            PNET_BUFFER_LIST NetBufferList)
{
    keep(&((struct stack *)MiniportAdapterContext)->kept, NetBufferList);
    return NDIS_STATUS_PENDING;
}

static VOID
host_send_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    ((struct stack *)ProtocolBindingContext)->completed++;
}

static void
tree_set(struct stack *stack, const UCHAR types[3])
{
    for (int i = 0; i < 3; i++) {
        NDIS_OFFLOAD_HANDLE handle = stack->blocks[i].handle;

        memset(&stack->blocks[i], 0, sizeof(stack->blocks[i]));
        stack->blocks[i].handle = handle;
        stack->blocks[i].block.Header = (NDIS_OBJECT_HEADER){
            types[i], NDIS_OFFLOAD_BLOCK_LIST_REVISION_1, sizeof(stack->blocks[i].block)};
        stack->blocks[i].block.OffloadHandle = &stack->blocks[i].handle;
        if (i)
            stack->blocks[i - 1].block.DependentBlockList = &stack->blocks[i].block;
    }
}

static void
tree_answer(struct stack *stack,
            VOID (*complete)(NDIS_HANDLE NdisMiniportHandle,
                             PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList))
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = stack->held;

    for (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b = root; b; b = b->DependentBlockList) {
        b->Status = NDIS_STATUS_SUCCESS;
        if (!*b->MiniportOffloadContext)
            *b->MiniportOffloadContext = stack;
    }
    complete(stack->pair.adapter, root);
}

static void
stack_open(struct stack *stack, unsigned floors)
{
    static const UCHAR types[] = {NeighborOffloadState, Ip4OffloadState, TcpOffloadState};
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {.fAllocateNetBuffer = TRUE};

    pair_init(&stack->pair);
    stack->pair.target.InitiateOffloadHandler = target_operation;
    stack->pair.target.TerminateOffloadHandler = target_operation;
    stack->pair.target_tcp.TcpOffloadSendHandler = target_send;
    stack->pair.host_tcp.TcpOffloadSendCompleteHandler = host_send_complete;
    give_back(&stack->kept);
    if (!pair_open(&stack->pair, passthru_entry, floors))
        exit(1);
    tree_set(stack, types);
    NdisInitiateOffload(stack->pair.binding, &stack->blocks[0].block);
    tree_answer(stack, NdisMInitiateOffloadComplete);
    stack->pool = NdisAllocateNetBufferListPool(stack->pair.binding, &parameters);
    for (int i = 0; i < BATCH; i++)
        stack->nbls[i] = NdisAllocateNetBufferAndNetBufferList(stack->pool, 0, 0, NULL, 0, 0);
}

static void
stack_close(struct stack *stack)
{
    static const UCHAR types[] = {NeighborOffloadDelegatedState, Ip4OffloadDelegatedState,
                                  TcpOffloadDelegatedState};

    tree_set(stack, types);
    NdisTerminateOffload(stack->pair.binding, &stack->blocks[0].block);
    tree_answer(stack, NdisMTerminateOffloadComplete);
    for (int i = 0; i < BATCH; i++)
        NdisFreeNetBufferList(stack->nbls[i]);
    NdisFreeNetBufferListPool(stack->pool);
    pair_close(&stack->pair);
}

/* ---- what is measured; each returns the ns of one NBL down and up ---- */

static double
run_stack(struct stack *stack, unsigned batch)
{
    NDIS_OFFLOAD_HANDLE *tcp = &stack->blocks[2].handle;
    uint64_t begin_ns = cpu_ns();

    for (unsigned n = 0; n < BATCHES * BATCH / batch; n++) {
        for (unsigned i = 0; i < batch; i++) {
            stack->nbls[i]->Next = NULL;
            NdisOffloadTcpSend(tcp, stack->nbls[i]);
        }
        stack->pair.up.NdisTcpOffloadSendComplete(stack->pair.adapter, give_back(&stack->kept));
    }
    return (double)(cpu_ns() - begin_ns) / (BATCHES * BATCH);
}

/* A hop of the bare chain: it knows the next one each way, and that is all. */
struct hop {
    NDIS_STATUS (*down)(struct hop *hop, NET_BUFFER_LIST *nbl);
    void (*up)(struct hop *hop, NET_BUFFER_LIST *nbls);
    struct hop *below, *above;
    struct kept kept;
    unsigned long long completed;
};

static NDIS_STATUS
hop_down(struct hop *hop, NET_BUFFER_LIST *nbl)
{
    return hop->below->down(hop->below, nbl);
}

static NDIS_STATUS
hop_keep(struct hop *hop, NET_BUFFER_LIST *nbl)
{
    keep(&hop->kept, nbl);
    return NDIS_STATUS_PENDING;
}

static void
hop_up(struct hop *hop, NET_BUFFER_LIST *nbls)
{
    hop->above->up(hop->above, nbls);
}

static void
hop_count(struct hop *hop, NET_BUFFER_LIST *nbls)
{
    hop->completed++;
}

/* hops[0]: the host; hops[landings]: the target. */
static void
chain_set(struct hop *hops, unsigned landings)
{
    for (unsigned i = 0; i <= landings; i++)
        hops[i] = (struct hop){.down = i == landings ? hop_keep : hop_down,
                               .up = i == 0 ? hop_count : hop_up,
                               .below = &hops[i + 1],
                               .above = i ? &hops[i - 1] : NULL};
    give_back(&hops[landings].kept);
}

static double
run_chain(struct hop *hops, unsigned landings, NET_BUFFER_LIST **nbls, unsigned batch)
{
    uint64_t begin_ns = cpu_ns();

    for (unsigned n = 0; n < BATCHES * BATCH / batch; n++) {
        for (unsigned i = 0; i < batch; i++) {
            nbls[i]->Next = NULL;
            hop_down(&hops[0], nbls[i]);
        }
        hop_up(&hops[landings], give_back(&hops[landings].kept));
    }
    return (double)(cpu_ns() - begin_ns) / (BATCHES * BATCH);
}

static NDIS_STATUS
nothing(NDIS_OFFLOAD_HANDLE *handle, NET_BUFFER_LIST *nbl)
{
    return NDIS_STATUS_PENDING;
}

static double
run_call(void)
{
    NDIS_STATUS (*volatile call)(NDIS_OFFLOAD_HANDLE * handle, NET_BUFFER_LIST * nbl) = nothing;
    uint64_t begin_ns = cpu_ns();

    for (unsigned n = 0; n < BATCHES * BATCH; n++)
        call(NULL, NULL);
    return (double)(cpu_ns() - begin_ns) / (BATCHES * BATCH);
}

/* ---- rounds and figures ---- */

static unsigned long long crossings;

static void
on_crossing(void *arg, struct crossing *crossing)
{
    crossings++;
}

static struct observer counting = {.on_crossing = on_crossing};

struct figure {
    double ns[MOST_ROUNDS];
};

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(struct figure *figure, unsigned rounds)
{
    qsort(figure->ns, rounds, sizeof(figure->ns[0]), compare);
    return figure->ns[rounds / 2];
}

enum { CHAIN, BARE, WATCHED, VARIANTS };
static const unsigned batches[] = {BATCH, 1};
#define SIZES (sizeof(batches) / sizeof(batches[0]))

static struct stack stack_of[STACKS];
static struct hop hops_of[STACKS][MOST_FLOORS + 3];
static struct figure call_figure, figures[SIZES][STACKS][VARIANTS];

static void
one_round(unsigned round)
{
    call_figure.ns[round] = run_call();
    for (unsigned size = 0; size < SIZES; size++)
        for (unsigned i = 0; i < STACKS; i++) {
            struct stack *stack = &stack_of[i];
            struct figure *of = figures[size][i];

            of[CHAIN].ns[round] = run_chain(hops_of[i], stacks[i] + 1, stack->nbls, batches[size]);
            of[BARE].ns[round] = run_stack(stack, batches[size]);
            house_attach_observer(stack->pair.house, &counting);
            of[WATCHED].ns[round] = run_stack(stack, batches[size]);
            house_detach_observer(stack->pair.house, &counting);
        }
}

static void
print_size(unsigned size, unsigned rounds, double call_ns)
{
    printf("  completed %u at a time\n", batches[size]);
    printf(
        "    intermediates  chain ns   nothing attached ns  a landing ns  of the chain  of a call"
        "   observer ns  a landing ns\n");
    for (unsigned i = 0; i < STACKS; i++) {
        double ns[VARIANTS], landings = stacks[i] + 1;

        for (unsigned j = 0; j < VARIANTS; j++)
            ns[j] = median(&figures[size][i][j], rounds);
        printf("    %13u  %8.1f   %19.1f  %12.1f  %12.1f  %9.1f   %11.1f  %12.1f\n", stacks[i],
               ns[CHAIN], ns[BARE], ns[BARE] / landings, ns[BARE] / ns[CHAIN],
               ns[BARE] / landings / call_ns, ns[WATCHED], ns[WATCHED] / landings);
    }
}

static void
pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        perror("landing: not pinned");
}

int
main(int argc, char **argv)
{
    unsigned rounds = 101, cpu = 1;
    double call_ns;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rounds") == 0)
            rounds = (unsigned)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--cpu") == 0)
            cpu = (unsigned)atoi(argv[i + 1]);
    }
    if (rounds < 1 || rounds > MOST_ROUNDS)
        rounds = MOST_ROUNDS;
    pin(cpu);
    for (unsigned i = 0; i < STACKS; i++) {
        stack_open(&stack_of[i], stacks[i]);
        chain_set(hops_of[i], stacks[i] + 1);
    }
    for (unsigned round = 0; round < rounds; round++)
        one_round(round);
    call_ns = median(&call_figure, rounds);
    printf("landing: CPU %u, %u rounds of %u sends each, interleaved, medians, ns (of the "
           "processor) per NBL down and "
           "up; a bare indirect call %.2f ns\n",
           cpu, rounds, BATCHES * BATCH, call_ns);
    for (unsigned size = 0; size < SIZES; size++)
        print_size(size, rounds, call_ns);
    for (unsigned i = 0; i < STACKS; i++)
        stack_close(&stack_of[i]);
    return 0;
}
