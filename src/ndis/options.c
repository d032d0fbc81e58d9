/*
 * NdisSetOptionalHandlers: the four chimney tables. A table is told by its Header.Type; drivers
 * that did not set it are told by the kind of handle and the size, which on this architecture says
 * the same. Miniports register PROVIDER tables, protocols and their bindings CLIENT tables
 * . An incomplete table is refused: its driver does no chimney (P32).
 */
#include "ndis/landing.h"

#include "base/log.h"

enum table { TABLE_NONE, TABLE_GENERIC, TABLE_TCP };

/* Every member from first to the end of a table is a handler. */
static bool
handlers_complete(const void *table, size_t first, size_t size)
{
    for (size_t at = first; at < size; at += sizeof(void (*)(void))) {
        void (*handler)(void);

        memcpy(&handler, (const char *)table + at, sizeof(handler));
        if (!handler)
            return false;
    }
    return true;
}

static enum table
which(const NDIS_OBJECT_HEADER *header, UCHAR generic_type, size_t generic_size, UCHAR tcp_type,
      size_t tcp_size)
{
    if (header->Type == generic_type)
        return header->Size >= generic_size ? TABLE_GENERIC : TABLE_NONE;
    if (header->Type == tcp_type)
        return header->Size >= tcp_size ? TABLE_TCP : TABLE_NONE;
    if (header->Type == NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS ||
        header->Type == NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS ||
        header->Type == NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS ||
        header->Type == NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS)
        return TABLE_NONE; /* of the other kind of driver */
    if (header->Size == generic_size)
        return TABLE_GENERIC;
    return header->Size == tcp_size ? TABLE_TCP : TABLE_NONE;
}

static NDIS_STATUS
set_provider(struct ndis_miniport *miniport, const NDIS_DRIVER_OPTIONAL_HANDLERS *handlers)
{
    const NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS *generic = (const void *)handlers;
    const NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS *tcp = (const void *)handlers;

    switch (which(&handlers->Header,
                  NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                  sizeof(*generic), NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                  sizeof(*tcp))) {
    case TABLE_GENERIC:
        if (!handlers_complete(generic, offsetof(typeof(*generic), InitiateOffloadHandler),
                               sizeof(*generic)))
            return NDIS_STATUS_BAD_CHARACTERISTICS;
        miniport->generic = *generic;
        miniport->has_generic = true;
        return NDIS_STATUS_SUCCESS;
    case TABLE_TCP:
        if (tcp->OffloadType != NdisTcpChimneyOffload ||
            !handlers_complete(tcp, offsetof(typeof(*tcp), TcpOffloadSendHandler), sizeof(*tcp)))
            return NDIS_STATUS_BAD_CHARACTERISTICS;
        miniport->tcp = *tcp;
        miniport->has_tcp = true;
        return NDIS_STATUS_SUCCESS;
    case TABLE_NONE:
        break;
    }
    return NDIS_STATUS_FAILURE;
}

static NDIS_STATUS
set_client(struct ndis_client *client, const NDIS_DRIVER_OPTIONAL_HANDLERS *handlers)
{
    const NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS *generic = (const void *)handlers;
    const NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS *tcp = (const void *)handlers;

    switch (which(&handlers->Header,
                  NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, sizeof(*generic),
                  NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS, sizeof(*tcp))) {
    case TABLE_GENERIC:
        if (!handlers_complete(generic, offsetof(typeof(*generic), InitiateOffloadCompleteHandler),
                               sizeof(*generic)))
            return NDIS_STATUS_BAD_CHARACTERISTICS;
        client->generic = *generic;
        client->has_generic = true;
        return NDIS_STATUS_SUCCESS;
    case TABLE_TCP:
        if (tcp->OffloadType != NdisTcpChimneyOffload ||
            !handlers_complete(tcp, offsetof(typeof(*tcp), TcpOffloadSendCompleteHandler),
                               sizeof(*tcp)))
            return NDIS_STATUS_BAD_CHARACTERISTICS;
        client->tcp = *tcp;
        client->has_tcp = true;
        return NDIS_STATUS_SUCCESS;
    case TABLE_NONE:
        break;
    }
    return NDIS_STATUS_FAILURE;
}

/* ---- the driver above has no chimney: what reaches it all the same is logged and dropped ---- */

static VOID
nobody_completes(NDIS_HANDLE ProtocolBindingContext,
                 PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    log_error("a state operation completes to a driver without chimney handlers");
}

static VOID
nobody_takes(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    log_error("NBLs complete to a driver without chimney handlers");
}

static VOID
nobody_answers(NDIS_HANDLE ProtocolBindingContext,
               PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
}

static VOID
nobody_hears(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
}

static NDIS_STATUS
nobody_receives(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
                PULONG BytesConsumed)
{
    *BytesConsumed = 0;
    return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
}

void
ndis_client_init(struct ndis_client *client)
{
    *client = (struct ndis_client){
        .generic = {.InitiateOffloadCompleteHandler = nobody_completes,
                    .TerminateOffloadCompleteHandler = nobody_completes,
                    .UpdateOffloadCompleteHandler = nobody_completes,
                    .InvalidateOffloadCompleteHandler = nobody_completes,
                    .QueryOffloadCompleteHandler = nobody_completes,
                    .IndicateOffloadEventHandler = nobody_answers},
        .tcp = {.TcpOffloadSendCompleteHandler = nobody_takes,
                .TcpOffloadReceiveCompleteHandler = nobody_takes,
                .TcpOffloadDisconnectCompleteHandler = nobody_takes,
                .TcpOffloadForwardCompleteHandler = nobody_takes,
                .TcpOffloadEventHandler = nobody_hears,
                .TcpOffloadReceiveIndicateHandler = nobody_receives},
    };
}

/* A binding that overrides one table keeps the other as it was. */
static struct ndis_client *
client_of_binding(struct ndis_binding *binding)
{
    if (binding->client != &binding->own) {
        binding->own = *binding->client;
        binding->client = &binding->own;
    }
    return &binding->own;
}

static struct ndis_driver *
driver_of(struct ndis_head *head, enum crossing_handle *kind)
{
    switch ((uint32_t)head->magic) {
    case NDIS_MAGIC_MINIPORT:
        *kind = CROSSING_HANDLE_MINIPORT;
        return ((struct ndis_miniport *)head)->driver;
    case NDIS_MAGIC_PROTOCOL:
        *kind = CROSSING_HANDLE_PROTOCOL;
        return ((struct ndis_protocol *)head)->driver;
    case NDIS_MAGIC_BINDING:
        *kind = CROSSING_HANDLE_BINDING;
        return ((struct ndis_binding *)head)->protocol->driver;
    default:
        return NULL;
    }
}

NDIS_STATUS
NdisSetOptionalHandlers(NDIS_HANDLE NdisHandle, PNDIS_DRIVER_OPTIONAL_HANDLERS OptionalHandlers)
{
    struct ndis_head *head = NdisHandle;
    NDIS_STATUS status = NDIS_STATUS_FAILURE;
    enum crossing_handle kind;
    struct ndis_driver *driver;
    struct house *house;

    if (!ndis_given(NdisHandle, "NdisSetOptionalHandlers") ||
        !ndis_given(OptionalHandlers, "NdisSetOptionalHandlers"))
        return NDIS_STATUS_FAILURE;
    ndis_at_most(PASSIVE_LEVEL, "NdisSetOptionalHandlers");
    if (((uintptr_t)head & 7)) {
        ndis_bad_handle(head, NDIS_MAGIC_MINIPORT, "NdisSetOptionalHandlers");
        return NDIS_STATUS_FAILURE;
    }
    if (head->magic == NDIS_MAGIC_MINIPORT)
        status = set_provider(NdisHandle, OptionalHandlers);
    else if (head->magic == NDIS_MAGIC_PROTOCOL)
        status = set_client(&((struct ndis_protocol *)NdisHandle)->client, OptionalHandlers);
    else if (head->magic == NDIS_MAGIC_BINDING)
        status = set_client(client_of_binding(NdisHandle), OptionalHandlers);
    driver = driver_of(head, &kind);
    house = driver ? driver->head.house : NULL;
    if (house && ndis_observed(house)) {
        struct crossing crossing = ndis_crossing_service(CROSSING_SET_HANDLERS, driver, NULL);
        crossing.object = head;
        crossing.code = kind;
        crossing.data = OptionalHandlers;
        crossing.status = status;
        ndis_observe(house, &crossing);
    }
    if (status != NDIS_STATUS_SUCCESS)
        ndis_breach(house, 4, driver ? driver->name : NULL,
                    "NdisSetOptionalHandlers: table of type 0x%02x, size %u refused with 0x%08x",
                    OptionalHandlers->Header.Type, OptionalHandlers->Header.Size, (unsigned)status);
    return status;
}

static const NDIS_TCP_OFFLOAD_EVENT_HANDLERS tcp_event_handlers = {
    .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
               .Revision = NDIS_TCP_OFFLOAD_EVENT_HANDLERS_REVISION_1,
               .Size = sizeof(NDIS_TCP_OFFLOAD_EVENT_HANDLERS)},
    .NdisTcpOffloadEventHandler = ndis_tcp_event,
    .NdisTcpOffloadReceiveHandler = ndis_tcp_receive_indicate,
    .NdisTcpOffloadSendComplete = ndis_tcp_send_complete,
    .NdisTcpOffloadReceiveComplete = ndis_tcp_receive_complete,
    .NdisTcpOffloadDisconnectComplete = ndis_tcp_disconnect_complete,
    .NdisTcpOffloadForwardComplete = ndis_tcp_forward_complete,
};

NDIS_STATUS
NdisMGetOffloadHandlers(NDIS_HANDLE NdisMiniportHandle,
                        NDIS_CHIMNEY_OFFLOAD_TYPE ChimneyOffloadType,
                        PNDIS_OFFLOAD_EVENT_HANDLERS *OffloadHandlers)
{
    struct ndis_adapter *adapter = ndis_adapter_of(NdisMiniportHandle, "NdisMGetOffloadHandlers");

    if (!ndis_given(OffloadHandlers, "NdisMGetOffloadHandlers"))
        return NDIS_STATUS_INVALID_PARAMETER;
    ndis_at_most(PASSIVE_LEVEL, "NdisMGetOffloadHandlers");
    *OffloadHandlers = NULL;
    if (!adapter)
        return NDIS_STATUS_INVALID_PARAMETER;
    if (ndis_observed(adapter->head.house)) {
        struct crossing crossing = ndis_crossing_service(CROSSING_GET_HANDLERS,
                                                         adapter->miniport->driver, adapter);
        crossing.code = ChimneyOffloadType;
        ndis_observe(adapter->head.house, &crossing);
    }
    if (ChimneyOffloadType != NdisTcpChimneyOffload)
        return NDIS_STATUS_NOT_SUPPORTED;
    *OffloadHandlers = (PNDIS_OFFLOAD_EVENT_HANDLERS)&tcp_event_handlers;
    return NDIS_STATUS_SUCCESS;
}
