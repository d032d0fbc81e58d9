/*
 * The extension of the delegated state (OURS: TCP_FLAG_STATE_EXTENDED): between the engine's form
 * and the interface's. It is asked for when the target says that it knows the same version; another
 * one is told in the log, and the documented state is all that moves.
 */
#include "base/log.h"
#include "host/script/private.h"

#include <string.h>

void
script_import_extension(const TCP_OFFLOAD_STATE_EXTENSION *in, struct tcp_extension *out)
{
    *out = (struct tcp_extension){
        .version = TCP_EXTENSION_VERSION,
        .sack_count = in->SackedCount > TCP_SACK_RANGES ? UINT16_MAX : (uint16_t)in->SackedCount,
        .recovering = in->Flags & TCP_EXTENSION_RECOVERING,
        .ecn_echo = in->Flags & TCP_EXTENSION_ECN_ECHO,
        .ecn_cwr = in->Flags & TCP_EXTENSION_ECN_CWR,
        .ecn_reacted = in->Flags & TCP_EXTENSION_ECN_REACTED,
        .reordering = in->Flags & TCP_EXTENSION_REORDERING,
        .recover_seq = in->RecoverSeq,
        .ecn_seq = in->EcnSeq,
        .min_rtt_us = in->MinRtt,
    };
    out->cubic = (struct tcp_cubic){
        .w_max = in->Cubic.WMax,
        .prior = in->Cubic.Prior,
        .origin = in->Cubic.Origin,
        .k_ms = in->Cubic.K,
        .w_est = in->Cubic.WEst,
        .rest = in->Cubic.Rest,
        .t_us = in->Cubic.T,
    };
    for (unsigned i = 0; i < out->sack_count && i < TCP_SACK_RANGES; i++)
        out->sacked[i] = (struct tcp_range){in->Sacked[i].Start, in->Sacked[i].End};
}

/* The header is there. */
void
script_export_extension(const struct tcp_extension *in, TCP_OFFLOAD_STATE_EXTENSION *out)
{
    out->Version = TCP_OFFLOAD_EXTENSION_VERSION;
    out->Flags = (USHORT)((in->recovering ? TCP_EXTENSION_RECOVERING : 0) |
                          (in->ecn_echo ? TCP_EXTENSION_ECN_ECHO : 0) |
                          (in->ecn_cwr ? TCP_EXTENSION_ECN_CWR : 0) |
                          (in->ecn_reacted ? TCP_EXTENSION_ECN_REACTED : 0) |
                          (in->reordering ? TCP_EXTENSION_REORDERING : 0));
    out->RecoverSeq = in->recover_seq;
    out->EcnSeq = in->ecn_seq;
    out->MinRtt = in->min_rtt_us < UINT32_MAX ? (ULONG)in->min_rtt_us : 0;
    out->Cubic.WMax = in->cubic.w_max;
    out->Cubic.Prior = in->cubic.prior;
    out->Cubic.Origin = in->cubic.origin;
    out->Cubic.K = in->cubic.k_ms;
    out->Cubic.WEst = in->cubic.w_est;
    out->Cubic.Rest = in->cubic.rest;
    out->Cubic.T = in->cubic.t_us;
    out->SackedCount = in->sack_count;
    for (unsigned i = 0; i < in->sack_count; i++) {
        out->Sacked[i].Start = in->sacked[i].start;
        out->Sacked[i].End = in->sacked[i].end;
    }
}

bool
script_extends(const struct script_conn *conn)
{
    const NDIS_TCP_CONNECTION_OFFLOAD *target = host_binding_capabilities(conn->script->binding);
    unsigned version = target ? NDIS_TCP_CONNECTION_OFFLOAD_EXTENSION(target->Flags) : 0;

    if (!conn->options.extended)
        return false;
    if (version != TCP_OFFLOAD_EXTENSION_VERSION)
        log_info("%s: the target has version %u of the extension, not %u: without it",
                 conn->script->name, version, TCP_OFFLOAD_EXTENSION_VERSION);
    return version == TCP_OFFLOAD_EXTENSION_VERSION;
}
