/* V-120 … V-129: disconnecting. */
#include "verifier/shadow.h"

const struct family disconnect_family = {
    .before = {NULL},
};
