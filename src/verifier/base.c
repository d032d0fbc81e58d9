/* V-182 … V-194: what NDIS asks of every driver. */
#include "verifier/shadow.h"

const struct family base_family = {
    .before = {NULL},
};
