/* V-130 … V-144: events and status. */
#include "verifier/shadow.h"

const struct family event_family = {
    .before = {NULL},
};
