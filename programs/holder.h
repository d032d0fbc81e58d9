/*
 * Who holds a TAP. Threads: any.
 */
#ifndef PROGRAMS_HOLDER_H
#define PROGRAMS_HOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* A process of this network namespace, in words: "process 4711 (chimneyd)". False, words empty:
 * none that may be seen. */
bool holder_of_tap(const char *tap, char *words, size_t size);

#endif
