/*
 * Explicit congestion notification of a connection that moves. What the kernel has to say yet is
 * read from its socket (ECE until the peer's CWR, a CWR of its own) and goes down in the extension
 * of the delegated state; a target that knows no such thing does not get the connection, or it
 * would ignore marks that stand for losses.
 *
 * Up, nothing can be written into the kernel's socket. An echo that the target still owed goes out
 * with the acknowledgement of the hand-back; the peer has heard it with every one before. A CWR
 * that it owed is lost: the peer repeats its ECE to the kernel, which reduces its window once more,
 * and says CWR. Source: RFC 3168 section 6.1; include/net/tcp.h for the number.
 */
#include "host/linux/live/live.h"

/* From this state of the kernel's congestion control on the window is reduced. */
#define KERNEL_CWR 2

bool
live_ecn_taken(const struct host_binding *binding)
{
    const NDIS_TCP_CONNECTION_OFFLOAD *offers = host_binding_capabilities(binding);

    return !offers ||
           NDIS_TCP_CONNECTION_OFFLOAD_EXTENSION(offers->Flags) == TCP_OFFLOAD_EXTENSION_VERSION;
}

/* The kernel does not say for which data it has reduced its window: while it is about it, for all.
 */
void
live_ecn_export(const struct steer_snapshot *snap, uint32_t snd_max,
                TCP_OFFLOAD_STATE_EXTENSION *extension)
{
    extension->Version = TCP_OFFLOAD_EXTENSION_VERSION;
    if (snap->ecn_echo)
        extension->Flags |= TCP_EXTENSION_ECN_ECHO;
    if (snap->ecn_cwr)
        extension->Flags |= TCP_EXTENSION_ECN_CWR;
    if (snap->ca_state < KERNEL_CWR)
        return;
    extension->Flags |= TCP_EXTENSION_ECN_REACTED;
    extension->EcnSeq = snd_max;
}

uint8_t
live_ecn_owed(const TCP_OFFLOAD_STATE_EXTENSION *extension)
{
    bool echo = extension->Version == TCP_OFFLOAD_EXTENSION_VERSION &&
                extension->Flags & TCP_EXTENSION_ECN_ECHO;

    return echo ? TCP_ECE : 0;
}
