/* V-167 … V-181: what a target puts on the wire. */
#include "verifier/shadow.h"

const struct family wire_family = {
    .before = {NULL},
};
