/* See test_fake.h. The timer runs whenever it was set and time passes: it may look too early. */
#include "intermediate/fault/test_fake.h"

#include "intermediate/drivers.h"

#include <string.h>

struct fake_more fake_more;

void
fake_stand_with(const char *script)
{
    memset(&fake_more, 0, sizeof(fake_more));
    fake_more.script = script;
    fake_more.now_ms = 1000;
    fake_stand_as(fault_entry);
    fake_pass(0);
    fake_forget();
}

void
fake_go(void)
{
    fake_forget();
    fake_leave();
}

void
fake_pass(uint64_t ms)
{
    fake_more.now_ms += ms;
    for (int turns = 0; fake_more.timer_set; turns++) {
        fake_more.timer_set = false;
        fake_more.turn(NULL, fake_more.turn_context, NULL, NULL);
        if (turns == 3) /* it waits for later */
            return;
    }
}

/* ---- options ---- */

NDIS_STATUS
NdisOpenConfigurationEx(PNDIS_CONFIGURATION_OBJECT ConfigObject, PNDIS_HANDLE ConfigurationHandle)
{
    *ConfigurationHandle = &fake_more;
    return NDIS_STATUS_SUCCESS;
}

VOID
NdisReadConfiguration(PNDIS_STATUS Status, PNDIS_CONFIGURATION_PARAMETER *ParameterValue,
                      NDIS_HANDLE ConfigurationHandle, PNDIS_STRING Keyword,
                      NDIS_PARAMETER_TYPE ParameterType)
{
    static NDIS_CONFIGURATION_PARAMETER parameter;
    static WCHAR text[2048];
    const char *value = Keyword->Buffer[0] == 'F'   ? fake_more.file
                        : Keyword->Buffer[1] == 'e' ? fake_more.seed
                                                    : fake_more.script;
    size_t length;

    *Status = NDIS_STATUS_FAILURE;
    if (ParameterType != NdisParameterString || !value)
        return;
    length = strlen(value);
    for (size_t i = 0; i < length; i++)
        text[i] = (WCHAR)value[i];
    parameter.ParameterData.StringData.Buffer = text;
    parameter.ParameterData.StringData.Length = (USHORT)(length * sizeof(WCHAR));
    *ParameterValue = &parameter;
    *Status = NDIS_STATUS_SUCCESS;
}

VOID
NdisCloseConfiguration(NDIS_HANDLE ConfigurationHandle)
{
    fake_check(ConfigurationHandle == &fake_more);
}

VOID
NdisInitUnicodeString(PNDIS_STRING DestinationString, PCWSTR SourceString)
{
    DestinationString->Buffer = (WCHAR *)SourceString;
}

/* ---- time ---- */

NDIS_STATUS
NdisAllocateTimerObject(NDIS_HANDLE NdisHandle, PNDIS_TIMER_CHARACTERISTICS TimerCharacteristics,
                        PNDIS_HANDLE pTimerObject)
{
    if (fake.allocations++ == fake.fail_at)
        return NDIS_STATUS_RESOURCES;
    fake_check(!fake_more.timer_there);
    fake_more.timer_there = true;
    fake_more.turn = TimerCharacteristics->TimerFunction;
    *pTimerObject = &fake_more.turn;
    return NDIS_STATUS_SUCCESS;
}

BOOLEAN
NdisSetTimerObject(NDIS_HANDLE TimerObject, LARGE_INTEGER DueTime, LONG MillisecondsPeriod,
                   PVOID FunctionContext)
{
    fake_check(fake_more.timer_there && DueTime.QuadPart < 0);
    fake_more.timer_set = true;
    fake_more.turn_context = FunctionContext;
    return FALSE;
}

BOOLEAN
NdisCancelTimerObject(NDIS_HANDLE TimerObject)
{
    fake_more.timer_set = false;
    return TRUE;
}

VOID
NdisFreeTimerObject(NDIS_HANDLE TimerObject)
{
    fake_check(fake_more.timer_there && !fake_more.timer_set);
    fake_more.timer_there = false;
}

VOID
NdisGetSystemUpTimeEx(PLARGE_INTEGER pSystemUpTime)
{
    pSystemUpTime->QuadPart = (LONGLONG)fake_more.now_ms;
}

/* ---- copies of frames ---- */

NDIS_HANDLE
NdisAllocateNetBufferListPool(NDIS_HANDLE NdisHandle,
                              NET_BUFFER_LIST_POOL_PARAMETERS const *Parameters)
{
    if (fake.allocations++ == fake.fail_at)
        return NULL;
    fake_more.pool_there = true;
    return &fake_more.pool_there;
}

VOID
NdisFreeNetBufferListPool(NDIS_HANDLE PoolHandle)
{
    fake_check(fake_more.pool_there);
    fake_more.pool_there = false;
}

struct own_nbl {
    NET_BUFFER_LIST nbl;
    NET_BUFFER nb;
};

NET_BUFFER_LIST *
NdisAllocateNetBufferAndNetBufferList(NDIS_HANDLE PoolHandle, USHORT ContextSize,
                                      USHORT ContextBackFill, MDL *MdlChain, ULONG DataOffset,
                                      SIZE_T DataLength)
{
    struct own_nbl *own = NdisAllocateMemoryWithTagPriority(NULL, sizeof(*own), 0,
                                                            NormalPoolPriority);

    if (!own)
        return NULL;
    memset(own, 0, sizeof(*own));
    own->nbl.NdisPoolHandle = PoolHandle;
    own->nbl.FirstNetBuffer = &own->nb;
    own->nb.CurrentMdl = own->nb.MdlChain = MdlChain;
    own->nb.DataLength = (ULONG)DataLength;
    return &own->nbl;
}

VOID
NdisFreeNetBufferList(NET_BUFFER_LIST *NetBufferList)
{
    NdisFreeMemory(NetBufferList, sizeof(struct own_nbl), 0);
}

MDL *
NdisAllocateMdl(NDIS_HANDLE NdisHandle, PVOID VirtualAddress, ULONG Length)
{
    MDL *mdl = NdisAllocateMemoryWithTagPriority(NULL, sizeof(*mdl), 0, NormalPoolPriority);

    if (!mdl)
        return NULL;
    memset(mdl, 0, sizeof(*mdl));
    mdl->StartVa = VirtualAddress;
    mdl->ByteCount = Length;
    return mdl;
}

VOID
NdisFreeMdl(MDL *Mdl)
{
    NdisFreeMemory(Mdl, sizeof(*Mdl), 0);
}

PVOID
NdisGetDataBuffer(NET_BUFFER *NetBuffer, ULONG BytesNeeded, PVOID Storage, ULONG AlignMultiple,
                  ULONG AlignOffset)
{
    return MmGetMdlVirtualAddress(NetBuffer->CurrentMdl);
}

VOID
NdisCopySendNetBufferListInfo(NET_BUFFER_LIST *DestNetBufferList,
                              NET_BUFFER_LIST const *SrcNetBufferList)
{
}

VOID
NdisCopyReceiveNetBufferListInfo(NET_BUFFER_LIST *DestNetBufferList,
                                 NET_BUFFER_LIST const *SrcNetBufferList)
{
}
