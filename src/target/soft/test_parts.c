/* The parts of test_rig.h that only build things: trees, buffers, the peer's frames. */
#include "target/soft/test_rig.h"

#include "base/bytes.h"
#include "base/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- trees ---- */

static void
block_init(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block, unsigned type, NDIS_OFFLOAD_HANDLE *handle)
{
    *block = (NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST){
        .Header = {(UCHAR)type, NDIS_OFFLOAD_BLOCK_LIST_REVISION_1, sizeof *block},
        .Status = (NDIS_STATUS)0xdead0001,
        .OffloadHandle = handle,
    };
}

void
rig_neighbor_init(struct rig_neighbor *neighbor)
{
    memset(neighbor, 0, sizeof *neighbor);
    block_init(&neighbor->block, NeighborOffloadState, &neighbor->handle);
    neighbor->constant.Header.Length = sizeof neighbor->constant;
    neighbor->cached.Header.Length = sizeof neighbor->cached;
    neighbor->delegated.Header.Length = sizeof neighbor->delegated;
    memcpy(neighbor->cached.DlDestinationAddress, "\x02\x00\x00\x00\x00\x02", 6);
}

void
rig_path_init(struct rig_path *path, bool ipv6)
{
    memset(path, 0, sizeof *path);
    block_init(&path->block, ipv6 ? Ip6OffloadState : Ip4OffloadState, &path->handle);
    path->constant.Header.Length = sizeof path->constant;
    path->cached.Header.Length = sizeof path->cached;
    path->delegated.Header.Length = sizeof path->delegated;
    memcpy(path->source, ipv6 ? "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1" : "\x0a\0\0\1", ipv6 ? 16 : 4);
    memcpy(path->destination, ipv6 ? "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2" : "\x0a\0\0\2",
           ipv6 ? 16 : 4);
    path->constant.SourceAddress = path->source;
    path->constant.DestinationAddress = path->destination;
    path->cached.PathMtu = 1500;
}

void
rig_tcp_init(struct rig_tcp *tcp, unsigned local_port, unsigned const_flags)
{
    memset(tcp, 0, sizeof *tcp);
    block_init(&tcp->block, TcpOffloadState, &tcp->handle);
    tcp->constant.Header.Length = sizeof tcp->constant;
    tcp->constant.Flags = (USHORT)const_flags;
    bytes_store_be16(&tcp->constant.LocalPort, (uint16_t)local_port);
    bytes_store_be16(&tcp->constant.RemotePort, 80);
    tcp->constant.RemoteMss = 1460;
    if (const_flags & TCP_FLAG_STATE_EXTENDED) {
        tcp->extension.Header.Length = sizeof tcp->extension;
        tcp->extension.Version = TCP_OFFLOAD_EXTENSION_VERSION;
    }
    tcp->cached.Header.Length = sizeof tcp->cached;
    tcp->cached.InitialRcvWnd = 65535;
    tcp->delegated = (TCP_OFFLOAD_STATE_DELEGATED){
        .Header = {.Length = sizeof tcp->delegated},
        .State = TcpConnectionEstablished,
        .RcvNxt = RIG_RCV,
        .RcvWnd = 65535,
        .SndUna = RIG_SND,
        .SndNxt = RIG_SND,
        .SndMax = RIG_SND,
        .SndWnd = 65535,
        .MaxSndWnd = 65535,
        .SendWL1 = RIG_RCV,
        .CWnd = 20 * RIG_MSS,
        .SsThresh = TCP_INFINITE_SSTHRESH,
        .SRtt = 8 * 10,
        .RttVar = 4 * 5,
        .KeepAlive = {0, TCP_OFFLOAD_TIMER_OFF},
        .Retransmit = {0, TCP_OFFLOAD_TIMER_OFF},
    };
}

void
rig_node_init(struct rig_node *node, unsigned type, NDIS_OFFLOAD_HANDLE *handle)
{
    memset(node, 0, sizeof *node);
    block_init(&node->block, type, handle);
}

void
rig_conn_init(struct rig_conn *conn, bool ipv6, unsigned const_flags)
{
    rig_neighbor_init(&conn->neighbor);
    rig_path_init(&conn->path, ipv6);
    rig_tcp_init(&conn->tcp, 4000, const_flags);
    conn->neighbor.block.DependentBlockList = &conn->path.block;
    conn->path.block.DependentBlockList = &conn->tcp.block;
}

void
rig_conn_start(struct rig *rig, struct rig_conn *conn)
{
    NdisInitiateOffload(rig->binding, &conn->neighbor.block);
    rig_turn(rig);
    assert_int_equal(strncmp(rig->heard, "initiated", 9), 0);
    assert_int_equal(conn->neighbor.block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(conn->path.block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(conn->tcp.block.Status, NDIS_STATUS_SUCCESS);
    rig->heard[0] = 0;
}

void
rig_object_end(struct rig *rig, unsigned type, NDIS_OFFLOAD_HANDLE *handle)
{
    struct rig_node node;

    if (!handle->MiniportOffloadContext)
        return;
    rig_node_init(&node, type, handle);
    NdisTerminateOffload(rig->binding, &node.block);
    rig_turn(rig);
    assert_int_equal(strncmp(rig->heard, "terminated", 10), 0);
    rig->heard[0] = 0;
    assert_int_equal(node.block.Status, NDIS_STATUS_SUCCESS);
    assert_null(handle->MiniportOffloadContext);
}

void
rig_conn_end_with(struct rig *rig, struct rig_conn *conn, struct rig_node *beside)
{
    rig_node_init(&conn->ends[0], NeighborOffloadDelegatedState, &conn->neighbor.handle);
    rig_node_init(&conn->ends[1],
                  conn->path.block.Header.Type == Ip6OffloadState ? Ip6OffloadDelegatedState
                                                                  : Ip4OffloadDelegatedState,
                  &conn->path.handle);
    rig_node_init(&conn->ends[2], TcpOffloadDelegatedState, &conn->tcp.handle);
    conn->ends[0].state.neighbor_delegated.Header.Length = sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED);
    conn->ends[1].state.path.Header.Length = sizeof(PATH_OFFLOAD_STATE_DELEGATED);
    conn->ends[2].state.delegated.Header.Length = sizeof(TCP_OFFLOAD_STATE_DELEGATED);
    if (conn->tcp.constant.Flags & TCP_FLAG_STATE_EXTENDED)
        conn->ends[2].state.extended.extension.Header.Length = sizeof(TCP_OFFLOAD_STATE_EXTENSION);
    conn->ends[0].block.DependentBlockList = &conn->ends[1].block;
    conn->ends[1].block.DependentBlockList = &conn->ends[2].block;
    conn->ends[2].block.NextBlock = beside ? &beside->block : NULL;
    NdisTerminateOffload(rig->binding, &conn->ends[0].block);
}

void
rig_conn_end(struct rig *rig, struct rig_conn *conn)
{
    rig_conn_end_with(rig, conn, NULL);
}

/* ---- buffers ---- */

NET_BUFFER_LIST *
rig_nbl(struct rig *rig, uint32_t len, uint8_t first, uint32_t piece)
{
    uint8_t *bytes = malloc(len + 1);
    MDL *head = NULL, **tail = &head;

    assert_non_null(bytes);
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(first + i);
    for (uint32_t at = 0; at < len;) {
        uint32_t step = piece && piece < len - at ? piece : len - at;
        *tail = NdisAllocateMdl(rig->protocol, bytes + at, step);
        tail = &(*tail)->Next;
        at += step;
    }
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferAndNetBufferList(rig->pool, 0, 0, head, 0, len);
    assert_non_null(nbl);
    nbl->ProtocolReserved[0] = bytes;
    return nbl;
}

void
rig_nbl_free(NET_BUFFER_LIST *nbl)
{
    MDL *mdl = NET_BUFFER_FIRST_MDL(NET_BUFFER_LIST_FIRST_NB(nbl));

    free(nbl->ProtocolReserved[0]);
    NdisFreeNetBufferList(nbl);
    while (mdl) {
        MDL *next = mdl->Next;
        NdisFreeMdl(mdl);
        mdl = next;
    }
}

NET_BUFFER_LIST *
rig_segment(struct rig *rig, uint32_t seq, uint32_t len, uint8_t flags, uint8_t first)
{
    NET_BUFFER_LIST *nbl = rig_nbl(rig, 20 + len, (uint8_t)(first - 20), 0);
    uint8_t *tcp = nbl->ProtocolReserved[0];

    memset(tcp, 0, 20);
    bytes_store_be16(tcp, 80);
    bytes_store_be16(tcp + 2, 4000);
    bytes_store_be32(tcp + 4, seq);
    bytes_store_be32(tcp + 8, RIG_SND);
    tcp[12] = 0x50;
    tcp[13] = flags;
    bytes_store_be16(tcp + 14, 65535);
    return nbl;
}

void
rig_return(struct rig *rig, unsigned index)
{
    NET_BUFFER_LIST *nbl = rig->kept[index];

    rig->kept[index] = NULL;
    if (nbl)
        NdisOffloadTcpReceiveReturn(rig->binding, nbl);
}

/* ---- the peer ---- */

static size_t
build_ip(uint8_t *ip, const struct rig_in *in, uint32_t tcp_len, struct checksum *sum)
{
    uint8_t protocol = in->not_tcp ? 17 : 6;

    if (in->ipv6) {
        memset(ip, 0, 40);
        bytes_store_be16(ip, (uint16_t)(0x6000 | in->tos << 4));
        bytes_store_be16(ip + 4, (uint16_t)tcp_len);
        ip[6] = protocol;
        ip[7] = 64;
        ip[8] = ip[24] = 0xfd;
        ip[23] = 2;
        ip[39] = 1;
        checksum_add_pseudo_v6(sum, ip + 8, ip + 24, protocol, tcp_len);
        if (!in->fragment)
            return 40;
        bytes_store_be16(ip + 4, (uint16_t)(8 + tcp_len));
        ip[6] = 44;
        memset(ip + 40, 0, 8);
        ip[40] = protocol;
        bytes_store_be16(ip + 42, in->fragment);
        return 48;
    }
    uint32_t header = in->options ? 24 : 20;
    memset(ip, 0, header);
    ip[0] = (uint8_t)(0x40 | header / 4);
    ip[1] = in->tos;
    bytes_store_be16(ip + 2, (uint16_t)(header + tcp_len));
    bytes_store_be16(ip + 6, (uint16_t)(in->fragment >> 3 | (in->fragment & 1) << 13));
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, "\x0a\0\0\2\x0a\0\0\1", 8);
    if (in->options)
        ip[20] = 1;
    bytes_store_be16(ip + 10, (uint16_t)(checksum_of(ip, header) + in->bad_ip_checksum));
    checksum_add_pseudo_v4(sum, ip + 12, ip + 16, protocol, tcp_len);
    return header;
}

void
rig_peer(struct rig *rig, struct rig_in in)
{
    struct wire_buf *buf = wire_buf_create(18 + 48 + 20 + in.len);
    struct checksum sum = {.sum = 0};
    uint8_t *frame = buf->data, *ip = frame + (in.tagged ? 18 : 14), *tcp;

    memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
    if (in.station)
        frame[5] = in.station;
    if (in.tagged)
        bytes_store_be32(frame + 12, 0x81000000u | in.tag);
    bytes_store_be16(ip - 2, in.ipv6 ? 0x86dd : 0x0800);
    tcp = ip + build_ip(ip, &in, 20 + in.len, &sum);
    memset(tcp, 0, 20);
    bytes_store_be16(tcp, 80);
    bytes_store_be16(tcp + 2, in.port ? in.port : 4000);
    bytes_store_be32(tcp + 4, in.seq);
    bytes_store_be32(tcp + 8, in.ack);
    tcp[12] = 0x50;
    tcp[13] = in.flags | TCP_ACK;
    bytes_store_be16(tcp + 14, in.window ? in.window : 65535);
    bytes_store_be16(tcp + 18, in.urgent);
    for (uint32_t i = 0; i < in.len; i++)
        tcp[20 + i] = (uint8_t)(in.first + i);
    if (in.gso_size) {
        buf->meta = (struct wire_meta){.csum_partial = true,
                                       .gso_type = in.ipv6 ? WIRE_GSO_TCPV6 : WIRE_GSO_TCPV4,
                                       .gso_size = in.gso_size,
                                       .header_len = (uint16_t)(tcp + 20 - frame),
                                       .csum_start = (uint16_t)(tcp - frame),
                                       .csum_offset = 16};
        bytes_store_be16(tcp + 16, checksum_folded(&sum));
    } else {
        checksum_add(&sum, tcp, 20 + in.len);
        bytes_store_be16(tcp + 16, (uint16_t)(checksum_value(&sum) + in.bad_checksum));
    }
    buf->len = (uint32_t)(tcp + 20 - frame) + in.len;
    test_wire_deliver(rig->wire, buf);
}
