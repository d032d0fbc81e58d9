/*
 * The network driver interface: buffers, driver registration, bindings, adapters, requests,
 * indications and services. Member names, parameter names and numbers are the documented ones;
 * values and layouts marked OURS have no public source and are defined by this project.
 */
#ifndef NDIS_NDIS_H
#define NDIS_NDIS_H

#include "ntddndis.h"
#include "ntdef.h"
#include "wdm.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What NdisGetVersion returns is the last of these. */
#define NDIS_RUNTIME_VERSION_60 ((6u << 16) | 0u)
#define NDIS_RUNTIME_VERSION_61 ((6u << 16) | 1u)
#define NDIS_RUNTIME_VERSION_620 ((6u << 16) | 20u)

/* What a driver registers with, unless it says otherwise. */
#ifndef NDIS_PROTOCOL_MAJOR_VERSION
#define NDIS_PROTOCOL_MAJOR_VERSION 6
#define NDIS_PROTOCOL_MINOR_VERSION 20
#endif
#ifndef NDIS_MINIPORT_MAJOR_VERSION
#define NDIS_MINIPORT_MAJOR_VERSION 6
#define NDIS_MINIPORT_MINOR_VERSION 20
#endif

#define NDIS_DEFAULT_PORT_NUMBER ((NDIS_PORT_NUMBER)0)

/* ======== buffers ======== */

/* Slots of NetBufferListInfo. Some have several names: the regular path and the chimney share 0, 2.
 */
typedef enum _NDIS_NET_BUFFER_LIST_INFO {
    TcpIpChecksumNetBufferListInfo = 0,
    TcpOffloadBytesTransferred = 0, /* chimney completions: bytes, in the slot itself */
    IPsecOffloadV1NetBufferListInfo = 1,
    IPsecOffloadV2NetBufferListInfo = 1,
    TcpLargeSendNetBufferListInfo = 2,
    TcpReceiveNoPush = 2, /* chimney receives: BOOLEAN, in the slot itself */
    ClassificationHandleNetBufferListInfo = 3,
    Ieee8021QNetBufferListInfo = 4,
    NetBufferListCancelId = 5,
    MediaSpecificInformation = 6,
    NetBufferListFrameType = 7,
    NetBufferListProtocolId = 7,
    NetBufferListHashValue = 8,
    NetBufferListHashInfo = 9,
    WfpNetBufferListInfo = 10,
    IPsecOffloadV2TunnelNetBufferListInfo = 11,
    IPsecOffloadV2HeaderNetBufferListInfo = 12,
    NetBufferListCorrelationId = 13,
    NetBufferListFilteringInfo = 14,
    MediaSpecificInformationEx = 15,
    NblOriginalInterfaceIfIndex = 16,
    NblReAuthWfpFlowContext = 16,
    TcpReceiveBytesTransferred = 17, /* chimney receives: bytes already there, in the slot itself */
    TcpForwardEcn = 17, /* OURS, chimney forwards: the ECN field of the IP header, in the slot */
    MaxNetBufferListInfo = 19 /* 18 is NDIS's own; fixed for our version */
} NDIS_NET_BUFFER_LIST_INFO,
    *PNDIS_NET_BUFFER_LIST_INFO;

typedef struct _NET_BUFFER_SHARED_MEMORY {
    struct _NET_BUFFER_SHARED_MEMORY *NextSharedMemorySegment;
    ULONG SharedMemoryFlags;
    NDIS_HANDLE SharedMemoryHandle;
    ULONG SharedMemoryOffset;
    ULONG SharedMemoryLength;
} NET_BUFFER_SHARED_MEMORY, *PNET_BUFFER_SHARED_MEMORY;

struct _SCATTER_GATHER_LIST;
typedef struct _NET_BUFFER NET_BUFFER, *PNET_BUFFER;
typedef struct _NET_BUFFER_LIST NET_BUFFER_LIST, *PNET_BUFFER_LIST;
typedef struct _NET_BUFFER_LIST_CONTEXT NET_BUFFER_LIST_CONTEXT, *PNET_BUFFER_LIST_CONTEXT;

struct _NET_BUFFER {
    union {
        struct {
            PNET_BUFFER Next;
            PMDL CurrentMdl;
            ULONG CurrentMdlOffset;
            union {
                ULONG DataLength;
                SIZE_T stDataLength;
            };
            PMDL MdlChain;
            ULONG DataOffset;
        };
        SLIST_HEADER Link;
    };
    USHORT ChecksumBias;
    USHORT Reserved;
    NDIS_HANDLE NdisPoolHandle;
    PVOID NdisReserved[2] __attribute__((aligned(16)));
    PVOID ProtocolReserved[6] __attribute__((aligned(16)));
    PVOID MiniportReserved[4] __attribute__((aligned(16)));
    NDIS_PHYSICAL_ADDRESS DataPhysicalAddress;
    union {
        PNET_BUFFER_SHARED_MEMORY SharedMemoryInfo;
        struct _SCATTER_GATHER_LIST *ScatterGatherList;
    };
};

struct _NET_BUFFER_LIST_CONTEXT {
    PNET_BUFFER_LIST_CONTEXT Next;
    USHORT Size;
    USHORT Offset;
    __extension__ UCHAR ContextData[] __attribute__((aligned(16)));
};

struct _NET_BUFFER_LIST {
    union {
        struct {
            PNET_BUFFER_LIST Next;
            PNET_BUFFER FirstNetBuffer;
        };
        SLIST_HEADER Link;
    };
    PNET_BUFFER_LIST_CONTEXT Context;
    PNET_BUFFER_LIST ParentNetBufferList;
    NDIS_HANDLE NdisPoolHandle;
    PVOID NdisReserved[2] __attribute__((aligned(16)));
    PVOID ProtocolReserved[4] __attribute__((aligned(16)));
    PVOID MiniportReserved[2] __attribute__((aligned(16)));
    PVOID Scratch;
    NDIS_HANDLE SourceHandle;
    ULONG NblFlags;
    LONG ChildRefCount;
    ULONG Flags;
    NDIS_STATUS Status;
    PVOID NetBufferListInfo[MaxNetBufferListInfo];
};

#define NET_BUFFER_NEXT_NB(_NB) ((_NB)->Next)
#define NET_BUFFER_FIRST_MDL(_NB) ((_NB)->MdlChain)
#define NET_BUFFER_DATA_LENGTH(_NB) ((_NB)->DataLength)
#define NET_BUFFER_DATA_OFFSET(_NB) ((_NB)->DataOffset)
#define NET_BUFFER_CURRENT_MDL(_NB) ((_NB)->CurrentMdl)
#define NET_BUFFER_CURRENT_MDL_OFFSET(_NB) ((_NB)->CurrentMdlOffset)
#define NET_BUFFER_PROTOCOL_RESERVED(_NB) ((_NB)->ProtocolReserved)
#define NET_BUFFER_MINIPORT_RESERVED(_NB) ((_NB)->MiniportReserved)
#define NET_BUFFER_CHECKSUM_BIAS(_NB) ((_NB)->ChecksumBias)

#define NET_BUFFER_LIST_NEXT_NBL(_NBL) ((_NBL)->Next)
#define NET_BUFFER_LIST_FIRST_NB(_NBL) ((_NBL)->FirstNetBuffer)
#define NET_BUFFER_LIST_FLAGS(_NBL) ((_NBL)->Flags)
#define NET_BUFFER_LIST_NBL_FLAGS(_NBL) ((_NBL)->NblFlags)
#define NET_BUFFER_LIST_PROTOCOL_RESERVED(_NBL) ((_NBL)->ProtocolReserved)
#define NET_BUFFER_LIST_MINIPORT_RESERVED(_NBL) ((_NBL)->MiniportReserved)
#define NET_BUFFER_LIST_CONTEXT_DATA_START(_NBL)                                                   \
    ((PVOID)((_NBL)->Context->ContextData + (_NBL)->Context->Offset))
#define NET_BUFFER_LIST_CONTEXT_DATA_SIZE(_NBL) ((_NBL)->Context->Size)
#define NET_BUFFER_LIST_INFO(_NBL, _Id) ((_NBL)->NetBufferListInfo[(_Id)])
#define NET_BUFFER_LIST_STATUS(_NBL) ((_NBL)->Status)

/* ---- regular path: values kept in the slot itself ---- */

/* Numbers OURS. */
#define NDIS_TCP_LARGE_SEND_OFFLOAD_V1_TYPE 0
#define NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE 1
#define NDIS_TCP_LARGE_SEND_OFFLOAD_IPv4 0
#define NDIS_TCP_LARGE_SEND_OFFLOAD_IPv6 1

/* MSS 0: an ordinary frame. On receive (OURS): the segment size of a superframe. */
typedef union _NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO {
    struct NDIS_MS_STRUCT {
        ULONG MSS : 20;
        ULONG TcpHeaderOffset : 10; /* bytes from the start of the frame */
        ULONG Type : 1;
        ULONG IPVersion : 1;
    } LsoV2Transmit;
    PVOID Value;
} NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO,
    *PNDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO;

typedef union _NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO {
    struct NDIS_MS_STRUCT {
        ULONG IsIPv4 : 1;
        ULONG IsIPv6 : 1;
        ULONG TcpChecksum : 1; /* fill in; the field holds the pseudo-header sum */
        ULONG UdpChecksum : 1;
        ULONG IpHeaderChecksum : 1;
        ULONG Reserved : 11;
        ULONG TcpHeaderOffset : 10; /* bytes from the start of the frame */
    } Transmit;
    struct NDIS_MS_STRUCT {
        ULONG TcpChecksumFailed : 1;
        ULONG UdpChecksumFailed : 1;
        ULONG IpChecksumFailed : 1;
        ULONG TcpChecksumSucceeded : 1;
        ULONG UdpChecksumSucceeded : 1;
        ULONG IpChecksumSucceeded : 1;
        ULONG Loopback : 1;
        ULONG TcpChecksumPartial : 1; /* OURS: the field holds the pseudo-header sum */
    } Receive;
    PVOID Value;
} NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO, *PNDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO;

/* ---- pools ---- */

#define NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1 1
#define NET_BUFFER_POOL_PARAMETERS_REVISION_1 1
#define NDIS_PROTOCOL_ID_DEFAULT 0x00
#define NDIS_PROTOCOL_ID_TCP_IP 0x02
#define MEMORY_ALLOCATION_ALIGNMENT 16

typedef struct _NET_BUFFER_LIST_POOL_PARAMETERS {
    NDIS_OBJECT_HEADER Header;
    UCHAR ProtocolId;
    BOOLEAN fAllocateNetBuffer; /* one NET_BUFFER comes with each NBL */
    USHORT ContextSize;
    ULONG PoolTag;
    ULONG DataSize;
    ULONG Flags;
} NET_BUFFER_LIST_POOL_PARAMETERS, *PNET_BUFFER_LIST_POOL_PARAMETERS;

typedef struct _NET_BUFFER_POOL_PARAMETERS {
    NDIS_OBJECT_HEADER Header;
    ULONG PoolTag;
    ULONG DataSize;
} NET_BUFFER_POOL_PARAMETERS, *PNET_BUFFER_POOL_PARAMETERS;

typedef PMDL NET_BUFFER_ALLOCATE_MDL(PULONG BufferSize);
typedef VOID NET_BUFFER_FREE_MDL(PMDL Mdl);

NDIS_API NDIS_HANDLE NdisAllocateNetBufferListPool(
    NDIS_HANDLE NdisHandle, NET_BUFFER_LIST_POOL_PARAMETERS const *Parameters);
NDIS_API VOID NdisFreeNetBufferListPool(NDIS_HANDLE PoolHandle);
NDIS_API NDIS_HANDLE NdisAllocateNetBufferPool(NDIS_HANDLE NdisHandle,
                                               NET_BUFFER_POOL_PARAMETERS const *Parameters);
NDIS_API VOID NdisFreeNetBufferPool(NDIS_HANDLE PoolHandle);

NDIS_API NET_BUFFER_LIST *NdisAllocateNetBufferList(NDIS_HANDLE PoolHandle, USHORT ContextSize,
                                                    USHORT ContextBackFill);
NDIS_API NET_BUFFER_LIST *NdisAllocateNetBufferAndNetBufferList(NDIS_HANDLE PoolHandle,
                                                                USHORT ContextSize,
                                                                USHORT ContextBackFill,
                                                                MDL *MdlChain, ULONG DataOffset,
                                                                SIZE_T DataLength);
/* Also frees the NET_BUFFER that came with it; not the MDLs. */
NDIS_API VOID NdisFreeNetBufferList(NET_BUFFER_LIST *NetBufferList);
NDIS_API NET_BUFFER *NdisAllocateNetBuffer(NDIS_HANDLE PoolHandle, MDL *MdlChain, ULONG DataOffset,
                                           SIZE_T DataLength);
/* From a pool with DataSize: a buffer with an MDL over that many bytes, all of them unused. */
NDIS_API NET_BUFFER *NdisAllocateNetBufferMdlAndData(NDIS_HANDLE PoolHandle);
NDIS_API VOID NdisFreeNetBuffer(NET_BUFFER *NetBuffer);

#define NDIS_CLONE_FLAGS_RESERVED 0x00000001          /* OURS */
#define NDIS_CLONE_FLAGS_USE_ORIGINAL_MDLS 0x00000002 /* OURS */

/*
 * The data are the original's, which must not be completed before its clones are freed; whoever
 * clones counts them (ChildRefCount) and says whose they are (ParentNetBufferList). Info is not
 * copied. A pool that is NULL is NDIS's own. Freed with the flags it was allocated with.
 */
NDIS_API NET_BUFFER_LIST *NdisAllocateCloneNetBufferList(NET_BUFFER_LIST *OriginalNetBufferList,
                                                         NDIS_HANDLE NetBufferListPoolHandle,
                                                         NDIS_HANDLE NetBufferPoolHandle,
                                                         ULONG AllocateCloneFlags);
NDIS_API VOID NdisFreeCloneNetBufferList(NET_BUFFER_LIST *CloneNetBufferList, ULONG FreeCloneFlags);

/* A stack of contexts: freed in reverse order, each with the size it was allocated with. */
NDIS_API NDIS_STATUS NdisAllocateNetBufferListContext(NET_BUFFER_LIST *NetBufferList,
                                                      USHORT ContextSize, USHORT ContextBackFill,
                                                      ULONG PoolTag);
NDIS_API VOID NdisFreeNetBufferListContext(NET_BUFFER_LIST *NetBufferList, USHORT ContextSize);

NDIS_API NDIS_STATUS NdisRetreatNetBufferDataStart(NET_BUFFER *NetBuffer, ULONG DataOffsetDelta,
                                                   ULONG DataBackFill,
                                                   NET_BUFFER_ALLOCATE_MDL *AllocateMdlHandler);
NDIS_API VOID NdisAdvanceNetBufferDataStart(NET_BUFFER *NetBuffer, ULONG DataOffsetDelta,
                                            BOOLEAN FreeMdl, NET_BUFFER_FREE_MDL *FreeMdlHandler);
/* All buffers of the list, or none of them. */
NDIS_API NDIS_STATUS NdisRetreatNetBufferListDataStart(NET_BUFFER_LIST *NetBufferList,
                                                       ULONG DataOffsetDelta, ULONG DataBackFill,
                                                       NET_BUFFER_ALLOCATE_MDL *AllocateMdlHandler,
                                                       NET_BUFFER_FREE_MDL *FreeMdlHandler);
NDIS_API VOID NdisAdvanceNetBufferListDataStart(NET_BUFFER_LIST *NetBufferList,
                                                ULONG DataOffsetDelta, BOOLEAN FreeMdl,
                                                NET_BUFFER_FREE_MDL *FreeMdlMdlHandler);
NDIS_API VOID NdisAdjustNetBufferCurrentMdl(NET_BUFFER *NetBuffer);
NDIS_API NDIS_STATUS NdisCopyFromNetBufferToNetBuffer(NET_BUFFER *Destination,
                                                      ULONG DestinationOffset, ULONG BytesToCopy,
                                                      NET_BUFFER const *Source, ULONG SourceOffset,
                                                      ULONG *BytesCopied);
NDIS_API PVOID NdisGetDataBuffer(NET_BUFFER *NetBuffer, ULONG BytesNeeded, PVOID Storage,
                                 ULONG AlignMultiple, ULONG AlignOffset);
/* Copies what concerns the frame (checksum, segment size, tag, hash), not what an owner keeps. */
NDIS_API VOID NdisCopySendNetBufferListInfo(NET_BUFFER_LIST *DestNetBufferList,
                                            NET_BUFFER_LIST const *SrcNetBufferList);
NDIS_API VOID NdisCopyReceiveNetBufferListInfo(NET_BUFFER_LIST *DestNetBufferList,
                                               NET_BUFFER_LIST const *SrcNetBufferList);

NDIS_API MDL *NdisAllocateMdl(NDIS_HANDLE NdisHandle, PVOID VirtualAddress, ULONG Length);
NDIS_API VOID NdisFreeMdl(MDL *Mdl);

/* ======== indications and events ======== */

#define NDIS_STATUS_INDICATION_REVISION_1 1

typedef struct _NDIS_STATUS_INDICATION {
    NDIS_OBJECT_HEADER Header;
    NDIS_HANDLE SourceHandle;
    NDIS_PORT_NUMBER PortNumber;
    NDIS_STATUS StatusCode;
    ULONG Flags;
    NDIS_HANDLE DestinationHandle;
    PVOID RequestId;
    PVOID StatusBuffer; /* valid during the call only */
    ULONG StatusBufferSize;
    GUID Guid;
    PVOID NdisReserved[4];
} NDIS_STATUS_INDICATION, *PNDIS_STATUS_INDICATION;

typedef enum _NET_PNP_EVENT_CODE {
    NetEventSetPower = 0,
    NetEventQueryPower = 1,
    NetEventQueryRemoveDevice = 2,
    NetEventCancelRemoveDevice = 3,
    NetEventReconfigure = 4,
    NetEventBindList = 5,
    NetEventBindsComplete = 6,
    NetEventPnPCapabilities = 7,
    NetEventPause = 8,
    NetEventRestart = 9,
    NetEventPortActivation = 10,
    NetEventPortDeactivation = 11,
    NetEventIMReEnableDevice = 12,
    NetEventMaximum = 13
} NET_PNP_EVENT_CODE,
    *PNET_PNP_EVENT_CODE;

typedef struct _NET_PNP_EVENT {
    NET_PNP_EVENT_CODE NetEvent;
    PVOID Buffer;
    ULONG BufferLength;
    ULONG_PTR NdisReserved[4];
    ULONG_PTR TransportReserved[4];
    ULONG_PTR TdiReserved[4];
    ULONG_PTR TdiClientReserved[4];
} NET_PNP_EVENT, *PNET_PNP_EVENT;

#define NET_PNP_EVENT_NOTIFICATION_REVISION_1 1

typedef struct _NET_PNP_EVENT_NOTIFICATION {
    NDIS_OBJECT_HEADER Header;
    NDIS_PORT_NUMBER PortNumber;
    NET_PNP_EVENT NetPnPEvent;
    ULONG Flags;
} NET_PNP_EVENT_NOTIFICATION, *PNET_PNP_EVENT_NOTIFICATION;

typedef enum _NDIS_DEVICE_PNP_EVENT {
    NdisDevicePnPEventSurpriseRemoved = 0,
    NdisDevicePnPEventPowerProfileChanged = 1
} NDIS_DEVICE_PNP_EVENT,
    *PNDIS_DEVICE_PNP_EVENT;

/* Layout OURS. */
typedef struct _NET_DEVICE_PNP_EVENT {
    NDIS_OBJECT_HEADER Header;
    NDIS_PORT_NUMBER PortNumber;
    NDIS_DEVICE_PNP_EVENT DevicePnPEvent;
    PVOID InformationBuffer;
    ULONG InformationBufferLength;
} NET_DEVICE_PNP_EVENT, *PNET_DEVICE_PNP_EVENT;

#define NET_DEVICE_PNP_EVENT_REVISION_1 1

/* ======== options of both kinds of driver ======== */

/* One of the chimney characteristics, told apart by Header.Type and Size. */
typedef struct _NDIS_DRIVER_OPTIONAL_HANDLERS {
    NDIS_OBJECT_HEADER Header;
} NDIS_DRIVER_OPTIONAL_HANDLERS, *PNDIS_DRIVER_OPTIONAL_HANDLERS;

typedef NDIS_STATUS SET_OPTIONS(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext);
typedef SET_OPTIONS *SET_OPTIONS_HANDLER;

NDIS_API NDIS_STATUS NdisSetOptionalHandlers(NDIS_HANDLE NdisHandle,
                                             PNDIS_DRIVER_OPTIONAL_HANDLERS OptionalHandlers);

/* ======== protocol drivers ======== */

#define NDIS_MAX_PHYS_ADDRESS_LENGTH 32
#define NDIS_BIND_PARAMETERS_REVISION_1 1
#define NDIS_OPEN_PARAMETERS_REVISION_1 1

struct _NDIS_OFFLOAD; /* task offload: not part of this system */

/* Layout OURS: the documented members that drivers here read. Valid during the bind only. */
typedef struct _NDIS_BIND_PARAMETERS {
    NDIS_OBJECT_HEADER Header;
    PNDIS_STRING ProtocolSection; /* may be NULL; an IM names its virtual adapter after it */
    PNDIS_STRING AdapterName;
    PDEVICE_OBJECT PhysicalDeviceObject;
    NDIS_MEDIUM MediaType;
    ULONG MtuSize;
    ULONG64 MaxXmitLinkSpeed; /* bits per second */
    ULONG64 XmitLinkSpeed;
    ULONG64 MaxRcvLinkSpeed;
    ULONG64 RcvLinkSpeed;
    NDIS_MEDIA_CONNECT_STATE MediaConnectState;
    ULONG LookaheadSize;
    ULONG SupportedPacketFilters;
    ULONG MacOptions;
    USHORT MacAddressLength;
    UCHAR CurrentMacAddress[NDIS_MAX_PHYS_ADDRESS_LENGTH];
    ULONG BoundIfIndex;
    ULONG DataBackFillSize;
    ULONG ContextBackFillSize;
    struct _NDIS_OFFLOAD *DefaultOffloadConfiguration;
    PNDIS_TCP_CONNECTION_OFFLOAD TcpConnectionOffloadCapabilities; /* NULL: no chimney */
    PNDIS_STRING BoundAdapterName;
} NDIS_BIND_PARAMETERS, *PNDIS_BIND_PARAMETERS;

typedef USHORT NET_FRAME_TYPE, *PNET_FRAME_TYPE;

/* Layout OURS. */
typedef struct _NDIS_OPEN_PARAMETERS {
    NDIS_OBJECT_HEADER Header;
    PNDIS_STRING AdapterName;
    PNDIS_MEDIUM MediumArray;
    UINT MediumArraySize;
    PUINT SelectedMediumIndex;
    PNET_FRAME_TYPE FrameTypeArray; /* network order; NULL: all */
    UINT FrameTypeArraySize;
} NDIS_OPEN_PARAMETERS, *PNDIS_OPEN_PARAMETERS;

typedef NDIS_STATUS PROTOCOL_BIND_ADAPTER_EX(NDIS_HANDLE ProtocolDriverContext,
                                             NDIS_HANDLE BindContext,
                                             PNDIS_BIND_PARAMETERS BindParameters);
typedef NDIS_STATUS PROTOCOL_UNBIND_ADAPTER_EX(NDIS_HANDLE UnbindContext,
                                               NDIS_HANDLE ProtocolBindingContext);
typedef VOID PROTOCOL_OPEN_ADAPTER_COMPLETE_EX(NDIS_HANDLE ProtocolBindingContext,
                                               NDIS_STATUS Status);
typedef VOID PROTOCOL_CLOSE_ADAPTER_COMPLETE_EX(NDIS_HANDLE ProtocolBindingContext);
typedef NDIS_STATUS PROTOCOL_NET_PNP_EVENT(NDIS_HANDLE ProtocolBindingContext,
                                           PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification);
typedef NDIS_STATUS PROTOCOL_UNINSTALL(VOID);
typedef VOID PROTOCOL_OID_REQUEST_COMPLETE(NDIS_HANDLE ProtocolBindingContext,
                                           PNDIS_OID_REQUEST OidRequest, NDIS_STATUS Status);
typedef VOID PROTOCOL_STATUS_EX(NDIS_HANDLE ProtocolBindingContext,
                                PNDIS_STATUS_INDICATION StatusIndication);
typedef VOID PROTOCOL_RECEIVE_NET_BUFFER_LISTS(NDIS_HANDLE ProtocolBindingContext,
                                               PNET_BUFFER_LIST NetBufferLists,
                                               NDIS_PORT_NUMBER PortNumber,
                                               ULONG NumberOfNetBufferLists, ULONG ReceiveFlags);
typedef VOID PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE(NDIS_HANDLE ProtocolBindingContext,
                                                     PNET_BUFFER_LIST NetBufferList,
                                                     ULONG SendCompleteFlags);
typedef VOID PROTOCOL_DIRECT_OID_REQUEST_COMPLETE(NDIS_HANDLE ProtocolBindingContext,
                                                  PNDIS_OID_REQUEST OidRequest, NDIS_STATUS Status);

typedef PROTOCOL_BIND_ADAPTER_EX *BIND_HANDLER_EX;
typedef PROTOCOL_UNBIND_ADAPTER_EX *UNBIND_HANDLER_EX;
typedef PROTOCOL_OPEN_ADAPTER_COMPLETE_EX *OPEN_ADAPTER_COMPLETE_HANDLER_EX;
typedef PROTOCOL_CLOSE_ADAPTER_COMPLETE_EX *CLOSE_ADAPTER_COMPLETE_HANDLER_EX;
typedef PROTOCOL_NET_PNP_EVENT *NET_PNP_EVENT_HANDLER;
typedef PROTOCOL_UNINSTALL *UNINSTALL_PROTOCOL_HANDLER;
typedef PROTOCOL_OID_REQUEST_COMPLETE *OID_REQUEST_COMPLETE_HANDLER;
typedef PROTOCOL_STATUS_EX *STATUS_HANDLER_EX;
typedef PROTOCOL_RECEIVE_NET_BUFFER_LISTS *RECEIVE_NET_BUFFER_LISTS_HANDLER;
typedef PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE *SEND_NET_BUFFER_LISTS_COMPLETE_HANDLER;
typedef PROTOCOL_DIRECT_OID_REQUEST_COMPLETE *DIRECT_OID_REQUEST_COMPLETE_HANDLER;

#define NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1 1
#define NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_2 2 /* with DirectOidRequestComplete */

typedef struct _NDIS_PROTOCOL_DRIVER_CHARACTERISTICS {
    NDIS_OBJECT_HEADER Header;
    UCHAR MajorNdisVersion;
    UCHAR MinorNdisVersion;
    UCHAR MajorDriverVersion;
    UCHAR MinorDriverVersion;
    ULONG Flags;
    NDIS_STRING Name;
    SET_OPTIONS_HANDLER SetOptionsHandler;
    BIND_HANDLER_EX BindAdapterHandlerEx;
    UNBIND_HANDLER_EX UnbindAdapterHandlerEx;
    OPEN_ADAPTER_COMPLETE_HANDLER_EX OpenAdapterCompleteHandlerEx;
    CLOSE_ADAPTER_COMPLETE_HANDLER_EX CloseAdapterCompleteHandlerEx;
    NET_PNP_EVENT_HANDLER NetPnPEventHandler;
    UNINSTALL_PROTOCOL_HANDLER UninstallHandler;
    OID_REQUEST_COMPLETE_HANDLER OidRequestCompleteHandler;
    STATUS_HANDLER_EX StatusHandlerEx;
    RECEIVE_NET_BUFFER_LISTS_HANDLER ReceiveNetBufferListsHandler;
    SEND_NET_BUFFER_LISTS_COMPLETE_HANDLER SendNetBufferListsCompleteHandler;
    DIRECT_OID_REQUEST_COMPLETE_HANDLER DirectOidRequestCompleteHandler; /* may be NULL */
} NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, *PNDIS_PROTOCOL_DRIVER_CHARACTERISTICS;

#define NDIS_SIZEOF_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1                                     \
    offsetof(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, DirectOidRequestCompleteHandler)
#define NDIS_SIZEOF_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_2                                     \
    sizeof(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS)

/* Flags of sends, receives and their ends; numbers OURS. */
#define NDIS_SEND_FLAGS_DISPATCH_LEVEL 0x00000001
#define NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL 0x00000001
#define NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL 0x00000001
#define NDIS_RECEIVE_FLAGS_RESOURCES 0x00000002 /* copy now; not to be returned */
#define NDIS_RETURN_FLAGS_DISPATCH_LEVEL 0x00000001
#define NDIS_TEST_RECEIVE_CANNOT_PEND(_Flags) (((_Flags)&NDIS_RECEIVE_FLAGS_RESOURCES) != 0)

NDIS_API NDIS_STATUS NdisRegisterProtocolDriver(
    NDIS_HANDLE ProtocolDriverContext,
    PNDIS_PROTOCOL_DRIVER_CHARACTERISTICS ProtocolCharacteristics, PNDIS_HANDLE NdisProtocolHandle);
NDIS_API VOID NdisDeregisterProtocolDriver(NDIS_HANDLE NdisProtocolHandle);
NDIS_API NDIS_STATUS NdisOpenAdapterEx(NDIS_HANDLE NdisProtocolHandle,
                                       NDIS_HANDLE ProtocolBindingContext,
                                       PNDIS_OPEN_PARAMETERS OpenParameters,
                                       NDIS_HANDLE BindContext, PNDIS_HANDLE NdisBindingHandle);
NDIS_API NDIS_STATUS NdisCloseAdapterEx(NDIS_HANDLE NdisBindingHandle);
NDIS_API VOID NdisCompleteBindAdapterEx(NDIS_HANDLE BindAdapterContext, NDIS_STATUS Status);
NDIS_API VOID NdisCompleteUnbindAdapterEx(NDIS_HANDLE UnbindContext);
/* Unbind comes later, not nested; the handle is to be considered dead. */
NDIS_API NDIS_STATUS NdisUnbindAdapter(NDIS_HANDLE NdisBindingHandle);
/* Tries the binds again that were asked for and are not there; later, not nested. */
NDIS_API VOID NdisReEnumerateProtocolBindings(NDIS_HANDLE NdisProtocolHandle);
NDIS_API VOID NdisCompleteNetPnPEvent(NDIS_HANDLE NdisBindingHandle,
                                      PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification,
                                      NDIS_STATUS Status);
NDIS_API NDIS_STATUS NdisOidRequest(NDIS_HANDLE NdisBindingHandle, PNDIS_OID_REQUEST OidRequest);
NDIS_API VOID NdisCancelOidRequest(NDIS_HANDLE NdisBindingHandle, PVOID RequestId);
/* Not serialised with anything. */
NDIS_API NDIS_STATUS NdisDirectOidRequest(NDIS_HANDLE NdisBindingHandle,
                                          PNDIS_OID_REQUEST OidRequest);
NDIS_API VOID NdisSendNetBufferLists(NDIS_HANDLE NdisBindingHandle, PNET_BUFFER_LIST NetBufferLists,
                                     NDIS_PORT_NUMBER PortNumber, ULONG SendFlags);
/* For frames that carry this id. The high byte of ids is the driver's own. */
NDIS_API VOID NdisCancelSendNetBufferLists(NDIS_HANDLE NdisBindingHandle, PVOID CancelId);
NDIS_API UCHAR NdisGeneratePartialCancelId(VOID);
#define NDIS_SET_NET_BUFFER_LIST_CANCEL_ID(_NetBufferList, _CancelId)                              \
    (NET_BUFFER_LIST_INFO((_NetBufferList), NetBufferListCancelId) = (_CancelId))
#define NDIS_GET_NET_BUFFER_LIST_CANCEL_ID(_NetBufferList)                                         \
    (NET_BUFFER_LIST_INFO((_NetBufferList), NetBufferListCancelId))
NDIS_API VOID NdisReturnNetBufferLists(NDIS_HANDLE NdisBindingHandle,
                                       PNET_BUFFER_LIST NetBufferLists, ULONG ReturnFlags);

/* ======== miniport drivers ======== */

#define NDIS_MINIPORT_INIT_PARAMETERS_REVISION_1 1

typedef struct _NDIS_MINIPORT_INIT_PARAMETERS {
    NDIS_OBJECT_HEADER Header;
    ULONG Flags;
    PVOID AllocatedResources;
    NDIS_HANDLE IMDeviceInstanceContext;  /* DeviceContext of NdisIMInitializeDeviceInstanceEx */
    NDIS_HANDLE MiniportAddDeviceContext; /* OURS: the device given to house_add_adapter */
    ULONG IfIndex;
    ULONG64 NetLuid;
    PVOID DefaultPortAuthStates;
    PVOID PciDeviceCustomProperties;
} NDIS_MINIPORT_INIT_PARAMETERS, *PNDIS_MINIPORT_INIT_PARAMETERS;

#define NDIS_MINIPORT_PAUSE_PARAMETERS_REVISION_1 1

typedef struct _NDIS_MINIPORT_PAUSE_PARAMETERS {
    NDIS_OBJECT_HEADER Header;
    ULONG Flags;
    ULONG PauseReason;
} NDIS_MINIPORT_PAUSE_PARAMETERS, *PNDIS_MINIPORT_PAUSE_PARAMETERS;

#define NDIS_MINIPORT_RESTART_PARAMETERS_REVISION_1 1

typedef struct _NDIS_MINIPORT_RESTART_PARAMETERS {
    NDIS_OBJECT_HEADER Header;
    PVOID RestartAttributes;
    ULONG Flags;
} NDIS_MINIPORT_RESTART_PARAMETERS, *PNDIS_MINIPORT_RESTART_PARAMETERS;

/* Numbers OURS. */
typedef enum _NDIS_HALT_ACTION {
    NdisHaltDeviceDisabled = 1,
    NdisHaltDeviceInstanceDeInitialized = 2,
    NdisHaltDevicePoweredDown = 3,
    NdisHaltDeviceSurpriseRemoved = 4,
    NdisHaltDeviceFailed = 5,
    NdisHaltDeviceInitializationFailed = 6,
    NdisHaltDeviceStopped = 7
} NDIS_HALT_ACTION,
    *PNDIS_HALT_ACTION;

typedef enum _NDIS_SHUTDOWN_ACTION {
    NdisShutdownPowerOff = 1,
    NdisShutdownBugCheck = 2
} NDIS_SHUTDOWN_ACTION,
    *PNDIS_SHUTDOWN_ACTION;

typedef NDIS_STATUS MINIPORT_INITIALIZE(NDIS_HANDLE NdisMiniportHandle,
                                        NDIS_HANDLE MiniportDriverContext,
                                        PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters);
typedef VOID MINIPORT_HALT(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction);
typedef VOID MINIPORT_UNLOAD(PDRIVER_OBJECT DriverObject);
typedef NDIS_STATUS MINIPORT_PAUSE(NDIS_HANDLE MiniportAdapterContext,
                                   PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters);
typedef NDIS_STATUS MINIPORT_RESTART(NDIS_HANDLE MiniportAdapterContext,
                                     PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters);
typedef NDIS_STATUS MINIPORT_OID_REQUEST(NDIS_HANDLE MiniportAdapterContext,
                                         PNDIS_OID_REQUEST OidRequest);
typedef VOID MINIPORT_SEND_NET_BUFFER_LISTS(NDIS_HANDLE MiniportAdapterContext,
                                            PNET_BUFFER_LIST NetBufferList,
                                            NDIS_PORT_NUMBER PortNumber, ULONG SendFlags);
typedef VOID MINIPORT_RETURN_NET_BUFFER_LISTS(NDIS_HANDLE MiniportAdapterContext,
                                              PNET_BUFFER_LIST NetBufferLists, ULONG ReturnFlags);
typedef VOID MINIPORT_CANCEL_SEND(NDIS_HANDLE MiniportAdapterContext, PVOID CancelId);
typedef BOOLEAN MINIPORT_CHECK_FOR_HANG(NDIS_HANDLE MiniportAdapterContext);
typedef NDIS_STATUS MINIPORT_RESET(NDIS_HANDLE MiniportAdapterContext, PBOOLEAN AddressingReset);
typedef VOID MINIPORT_DEVICE_PNP_EVENT_NOTIFY(NDIS_HANDLE MiniportAdapterContext,
                                              PNET_DEVICE_PNP_EVENT NetDevicePnPEvent);
typedef VOID MINIPORT_SHUTDOWN(NDIS_HANDLE MiniportAdapterContext,
                               NDIS_SHUTDOWN_ACTION ShutdownAction);
typedef VOID MINIPORT_CANCEL_OID_REQUEST(NDIS_HANDLE MiniportAdapterContext, PVOID RequestId);
typedef NDIS_STATUS MINIPORT_DIRECT_OID_REQUEST(NDIS_HANDLE MiniportAdapterContext,
                                                PNDIS_OID_REQUEST OidRequest);
typedef VOID MINIPORT_CANCEL_DIRECT_OID_REQUEST(NDIS_HANDLE MiniportAdapterContext,
                                                PVOID RequestId);

typedef MINIPORT_INITIALIZE *MINIPORT_INITIALIZE_HANDLER;
typedef MINIPORT_HALT *MINIPORT_HALT_HANDLER;
typedef MINIPORT_UNLOAD *MINIPORT_DRIVER_UNLOAD;
typedef MINIPORT_PAUSE *MINIPORT_PAUSE_HANDLER;
typedef MINIPORT_RESTART *MINIPORT_RESTART_HANDLER;
typedef MINIPORT_OID_REQUEST *MINIPORT_OID_REQUEST_HANDLER;
typedef MINIPORT_SEND_NET_BUFFER_LISTS *MINIPORT_SEND_NET_BUFFER_LISTS_HANDLER;
typedef MINIPORT_RETURN_NET_BUFFER_LISTS *MINIPORT_RETURN_NET_BUFFER_LISTS_HANDLER;
typedef MINIPORT_CANCEL_SEND *MINIPORT_CANCEL_SEND_HANDLER;
typedef MINIPORT_CHECK_FOR_HANG *MINIPORT_CHECK_FOR_HANG_HANDLER;
typedef MINIPORT_RESET *MINIPORT_RESET_HANDLER;
typedef MINIPORT_DEVICE_PNP_EVENT_NOTIFY *MINIPORT_DEVICE_PNP_EVENT_NOTIFY_HANDLER;
typedef MINIPORT_SHUTDOWN *MINIPORT_SHUTDOWN_HANDLER;
typedef MINIPORT_CANCEL_OID_REQUEST *MINIPORT_CANCEL_OID_REQUEST_HANDLER;
typedef MINIPORT_DIRECT_OID_REQUEST *MINIPORT_DIRECT_OID_REQUEST_HANDLER;
typedef MINIPORT_CANCEL_DIRECT_OID_REQUEST *MINIPORT_CANCEL_DIRECT_OID_REQUEST_HANDLER;

#define NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_1 1
#define NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2 2

#define NDIS_INTERMEDIATE_DRIVER 0x00000001 /* OURS; in Flags */

typedef struct _NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
    NDIS_OBJECT_HEADER Header;
    UCHAR MajorNdisVersion;
    UCHAR MinorNdisVersion;
    UCHAR MajorDriverVersion;
    UCHAR MinorDriverVersion;
    ULONG Flags;
    SET_OPTIONS_HANDLER SetOptionsHandler;
    MINIPORT_INITIALIZE_HANDLER InitializeHandlerEx;
    MINIPORT_HALT_HANDLER HaltHandlerEx;
    MINIPORT_DRIVER_UNLOAD UnloadHandler;
    MINIPORT_PAUSE_HANDLER PauseHandler;
    MINIPORT_RESTART_HANDLER RestartHandler;
    MINIPORT_OID_REQUEST_HANDLER OidRequestHandler;
    MINIPORT_SEND_NET_BUFFER_LISTS_HANDLER SendNetBufferListsHandler;
    MINIPORT_RETURN_NET_BUFFER_LISTS_HANDLER ReturnNetBufferListsHandler;
    MINIPORT_CANCEL_SEND_HANDLER CancelSendHandler;
    MINIPORT_CHECK_FOR_HANG_HANDLER CheckForHangHandlerEx; /* may be NULL */
    MINIPORT_RESET_HANDLER ResetHandlerEx;                 /* may be NULL */
    MINIPORT_DEVICE_PNP_EVENT_NOTIFY_HANDLER DevicePnPEventNotifyHandler;
    MINIPORT_SHUTDOWN_HANDLER ShutdownHandlerEx;
    MINIPORT_CANCEL_OID_REQUEST_HANDLER CancelOidRequestHandler;
    MINIPORT_DIRECT_OID_REQUEST_HANDLER DirectOidRequestHandler;              /* may be NULL */
    MINIPORT_CANCEL_DIRECT_OID_REQUEST_HANDLER CancelDirectOidRequestHandler; /* may be NULL */
} NDIS_MINIPORT_DRIVER_CHARACTERISTICS, *PNDIS_MINIPORT_DRIVER_CHARACTERISTICS;

#define NDIS_SIZEOF_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_1                                     \
    offsetof(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, DirectOidRequestHandler)
#define NDIS_SIZEOF_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2                                     \
    sizeof(NDIS_MINIPORT_DRIVER_CHARACTERISTICS)

#define NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_1 1
#define NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_1 1
#define NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1 1

/* Layout OURS: the documented members that drivers here set. */
typedef struct _NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES {
    NDIS_OBJECT_HEADER Header;
    NDIS_HANDLE MiniportAdapterContext;
    ULONG AttributeFlags;
    UINT CheckForHangTimeInSeconds;
    ULONG InterfaceType;
} NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES, *PNDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES;

/* Layout OURS: the documented members that drivers here set. */
typedef struct _NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES {
    NDIS_OBJECT_HEADER Header;
    ULONG Flags;
    NDIS_MEDIUM MediaType;
    ULONG MtuSize;
    ULONG64 MaxXmitLinkSpeed; /* bits per second */
    ULONG64 XmitLinkSpeed;
    ULONG64 MaxRcvLinkSpeed;
    ULONG64 RcvLinkSpeed;
    NDIS_MEDIA_CONNECT_STATE MediaConnectState;
    ULONG LookaheadSize;
    ULONG MacOptions;
    ULONG SupportedPacketFilters;
    USHORT MacAddressLength;
    UCHAR PermanentMacAddress[NDIS_MAX_PHYS_ADDRESS_LENGTH];
    UCHAR CurrentMacAddress[NDIS_MAX_PHYS_ADDRESS_LENGTH];
    PNDIS_OID SupportedOidList;
    ULONG SupportedOidListLength; /* bytes */
} NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES, *PNDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES;

typedef struct _NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES {
    NDIS_OBJECT_HEADER Header;
    struct _NDIS_OFFLOAD *DefaultOffloadConfiguration;
    struct _NDIS_OFFLOAD *HardwareOffloadCapabilities;
    PNDIS_TCP_CONNECTION_OFFLOAD DefaultTcpConnectionOffloadConfiguration;
    PNDIS_TCP_CONNECTION_OFFLOAD TcpConnectionOffloadHardwareCapabilities;
} NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES, *PNDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES;

/* Told apart by Header.Type. Layout OURS, as of two of its members. */
typedef union _NDIS_MINIPORT_ADAPTER_ATTRIBUTES {
    NDIS_OBJECT_HEADER Header; /* OURS: of whichever it is */
    NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES RegistrationAttributes;
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES GeneralAttributes;
    NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES OffloadAttributes;
} NDIS_MINIPORT_ADAPTER_ATTRIBUTES, *PNDIS_MINIPORT_ADAPTER_ATTRIBUTES;

NDIS_API NDIS_STATUS NdisMRegisterMiniportDriver(
    PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath, NDIS_HANDLE MiniportDriverContext,
    PNDIS_MINIPORT_DRIVER_CHARACTERISTICS MiniportDriverCharacteristics,
    PNDIS_HANDLE NdisMiniportDriverHandle);
NDIS_API VOID NdisMDeregisterMiniportDriver(NDIS_HANDLE NdisMiniportDriverHandle);
/* Structures and what they point to are copied. */
NDIS_API NDIS_STATUS NdisMSetMiniportAttributes(
    NDIS_HANDLE NdisMiniportHandle, PNDIS_MINIPORT_ADAPTER_ATTRIBUTES MiniportAttributes);
NDIS_API VOID NdisMRestartComplete(NDIS_HANDLE MiniportAdapterHandle, NDIS_STATUS Status);
NDIS_API VOID NdisMPauseComplete(NDIS_HANDLE MiniportAdapterHandle);
NDIS_API VOID NdisMOidRequestComplete(NDIS_HANDLE MiniportAdapterHandle,
                                      PNDIS_OID_REQUEST OidRequest, NDIS_STATUS Status);
NDIS_API VOID NdisMDirectOidRequestComplete(NDIS_HANDLE MiniportAdapterHandle,
                                            PNDIS_OID_REQUEST OidRequest, NDIS_STATUS Status);
/* AddressingReset: NDIS sets the packet filter again. */
NDIS_API VOID NdisMResetComplete(NDIS_HANDLE MiniportAdapterHandle, NDIS_STATUS Status,
                                 BOOLEAN AddressingReset);
NDIS_API VOID NdisMSendNetBufferListsComplete(NDIS_HANDLE MiniportAdapterHandle,
                                              PNET_BUFFER_LIST NetBufferList,
                                              ULONG SendCompleteFlags);
NDIS_API VOID NdisMIndicateReceiveNetBufferLists(NDIS_HANDLE MiniportAdapterHandle,
                                                 PNET_BUFFER_LIST NetBufferList,
                                                 NDIS_PORT_NUMBER PortNumber,
                                                 ULONG NumberOfNetBufferLists, ULONG ReceiveFlags);
NDIS_API VOID NdisMIndicateStatusEx(NDIS_HANDLE MiniportAdapterHandle,
                                    PNDIS_STATUS_INDICATION StatusIndication);
NDIS_API NDIS_STATUS NdisMNetPnPEvent(NDIS_HANDLE MiniportAdapterHandle,
                                      PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification);

/* ======== intermediate drivers ======== */

NDIS_API VOID NdisIMAssociateMiniport(NDIS_HANDLE DriverHandle, NDIS_HANDLE ProtocolHandle);
/* MiniportInitializeEx of the virtual adapter comes later, not nested. */
NDIS_API NDIS_STATUS NdisIMInitializeDeviceInstanceEx(NDIS_HANDLE DriverHandle,
                                                      PNDIS_STRING DriverInstance,
                                                      NDIS_HANDLE DeviceContext);
NDIS_API NDIS_STATUS NdisIMCancelInitializeDeviceInstance(NDIS_HANDLE DriverHandle,
                                                          PNDIS_STRING DeviceInstance);
NDIS_API NDIS_STATUS NdisIMDeInitializeDeviceInstance(NDIS_HANDLE NdisMiniportHandle);
NDIS_API NDIS_HANDLE NdisIMGetBindingContext(NDIS_HANDLE NdisBindingHandle);

/* ======== services ======== */

/* ---- timers ---- */

typedef VOID NDIS_TIMER_FUNCTION(PVOID SystemSpecific1, PVOID FunctionContext,
                                 PVOID SystemSpecific2, PVOID SystemSpecific3);
typedef NDIS_TIMER_FUNCTION *PNDIS_TIMER_FUNCTION;

#define NDIS_TIMER_CHARACTERISTICS_REVISION_1 1

/* Layout OURS. */
typedef struct _NDIS_TIMER_CHARACTERISTICS {
    NDIS_OBJECT_HEADER Header;
    ULONG AllocationTag;
    PNDIS_TIMER_FUNCTION TimerFunction;
    PVOID FunctionContext;
} NDIS_TIMER_CHARACTERISTICS, *PNDIS_TIMER_CHARACTERISTICS;

NDIS_API NDIS_STATUS NdisAllocateTimerObject(NDIS_HANDLE NdisHandle,
                                             PNDIS_TIMER_CHARACTERISTICS TimerCharacteristics,
                                             PNDIS_HANDLE pTimerObject);
/* DueTime: units of 100 ns, negative: from now, else a system time; period 0: once. TRUE: it was
 * already queued. */
NDIS_API BOOLEAN NdisSetTimerObject(NDIS_HANDLE TimerObject, LARGE_INTEGER DueTime,
                                    LONG MillisecondsPeriod, PVOID FunctionContext);
/* TRUE: it was queued and will not run. */
NDIS_API BOOLEAN NdisCancelTimerObject(NDIS_HANDLE TimerObject);
NDIS_API VOID NdisFreeTimerObject(NDIS_HANDLE TimerObject);

/* ---- work items ---- */

typedef VOID NDIS_IO_WORKITEM_FUNCTION(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle);
typedef NDIS_IO_WORKITEM_FUNCTION *NDIS_IO_WORKITEM_ROUTINE;

NDIS_API NDIS_HANDLE NdisAllocateIoWorkItem(NDIS_HANDLE NdisObjectHandle);
NDIS_API VOID NdisQueueIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle,
                                  NDIS_IO_WORKITEM_ROUTINE Routine, PVOID WorkItemContext);
NDIS_API VOID NdisFreeIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle);

/* ---- memory ---- */

typedef enum _EX_POOL_PRIORITY {
    LowPoolPriority = 0,
    NormalPoolPriority = 16,
    HighPoolPriority = 32
} EX_POOL_PRIORITY;

NDIS_API PVOID NdisAllocateMemoryWithTagPriority(NDIS_HANDLE NdisHandle, UINT Length, ULONG Tag,
                                                 EX_POOL_PRIORITY Priority);
NDIS_API VOID NdisFreeMemory(PVOID VirtualAddress, UINT Length, UINT MemoryFlags);
#define NdisZeroMemory(Destination, Length) memset((Destination), 0, (Length))
#define NdisMoveMemory(Destination, Source, Length) memmove((Destination), (Source), (Length))

/* ---- locks and events ---- */

typedef struct _NDIS_SPIN_LOCK {
    ULONG_PTR SpinLock;
    KIRQL OldIrql;
} NDIS_SPIN_LOCK, *PNDIS_SPIN_LOCK;

NDIS_API VOID NdisAllocateSpinLock(PNDIS_SPIN_LOCK SpinLock);
NDIS_API VOID NdisFreeSpinLock(PNDIS_SPIN_LOCK SpinLock);
/* To DISPATCH_LEVEL until the release. Not recursive. */
NDIS_API VOID NdisAcquireSpinLock(PNDIS_SPIN_LOCK SpinLock);
NDIS_API VOID NdisReleaseSpinLock(PNDIS_SPIN_LOCK SpinLock);
/* For callers that are at DISPATCH_LEVEL anyway. */
NDIS_API VOID NdisDprAcquireSpinLock(PNDIS_SPIN_LOCK SpinLock);
NDIS_API VOID NdisDprReleaseSpinLock(PNDIS_SPIN_LOCK SpinLock);

/* Many readers or one writer. Not recursive, and no way from reading to writing. */
typedef struct _NDIS_RW_LOCK_EX NDIS_RW_LOCK_EX, *PNDIS_RW_LOCK_EX;

/* Layout OURS. One per acquisition, given back with the release. */
typedef struct _LOCK_STATE_EX {
    KIRQL OldIrql;
    UCHAR LockState;
    UCHAR Flags;
} LOCK_STATE_EX, *PLOCK_STATE_EX;

#define NDIS_RWL_AT_DISPATCH_LEVEL 1 /* OURS; in Flags: the caller is there already */

/* NULL: no memory. */
NDIS_API PNDIS_RW_LOCK_EX NdisAllocateRWLock(NDIS_HANDLE NdisHandle);
NDIS_API VOID NdisFreeRWLock(PNDIS_RW_LOCK_EX Lock);
NDIS_API VOID NdisAcquireRWLockRead(PNDIS_RW_LOCK_EX Lock, PLOCK_STATE_EX LockState, UCHAR Flags);
NDIS_API VOID NdisAcquireRWLockWrite(PNDIS_RW_LOCK_EX Lock, PLOCK_STATE_EX LockState, UCHAR Flags);
NDIS_API VOID NdisReleaseRWLock(PNDIS_RW_LOCK_EX Lock, PLOCK_STATE_EX LockState);

#define NDIS_CURRENT_IRQL() KeGetCurrentIrql()
#define NDIS_RAISE_IRQL_TO_DISPATCH(_pIrql) KeRaiseIrql(DISPATCH_LEVEL, (_pIrql))
#define NDIS_LOWER_IRQL(_OldIrql, _CurrentIrql) KeLowerIrql(_OldIrql)

/* Layout OURS. */
typedef struct _NDIS_EVENT {
    PVOID Reserved[4];
} NDIS_EVENT, *PNDIS_EVENT;

NDIS_API VOID NdisInitializeEvent(PNDIS_EVENT Event);
NDIS_API VOID NdisSetEvent(PNDIS_EVENT Event);
NDIS_API VOID NdisResetEvent(PNDIS_EVENT Event);
/* MsToWait 0: for ever. FALSE: time is over. */
NDIS_API BOOLEAN NdisWaitEvent(PNDIS_EVENT Event, UINT MsToWait);

/* ---- configuration ---- */

#define NDIS_CONFIGURATION_OBJECT_REVISION_1 1

/* Layout OURS. */
typedef struct _NDIS_CONFIGURATION_OBJECT {
    NDIS_OBJECT_HEADER Header;
    NDIS_HANDLE NdisHandle; /* of an adapter or a driver */
    ULONG Flags;
} NDIS_CONFIGURATION_OBJECT, *PNDIS_CONFIGURATION_OBJECT;

typedef enum _NDIS_PARAMETER_TYPE {
    NdisParameterInteger = 0,
    NdisParameterHexInteger = 1, /* as Integer, the text is hexadecimal */
    NdisParameterString = 2,
    NdisParameterMultiString = 3,
    NdisParameterBinary = 4
} NDIS_PARAMETER_TYPE,
    *PNDIS_PARAMETER_TYPE;

typedef struct _BINARY_DATA {
    USHORT Length;
    PVOID Buffer;
} BINARY_DATA;

typedef struct _NDIS_CONFIGURATION_PARAMETER {
    NDIS_PARAMETER_TYPE ParameterType;
    union {
        ULONG IntegerData;
        NDIS_STRING StringData;
        BINARY_DATA BinaryData;
    } ParameterData;
} NDIS_CONFIGURATION_PARAMETER, *PNDIS_CONFIGURATION_PARAMETER;

NDIS_API NDIS_STATUS NdisOpenConfigurationEx(PNDIS_CONFIGURATION_OBJECT ConfigObject,
                                             PNDIS_HANDLE ConfigurationHandle);
/* *ParameterValue belongs to the configuration handle. */
NDIS_API VOID NdisReadConfiguration(PNDIS_STATUS Status,
                                    PNDIS_CONFIGURATION_PARAMETER *ParameterValue,
                                    NDIS_HANDLE ConfigurationHandle, PNDIS_STRING Keyword,
                                    NDIS_PARAMETER_TYPE ParameterType);
NDIS_API VOID NdisWriteConfiguration(PNDIS_STATUS Status, NDIS_HANDLE ConfigurationHandle,
                                     PNDIS_STRING Keyword,
                                     PNDIS_CONFIGURATION_PARAMETER ParameterValue);
NDIS_API VOID NdisCloseConfiguration(NDIS_HANDLE ConfigurationHandle);
/* The keyword NetworkAddress; *NetworkAddress belongs to the handle. */
NDIS_API VOID NdisReadNetworkAddress(PNDIS_STATUS Status, PVOID *NetworkAddress,
                                     PUINT NetworkAddressLength, NDIS_HANDLE ConfigurationHandle);
/* Closed like the other. */
NDIS_API VOID NdisOpenConfigurationKeyByName(PNDIS_STATUS Status, NDIS_HANDLE ConfigurationHandle,
                                             PNDIS_STRING SubKeyName, PNDIS_HANDLE SubKeyHandle);

/* ---- the rest ---- */

/* DestinationString refers to SourceString, which ends with a zero. */
NDIS_API VOID NdisInitUnicodeString(PNDIS_STRING DestinationString, PCWSTR SourceString);
NDIS_API BOOLEAN NdisEqualString(const NDIS_STRING *String1, const NDIS_STRING *String2,
                                 BOOLEAN CaseInsensitive);
NDIS_API UINT NdisGetVersion(VOID);
/* Milliseconds. */
NDIS_API VOID NdisGetSystemUpTimeEx(PLARGE_INTEGER pSystemUpTime);
/* Units of 100 ns since 1601. */
NDIS_API VOID NdisGetCurrentSystemTime(PLARGE_INTEGER pSystemTime);
/* Others go on meanwhile; the other one keeps the thread. */
NDIS_API VOID NdisMSleep(ULONG MicrosecondsToSleep);
NDIS_API VOID NdisStallExecution(ULONG MicrosecondsToStall);

#define ALL_PROCESSOR_GROUPS 0xFFFF
/* 0: there is no such group. */
NDIS_API ULONG NdisGroupMaxProcessorCount(USHORT Group);
NDIS_API CCHAR NdisSystemProcessorCount(VOID);

typedef ULONG NDIS_ERROR_CODE;
#define NDIS_ERROR_CODE_RESOURCE_CONFLICT ((NDIS_ERROR_CODE)0xC0001388)
#define NDIS_ERROR_CODE_OUT_OF_RESOURCES ((NDIS_ERROR_CODE)0xC0001389)
#define NDIS_ERROR_CODE_HARDWARE_FAILURE ((NDIS_ERROR_CODE)0xC000138A)
#define NDIS_ERROR_CODE_ADAPTER_NOT_FOUND ((NDIS_ERROR_CODE)0xC000138B)
#define NDIS_ERROR_CODE_DRIVER_FAILURE ((NDIS_ERROR_CODE)0xC000138D)
#define NDIS_ERROR_CODE_BAD_VERSION ((NDIS_ERROR_CODE)0xC000138E)
#define NDIS_ERROR_CODE_TIMEOUT ((NDIS_ERROR_CODE)0x8000138F)
#define NDIS_ERROR_CODE_NETWORK_ADDRESS ((NDIS_ERROR_CODE)0xC0001390)
#define NDIS_ERROR_CODE_UNSUPPORTED_CONFIGURATION ((NDIS_ERROR_CODE)0xC0001391)
#define NDIS_ERROR_CODE_INVALID_VALUE_FROM_ADAPTER ((NDIS_ERROR_CODE)0xC0001392)
#define NDIS_ERROR_CODE_MISSING_CONFIGURATION_PARAMETER ((NDIS_ERROR_CODE)0xC0001393)
#define NDIS_ERROR_CODE_ADAPTER_DISABLED ((NDIS_ERROR_CODE)0x80001396)

/* Values: so many ULONGs. To the log, with the adapter's name. */
NDIS_API VOID NdisWriteErrorLogEntry(NDIS_HANDLE NdisAdapterHandle, NDIS_ERROR_CODE ErrorCode,
                                     ULONG NumberOfErrorValues, ...);

NDIS_STATIC_ASSERT(sizeof(NET_BUFFER) == 0xB0, "NET_BUFFER");
NDIS_STATIC_ASSERT(sizeof(NET_BUFFER_LIST) == 0x130, "NET_BUFFER_LIST");
NDIS_STATIC_ASSERT(sizeof(NDIS_STATUS_INDICATION) == 0x70, "NDIS_STATUS_INDICATION");
NDIS_STATIC_ASSERT(sizeof(NET_PNP_EVENT_NOTIFICATION) == 0xA8, "NET_PNP_EVENT_NOTIFICATION");
NDIS_STATIC_ASSERT(sizeof(NDIS_MINIPORT_DRIVER_CHARACTERISTICS) == 0x98, "miniport driver");
NDIS_STATIC_ASSERT(sizeof(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS) == 0x80, "protocol driver");

#ifdef __cplusplus
}
#endif

#endif
