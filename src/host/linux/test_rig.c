/* See test_rig.h. */
#include "host/linux/test_rig.h"

#include "base/bytes.h"
#include "base/checksum.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cmocka.h>

#define IP_AT 14u
#define TCP_AT 34u

struct rig rig;

/* ---- time ---- */

uint64_t
rig_now_us(void)
{
    return sys_loop_now_us(rig.loop);
}

uint32_t
rig_clock(void)
{
    return (uint32_t)(rig_now_us() / 1000) + RIG_TS_OFFSET;
}

void
rig_turn(void)
{
    while (sys_loop_turn(rig.loop, false))
        ;
}

static void
on_passed(void *arg)
{
    *(bool *)arg = true;
}

void
rig_pass(uint64_t us)
{
    struct sys_timer timer;
    size_t refuse_bytes = rig.refuse_bytes;
    bool passed = false;

    rig.refuse_bytes = 0; /* not this one */
    assert_int_equal(sys_timer_init(&timer, rig.loop, on_passed, &passed), 0);
    rig.refuse_bytes = refuse_bytes;
    sys_timer_set(&timer, rig_now_us() + us);
    while (!passed)
        sys_loop_turn(rig.loop, true);
    sys_timer_fini(&timer);
    rig_turn();
}

/* ---- frames ---- */

/* Behind the fixed header; the number of bytes. */
static uint32_t
write_options(uint8_t *options, const struct rig_segment *segment, uint32_t tsval, uint32_t tsecr)
{
    uint32_t lead = segment->odd_options ? 1 : 2;

    if (segment->without_options)
        return 0;
    memset(options, 1, 12); /* no operation */
    options[lead] = 8;
    options[lead + 1] = 10;
    bytes_store_be32(options + lead + 2, tsval);
    bytes_store_be32(options + lead + 6, tsecr);
    return 12;
}

static struct checksum
pseudo_sum(const uint8_t *frame, uint32_t len)
{
    struct checksum sum = {0};

    checksum_add_pseudo_v4(&sum, frame + IP_AT + 12, frame + IP_AT + 16, IPPROTO_TCP, len - TCP_AT);
    return sum;
}

static uint16_t
whole_sum(const uint8_t *frame, uint32_t len)
{
    struct checksum sum = pseudo_sum(frame, len);

    checksum_add(&sum, frame + TCP_AT, len - TCP_AT);
    return checksum_value(&sum);
}

static void
write_ip(uint8_t *frame, bool outgoing, uint32_t len, uint8_t ecn)
{
    uint8_t *ip = frame + IP_AT;

    memset(frame, 0, TCP_AT);
    bytes_store_be16(frame + 12, 0x0800);
    ip[0] = 0x45;
    ip[1] = ecn;
    bytes_store_be16(ip + 2, (uint16_t)(len - IP_AT));
    ip[8] = 64;
    ip[9] = IPPROTO_TCP;
    memcpy(ip + 12, outgoing ? rig.key.local : rig.key.peer, 4);
    memcpy(ip + 16, outgoing ? rig.key.peer : rig.key.local, 4);
    bytes_store_be16(ip + 10, checksum_of(ip, 20));
}

static uint32_t
write_frame(uint8_t *frame, bool outgoing, const struct rig_segment *s, struct wire_meta *meta)
{
    const struct steer_snapshot *socket = &rig.socket;
    uint8_t *tcp = frame + TCP_AT;
    uint32_t seq = s->seq ? s->seq : outgoing ? socket->snd_nxt : socket->rcv_nxt;
    uint32_t ack = s->ack ? s->ack : outgoing ? socket->rcv_nxt : socket->snd_nxt;
    uint32_t window = s->closed ? 0 : s->window ? s->window : RIG_WINDOW - (1 << RIG_SCALE);
    uint32_t tsval = s->tsval ? s->tsval : outgoing ? rig_clock() : RIG_TS_PEER;
    uint32_t tsecr = outgoing ? RIG_TS_PEER : rig_clock();

    memset(tcp, 0, 20);
    memcpy(tcp, outgoing ? &rig.key.local_port : &rig.key.peer_port, 2);
    memcpy(tcp + 2, outgoing ? &rig.key.peer_port : &rig.key.local_port, 2);
    bytes_store_be32(tcp + 4, seq);
    bytes_store_be32(tcp + 8, ack);
    uint32_t header = 20 + write_options(tcp + 20, s, tsval, tsecr);
    tcp[12] = (uint8_t)(header << 2);
    tcp[13] = s->flags | TCP_ACK;
    bytes_store_be16(tcp + 14, (uint16_t)(window >> RIG_SCALE));
    for (uint32_t i = 0; i < s->len; i++)
        tcp[header + i] = rig_byte(seq + i);
    uint32_t len = TCP_AT + header + s->len;
    write_ip(frame, outgoing, len, s->ecn);
    *meta = (struct wire_meta){.header_len = (uint16_t)(TCP_AT + header)};
    if (s->len > socket->mss) {
        meta->gso_type = WIRE_GSO_TCPV4;
        meta->gso_size = (uint16_t)socket->mss;
    }
    if (s->summed || s->damaged) {
        bytes_store_be16(tcp + 16, whole_sum(frame, len));
        tcp[19] ^= s->damaged; /* the urgent pointer, which says nothing here */
        return len;
    }
    struct checksum pseudo = pseudo_sum(frame, len);
    bytes_store_be16(tcp + 16, checksum_folded(&pseudo));
    meta->csum_partial = true;
    meta->csum_start = TCP_AT;
    meta->csum_offset = 16;
    return len;
}

static void
read_frame(struct rig_frame *frame)
{
    memset(&frame->tcp, 0, sizeof frame->tcp);
    if (live_frame_parse(frame->bytes, frame->len, 0, &frame->tcp_offset, &frame->payload_offset,
                         &frame->tcp))
        fail_msg("not a TCP frame");
}

static void
check_frame(const struct rig_frame *frame)
{
    for (uint32_t i = 0; i < frame->tcp.payload_len; i++)
        assert_int_equal(frame->bytes[frame->payload_offset + i], rig_byte(frame->tcp.seq + i));
    struct checksum pseudo = pseudo_sum(frame->bytes, frame->len);
    if (frame->meta.csum_partial)
        assert_int_equal(bytes_load_be16(frame->bytes + TCP_AT + 16), checksum_folded(&pseudo));
    else
        assert_int_equal(whole_sum(frame->bytes, frame->len), 0);
}

void
rig_kernel(struct rig_segment segment)
{
    uint8_t bytes[RIG_FRAME_BYTES];
    struct iovec piece = {bytes, 0};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1};

    piece.iov_len = write_frame(bytes, true, &segment, &tx.meta);
    assert_int_equal(wire_send(rig.tap[1], &tx), 0);
    rig_turn();
}

/* Lent for the call only: the edge copies it. */
void
rig_peer(struct rig_segment segment)
{
    uint8_t bytes[RIG_FRAME_BYTES];
    struct wire_meta meta;
    uint32_t len = write_frame(bytes, false, &segment, &meta);
    NET_BUFFER_LIST *nbl = host_nbl_create(rig.stack->host, bytes, len, NULL, 0);
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO checksum = {.Value = NULL};

    checksum.Receive.TcpChecksumPartial = meta.csum_partial;
    NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo) = checksum.Value;
    fake.driver.ReceiveNetBufferListsHandler(fake.binding, nbl, 0, 1, NDIS_RECEIVE_FLAGS_RESOURCES);
    host_nbl_destroy(nbl);
    rig_turn();
}

static void
on_to_kernel(void *arg, struct wire_buf *buf)
{
    struct rig_frame *frame = &rig.to_kernel[rig.to_kernel_count++];

    assert_true(rig.to_kernel_count <= RIG_FRAMES && buf->len <= RIG_FRAME_BYTES);
    frame->len = buf->len;
    frame->meta = buf->meta;
    memcpy(frame->bytes, buf->data, buf->len);
    read_frame(frame);
    if (rig.damaged && whole_sum(frame->bytes, frame->len))
        rig.damaged--;
    else
        check_frame(frame);
}

bool
rig_to_kernel(struct rig_frame *out)
{
    if (!rig.to_kernel_count)
        return false;
    *out = rig.to_kernel[0];
    memmove(rig.to_kernel, rig.to_kernel + 1, --rig.to_kernel_count * sizeof *rig.to_kernel);
    return true;
}

bool
rig_to_peer(struct rig_frame *out)
{
    NET_BUFFER_LIST *nbl = fake_take_data(FAKE_FRAMES);
    struct iovec piece;

    if (!nbl)
        return false;
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO checksum = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo)};
    assert_null(NET_BUFFER_LIST_NEXT_NBL(nbl));
    out->len = NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(nbl));
    assert_true(out->len <= RIG_FRAME_BYTES);
    if (live_nbl_pieces(nbl, 0, out->len, &piece, 1) != 1)
        fail_msg("a frame in pieces");
    memcpy(out->bytes, piece.iov_base, out->len);
    out->meta = (struct wire_meta){.csum_partial = checksum.Transmit.TcpChecksum};
    fake.driver.SendNetBufferListsCompleteHandler(fake.binding, nbl, 0);
    read_frame(out);
    check_frame(out);
    return true;
}

void
rig_expect_to_peer(uint32_t seq, uint32_t len, uint8_t flags)
{
    struct rig_frame frame = {0};

    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.seq, seq);
    assert_int_equal(frame.tcp.payload_len, len);
    assert_int_equal(frame.tcp.flags, flags | TCP_ACK);
}

void
rig_expect_silence(void)
{
    struct rig_frame frame;

    assert_false(rig_to_peer(&frame));
    assert_false(rig_to_kernel(&frame));
}

/* ---- the target ---- */

NDIS_STATUS
rig_indicate(uint32_t len)
{
    ULONG consumed = 0;
    uint8_t *at = rig.received + (rig.rcv - RIG_RCV);

    assert_true(rig.rcv - RIG_RCV + len <= sizeof rig.received);
    for (uint32_t i = 0; i < len; i++)
        at[i] = rig_byte(rig.rcv + i);
    NET_BUFFER_LIST *nbl = host_nbl_create(rig.stack->host, at, len, NULL, 0);
    NDIS_STATUS status = fake.tcp.TcpOffloadReceiveIndicateHandler(&rig.conn->down.handle, nbl,
                                                                   NDIS_STATUS_SUCCESS, &consumed);
    if (status == NDIS_STATUS_SUCCESS) {
        assert_int_equal(consumed, len);
        rig.rcv += len;
    } else {
        assert_int_equal(consumed, 0);
        host_nbl_destroy(nbl);
    }
    return status;
}

void
rig_event(ULONG type, ULONG info)
{
    fake.tcp.TcpOffloadEventHandler(&rig.conn->down.handle, type, info);
}

static void
check_lent(const struct live_send *send, uint32_t seq)
{
    struct iovec piece;

    assert_int_equal(send->seq, seq);
    if (live_nbl_pieces(send->nbl, 0, send->len, &piece, 1) != 1)
        fail_msg("a send in pieces");
    for (uint32_t i = 0; i < send->len; i++)
        assert_int_equal(((const uint8_t *)piece.iov_base)[i], rig_byte(seq + i));
}

void
rig_expect_lent(uint32_t from, uint32_t to)
{
    list_for_each(send, &rig.conn->sends, struct live_send, link) {
        if (send->seq != from || from == to)
            continue;
        check_lent(send, from);
        assert_ptr_equal(fake_take_data(FAKE_SEND), send->nbl);
        from += send->len;
    }
    assert_int_equal(from, to);
    assert_null(fake_take_data(FAKE_SEND));
}

void
rig_complete_send(NDIS_STATUS status)
{
    NET_BUFFER_LIST *nbl = list_first(&rig.conn->sends, struct live_send, link)->nbl;

    NET_BUFFER_LIST_STATUS(nbl) = status;
    NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
    fake.tcp.TcpOffloadSendCompleteHandler(fake.binding, nbl);
}

static void
free_nbls(NET_BUFFER_LIST *nbls)
{
    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        host_nbl_destroy(nbls);
        nbls = next;
    }
}

/* What a target that says yes to everything does at the end of a turn. */
static void
serve_data(void)
{
    struct rig_frame frame;
    NET_BUFFER_LIST *nbls;

    while (rig_to_peer(&frame))
        ;
    while ((nbls = fake_take_data(FAKE_RECEIVE_RETURN)))
        free_nbls(nbls);
    while ((nbls = fake_take_data(FAKE_FORWARD)))
        fake.tcp.TcpOffloadForwardCompleteHandler(fake.binding, nbls);
    while ((nbls = fake_take_data(FAKE_DISCONNECT))) {
        NET_BUFFER_LIST_STATUS(nbls) = NDIS_STATUS_UPLOAD_IN_PROGRESS;
        fake.tcp.TcpOffloadDisconnectCompleteHandler(fake.binding, nbls);
    }
    while (fake_take_data(FAKE_SEND))
        ;
}

static TCP_OFFLOAD_STATE_DELEGATED *
tcp_state(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root)
{
    return NDIS_OFFLOAD_STATE_FIRST(root->DependentBlockList->DependentBlockList);
}

/* Everything was sent and acknowledged. The tree may be of shared objects only. */
static void
give_back(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root)
{
    if (root->DependentBlockList && root->DependentBlockList->DependentBlockList) {
        TCP_OFFLOAD_STATE_DELEGATED *state = tcp_state(root);
        state->SndUna = state->SndNxt = state->SndMax = rig.conn->local.rcv_nxt;
    }
    fake_answer_terminate(root);
}

static void
serve(void *arg)
{
    if (!rig.obliging)
        return;
    serve_data();
    while (fake.call_count) {
        enum fake_operation operation = fake.calls[0].operation;
        NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(operation);
        if (operation == FAKE_INITIATE)
            fake_answer_initiate(root, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS,
                                 NDIS_STATUS_SUCCESS);
        else if (operation == FAKE_TERMINATE)
            give_back(root);
        else
            fake_answer(operation, root, NDIS_STATUS_SUCCESS);
        serve_data();
    }
}

void
rig_answer_initiate(NDIS_STATUS status)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_INITIATE);

    assert_non_null(root);
    fake_answer_initiate(root, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, status);
    rig_turn();
}

void
rig_answer_query(uint32_t snd_nxt)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_QUERY);

    assert_non_null(root);
    tcp_state(root)->SndNxt = snd_nxt;
    fake_answer(FAKE_QUERY, root, NDIS_STATUS_SUCCESS);
    rig_turn();
}

void
rig_answer_terminate(uint32_t snd_una, uint32_t snd_nxt, uint32_t ts_recent)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_TERMINATE);

    assert_non_null(root);
    *tcp_state(root) = (TCP_OFFLOAD_STATE_DELEGATED){.Header = tcp_state(root)->Header,
                                                     .SndUna = snd_una,
                                                     .SndNxt = snd_nxt,
                                                     .SndMax = snd_nxt,
                                                     .SndWnd = RIG_WINDOW,
                                                     .CWnd = 14480,
                                                     .TsRecent = ts_recent};
    fake_answer_terminate(root);
    rig_turn();
}

/* ---- moving ---- */

void
rig_ask(void)
{
    struct live_port *port;
    struct way way;

    assert_int_equal(watch_find_way(rig.stack, &rig.key, &rig.socket, &port, &way), HOSTSTACK_NONE);
    assert_ptr_equal(port, rig.port);
    watch_start(rig.conn, &way, &rig.socket);
    assert_int_equal(live_adopt(rig.conn), 0);
    assert_int_equal(rig.conn->phase, LIVE_BRIDGE);
}

void
rig_until_initiate(void)
{
    rig_ask();
    rig_pass(LIVE_BRIDGE_MIN_US);
    assert_int_equal(rig.conn->phase, LIVE_INITIATE);
}

void
rig_down(void)
{
    struct rig_frame frame;

    rig_until_initiate();
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
    while (rig_to_peer(&frame) || rig_to_kernel(&frame))
        ;
}

static void
on_move(void *arg, const struct hoststack_move *move)
{
    rig.move = *move;
    rig.move_count++;
}

static void
fill_socket(void)
{
    rig.key = (struct steer_key){.local = {10, 0, 0, 1},
                                 .peer = {10, 0, 0, 2},
                                 .local_port = htons(80),
                                 .peer_port = htons(4000),
                                 .family = AF_INET};
    rig.socket = (struct steer_snapshot){.state = 1,
                                         .rcv_nxt = RIG_RCV,
                                         .rcv_wup = RIG_RCV,
                                         .copied_seq = RIG_RCV,
                                         .rcv_wnd = RIG_WINDOW,
                                         .snd_una = RIG_SND,
                                         .snd_nxt = RIG_SND,
                                         .write_seq = RIG_SND,
                                         .snd_wnd = RIG_WINDOW,
                                         .max_window = RIG_WINDOW,
                                         .snd_wl1 = RIG_RCV,
                                         .snd_cwnd = 10,
                                         .snd_ssthresh = 0x7fffffff,
                                         .ts_recent = RIG_TS_PEER,
                                         .ts_offset = RIG_TS_OFFSET,
                                         .mss = 1448,
                                         .advmss = 1448,
                                         .mss_clamp = 1460,
                                         .snd_wscale = RIG_SCALE,
                                         .rcv_wscale = RIG_SCALE,
                                         .has_timestamps = 1,
                                         .has_sack = 1,
                                         .has_wscale = 1};
    rig.rcv = RIG_RCV;
}

int
rig_setup(void **state)
{
    static const struct wire_receiver kernel_end = {.on_frame = on_to_kernel};
    const char *why;

    memset(&rig, 0, sizeof rig);
    memset(&fake, 0, sizeof fake);
    fake.capabilities.SupportIPv4 = NDIS_OFFLOAD_SUPPORTED;
    fake.capabilities.Flags = NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED;
    fake.capabilities.TcpConnectionOffloadCapacity = 1000;
    rig.loop = sys_loop_create();
    fill_socket();
    assert_int_equal(wire_mem_create(rig.loop, 1500, NULL, rig.tap), 0);
    assert_int_equal(wire_mem_create(rig.loop, 1500, NULL, rig.wire), 0);
    wire_set_receiver(rig.tap[1], &kernel_end, NULL);
    assert_int_equal(hoststack_create(NULL, NULL, &rig.stack, &why), 0);
    assert_int_equal(hoststack_add_interface(rig.stack, "lo", "a0", rig.tap[0], rig.wire[0], &why),
                     0);
    hoststack_on_move(rig.stack, on_move, NULL);
    sys_loop_on_flush(rig.loop, &rig.hook, serve, NULL);
    rig.port = list_first(&rig.stack->ports, struct live_port, link);
    rig.conn = live_create(rig.port, &rig.key);
    assert_non_null(rig.conn);
    return 0;
}

void
rig_shut_down(void)
{
    rig.on_beat = rig.on_snapshot = NULL;
    rig.obliging = true;
    rig_turn();
    hoststack_destroy(rig.stack);
    rig.stack = NULL;
}

int
rig_teardown(void **state)
{
    if (rig.stack)
        rig_shut_down();
    assert_false(rig.steered);
    assert_int_equal(fake.call_count, 0);
    assert_int_equal(fake.data_count, 0);
    assert_int_equal(fake.objects, 0);
    sys_hook_remove(&rig.hook);
    wire_close(rig.tap[1]);
    wire_close(rig.wire[0]);
    wire_close(rig.wire[1]);
    sys_loop_destroy(rig.loop);
    return 0;
}
