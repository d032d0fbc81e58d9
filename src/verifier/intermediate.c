/* V-158 … V-166: intermediate drivers. */
#include "verifier/shadow.h"

const struct family intermediate_family = {
    .before = {NULL},
};
