/* Options of a virtual adapter, as house_set_options gave them. */
#include "intermediate/floor/floor.h"

/* The parameter belongs to the configuration handle. NULL: there is none, and no handle. */
static PNDIS_CONFIGURATION_PARAMETER
read(NDIS_HANDLE handle, const WCHAR *name, NDIS_PARAMETER_TYPE type, PNDIS_HANDLE configuration)
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
    NdisReadConfiguration(&status, &parameter, *configuration, &keyword, type);
    if (status == NDIS_STATUS_SUCCESS)
        return parameter;
    NdisCloseConfiguration(*configuration);
    return NULL;
}

bool
floor_option_text(NDIS_HANDLE handle, const WCHAR *name, char *to, size_t room)
{
    NDIS_HANDLE configuration;
    PNDIS_CONFIGURATION_PARAMETER parameter = read(handle, name, NdisParameterString,
                                                   &configuration);
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
floor_option_number(NDIS_HANDLE handle, const WCHAR *name, ULONG *to)
{
    NDIS_HANDLE configuration;
    PNDIS_CONFIGURATION_PARAMETER parameter = read(handle, name, NdisParameterInteger,
                                                   &configuration);

    if (!parameter)
        return false;
    *to = parameter->ParameterData.IntegerData;
    NdisCloseConfiguration(configuration);
    return true;
}
