/* What network drivers use of the driver model: the driver object and memory descriptor lists. */
#ifndef NDIS_WDM_H
#define NDIS_WDM_H

#include "ntdef.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct _DEVICE_OBJECT *PDEVICE_OBJECT;

struct _DRIVER_OBJECT;
typedef VOID DRIVER_UNLOAD(struct _DRIVER_OBJECT *DriverObject);
typedef DRIVER_UNLOAD *PDRIVER_UNLOAD;

/* Layout OURS: the two members a network driver reads. */
typedef struct _DRIVER_OBJECT {
    PVOID DriverExtension; /* OURS: context of house_load; NULL for drivers from outside */
    /* Set by a protocol driver; NdisMRegisterMiniportDriver sets it to UnloadHandler. */
    PDRIVER_UNLOAD DriverUnload;
} DRIVER_OBJECT, *PDRIVER_OBJECT;

typedef NTSTATUS DRIVER_INITIALIZE(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);
typedef DRIVER_INITIALIZE *PDRIVER_INITIALIZE;

/* Every driver has one; it is looked up by this name. */
NDIS_API DRIVER_INITIALIZE DriverEntry;

/* ---- interrupt request levels: kept per thread, and only compared with what a call allows ---- */

#define PASSIVE_LEVEL 0
#define APC_LEVEL 1
#define DISPATCH_LEVEL 2
#define HIGH_LEVEL 15

NDIS_API KIRQL KeGetCurrentIrql(VOID);
/* Up, or where it is. */
NDIS_API VOID KeRaiseIrql(KIRQL NewIrql, PKIRQL OldIrql);
/* Down, or where it is: to what a raise has returned. */
NDIS_API VOID KeLowerIrql(KIRQL NewIrql);

/* ---- memory descriptor lists ---- */

#define MDL_MAPPED_TO_SYSTEM_VA 0x0001
#define MDL_PAGES_LOCKED 0x0002
#define MDL_SOURCE_IS_NONPAGED_POOL 0x0004
#define MDL_ALLOCATED_FIXED_SIZE 0x0008
#define MDL_PARTIAL 0x0010
#define MDL_NETWORK_HEADER 0x1000

typedef struct _MDL {
    struct _MDL *Next;
    CSHORT Size;
    CSHORT MdlFlags;
    PVOID Process;
    PVOID MappedSystemVa;
    PVOID StartVa; /* start of the page that the buffer begins in */
    ULONG ByteCount;
    ULONG ByteOffset; /* from StartVa */
} MDL, *PMDL;

typedef enum _MM_PAGE_PRIORITY {
    LowPagePriority = 0,
    NormalPagePriority = 16,
    HighPagePriority = 32
} MM_PAGE_PRIORITY;

static inline ULONG
MmGetMdlByteCount(const MDL *Mdl)
{
    return Mdl->ByteCount;
}

static inline ULONG
MmGetMdlByteOffset(const MDL *Mdl)
{
    return Mdl->ByteOffset;
}

static inline PVOID
MmGetMdlVirtualAddress(const MDL *Mdl)
{
    return (PUCHAR)Mdl->StartVa + Mdl->ByteOffset;
}

/* In user space all memory is mapped: never NULL for an MDL with bytes. Priority is not used. */
static inline PVOID
MmGetSystemAddressForMdlSafe(const MDL *Mdl, ULONG Priority)
{
    UNREFERENCED_PARAMETER(Priority);
    if (Mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL))
        return Mdl->MappedSystemVa;
    return MmGetMdlVirtualAddress(Mdl);
}

NDIS_STATIC_ASSERT(sizeof(MDL) == 0x30, "MDL");

#ifdef __cplusplus
}
#endif

#endif
