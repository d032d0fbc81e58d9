/*
 * The floor that writes down what passes it, and changes nothing: every crossing of its two edges
 * is a packet of a pcapng file, in the order in which they happen, each with its time.
 *
 * The trick: a crossing is a packet of an interface of its own, so that any tool that reads
 * captures shows frames and calls on one time axis. Errors of the file are told once, and the floor
 * passes everything on without it.
 */
#include "intermediate/trace/trace.h"
#include "base/log.h"
#include "intermediate/drivers.h"

#include <stdio.h>

#define RING_MIB_MAX (1u << 20)
#define SNAP_MIN 14u

struct trace_options {
    char path[TRACE_PATH_SIZE];
    ULONG ring_mib, snap_bytes; /* 0: no bound */
};

/* false: they make no sense, which is said. */
static bool
read_options(struct floor_adapter *floor, NDIS_HANDLE handle, struct trace_options *options)
{
    const char *why = NULL;
    bool fits, is_ring, is_snap;

    *options = (struct trace_options){.ring_mib = 0};
    fits = floor_option_text(handle, u"File", options->path, sizeof(options->path));
    is_ring = floor_option_number(floor, handle, u"Ring", 1, RING_MIB_MAX, &options->ring_mib);
    is_snap = floor_option_number(floor, handle, u"Snap", SNAP_MIN, TRACE_FRAME_MAX,
                                  &options->snap_bytes);
    if (!fits && options->path[0])
        why = "File is longer than 255 characters";
    else if (!fits)
        why = "it has no option File; write trace:File=/path/of/file.pcapng";
    else if (!options->path[0])
        why = "File is empty; write trace:File=/path/of/file.pcapng";
    if (why)
        log_error("trace %s: %s", floor->name, why);
    return !why && is_ring && is_snap;
}

static void
add_interfaces(struct trace *trace, ULONG snap_bytes)
{
    char name[FLOOR_NAME_SIZE + 16];
    struct pcapng_interface frames = {
        .link = PCAPNG_ETHERNET, .snap_bytes = snap_bytes, .name = name, .description = "frames"};
    struct pcapng_interface crossings = {
        .link = PCAPNG_USER0, .name = trace->adapter, .description = "calls between NDIS drivers"};

    snprintf(name, sizeof(name), "%s frames", trace->adapter);
    trace->snap_bytes = snap_bytes ? snap_bytes : TRACE_FRAME_MAX;
    trace->frames = trace_file_interface(trace->file, &frames);
    trace->crossings = trace_file_interface(trace->file, &crossings);
}

static NDIS_STATUS
open(struct floor_adapter *floor, NDIS_HANDLE handle)
{
    struct trace_adapter *adapter = trace_adapter_of(floor);
    struct trace_options options;
    struct trace *trace;
    const char *why;

    if (!read_options(floor, handle, &options))
        return NDIS_STATUS_INVALID_PARAMETER;
    trace = trace_stand(floor->name);
    if (!trace)
        return NDIS_STATUS_RESOURCES;
    trace->file = trace_file_get(options.path, (uint64_t)options.ring_mib << 20, &why);
    if (trace->file)
        add_interfaces(trace, options.snap_bytes);
    else
        log_error("trace %s: %s: %s; everything passes, nothing is recorded", floor->name,
                  options.path, why);
    adapter->trace = trace;
    return NDIS_STATUS_SUCCESS;
}

static void
close(struct floor_adapter *floor)
{
    struct trace_adapter *adapter = trace_adapter_of(floor);

    trace_fall(adapter->trace);
    adapter->trace = NULL;
}

static void
override(struct floor_handlers *handlers)
{
    trace_override_data(handlers);
    trace_override_edges(handlers);
}

NTSTATUS
trace_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    static const struct floor_kind kind = {.name = "trace",
                                           .protocol_name = NDIS_STRING_CONST(u"trace"),
                                           .adapter_bytes = sizeof(struct trace_adapter),
                                           .offload_bytes = sizeof(struct trace_offload),
                                           .override = override,
                                           .open = open,
                                           .close = close,
                                           .tree_down = trace_tree_down,
                                           .tree_up = trace_tree_up};

    return floor_start(DriverObject, RegistryPath, &kind);
}
