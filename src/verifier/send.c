/* V-073 … V-089: sending. */
#include "verifier/shadow.h"

const struct family send_family = {
    .before = {NULL},
};
