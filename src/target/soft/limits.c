/*
 * How much the target takes on: what the adapter is configured with, and which of the documented
 * reasons a node is refused for when it is more than that (chimney 3). Every limit has a keyword,
 * so that a host stack can be tried against every refusal; those without a value that follows from
 * the wire are out of reach by default.
 *
 * An address or a VLAN id takes one entry of its table however many objects use it, and gives it
 * back with the last of them.
 */
#include "target/soft/conn.h"

#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_DEFAULT 4096u
#define WATCH_WINDOW_DEFAULT 256u   /* segments */
#define LEAST_SHARE 4096u           /* of the budget: with less a connection would crawl */
#define WINDOW_DEFAULT (256u << 20) /* largest InitialRcvWnd */

/* ---- configuration ---- */

static ULONG
read_keyword(NDIS_HANDLE configuration, PCWSTR keyword, ULONG otherwise)
{
    NDIS_CONFIGURATION_PARAMETER *value = NULL;
    NDIS_STATUS status = NDIS_STATUS_FAILURE;
    NDIS_STRING name;

    NdisInitUnicodeString(&name, keyword);
    NdisReadConfiguration(&status, &value, configuration, &name, NdisParameterInteger);
    return status == NDIS_STATUS_SUCCESS && value ? value->ParameterData.IntegerData : otherwise;
}

static const struct soft_limits defaults = {
    .neighbors = CONNECTIONS_DEFAULT,
    .paths = CONNECTIONS_DEFAULT,
    .connections = CONNECTIONS_DEFAULT,
    .window_bytes = WINDOW_DEFAULT,
    .hw_addresses = SOFT_UNLIMITED,
    .ip_addresses = SOFT_UNLIMITED,
    .vlans = SOFT_UNLIMITED,
    .mtu = SOFT_UNLIMITED,
    .send_bytes = SOFT_UNLIMITED,
    .buffered_bytes = SOFT_UNLIMITED,
    .budget = SOFT_UNLIMITED,
    .extension = TCP_OFFLOAD_EXTENSION_VERSION,
    .ipv4 = true,
    .ipv6 = true,
};

static void
read_all(struct soft_adapter *adapter, NDIS_HANDLE configuration)
{
    struct soft_limits *limits = &adapter->limits;
    struct soft_thresholds *thresholds = &adapter->thresholds;
    unsigned idle_ms = 0;
    const struct {
        PCWSTR keyword;
        unsigned *value;
    } numbers[] = {
        {u"ConnectionCapacity", &limits->connections},
        {u"PathCapacity", &limits->paths},
        {u"NeighborCapacity", &limits->neighbors},
        {u"HwAddressCapacity", &limits->hw_addresses},
        {u"IpAddressCapacity", &limits->ip_addresses},
        {u"VlanCapacity", &limits->vlans},
        {u"VlanId", &limits->vlan},
        {u"MaxPathMtu", &limits->mtu},
        {u"MaxReceiveWindow", &limits->window_bytes},
        {u"ReceiveBudget", &limits->budget},
        {u"MaxSendData", &limits->send_bytes},
        {u"MaxBufferedData", &limits->buffered_bytes},
        {u"MinSegment", &limits->least_mss},
        {u"StateExtension", &limits->extension},
        {u"UploadWindow", &thresholds->window},
        {u"HighDropRate", &thresholds->drops},
        {u"HighFragmentation", &thresholds->fragments},
        {u"HighOutofOrderPackets", &thresholds->disorder},
        {u"NoBufferProposting", &thresholds->unposted},
        {u"SmallIO", &thresholds->small_bytes},
        {u"LowActivity", &idle_ms},
        {u"HardwareFailure", &thresholds->failure},
        {u"StateLost", &thresholds->lost},
    };

    thresholds->window = WATCH_WINDOW_DEFAULT;
    limits->ipv4 = read_keyword(configuration, u"*TCPConnectionOffloadIPv4", 1);
    limits->ipv6 = read_keyword(configuration, u"*TCPConnectionOffloadIPv6", 1);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        *numbers[i].value = read_keyword(configuration, numbers[i].keyword, *numbers[i].value);
    thresholds->idle_us = (uint64_t)idle_ms * 1000;
    thresholds->any = thresholds->drops || thresholds->fragments || thresholds->disorder ||
                      thresholds->unposted || thresholds->small_bytes || idle_ms;
}

void
soft_limits_read(struct soft_adapter *adapter)
{
    struct soft_limits *limits = &adapter->limits;
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {.Type = NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT,
                   .Revision = NDIS_CONFIGURATION_OBJECT_REVISION_1,
                   .Size = sizeof object},
        .NdisHandle = adapter->handle,
    };
    NDIS_HANDLE configuration;

    *limits = defaults;
    if (NdisOpenConfigurationEx(&object, &configuration) == NDIS_STATUS_SUCCESS) {
        read_all(adapter, configuration);
        NdisCloseConfiguration(configuration);
    }
    adapter->hw_addresses.capacity = limits->hw_addresses;
    adapter->ip_addresses.capacity = limits->ip_addresses;
    adapter->vlans.capacity = limits->vlans;
}

/* ---- addresses and ids in use ---- */

static struct soft_use *
find_use(const struct soft_table *table, const void *value)
{
    list_for_each(use, &table->uses, struct soft_use, link) {
        if (!memcmp(use->value, value, SOFT_USE_BYTES))
            return use;
    }
    return NULL;
}

void
soft_table_init(struct soft_table *table)
{
    list_init(&table->uses);
}

NDIS_STATUS
soft_use_get(struct soft_table *table, const void *value, size_t len, NDIS_STATUS full,
             struct soft_use **out)
{
    uint8_t bytes[SOFT_USE_BYTES] = {0};
    struct soft_use *use;

    memcpy(bytes, value, len);
    use = find_use(table, bytes);
    if (!use) {
        if (table->count >= table->capacity)
            return full;
        use = calloc(1, sizeof *use);
        if (!use)
            return NDIS_STATUS_RESOURCES;
        memcpy(use->value, bytes, sizeof bytes);
        use->table = table;
        list_add_tail(&table->uses, &use->link);
        table->count++;
    }
    use->count++;
    *out = use;
    return NDIS_STATUS_SUCCESS;
}

void
soft_use_put(struct soft_use *use)
{
    if (!use || --use->count)
        return;
    list_del(&use->link);
    use->table->count--;
    free(use);
}

/* ---- neighbors ---- */

static bool
own_address(const struct soft_adapter *adapter, const UCHAR *address)
{
    static const UCHAR none[6];

    return !memcmp(address, none, 6) || !memcmp(address, wire_mac(adapter->wire), 6);
}

NDIS_STATUS
soft_limits_neighbor(struct soft_adapter *adapter, struct soft_neighbor *neighbor)
{
    const NEIGHBOR_OFFLOAD_STATE_CONST *constant = &neighbor->constant;
    uint16_t vlan = (uint16_t)constant->VlanId;
    NDIS_STATUS status = NDIS_STATUS_SUCCESS;

    if (adapter->neighbors >= adapter->limits.neighbors)
        return NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES;
    if (vlan && adapter->limits.vlan && vlan != adapter->limits.vlan)
        return NDIS_STATUS_OFFLOAD_VLAN_MISMATCH;
    if (vlan)
        status = soft_use_get(&adapter->vlans, &vlan, sizeof vlan, NDIS_STATUS_OFFLOAD_VLAN_ENTRIES,
                              &neighbor->vlan);
    if (status != NDIS_STATUS_SUCCESS || own_address(adapter, constant->DlSourceAddress))
        return status;
    return soft_use_get(&adapter->hw_addresses, constant->DlSourceAddress, 6,
                        NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES, &neighbor->source);
}

/* ---- paths ---- */

/* The path MTU can be kept on this wire. */
bool
soft_mtu_fits(const struct soft_adapter *adapter, bool ipv6, ULONG mtu)
{
    return mtu <= wire_mtu(adapter->wire) && mtu <= adapter->limits.mtu &&
           mtu >= (ipv6 ? 1280u : 128u);
}

NDIS_STATUS
soft_limits_path(struct soft_adapter *adapter, struct soft_path *path)
{
    uint8_t address[SOFT_USE_BYTES] = {path->ipv6};

    if (!(path->ipv6 ? adapter->limits.ipv6 : adapter->limits.ipv4))
        return NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED;
    if (adapter->paths >= adapter->limits.paths)
        return NDIS_STATUS_OFFLOAD_PATH_ENTRIES;
    if (!soft_mtu_fits(adapter, path->ipv6, path->cached.PathMtu))
        return NDIS_STATUS_OFFLOAD_PATH_MTU;
    memcpy(address + 1, path->source, 16);
    return soft_use_get(&adapter->ip_addresses, address, sizeof address,
                        NDIS_STATUS_OFFLOAD_IP_ADDRESS_ENTRIES, &path->address);
}

/* ---- connections ---- */

/*
 * Windows are promises of memory. With a budget each connection may have an equal part of it and no
 * more; what one that came early was shown beyond its part runs out as it is used, because an edge
 * that was shown never moves back (RFC 9293, section 3.8.6).
 */
uint32_t
soft_limits_share(const struct soft_adapter *adapter, unsigned connections)
{
    uint32_t budget = adapter->limits.budget;

    return budget == SOFT_UNLIMITED || !connections ? budget : budget / connections;
}

static uint64_t
bytes_of(const NET_BUFFER_LIST *chain)
{
    uint64_t bytes = 0;

    for (; chain; chain = NET_BUFFER_LIST_NEXT_NBL(chain))
        bytes += soft_nbl_measure(chain);
    return bytes;
}

NDIS_STATUS
soft_limits_tcp(const struct soft_adapter *adapter, const NET_BUFFER_LIST *sends,
                const TCP_OFFLOAD_STATE_CONST *constant, const TCP_OFFLOAD_STATE_CACHED *cached,
                const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    const struct soft_limits *limits = &adapter->limits;

    if (adapter->connections >= limits->connections)
        return NDIS_STATUS_OFFLOAD_TCP_ENTRIES;
    if (constant->RemoteMss < limits->least_mss)
        return NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED;
    if (cached->InitialRcvWnd > limits->window_bytes)
        return NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW;
    if (soft_limits_share(adapter, adapter->connections + 1) < LEAST_SHARE)
        return NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER;
    if (bytes_of(sends) > limits->send_bytes || bytes_of(sends) > SOFT_SENDS_MOST)
        return NDIS_STATUS_OFFLOAD_TCP_XMIT_BUFFER;
    if (bytes_of(delegated->BufferedData) > limits->buffered_bytes)
        return NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER;
    return NDIS_STATUS_SUCCESS;
}
