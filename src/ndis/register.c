/*
 * Registration: what a driver's entry calls. A driver registers at most one upper edge (miniport)
 * and one lower edge (protocol); an intermediate driver has both. Tables are copied and checked
 * here, once, so that no crossing has to ask whether a handler exists: missing optional ones are
 * filled with defaults that do what "I do not care" means.
 */
#include "ndis/landing.h"

#include "base/log.h"

#include <stdlib.h>

/* One mandatory member of a handler table. */
struct member {
    size_t offset;
    const char *name;
};
#define MEMBER(type, name)                                                                         \
    {                                                                                              \
        offsetof(type, name), #name                                                                \
    }

static bool
complete(const void *table, const struct member *members, size_t count, const char *driver)
{
    for (size_t i = 0; i < count; i++) {
        void (*handler)(void);

        memcpy(&handler, (const char *)table + members[i].offset, sizeof(handler));
        if (!handler) {
            log_error("driver %s: %s is missing", driver, members[i].name);
            return false;
        }
    }
    return true;
}

#define COMPLETE(table, members, driver)                                                           \
    complete(table, members, sizeof(members) / sizeof((members)[0]), driver)

/* ---- protocol drivers ---- */

static const struct member protocol_members[] = {
    MEMBER(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, BindAdapterHandlerEx),
    MEMBER(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, UnbindAdapterHandlerEx),
    MEMBER(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, OpenAdapterCompleteHandlerEx),
    MEMBER(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, CloseAdapterCompleteHandlerEx),
    MEMBER(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, NetPnPEventHandler),
    MEMBER(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, OidRequestCompleteHandler),
    MEMBER(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, StatusHandlerEx),
    MEMBER(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, ReceiveNetBufferListsHandler),
    MEMBER(NDIS_PROTOCOL_DRIVER_CHARACTERISTICS, SendNetBufferListsCompleteHandler),
};

/* What the driver's header says is there; what it does not know is zero. */
static void
copy_table(void *to, size_t size, const NDIS_OBJECT_HEADER *from)
{
    memcpy(to, from, from->Size < size ? from->Size : size);
}

static NDIS_STATUS
check_header(const NDIS_OBJECT_HEADER *header, UCHAR type, size_t size, UCHAR major,
             const char *driver)
{
    if (major < 6) {
        log_error("driver %s: NDIS version %u is too old", driver, major);
        return NDIS_STATUS_BAD_VERSION;
    }
    if (header->Type != type || header->Size < size || header->Revision < NDIS_OBJECT_REVISION_1) {
        log_error("driver %s: characteristics of type 0x%02x, revision %u, size %u", driver,
                  header->Type, header->Revision, header->Size);
        return NDIS_STATUS_BAD_CHARACTERISTICS;
    }
    return NDIS_STATUS_SUCCESS;
}

/* The driver whose entry is on the stack; handles cannot name it, it has none yet. */
static struct ndis_driver *
driver_loading(const char *call)
{
    struct house *house = ndis_house_current();

    if (house && house->loading)
        return house->loading;
    log_error("%s: only from the entry of a driver", call);
    return NULL;
}

NDIS_STATUS
NdisRegisterProtocolDriver(NDIS_HANDLE ProtocolDriverContext,
                           PNDIS_PROTOCOL_DRIVER_CHARACTERISTICS ProtocolCharacteristics,
                           PNDIS_HANDLE NdisProtocolHandle)
{
    struct ndis_driver *driver = driver_loading("NdisRegisterProtocolDriver");
    struct ndis_protocol *protocol;
    struct crossing crossing;
    NDIS_STATUS status;

    if (!ndis_given(NdisProtocolHandle, "NdisRegisterProtocolDriver"))
        return NDIS_STATUS_FAILURE;
    ndis_at_most(PASSIVE_LEVEL, "NdisRegisterProtocolDriver");
    *NdisProtocolHandle = NULL;
    if (!ndis_given(ProtocolCharacteristics, "NdisRegisterProtocolDriver"))
        return NDIS_STATUS_FAILURE;
    if (!driver || driver->protocol)
        return NDIS_STATUS_FAILURE;
    status = check_header(&ProtocolCharacteristics->Header,
                          NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                          NDIS_SIZEOF_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1,
                          ProtocolCharacteristics->MajorNdisVersion, driver->name);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    if (!COMPLETE(ProtocolCharacteristics, protocol_members, driver->name))
        return NDIS_STATUS_BAD_CHARACTERISTICS;
    protocol = calloc(1, sizeof(*protocol));
    if (!protocol)
        return NDIS_STATUS_RESOURCES;
    ndis_head_init(&protocol->head, NDIS_MAGIC_PROTOCOL, driver->head.house);
    protocol->driver = driver;
    protocol->context = ProtocolDriverContext;
    copy_table(&protocol->handlers, sizeof(protocol->handlers), &ProtocolCharacteristics->Header);
    sys_task_init(&protocol->rebind, ndis_rebind_run, protocol);
    ndis_client_init(&protocol->client);
    driver->protocol = protocol;
    *NdisProtocolHandle = protocol;
    crossing = ndis_crossing_service(CROSSING_REGISTER, driver, NULL);
    crossing.object = protocol;
    crossing.code = CROSSING_HANDLE_PROTOCOL;
    crossing.data = ProtocolCharacteristics;
    ndis_observe(driver->head.house, &crossing);
    if (ProtocolCharacteristics->SetOptionsHandler)
        status = ProtocolCharacteristics->SetOptionsHandler(protocol, ProtocolDriverContext);
    ndis_observe_after(driver->head.house, &crossing, status);
    if (status != NDIS_STATUS_SUCCESS) {
        *NdisProtocolHandle = NULL;
        driver->protocol = NULL;
        ndis_bury(&protocol->head);
    }
    return status;
}

VOID
NdisDeregisterProtocolDriver(NDIS_HANDLE NdisProtocolHandle)
{
    struct ndis_protocol *protocol = ndis_checked(NdisProtocolHandle, NDIS_MAGIC_PROTOCOL,
                                                  "NdisDeregisterProtocolDriver");
    struct ndis_binding *binding;

    ndis_at_most(PASSIVE_LEVEL, "NdisDeregisterProtocolDriver");
    if (!protocol)
        return;
    sys_task_cancel(&protocol->rebind);
    while ((binding = ndis_binding_any(protocol)) != NULL)
        ndis_binding_unbind(binding);
    if (protocol->driver->miniport)
        protocol->driver->miniport->lower_edge = NULL;
    protocol->driver->protocol = NULL;
    ndis_bury(&protocol->head);
}

/* ---- miniport drivers ---- */

static const struct member miniport_members[] = {
    MEMBER(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, InitializeHandlerEx),
    MEMBER(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, HaltHandlerEx),
    MEMBER(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, PauseHandler),
    MEMBER(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, RestartHandler),
    MEMBER(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, OidRequestHandler),
    MEMBER(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, SendNetBufferListsHandler),
    MEMBER(NDIS_MINIPORT_DRIVER_CHARACTERISTICS, ReturnNetBufferListsHandler),
};

/* ---- what a driver that leaves an optional handler out does not care about ---- */

static VOID
cancel_nothing(NDIS_HANDLE MiniportAdapterContext, PVOID Id)
{
}

static VOID
no_notice(NDIS_HANDLE MiniportAdapterContext, PNET_DEVICE_PNP_EVENT NetDevicePnPEvent)
{
}

static VOID
no_shutdown(NDIS_HANDLE MiniportAdapterContext, NDIS_SHUTDOWN_ACTION ShutdownAction)
{
}

static void
fill_defaults(NDIS_MINIPORT_DRIVER_CHARACTERISTICS *handlers)
{
    if (!handlers->CancelSendHandler)
        handlers->CancelSendHandler = cancel_nothing;
    if (!handlers->CancelOidRequestHandler)
        handlers->CancelOidRequestHandler = cancel_nothing;
    if (!handlers->DevicePnPEventNotifyHandler)
        handlers->DevicePnPEventNotifyHandler = no_notice;
    if (!handlers->ShutdownHandlerEx)
        handlers->ShutdownHandlerEx = no_shutdown;
}

NDIS_STATUS
NdisMRegisterMiniportDriver(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath,
                            NDIS_HANDLE MiniportDriverContext,
                            PNDIS_MINIPORT_DRIVER_CHARACTERISTICS MiniportDriverCharacteristics,
                            PNDIS_HANDLE NdisMiniportDriverHandle)
{
    struct ndis_driver *driver = driver_loading("NdisMRegisterMiniportDriver");
    struct ndis_miniport *miniport;
    struct crossing crossing;
    NDIS_STATUS status;

    if (!ndis_given(NdisMiniportDriverHandle, "NdisMRegisterMiniportDriver"))
        return NDIS_STATUS_FAILURE;
    ndis_at_most(PASSIVE_LEVEL, "NdisMRegisterMiniportDriver");
    *NdisMiniportDriverHandle = NULL;
    if (!ndis_given(DriverObject, "NdisMRegisterMiniportDriver") ||
        !ndis_given(MiniportDriverCharacteristics, "NdisMRegisterMiniportDriver"))
        return NDIS_STATUS_FAILURE;
    if (!driver || driver->miniport || DriverObject != &driver->object)
        return NDIS_STATUS_FAILURE;
    status = check_header(&MiniportDriverCharacteristics->Header,
                          NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                          NDIS_SIZEOF_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_1,
                          MiniportDriverCharacteristics->MajorNdisVersion, driver->name);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    if (!COMPLETE(MiniportDriverCharacteristics, miniport_members, driver->name))
        return NDIS_STATUS_BAD_CHARACTERISTICS;
    miniport = calloc(1, sizeof(*miniport));
    if (!miniport)
        return NDIS_STATUS_RESOURCES;
    ndis_head_init(&miniport->head, NDIS_MAGIC_MINIPORT, driver->head.house);
    miniport->driver = driver;
    miniport->context = MiniportDriverContext;
    copy_table(&miniport->handlers, sizeof(miniport->handlers),
               &MiniportDriverCharacteristics->Header);
    fill_defaults(&miniport->handlers);
    driver->miniport = miniport;
    driver->object.DriverUnload = MiniportDriverCharacteristics->UnloadHandler;
    *NdisMiniportDriverHandle = miniport;
    crossing = ndis_crossing_service(CROSSING_REGISTER, driver, NULL);
    crossing.object = miniport;
    crossing.code = CROSSING_HANDLE_MINIPORT;
    crossing.data = MiniportDriverCharacteristics;
    ndis_observe(driver->head.house, &crossing);
    if (MiniportDriverCharacteristics->SetOptionsHandler)
        status = MiniportDriverCharacteristics->SetOptionsHandler(miniport, MiniportDriverContext);
    ndis_observe_after(driver->head.house, &crossing, status);
    if (status != NDIS_STATUS_SUCCESS) {
        *NdisMiniportDriverHandle = NULL;
        driver->miniport = NULL;
        ndis_bury(&miniport->head);
    }
    return status;
}

VOID
NdisMDeregisterMiniportDriver(NDIS_HANDLE NdisMiniportDriverHandle)
{
    struct ndis_miniport *miniport = ndis_checked(NdisMiniportDriverHandle, NDIS_MAGIC_MINIPORT,
                                                  "NdisMDeregisterMiniportDriver");
    struct ndis_adapter *adapter;

    ndis_at_most(PASSIVE_LEVEL, "NdisMDeregisterMiniportDriver");
    if (!miniport)
        return;
    while ((adapter = ndis_adapter_any(miniport)) != NULL)
        ndis_adapter_remove(adapter, NdisHaltDeviceDisabled);
    miniport->driver->miniport = NULL;
    ndis_bury(&miniport->head);
}

void
ndis_driver_sweep(struct ndis_driver *driver)
{
    if (driver->protocol) {
        log_warn("driver %s left its protocol registered", driver->name);
        NdisDeregisterProtocolDriver(driver->protocol);
    }
    if (driver->miniport) {
        log_warn("driver %s left its miniport registered", driver->name);
        NdisMDeregisterMiniportDriver(driver->miniport);
    }
}
