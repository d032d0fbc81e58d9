/*
 * The one door: reads the argument, puts the parts together, and takes them apart.
 */
#include "calls.h"

#include "base/log.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 5000

void
call_free(struct adapter *adapter)
{
    table_close_all(adapter->table);
    behind_close(adapter->behind); /* tells the table of moves until it is gone */
    table_destroy(adapter->table);
    free(adapter);
}

static bool
read_option(struct adapter *adapter, const char *option)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    char rest;

    if (sscanf(option, "wait_ms=%u%c", &adapter->wait_ms, &rest) == 1)
        return adapter->wait_ms > 0;
    for (unsigned i = 0; strncmp(option, "log=", 4) == 0 && i < 4; i++) {
        if (strcmp(option + 4, levels[i]) != 0)
            continue;
        log_set_level((enum log_level)i);
        return true;
    }
    return false;
}

/* The name of the device in words, which is a copy of the argument; NULL: it cannot be read. */
static const char *
read_argument(struct adapter *adapter, char *words)
{
    char *rest = NULL, *device = strtok_r(words, ",", &rest), *option;

    while ((option = strtok_r(NULL, ",", &rest)) != NULL)
        if (!read_option(adapter, option))
            return NULL;
    return device;
}

static int
open_parts(struct adapter *adapter, const char *argument, char *why)
{
    char words[128];
    const char *device;
    int error;

    snprintf(words, sizeof(words), "%s", argument);
    device = strlen(argument) < sizeof(words) ? read_argument(adapter, words) : NULL;
    if (device == NULL) {
        snprintf(why, ADAPTER_WHY_BYTES, "'%.64s': DEVICE[,wait_ms=N][,log=LEVEL] is wanted",
                 argument);
        return -EINVAL;
    }
    adapter->table = table_create();
    if (adapter->table == NULL)
        return -ENOMEM;
    error = behind_open(device, table_on_move, adapter->table, &adapter->behind, why);
    if (error != 0)
        table_destroy(adapter->table);
    return error;
}

__attribute__((visibility("default"))) int
adapter_init(const char *argument, struct adapter_calls *calls)
{
    struct adapter *adapter;
    int error;

    if (calls->version != ADAPTER_VERSION || calls->size != sizeof(*calls)) {
        if (calls->size >= offsetof(struct adapter_calls, adapter))
            snprintf(calls->why, sizeof(calls->why), "version %u of %u bytes is wanted",
                     ADAPTER_VERSION, (unsigned)sizeof(*calls));
        return calls_fail(EINVAL);
    }
    calls->why[0] = '\0';
    adapter = calloc(1, sizeof(*adapter));
    if (adapter == NULL)
        return calls_fail(ENOMEM);
    adapter->wait_ms = WAIT_MS;
    error = open_parts(adapter, argument, calls->why);
    if (error != 0) {
        free(adapter);
        return calls_fail(-error);
    }
    *calls = calls_of_all;
    calls->adapter = adapter;
    return 0;
}
