/*
 * Configuration: keywords and values of an adapter, as house_add_adapter was given them, or of a
 * driver, which has those that it wrote itself. Parameters that were read belong to the handle and
 * live until it is closed.
 *
 * Values are text (keys.c). Numbers are decimal or, read as such, hexadecimal; binary data are
 * pairs of hexadecimal digits, with '-' or ':' between them or not; the strings of a multi-string
 * have '|' between them.
 */
#include "ndis/objects.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_SIZE (2 * NDIS_NAME_SIZE) /* sub keys and a keyword */
#define BETWEEN '|'
#define ADDRESS_KEYWORD "NetworkAddress"

struct parameter {
    struct parameter *next;
    NDIS_CONFIGURATION_PARAMETER parameter;
    WCHAR data[]; /* what StringData or BinaryData refers to */
};

struct configuration {
    struct ndis_head head;
    struct ndis_keys *keys;
    char sub_key[NAME_SIZE]; /* "": the top */
    struct parameter *parameters;
};

/* ---- handles ---- */

static struct ndis_keys *
keys_of(NDIS_HANDLE owner)
{
    struct ndis_head *head = owner;

    if (!head || ((uintptr_t)head & 7))
        return NULL;
    if (head->magic == NDIS_MAGIC_ADAPTER)
        return &((struct ndis_adapter *)owner)->keys;
    if (head->magic == NDIS_MAGIC_MINIPORT)
        return &((struct ndis_miniport *)owner)->driver->keys;
    if (head->magic == NDIS_MAGIC_PROTOCOL)
        return &((struct ndis_protocol *)owner)->driver->keys;
    return NULL;
}

static struct configuration *
configuration_new(struct house *house, struct ndis_keys *keys, const char *sub_key)
{
    struct configuration *configuration = calloc(1, sizeof(*configuration));

    if (!configuration)
        return NULL;
    ndis_head_init(&configuration->head, NDIS_MAGIC_CONFIGURATION, house);
    configuration->keys = keys;
    memcpy(configuration->sub_key, sub_key, strlen(sub_key));
    return configuration;
}

NDIS_STATUS
NdisOpenConfigurationEx(PNDIS_CONFIGURATION_OBJECT ConfigObject, PNDIS_HANDLE ConfigurationHandle)
{
    struct ndis_head *owner;
    struct ndis_keys *keys;

    if (!ndis_given(ConfigurationHandle, "NdisOpenConfigurationEx"))
        return NDIS_STATUS_FAILURE;
    ndis_at_most(PASSIVE_LEVEL, "NdisOpenConfigurationEx");
    *ConfigurationHandle = NULL;
    if (!ndis_given(ConfigObject, "NdisOpenConfigurationEx"))
        return NDIS_STATUS_FAILURE;
    owner = ConfigObject->NdisHandle;
    keys = keys_of(owner);
    if (!keys) {
        ndis_bad_handle(owner, NDIS_MAGIC_ADAPTER, "NdisOpenConfigurationEx");
        return NDIS_STATUS_FAILURE;
    }
    *ConfigurationHandle = configuration_new(owner->house, keys, "");
    return *ConfigurationHandle ? NDIS_STATUS_SUCCESS : NDIS_STATUS_RESOURCES;
}

/* The keyword with the sub key before it; false: no name that could be there. */
static bool
full_name(const struct configuration *configuration, const NDIS_STRING *keyword,
          char name[NAME_SIZE])
{
    char own[NDIS_NAME_SIZE];
    int length;

    if (!keyword || !ndis_text_get(keyword, own, sizeof(own)))
        return false;
    length = snprintf(name, NAME_SIZE, "%s%s%s", configuration->sub_key,
                      *configuration->sub_key ? "\\" : "", own);
    return length < NAME_SIZE;
}

VOID
NdisOpenConfigurationKeyByName(PNDIS_STATUS Status, NDIS_HANDLE ConfigurationHandle,
                               PNDIS_STRING SubKeyName, PNDIS_HANDLE SubKeyHandle)
{
    struct configuration *configuration = ndis_checked(
        ConfigurationHandle, NDIS_MAGIC_CONFIGURATION, "NdisOpenConfigurationKeyByName");
    char name[NAME_SIZE];

    if (!ndis_given(Status, "NdisOpenConfigurationKeyByName") ||
        !ndis_given(SubKeyHandle, "NdisOpenConfigurationKeyByName"))
        return;
    ndis_at_most(APC_LEVEL, "NdisOpenConfigurationKeyByName");
    *SubKeyHandle = NULL;
    *Status = NDIS_STATUS_FAILURE;
    if (!ndis_given(SubKeyName, "NdisOpenConfigurationKeyByName"))
        return;
    if (!configuration || !full_name(configuration, SubKeyName, name) ||
        !ndis_keys_below(configuration->keys, name))
        return;
    *SubKeyHandle = configuration_new(configuration->head.house, configuration->keys, name);
    *Status = *SubKeyHandle ? NDIS_STATUS_SUCCESS : NDIS_STATUS_RESOURCES;
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

/* ---- from text ---- */

static int
digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Pairs of digits; false: something else, or nothing. bytes has room for half the text. */
static bool
parse_bytes(const char *text, UCHAR *bytes, USHORT *length)
{
    *length = 0;
    while (*text) {
        int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);

        if (low < 0)
            return false;
        bytes[(*length)++] = (UCHAR)(high << 4 | low);
        text += 2;
        if ((*text == '-' || *text == ':') && text[1])
            text++;
    }
    return *length != 0;
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

/* Ends with a zero that is not counted; in a multi-string each string has one that is. */
static void
set_string(struct parameter *parameter, const char *value, bool multi)
{
    size_t length = strlen(value), count = multi && length ? length + 1 : length;

    for (size_t i = 0; i < length; i++)
        parameter->data[i] = multi && value[i] == BETWEEN ? 0 : (UCHAR)value[i];
    parameter->parameter.ParameterData.StringData = (NDIS_STRING){
        .Length = (USHORT)(count * sizeof(WCHAR)),
        .MaximumLength = (USHORT)((count + 1) * sizeof(WCHAR)),
        .Buffer = parameter->data};
}

static bool
parse(struct parameter *parameter, const char *value, NDIS_PARAMETER_TYPE type)
{
    BINARY_DATA *binary = &parameter->parameter.ParameterData.BinaryData;

    parameter->parameter.ParameterType = type;
    switch (type) {
    case NdisParameterInteger:
        return set_integer(&parameter->parameter, value, 10);
    case NdisParameterHexInteger:
        return set_integer(&parameter->parameter, value, 16);
    case NdisParameterString:
    case NdisParameterMultiString:
        set_string(parameter, value, type == NdisParameterMultiString);
        return true;
    case NdisParameterBinary:
        binary->Buffer = parameter->data;
        return parse_bytes(value, binary->Buffer, &binary->Length);
    }
    return false;
}

/* The handle's, from now on; NULL, and *status says why. */
static struct parameter *
read_parameter(struct configuration *configuration, const char *name, NDIS_PARAMETER_TYPE type,
               NDIS_STATUS *status)
{
    int error;
    char *value = ndis_keys_get(configuration->keys, name, &error);
    struct parameter *parameter = NULL;
    bool fits = value && strlen(value) <= UINT16_MAX / sizeof(WCHAR) - 2;

    if (fits) {
        parameter = calloc(1, sizeof(*parameter) + (strlen(value) + 2) * sizeof(WCHAR));
        error = parameter ? 0 : -1;
    }
    *status = error ? NDIS_STATUS_RESOURCES : NDIS_STATUS_FAILURE;
    if (parameter && !parse(parameter, value, type)) {
        free(parameter);
        parameter = NULL;
    }
    if (!error)
        ndis_keys_read(configuration->keys, name, type, parameter != NULL);
    free(value);
    if (!parameter)
        return NULL;
    parameter->next = configuration->parameters;
    configuration->parameters = parameter;
    *status = NDIS_STATUS_SUCCESS;
    return parameter;
}

VOID
NdisReadConfiguration(PNDIS_STATUS Status, PNDIS_CONFIGURATION_PARAMETER *ParameterValue,
                      NDIS_HANDLE ConfigurationHandle, PNDIS_STRING Keyword,
                      NDIS_PARAMETER_TYPE ParameterType)
{
    struct configuration *configuration = ndis_checked(
        ConfigurationHandle, NDIS_MAGIC_CONFIGURATION, "NdisReadConfiguration");
    struct parameter *parameter;
    char name[NAME_SIZE];

    if (!ndis_given(Status, "NdisReadConfiguration") ||
        !ndis_given(ParameterValue, "NdisReadConfiguration"))
        return;
    ndis_at_most(PASSIVE_LEVEL, "NdisReadConfiguration");
    *ParameterValue = NULL;
    *Status = NDIS_STATUS_FAILURE;
    if (!ndis_given(Keyword, "NdisReadConfiguration"))
        return;
    if (!configuration || !full_name(configuration, Keyword, name))
        return;
    parameter = read_parameter(configuration, name, ParameterType, Status);
    if (parameter)
        *ParameterValue = &parameter->parameter;
}

VOID
NdisReadNetworkAddress(PNDIS_STATUS Status, PVOID *NetworkAddress, PUINT NetworkAddressLength,
                       NDIS_HANDLE ConfigurationHandle)
{
    struct configuration *configuration = ndis_checked(
        ConfigurationHandle, NDIS_MAGIC_CONFIGURATION, "NdisReadNetworkAddress");
    struct parameter *parameter;

    if (!ndis_given(Status, "NdisReadNetworkAddress") ||
        !ndis_given(NetworkAddress, "NdisReadNetworkAddress") ||
        !ndis_given(NetworkAddressLength, "NdisReadNetworkAddress"))
        return;
    ndis_at_most(PASSIVE_LEVEL, "NdisReadNetworkAddress");
    *NetworkAddress = NULL;
    *NetworkAddressLength = 0;
    *Status = NDIS_STATUS_FAILURE;
    if (!configuration)
        return;
    parameter = read_parameter(configuration, ADDRESS_KEYWORD, NdisParameterBinary, Status);
    if (!parameter)
        return;
    *NetworkAddress = parameter->parameter.ParameterData.BinaryData.Buffer;
    *NetworkAddressLength = parameter->parameter.ParameterData.BinaryData.Length;
}

/* ---- to text ---- */

/* Of a string or, with zeros between its parts, a multi-string; NULL: it has no such text. */
static char *
text_of_string(const NDIS_STRING *string, bool multi)
{
    size_t length = string->Length / sizeof(WCHAR);
    char *text = malloc(length + 1);

    if (!text)
        return NULL;
    while (multi && length && !string->Buffer[length - 1])
        length--;
    for (size_t i = 0; i < length; i++) {
        WCHAR c = multi && !string->Buffer[i] ? BETWEEN : string->Buffer[i];

        if (!c || c > 126 || (multi && string->Buffer[i] == BETWEEN)) {
            free(text);
            return NULL;
        }
        text[i] = (char)c;
    }
    text[length] = '\0';
    return text;
}

static char *
text_of_bytes(const BINARY_DATA *binary)
{
    static const char digits[] = "0123456789abcdef";
    const UCHAR *bytes = binary->Buffer;
    char *text = malloc(2u * binary->Length + 1);

    if (!text)
        return NULL;
    for (size_t i = 0; i < binary->Length; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2u * binary->Length] = '\0';
    return text;
}

static char *
text_of(const NDIS_CONFIGURATION_PARAMETER *parameter)
{
    char number[16];

    switch (parameter->ParameterType) {
    case NdisParameterInteger:
        snprintf(number, sizeof(number), "%u", parameter->ParameterData.IntegerData);
        return strdup(number);
    case NdisParameterHexInteger:
        snprintf(number, sizeof(number), "%x", parameter->ParameterData.IntegerData);
        return strdup(number);
    case NdisParameterString:
        return text_of_string(&parameter->ParameterData.StringData, false);
    case NdisParameterMultiString:
        return text_of_string(&parameter->ParameterData.StringData, true);
    case NdisParameterBinary:
        return text_of_bytes(&parameter->ParameterData.BinaryData);
    }
    return NULL;
}

VOID
NdisWriteConfiguration(PNDIS_STATUS Status, NDIS_HANDLE ConfigurationHandle, PNDIS_STRING Keyword,
                       PNDIS_CONFIGURATION_PARAMETER ParameterValue)
{
    struct configuration *configuration = ndis_checked(
        ConfigurationHandle, NDIS_MAGIC_CONFIGURATION, "NdisWriteConfiguration");
    char name[NAME_SIZE], *text;

    if (!ndis_given(Status, "NdisWriteConfiguration"))
        return;
    ndis_at_most(PASSIVE_LEVEL, "NdisWriteConfiguration");
    *Status = NDIS_STATUS_FAILURE;
    if (!ndis_given(Keyword, "NdisWriteConfiguration") ||
        !ndis_given(ParameterValue, "NdisWriteConfiguration"))
        return;
    if (!configuration || !full_name(configuration, Keyword, name))
        return;
    text = text_of(ParameterValue);
    if (text)
        *Status = ndis_keys_set(configuration->keys, name, text) ? NDIS_STATUS_RESOURCES
                                                                 : NDIS_STATUS_SUCCESS;
    free(text);
}
