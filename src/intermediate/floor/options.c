/*
 * Options of a virtual adapter, as house_set_options gave them. Numbers are read as text, so that
 * what is wrong with one can be said with its bounds. A driver asks for all that it has before it
 * judges any: what nobody asks for NDIS takes for a mistake.
 */
#include "intermediate/floor/floor.h"

#include "base/log.h"

#include <stdlib.h>

/* The parameter belongs to the configuration handle. NULL: there is none, and no handle. */
static PNDIS_CONFIGURATION_PARAMETER
read(NDIS_HANDLE handle, const WCHAR *name, PNDIS_HANDLE configuration)
{
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT, NDIS_CONFIGURATION_OBJECT_REVISION_1,
                   sizeof(object)},
        .NdisHandle = handle,
    };
    PNDIS_CONFIGURATION_PARAMETER parameter = NULL;
    NDIS_STRING keyword;
    NDIS_STATUS status;

    if (NdisOpenConfigurationEx(&object, configuration) != NDIS_STATUS_SUCCESS)
        return NULL;
    NdisInitUnicodeString(&keyword, name);
    NdisReadConfiguration(&status, &parameter, *configuration, &keyword, NdisParameterString);
    if (status == NDIS_STATUS_SUCCESS)
        return parameter;
    NdisCloseConfiguration(*configuration);
    return NULL;
}

bool
floor_option_text(NDIS_HANDLE handle, const WCHAR *name, char *to, size_t room)
{
    NDIS_HANDLE configuration;
    PNDIS_CONFIGURATION_PARAMETER parameter = read(handle, name, &configuration);
    size_t length;

    if (!parameter)
        return false;
    length = parameter->ParameterData.StringData.Length / sizeof(WCHAR);
    for (size_t i = 0; i < length && i + 1 < room; i++)
        to[i] = (char)parameter->ParameterData.StringData.Buffer[i];
    to[length < room ? length : room - 1] = '\0';
    NdisCloseConfiguration(configuration);
    return length < room;
}

bool
floor_option_number(struct floor_adapter *adapter, NDIS_HANDLE handle, const WCHAR *name, ULONG min,
                    ULONG max, ULONG *to)
{
    char text[16] = "", shown[32] = "";
    char *end = text;
    bool whole = floor_option_text(handle, name, text, sizeof(text));
    unsigned long number = 0;

    if (!whole && !*text)
        return true;
    if (*text >= '0' && *text <= '9')
        number = strtoul(text, &end, 10);
    if (whole && end != text && !*end && number >= min && number <= max) {
        *to = (ULONG)number;
        return true;
    }
    for (size_t i = 0; name[i] && i + 1 < sizeof(shown); i++)
        shown[i] = (char)name[i];
    log_error("%s %s: %s=%s%s: it is a number from %u to %u", adapter->driver->kind->name,
              adapter->name, shown, text, whole ? "" : "…", (unsigned)min, (unsigned)max);
    return false;
}
