/* The rest of the fake, for drivers that make frames of their own or have options. */
#include "intermediate/floor/ndis_fake.h"

const struct fake_option *fake_options;

/* ---- options ---- */

NDIS_STATUS
NdisOpenConfigurationEx(PNDIS_CONFIGURATION_OBJECT ConfigObject, PNDIS_HANDLE ConfigurationHandle)
{
    *ConfigurationHandle = NdisAllocateMemoryWithTagPriority(ConfigObject->NdisHandle, 16, 0,
                                                             NormalPoolPriority);
    return *ConfigurationHandle ? NDIS_STATUS_SUCCESS : NDIS_STATUS_RESOURCES;
}

static bool
is_called(const NDIS_STRING *keyword, const char *name)
{
    size_t length = keyword->Length / sizeof(WCHAR);

    for (size_t i = 0; i < length; i++)
        if (keyword->Buffer[i] != (WCHAR)name[i])
            return false;
    return name[length] == '\0';
}

VOID
NdisReadConfiguration(PNDIS_STATUS Status, PNDIS_CONFIGURATION_PARAMETER *ParameterValue,
                      NDIS_HANDLE ConfigurationHandle, PNDIS_STRING Keyword,
                      NDIS_PARAMETER_TYPE ParameterType)
{
    static NDIS_CONFIGURATION_PARAMETER parameter;
    static WCHAR text[64];
    const struct fake_option *option = fake_options;
    size_t length;

    fake_check(ParameterType == NdisParameterString);
    while (option && option->name && !is_called(Keyword, option->name))
        option++;
    *Status = NDIS_STATUS_FAILURE;
    if (!option || !option->name)
        return;
    length = strlen(option->value);
    for (size_t i = 0; i < length; i++)
        text[i] = (UCHAR)option->value[i];
    parameter.ParameterType = NdisParameterString;
    parameter.ParameterData.StringData = (NDIS_STRING){
        .Length = (USHORT)(length * sizeof(WCHAR)), .MaximumLength = sizeof(text), .Buffer = text};
    *ParameterValue = &parameter;
    *Status = NDIS_STATUS_SUCCESS;
}

VOID
NdisCloseConfiguration(NDIS_HANDLE ConfigurationHandle)
{
    NdisFreeMemory(ConfigurationHandle, 16, 0);
}

VOID
NdisInitUnicodeString(PNDIS_STRING DestinationString, PCWSTR SourceString)
{
    USHORT length = 0;

    while (SourceString[length])
        length++;
    DestinationString->Length = DestinationString->MaximumLength = (USHORT)(length * sizeof(WCHAR));
    DestinationString->Buffer = (PWSTR)(ULONG_PTR)SourceString;
}

/* ---- pools: every piece is counted as memory ---- */

static PVOID
take(size_t bytes)
{
    PVOID piece = NdisAllocateMemoryWithTagPriority(NULL, (UINT)bytes, 0, NormalPoolPriority);

    if (piece)
        memset(piece, 0, bytes);
    return piece;
}

NDIS_HANDLE
NdisAllocateNetBufferListPool(NDIS_HANDLE NdisHandle,
                              NET_BUFFER_LIST_POOL_PARAMETERS const *Parameters)
{
    return take(sizeof(*Parameters));
}

VOID
NdisFreeNetBufferListPool(NDIS_HANDLE PoolHandle)
{
    NdisFreeMemory(PoolHandle, 0, 0);
}

NDIS_HANDLE
NdisAllocateNetBufferPool(NDIS_HANDLE NdisHandle, NET_BUFFER_POOL_PARAMETERS const *Parameters)
{
    return take(sizeof(*Parameters));
}

VOID
NdisFreeNetBufferPool(NDIS_HANDLE PoolHandle)
{
    NdisFreeMemory(PoolHandle, 0, 0);
}

NET_BUFFER_LIST *
NdisAllocateNetBufferList(NDIS_HANDLE PoolHandle, USHORT ContextSize, USHORT ContextBackFill)
{
    fake_check(PoolHandle && !ContextSize && !ContextBackFill);
    return take(sizeof(NET_BUFFER_LIST));
}

VOID
NdisFreeNetBufferList(NET_BUFFER_LIST *NetBufferList)
{
    fake_check(!NET_BUFFER_LIST_FIRST_NB(NetBufferList) && !NetBufferList->Context);
    NdisFreeMemory(NetBufferList, 0, 0);
}

NET_BUFFER *
NdisAllocateNetBuffer(NDIS_HANDLE PoolHandle, MDL *MdlChain, ULONG DataOffset, SIZE_T DataLength)
{
    NET_BUFFER *nb = take(sizeof(*nb));

    fake_check(PoolHandle && DataOffset == 0);
    if (!nb)
        return NULL;
    nb->MdlChain = nb->CurrentMdl = MdlChain;
    nb->stDataLength = DataLength;
    return nb;
}

VOID
NdisFreeNetBuffer(NET_BUFFER *NetBuffer)
{
    fake_check(!NetBuffer->Next);
    NdisFreeMemory(NetBuffer, 0, 0);
}

MDL *
NdisAllocateMdl(NDIS_HANDLE NdisHandle, PVOID VirtualAddress, ULONG Length)
{
    MDL *mdl = take(sizeof(*mdl));

    if (!mdl)
        return NULL;
    mdl->StartVa = VirtualAddress;
    mdl->ByteCount = Length;
    return mdl;
}

VOID
NdisFreeMdl(MDL *Mdl)
{
    NdisFreeMemory(Mdl, 0, 0);
}

/* ---- data ---- */

PVOID
NdisGetDataBuffer(NET_BUFFER *NetBuffer, ULONG BytesNeeded, PVOID Storage, UINT AlignMultiple,
                  UINT AlignOffset)
{
    ULONG done = 0, offset = NetBuffer->CurrentMdlOffset;

    if (BytesNeeded > NetBuffer->DataLength)
        return NULL;
    for (MDL *mdl = NetBuffer->CurrentMdl; mdl && done < BytesNeeded; mdl = mdl->Next) {
        ULONG here = mdl->ByteCount - offset;

        here = here < BytesNeeded - done ? here : BytesNeeded - done;
        memcpy((PUCHAR)Storage + done, (PUCHAR)MmGetMdlVirtualAddress(mdl) + offset, here);
        done += here;
        offset = 0;
    }
    return Storage;
}

VOID
NdisCopySendNetBufferListInfo(NET_BUFFER_LIST *DestNetBufferList,
                              NET_BUFFER_LIST const *SrcNetBufferList)
{
    memcpy(DestNetBufferList->NetBufferListInfo, SrcNetBufferList->NetBufferListInfo,
           sizeof(SrcNetBufferList->NetBufferListInfo));
}

VOID
NdisCopyReceiveNetBufferListInfo(NET_BUFFER_LIST *DestNetBufferList,
                                 NET_BUFFER_LIST const *SrcNetBufferList)
{
    NdisCopySendNetBufferListInfo(DestNetBufferList, SrcNetBufferList);
}
