/* V-014 … V-028: the shape of a tree. */
#include "verifier/shadow.h"

const struct family tree_family = {
    .before = {NULL},
};
