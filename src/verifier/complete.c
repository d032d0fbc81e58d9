/* V-029 … V-055: completing state operations. */
#include "verifier/shadow.h"

const struct family complete_family = {
    .before = {NULL},
};
