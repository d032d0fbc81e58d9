/*
 * Which congestion control: an option of the adapter chooses it, the log and the adapter's
 * capabilities tell it, and nothing replaces it. A host stack that asks for another by way of the
 * offload parameters is refused, for it would believe to have got it. The documentation names the
 * members but no values; those are ours.
 */
#include "target/soft/conn.h"

#include "base/log.h"

#define NAME_CHARS 16u

static const struct {
    const char *name; /* lower case */
    enum tcp_congestion congestion;
    ULONG documented;
} algorithms[] = {
    {"cubic", TCP_CC_CUBIC, NDIS_TCP_CONGESTION_CUBIC},
    {"newreno", TCP_CC_NEWRENO, NDIS_TCP_CONGESTION_NEWRENO},
};

#define COUNT (sizeof algorithms / sizeof algorithms[0])

static bool
is_name(const NDIS_STRING *text, const char *name)
{
    size_t length = text->Length / sizeof(WCHAR);

    for (size_t i = 0; i < length; i++) {
        WCHAR c = text->Buffer[i];
        if (c >= 'A' && c <= 'Z')
            c += 'a' - 'A';
        if (!name[i] || c != (WCHAR)name[i])
            return false;
    }
    return !name[length];
}

static NDIS_STATUS
choose(struct soft_adapter *adapter, const NDIS_STRING *text)
{
    char shown[NAME_CHARS + 1] = "";

    for (size_t i = 0; i < COUNT; i++) {
        if (is_name(text, algorithms[i].name)) {
            adapter->congestion = algorithms[i].congestion;
            return NDIS_STATUS_SUCCESS;
        }
    }
    for (size_t i = 0; i < NAME_CHARS && i < text->Length / sizeof(WCHAR); i++)
        shown[i] = (char)text->Buffer[i];
    log_error("soft %s: Congestion=%s: it is CUBIC or NewReno", wire_name(adapter->wire), shown);
    return NDIS_STATUS_INVALID_PARAMETER;
}

NDIS_STATUS
soft_congestion_read(struct soft_adapter *adapter)
{
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {.Type = NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT,
                   .Revision = NDIS_CONFIGURATION_OBJECT_REVISION_1,
                   .Size = sizeof object},
        .NdisHandle = adapter->handle,
    };
    NDIS_CONFIGURATION_PARAMETER *value = NULL;
    NDIS_STATUS status, chosen = NDIS_STATUS_SUCCESS;
    NDIS_HANDLE configuration;
    NDIS_STRING keyword;

    adapter->congestion = TCP_CC_CUBIC;
    if (NdisOpenConfigurationEx(&object, &configuration) == NDIS_STATUS_SUCCESS) {
        NdisInitUnicodeString(&keyword, u"Congestion");
        NdisReadConfiguration(&status, &value, configuration, &keyword, NdisParameterString);
        if (status == NDIS_STATUS_SUCCESS && value)
            chosen = choose(adapter, &value->ParameterData.StringData);
        NdisCloseConfiguration(configuration);
    }
    if (chosen == NDIS_STATUS_SUCCESS)
        log_info("soft %s: congestion control %s", wire_name(adapter->wire),
                 tcp_congestion_name(adapter->congestion));
    return chosen;
}

ULONG
soft_congestion_documented(const struct soft_adapter *adapter)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (algorithms[i].congestion == adapter->congestion)
            return algorithms[i].documented;
    }
    return NDIS_TCP_CONGESTION_UNKNOWN;
}
