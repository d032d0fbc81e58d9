/* The level of each thread (irql.h). */
#include "sys/irql.h"

_Thread_local struct sys_irql sys_irql_now;
