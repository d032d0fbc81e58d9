/*
 * A fake intermediate driver. It passes trees of a single block, data and events, and can be
 * stacked on itself: the section of a bind names its virtual adapter.
 */
#ifndef NDIS_TEST_IM_H
#define NDIS_TEST_IM_H

#include "ndis/test_fakes.h"

struct fake_im {
    struct stage *stage;
    NDIS_HANDLE miniport, protocol;
    bool no_client, fail_initialize, leave_adapter, cancel, twice;
    void (*ask)(NDIS_HANDLE adapter); /* for the options of a virtual one; NULL: it has none */
};

struct floor {
    struct fake_im *im;
    NDIS_HANDLE binding, adapter;
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS up;
};

/* An offloaded object, and the one operation that may be out on it. */
struct entry {
    struct floor *floor;
    NDIS_HANDLE upper;
    NDIS_OFFLOAD_HANDLE own;
    PVOID *cell;
    PVOID im_reserved, source;
};

NDIS_STATUS fake_im_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

#endif
