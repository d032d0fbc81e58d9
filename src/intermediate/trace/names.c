/* The documented names of what crosses, from the documented headers, so that a trace can be read.
 */
#include "intermediate/trace/names.h"

#include <ndis.h>
#include <ndischimney.h>

struct name {
    uint32_t value;
    const char *name;
};

/* clang-format off */
#define STATUSES(X)                                                                                \
    X(SUCCESS) X(PENDING) X(NOT_RECOGNIZED) X(NOT_COPIED) X(NOT_ACCEPTED) X(NOT_RESETTABLE)        \
    X(SOFT_ERRORS) X(HARD_ERRORS) X(BUFFER_OVERFLOW) X(FAILURE) X(INVALID_PARAMETER)               \
    X(INVALID_DEVICE_REQUEST) X(RESOURCES) X(NOT_SUPPORTED) X(INVALID_STATE) X(CLOSING)            \
    X(BAD_VERSION) X(BAD_CHARACTERISTICS) X(ADAPTER_NOT_FOUND) X(OPEN_FAILED) X(DEVICE_FAILED)     \
    X(MULTICAST_FULL) X(REQUEST_ABORTED) X(RESET_IN_PROGRESS) X(INVALID_PACKET)                    \
    X(ADAPTER_NOT_READY) X(ADAPTER_NOT_OPEN) X(INVALID_LENGTH) X(INVALID_DATA)                     \
    X(BUFFER_TOO_SHORT) X(INVALID_OID) X(ADAPTER_REMOVED) X(UNSUPPORTED_MEDIA)                     \
    X(RESOURCE_CONFLICT) X(INVALID_ADDRESS) X(SEND_ABORTED) X(MEDIA_DISCONNECTED) X(PAUSED)        \
    X(INTERFACE_NOT_FOUND) X(UNSUPPORTED_REVISION) X(INVALID_PORT) X(INVALID_PORT_STATE)           \
    X(LOW_POWER_STATE) X(UPLOAD_IN_PROGRESS) X(REQUEST_UPLOAD) X(UPLOAD_REQUESTED)                 \
    X(OFFLOAD_TCP_ENTRIES) X(OFFLOAD_PATH_ENTRIES) X(OFFLOAD_NEIGHBOR_ENTRIES)                     \
    X(OFFLOAD_IP_ADDRESS_ENTRIES) X(OFFLOAD_HW_ADDRESS_ENTRIES) X(OFFLOAD_VLAN_ENTRIES)            \
    X(OFFLOAD_TCP_XMIT_BUFFER) X(OFFLOAD_TCP_RCV_BUFFER) X(OFFLOAD_TCP_RCV_WINDOW)                 \
    X(OFFLOAD_VLAN_MISMATCH) X(OFFLOAD_DATA_NOT_ACCEPTED) X(OFFLOAD_POLICY)                        \
    X(OFFLOAD_DATA_PARTIALLY_ACCEPTED) X(OFFLOAD_REQUEST_RESET) X(OFFLOAD_CONNECTION_REJECTED)     \
    X(OFFLOAD_PATH_MTU) X(RESET_START) X(RESET_END) X(MEDIA_SPECIFIC_INDICATION) X(LINK_STATE)     \
    X(NETWORK_CHANGE) X(PORT_STATE) X(OPER_STATUS) X(PACKET_FILTER) X(OFFLOAD_PAUSE)               \
    X(UPLOAD_ALL) X(OFFLOAD_RESUME) X(OFFLOAD_PARTIAL_SUCCESS) X(OFFLOAD_STATE_INVALID)            \
    X(TASK_OFFLOAD_CURRENT_CONFIG) X(TASK_OFFLOAD_HARDWARE_CAPABILITIES)                           \
    X(OFFLOAD_ENCASPULATION_CHANGE) X(TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES)                \
    X(OFFLOAD_IM_RESERVED1) X(OFFLOAD_IM_RESERVED2) X(OFFLOAD_IM_RESERVED3)
#define OIDS(X)                                                                                    \
    X(GEN_SUPPORTED_LIST) X(GEN_HARDWARE_STATUS) X(GEN_MEDIA_SUPPORTED) X(GEN_MEDIA_IN_USE)        \
    X(GEN_MAXIMUM_LOOKAHEAD) X(GEN_MAXIMUM_FRAME_SIZE) X(GEN_LINK_SPEED)                           \
    X(GEN_TRANSMIT_BUFFER_SPACE) X(GEN_RECEIVE_BUFFER_SPACE) X(GEN_TRANSMIT_BLOCK_SIZE)            \
    X(GEN_RECEIVE_BLOCK_SIZE) X(GEN_VENDOR_ID) X(GEN_VENDOR_DESCRIPTION)                           \
    X(GEN_CURRENT_PACKET_FILTER) X(GEN_CURRENT_LOOKAHEAD) X(GEN_DRIVER_VERSION)                    \
    X(GEN_MAXIMUM_TOTAL_SIZE) X(GEN_PROTOCOL_OPTIONS) X(GEN_MAC_OPTIONS)                           \
    X(GEN_MEDIA_CONNECT_STATUS) X(GEN_MAXIMUM_SEND_PACKETS) X(GEN_VENDOR_DRIVER_VERSION)           \
    X(GEN_NETWORK_LAYER_ADDRESSES) X(GEN_PHYSICAL_MEDIUM) X(GEN_MAX_LINK_SPEED) X(GEN_LINK_STATE)  \
    X(GEN_LINK_PARAMETERS) X(GEN_INTERRUPT_MODERATION) X(GEN_VLAN_ID) X(GEN_XMIT_OK)               \
    X(GEN_RCV_OK) X(GEN_XMIT_ERROR) X(GEN_RCV_ERROR) X(GEN_RCV_NO_BUFFER) X(GEN_STATISTICS)        \
    X(802_3_PERMANENT_ADDRESS) X(802_3_CURRENT_ADDRESS) X(802_3_MULTICAST_LIST)                    \
    X(802_3_MAXIMUM_LIST_SIZE) X(PNP_CAPABILITIES) X(PNP_SET_POWER) X(PNP_QUERY_POWER)             \
    X(OFFLOAD_ENCAPSULATION) X(TCP_TASK_OFFLOAD) X(TCP4_OFFLOAD_STATS) X(TCP6_OFFLOAD_STATS)       \
    X(IP4_OFFLOAD_STATS) X(IP6_OFFLOAD_STATS) X(TCP_OFFLOAD_CURRENT_CONFIG)                        \
    X(TCP_OFFLOAD_PARAMETERS) X(TCP_OFFLOAD_HARDWARE_CAPABILITIES)                                 \
    X(TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG) X(TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES)       \
    X(TCP_CONNECTION_OFFLOAD_PARAMETERS)
#define EVENTS(X) X(Disconnect) X(Retrieve) X(Abort) X(SendBacklogChange)
#define REASONS(X)                                                                                 \
    X(HardwareFailure) X(InvalidState) X(ReceivedUrgentData) X(TimeoutExpiration)                  \
    X(UploadRequested) X(HighDropRate) X(HighFragmentation) X(HighOutofOrderPackets)               \
    X(LowActivity) X(NoBufferProposting) X(SmallIO)
#define PNP_EVENTS(X)                                                                              \
    X(SetPower) X(QueryPower) X(QueryRemoveDevice) X(CancelRemoveDevice) X(Reconfigure)            \
    X(BindList) X(BindsComplete) X(PnPCapabilities) X(Pause) X(Restart) X(PortActivation)          \
    X(PortDeactivation) X(IMReEnableDevice)
/* clang-format on */

#define OP_NAME(name) #name,
static const char *const ops[] = {"NONE", TRACE_CROSSINGS(OP_NAME)};

#define STATUS_NAME(name) {(uint32_t)NDIS_STATUS_##name, #name},
static const struct name statuses[] = {STATUSES(STATUS_NAME){0, NULL}};
#define OID_NAME(name) {OID_##name, "OID_" #name},
static const struct name oids[] = {OIDS(OID_NAME){0, NULL}};
#define EVENT_NAME(name) {TcpIndicate##name, #name},
static const struct name events[] = {EVENTS(EVENT_NAME){0, NULL}};
#define REASON_NAME(name) {name, #name},
static const struct name reasons[] = {REASONS(REASON_NAME){0, NULL}};
#define PNP_NAME(name) {NetEvent##name, "NetEvent" #name},
static const struct name pnp_events[] = {PNP_EVENTS(PNP_NAME){0, NULL}};
static const struct name offload_events[] = {
    {NeighborReachabilityQuery, "NeighborReachabilityQuery"},
    {NeighborReachabilityInDoubt, "NeighborReachabilityInDoubt"},
    {0, NULL}};
static const struct name disconnects[] = {{TCP_DISCONNECT_ABORTIVE_CLOSE, "abortive"},
                                          {TCP_DISCONNECT_GRACEFUL_CLOSE, "graceful"},
                                          {0, NULL}};
static const struct name requests[] = {{NdisRequestQueryInformation, "query"},
                                       {NdisRequestSetInformation, "set"},
                                       {NdisRequestQueryStatistics, "query statistics"},
                                       {0, NULL}};

static const char *
find(const struct name *names, uint32_t value)
{
    for (; names->name; names++)
        if (names->value == value)
            return names->name;
    return NULL;
}

const char *
trace_op_name(enum trace_op op)
{
    return ops[op];
}

const char *
trace_status_name(uint32_t status)
{
    return find(statuses, status);
}

const char *
trace_code_name(enum trace_op op, uint32_t code)
{
    switch (op) {
    case TRACE_TCP_EVENT:
        return find(events, code);
    case TRACE_OFFLOAD_EVENT:
        return find(offload_events, code);
    case TRACE_TCP_DISCONNECT:
        return find(disconnects, code);
    case TRACE_STATUS:
        return find(statuses, code);
    case TRACE_OID:
    case TRACE_OID_COMPLETE:
        return find(oids, code);
    case TRACE_PNP_EVENT:
        return find(pnp_events, code);
    default:
        return NULL;
    }
}

const char *
trace_info_name(enum trace_op op, uint32_t code, uint32_t info)
{
    if (op == TRACE_TCP_EVENT)
        return code == TcpIndicateRetrieve ? find(reasons, info) : NULL;
    return op == TRACE_OID || op == TRACE_OID_COMPLETE ? find(requests, info) : NULL;
}
