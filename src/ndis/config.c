/*
 * Configuration: keywords and values of an adapter, as house_add_adapter was given them. Parameters
 * that were read belong to the handle and live until it is closed.
 */
#include "ndis/objects.h"

#include "base/log.h"

#include <stdlib.h>

struct parameter {
    struct parameter *next;
    NDIS_CONFIGURATION_PARAMETER parameter;
    WCHAR text[]; /* of StringData */
};

struct configuration {
    struct ndis_head head;
    const struct ndis_adapter *adapter; /* NULL: a driver's, it is empty */
    struct parameter *parameters;
};

NDIS_STATUS
NdisOpenConfigurationEx(PNDIS_CONFIGURATION_OBJECT ConfigObject, PNDIS_HANDLE ConfigurationHandle)
{
    struct ndis_head *owner = ConfigObject->NdisHandle;
    struct configuration *configuration;

    ndis_at_most(PASSIVE_LEVEL, "NdisOpenConfigurationEx");
    *ConfigurationHandle = NULL;
    if (!owner || ((uintptr_t)owner & 7) ||
        (owner->magic != NDIS_MAGIC_ADAPTER && owner->magic != NDIS_MAGIC_MINIPORT &&
         owner->magic != NDIS_MAGIC_PROTOCOL)) {
        ndis_bad_handle(owner, NDIS_MAGIC_ADAPTER, "NdisOpenConfigurationEx");
        return NDIS_STATUS_FAILURE;
    }
    configuration = calloc(1, sizeof(*configuration));
    if (!configuration)
        return NDIS_STATUS_RESOURCES;
    ndis_head_init(&configuration->head, NDIS_MAGIC_CONFIGURATION, owner->house);
    if (owner->magic == NDIS_MAGIC_ADAPTER)
        configuration->adapter = ConfigObject->NdisHandle;
    *ConfigurationHandle = configuration;
    return NDIS_STATUS_SUCCESS;
}

static const char *
find_value(const struct configuration *configuration, const NDIS_STRING *keyword)
{
    const struct house_option *option = configuration->adapter ? configuration->adapter->options
                                                               : NULL;

    for (; option && option->name; option++)
        if (ndis_text_equal(keyword, option->name))
            return option->value;
    return NULL;
}

static struct parameter *
parameter_new(struct configuration *configuration, size_t characters)
{
    struct parameter *parameter = calloc(1, sizeof(*parameter) + (characters + 1) * sizeof(WCHAR));

    if (!parameter)
        return NULL;
    parameter->next = configuration->parameters;
    configuration->parameters = parameter;
    return parameter;
}

static bool
set_integer(NDIS_CONFIGURATION_PARAMETER *parameter, const char *value, int base)
{
    char *end;
    unsigned long number = strtoul(value, &end, base);

    if (end == value || *end || number > UINT32_MAX)
        return false;
    parameter->ParameterData.IntegerData = (ULONG)number;
    return true;
}

static void
set_string(struct parameter *parameter, const char *value)
{
    size_t length = strlen(value);

    for (size_t i = 0; i < length; i++)
        parameter->text[i] = (UCHAR)value[i];
    parameter->parameter.ParameterData.StringData = (NDIS_STRING){
        .Length = (USHORT)(length * sizeof(WCHAR)),
        .MaximumLength = (USHORT)((length + 1) * sizeof(WCHAR)),
        .Buffer = parameter->text};
}

VOID
NdisReadConfiguration(PNDIS_STATUS Status, PNDIS_CONFIGURATION_PARAMETER *ParameterValue,
                      NDIS_HANDLE ConfigurationHandle, PNDIS_STRING Keyword,
                      NDIS_PARAMETER_TYPE ParameterType)
{
    struct configuration *configuration = ndis_checked(
        ConfigurationHandle, NDIS_MAGIC_CONFIGURATION, "NdisReadConfiguration");
    const char *value = configuration ? find_value(configuration, Keyword) : NULL;
    struct parameter *parameter;

    ndis_at_most(PASSIVE_LEVEL, "NdisReadConfiguration");
    *ParameterValue = NULL;
    *Status = NDIS_STATUS_FAILURE;
    if (!value || strlen(value) > UINT16_MAX / sizeof(WCHAR) - 1)
        return;
    parameter = parameter_new(configuration, strlen(value));
    if (!parameter) {
        *Status = NDIS_STATUS_RESOURCES;
        return;
    }
    parameter->parameter.ParameterType = ParameterType;
    switch (ParameterType) {
    case NdisParameterInteger:
    case NdisParameterHexInteger:
        if (!set_integer(&parameter->parameter, value,
                         ParameterType == NdisParameterInteger ? 10 : 16))
            return;
        break;
    case NdisParameterString:
        set_string(parameter, value);
        break;
    case NdisParameterMultiString:
    case NdisParameterBinary:
        *Status = NDIS_STATUS_NOT_SUPPORTED;
        return;
    }
    *ParameterValue = &parameter->parameter;
    *Status = NDIS_STATUS_SUCCESS;
}

VOID
NdisCloseConfiguration(NDIS_HANDLE ConfigurationHandle)
{
    struct configuration *configuration = ndis_checked(
        ConfigurationHandle, NDIS_MAGIC_CONFIGURATION, "NdisCloseConfiguration");

    ndis_at_most(PASSIVE_LEVEL, "NdisCloseConfiguration");
    if (!configuration)
        return;
    while (configuration->parameters) {
        struct parameter *parameter = configuration->parameters;

        configuration->parameters = parameter->next;
        free(parameter);
    }
    configuration->head.magic = NDIS_MAGIC_GRAVE;
    free(configuration);
}
