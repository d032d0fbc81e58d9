/* Strings: UTF-16 that counts bytes on the drivers' side, ASCII names on ours. */
#include "ndis/objects.h"

PUNICODE_STRING
ndis_text_set(struct ndis_text *text, const char *name)
{
    USHORT length = 0;

    for (; name[length] && length < NDIS_NAME_SIZE - 1; length++)
        text->buffer[length] = (UCHAR)name[length];
    text->buffer[length] = 0;
    text->string = (UNICODE_STRING){.Length = (USHORT)(length * sizeof(WCHAR)),
                                    .MaximumLength = sizeof(text->buffer),
                                    .Buffer = text->buffer};
    return &text->string;
}

bool
ndis_text_get(const UNICODE_STRING *string, char *name, size_t size)
{
    size_t length = string->Length / sizeof(WCHAR);

    if (!length || length >= size || !string->Buffer)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!string->Buffer[i] || string->Buffer[i] > 126)
            return false;
        name[i] = (char)string->Buffer[i];
    }
    name[length] = '\0';
    return true;
}

static WCHAR
folded(WCHAR c)
{
    return c >= 'a' && c <= 'z' ? (WCHAR)(c - 'a' + 'A') : c;
}

bool
ndis_text_equal(const UNICODE_STRING *string, const char *name)
{
    size_t length = string->Length / sizeof(WCHAR);

    if (length != strlen(name))
        return false;
    for (size_t i = 0; i < length; i++)
        if (folded(string->Buffer[i]) != folded((UCHAR)name[i]))
            return false;
    return true;
}

VOID
NdisInitUnicodeString(PNDIS_STRING DestinationString, PCWSTR SourceString)
{
    size_t length = 0;

    if (!ndis_given(DestinationString, "NdisInitUnicodeString"))
        return;
    while (SourceString && SourceString[length] && length < UINT16_MAX / sizeof(WCHAR) - 1)
        length++;
    *DestinationString = (NDIS_STRING){
        .Length = (USHORT)(length * sizeof(WCHAR)),
        .MaximumLength = SourceString ? (USHORT)((length + 1) * sizeof(WCHAR)) : 0,
        .Buffer = (PWSTR)SourceString};
}

BOOLEAN
NdisEqualString(const NDIS_STRING *String1, const NDIS_STRING *String2, BOOLEAN CaseInsensitive)
{
    if (!ndis_given(String1, "NdisEqualString") || !ndis_given(String2, "NdisEqualString"))
        return FALSE;
    ndis_at_most(PASSIVE_LEVEL, "NdisEqualString");
    if (String1->Length != String2->Length)
        return FALSE;
    for (size_t i = 0; i < String1->Length / sizeof(WCHAR); i++) {
        WCHAR a = String1->Buffer[i], b = String2->Buffer[i];

        if (a != b && !(CaseInsensitive && folded(a) == folded(b)))
            return FALSE;
    }
    return TRUE;
}
