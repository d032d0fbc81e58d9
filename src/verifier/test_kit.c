/* See test_kit.h. */
#include "verifier/test_kit.h"

#include <stdio.h>
#include <string.h>

#define MTU 1500u

/* ---- the verifier ---- */

static void
on_report(void *arg, const struct verifier_report *report)
{
    struct kit *kit = arg;

    if (!kit->count) {
        snprintf(kit->driver, sizeof(kit->driver), "%s", report->driver);
        snprintf(kit->seen, sizeof(kit->seen), "%s", report->seen);
    }
    if (kit->count < KIT_REPORTS)
        kit->reports[kit->count] = *report;
    kit->count++;
}

/* V-011: before any initiate. */
static void
set_parameters(struct kit *kit, struct kit_landing *landing)
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
    struct crossing crossing = kit_crossing(landing, CROSSING_OID, false);

    crossing.code = OID_TCP_CONNECTION_OFFLOAD_PARAMETERS;
    crossing.data = &request;
    kit_before(kit, &crossing);
    kit_after(kit, &crossing, NDIS_STATUS_SUCCESS);
}

void
kit_open(struct kit *kit, bool im)
{
    memset(kit, 0, sizeof(*kit));
    kit->verifier = verifier_create(&(struct verifier_options){.on_report = on_report, .arg = kit});
    assert_non_null(kit->verifier);
    kit->observer = verifier_observer(kit->verifier);
    kit->now_us = 1000000;
    kit->landing = (struct kit_landing){im ? "im" : "host", "target", "nic", im, false, NULL, 0, 0};
    kit->upper = (struct kit_landing){"host", "im", "virtual", false, true, &kit->landing.binding,
                                      0,      0};
    set_parameters(kit, &kit->landing);
    if (im)
        set_parameters(kit, &kit->upper);
    kit->count = 0;
}

void
kit_close(struct kit *kit)
{
    verifier_destroy(kit->verifier);
}

void
kit_assert(struct kit *kit, unsigned rule, const char *driver)
{
    if (!kit->count)
        fail_msg("V-%03u was not reported", rule);
    if (kit->reports[0].rule != rule)
        fail_msg("V-%03u instead of V-%03u: %s", kit->reports[0].rule, rule, kit->seen);
    assert_false(kit->reports[0].consequential);
    assert_string_equal(kit->driver, driver);
    kit->count = 0;
}

void
kit_assert_none(struct kit *kit)
{
    if (kit->count)
        fail_msg("V-%03u: %s", kit->reports[0].rule, kit->seen);
}

/* ---- crossings ---- */

struct crossing
kit_crossing(struct kit_landing *landing, enum crossing_op op, bool up)
{
    return (struct crossing){.op = op,
                             .up = up,
                             .im_above = landing->im_above,
                             .im_below = landing->im_below,
                             .from = up ? landing->below : landing->above,
                             .to = up ? landing->above : landing->below,
                             .adapter = landing->adapter,
                             .binding = &landing->binding,
                             .miniport = &landing->miniport,
                             .lower_binding = landing->lower};
}

enum crossing_veto
kit_before(struct kit *kit, struct crossing *crossing)
{
    crossing->now_us = kit->now_us;
    kit->observer->on_crossing(kit->observer->arg, crossing);
    crossing->refused |= crossing->veto != CROSSING_GO;
    return crossing->veto;
}

void
kit_after(struct kit *kit, struct crossing *crossing, NDIS_STATUS status)
{
    crossing->after = true;
    crossing->nbls = NULL;
    crossing->data = NULL;
    crossing->status = status;
    crossing->now_us = kit->now_us;
    kit->observer->on_crossing(kit->observer->arg, crossing);
}

/* ---- a connection ---- */

void
kit_block_init(struct kit_block *block, UCHAR type, NDIS_OFFLOAD_HANDLE *handle)
{
    memset(block, 0, sizeof(*block));
    block->block.Header = (NDIS_OBJECT_HEADER){type, NDIS_OFFLOAD_BLOCK_LIST_REVISION_1,
                                               sizeof(block->block)};
    block->block.OffloadHandle = handle;
}

void *
kit_state_add(struct kit_block *block, size_t *at, ULONG length)
{
    OFFLOAD_STATE_HEADER *header = (void *)((UCHAR *)NDIS_OFFLOAD_STATE_FIRST(&block->block) + *at);

    header->Length = length;
    *at += NDIS_OFFLOAD_STATE_ALIGN(length);
    return header;
}

static void
neighbor_init(struct kit_conn *conn)
{
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached;
    size_t at = 0;

    kit_block_init(&conn->blocks[0], NeighborOffloadState, &conn->neighbor);
    kit_state_add(&conn->blocks[0], &at, sizeof(NEIGHBOR_OFFLOAD_STATE_CONST));
    cached = kit_state_add(&conn->blocks[0], &at, sizeof(*cached));
    cached->DlDestinationAddress[0] = 2;
    kit_state_add(&conn->blocks[0], &at, sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED));
}

static void
path_init(struct kit_conn *conn)
{
    PATH_OFFLOAD_STATE_CONST *constant;
    PATH_OFFLOAD_STATE_CACHED *cached;
    size_t at = 0;

    kit_block_init(&conn->blocks[1], Ip4OffloadState, &conn->path);
    constant = kit_state_add(&conn->blocks[1], &at, sizeof(*constant));
    constant->SourceAddress = conn->addresses[0];
    constant->DestinationAddress = conn->addresses[1];
    cached = kit_state_add(&conn->blocks[1], &at, sizeof(*cached));
    cached->PathMtu = MTU;
    kit_state_add(&conn->blocks[1], &at, sizeof(PATH_OFFLOAD_STATE_DELEGATED));
}

static void
tcp_init(struct kit_conn *conn)
{
    TCP_OFFLOAD_STATE_CONST *constant;
    TCP_OFFLOAD_STATE_CACHED *cached;
    TCP_OFFLOAD_STATE_DELEGATED *delegated;
    size_t at = 0;

    kit_block_init(&conn->blocks[2], TcpOffloadState, &conn->tcp);
    constant = kit_state_add(&conn->blocks[2], &at, sizeof(*constant));
    constant->LocalPort = 0x1234;
    constant->RemotePort = 0x5678;
    constant->RemoteMss = 1460;
    cached = kit_state_add(&conn->blocks[2], &at, sizeof(*cached));
    cached->InitialRcvWnd = 65535;
    cached->TtlOrHopLimit = 64;
    delegated = kit_state_add(&conn->blocks[2], &at, sizeof(*delegated));
    delegated->State = TcpConnectionEstablished;
    delegated->RcvWnd = delegated->SndWnd = delegated->MaxSndWnd = 65535;
    delegated->CWnd = 14600;
    delegated->KeepAlive.TimeoutDelta = delegated->Retransmit.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF;
}

void
kit_conn_init(struct kit_conn *conn)
{
    static const UCHAR addresses[2][4] = {{10, 0, 0, 1}, {10, 0, 0, 2}};

    memset(conn, 0, sizeof(*conn));
    memcpy(conn->addresses, addresses, sizeof(addresses));
    neighbor_init(conn);
    path_init(conn);
    tcp_init(conn);
    conn->blocks[0].block.DependentBlockList = &conn->blocks[1].block;
    conn->blocks[1].block.DependentBlockList = &conn->blocks[2].block;
}

TCP_OFFLOAD_STATE_DELEGATED *
kit_delegated(struct kit_conn *conn)
{
    TCP_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(&conn->blocks[2].block);
    TCP_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);

    return NDIS_OFFLOAD_STATE_NEXT(cached);
}

/* P10 */
static void
lower(struct kit_landing *landing, NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *list)
{
    for (; list; list = list->NextBlock) {
        list->SourceHandle = &landing->binding;
        lower(landing, list->DependentBlockList);
    }
}

enum crossing_veto
kit_tree_before(struct kit *kit, struct crossing *crossing, struct kit_landing *landing,
                enum crossing_op op, bool up, NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root)
{
    *crossing = kit_crossing(landing, op, up);
    crossing->blocks = root;
    if (up)
        crossing->status = root->Status;
    if (kit_before(kit, crossing) == CROSSING_GO && !up)
        lower(landing, root);
    return crossing->veto;
}

/* What is refused comes back from NDIS. The completion of an operation follows it in the list. */
static void
return_refused(struct kit *kit, struct kit_landing *landing, enum crossing_op op, void *root)
{
    struct crossing crossing = kit_crossing(landing, op + 1, true);

    crossing.from = "ndis";
    crossing.blocks = root;
    kit_before(kit, &crossing);
    kit_after(kit, &crossing, NDIS_STATUS_FAILURE);
}

enum crossing_veto
kit_tree(struct kit *kit, struct kit_landing *landing, enum crossing_op op, bool up, void *root)
{
    struct crossing crossing;

    kit_tree_before(kit, &crossing, landing, op, up, root);
    kit_after(kit, &crossing, crossing.status);
    if (!up && crossing.veto == CROSSING_REFUSE)
        return_refused(kit, landing, op, root);
    return crossing.veto;
}

void
kit_initiate(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn)
{
    kit_tree(kit, landing, CROSSING_INITIATE, false, &conn->blocks[0].block);
}

void
kit_initiate_complete(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn)
{
    bool good = conn->initiate_status == NDIS_STATUS_SUCCESS;

    conn->neighbor.MiniportOffloadContext = &conn->blocks[0];
    conn->path.MiniportOffloadContext = &conn->blocks[1];
    conn->tcp.MiniportOffloadContext = good ? &conn->blocks[2] : NULL;
    conn->blocks[0].block.Status = NDIS_STATUS_SUCCESS;
    conn->blocks[1].block.Status = good ? NDIS_STATUS_SUCCESS : NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
    conn->blocks[2].block.Status = conn->initiate_status;
    kit_tree(kit, landing, CROSSING_INITIATE_COMPLETE, true, &conn->blocks[0].block);
}

void
kit_offload(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn)
{
    kit_conn_init(conn);
    kit_initiate(kit, landing, conn);
    kit_initiate_complete(kit, landing, conn);
}

void
kit_terminate(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn)
{
    static const UCHAR types[3] = {NeighborOffloadDelegatedState, Ip4OffloadDelegatedState,
                                   TcpOffloadDelegatedState};
    static const ULONG sizes[3] = {sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED),
                                   sizeof(PATH_OFFLOAD_STATE_DELEGATED),
                                   sizeof(TCP_OFFLOAD_STATE_DELEGATED)};
    NDIS_OFFLOAD_HANDLE *handles[3] = {&conn->neighbor, &conn->path, &conn->tcp};

    for (int i = 0; i < 3; i++) {
        size_t at = 0;

        kit_block_init(&conn->blocks[i], types[i], handles[i]);
        kit_state_add(&conn->blocks[i], &at, sizes[i]);
    }
    conn->blocks[0].block.DependentBlockList = &conn->blocks[1].block;
    conn->blocks[1].block.DependentBlockList = &conn->blocks[2].block;
    kit_tree(kit, landing, CROSSING_TERMINATE, false, &conn->blocks[0].block);
}

void
kit_terminate_complete(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn,
                       NDIS_STATUS status, NET_BUFFER_LIST *chain)
{
    NEIGHBOR_OFFLOAD_STATE_DELEGATED *neighbor = NDIS_OFFLOAD_STATE_FIRST(&conn->blocks[0].block);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = &conn->blocks[2].block;
    TCP_OFFLOAD_STATE_DELEGATED *state = NDIS_OFFLOAD_STATE_FIRST(block);
    NET_BUFFER_LIST *tail = chain;

    while (tail && tail->Next)
        tail = tail->Next;
    *state = (TCP_OFFLOAD_STATE_DELEGATED){.Header = {sizeof(*state), 0},
                                           .State = TcpConnectionClosed,
                                           .KeepAlive = {0, TCP_OFFLOAD_TIMER_OFF},
                                           .Retransmit = {0, TCP_OFFLOAD_TIMER_OFF}};
    state->SendDataHead = chain;
    state->SendDataTail = tail;
    state->BufferedData = NULL;
    neighbor->NicReachabilityDelta = 0;
    block->NetBufferListChain = chain;
    block->Status = conn->blocks[1].block.Status = conn->blocks[0].block.Status = status;
    kit_tree(kit, landing, CROSSING_TERMINATE_COMPLETE, true, &conn->blocks[0].block);
}

void
kit_invalidate(struct kit *kit, struct kit_landing *landing, NDIS_OFFLOAD_HANDLE *handle,
               UCHAR type)
{
    struct kit_block block;

    kit_block_init(&block, type, handle);
    kit_tree(kit, landing, CROSSING_INVALIDATE, false, &block);
    block.block.Status = NDIS_STATUS_SUCCESS;
    kit_tree(kit, landing, CROSSING_INVALIDATE_COMPLETE, true, &block);
}

/* ---- NBLs ---- */

void
kit_nbl_init(struct kit_nbl *nbl, ULONG length, UCHAR fill)
{
    ULONG first = length / 2;

    memset(nbl, 0, sizeof(*nbl));
    for (ULONG i = 0; i < KIT_BYTES; i++)
        nbl->bytes[i] = (UCHAR)(fill + i);
    for (int i = 0; i < 2; i++)
        nbl->mdls[i] = (MDL){.Size = sizeof(MDL),
                             .MdlFlags = MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL,
                             .MappedSystemVa = nbl->bytes + (i ? first : 0),
                             .ByteCount = i ? length - first : first};
    nbl->mdls[0].Next = &nbl->mdls[1];
    nbl->nb.MdlChain = nbl->mdls;
    nbl->nb.CurrentMdl = nbl->mdls;
    nbl->nb.stDataLength = length;
    nbl->nbl.FirstNetBuffer = &nbl->nb;
}

void
kit_nbl_advance(struct kit_nbl *nbl, ULONG bytes)
{
    NET_BUFFER *nb = &nbl->nb;

    nb->DataOffset += bytes;
    nb->DataLength -= bytes;
    nb->CurrentMdlOffset += bytes;
    while (nb->CurrentMdlOffset >= nb->CurrentMdl->ByteCount && nb->CurrentMdl->Next) {
        nb->CurrentMdlOffset -= nb->CurrentMdl->ByteCount;
        nb->CurrentMdl = nb->CurrentMdl->Next;
    }
}

void
kit_nbl_settle(struct kit_nbl *nbl, NDIS_STATUS status, ULONG bytes)
{
    nbl->nbl.Status = status;
    nbl->nbl.NetBufferListInfo[TcpOffloadBytesTransferred] = (PVOID)(ULONG_PTR)bytes;
    kit_nbl_advance(nbl, bytes);
}

static void
post(struct kit *kit, struct kit_landing *landing, enum crossing_op op, struct kit_conn *conn,
     struct kit_nbl *nbl, ULONG code)
{
    struct crossing crossing = kit_crossing(landing, op, false);

    crossing.object = &conn->tcp;
    crossing.miniport_context = conn->tcp.MiniportOffloadContext;
    crossing.nbls = &nbl->nbl;
    crossing.code = code;
    kit_before(kit, &crossing);
    kit_after(kit, &crossing, NDIS_STATUS_PENDING);
}

void
kit_post(struct kit *kit, struct kit_landing *landing, enum crossing_op op, struct kit_conn *conn,
         struct kit_nbl *nbl)
{
    post(kit, landing, op, conn, nbl, 0);
}

void
kit_disconnect(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn,
               struct kit_nbl *nbl, ULONG flags)
{
    post(kit, landing, CROSSING_TCP_DISCONNECT, conn, nbl, flags);
}

enum crossing_veto
kit_complete(struct kit *kit, struct kit_landing *landing, enum crossing_op op, struct kit_nbl *nbl)
{
    struct crossing crossing = kit_crossing(landing, op, true);

    crossing.nbls = &nbl->nbl;
    crossing.status = nbl->nbl.Status;
    kit_before(kit, &crossing);
    kit_after(kit, &crossing, crossing.status);
    return crossing.veto;
}

void
kit_finish(struct kit *kit, struct kit_landing *landing, enum crossing_op op, struct kit_nbl *nbl,
           NDIS_STATUS status, ULONG bytes)
{
    kit_nbl_settle(nbl, status, bytes);
    kit_complete(kit, landing, op, nbl);
}

void
kit_event(struct kit *kit, struct kit_landing *landing, NDIS_OFFLOAD_HANDLE *handle, ULONG type,
          ULONG info)
{
    struct crossing crossing = kit_crossing(landing, CROSSING_TCP_EVENT, true);

    crossing.object = handle;
    crossing.code = type;
    crossing.info = info;
    kit_before(kit, &crossing);
    kit_after(kit, &crossing, NDIS_STATUS_SUCCESS);
}

void
kit_indicate(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn,
             struct kit_nbl *nbl, NDIS_STATUS answer, ULONG consumed)
{
    struct crossing crossing = kit_crossing(landing, CROSSING_TCP_RECEIVE_INDICATE, true);

    crossing.object = &conn->tcp;
    crossing.nbls = &nbl->nbl;
    crossing.status = NDIS_STATUS_SUCCESS;
    kit_before(kit, &crossing);
    crossing.info = consumed;
    kit_after(kit, &crossing, answer);
}

enum crossing_veto
kit_return(struct kit *kit, struct kit_landing *landing, struct kit_nbl *nbl)
{
    struct crossing crossing = kit_crossing(landing, CROSSING_TCP_RECEIVE_RETURN, false);

    crossing.nbls = &nbl->nbl;
    kit_before(kit, &crossing);
    kit_after(kit, &crossing, NDIS_STATUS_SUCCESS);
    return crossing.veto;
}
