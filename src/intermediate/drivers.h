/* DriverEntry of each intermediate driver in the tree. */
#ifndef INTERMEDIATE_DRIVERS_H
#define INTERMEDIATE_DRIVERS_H

#include <ndis.h>

DRIVER_INITIALIZE passthru_entry;
DRIVER_INITIALIZE vlan_entry;
DRIVER_INITIALIZE trace_entry;
DRIVER_INITIALIZE fault_entry;
DRIVER_INITIALIZE team_entry;

#endif
