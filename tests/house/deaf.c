/* The deaf intermediate driver: passthru that registers no chimney tables. */
#include "intermediate/floor/floor.h"
#include "stage.h"

static void
deafen(struct floor_handlers *handlers)
{
    handlers->deaf = true;
}

NDIS_STATUS
deaf_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    static const struct floor_kind kind = {
        .name = "deaf", .protocol_name = NDIS_STRING_CONST(u"passthru"), .override = deafen};

    return floor_start(driver, registry_path, &kind);
}
