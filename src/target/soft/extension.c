/*
 * The extension of the delegated state (OURS: TCP_FLAG_STATE_EXTENDED), for a host stack that knows
 * the same version. Nothing depends on it: one of another version, of another length or with
 * contents that do not fit is put aside with a line in the log, and the connection works with the
 * documented state alone, which is then all that goes back.
 *
 * The engine checks the contents against the connection (tcp_restore_extension). What arrived out
 * of order needs no place in it: the frames go up the regular path behind the terminate
 * (terminate.c).
 */
#include "base/log.h"
#include "target/soft/conn.h"

_Static_assert(TCP_OFFLOAD_EXTENSION_VERSION == TCP_EXTENSION_VERSION &&
                   TCP_OFFLOAD_EXTENSION_RANGES == TCP_SACK_RANGES,
               "the engine's extension is the interface's");

static void
import_extension(const TCP_OFFLOAD_STATE_EXTENSION *in, struct tcp_extension *out)
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
static void
export_extension(const struct tcp_extension *in, TCP_OFFLOAD_STATE_EXTENSION *out)
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

/* Behind the delegated state; NULL: not there, or not as we know it. */
static TCP_OFFLOAD_STATE_EXTENSION *
find(TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    TCP_OFFLOAD_STATE_EXTENSION *extension = NDIS_OFFLOAD_STATE_NEXT(delegated);

    return extension->Header.Length == sizeof *extension ? extension : NULL;
}

void
soft_extension_restore(struct soft_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *delegated,
                       uint64_t now_us)
{
    const struct soft_adapter *adapter = conn->object.adapter;
    const TCP_OFFLOAD_STATE_EXTENSION *extension;
    struct tcp_extension state;

    if (!(conn->constant.Flags & TCP_FLAG_STATE_EXTENDED))
        return;
    extension = find((TCP_OFFLOAD_STATE_DELEGATED *)delegated);
    if (!extension || extension->Version != TCP_OFFLOAD_EXTENSION_VERSION ||
        adapter->limits.extension != TCP_OFFLOAD_EXTENSION_VERSION) {
        log_info("soft %s: conn %p comes with version %u of the extension, not %u: without it",
                 wire_name(adapter->wire), (void *)conn, extension ? extension->Version : 0u,
                 adapter->limits.extension);
        return;
    }
    conn->extended = true;
    import_extension(extension, &state);
    if (tcp_restore_extension(&conn->tcp, &state, now_us))
        log_info("soft %s: conn %p comes with an extension that does not fit: without it",
                 wire_name(adapter->wire), (void *)conn);
}

void
soft_extension_capture(const struct soft_conn *conn, TCP_OFFLOAD_STATE_DELEGATED *delegated,
                       uint64_t now_us)
{
    TCP_OFFLOAD_STATE_EXTENSION *extension = conn->extended ? find(delegated) : NULL;
    struct tcp_extension state;

    if (!extension)
        return;
    tcp_capture_extension(&conn->tcp, now_us, &state);
    export_extension(&state, extension);
}
