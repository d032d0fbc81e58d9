/* V-056 … V-072: what the host stack may issue. */
#include "verifier/shadow.h"

const struct family issue_family = {
    .before = {NULL},
};
