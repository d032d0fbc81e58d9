/*
 * team: the driver's entry, and the handlers that only translate. NDIS names a binding by its
 * member, the floor's defaults know the team; between the two there is nothing else to do: data
 * goes by a connection's handle, which is at one member, and of what is at several split.c knows.
 */
#include "intermediate/team/team.h"
#include "base/log.h"
#include "intermediate/drivers.h"

#include <string.h>

/* ---- state and data, up ---- */

static struct floor_adapter *
floor_of(NDIS_HANDLE binding_context)
{
    return &((struct team_member *)binding_context)->team->floor;
}

static VOID
TeamOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct floor_adapter *adapter = floor_of(ProtocolBindingContext);

    if (team_of(adapter)->hash)
        team_part_up(OffloadBlockList);
    else
        FloorOffloadComplete(adapter, OffloadBlockList);
}

static VOID
TeamTcpOffloadSendComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    FloorTcpOffloadSendComplete(floor_of(ProtocolBindingContext), NetBufferList);
}

static VOID
TeamTcpOffloadReceiveComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    FloorTcpOffloadReceiveComplete(floor_of(ProtocolBindingContext), NetBufferList);
}

static VOID
TeamTcpOffloadDisconnectComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    FloorTcpOffloadDisconnectComplete(floor_of(ProtocolBindingContext), NetBufferList);
}

static VOID
TeamTcpOffloadForwardComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    FloorTcpOffloadForwardComplete(floor_of(ProtocolBindingContext), NetBufferList);
}

/* ---- the virtual adapter ---- */

static NDIS_STATUS
open_team(struct floor_adapter *adapter, NDIS_HANDLE handle)
{
    struct team *team = team_of(adapter);
    char mode[16] = "backup";

    floor_option_text(handle, u"Mode", mode, sizeof(mode));
    team->hash = !strcmp(mode, "hash");
    if (!team->hash && strcmp(mode, "backup") != 0) {
        log_error("team %s: Mode=%s is no mode: it is backup, which is the default, or hash",
                  adapter->name, mode);
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    team_update(team, "the mode is known");
    return NDIS_STATUS_SUCCESS;
}

/* NDIS has seen to it that nothing is offloaded; who stands here next starts anew. */
static void
close_team(struct floor_adapter *adapter)
{
    struct team *team = team_of(adapter);

    team->draining = team->power_told = false;
    adapter->stopped_below = team_stopped(team);
}

static void
override(struct floor_handlers *handlers)
{
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS *protocol = &handlers->protocol;
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS *miniport = &handlers->miniport;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS *client = &handlers->client;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS *client_tcp = &handlers->client_tcp;

    protocol->BindAdapterHandlerEx = TeamBindAdapterEx;
    protocol->UnbindAdapterHandlerEx = TeamUnbindAdapterEx;
    protocol->OpenAdapterCompleteHandlerEx = TeamOpenAdapterCompleteEx;
    protocol->CloseAdapterCompleteHandlerEx = TeamCloseAdapterCompleteEx;
    protocol->NetPnPEventHandler = TeamNetPnPEvent;
    protocol->OidRequestCompleteHandler = TeamOidRequestComplete;
    protocol->StatusHandlerEx = TeamStatusEx;
    protocol->ReceiveNetBufferListsHandler = TeamReceiveNetBufferLists;
    protocol->SendNetBufferListsCompleteHandler = TeamSendNetBufferListsComplete;
    miniport->OidRequestHandler = TeamOidRequest;
    miniport->CancelOidRequestHandler = TeamCancelOidRequest;
    miniport->SendNetBufferListsHandler = TeamSendNetBufferLists;
    miniport->CancelSendHandler = TeamCancelSend;
    miniport->ReturnNetBufferListsHandler = TeamReturnNetBufferLists;
    client->InitiateOffloadCompleteHandler = TeamOffloadComplete;
    client->TerminateOffloadCompleteHandler = TeamOffloadComplete;
    client->UpdateOffloadCompleteHandler = TeamOffloadComplete;
    client->InvalidateOffloadCompleteHandler = TeamOffloadComplete;
    client->QueryOffloadCompleteHandler = TeamOffloadComplete;
    client->IndicateOffloadEventHandler = TeamIndicateOffloadEvent;
    client_tcp->TcpOffloadSendCompleteHandler = TeamTcpOffloadSendComplete;
    client_tcp->TcpOffloadReceiveCompleteHandler = TeamTcpOffloadReceiveComplete;
    client_tcp->TcpOffloadDisconnectCompleteHandler = TeamTcpOffloadDisconnectComplete;
    client_tcp->TcpOffloadForwardCompleteHandler = TeamTcpOffloadForwardComplete;
    client_tcp->TcpOffloadEventHandler = TeamTcpOffloadEvent;
    client_tcp->TcpOffloadReceiveIndicateHandler = TeamTcpOffloadReceiveIndicate;
    handlers->provider_tcp.TcpOffloadReceiveReturnHandler = TeamTcpOffloadReceiveReturn;
}

NTSTATUS
team_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    static const struct floor_kind kind = {
        .name = "team",
        .protocol_name = NDIS_STRING_CONST(u"team"),
        .adapter_bytes = sizeof(struct team),
        .offload_bytes = sizeof(struct team_offload),
        .override = override,
        .open = open_team,
        .close = close_team,
        .tree_up = team_tree_up,
        .pass_down = team_pass_down,
        .offload_made = team_offload_made,
        .offload_gone = team_offload_gone,
        .settle = team_settle,
        .work = team_work,
    };

    return floor_start(DriverObject, RegistryPath, &kind);
}
