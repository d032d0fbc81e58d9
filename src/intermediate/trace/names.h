/* Numbers of a crossing in words. NULL: it has no name. */
#ifndef INTERMEDIATE_TRACE_NAMES_H
#define INTERMEDIATE_TRACE_NAMES_H

#include "intermediate/trace/record.h"

const char *trace_op_name(enum trace_op op);
const char *trace_status_name(uint32_t status);
const char *trace_code_name(enum trace_op op, uint32_t code);
const char *trace_info_name(enum trace_op op, uint32_t code, uint32_t info);

#endif
