/*
 * The binary layout drivers rely on: every published offset and size that include/ndis declares
 * (x86-64, Microsoft bit-fields), checked by the compiler; the positions of bit-fields, which
 * offsetof cannot see, and the shape of a block with its states, checked at run time. Here the
 * chimney, everything else in layout_base_test.c; tools/layouts sees to it that none is missing.
 */
#include "ndis/test_layout.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

SIZE(NDIS_OBJECT_HEADER, 0x04);
AT(NDIS_OBJECT_HEADER, Type, 0x00);
AT(NDIS_OBJECT_HEADER, Revision, 0x01);
AT(NDIS_OBJECT_HEADER, Size, 0x02);
SIZE(OFFLOAD_STATE_HEADER, 0x08);
AT(OFFLOAD_STATE_HEADER, Length, 0x00);
AT(OFFLOAD_STATE_HEADER, RecognizedOptions, 0x04);
SIZE(NDIS_OFFLOAD_HANDLE, 0x10);
AT(NDIS_OFFLOAD_HANDLE, NdisReserved, 0x00);
AT(NDIS_OFFLOAD_HANDLE, MiniportOffloadContext, 0x08);
SIZE(NDIS_OFFLOAD_EVENT_HANDLERS, 0x04);
AT(NDIS_OFFLOAD_EVENT_HANDLERS, Header, 0x00);

/* Block lists: the same but for the slots at 0x30 and 0x38. */

SIZE(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, 0x98);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, Header, 0x00);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, NextBlock, 0x08);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, DependentBlockList, 0x10);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, Status, 0x18);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, NdisReserved, 0x20);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, NdisReserved[2], 0x30);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, OffloadHandle, 0x38);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, ProtocolReserved, 0x40);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, MiniportReserved, 0x50);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, ImReserved, 0x60);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, Scratch, 0x70);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, SourceHandle, 0x80);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, PortNumber, 0x88);
AT(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, NetBufferListChain, 0x90);

SIZE(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, 0x98);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, Header, 0x00);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, NextBlock, 0x08);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, DependentBlockList, 0x10);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, Status, 0x18);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, NdisReserved, 0x20);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, MiniportOffloadContext, 0x30);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, NdisOffloadHandle, 0x38);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, ProtocolReserved, 0x40);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, MiniportReserved, 0x50);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, ImReserved, 0x60);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, Scratch, 0x70);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, SourceHandle, 0x80);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, PortNumber, 0x88);
AT(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, NetBufferListChain, 0x90);

/* Offload states. */

SIZE(NEIGHBOR_OFFLOAD_STATE_CONST, 0x2C);
AT(NEIGHBOR_OFFLOAD_STATE_CONST, Header, 0x00);
AT(NEIGHBOR_OFFLOAD_STATE_CONST, DlSourceAddress, 0x08);
SIZE(NEIGHBOR_OFFLOAD_STATE_CACHED, 0x2C);
AT(NEIGHBOR_OFFLOAD_STATE_CACHED, Header, 0x00);
AT(NEIGHBOR_OFFLOAD_STATE_CACHED, DlDestinationAddress, 0x08);
AT(NEIGHBOR_OFFLOAD_STATE_CACHED, HostReachabilityDelta, 0x28);
SIZE(NEIGHBOR_OFFLOAD_STATE_DELEGATED, 0x0C);
AT(NEIGHBOR_OFFLOAD_STATE_DELEGATED, Header, 0x00);
AT(NEIGHBOR_OFFLOAD_STATE_DELEGATED, NicReachabilityDelta, 0x08);
SIZE(PATH_OFFLOAD_STATE_CONST, 0x18);
AT(PATH_OFFLOAD_STATE_CONST, Header, 0x00);
AT(PATH_OFFLOAD_STATE_CONST, SourceAddress, 0x08);
AT(PATH_OFFLOAD_STATE_CONST, DestinationAddress, 0x10);
SIZE(PATH_OFFLOAD_STATE_CACHED, 0x0C);
AT(PATH_OFFLOAD_STATE_CACHED, Header, 0x00);
AT(PATH_OFFLOAD_STATE_CACHED, PathMtu, 0x08);
SIZE(PATH_OFFLOAD_STATE_DELEGATED, 0x08);
AT(PATH_OFFLOAD_STATE_DELEGATED, Header, 0x00);

SIZE(TCP_OFFLOAD_STATE_CONST, 0x18);
AT(TCP_OFFLOAD_STATE_CONST, Header, 0x00);
AT(TCP_OFFLOAD_STATE_CONST, Flags, 0x08);
AT(TCP_OFFLOAD_STATE_CONST, RemotePort, 0x0A);
AT(TCP_OFFLOAD_STATE_CONST, LocalPort, 0x0C);
AT(TCP_OFFLOAD_STATE_CONST, RemoteMss, 0x10);
AT(TCP_OFFLOAD_STATE_CONST, HashValue, 0x14);

SIZE(TCP_OFFLOAD_STATE_CACHED, 0x2C);
AT(TCP_OFFLOAD_STATE_CACHED, Header, 0x00);
AT(TCP_OFFLOAD_STATE_CACHED, Flags, 0x08);
AT(TCP_OFFLOAD_STATE_CACHED, InitialRcvWnd, 0x0C);
AT(TCP_OFFLOAD_STATE_CACHED, RcvIndicationSize, 0x10);
AT(TCP_OFFLOAD_STATE_CACHED, KaProbeCount, 0x14);
AT(TCP_OFFLOAD_STATE_CACHED, KaTimeout, 0x18);
AT(TCP_OFFLOAD_STATE_CACHED, KaInterval, 0x1C);
AT(TCP_OFFLOAD_STATE_CACHED, MaxRT, 0x20);
AT(TCP_OFFLOAD_STATE_CACHED, TtlOrHopLimit, 0x28);
AT(TCP_OFFLOAD_STATE_CACHED, TosOrTrafficClass, 0x29);

SIZE(TCP_OFFLOAD_STATE_DELEGATED, 0x80);
AT(TCP_OFFLOAD_STATE_DELEGATED, Header, 0x00);
AT(TCP_OFFLOAD_STATE_DELEGATED, State, 0x08);
AT(TCP_OFFLOAD_STATE_DELEGATED, Flags, 0x0C);
AT(TCP_OFFLOAD_STATE_DELEGATED, RcvNxt, 0x10);
AT(TCP_OFFLOAD_STATE_DELEGATED, RcvWnd, 0x14);
AT(TCP_OFFLOAD_STATE_DELEGATED, SndUna, 0x18);
AT(TCP_OFFLOAD_STATE_DELEGATED, SndNxt, 0x1C);
AT(TCP_OFFLOAD_STATE_DELEGATED, SndMax, 0x20);
AT(TCP_OFFLOAD_STATE_DELEGATED, SndWnd, 0x24);
AT(TCP_OFFLOAD_STATE_DELEGATED, MaxSndWnd, 0x28);
AT(TCP_OFFLOAD_STATE_DELEGATED, SendWL1, 0x2C);
AT(TCP_OFFLOAD_STATE_DELEGATED, CWnd, 0x30);
AT(TCP_OFFLOAD_STATE_DELEGATED, SsThresh, 0x34);
AT(TCP_OFFLOAD_STATE_DELEGATED, SRtt, 0x38);
AT(TCP_OFFLOAD_STATE_DELEGATED, RttVar, 0x3A);
AT(TCP_OFFLOAD_STATE_DELEGATED, TsRecent, 0x3C);
AT(TCP_OFFLOAD_STATE_DELEGATED, TsRecentAge, 0x40);
AT(TCP_OFFLOAD_STATE_DELEGATED, TsTime, 0x44);
AT(TCP_OFFLOAD_STATE_DELEGATED, TotalRT, 0x48);
AT(TCP_OFFLOAD_STATE_DELEGATED, DupAckCount, 0x4C);
AT(TCP_OFFLOAD_STATE_DELEGATED, SndWndProbeCount, 0x4D);
AT(TCP_OFFLOAD_STATE_DELEGATED, KeepAlive.ProbeCount, 0x50);
AT(TCP_OFFLOAD_STATE_DELEGATED, KeepAlive.TimeoutDelta, 0x54);
AT(TCP_OFFLOAD_STATE_DELEGATED, Retransmit.Count, 0x58);
AT(TCP_OFFLOAD_STATE_DELEGATED, Retransmit.TimeoutDelta, 0x5C);
AT(TCP_OFFLOAD_STATE_DELEGATED, SendDataHead, 0x60);
AT(TCP_OFFLOAD_STATE_DELEGATED, SendBacklogSize, 0x60);
AT(TCP_OFFLOAD_STATE_DELEGATED, SendDataTail, 0x68);
AT(TCP_OFFLOAD_STATE_DELEGATED, BufferedData, 0x70);
AT(TCP_OFFLOAD_STATE_DELEGATED, ReceiveBacklogSize, 0x70);
AT(TCP_OFFLOAD_STATE_DELEGATED, DWnd, 0x78);

/* Handler tables. */

SIZE(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 0x38);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, Header, 0x00);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, Flags, 0x04);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, InitiateOffloadCompleteHandler, 0x08);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, TerminateOffloadCompleteHandler, 0x10);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, UpdateOffloadCompleteHandler, 0x18);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, InvalidateOffloadCompleteHandler, 0x20);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, QueryOffloadCompleteHandler, 0x28);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, IndicateOffloadEventHandler, 0x30);

SIZE(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, 0x40);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, Header, 0x00);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, Flags, 0x04);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, OffloadType, 0x08);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadSendCompleteHandler, 0x10);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadReceiveCompleteHandler, 0x18);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadDisconnectCompleteHandler, 0x20);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadForwardCompleteHandler, 0x28);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadEventHandler, 0x30);
AT(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadReceiveIndicateHandler, 0x38);

SIZE(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 0x30);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, Header, 0x00);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, Flags, 0x04);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, InitiateOffloadHandler, 0x08);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, TerminateOffloadHandler, 0x10);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, UpdateOffloadHandler, 0x18);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, InvalidateOffloadHandler, 0x20);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, QueryOffloadHandler, 0x28);

SIZE(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, 0x38);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, Header, 0x00);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, Flags, 0x04);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, OffloadType, 0x08);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadSendHandler, 0x10);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadReceiveHandler, 0x18);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadDisconnectHandler, 0x20);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadForwardHandler, 0x28);
AT(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS, TcpOffloadReceiveReturnHandler, 0x30);

SIZE(NDIS_TCP_OFFLOAD_EVENT_HANDLERS, 0x38);
AT(NDIS_TCP_OFFLOAD_EVENT_HANDLERS, Header, 0x00);
AT(NDIS_TCP_OFFLOAD_EVENT_HANDLERS, NdisTcpOffloadEventHandler, 0x08);
AT(NDIS_TCP_OFFLOAD_EVENT_HANDLERS, NdisTcpOffloadReceiveHandler, 0x10);
AT(NDIS_TCP_OFFLOAD_EVENT_HANDLERS, NdisTcpOffloadSendComplete, 0x18);
AT(NDIS_TCP_OFFLOAD_EVENT_HANDLERS, NdisTcpOffloadReceiveComplete, 0x20);
AT(NDIS_TCP_OFFLOAD_EVENT_HANDLERS, NdisTcpOffloadDisconnectComplete, 0x28);
AT(NDIS_TCP_OFFLOAD_EVENT_HANDLERS, NdisTcpOffloadForwardComplete, 0x30);

/* Statistics and capabilities. */

SIZE(IP_OFFLOAD_STATS, 0x40);
AT(IP_OFFLOAD_STATS, InReceives, 0x00);
AT(IP_OFFLOAD_STATS, InOctets, 0x08);
AT(IP_OFFLOAD_STATS, InDelivers, 0x10);
AT(IP_OFFLOAD_STATS, OutRequests, 0x18);
AT(IP_OFFLOAD_STATS, OutOctets, 0x20);
AT(IP_OFFLOAD_STATS, InHeaderErrors, 0x28);
AT(IP_OFFLOAD_STATS, InTruncatedPackets, 0x2C);
AT(IP_OFFLOAD_STATS, InDiscards, 0x30);
AT(IP_OFFLOAD_STATS, OutDiscards, 0x34);
AT(IP_OFFLOAD_STATS, OutNoRoutes, 0x38);

SIZE(TCP_OFFLOAD_STATS, 0x28);
AT(TCP_OFFLOAD_STATS, InSegments, 0x00);
AT(TCP_OFFLOAD_STATS, OutSegments, 0x08);
AT(TCP_OFFLOAD_STATS, CurrentlyEstablished, 0x10);
AT(TCP_OFFLOAD_STATS, ResetEstablished, 0x14);
AT(TCP_OFFLOAD_STATS, RetransmittedSegments, 0x18);
AT(TCP_OFFLOAD_STATS, InErrors, 0x1C);
AT(TCP_OFFLOAD_STATS, OutResets, 0x20);

SIZE(NDIS_TCP_CONNECTION_OFFLOAD, 0x14);
AT(NDIS_TCP_CONNECTION_OFFLOAD, Header, 0x00);
AT(NDIS_TCP_CONNECTION_OFFLOAD, Encapsulation, 0x04);
AT(NDIS_TCP_CONNECTION_OFFLOAD, TcpConnectionOffloadCapacity, 0x0C);
AT(NDIS_TCP_CONNECTION_OFFLOAD, Flags, 0x10);

SIZE(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, 0x3C);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, Header, 0x00);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, Encapsulation, 0x04);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, TicksPerSecond, 0x20);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, TcpAckFrequency, 0x24);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, TcpDelayedAckTicks, 0x25);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, TcpMaximumRetransmissions, 0x26);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, TcpDoubtReachabilityRetransmissions, 0x27);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, TcpSwsPreventionTicks, 0x28);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, TcpDuplicateAckThreshold, 0x2C);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, TcpPushTicks, 0x30);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, NceStaleTicks, 0x34);
AT(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS, CongestionAlgorithm, 0x38);

SIZE(NDIS_OFFLOAD_ENCAPSULATION, 0x1C);
AT(NDIS_OFFLOAD_ENCAPSULATION, Header, 0x00);
AT(NDIS_OFFLOAD_ENCAPSULATION, IPv4.Enabled, 0x04);
AT(NDIS_OFFLOAD_ENCAPSULATION, IPv4.EncapsulationType, 0x08);
AT(NDIS_OFFLOAD_ENCAPSULATION, IPv4.HeaderSize, 0x0C);
AT(NDIS_OFFLOAD_ENCAPSULATION, IPv6.Enabled, 0x10);
AT(NDIS_OFFLOAD_ENCAPSULATION, IPv6.EncapsulationType, 0x14);
AT(NDIS_OFFLOAD_ENCAPSULATION, IPv6.HeaderSize, 0x18);

SIZE(NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, 0x28);
AT(NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, Header, 0x00);
AT(NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, DefaultOffloadConfiguration, 0x08);
AT(NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, HardwareOffloadCapabilities, 0x10);
AT(NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, DefaultTcpConnectionOffloadConfiguration, 0x18);
AT(NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, TcpConnectionOffloadHardwareCapabilities, 0x20);

_Static_assert(_Alignof(NET_BUFFER) == 16 && _Alignof(NET_BUFFER_LIST) == 16, "SLIST alignment");
_Static_assert(_Alignof(PATH_OFFLOAD_STATE_CONST) == 8, "path const state");
_Static_assert(_Alignof(TCP_OFFLOAD_STATE_DELEGATED) == 8, "TCP delegated state");
_Static_assert(_Alignof(TCP_OFFLOAD_STATE_CACHED) == 4, "TCP cached state");
_Static_assert(sizeof(OFFLOAD_STATE_TYPE) == 4, "enums are 4 bytes");
_Static_assert(sizeof(NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO) == 8, "lives in a slot");
_Static_assert(sizeof(NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO) == 8, "lives in a slot");

/* Numbers with a public source that others compute with. */
_Static_assert(TcpOffloadBytesTransferred == 0 && TcpReceiveNoPush == 2, "shared slots");
_Static_assert(TcpReceiveBytesTransferred == 17 && MaxNetBufferListInfo == 19, "slots");
_Static_assert(NetEventPause == 8 && NetEventRestart == 9 && NetEventMaximum == 13, "events");
_Static_assert(NdisRequestMethod == 12, "requests");
_Static_assert(FilterReservedOffloadState <= UINT8_MAX, "a state type fits in Header.Type");

/* The bytes of object where it holds a non-zero bit, as first byte, last byte. */
static void
find_bits(const void *object, size_t len, size_t *first, size_t *last)
{
    const UCHAR *bytes = (const UCHAR *)object;

    *first = len;
    *last = 0;
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == 0)
            continue;
        if (*first == len)
            *first = i;
        *last = i;
    }
}

#define assert_bits(object, from, to)                                                              \
    do {                                                                                           \
        size_t first_byte, last_byte;                                                              \
        find_bits(&(object), sizeof(object), &first_byte, &last_byte);                             \
        assert_int_equal(first_byte, (from));                                                      \
        assert_int_equal(last_byte, (to));                                                         \
    } while (0)

static void
states_keep_their_bit_fields_where_documented(void **state)
{
    NEIGHBOR_OFFLOAD_STATE_CONST neighbor = {.VlanId = 0xFFF};
    TCP_OFFLOAD_STATE_CONST snd = {.SndWindScale = 0xF}, rcv = {.RcvWindScale = 0xF};
    TCP_OFFLOAD_STATE_CACHED label = {.FlowLabel = 0xFFFFF}, priority = {.UserPriority = 7};

    assert_bits(neighbor, 0x28, 0x29);
    assert_bits(snd, 0x0E, 0x0E);
    assert_int_equal(((UCHAR *)&snd)[0x0E], 0x0F);
    assert_bits(rcv, 0x0E, 0x0E);
    assert_int_equal(((UCHAR *)&rcv)[0x0E], 0xF0);
    assert_bits(label, 0x24, 0x26);
    assert_bits(priority, 0x2A, 0x2A);
    assert_int_equal(((UCHAR *)&priority)[0x2A], 7);
}

static void
capabilities_pack_into_one_unit(void **state)
{
    NDIS_TCP_CONNECTION_OFFLOAD offload = {.SupportIPv4 = 1,
                                           .SupportIPv6 = 1,
                                           .SupportIPv6ExtensionHeaders = 1,
                                           .SupportSack = 1,
                                           .CongestionAlgorithm = 1};
    ULONG unit;

    memcpy(&unit, (UCHAR *)&offload + 0x08, sizeof(unit));
    assert_int_equal(unit, 1u << 0 | 1u << 2 | 1u << 4 | 1u << 6 | 1u << 8);
}

static void
slot_values_use_the_low_half(void **state)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO lso = {.Value = NULL};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO csum = {.Value = NULL};

    lso.LsoV2Transmit.MSS = 1448;
    lso.LsoV2Transmit.TcpHeaderOffset = 34;
    lso.LsoV2Transmit.Type = NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE;
    assert_int_equal((ULONG_PTR)lso.Value, 1448u | 34u << 20 | 1u << 30);
    csum.Transmit.TcpChecksum = 1;
    csum.Transmit.TcpHeaderOffset = 54;
    assert_int_equal((ULONG_PTR)csum.Value, 1u << 2 | 54u << 16);
}

/* Packed back to back the delegated state would be misaligned: multiples of 8. */
static void
states_follow_their_block_aligned(void **state)
{
    static _Alignas(8) UCHAR memory[0x200];
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)(void *)memory;
    PTCP_OFFLOAD_STATE_CONST constant;
    PTCP_OFFLOAD_STATE_CACHED cached;
    PTCP_OFFLOAD_STATE_DELEGATED delegated;

    block->Header.Size = sizeof(*block);
    constant = NDIS_OFFLOAD_STATE_FIRST(block);
    constant->Header.Length = sizeof(*constant);
    cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    cached->Header.Length = sizeof(*cached);
    delegated = NDIS_OFFLOAD_STATE_NEXT(cached);
    assert_ptr_equal(constant, memory + 0x98);
    assert_ptr_equal(cached, memory + 0xB0);
    assert_ptr_equal(delegated, memory + 0xE0);
    assert_int_equal(NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED), 0x30);
    block->Header.Size = sizeof(*block) + 3;
    assert_ptr_equal(NDIS_OFFLOAD_STATE_FIRST(block), memory + 0xA0);
}

static void
mdl_accessors_find_the_bytes(void **state)
{
    UCHAR bytes[8];
    MDL mdl = {.StartVa = bytes, .ByteOffset = 3, .ByteCount = 5};

    assert_ptr_equal(MmGetSystemAddressForMdlSafe(&mdl, NormalPagePriority), bytes + 3);
    mdl.MappedSystemVa = bytes + 1;
    mdl.MdlFlags = MDL_MAPPED_TO_SYSTEM_VA;
    assert_ptr_equal(MmGetSystemAddressForMdlSafe(&mdl, NormalPagePriority), bytes + 1);
    assert_ptr_equal(MmGetMdlVirtualAddress(&mdl), bytes + 3);
    assert_int_equal(MmGetMdlByteCount(&mdl), 5);
}

/* Success by sign would take these for each other. */
static void
statuses_that_look_alike_differ(void **state)
{
    assert_true(NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS > 0);
    assert_true(NDIS_STATUS_PENDING > 0);
    assert_true(NDIS_STATUS_FAILURE < 0);
    assert_int_not_equal(NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED, NDIS_STATUS_NOT_ACCEPTED);
    assert_int_not_equal(NDIS_STATUS_REQUEST_ABORTED, NDIS_STATUS_SEND_ABORTED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_keep_their_bit_fields_where_documented),
        cmocka_unit_test(capabilities_pack_into_one_unit),
        cmocka_unit_test(slot_values_use_the_low_half),
        cmocka_unit_test(states_follow_their_block_aligned),
        cmocka_unit_test(mdl_accessors_find_the_bytes),
        cmocka_unit_test(statuses_that_look_alike_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
