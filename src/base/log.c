/*
 * The log: one level, one sink, whole lines. A line is formatted into a buffer of fixed size on the
 * caller's stack, so that logging needs no memory and can be used while memory is short; what does
 * not fit is cut off.
 *
 * Threads: any may log. Level and sink are set while only one thread runs.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define LINE_BYTES 1024

static const char *const level_names[] = {
    [LOG_ERROR] = "error",
    [LOG_WARN] = "warning",
    [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug",
};

static void
log_to_stderr(enum log_level level, const char *line, void *arg)
{
    fprintf(stderr, "%s: %s\n", level_names[level], line);
}

static log_sink_fn current_sink = log_to_stderr;
static void *current_arg;
enum log_level log_level_now = LOG_WARN;

void
log_set_level(enum log_level level)
{
    log_level_now = level;
}

void
log_set_sink(log_sink_fn sink, void *arg)
{
    current_sink = sink != NULL ? sink : log_to_stderr;
    current_arg = sink != NULL ? arg : NULL;
}

void
log_line(enum log_level level, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    current_sink(level, line, current_arg);
}
