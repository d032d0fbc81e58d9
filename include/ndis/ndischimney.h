/*
 * TCP chimney offload: block lists, offload states, handler tables, and the calls between host
 * stack and target. Values marked OURS have no public source; this project defines them.
 */
#ifndef NDIS_NDISCHIMNEY_H
#define NDIS_NDISCHIMNEY_H

#include "ndis.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what an offloaded object is; numbers OURS, in documented order ---- */

typedef enum _OFFLOAD_STATE_TYPE {
    NeighborOffloadConstState = 1,
    NeighborOffloadCachedState = 2,
    NeighborOffloadDelegatedState = 3,
    NeighborOffloadState = 4,
    Ip4OffloadConstState = 5,
    Ip4OffloadCachedState = 6,
    Ip4OffloadDelegatedState = 7,
    Ip4OffloadState = 8,
    Ip6OffloadConstState = 9,
    Ip6OffloadCachedState = 10,
    Ip6OffloadDelegatedState = 11,
    Ip6OffloadState = 12,
    TcpOffloadConstState = 13,
    TcpOffloadCachedState = 14,
    TcpOffloadDelegatedState = 15,
    TcpOffloadResourceState = 16, /* not used */
    TcpOffloadState = 17,
    FilterReservedOffloadState = 18
} OFFLOAD_STATE_TYPE,
    *POFFLOAD_STATE_TYPE;

typedef enum _NDIS_CHIMNEY_OFFLOAD_TYPE {
    NdisTcpChimneyOffload = 1 /* OURS */
} NDIS_CHIMNEY_OFFLOAD_TYPE,
    *PNDIS_CHIMNEY_OFFLOAD_TYPE;

/* Numbers OURS. */
typedef enum _TCP_OFFLOAD_CONNECTION_STATE {
    TcpConnectionClosed = 0,
    TcpConnectionListen = 1,
    TcpConnectionSynSent = 2,
    TcpConnectionSynRcvd = 3,
    TcpConnectionEstablished = 4,
    TcpConnectionFinWait1 = 5,
    TcpConnectionFinWait2 = 6,
    TcpConnectionCloseWait = 7,
    TcpConnectionClosing = 8,
    TcpConnectionLastAck = 9,
    TcpConnectionTimeWait = 10
} TCP_OFFLOAD_CONNECTION_STATE,
    *PTCP_OFFLOAD_CONNECTION_STATE;

/* ---- events; numbers OURS ---- */

typedef enum _TCP_OFFLOAD_EVENT_TYPE {
    TcpIndicateDisconnect = 1,
    TcpIndicateRetrieve = 2, /* EventSpecificInformation: TCP_UPLOAD_REASON */
    TcpIndicateAbort = 3,
    TcpIndicateSendBacklogChange = 4 /* EventSpecificInformation: the preferred backlog, bytes */
} TCP_OFFLOAD_EVENT_TYPE,
    *PTCP_OFFLOAD_EVENT_TYPE;

/* The first five are mandatory: the target stops and the host stack always uploads. */
typedef enum _TCP_UPLOAD_REASON {
    HardwareFailure = 1,
    InvalidState = 2,
    ReceivedUrgentData = 3,
    TimeoutExpiration = 4,
    UploadRequested = 5,
    HighDropRate = 6,
    HighFragmentation = 7,
    HighOutofOrderPackets = 8,
    LowActivity = 9,
    NoBufferProposting = 10, /* sic */
    SmallIO = 11
} TCP_UPLOAD_REASON,
    *PTCP_UPLOAD_REASON;

/* IndicationCode of NdisMOffloadEventIndicate. */
typedef enum _INDICATE_OFFLOAD_EVENT {
    NeighborReachabilityQuery = 1,
    NeighborReachabilityInDoubt = 2 /* reserved */
} INDICATE_OFFLOAD_EVENT,
    *PINDICATE_OFFLOAD_EVENT;

/* ---- flags; numbers OURS ---- */

/* TCP_OFFLOAD_STATE_CONST.Flags */
#define TCP_FLAG_TIMESTAMP_ENABLED 0x0001
#define TCP_FLAG_SACK_ENABLED 0x0002
#define TCP_FLAG_WINDOW_SCALING_ENABLED 0x0004
/*
 * OURS: only data in returned NBLs counts as received, for acknowledgement and window. Needs the
 * capability bit NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED.
 */
#define TCP_FLAG_ACK_RETURNED 0x8000
/*
 * OURS: the delegated state is followed by a TCP_OFFLOAD_STATE_EXTENSION, at the initiate and at
 * the terminate. Needs its version in NDIS_TCP_CONNECTION_OFFLOAD_EXTENSION.
 */
#define TCP_FLAG_STATE_EXTENDED 0x4000
/*
 * OURS: RFC 3168 was negotiated. Only with TCP_FLAG_STATE_EXTENDED. A forwarded segment then brings
 * the ECN field of its IP header in TcpForwardEcn: a mark is heard wherever the segment went.
 */
#define TCP_FLAG_ECN_ENABLED 0x2000

/* TCP_OFFLOAD_STATE_CACHED.Flags */
#define TCP_FLAG_KEEP_ALIVE_ENABLED 0x0001
#define TCP_FLAG_NAGLING_ENABLED 0x0002
#define TCP_FLAG_KEEP_ALIVE_RESTART 0x0004
#define TCP_FLAG_MAX_RT_RESTART 0x0008
#define TCP_FLAG_UPDATE_RCV_WND 0x0010

/* Flags of a disconnect: exactly one. */
#define TCP_DISCONNECT_ABORTIVE_CLOSE 0x0001
#define TCP_DISCONNECT_GRACEFUL_CLOSE 0x0002

/* OURS: names for documented special values. */
#define TCP_OFFLOAD_TIMER_OFF 0xFFFFFFFFu           /* TimeoutDelta: not running; 0: expires now */
#define TCP_OFFLOAD_BACKLOG_UNSUPPORTED 0xFFFFFFFFu /* SendBacklogSize, ReceiveBacklogSize */
#define TCP_OFFLOAD_MAX_RT_UNLIMITED 0xFFFFFFFFu    /* MaxRT; 0: the limit is a count */

/* ---- block lists: one node of a tree, the two forms are overlays ---- */

typedef struct _NDIS_OFFLOAD_HANDLE {
    PVOID NdisReserved[1];
    PVOID MiniportOffloadContext; /* the cell in which the driver below keeps its context */
} NDIS_OFFLOAD_HANDLE, *PNDIS_OFFLOAD_HANDLE;

#define NDIS_OFFLOAD_BLOCK_LIST_REVISION_1 1 /* OURS */

/* Above NDIS. Header.Type: OFFLOAD_STATE_TYPE; Header.Size: of this structure; states follow. */
typedef struct _NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST {
    NDIS_OBJECT_HEADER Header;
    struct _NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *NextBlock;
    struct _NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *DependentBlockList;
    NDIS_STATUS Status;
    PVOID NdisReserved[3];
    PNDIS_OFFLOAD_HANDLE OffloadHandle; /* NULL: placeholder */
    PVOID ProtocolReserved[2];
    PVOID MiniportReserved[2];
    PVOID ImReserved[2];
    PVOID Scratch[2];
    PVOID SourceHandle;
    NDIS_PORT_NUMBER PortNumber;
    PNET_BUFFER_LIST NetBufferListChain;
} NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, *PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST;

/* Below NDIS. */
typedef struct _NDIS_MINIPORT_OFFLOAD_BLOCK_LIST {
    NDIS_OBJECT_HEADER Header;
    struct _NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *NextBlock;
    struct _NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *DependentBlockList;
    NDIS_STATUS Status;
    PVOID NdisReserved[2];
    PVOID *MiniportOffloadContext; /* NULL: placeholder; *it NULL: new; else existing */
    NDIS_HANDLE NdisOffloadHandle;
    PVOID ProtocolReserved[2];
    PVOID MiniportReserved[2];
    PVOID ImReserved[2];
    PVOID Scratch[2];
    PVOID SourceHandle;
    NDIS_PORT_NUMBER PortNumber;
    PNET_BUFFER_LIST NetBufferListChain;
} NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, *PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST;

/* ---- offload states ---- */

typedef struct _OFFLOAD_STATE_HEADER {
    ULONG Length; /* of the whole structure, this header included */
    ULONG RecognizedOptions;
} OFFLOAD_STATE_HEADER, *POFFLOAD_STATE_HEADER;

/*
 * Where the states are (R-07, OURS): the first at the next multiple of 8 after the block, each
 * other at the next multiple of 8 after its predecessor, in the order const, cached, delegated.
 */
#define NDIS_OFFLOAD_STATE_ALIGN(bytes) (((SIZE_T)(bytes) + 7u) & ~(SIZE_T)7u)
/* Room a state structure of this type takes behind a block. */
#define NDIS_OFFLOAD_STATE_SPACE(type) NDIS_OFFLOAD_STATE_ALIGN(sizeof(type))
/* Of either form of block. */
#define NDIS_OFFLOAD_STATE_FIRST(block)                                                            \
    ((PVOID)((PUCHAR)(block) + NDIS_OFFLOAD_STATE_ALIGN((block)->Header.Size)))
/* state: any state structure whose Length is set. */
#define NDIS_OFFLOAD_STATE_NEXT(state)                                                             \
    ((PVOID)((PUCHAR)(state) + NDIS_OFFLOAD_STATE_ALIGN((state)->Header.Length)))

#define NDIS_OFFLOAD_LINK_ADDRESS_LENGTH 32 /* OURS: a name for the documented array size */

typedef struct NDIS_MS_STRUCT _NEIGHBOR_OFFLOAD_STATE_CONST {
    OFFLOAD_STATE_HEADER Header;
    UCHAR DlSourceAddress[NDIS_OFFLOAD_LINK_ADDRESS_LENGTH]; /* all zero: the adapter's */
    ULONG VlanId : 12;
} NEIGHBOR_OFFLOAD_STATE_CONST, *PNEIGHBOR_OFFLOAD_STATE_CONST;

typedef struct _NEIGHBOR_OFFLOAD_STATE_CACHED {
    OFFLOAD_STATE_HEADER Header;
    UCHAR DlDestinationAddress[NDIS_OFFLOAD_LINK_ADDRESS_LENGTH];
    ULONG HostReachabilityDelta; /* ticks */
} NEIGHBOR_OFFLOAD_STATE_CACHED, *PNEIGHBOR_OFFLOAD_STATE_CACHED;

typedef struct _NEIGHBOR_OFFLOAD_STATE_DELEGATED {
    OFFLOAD_STATE_HEADER Header;
    ULONG NicReachabilityDelta; /* ticks */
} NEIGHBOR_OFFLOAD_STATE_DELEGATED, *PNEIGHBOR_OFFLOAD_STATE_DELEGATED;

/* Addresses: 4 or 16 bytes by the type of the block, network order, valid while the block is. */
typedef struct _PATH_OFFLOAD_STATE_CONST {
    OFFLOAD_STATE_HEADER Header;
    const UCHAR *SourceAddress;
    const UCHAR *DestinationAddress;
} PATH_OFFLOAD_STATE_CONST, *PPATH_OFFLOAD_STATE_CONST;

typedef struct _PATH_OFFLOAD_STATE_CACHED {
    OFFLOAD_STATE_HEADER Header;
    ULONG PathMtu;
} PATH_OFFLOAD_STATE_CACHED, *PPATH_OFFLOAD_STATE_CACHED;

typedef struct _PATH_OFFLOAD_STATE_DELEGATED {
    OFFLOAD_STATE_HEADER Header;
} PATH_OFFLOAD_STATE_DELEGATED, *PPATH_OFFLOAD_STATE_DELEGATED;

typedef struct NDIS_MS_STRUCT _TCP_OFFLOAD_STATE_CONST {
    OFFLOAD_STATE_HEADER Header;
    USHORT Flags;      /* TCP_FLAG_ ..._ENABLED of const state */
    USHORT RemotePort; /* network order (OURS) */
    USHORT LocalPort;  /* network order (OURS) */
    UCHAR SndWindScale : 4;
    UCHAR RcvWindScale : 4;
    USHORT RemoteMss; /* from the peer's SYN */
    ULONG HashValue;
} TCP_OFFLOAD_STATE_CONST, *PTCP_OFFLOAD_STATE_CONST;

typedef struct NDIS_MS_STRUCT _TCP_OFFLOAD_STATE_CACHED {
    OFFLOAD_STATE_HEADER Header;
    USHORT Flags;            /* TCP_FLAG_ ... of cached state */
    ULONG InitialRcvWnd;     /* bytes: the receive buffer */
    ULONG RcvIndicationSize; /* bytes; 0: not specified */
    UCHAR KaProbeCount;
    ULONG KaTimeout;  /* ticks */
    ULONG KaInterval; /* ticks */
    ULONG MaxRT;      /* ticks, or TCP_OFFLOAD_MAX_RT_UNLIMITED, or 0 */
    ULONG FlowLabel : 20;
    UCHAR TtlOrHopLimit;
    UCHAR TosOrTrafficClass;
    UCHAR UserPriority : 3;
} TCP_OFFLOAD_STATE_CACHED, *PTCP_OFFLOAD_STATE_CACHED;

/*
 * Sequence numbers and windows in bytes (windows unscaled), times in ticks. The arms of the two
 * unions: NBL pointers at initiate and terminate, backlog sizes at query.
 */
typedef struct _TCP_OFFLOAD_STATE_DELEGATED {
    OFFLOAD_STATE_HEADER Header;
    TCP_OFFLOAD_CONNECTION_STATE State;
    USHORT Flags; /* reserved */
    ULONG RcvNxt;
    ULONG RcvWnd;
    ULONG SndUna;
    ULONG SndNxt;
    ULONG SndMax;
    ULONG SndWnd;
    ULONG MaxSndWnd;
    ULONG SendWL1;
    ULONG CWnd;
    ULONG SsThresh;
    USHORT SRtt;   /* ticks times 8 */
    USHORT RttVar; /* ticks times 4 */
    ULONG TsRecent;
    ULONG TsRecentAge;
    ULONG TsTime;
    ULONG TotalRT;
    UCHAR DupAckCount;
    UCHAR SndWndProbeCount;
    struct {
        UCHAR ProbeCount;
        ULONG TimeoutDelta;
    } KeepAlive;
    struct {
        UCHAR Count;
        ULONG TimeoutDelta;
    } Retransmit;
    union {
        struct {
            PNET_BUFFER_LIST SendDataHead;
            PNET_BUFFER_LIST SendDataTail;
        };
        ULONG SendBacklogSize;
    };
    union {
        PNET_BUFFER_LIST BufferedData;
        ULONG ReceiveBacklogSize;
    };
    ULONG DWnd; /* not described anywhere: kept as it is */
} TCP_OFFLOAD_STATE_DELEGATED, *PTCP_OFFLOAD_STATE_DELEGATED;

#define TCP_OFFLOAD_EXTENSION_VERSION 1
#define TCP_OFFLOAD_EXTENSION_RANGES 64

/* Flags of an extension. */
#define TCP_EXTENSION_RECOVERING 0x0001  /* the window was reduced for losses below RecoverSeq */
#define TCP_EXTENSION_ECN_ECHO 0x0002    /* ECE goes with every ACK until a CWR comes */
#define TCP_EXTENSION_ECN_CWR 0x0004     /* CWR goes with the next new data */
#define TCP_EXTENSION_ECN_REACTED 0x0008 /* the window was reduced for what is before EcnSeq */
#define TCP_EXTENSION_REORDERING 0x0010  /* the network was seen to reorder */

/*
 * OURS: what a connection knows beyond the documented state, delegated like that, behind it, for
 * two owners that agree (TCP_FLAG_STATE_EXTENDED). Whoever does not know the Version, or finds that
 * the contents do not fit the rest, works with the documented state alone. At a terminate the host
 * stack gives the room (Length), and a Version of zero on return says that nothing was written.
 * Data that arrived out of order is not here: it is forwarded after an initiate, and takes the
 * regular path after a terminate. Sequence numbers and bytes; times in microseconds.
 */
typedef struct _TCP_OFFLOAD_STATE_EXTENSION {
    OFFLOAD_STATE_HEADER Header;
    USHORT Version;
    USHORT Flags;
    ULONG RecoverSeq;
    ULONG EcnSeq;
    ULONG MinRtt; /* the shortest round trip of the last minutes; 0: unknown */
    struct {      /* RFC 9438; the window at the last event, the one before it, the curve */
        ULONG WMax;
        ULONG Prior;
        ULONG Origin; /* 0: the curve starts at the next increase */
        ULONG K;      /* milliseconds */
        ULONG WEst;
        ULONG Rest;
        ULONGLONG T; /* since the start of the curve */
    } Cubic;
    ULONG SackedCount;
    struct { /* what the peer holds out of order: ascending, above SndUna, a gap before each */
        ULONG Start;
        ULONG End;
    } Sacked[TCP_OFFLOAD_EXTENSION_RANGES];
} TCP_OFFLOAD_STATE_EXTENSION, *PTCP_OFFLOAD_STATE_EXTENSION;

/* ---- what a protocol driver implements; the _FN types are for prototypes ---- */

typedef VOID INITIATE_OFFLOAD_COMPLETE_HANDLER_FN(
    NDIS_HANDLE ProtocolBindingContext, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef VOID TERMINATE_OFFLOAD_COMPLETE_HANDLER_FN(
    NDIS_HANDLE ProtocolBindingContext, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef VOID UPDATE_OFFLOAD_COMPLETE_HANDLER_FN(NDIS_HANDLE ProtocolBindingContext,
                                                PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef VOID INVALIDATE_OFFLOAD_COMPLETE_HANDLER_FN(
    NDIS_HANDLE ProtocolBindingContext, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef VOID QUERY_OFFLOAD_COMPLETE_HANDLER_FN(NDIS_HANDLE ProtocolBindingContext,
                                               PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
/* The answer is written into the trailing cached state before returning. */
typedef VOID INDICATE_OFFLOAD_EVENT_HANDLER_FN(NDIS_HANDLE ProtocolBindingContext,
                                               PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList,
                                               ULONG IndicationCode);

typedef VOID TCP_OFFLOAD_SEND_COMPLETE_HANDLER_FN(NDIS_HANDLE ProtocolBindingContext,
                                                  PNET_BUFFER_LIST NetBufferList);
typedef VOID TCP_OFFLOAD_RECEIVE_COMPLETE_HANDLER_FN(NDIS_HANDLE ProtocolBindingContext,
                                                     PNET_BUFFER_LIST NetBufferList);
typedef VOID TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER_FN(NDIS_HANDLE ProtocolBindingContext,
                                                        PNET_BUFFER_LIST NetBufferList);
typedef VOID TCP_OFFLOAD_FORWARD_COMPLETE_HANDLER_FN(NDIS_HANDLE ProtocolBindingContext,
                                                     PNET_BUFFER_LIST NetBufferList);
/* OffloadContext: the driver's own NDIS_OFFLOAD_HANDLE. */
typedef VOID TCP_OFFLOAD_EVENT_HANDLER_FN(PVOID OffloadContext, ULONG EventType,
                                          ULONG EventSpecificInformation);
typedef NDIS_STATUS TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER_FN(PVOID OffloadContext,
                                                            PNET_BUFFER_LIST NetBufferList,
                                                            NDIS_STATUS Status,
                                                            PULONG BytesConsumed);

typedef INITIATE_OFFLOAD_COMPLETE_HANDLER_FN *INITIATE_OFFLOAD_COMPLETE_HANDLER;
typedef TERMINATE_OFFLOAD_COMPLETE_HANDLER_FN *TERMINATE_OFFLOAD_COMPLETE_HANDLER;
typedef UPDATE_OFFLOAD_COMPLETE_HANDLER_FN *UPDATE_OFFLOAD_COMPLETE_HANDLER;
typedef INVALIDATE_OFFLOAD_COMPLETE_HANDLER_FN *INVALIDATE_OFFLOAD_COMPLETE_HANDLER;
typedef QUERY_OFFLOAD_COMPLETE_HANDLER_FN *QUERY_OFFLOAD_COMPLETE_HANDLER;
typedef INDICATE_OFFLOAD_EVENT_HANDLER_FN *INDICATE_OFFLOAD_EVENT_HANDLER;
typedef TCP_OFFLOAD_SEND_COMPLETE_HANDLER_FN *TCP_OFFLOAD_SEND_COMPLETE_HANDLER;
typedef TCP_OFFLOAD_RECEIVE_COMPLETE_HANDLER_FN *TCP_OFFLOAD_RECEIVE_COMPLETE_HANDLER;
typedef TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER_FN *TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER;
typedef TCP_OFFLOAD_FORWARD_COMPLETE_HANDLER_FN *TCP_OFFLOAD_FORWARD_COMPLETE_HANDLER;
typedef TCP_OFFLOAD_EVENT_HANDLER_FN *TCP_OFFLOAD_EVENT_HANDLER;
typedef TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER_FN *TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER;

/* OURS: no revision of these tables is published. */
#define NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1 1
#define NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1 1
#define NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1 1
#define NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1 1
#define NDIS_TCP_OFFLOAD_EVENT_HANDLERS_REVISION_1 1

/* Flags of all these tables: reserved, zero. */
typedef struct _NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS {
    NDIS_OBJECT_HEADER Header;
    ULONG Flags;
    INITIATE_OFFLOAD_COMPLETE_HANDLER InitiateOffloadCompleteHandler;
    TERMINATE_OFFLOAD_COMPLETE_HANDLER TerminateOffloadCompleteHandler;
    UPDATE_OFFLOAD_COMPLETE_HANDLER UpdateOffloadCompleteHandler;
    INVALIDATE_OFFLOAD_COMPLETE_HANDLER InvalidateOffloadCompleteHandler;
    QUERY_OFFLOAD_COMPLETE_HANDLER QueryOffloadCompleteHandler;
    INDICATE_OFFLOAD_EVENT_HANDLER IndicateOffloadEventHandler;
} NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
    *PNDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS;

typedef struct _NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS {
    NDIS_OBJECT_HEADER Header;
    ULONG Flags;
    NDIS_CHIMNEY_OFFLOAD_TYPE OffloadType;
    TCP_OFFLOAD_SEND_COMPLETE_HANDLER TcpOffloadSendCompleteHandler;
    TCP_OFFLOAD_RECEIVE_COMPLETE_HANDLER TcpOffloadReceiveCompleteHandler;
    TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER TcpOffloadDisconnectCompleteHandler;
    TCP_OFFLOAD_FORWARD_COMPLETE_HANDLER TcpOffloadForwardCompleteHandler;
    TCP_OFFLOAD_EVENT_HANDLER TcpOffloadEventHandler;
    TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER TcpOffloadReceiveIndicateHandler;
} NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS,
    *PNDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS;

/* ---- what a miniport driver implements ---- */

/* The five state operations store the root, return, and complete later. */
typedef VOID W_INITIATE_OFFLOAD_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                           PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef VOID W_TERMINATE_OFFLOAD_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                            PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef VOID W_UPDATE_OFFLOAD_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                         PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef VOID W_INVALIDATE_OFFLOAD_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                             PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef VOID W_QUERY_OFFLOAD_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);

/* The four data calls return NDIS_STATUS_PENDING only. */
typedef NDIS_STATUS W_TCP_OFFLOAD_SEND_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                                  PVOID MiniportOffloadContext,
                                                  PNET_BUFFER_LIST NetBufferList);
typedef NDIS_STATUS W_TCP_OFFLOAD_RECEIVE_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                                     PVOID MiniportOffloadContext,
                                                     PNET_BUFFER_LIST NetBufferList);
typedef NDIS_STATUS W_TCP_OFFLOAD_DISCONNECT_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                                        PVOID MiniportOffloadContext,
                                                        PNET_BUFFER_LIST NetBufferList,
                                                        ULONG Flags);
typedef NDIS_STATUS W_TCP_OFFLOAD_FORWARD_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                                     PVOID MiniportOffloadContext,
                                                     PNET_BUFFER_LIST NetBufferList);
/* Synchronous, returns NDIS_STATUS_SUCCESS only. */
typedef NDIS_STATUS W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN(NDIS_HANDLE MiniportAdapterContext,
                                                            PNET_BUFFER_LIST NetBufferList);

typedef W_INITIATE_OFFLOAD_HANDLER_FN *W_INITIATE_OFFLOAD_HANDLER;
typedef W_TERMINATE_OFFLOAD_HANDLER_FN *W_TERMINATE_OFFLOAD_HANDLER;
typedef W_UPDATE_OFFLOAD_HANDLER_FN *W_UPDATE_OFFLOAD_HANDLER;
typedef W_INVALIDATE_OFFLOAD_HANDLER_FN *W_INVALIDATE_OFFLOAD_HANDLER;
typedef W_QUERY_OFFLOAD_HANDLER_FN *W_QUERY_OFFLOAD_HANDLER;
typedef W_TCP_OFFLOAD_SEND_HANDLER_FN *W_TCP_OFFLOAD_SEND_HANDLER;
typedef W_TCP_OFFLOAD_RECEIVE_HANDLER_FN *W_TCP_OFFLOAD_RECEIVE_HANDLER;
typedef W_TCP_OFFLOAD_DISCONNECT_HANDLER_FN *W_TCP_OFFLOAD_DISCONNECT_HANDLER;
typedef W_TCP_OFFLOAD_FORWARD_HANDLER_FN *W_TCP_OFFLOAD_FORWARD_HANDLER;
typedef W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN *W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER;

typedef struct _NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS {
    NDIS_OBJECT_HEADER Header;
    ULONG Flags;
    W_INITIATE_OFFLOAD_HANDLER InitiateOffloadHandler;
    W_TERMINATE_OFFLOAD_HANDLER TerminateOffloadHandler;
    W_UPDATE_OFFLOAD_HANDLER UpdateOffloadHandler;
    W_INVALIDATE_OFFLOAD_HANDLER InvalidateOffloadHandler;
    W_QUERY_OFFLOAD_HANDLER QueryOffloadHandler;
} NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
    *PNDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS;

typedef struct _NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS {
    NDIS_OBJECT_HEADER Header;
    ULONG Flags;
    NDIS_CHIMNEY_OFFLOAD_TYPE OffloadType;
    W_TCP_OFFLOAD_SEND_HANDLER TcpOffloadSendHandler;
    W_TCP_OFFLOAD_RECEIVE_HANDLER TcpOffloadReceiveHandler;
    W_TCP_OFFLOAD_DISCONNECT_HANDLER TcpOffloadDisconnectHandler;
    W_TCP_OFFLOAD_FORWARD_HANDLER TcpOffloadForwardHandler;
    W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER TcpOffloadReceiveReturnHandler;
} NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS,
    *PNDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS;

/* ---- what NDIS gives a miniport driver: the way up ---- */

typedef VOID NDIS_TCP_OFFLOAD_EVENT_INDICATE_FN(NDIS_HANDLE NdisOffloadHandle, ULONG EventType,
                                                ULONG EventSpecificInformation);
typedef NDIS_STATUS NDIS_TCP_OFFLOAD_RECEIVE_INDICATE_FN(NDIS_HANDLE NdisOffloadHandle,
                                                         PNET_BUFFER_LIST NetBufferList,
                                                         NDIS_STATUS Status, PULONG BytesConsumed);
typedef VOID NDIS_TCP_OFFLOAD_SEND_COMPLETE_FN(NDIS_HANDLE NdisMiniportHandle,
                                               PNET_BUFFER_LIST NetBufferList);
typedef VOID NDIS_TCP_OFFLOAD_RECEIVE_COMPLETE_FN(NDIS_HANDLE NdisMiniportHandle,
                                                  PNET_BUFFER_LIST NetBufferList);
typedef VOID NDIS_TCP_OFFLOAD_DISCONNECT_COMPLETE_FN(NDIS_HANDLE NdisMiniportHandle,
                                                     PNET_BUFFER_LIST NetBufferList);
typedef VOID NDIS_TCP_OFFLOAD_FORWARD_COMPLETE_FN(NDIS_HANDLE NdisMiniportHandle,
                                                  PNET_BUFFER_LIST NetBufferList);

typedef NDIS_TCP_OFFLOAD_EVENT_INDICATE_FN *NDIS_TCP_OFFLOAD_EVENT_INDICATE;
typedef NDIS_TCP_OFFLOAD_RECEIVE_INDICATE_FN *NDIS_TCP_OFFLOAD_RECEIVE_INDICATE;
typedef NDIS_TCP_OFFLOAD_SEND_COMPLETE_FN *NDIS_TCP_OFFLOAD_SEND_COMPLETE;
typedef NDIS_TCP_OFFLOAD_RECEIVE_COMPLETE_FN *NDIS_TCP_OFFLOAD_RECEIVE_COMPLETE;
typedef NDIS_TCP_OFFLOAD_DISCONNECT_COMPLETE_FN *NDIS_TCP_OFFLOAD_DISCONNECT_COMPLETE;
typedef NDIS_TCP_OFFLOAD_FORWARD_COMPLETE_FN *NDIS_TCP_OFFLOAD_FORWARD_COMPLETE;

/* The common beginning of the tables of all chimney types. */
typedef struct _NDIS_OFFLOAD_EVENT_HANDLERS {
    NDIS_OBJECT_HEADER Header;
} NDIS_OFFLOAD_EVENT_HANDLERS, *PNDIS_OFFLOAD_EVENT_HANDLERS;

typedef struct _NDIS_TCP_OFFLOAD_EVENT_HANDLERS {
    NDIS_OBJECT_HEADER Header;
    NDIS_TCP_OFFLOAD_EVENT_INDICATE NdisTcpOffloadEventHandler;
    NDIS_TCP_OFFLOAD_RECEIVE_INDICATE NdisTcpOffloadReceiveHandler;
    NDIS_TCP_OFFLOAD_SEND_COMPLETE NdisTcpOffloadSendComplete;
    NDIS_TCP_OFFLOAD_RECEIVE_COMPLETE NdisTcpOffloadReceiveComplete;
    NDIS_TCP_OFFLOAD_DISCONNECT_COMPLETE NdisTcpOffloadDisconnectComplete;
    NDIS_TCP_OFFLOAD_FORWARD_COMPLETE NdisTcpOffloadForwardComplete;
} NDIS_TCP_OFFLOAD_EVENT_HANDLERS, *PNDIS_TCP_OFFLOAD_EVENT_HANDLERS;

/* ---- calls of protocol and intermediate drivers ---- */

/* State operations. Every failure comes through the completion and the Status of each block. */
NDIS_API VOID NdisInitiateOffload(NDIS_HANDLE NdisBindingHandle,
                                  PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
NDIS_API VOID NdisTerminateOffload(NDIS_HANDLE NdisBindingHandle,
                                   PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
NDIS_API VOID NdisUpdateOffload(NDIS_HANDLE NdisBindingHandle,
                                PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
NDIS_API VOID NdisInvalidateOffload(NDIS_HANDLE NdisBindingHandle,
                                    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
NDIS_API VOID NdisQueryOffloadState(NDIS_HANDLE NdisBindingHandle,
                                    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
#define NdisQueryOffload NdisQueryOffloadState

/* Data. Always NDIS_STATUS_PENDING; each NBL has its own Status on completion. */
NDIS_API NDIS_STATUS NdisOffloadTcpSend(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle,
                                        PNET_BUFFER_LIST NetBufferList);
NDIS_API NDIS_STATUS NdisOffloadTcpReceive(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle,
                                           PNET_BUFFER_LIST NetBufferList);
NDIS_API NDIS_STATUS NdisOffloadTcpDisconnect(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle,
                                              PNET_BUFFER_LIST NetBufferList, ULONG Flags);
NDIS_API NDIS_STATUS NdisOffloadTcpForward(PNDIS_OFFLOAD_HANDLE NdisOffloadHandle,
                                           PNET_BUFFER_LIST NetBufferList);
NDIS_API VOID NdisOffloadTcpReceiveReturn(NDIS_HANDLE NdisBindingHandle,
                                          PNET_BUFFER_LIST NetBufferList);

/* ---- calls of miniport and intermediate drivers ---- */

/* From MiniportInitializeEx, once. The table stays NDIS's: copy the entry points. */
NDIS_API NDIS_STATUS NdisMGetOffloadHandlers(NDIS_HANDLE NdisMiniportHandle,
                                             NDIS_CHIMNEY_OFFLOAD_TYPE ChimneyOffloadType,
                                             PNDIS_OFFLOAD_EVENT_HANDLERS *OffloadHandlers);

NDIS_API VOID NdisMInitiateOffloadComplete(NDIS_HANDLE NdisMiniportHandle,
                                           PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
NDIS_API VOID NdisMTerminateOffloadComplete(NDIS_HANDLE NdisMiniportHandle,
                                            PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
NDIS_API VOID NdisMUpdateOffloadComplete(NDIS_HANDLE NdisMiniportHandle,
                                         PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
NDIS_API VOID NdisMInvalidateOffloadComplete(NDIS_HANDLE NdisMiniportHandle,
                                             PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
NDIS_API VOID NdisMQueryOffloadStateComplete(NDIS_HANDLE NdisMiniportHandle,
                                             PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);
NDIS_API VOID NdisMOffloadEventIndicate(NDIS_HANDLE NdisMiniportHandle,
                                        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList,
                                        ULONG IndicationCode);

NDIS_STATIC_ASSERT(sizeof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) == 0x98, "protocol block");
NDIS_STATIC_ASSERT(sizeof(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) == 0x98, "miniport block");
NDIS_STATIC_ASSERT(sizeof(NDIS_OFFLOAD_HANDLE) == 0x10, "NDIS_OFFLOAD_HANDLE");
NDIS_STATIC_ASSERT(sizeof(TCP_OFFLOAD_STATE_CONST) == 0x18, "TCP const state");
NDIS_STATIC_ASSERT(sizeof(TCP_OFFLOAD_STATE_CACHED) == 0x2C, "TCP cached state");
NDIS_STATIC_ASSERT(sizeof(TCP_OFFLOAD_STATE_DELEGATED) == 0x80, "TCP delegated state");

#ifdef __cplusplus
}
#endif

#endif
