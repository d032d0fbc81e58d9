/*
 * V-117 … V-119: segments that the host stack received itself. That one starts at its TCP header is
 * seen in what stands there: the ports of the connection, and a length of the header that fits. A
 * superframe is one segment (OURS).
 */
#include "verifier/nbls.h"

#include <string.h>

#define TCP_HEADER_BYTES 20u

static const struct nbl_rules rules = {.kind = SHADOW_FORWARD,
                                       .shape = 118,
                                       .answer = 117,
                                       .once = 117,
                                       .stack = 117,
                                       .result = 117,
                                       .status = 117};

/* NULL: it is a segment of that connection. */
static const char *
look_at_segment(const struct shadow_object *object, const NET_BUFFER_LIST *nbl)
{
    const TCP_OFFLOAD_STATE_CONST *state = &object->fixed.tcp_state;
    const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    UCHAR header[TCP_HEADER_BYTES];

    if (NET_BUFFER_NEXT_NB(nb))
        return "more than one NET_BUFFER";
    if (NET_BUFFER_DATA_LENGTH(nb) < sizeof(header) ||
        nbl_read(nb, header, sizeof(header)) < sizeof(header))
        return "shorter than a TCP header";
    if (memcmp(header, &state->RemotePort, 2) || memcmp(header + 2, &state->LocalPort, 2))
        return "other ports than the connection's";
    if ((header[12] >> 4) * 4u < sizeof(header) ||
        (header[12] >> 4) * 4u > NET_BUFFER_DATA_LENGTH(nb))
        return "the length of its header does not fit";
    return NULL;
}

static void
forward(struct verifier *verifier, struct call *call)
{
    const struct shadow_object *object = call->object;

    if (object && object->life != SHADOW_OFFLOADED)
        report(call, 119, BLAME_CALLER, call->crossing->object,
               "a forward, but it is on its way %s",
               object->life == SHADOW_INITIATING ? "down" : "up");
    if (!nbls_post(verifier, call, &rules) || !object || object->layer != SHADOW_TCP)
        return;
    for (const NET_BUFFER_LIST *nbl = call->nbl; nbl; nbl = nbl->Next) {
        const char *wrong = look_at_segment(object, nbl);

        if (wrong)
            report(call, 118, BLAME_CALLER, nbl, "NBL %p: %s", (const void *)nbl, wrong);
    }
}

static void
forward_returned(struct verifier *verifier, struct call *call)
{
    nbls_answered(call, &rules);
}

static void
forward_complete(struct verifier *verifier, struct call *call)
{
    nbls_complete(verifier, call, &rules);
}

static void
finish(struct verifier *verifier)
{
    nbls_finish(verifier, &rules);
}

const struct family forward_family = {
    .before =
        {[CROSSING_TCP_FORWARD] = forward, [CROSSING_TCP_FORWARD_COMPLETE] = forward_complete},
    .after = {[CROSSING_TCP_FORWARD] = forward_returned},
    .finish = finish,
};
