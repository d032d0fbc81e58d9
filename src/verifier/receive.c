/* V-090 … V-104: posted receive requests. */
#include "verifier/shadow.h"

const struct family receive_family = {
    .before = {NULL},
};
