/*
 * Frames from the wire into the soft target while it has two connections: segments with whatever in
 * their fields, frames that are nothing but bytes, time, and what a host stack asks and sends
 * meanwhile. In between stands nothing, or a driver that does something to frames. The verifier
 * watches; what was accepted is returned; in the end both connections are given back and nothing is
 * left.
 */
#include "fuzz.h"

#include "target/soft/test_rig.h"

#include <string.h>

#define STEPS 64
#define RAW_MAX 256u

#define VLAN 10

static const struct house_option vlan_options[] = {{"Id", "10"}, {"Priority", "3"}, {NULL, NULL}};
static const struct house_option fault_options[] = {
    {"Script", "frames in duplicate 30%;frames in delay 3ms 30%;frames in corrupt 30%;frames in "
               "reorder;frames out reorder 50%;frames out duplicate 50%;frames out corrupt"},
    {NULL, NULL}};
static const struct house_option no_options[] = {{NULL, NULL}};
static const struct house_option target_options[] = {{"HighFragmentation", "1"}, {NULL, NULL}};
static const struct rig_floor floors[] = {{"vlan", vlan_entry, vlan_options},
                                          {"fault", fault_entry, fault_options},
                                          {"passthru", passthru_entry, no_options},
                                          {"team", team_entry, no_options}};

static struct rig rig;
static bool in_vlan;

static void
segment(struct fuzz *fuzz, const struct tcp_segment *last)
{
    unsigned what = fuzz_u8(fuzz);
    struct rig_in in = {
        .seq = RIG_RCV + (what & 1 ? fuzz_u32(fuzz) : fuzz_u16(fuzz)),
        .ack = last->seq + last->payload_len + (what & 2 ? fuzz_u32(fuzz) : 0),
        .len = what & 4 ? fuzz_u8(fuzz) : 0,
        .window = what & 8 ? fuzz_u16(fuzz) : 0,
        .port = what & 16 ? fuzz_u16(fuzz) : 0,
        .urgent = what & 32 ? fuzz_u16(fuzz) : 0,
        .flags = what & 64 ? fuzz_u8(fuzz) : TCP_PSH,
        .tos = what & 128 ? fuzz_u8(fuzz) : 0,
    };

    what = fuzz_u8(fuzz);
    in.ipv6 = what & 1;
    in.options = what & 2 && !in.ipv6;
    in.fragment = (what & 12) == 12;
    in.bad_checksum = (what & 48) == 48;
    in.not_tcp = what == 255;
    in.gso_size = what & 64 && in.len > 100 ? 100 : 0;
    in.tagged = in_vlan != ((what & 136) == 136);
    in.tag = in.tagged ? VLAN : 0;
    rig_peer(&rig, in);
}

static void
raw(struct fuzz *fuzz)
{
    uint32_t len = 14 + fuzz_u8(fuzz) % (RAW_MAX - 14);
    struct wire_buf *buf = wire_buf_create(len);
    unsigned what = fuzz_u8(fuzz);

    memcpy(buf->data, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
    for (uint32_t i = 12; i < len; i++)
        buf->data[i] = fuzz_u8(fuzz);
    if (what & 1) { /* far enough to be looked at */
        buf->data[12] = what & 2 ? 0x86 : 0x08;
        buf->data[13] = what & 2 ? 0xdd : 0x00;
    }
    buf->len = len;
    buf->meta.csum_valid = what & 4;
    test_wire_deliver(rig.wire, buf);
}

/* Down the regular path, in pieces. */
static void
send_frame(struct fuzz *fuzz)
{
    uint32_t len = 14 + fuzz_u8(fuzz) % (RAW_MAX - 14);
    NET_BUFFER_LIST *nbl = rig_nbl(&rig, len, fuzz_u8(fuzz), fuzz_u8(fuzz));
    uint8_t *bytes = nbl->ProtocolReserved[0];
    unsigned what = fuzz_u8(fuzz);

    for (uint32_t i = 12; i < len && i < 64; i++)
        bytes[i] = fuzz_u8(fuzz);
    if (what & 1)
        memcpy(bytes + 12, what & 2 ? "\x81\x00" : "\x08\x00", 2);
    NdisSendNetBufferLists(rig.binding, nbl, 0, 0);
}

static void
post(struct fuzz *fuzz, struct rig_conn *conn)
{
    unsigned what = fuzz_u8(fuzz);
    NET_BUFFER_LIST *nbl = rig_nbl(&rig, what & 8 ? 0 : 1u + fuzz_u8(fuzz), 0, 0);
    NDIS_STATUS status;

    if (what & 1)
        status = NdisOffloadTcpSend(&conn->tcp.handle, nbl);
    else
        status = NdisOffloadTcpReceive(&conn->tcp.handle, nbl);
    if (status != NDIS_STATUS_PENDING)
        rig_nbl_free(nbl);
}

static void
disconnect(struct fuzz *fuzz, struct rig_conn *conn, bool *closed)
{
    NET_BUFFER_LIST *nbl;

    if (*closed)
        return;
    *closed = true;
    nbl = rig_nbl(&rig, 0, 0, 0);
    ULONG flags = fuzz_u8(fuzz) & 1 ? TCP_DISCONNECT_ABORTIVE_CLOSE : TCP_DISCONNECT_GRACEFUL_CLOSE;
    if (NdisOffloadTcpDisconnect(&conn->tcp.handle, nbl, flags) != NDIS_STATUS_PENDING)
        rig_nbl_free(nbl);
}

/* What was accepted is given back, sooner or later; what was sent is looked at. */
static void
settle(struct tcp_segment *last, bool all)
{
    rig_turn(&rig);
    if (rig.out_count)
        *last = rig.out[rig.out_count - 1].tcp;
    for (unsigned i = 0; i < rig.kept_count && (all || rig.kept_count > 8); i++)
        rig_return(&rig, i);
    if (all || rig.kept_count > 8)
        rig.kept_count = 0;
    rig.got_count = 0;
    rig_forget(&rig);
}

static void
step(struct fuzz *fuzz, struct rig_conn conns[2], bool closed[2], struct tcp_segment *last)
{
    unsigned which = fuzz_u8(fuzz) & 1;

    switch (fuzz_below(fuzz, 11)) {
    case 0:
        raw(fuzz);
        break;
    case 1:
        if (!closed[which])
            post(fuzz, &conns[which]);
        break;
    case 2:
        if (fuzz_u8(fuzz) > 200)
            disconnect(fuzz, &conns[which], &closed[which]);
        break;
    case 3:
        rig_pass(&rig, (uint64_t)fuzz_u16(fuzz) * 10);
        break;
    case 4:
        rig.accept = fuzz_u8(fuzz) & 1 ? RIG_ALL : fuzz_u8(fuzz);
        break;
    case 5:
        settle(last, true);
        break;
    case 6:
        send_frame(fuzz);
        break;
    default:
        segment(fuzz, last);
        break;
    }
    settle(last, false);
}

/* Frames that were ours again have been thrown away with the rest. */
static void
give_back(struct rig_conn *conn)
{
    NET_BUFFER_LIST *nbl, *next;

    rig_conn_end(&rig, conn);
    rig_turn(&rig);
    FUZZ_CHECK(!conn->tcp.handle.MiniportOffloadContext);
    if (rig_given_back(conn)->BufferedData)
        NdisOffloadTcpReceiveReturn(rig.binding, rig_given_back(conn)->BufferedData);
    for (nbl = conn->ends[2].block.NetBufferListChain; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        rig_nbl_free(nbl);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig_conn conns[2];
    struct fuzz fuzz = {data, size};
    struct tcp_segment last = {.seq = RIG_SND};
    bool closed[2] = {false, false};
    unsigned flags = fuzz_u8(&fuzz) & 1 ? TCP_FLAG_ACK_RETURNED : 0, floor = fuzz_below(&fuzz, 5);

    in_vlan = floor == 0;
    rig_open_under(&rig, target_options, floor < 4 ? &floors[floor] : NULL);
    rig.careless = true;
    for (unsigned i = 0; i < 2; i++) {
        rig_conn_init(&conns[i], i == 1, flags | TCP_FLAG_SACK_ENABLED);
        rig_conn_start(&rig, &conns[i]);
    }
    for (unsigned i = 0; i < STEPS && fuzz.left; i++)
        step(&fuzz, conns, closed, &last);
    settle(&last, true);
    for (unsigned i = 0; i < 2; i++)
        give_back(&conns[i]);
    rig_close(&rig);
    return 0;
}
