/*
 * Reads a script: a cursor over words, and one function per kind of rule. The cursor never leaves
 * its line, a line never holds more than one rule, and the first mistake ends it all, with its
 * place; so the time is linear in the text whatever it says.
 */
#include "intermediate/fault/script.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

#define NUMBER_MAX 1000000000u
#define DELAY_MAX_MS 1000u
#define AT_MAX_MS 3600000u
#define PPM_DIGITS 4 /* decimals of a percentage */

struct word {
    const char *at;
    size_t length;
};

struct parser {
    const char *at, *end; /* of the line */
    const char *start;
    ULONG line;
    struct fault_script *script;
    struct fault_error *error;
};

/* ---- words ---- */

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line; length 0: there is none. It is not taken. */
static struct word
peek(struct parser *parser)
{
    struct word word;

    while (parser->at < parser->end && is_blank(*parser->at))
        parser->at++;
    word = (struct word){parser->at, 0};
    while (word.at + word.length < parser->end && !is_blank(word.at[word.length]))
        word.length++;
    return word;
}

static bool
is(struct word word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.at, text, word.length) == 0;
}

/* Takes the next word if it is text. */
static bool
take(struct parser *parser, const char *text)
{
    struct word word = peek(parser);

    if (!is(word, text))
        return false;
    parser->at += word.length;
    return true;
}

/* Always false. */
static bool
expected(struct parser *parser, const char *what)
{
    struct word word = peek(parser);
    char seen[32];
    size_t length = 0;

    for (; length < word.length && length + 1 < sizeof(seen); length++)
        seen[length] = word.at[length] > ' ' && word.at[length] < 0x7f ? word.at[length] : '?';
    seen[length] = '\0';
    parser->error->line = parser->line;
    parser->error->column = (ULONG)(word.at - parser->start) + 1;
    if (length)
        snprintf(parser->error->text, sizeof(parser->error->text), "expected %s, found '%s'", what,
                 seen);
    else
        snprintf(parser->error->text, sizeof(parser->error->text),
                 "expected %s, found the end of the line", what);
    return false;
}

/* ---- numbers ---- */

/* Digits at the beginning of a word; false: none, or too large a number. */
static bool
digits(struct word *word, ULONG *out)
{
    uint64_t value = 0;
    size_t used = 0;

    while (used < word->length && word->at[used] >= '0' && word->at[used] <= '9') {
        value = value * 10 + (uint64_t)(word->at[used++] - '0');
        if (value > NUMBER_MAX)
            return false;
    }
    *out = (ULONG)value;
    word->at += used;
    word->length -= used;
    return used != 0;
}

static bool
take_number(struct parser *parser, const char *what, ULONG least, ULONG *out)
{
    struct word word = peek(parser);

    if (!digits(&word, out) || word.length || *out < least)
        return expected(parser, what);
    parser->at = word.at;
    return true;
}

static bool
take_time(struct parser *parser, ULONG most_ms, const char *what, ULONG *ms)
{
    struct word word = peek(parser);
    ULONG number;
    uint64_t value;

    if (!digits(&word, &number) || (!is(word, "ms") && !is(word, "s")))
        return expected(parser, what);
    value = (uint64_t)number * (is(word, "s") ? 1000 : 1);
    if (value > most_ms)
        return expected(parser, what);
    *ms = (ULONG)value;
    parser->at = word.at + word.length;
    return true;
}

static bool
take_delay(struct parser *parser, struct fault_rule *rule)
{
    rule->action = FAULT_DELAY;
    return take_time(parser, DELAY_MAX_MS, "a time up to 1s, as in 5ms", &rule->delay_ms);
}

/* What stands in front of the percent sign. */
static bool
percent(struct word word, ULONG *ppm)
{
    ULONG whole;

    if (word.length < 2 || word.at[word.length - 1] != '%')
        return false;
    word.length--;
    if (!digits(&word, &whole) || whole > 100)
        return false;
    *ppm = whole * 10000;
    if (!word.length)
        return true;
    if (*word.at != '.' || word.length < 2 || word.length > 1 + PPM_DIGITS)
        return false;
    word.at++;
    word.length--;
    for (ULONG weight = 1000; word.length; word.at++, word.length--, weight /= 10) {
        if (*word.at < '0' || *word.at > '9')
            return false;
        *ppm += (ULONG)(*word.at - '0') * weight;
    }
    return *ppm <= 1000000;
}

/* ---- parts of rules ---- */

/* Nothing is left as it is: always. false: something begins like one and is none. */
static bool
take_when(struct parser *parser, struct fault_rule *rule)
{
    struct word word = peek(parser);

    if (take(parser, "every")) {
        rule->when = FAULT_EVERY;
        return take_number(parser, "a number, from 1", 1, &rule->number);
    }
    if (!word.length || *word.at < '0' || *word.at > '9')
        return true;
    if (memchr(word.at, '%', word.length)) {
        rule->when = FAULT_CHANCE;
        if (!percent(word, &rule->number))
            return expected(parser, "a percentage up to 100%, with at most four decimals");
        parser->at += word.length;
        return true;
    }
    rule->when = FAULT_NTH;
    return take_number(parser, "a number, from 1, or a percentage", 1, &rule->number);
}

#define TCP 1u
#define PATH 2u
#define NEIGHBOR 4u

/*
 * Not there: what says something about the object itself (its window, its MTU, its VLAN, its
 * address), which is for the target to say (V-048 … V-050).
 */
static const struct status_name {
    const char *name;
    NDIS_STATUS status;
    unsigned layers;
} statuses[] = {
    {"FAILURE", NDIS_STATUS_FAILURE, TCP | PATH | NEIGHBOR},
    {"RESOURCES", NDIS_STATUS_RESOURCES, TCP | PATH | NEIGHBOR},
    {"OFFLOAD_TCP_ENTRIES", NDIS_STATUS_OFFLOAD_TCP_ENTRIES, TCP},
    {"OFFLOAD_TCP_XMIT_BUFFER", NDIS_STATUS_OFFLOAD_TCP_XMIT_BUFFER, TCP},
    {"OFFLOAD_TCP_RCV_BUFFER", NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER, TCP},
    {"OFFLOAD_CONNECTION_REJECTED", NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED, TCP | PATH},
    {"OFFLOAD_PATH_ENTRIES", NDIS_STATUS_OFFLOAD_PATH_ENTRIES, PATH},
    {"OFFLOAD_IP_ADDRESS_ENTRIES", NDIS_STATUS_OFFLOAD_IP_ADDRESS_ENTRIES, PATH},
    {"OFFLOAD_NEIGHBOR_ENTRIES", NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES, NEIGHBOR},
};

static bool
take_status(struct parser *parser, unsigned layer, struct fault_rule *rule)
{
    struct word word = peek(parser);

    if (!word.length)
        return true;
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (!(statuses[i].layers & layer) || !is(word, statuses[i].name))
            continue;
        rule->status = statuses[i].status;
        parser->at += word.length;
        return true;
    }
    return expected(parser, layer == TCP    ? "FAILURE, RESOURCES, OFFLOAD_TCP_ENTRIES or another "
                                              "status of a connection"
                            : layer == PATH ? "FAILURE, RESOURCES, OFFLOAD_PATH_ENTRIES or another "
                                              "status of a path"
                                            : "FAILURE, RESOURCES or OFFLOAD_NEIGHBOR_ENTRIES");
}

static const char *const reasons[] = {
    [HardwareFailure] = "HardwareFailure",
    [InvalidState] = "InvalidState",
    [ReceivedUrgentData] = "ReceivedUrgentData",
    [TimeoutExpiration] = "TimeoutExpiration",
    [UploadRequested] = "UploadRequested",
    [HighDropRate] = "HighDropRate",
    [HighFragmentation] = "HighFragmentation",
    [HighOutofOrderPackets] = "HighOutofOrderPackets",
    [LowActivity] = "LowActivity",
    [NoBufferProposting] = "NoBufferProposting",
    [SmallIO] = "SmallIO",
};

static const char *const operations[] = {"initiate", "terminate", "update", "query", "invalidate"};

/* The place in names of the next word, which is taken; -1: it is none of them. */
static int
choose(struct parser *parser, const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (names[i] && take(parser, names[i]))
            return (int)i;
    return -1;
}

/* ---- rules ---- */

static bool
read_refuse(struct parser *parser, struct fault_rule *rule)
{
    static const char *const layers[] = {"neighbor", "path", "tcp"};
    static const unsigned masks[] = {NEIGHBOR, PATH, TCP};
    static const NDIS_STATUS usual[] = {NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES,
                                        NDIS_STATUS_OFFLOAD_PATH_ENTRIES,
                                        NDIS_STATUS_OFFLOAD_TCP_ENTRIES};
    int layer = choose(parser, layers, 3);

    if (layer < 0)
        return expected(parser, "neighbor, path or tcp");
    rule->point = (enum fault_point)(FAULT_ON_NEIGHBOR + layer);
    rule->action = FAULT_FAIL;
    rule->status = usual[layer];
    return take_when(parser, rule) && take_status(parser, masks[layer], rule);
}

static bool
read_initiate(struct parser *parser, struct fault_rule *rule)
{
    if (take(parser, "refuse"))
        return read_refuse(parser, rule);
    rule->point = FAULT_ON_INITIATE;
    rule->action = FAULT_FAIL;
    rule->status = NDIS_STATUS_FAILURE;
    if (!take_when(parser, rule))
        return false;
    if (!take(parser, "fail"))
        return expected(parser, rule->when == FAULT_ALWAYS
                                    ? "fail, refuse, or when: a number, every, a percentage"
                                    : "fail");
    return take_status(parser, TCP, rule);
}

/* V-035: these know one failure only. */
static bool
read_fail(struct parser *parser, struct fault_rule *rule, enum fault_point point)
{
    rule->point = point;
    rule->action = FAULT_FAIL;
    rule->status = NDIS_STATUS_FAILURE;
    if (!take_when(parser, rule))
        return false;
    return take(parser, "fail") || expected(parser, "fail");
}

static bool
read_complete(struct parser *parser, struct fault_rule *rule)
{
    bool sent = take(parser, "send");
    int operation = sent ? 0 : choose(parser, operations, 5);

    if (operation < 0)
        return expected(parser, "initiate, terminate, update, query, invalidate or send");
    rule->point = sent ? FAULT_ON_SENT : (enum fault_point)(FAULT_ON_INITIATED + operation);
    if (take(parser, "delay")) {
        if (!take_delay(parser, rule))
            return false;
    } else if (!sent && take(parser, "reorder")) {
        rule->action = FAULT_REORDER;
    } else if (sent && take(parser, "inline")) {
        rule->action = FAULT_INLINE;
    } else {
        return expected(parser, sent ? "delay or inline" : "delay or reorder");
    }
    return take_when(parser, rule);
}

static bool
read_send(struct parser *parser, struct fault_rule *rule)
{
    rule->point = FAULT_ON_SEND;
    rule->action = FAULT_NO_MEMORY;
    if (!take_when(parser, rule))
        return false;
    return take(parser, "no-memory") || expected(parser, "no-memory");
}

static bool
read_upload(struct parser *parser, struct fault_rule *rule)
{
    int reason = choose(parser, reasons, sizeof(reasons) / sizeof(reasons[0]));

    if (reason < 0)
        return expected(parser, "an upload reason, as in HighDropRate");
    rule->action = FAULT_UPLOAD;
    rule->reason = (ULONG)reason;
    if (take(parser, "after")) {
        rule->point = FAULT_ON_SEGMENTS;
        if (!take_number(parser, "a number, from 1", 1, &rule->number))
            return false;
        return take(parser, "segments") || expected(parser, "segments");
    }
    if (take(parser, "at")) {
        rule->point = FAULT_ON_TIME;
        return take_time(parser, AT_MAX_MS, "a time up to 3600s, as in 3s", &rule->number);
    }
    if (!take(parser, "on"))
        return expected(parser, "after, at or on");
    rule->point = FAULT_ON_SEND_UPLOAD;
    if (!take(parser, "send"))
        return expected(parser, "send");
    if (!take_when(parser, rule))
        return false;
    return rule->when != FAULT_ALWAYS || expected(parser, "a number, every or a percentage");
}

static bool
read_frames(struct parser *parser, struct fault_rule *rule)
{
    static const char *const names[] = {"drop", "duplicate", "reorder", "corrupt"};
    static const enum fault_action actions[] = {FAULT_DROP, FAULT_DUPLICATE, FAULT_REORDER,
                                                FAULT_CORRUPT};
    int action;

    if (take(parser, "in"))
        rule->point = FAULT_ON_FRAME_IN;
    else if (take(parser, "out"))
        rule->point = FAULT_ON_FRAME_OUT;
    else
        return expected(parser, "in or out");
    if (take(parser, "delay"))
        return take_delay(parser, rule) && take_when(parser, rule);
    action = choose(parser, names, 4);
    if (action < 0)
        return expected(parser, "drop, duplicate, reorder, corrupt or delay");
    rule->action = actions[action];
    return take_when(parser, rule);
}

/* ---- the text ---- */

static bool
read_rule(struct parser *parser, struct fault_rule *rule)
{
    if (take(parser, "initiate"))
        return read_initiate(parser, rule);
    if (take(parser, "query"))
        return read_fail(parser, rule, FAULT_ON_QUERY);
    if (take(parser, "update"))
        return read_fail(parser, rule, FAULT_ON_UPDATE);
    if (take(parser, "invalidate"))
        return read_fail(parser, rule, FAULT_ON_INVALIDATE);
    if (take(parser, "complete"))
        return read_complete(parser, rule);
    if (take(parser, "send"))
        return read_send(parser, rule);
    if (take(parser, "request-upload"))
        return read_upload(parser, rule);
    if (take(parser, "frames"))
        return read_frames(parser, rule);
    return expected(parser, "seed, initiate, query, update, invalidate, complete, send, "
                            "request-upload or frames");
}

static bool
read_line(struct parser *parser)
{
    struct fault_script *script = parser->script;
    struct fault_rule rule = {.when = FAULT_ALWAYS};

    if (!peek(parser).length)
        return true;
    if (take(parser, "seed")) {
        if (!take_number(parser, "a number", 0, &script->seed))
            return false;
    } else {
        if (script->count == FAULT_RULES_MAX)
            return expected(parser, "no more than 64 rules");
        if (!read_rule(parser, &rule))
            return false;
        script->rules[script->count++] = rule;
    }
    return !peek(parser).length || expected(parser, "the end of the rule");
}

bool
fault_script_read(const char *text, size_t length, struct fault_script *script,
                  struct fault_error *error)
{
    const char *end = text + length, *at = text;
    struct parser parser = {.start = text, .line = 1, .script = script, .error = error};

    *script = (struct fault_script){.seed = 1};
    while (at < end) {
        const char *stop = at;

        while (stop < end && *stop != '\n' && *stop != ';' && *stop != '#')
            stop++;
        parser.at = at;
        parser.end = stop;
        if (!read_line(&parser))
            return false;
        if (stop < end && *stop == '#')
            while (stop < end && *stop != '\n')
                stop++;
        at = stop < end ? stop + 1 : end;
        if (stop < end && *stop == '\n') {
            parser.line++;
            parser.start = at;
        }
    }
    return true;
}

/* ---- as it runs ---- */

void
fault_script_start(struct fault_script *script)
{
    for (ULONG i = 0; i < script->count; i++) {
        script->rules[i].count = 0;
        random_init(&script->rules[i].random, hash_mix(script->seed ^ HASH_ODD_1, i + HASH_ODD_2));
    }
}

static bool
is_due(struct fault_rule *rule)
{
    rule->count++;
    switch (rule->when) {
    case FAULT_NTH:
        return rule->count == rule->number;
    case FAULT_EVERY:
        return rule->count % rule->number == 0;
    case FAULT_CHANCE:
        return random_chance_ppm(&rule->random, rule->number);
    default:
        return true;
    }
}

struct fault_rule *
fault_script_meet(struct fault_script *script, enum fault_point point)
{
    struct fault_rule *first = NULL;

    for (ULONG i = 0; i < script->count; i++)
        if (script->rules[i].point == point && is_due(&script->rules[i]) && !first)
            first = &script->rules[i];
    return first;
}

bool
fault_script_has(const struct fault_script *script, enum fault_point point)
{
    for (ULONG i = 0; i < script->count; i++)
        if (script->rules[i].point == point)
            return true;
    return false;
}
