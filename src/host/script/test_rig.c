/* See test_rig.h. */
#include "host/script/test_rig.h"

#include "base/bytes.h"
#include "base/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define IP_AT 14u
#define TCP_AT 34u

/* ---- the application ---- */

static void
on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct rig *rig = arg;

    assert_in_range(rig->got_len + len, 1, sizeof rig->got - 1);
    memcpy(rig->got + rig->got_len, bytes, len);
    rig->got_len += (uint32_t)len;
}

static void
on_room(void *arg, size_t bytes)
{
    ((struct rig *)arg)->room += (uint32_t)bytes;
}

static void
on_fin(void *arg)
{
    ((struct rig *)arg)->fin = true;
}

static void
on_end(void *arg, enum script_end end)
{
    struct rig *rig = arg;

    rig->ended = true;
    rig->end = end;
}

static const struct script_app app = {
    .on_data = on_data, .on_room = on_room, .on_fin = on_fin, .on_end = on_end};

/* ---- life ---- */

void
rig_open(struct rig *rig, struct script_options options, bool timestamps)
{
    memset(rig, 0, sizeof *rig);
    memset(&fake, 0, sizeof fake);
    fake.capabilities.SupportIPv4 = NDIS_OFFLOAD_SUPPORTED;
    fake.capabilities.TcpConnectionOffloadCapacity = 1000;
    fake.capabilities.Flags = NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED;
    rig->loop = sys_loop_create();
    rig->script = script_create("test", rig->loop);
    assert_non_null(fake_start(script_host(rig->script)));
    memcpy(options.local, (uint8_t[4]){10, 0, 0, 1}, 4);
    memcpy(options.peer, (uint8_t[4]){10, 0, 0, 2}, 4);
    memcpy(options.peer_mac, (uint8_t[6]){2, 0, 0, 0, 0, 2}, 6);
    options.local_port = 40000;
    options.peer_port = 443;
    options.snd_seq = RIG_OURS;
    options.rcv_seq = RIG_PEERS;
    options.no_timestamps = !timestamps;
    options.ts_recent = RIG_STAMP - 1;
    options.no_scaling = true;
    rig->conn = script_conn_create(rig->script, &options, &app, rig);
    assert_non_null(rig->conn);
}

void
rig_turn(struct rig *rig)
{
    while (sys_loop_turn(rig->loop, false))
        ;
}

static void
ring(void *arg)
{
    *(bool *)arg = true;
}

void
rig_pass(struct rig *rig, uint32_t ms)
{
    struct sys_timer timer;
    bool rung = false;

    assert_int_equal(sys_timer_init(&timer, rig->loop, ring, &rung), 0);
    sys_timer_set(&timer, sys_loop_now_us(rig->loop) + ms * 1000u);
    while (!rung)
        sys_loop_turn(rig->loop, true);
    sys_timer_fini(&timer);
    rig_turn(rig);
}

void
rig_close(struct rig *rig)
{
    struct tcp_segment segment;

    assert_int_equal(script_stats(rig->script)->breaches, 0);
    script_conn_destroy(rig->conn);
    while (rig_said(&segment, NULL))
        ;
    rig_take_returns();
    while (fake_take_data(FAKE_FRAMES_RETURN)) /* frames of the tests' own */
        ;
    assert_int_equal(fake.call_count, 0);
    assert_int_equal(fake.data_count, 0);
    fake_stop();
    assert_int_equal(fake.objects, 0);
    script_destroy(rig->script);
    sys_loop_destroy(rig->loop);
}

/* ---- the regular path ---- */

static uint32_t
write_segment(uint8_t *frame, uint32_t seq, uint32_t ack, uint8_t flags, const char *text,
              bool timestamps)
{
    struct tcp_out out = {
        .seq = seq, .ack = ack, .len = (uint32_t)strlen(text), .window = 30000, .flags = flags};
    struct checksum sum = {0};
    uint8_t *ip = frame + IP_AT;
    uint32_t headers;

    if (timestamps) {
        out.option_len = 12;
        memcpy(out.options, (uint8_t[4]){1, 1, 8, 10}, 4);
        bytes_store_be32(out.options + 4, RIG_STAMP);
    }
    memset(frame, 0, TCP_AT);
    bytes_store_be16(frame + 12, 0x0800);
    headers = 20 + (uint32_t)tcp_write_header(&out, 443, 40000, frame + TCP_AT);
    memcpy(ip + headers, text, out.len);
    ip[0] = 0x45;
    bytes_store_be16(ip + 2, (uint16_t)(headers + out.len));
    ip[8] = 64;
    ip[9] = 6;
    memcpy(ip + 12, (uint8_t[8]){10, 0, 0, 2, 10, 0, 0, 1}, 8);
    checksum_add(&sum, ip, 20);
    bytes_store_be16(ip + 10, checksum_value(&sum));
    return IP_AT + headers + out.len;
}

void
rig_hear(struct rig *rig, uint32_t seq, uint32_t ack, uint8_t flags, const char *text, bool damaged)
{
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO info = {.Receive = {.TcpChecksumSucceeded = 1}};
    uint8_t frame[2048];
    uint32_t len = write_segment(frame, seq, ack, flags, text, !rig->conn->options.no_timestamps);
    NET_BUFFER_LIST *nbl = host_nbl_create(script_host(rig->script), frame, len, NULL, 0);

    nbl->NdisPoolHandle = rig; /* the adapter's, not the host stack's */
    frame[IP_AT + 4] ^= damaged;
    NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo) = info.Value;
    fake.driver.ReceiveNetBufferListsHandler(fake.binding, nbl, 0, 1, 0);
    assert_ptr_equal(fake_take_data(FAKE_FRAMES_RETURN), nbl);
    host_nbl_destroy(nbl);
    rig_turn(rig);
}

bool
rig_said(struct tcp_segment *segment, uint8_t *ip)
{
    NET_BUFFER_LIST *nbl = fake_take_data(FAKE_FRAMES);
    const uint8_t *frame;
    uint32_t len;

    if (!nbl)
        return false;
    frame = MmGetMdlVirtualAddress(NET_BUFFER_CURRENT_MDL(NET_BUFFER_LIST_FIRST_NB(nbl)));
    len = NET_BUFFER_LIST_FIRST_NB(nbl)->DataLength;
    if (ip)
        memcpy(ip, frame + IP_AT, 20);
    assert_int_equal(tcp_parse(frame + TCP_AT, len - TCP_AT, segment), 0);
    segment->payload_len = len - TCP_AT - segment->header_len;
    fake.driver.SendNetBufferListsCompleteHandler(fake.binding, nbl, 0);
    return true;
}

bool
rig_said_last(struct tcp_segment *segment)
{
    bool any = false;

    while (rig_said(segment, NULL))
        any = true;
    return any;
}

/* ---- the target ---- */

static NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
tcp_of(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root)
{
    return root->DependentBlockList->DependentBlockList;
}

TCP_OFFLOAD_STATE_DELEGATED
rig_offload(struct rig *rig)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root;
    TCP_OFFLOAD_STATE_DELEGATED state;
    const TCP_OFFLOAD_STATE_CONST *constant;
    const TCP_OFFLOAD_STATE_CACHED *cached;

    assert_int_equal(script_offload(rig->conn), 0);
    root = fake_take(FAKE_INITIATE);
    assert_non_null(root);
    constant = NDIS_OFFLOAD_STATE_FIRST(tcp_of(root));
    cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    state = *(TCP_OFFLOAD_STATE_DELEGATED *)NDIS_OFFLOAD_STATE_NEXT(cached);
    rig->chain = tcp_of(root)->NetBufferListChain;
    fake_answer_initiate(root, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS);
    assert_int_equal(script_state(rig->conn), HOST_CONN_OFFLOADED);
    rig_turn(rig);
    return state;
}

void
rig_answer_terminate(struct rig *rig, const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_TERMINATE);
    TCP_OFFLOAD_STATE_DELEGATED *out;
    NET_BUFFER_LIST **tail, *sends = rig->chain;

    assert_non_null(root);
    while (rig_complete_receive(NDIS_STATUS_UPLOAD_IN_PROGRESS, ""))
        ;
    while (rig_complete_disconnect(NDIS_STATUS_UPLOAD_IN_PROGRESS))
        ;
    out = NDIS_OFFLOAD_STATE_FIRST(tcp_of(root));
    tail = &tcp_of(root)->NetBufferListChain;
    memcpy((char *)out + sizeof out->Header, (const char *)state + sizeof out->Header,
           sizeof *out - sizeof out->Header);
    out->SendDataHead = out->SendDataTail = NULL;
    out->BufferedData = NULL;
    do {
        *tail = sends;
        while (*tail)
            tail = &NET_BUFFER_LIST_NEXT_NBL(*tail);
    } while ((sends = fake_take_data(FAKE_SEND)));
    rig->chain = NULL;
    fake_answer_terminate(root);
    assert_int_equal(script_state(rig->conn), HOST_CONN_HOST);
    rig_turn(rig);
}

ULONG
rig_indicate(struct rig *rig, const char *text)
{
    NET_BUFFER_LIST *nbl = host_nbl_create(script_host(rig->script), (void *)(uintptr_t)text,
                                           (ULONG)strlen(text), NULL, 0);
    PVOID context = (PVOID)(uintptr_t)script_handle(rig->conn);
    ULONG consumed = 0;

    if (fake.tcp.TcpOffloadReceiveIndicateHandler(context, nbl, NDIS_STATUS_SUCCESS, &consumed) !=
        NDIS_STATUS_SUCCESS)
        host_nbl_destroy(nbl);
    rig_turn(rig);
    return consumed;
}

unsigned
rig_take_returns(void)
{
    unsigned count = 0;

    for (NET_BUFFER_LIST *nbls; (nbls = fake_take_data(FAKE_RECEIVE_RETURN));)
        while (nbls) {
            NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
            host_nbl_destroy(nbls);
            nbls = next;
            count++;
        }
    return count;
}

void
rig_event(struct rig *rig, ULONG type, ULONG info)
{
    fake.tcp.TcpOffloadEventHandler((PVOID)(uintptr_t)script_handle(rig->conn), type, info);
    rig_turn(rig);
}

/* What NDIS does to a completed NBL: its buffer is advanced. */
static void
finish(NET_BUFFER_LIST *nbl, NDIS_STATUS status, uint32_t bytes)
{
    NET_BUFFER_LIST_FIRST_NB(nbl)->DataLength -= bytes;
    NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = (void *)(uintptr_t)bytes;
    NET_BUFFER_LIST_STATUS(nbl) = status;
}

bool
rig_complete_receive(NDIS_STATUS status, const char *text)
{
    NET_BUFFER_LIST *nbl = fake_take_data(FAKE_RECEIVE);
    uint32_t len = (uint32_t)strlen(text);

    if (!nbl)
        return false;
    memcpy(MmGetMdlVirtualAddress(NET_BUFFER_CURRENT_MDL(NET_BUFFER_LIST_FIRST_NB(nbl))), text,
           len);
    finish(nbl, status, len);
    fake.tcp.TcpOffloadReceiveCompleteHandler(fake.binding, nbl);
    return true;
}

bool
rig_complete_disconnect(NDIS_STATUS status)
{
    NET_BUFFER_LIST *nbl = fake_take_data(FAKE_DISCONNECT);

    if (!nbl)
        return false;
    NET_BUFFER_LIST_STATUS(nbl) = status;
    fake.tcp.TcpOffloadDisconnectCompleteHandler(fake.binding, nbl);
    return true;
}

const TCP_OFFLOAD_STATE_CACHED *
rig_take_update(NDIS_STATUS status)
{
    static TCP_OFFLOAD_STATE_CACHED cached;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_UPDATE);

    if (!root)
        return NULL;
    cached = *(TCP_OFFLOAD_STATE_CACHED *)NDIS_OFFLOAD_STATE_FIRST(tcp_of(root));
    fake_answer(FAKE_UPDATE, root, status);
    return &cached;
}
