/*
 * Every function that include/ndis declares and that takes a pointer which a driver must give, with
 * NULL for each of them: NDIS says so, answers with the failure that is documented, and follows
 * nothing. (Handles that are NULL are the business of the test ndis/api.)
 */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

struct telling {
    struct observer observer;
    unsigned told;
};

static struct telling telling;

static void
on_breach(void *arg, unsigned rule, const char *driver, const void *object, const char *what)
{
    telling.told++;
}

static void
expect_told(const char *what)
{
    if (telling.told != 1)
        fail_msg("told %u times: %s", telling.told, what);
    telling.told = 0;
}

/* The call says once what is missing. */
#define TOLD(call) (call, expect_told(#call))
/* … and answers so. */
#define ANSWERS(call, value)                                                                       \
    do {                                                                                           \
        if ((call) != (value))                                                                     \
            fail_msg("another answer: %s", #call);                                                 \
        expect_told(#call);                                                                        \
    } while (0)

static void
buffers(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = test_nbls(pool, 1);
    NET_BUFFER *nb = nbl->FirstNetBuffer;
    ULONG copied = 7;

    ANSWERS(NdisAllocateMdl(stage->target.adapter, NULL, 10), NULL);
    TOLD(NdisFreeMdl(NULL));
    TOLD(NdisAdjustNetBufferCurrentMdl(NULL));
    ANSWERS(NdisRetreatNetBufferDataStart(NULL, 1, 0, NULL), NDIS_STATUS_FAILURE);
    ANSWERS(NdisRetreatNetBufferListDataStart(NULL, 1, 0, NULL, NULL), NDIS_STATUS_FAILURE);
    TOLD(NdisAdvanceNetBufferDataStart(NULL, 1, FALSE, NULL));
    TOLD(NdisAdvanceNetBufferListDataStart(NULL, 1, FALSE, NULL));
    ANSWERS(NdisCopyFromNetBufferToNetBuffer(NULL, 0, 1, nb, 0, &copied), NDIS_STATUS_FAILURE);
    assert_int_equal(copied, 0);
    ANSWERS(NdisCopyFromNetBufferToNetBuffer(nb, 0, 1, NULL, 0, &copied), NDIS_STATUS_FAILURE);
    ANSWERS(NdisCopyFromNetBufferToNetBuffer(nb, 0, 1, nb, 0, NULL), NDIS_STATUS_FAILURE);
    ANSWERS(NdisGetDataBuffer(NULL, 1, NULL, 1, 0), NULL);
    ANSWERS(NdisAllocateCloneNetBufferList(NULL, NULL, NULL, 0), NULL);
    TOLD(NdisFreeCloneNetBufferList(NULL, 0));
    TOLD(NdisCopySendNetBufferListInfo(NULL, nbl));
    TOLD(NdisCopySendNetBufferListInfo(nbl, NULL));
    TOLD(NdisCopyReceiveNetBufferListInfo(NULL, nbl));
    TOLD(NdisCopyReceiveNetBufferListInfo(nbl, NULL));
    test_free_nbls(nbl);
    NdisFreeNetBufferListPool(pool);
}

static void
pools(struct stage *stage)
{
    ANSWERS(NdisAllocateNetBufferListPool(stage->host.protocol, NULL), NULL);
    ANSWERS(NdisAllocateNetBufferPool(stage->host.protocol, NULL), NULL);
    TOLD(NdisFreeNetBufferListPool(NULL));
    TOLD(NdisFreeNetBufferPool(NULL));
    TOLD(NdisFreeNetBuffer(NULL));
    TOLD(NdisFreeNetBufferList(NULL));
    ANSWERS(NdisAllocateNetBufferListContext(NULL, 16, 0, 0), NDIS_STATUS_INVALID_PARAMETER);
    TOLD(NdisFreeNetBufferListContext(NULL, 16));
    ANSWERS(NdisAllocateNetBufferList(NULL, 0, 0), NULL);
    ANSWERS(NdisAllocateNetBufferAndNetBufferList(NULL, 0, 0, NULL, 0, 0), NULL);
    ANSWERS(NdisAllocateNetBuffer(NULL, NULL, 0, 0), NULL);
    ANSWERS(NdisAllocateNetBufferMdlAndData(NULL), NULL);
}

static VOID
on_timer(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2, PVOID SystemSpecific3)
{
}

static void
timers(struct stage *stage)
{
    NDIS_TIMER_CHARACTERISTICS characteristics = {.TimerFunction = on_timer};
    NDIS_HANDLE timer = stage, work = NdisAllocateIoWorkItem(stage->target.adapter);
    LARGE_INTEGER due = {.QuadPart = -1};

    ANSWERS(NdisAllocateTimerObject(NULL, NULL, &timer), NDIS_STATUS_INVALID_PARAMETER);
    assert_null(timer);
    ANSWERS(NdisAllocateTimerObject(NULL, &characteristics, NULL), NDIS_STATUS_INVALID_PARAMETER);
    ANSWERS(NdisSetTimerObject(NULL, due, 0, NULL), FALSE);
    ANSWERS(NdisCancelTimerObject(NULL), FALSE);
    TOLD(NdisFreeTimerObject(NULL));
    TOLD(NdisQueueIoWorkItem(work, NULL, NULL));
    TOLD(NdisFreeIoWorkItem(NULL));
    NdisFreeIoWorkItem(work);
}

static void
locks_and_events(struct stage *stage)
{
    PNDIS_RW_LOCK_EX lock = NdisAllocateRWLock(stage->target.adapter);
    KIRQL old;

    TOLD(NdisAllocateSpinLock(NULL));
    TOLD(NdisFreeSpinLock(NULL));
    TOLD(NdisAcquireSpinLock(NULL));
    TOLD(NdisReleaseSpinLock(NULL));
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    TOLD(NdisDprAcquireSpinLock(NULL));
    TOLD(NdisDprReleaseSpinLock(NULL));
    KeLowerIrql(old);
    TOLD(KeRaiseIrql(DISPATCH_LEVEL, NULL));
    TOLD(NdisAcquireRWLockRead(lock, NULL, 0));
    TOLD(NdisAcquireRWLockWrite(lock, NULL, 0));
    TOLD(NdisReleaseRWLock(lock, NULL));
    TOLD(NdisFreeRWLock(NULL));
    NdisFreeRWLock(lock);
    TOLD(NdisInitializeEvent(NULL));
    TOLD(NdisSetEvent(NULL));
    TOLD(NdisResetEvent(NULL));
    ANSWERS(NdisWaitEvent(NULL, 1), FALSE);
}

static void
services(struct stage *stage)
{
    NDIS_STRING string;

    TOLD(NdisFreeMemory(NULL, 0, 0));
    TOLD(NdisGetSystemUpTimeEx(NULL));
    TOLD(NdisGetCurrentSystemTime(NULL));
    TOLD(NdisInitUnicodeString(NULL, u"a"));
    NdisInitUnicodeString(&string, u"a");
    ANSWERS(NdisEqualString(NULL, &string, TRUE), FALSE);
    ANSWERS(NdisEqualString(&string, NULL, TRUE), FALSE);
    TOLD(NdisWriteErrorLogEntry(NULL, 0, 0));
}

static void
configurations(struct stage *stage)
{
    NDIS_CONFIGURATION_OBJECT object = {.NdisHandle = stage->target.adapter};
    NDIS_CONFIGURATION_PARAMETER *value, given = {.ParameterType = NdisParameterInteger};
    NDIS_HANDLE handle = stage, below = stage;
    NDIS_STATUS status = 0;
    NDIS_STRING name;
    PVOID address;
    UINT length;

    NdisInitUnicodeString(&name, u"a");
    ANSWERS(NdisOpenConfigurationEx(NULL, &handle), NDIS_STATUS_FAILURE);
    assert_null(handle);
    ANSWERS(NdisOpenConfigurationEx(&object, NULL), NDIS_STATUS_FAILURE);
    assert_int_equal(NdisOpenConfigurationEx(&object, &handle), NDIS_STATUS_SUCCESS);
    TOLD(NdisOpenConfigurationKeyByName(NULL, handle, &name, &below));
    TOLD(NdisOpenConfigurationKeyByName(&status, handle, &name, NULL));
    TOLD(NdisOpenConfigurationKeyByName(&status, handle, NULL, &below));
    assert_int_equal(status, NDIS_STATUS_FAILURE);
    TOLD(NdisReadConfiguration(NULL, &value, handle, &name, NdisParameterInteger));
    TOLD(NdisReadConfiguration(&status, NULL, handle, &name, NdisParameterInteger));
    status = 0;
    TOLD(NdisReadConfiguration(&status, &value, handle, NULL, NdisParameterInteger));
    assert_int_equal(status, NDIS_STATUS_FAILURE);
    TOLD(NdisReadNetworkAddress(NULL, &address, &length, handle));
    TOLD(NdisReadNetworkAddress(&status, NULL, &length, handle));
    TOLD(NdisReadNetworkAddress(&status, &address, NULL, handle));
    TOLD(NdisWriteConfiguration(NULL, handle, &name, &given));
    status = 0;
    TOLD(NdisWriteConfiguration(&status, handle, NULL, &given));
    assert_int_equal(status, NDIS_STATUS_FAILURE);
    TOLD(NdisWriteConfiguration(&status, handle, &name, NULL));
    TOLD(NdisCloseConfiguration(NULL));
    NdisCloseConfiguration(handle);
}

static struct stage *entered;

static NDIS_STATUS
entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS miniport = {.MajorNdisVersion = 6};
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS protocol = {.MajorNdisVersion = 6};
    NDIS_HANDLE handle = entered;

    ANSWERS(NdisRegisterProtocolDriver(NULL, NULL, &handle), NDIS_STATUS_FAILURE);
    assert_null(handle);
    ANSWERS(NdisRegisterProtocolDriver(NULL, &protocol, NULL), NDIS_STATUS_FAILURE);
    ANSWERS(NdisMRegisterMiniportDriver(DriverObject, RegistryPath, NULL, NULL, &handle),
            NDIS_STATUS_FAILURE);
    ANSWERS(NdisMRegisterMiniportDriver(NULL, RegistryPath, NULL, &miniport, &handle),
            NDIS_STATUS_FAILURE);
    ANSWERS(NdisMRegisterMiniportDriver(DriverObject, RegistryPath, NULL, &miniport, NULL),
            NDIS_STATUS_FAILURE);
    return NDIS_STATUS_FAILURE;
}

static void
drivers(struct stage *stage)
{
    NDIS_HANDLE adapter = stage->target.adapter, handle = stage;
    NDIS_DRIVER_OPTIONAL_HANDLERS none = {.Header = {.Type = 0}};
    NDIS_OPEN_PARAMETERS open = {.MediumArraySize = 0};

    entered = stage;
    house_load(stage->house, "other", entry, stage);
    ANSWERS(NdisSetOptionalHandlers(stage->host.protocol, NULL), NDIS_STATUS_FAILURE);
    ANSWERS(NdisSetOptionalHandlers(NULL, &none), NDIS_STATUS_FAILURE);
    ANSWERS(NdisMGetOffloadHandlers(adapter, NdisTcpChimneyOffload, NULL),
            NDIS_STATUS_INVALID_PARAMETER);
    ANSWERS(NdisMSetMiniportAttributes(adapter, NULL), NDIS_STATUS_INVALID_PARAMETER);
    ANSWERS(NdisOpenAdapterEx(stage->host.protocol, NULL, NULL, NULL, &handle),
            NDIS_STATUS_FAILURE);
    ANSWERS(NdisOpenAdapterEx(stage->host.protocol, NULL, &open, NULL, NULL), NDIS_STATUS_FAILURE);
    ANSWERS(NdisMNetPnPEvent(adapter, NULL), NDIS_STATUS_INVALID_PARAMETER);
    TOLD(NdisMIndicateStatusEx(adapter, NULL));
    ANSWERS(NdisOidRequest(stage->host.binding, NULL), NDIS_STATUS_INVALID_PARAMETER);
    ANSWERS(NdisDirectOidRequest(stage->host.binding, NULL), NDIS_STATUS_INVALID_PARAMETER);
    TOLD(NdisMOidRequestComplete(adapter, NULL, 0));
    TOLD(NdisMDirectOidRequestComplete(adapter, NULL, 0));
    TOLD(NdisCompleteNetPnPEvent(stage->host.binding, NULL, 0));
}

static const struct part {
    const char *name;
    void (*run)(struct stage *stage);
} parts[] = {
    {"buffers", buffers},   {"pools", pools},
    {"timers", timers},     {"locks and events", locks_and_events},
    {"services", services}, {"configurations", configurations},
    {"drivers", drivers},
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static void
nothing_is_followed(void **state)
{
    struct stage *stage = *state;

    telling.observer = (struct observer){.on_breach = on_breach};
    house_attach_observer(stage->house, &telling.observer);
    for (size_t i = 0; i < PARTS; i++) {
        telling.told = 0;
        print_message("# %s\n", parts[i].name);
        parts[i].run(stage);
        assert_int_equal(telling.told, 0);
    }
    house_detach_observer(stage->house, &telling.observer);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_followed, stage_setup_bound, stage_teardown),
    };

    return cmocka_run_group_tests_name("ndis/null", tests, NULL, NULL);
}
