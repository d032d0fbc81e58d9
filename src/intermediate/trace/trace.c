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

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define RING_MIB_MAX (1ull << 20)

struct trace_options {
    char path[TRACE_PATH_SIZE];
    uint64_t ring_mib, snap_bytes; /* 0: no bound */
};

/* Decimal. false: there is one, and it is something else. */
static bool
read_number(NDIS_HANDLE handle, const WCHAR *name, uint64_t min, uint64_t max, uint64_t *to)
{
    char text[32], *end;

    if (!floor_option_text(handle, name, text, sizeof(text)))
        return true;
    errno = 0;
    *to = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && text[0] >= '0' && text[0] <= '9' && *to >= min &&
           *to <= max;
}

/* NULL; or what is wrong with them, and what to do. */
static const char *
read_options(NDIS_HANDLE handle, struct trace_options *options)
{
    *options = (struct trace_options){.ring_mib = 0};
    if (!floor_option_text(handle, u"File", options->path, sizeof(options->path)))
        return options->path[0] ? "File is longer than 255 characters"
                                : "it has no option File; write trace:File=/path/of/file.pcapng";
    if (options->path[0] == '\0')
        return "File is empty; write trace:File=/path/of/file.pcapng";
    if (!read_number(handle, u"Ring", 1, RING_MIB_MAX, &options->ring_mib))
        return "Ring is a size in MiB, from 1 to 1048576";
    if (!read_number(handle, u"Snap", 14, TRACE_FRAME_MAX, &options->snap_bytes))
        return "Snap is a number of bytes, from 14 to 131072";
    return NULL;
}

static void
add_interfaces(struct trace *trace, uint64_t snap_bytes)
{
    char name[FLOOR_NAME_SIZE + 16];
    struct pcapng_interface frames = {.link = PCAPNG_ETHERNET,
                                      .snap_bytes = (uint32_t)snap_bytes,
                                      .name = name,
                                      .description = "frames"};
    struct pcapng_interface crossings = {
        .link = PCAPNG_USER0, .name = trace->adapter, .description = "calls between NDIS drivers"};

    snprintf(name, sizeof(name), "%s frames", trace->adapter);
    trace->snap_bytes = snap_bytes ? (uint32_t)snap_bytes : TRACE_FRAME_MAX;
    trace->frames = trace_file_interface(trace->file, &frames);
    trace->crossings = trace_file_interface(trace->file, &crossings);
}

static NDIS_STATUS
open(struct floor_adapter *floor, NDIS_HANDLE handle)
{
    struct trace_adapter *adapter = trace_adapter_of(floor);
    struct trace_options options;
    const char *why = read_options(handle, &options);
    struct trace *trace;

    if (why) {
        log_error("trace %s: %s", floor->name, why);
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    trace = trace_stand(floor->name);
    if (!trace)
        return NDIS_STATUS_RESOURCES;
    trace->file = trace_file_get(options.path, options.ring_mib << 20, &why);
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
