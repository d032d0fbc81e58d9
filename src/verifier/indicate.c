/* V-105 … V-116: receive indications. */
#include "verifier/shadow.h"

const struct family indicate_family = {
    .before = {NULL},
};
