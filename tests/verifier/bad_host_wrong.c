/*
 * What a host stack must not do to a tree, to objects that are on their way, to what it sends. All
 * of it is mutations; the good driver passes by.
 */
#include "bad_host.h"

#include "mutant.h"

/* NULL: there is none of that kind. */
static struct bh_block *
block_of(struct bh_op *op, enum bh_kind kind)
{
    for (unsigned i = 0; i < op->count; i++)
        if (op->blocks[i].object && op->blocks[i].object->kind == kind)
            return &op->blocks[i];
    return NULL;
}

static struct bh_conn *
conn_down(struct bad_host *host)
{
    list_for_each(object, &host->objects, struct bh_object, all)
        if (object->kind == BH_TCP && object->where == BH_DOWN)
            return (struct bh_conn *)object;
    return NULL;
}

/* ---- before it goes ---- */

static void
spoil_query(struct bh_op *op)
{
    struct bh_block *first = &op->blocks[0], *tcp = block_of(op, BH_TCP);

    if (bad_once_v(15, 1))
        first->block.Header.Revision = 0;
    if (first->block.Header.Type == TcpOffloadDelegatedState && bad_once_v(15, 2))
        first->block.Header.Size += 8;
    if (tcp && first->object->kind == BH_NEIGHBOR && bad(17))
        first->block.DependentBlockList = &tcp->block;
    if (bad_once_v(18, 1))
        first->block.NextBlock = &first->block;
}

/* Linking paths to another neighbor. */
static void
spoil_relink(struct bh_op *op)
{
    struct bh_block *path = &op->blocks[1];
    struct bh_conn *conn = conn_down(op->host);

    if (op->count < 2 || path->object->kind != BH_PATH)
        return;
    if (bad_v(26, 1))
        op->root = &path->block;
    if (conn && bad_v(26, 2))
        bh_op_add_type(op, path, &conn->object, TcpOffloadState);
}

void
bh_spoil_op(struct bh_op *op)
{
    if (op->operation == BH_QUERY)
        spoil_query(op);
    else if (op->operation == BH_UPDATE)
        spoil_relink(op);
}

/* ---- while it is out ---- */

static void
once_more(struct bh_object *object, enum bh_operation operation)
{
    struct bh_op *op = bh_op_create(object->host, operation);

    bh_op_add(op, NULL, object);
    bh_op_start(op);
}

static void
disturb_initiate(struct bh_conn *conn)
{
    if (bad_once(56))
        once_more(&conn->object, BH_INITIATE);
    if (bad_once_v(57, 1))
        bh_send(conn, 1, 1, 10);
    if (bad_once_v(57, 2))
        once_more(&conn->object, BH_QUERY);
    if (bad_once_v(57, 3))
        bh_post(conn, 10, false, 0);
    if (bad_once_v(119, 2))
        bh_forward(conn, 10);
    if (conn->object.parent->where == BH_DOWN && bad_once(60))
        for (USHORT i = 0; i < 14; i++)
            bh_offload(bh_conn_create(conn->object.host, (struct bh_path *)conn->object.parent,
                                      (USHORT)(200 + i)));
}

static void
disturb_terminate(struct bh_conn *conn)
{
    if (bad_once_v(84, 1))
        bh_send(conn, 1, 1, 10);
    if (bad_once(104))
        bh_post(conn, 10, false, 0);
    if (bad_once_v(119, 1))
        bh_forward(conn, 10);
}

static void
disturb_query(struct bh_op *op)
{
    struct bh_block *first = &op->blocks[0];

    if (bad(45))
        first->block.ProtocolReserved[1] = op;
    if (bad_once_v(18, 2))
        NdisQueryOffloadState(op->host->binding, op->root);
    if (first->object->kind == BH_TCP && bad_once_v(62, 1))
        bh_upload((struct bh_conn *)first->object);
}

static void
disturb_update(struct bh_op *op)
{
    struct bh_block *first = &op->blocks[0];

    if (first->object->kind != BH_TCP)
        return;
    if (bad_v(45, 2))
        ((TCP_OFFLOAD_STATE_CACHED *)bh_state(first, 0))->TtlOrHopLimit++;
    if (bad_once_v(61, 1))
        once_more(first->object, BH_UPDATE);
    if (bad_once_v(62, 2))
        bh_upload((struct bh_conn *)first->object);
}

void
bh_spoil_outstanding(struct bh_op *op)
{
    struct bh_block *tcp = block_of(op, BH_TCP);

    if (op->operation == BH_INITIATE && tcp && tcp->fresh)
        disturb_initiate((struct bh_conn *)tcp->object);
    else if (op->operation == BH_TERMINATE && tcp)
        disturb_terminate((struct bh_conn *)tcp->object);
    else if (op->operation == BH_QUERY)
        disturb_query(op);
    else if (op->operation == BH_UPDATE)
        disturb_update(op);
    else if (op->operation == BH_INVALIDATE && bad_once_v(61, 2))
        once_more(op->blocks[0].object, BH_UPDATE);
}

/* ---- data ---- */

void
bh_spoil_send(NET_BUFFER_LIST *nbl)
{
    if (bad_v(83, 1))
        nbl->FirstNetBuffer->MdlChain->MdlFlags = MDL_MAPPED_TO_SYSTEM_VA;
    if (bad_v(83, 2))
        nbl->FirstNetBuffer = NULL;
    if (bad_v(83, 3))
        nbl->FirstNetBuffer->DataLength += 1000;
}
