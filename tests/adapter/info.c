/*
 * TCP_INFO of two halves. While the target has the wire, the kernel's figures are those of the
 * local leg, where nothing is ever lost; what the wire is like is among the delegated variables.
 * Those say bytes and ticks of a millisecond (SRtt times 8, RttVar times 4), the kernel segments
 * and microseconds.
 */
#include "parts.h"

#include <linux/tcp.h>
#include <string.h>

#define INFINITE_SSTHRESH 0x7fffffffu /* what the kernel says */

/* enum of include/net/tcp_states.h, which no user header has. */
static uint8_t
kernel_state(TCP_OFFLOAD_CONNECTION_STATE state)
{
    static const uint8_t states[] = {
        [TcpConnectionClosed] = 7,   [TcpConnectionListen] = 10,     [TcpConnectionSynSent] = 2,
        [TcpConnectionSynRcvd] = 3,  [TcpConnectionEstablished] = 1, [TcpConnectionFinWait1] = 4,
        [TcpConnectionFinWait2] = 5, [TcpConnectionCloseWait] = 8,   [TcpConnectionClosing] = 11,
        [TcpConnectionLastAck] = 9,  [TcpConnectionTimeWait] = 6,
    };

    return (unsigned)state < sizeof(states) ? states[state] : 0;
}

static uint32_t
segments(uint32_t bytes, uint32_t mss)
{
    return (uint32_t)(((uint64_t)bytes + mss - 1) / mss);
}

/* With a closed window the retransmission timer is the persist timer, and counts its probes;
 * SndWndProbeCount counts those that were answered. */
static uint8_t
unanswered_probes(const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    if (delegated->SndWnd == 0 && delegated->Retransmit.Count != 0)
        return delegated->Retransmit.Count;
    return delegated->KeepAlive.ProbeCount;
}

void
info_merge(void *value, size_t length, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    struct tcp_info info = {0};
    size_t known = length < sizeof(info) ? length : sizeof(info);
    uint32_t mss;

    memcpy(&info, value, known);
    mss = info.tcpi_snd_mss != 0 ? info.tcpi_snd_mss : 1;
    info.tcpi_state = kernel_state(delegated->State);
    info.tcpi_retransmits = delegated->SndWnd != 0 ? delegated->Retransmit.Count : 0;
    info.tcpi_probes = unanswered_probes(delegated);
    info.tcpi_unacked = segments(delegated->SndMax - delegated->SndUna, mss);
    info.tcpi_snd_cwnd = segments(delegated->CWnd, mss);
    info.tcpi_snd_ssthresh = delegated->SsThresh >= INFINITE_SSTHRESH
                                 ? INFINITE_SSTHRESH
                                 : segments(delegated->SsThresh, mss);
    info.tcpi_rtt = delegated->SRtt * 1000u / 8;
    info.tcpi_rttvar = delegated->RttVar * 1000u / 4;
    info.tcpi_snd_wnd = delegated->SndWnd;
    memcpy(value, &info, known);
}
