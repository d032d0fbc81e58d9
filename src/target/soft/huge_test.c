/* More than sequence numbers tell apart: the connection is given back, and no byte is lost. */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define GIB (1u << 30)
#define PIECE (1u << 20)

static struct rig rig;
static struct rig_conn conn;
static uint8_t memory[PIECE]; /* the same again and again */

static void
start(void)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
}

static NET_BUFFER_LIST *
huge(uint32_t len)
{
    MDL *head = NULL, **tail = &head;

    for (uint32_t at = 0; at < len; at += PIECE) {
        *tail = NdisAllocateMdl(rig.protocol, memory, len - at < PIECE ? len - at : PIECE);
        tail = &(*tail)->Next;
    }
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferAndNetBufferList(rig.pool, 0, 0, head, 0, len);
    nbl->ProtocolReserved[0] = NULL; /* nothing to be freed */
    return nbl;
}

/* Two of 512 MiB are taken; what is more comes back in order, and what comes behind it, too. */
static void
many_sends(void **state)
{
    NET_BUFFER_LIST *first;

    start();
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    first = huge(GIB / 2);
    NdisOffloadTcpSend(&conn.tcp.handle, first);
    NdisOffloadTcpSend(&conn.tcp.handle, huge(GIB / 2));
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 1, 0, 0));
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    NdisOffloadTcpDisconnect(&conn.tcp.handle, rig_nbl(&rig, 0, 0, 0),
                             TCP_DISCONNECT_GRACEFUL_CLOSE);
    rig_expect(&rig, "event:retrieve:5 sent:upload:0 sent:upload:0 "
                     "disconnected:upload:0");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_ptr_equal(conn.ends[2].block.NetBufferListChain, first);
    rig_nbl_free(NET_BUFFER_LIST_NEXT_NBL(first));
    rig_nbl_free(first);
    rig_close(&rig);
}

static void
one_send(void **state)
{
    start();
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    NdisOffloadTcpSend(&conn.tcp.handle, huge(GIB + GIB / 2));
    rig_expect(&rig, "event:retrieve:5 sent:upload:0");
    rig_expect_out(&rig, 0);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

static void
with_the_initiate(void **state)
{
    NET_BUFFER_LIST *nbl;

    start();
    nbl = huge(GIB + 1);
    conn.tcp.block.NetBufferListChain = nbl;
    conn.tcp.delegated.SendDataHead = conn.tcp.delegated.SendDataTail = nbl;
    NdisInitiateOffload(rig.binding, &conn.neighbor.block);
    rig_expect(&rig, "initiated");
    assert_int_equal(conn.tcp.block.Status, NDIS_STATUS_OFFLOAD_TCP_XMIT_BUFFER);
    rig_nbl_free(nbl);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &conn.path.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &conn.neighbor.handle);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_sends),
        cmocka_unit_test(one_send),
        cmocka_unit_test(with_the_initiate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
