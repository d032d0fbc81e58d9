/* Answers that need no waiting: the floors of the house, and what concerns teams. */
#ifndef PROGRAMS_SHOW_H
#define PROGRAMS_SHOW_H

#include "message.h"

struct house;

/* Takes item, which may be NULL: out of memory. */
typedef void (*show_fn)(void *arg, const char *name, json_t *item);

void show_floors(struct house *house, show_fn fn, void *arg);
/* Shows the members, fails or restores one. The code of the answer; unless it is DONE, words say
 * why. */
enum message_code show_team(struct house *house, const struct message_request *request, show_fn fn,
                            void *arg, char *words, size_t size);

#endif
