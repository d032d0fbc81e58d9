/* How a layout is asserted; tools/layouts looks for these. */
#ifndef NDIS_TEST_LAYOUT_H
#define NDIS_TEST_LAYOUT_H

#include <ndis.h>
#include <ndischimney.h>

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, member, offset)                                                                   \
    _Static_assert(offsetof(type, member) == (offset), #type "." #member)

#endif
