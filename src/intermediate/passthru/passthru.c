/* The floor that changes nothing: every handler is the one of src/intermediate/floor. */
#include "intermediate/drivers.h"
#include "intermediate/floor/floor.h"

NTSTATUS
passthru_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    static const struct floor_kind kind = {.name = "passthru",
                                           .protocol_name = NDIS_STRING_CONST(u"passthru")};

    return floor_start(DriverObject, RegistryPath, &kind);
}
