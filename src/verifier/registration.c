/*
 * V-001 … V-013: registration and initialisation. Most of it is about where a call is made from,
 * and that is on the stack of calls: NdisSetOptionalHandlers inside a registration or a bind,
 * NdisMGetOffloadHandlers and the pools inside MiniportInitializeEx.
 */
#include "verifier/shadow.h"

#include <string.h>

enum table_kind { NO_TABLE, PROVIDER_GENERIC, PROVIDER_TCP, CLIENT_GENERIC, CLIENT_TCP };

/* As NDIS tells them apart: by the type, else by who asks and the size. */
static enum table_kind
table_kind(const NDIS_OBJECT_HEADER *header, ULONG handle_kind)
{
    switch (header->Type) {
    case NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS:
        return PROVIDER_GENERIC;
    case NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS:
        return PROVIDER_TCP;
    case NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS:
        return CLIENT_GENERIC;
    case NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS:
        return CLIENT_TCP;
    default:
        break;
    }
    if (handle_kind == CROSSING_HANDLE_MINIPORT)
        return header->Size == sizeof(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS)
                   ? PROVIDER_TCP
                   : PROVIDER_GENERIC;
    return header->Size == sizeof(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS) ? CLIENT_TCP
                                                                                   : CLIENT_GENERIC;
}

static size_t
table_size(enum table_kind kind)
{
    static const size_t sizes[] = {
        [NO_TABLE] = 0,
        [PROVIDER_GENERIC] = sizeof(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS),
        [PROVIDER_TCP] = sizeof(NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS),
        [CLIENT_GENERIC] = sizeof(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS),
        [CLIENT_TCP] = sizeof(NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS),
    };

    return sizes[kind];
}

/* ---- drivers ---- */

static void
registering(struct verifier *verifier, struct call *call)
{
    struct shadow_driver *driver = shadow_driver(verifier, call->crossing->from);

    if (!driver)
        return;
    if (call->crossing->code == CROSSING_HANDLE_MINIPORT)
        driver->is_miniport = true;
    else
        driver->is_protocol = true;
}

static void
check_place(const struct call *call, enum table_kind kind)
{
    const struct call *around = call_around(call, CROSSING_REGISTER);
    bool inside = around && around->object_key == call->object_key;
    bool provider = kind == PROVIDER_GENERIC || kind == PROVIDER_TCP;

    if (provider && !inside) {
        report(call, 1, BLAME_CALLER, NULL,
               "a PROVIDER table is registered outside MiniportSetOptions");
        return;
    }
    if (call->crossing->code == CROSSING_HANDLE_BINDING)
        inside = call_around(call, CROSSING_BIND) ||
                 (call->binding && !strcmp(call->binding->state, "Opening"));
    if (!provider && !inside)
        report(call, 2, BLAME_CALLER, NULL,
               "a CLIENT table is registered outside ProtocolSetOptions, and not while binding");
}

static void
check_table(const struct call *call, enum table_kind kind)
{
    const NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS *table = call->crossing->data;
    const NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS *tcp = call->crossing->data;

    if (table->Header.Revision != NDIS_OBJECT_REVISION_1 ||
        table->Header.Size != table_size(kind)) {
        report(call, 4, BLAME_CALLER, NULL, "table of type 0x%02x has revision %u and size %u",
               table->Header.Type, table->Header.Revision, table->Header.Size);
        return;
    }
    if (table->Flags)
        report(call, 4, BLAME_CALLER, NULL, "table of type 0x%02x has Flags 0x%x",
               table->Header.Type, table->Flags);
    else if ((kind == PROVIDER_TCP || kind == CLIENT_TCP) &&
             tcp->OffloadType != NdisTcpChimneyOffload)
        report(call, 4, BLAME_CALLER, NULL, "OffloadType is %u", tcp->OffloadType);
    else if (call->crossing->status != NDIS_STATUS_SUCCESS)
        report(call, 4, BLAME_CALLER, NULL, "table of type 0x%02x: a handler is missing",
               table->Header.Type);
}

static void
set_handlers(struct verifier *verifier, struct call *call)
{
    struct shadow_driver *driver = shadow_driver(verifier, call->crossing->from);
    enum table_kind kind = table_kind(call->crossing->data, call->crossing->code);
    unsigned *counts[] = {NULL, &driver->provider_generic, &driver->provider_tcp,
                          &driver->client_generic, &driver->client_tcp};

    check_place(call, kind);
    check_table(call, kind);
    if (call->crossing->code == CROSSING_HANDLE_BINDING ||
        call->crossing->status != NDIS_STATUS_SUCCESS)
        return;
    if (++*counts[kind] > 1 && (kind == PROVIDER_GENERIC || kind == PROVIDER_TCP))
        report(call, 1, BLAME_CALLER, NULL, "the %s PROVIDER table is registered again",
               kind == PROVIDER_TCP ? "TCP" : "generic");
}

/* ---- adapters ---- */

static bool
provides(const struct shadow_driver *driver)
{
    return driver->provider_generic && driver->provider_tcp;
}

static void
get_handlers(struct verifier *verifier, struct call *call)
{
    const struct call *around = call_around(call, CROSSING_INITIALIZE);

    if (!call->adapter)
        return;
    if (!around || around->adapter != call->adapter)
        report(call, 5, BLAME_CALLER, NULL, "called outside MiniportInitializeEx");
    else if (!(call->adapter->attributes_set & 1))
        report(call, 5, BLAME_CALLER, NULL, "called before the registration attributes are set");
    else if (call->adapter->got_handlers)
        report(call, 5, BLAME_CALLER, NULL, "called again for the same type");
    call->adapter->got_handlers++;
}

static void
check_capabilities(const struct call *call, const NDIS_TCP_CONNECTION_OFFLOAD *can)
{
    if (!(can->Encapsulation &
          (NDIS_ENCAPSULATION_IEEE_802_3 | NDIS_ENCAPSULATION_IEEE_LLC_SNAP_ROUTED)))
        report(call, 7, BLAME_CALLER, NULL, "Encapsulation 0x%x has no Ethernet form",
               can->Encapsulation);
    else if (can->SupportIPv4 != NDIS_OFFLOAD_SUPPORTED &&
             can->SupportIPv6 != NDIS_OFFLOAD_SUPPORTED)
        report(call, 7, BLAME_CALLER, NULL, "neither IPv4 nor IPv6 is supported");
    else if (!can->TcpConnectionOffloadCapacity)
        report(call, 7, BLAME_CALLER, NULL, "TcpConnectionOffloadCapacity is 0");
}

static void
set_attributes(struct verifier *verifier, struct call *call)
{
    const NDIS_MINIPORT_ADAPTER_ATTRIBUTES *attributes = call->crossing->data;
    const NDIS_TCP_CONNECTION_OFFLOAD *can;
    struct shadow_adapter *adapter = call->adapter;

    if (!adapter)
        return;
    switch (attributes->Header.Type) {
    case NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES:
        adapter->attributes_set |= 1;
        return;
    case NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES:
        adapter->attributes_set |= 2;
        return;
    case NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES:
        break;
    default:
        return;
    }
    if (!(adapter->attributes_set & 2))
        report(call, 189, BLAME_CALLER, NULL, "the general attributes come before the others");
    adapter->attributes_set |= 4;
    can = attributes->OffloadAttributes.DefaultTcpConnectionOffloadConfiguration;
    if (!can)
        can = attributes->OffloadAttributes.TcpConnectionOffloadHardwareCapabilities;
    if (!can)
        return;
    check_capabilities(call, can);
    adapter->capabilities = *can;
    adapter->has_capabilities = true;
}

static void
pool(struct verifier *verifier, struct call *call)
{
    const NET_BUFFER_LIST_POOL_PARAMETERS *parameters = call->crossing->data;
    const struct call *around = call_around(call, CROSSING_INITIALIZE);

    if (around && around->adapter && parameters->fAllocateNetBuffer)
        around->adapter->one_buffer_pools++;
}

static void
initialized(struct verifier *verifier, struct call *call)
{
    const struct shadow_adapter *adapter = call->adapter;
    const struct shadow_driver *driver = adapter ? adapter->driver : NULL;
    bool client;

    if (!driver || call->crossing->status != NDIS_STATUS_SUCCESS)
        return;
    client = driver->client_generic && driver->client_tcp;
    if (adapter->is_im && (provides(driver) || client) && !(provides(driver) && client))
        report(call, 3, BLAME_CALLEE, NULL, "only the %s tables are registered",
               client ? "CLIENT" : "PROVIDER");
    if (!adapter->is_im && provides(driver) && adapter->one_buffer_pools < 2)
        report(call, 8, BLAME_CALLEE, NULL,
               "MiniportInitializeEx made %u pools with one NET_BUFFER per list, not two",
               adapter->one_buffer_pools);
}

static void
one_buffer(struct verifier *verifier, struct call *call)
{
    const NET_BUFFER_LIST *nbl = call->crossing->nbls;
    const NET_BUFFER *first = nbl ? NET_BUFFER_LIST_FIRST_NB(nbl) : NULL;

    if (nbl && (!first || NET_BUFFER_NEXT_NB(first)))
        report(call, 9, BLAME_CALLER, nbl, "an indicated NBL has %s NET_BUFFER",
               first ? "more than one" : "no");
}

/* ---- parameters ---- */

static const struct _SET *
parameters_set(const NDIS_OID_REQUEST *request)
{
    return request->RequestType == NdisRequestSetInformation &&
                   request->DATA.SET_INFORMATION.Oid == OID_TCP_CONNECTION_OFFLOAD_PARAMETERS
               ? &request->DATA.SET_INFORMATION
               : NULL;
}

static void
setting_parameters(struct verifier *verifier, struct call *call)
{
    const struct _SET *set = parameters_set(call->crossing->data);
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS parameters;

    if (!set || !set->InformationBuffer || set->InformationBufferLength < sizeof(parameters))
        return;
    memcpy(&parameters, set->InformationBuffer, sizeof(parameters));
    if (parameters.TicksPerSecond != 10 && parameters.TicksPerSecond != 100 &&
        parameters.TicksPerSecond != 1000)
        report(call, 11, BLAME_CALLER, NULL, "TicksPerSecond is %u", parameters.TicksPerSecond);
}

static void
parameters_answered(const struct call *call, const NDIS_OID_REQUEST *request, NDIS_STATUS status,
                    enum blame blame)
{
    const struct _SET *set = parameters_set(request);
    const struct shadow_adapter *adapter = call->adapter;
    const struct table_entry *lower;
    const struct shadow_binding *binding;

    if (!set || !adapter || !adapter->has_capabilities)
        return;
    if (status == NDIS_STATUS_NOT_SUPPORTED || status == NDIS_STATUS_INVALID_OID)
        report(call, 10, blame, NULL, "the set is answered with 0x%08x", (unsigned)status);
    if (status != NDIS_STATUS_SUCCESS || !adapter->lower_binding || !set->InformationBuffer ||
        set->InformationBufferLength < sizeof(NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS))
        return;
    lower = table_find(&call->verifier->bindings, adapter->lower_binding);
    binding = lower ? container_of(lower, struct shadow_binding, entry) : NULL;
    if (binding && !(binding->adapter->has_parameters &&
                     !memcmp(&binding->adapter->parameters, set->InformationBuffer,
                             sizeof(binding->adapter->parameters))))
        report(call, 12, blame, NULL, "the set succeeds, and %s below never got it",
               binding->adapter->name);
}

static void
oid_returned(struct verifier *verifier, struct call *call)
{
    if (call->crossing->status != NDIS_STATUS_PENDING && call->root)
        parameters_answered(call, call->root, call->crossing->status, BLAME_CALLEE);
}

static void
oid_completed(struct verifier *verifier, struct call *call)
{
    if (!call_by_ndis(call))
        parameters_answered(call, call->crossing->data, call->crossing->status, BLAME_CALLER);
}

static void
initiating(struct verifier *verifier, struct call *call)
{
    if (call->adapter && call->adapter->has_capabilities && !call->adapter->has_parameters)
        report(call, 11, BLAME_CALLER, NULL,
               "the connection-offload parameters of %s were never set", call->adapter->name);
}

static void
initiate_returned(struct verifier *verifier, struct call *call)
{
    const struct shadow_adapter *adapter = call->adapter;

    /* attached later, nobody knows what was registered before */
    if (adapter && adapter->driver->is_miniport && !call->crossing->refused &&
        !provides(adapter->driver))
        report_late(verifier, 13, "ndis", adapter->name, NULL,
                    "an initiate reached %s, which has no chimney handlers", adapter->driver->name);
}

const struct family registration_family = {
    .before = {[CROSSING_REGISTER] = registering,
               [CROSSING_SET_HANDLERS] = set_handlers,
               [CROSSING_GET_HANDLERS] = get_handlers,
               [CROSSING_SET_ATTRIBUTES] = set_attributes,
               [CROSSING_POOL] = pool,
               [CROSSING_TCP_RECEIVE_INDICATE] = one_buffer,
               [CROSSING_OID] = setting_parameters,
               [CROSSING_OID_COMPLETE] = oid_completed,
               [CROSSING_INITIATE] = initiating},
    .after = {[CROSSING_INITIALIZE] = initialized,
              [CROSSING_OID] = oid_returned,
              [CROSSING_INITIATE] = initiate_returned},
};
