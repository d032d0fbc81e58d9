/*
 * Scripts of the driver fault. Whatever is written there is refused with a place in it, or is a
 * schedule: the same each time it is started, of rules that say what they may.
 */
#include "fuzz.h"

#include "intermediate/fault/script.h"

#include <string.h>

#define POINTS (FAULT_ON_FRAME_IN + 1)
#define TURNS 64

static void
check_error(const struct fault_error *error, const char *text, size_t size)
{
    size_t lines = 1;

    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    FUZZ_CHECK(error->line >= 1 && error->line <= lines);
    FUZZ_CHECK(error->column >= 1 && error->column <= size + 1);
    FUZZ_CHECK(memchr(error->text, '\0', sizeof error->text) && error->text[0]);
}

static void
check_rule(const struct fault_rule *rule)
{
    FUZZ_CHECK((unsigned)rule->point < POINTS);
    FUZZ_CHECK((unsigned)rule->action <= FAULT_CORRUPT && (unsigned)rule->when <= FAULT_CHANCE);
    FUZZ_CHECK(rule->when == FAULT_ALWAYS || rule->when == FAULT_CHANCE || rule->number);
    FUZZ_CHECK(rule->when != FAULT_CHANCE || rule->number <= 1000000);
    FUZZ_CHECK(rule->delay_ms <= 1000);
    FUZZ_CHECK(rule->action != FAULT_FAIL || rule->status != NDIS_STATUS_SUCCESS);
    FUZZ_CHECK(rule->action != FAULT_UPLOAD || (rule->reason && rule->reason <= SmallIO));
}

/* Which rule was met at every point at every turn. */
static void
run(struct fault_script *script, const struct fault_rule *met[TURNS][POINTS])
{
    fault_script_start(script);
    for (unsigned turn = 0; turn < TURNS; turn++)
        for (unsigned point = 0; point < POINTS; point++) {
            met[turn][point] = fault_script_meet(script, point);
            FUZZ_CHECK(!met[turn][point] || met[turn][point]->point == point);
            FUZZ_CHECK(!met[turn][point] || fault_script_has(script, point));
        }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fault_script script;
    static const struct fault_rule *met[2][TURNS][POINTS];
    struct fault_error error = {.line = 0};

    if (!fault_script_read((const char *)data, size, &script, &error)) {
        check_error(&error, (const char *)data, size);
        return 0;
    }
    FUZZ_CHECK(script.count <= FAULT_RULES_MAX);
    for (ULONG i = 0; i < script.count; i++)
        check_rule(&script.rules[i]);
    run(&script, met[0]);
    run(&script, met[1]);
    FUZZ_CHECK(!memcmp(met[0], met[1], sizeof met[0]));
    return 0;
}
