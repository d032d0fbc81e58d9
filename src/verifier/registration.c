/* V-001 … V-013: registration and initialisation. */
#include "verifier/shadow.h"

const struct family registration_family = {
    .before = {NULL},
};
