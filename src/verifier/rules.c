/* The table of rules as data. */
#include "verifier/rules.h"

#include "chimney/verifier.h"

#define CHECKED NULL
#define UNCHECKED(reason) reason
#define KIND_E 'E'
#define KIND_W 'W'
#define KIND_C 'C'
#define ROW(number, parties, kind, state, text, source)                                            \
    {number, parties, KIND_##kind, state, text, source},
static const struct verifier_rule rules[] = {VERIFIER_RULES(ROW)};
#define RULES (sizeof(rules) / sizeof(rules[0]))

const struct verifier_rule *
verifier_rules(size_t *count)
{
    *count = RULES;
    return rules;
}

const struct verifier_rule *
verifier_rule(unsigned number)
{
    return number && number <= RULES ? &rules[number - 1] : NULL;
}
