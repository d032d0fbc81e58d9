/* The verifier hears a frame before it is written down: in the file, what is wrong has happened. */
#include "ears.h"

#include "chimney/trace.h"
#include "chimney/wire.h"
#include "verify.h"

#include <errno.h>

static size_t
copy(const void *frame, void *to, size_t max)
{
    return wire_tx_copy(frame, to, max);
}

static void
on_frame(void *arg, bool out, const struct wire_tx *tx)
{
    const struct ears *ears = arg;
    struct trace_frame frame = {.out = out,
                                .frame = tx,
                                .length = wire_tx_length(tx),
                                .gso_bytes = tx->meta.gso_size,
                                .copy = copy};

    if (ears->verify != NULL)
        verify_frame(ears->verify, out, tx);
    for (unsigned i = 0; i < ears->trace_count; i++)
        trace_frame(ears->traces[i], &frame);
}

static void
listen_to(struct ears *ears, struct wire *wire)
{
    static const struct wire_watcher watcher = {.on_frame = on_frame};

    if (ears->wire != NULL)
        return;
    ears->wire = wire;
    wire_set_watcher(wire, &watcher, ears);
}

int
ears_verify(struct ears *ears, struct wire *wire, struct verify *verify, const char *adapter)
{
    ears->verify = verify_wire(verify, wire, adapter);
    if (ears->verify == NULL)
        return -ENOMEM;
    listen_to(ears, wire);
    return 0;
}

int
ears_trace(struct ears *ears, struct wire *wire, const char *adapter)
{
    struct trace *trace = trace_join(adapter, wire);

    if (trace == NULL)
        return -ENOMEM;
    ears->traces[ears->trace_count++] = trace;
    listen_to(ears, wire);
    return 0;
}

void
ears_close(struct ears *ears)
{
    if (ears->wire != NULL)
        wire_set_watcher(ears->wire, NULL, NULL);
    while (ears->trace_count > 0)
        trace_leave(ears->traces[--ears->trace_count]);
    *ears = (struct ears){.wire = NULL};
}
