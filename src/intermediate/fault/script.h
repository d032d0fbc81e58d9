/*
 * The language of fault: what goes wrong, one rule a line. Reading it is a function of the text
 * alone.
 *
 *   script   = { [ rule ] [ "#" comment ] ( newline | ";" ) }
 *   rule     = "seed" NUMBER
 *            | "initiate" [ WHEN ] "fail" [ STATUS ]
 *            | "initiate" "refuse" LAYER [ WHEN ] [ STATUS ]
 *            | ( "query" | "update" | "invalidate" ) [ WHEN ] "fail"
 *            | "complete" OPERATION ( "delay" TIME | "reorder" ) [ WHEN ]
 *            | "complete" "send" ( "delay" TIME | "inline" ) [ WHEN ]
 *            | "send" [ WHEN ] "no-memory"
 *            | "request-upload" REASON ( "after" NUMBER "segments" | "at" TIME | "on" "send" WHEN )
 *            | "frames" ( "in" | "out" ) ACTION [ WHEN ]
 *   LAYER    = "neighbor" | "path" | "tcp"
 *   OPERATION = "initiate" | "terminate" | "update" | "query" | "invalidate"
 *   ACTION   = "drop" | "duplicate" | "reorder" | "corrupt" | "delay" TIME
 *   WHEN     = NUMBER            the n-th, once; from 1
 *            | "every" NUMBER    the n-th, the 2n-th …
 *            | PERCENT           with this probability: 20%, 0.05%; up to four decimals
 *                                nothing: always
 *   TIME     = NUMBER ( "ms" | "s" )     at most 1 s; behind "at" at most an hour
 *   STATUS   = a documented status without NDIS_STATUS_, as the layer may have it
 *   REASON   = a documented upload reason
 *
 * Words are parted by blanks. Numbers are decimal, up to 1000000000.
 */
#ifndef INTERMEDIATE_FAULT_SCRIPT_H
#define INTERMEDIATE_FAULT_SCRIPT_H

#include <ndis.h>
#include <ndischimney.h>

#include "base/random.h"

#define FAULT_RULES_MAX 64
#define FAULT_TEXT_MAX 65536u /* bytes of a script */

/* What a rule looks at. The first five in the order of enum floor_operation. */
enum fault_point {
    FAULT_ON_INITIATE,
    FAULT_ON_TERMINATE,
    FAULT_ON_UPDATE,
    FAULT_ON_QUERY,
    FAULT_ON_INVALIDATE,
    FAULT_ON_NEIGHBOR, /* a new object of an initiate */
    FAULT_ON_PATH,
    FAULT_ON_TCP,
    FAULT_ON_INITIATED, /* a completion; in the order of enum floor_operation */
    FAULT_ON_TERMINATED,
    FAULT_ON_UPDATED,
    FAULT_ON_QUERIED,
    FAULT_ON_INVALIDATED,
    FAULT_ON_SENT,
    FAULT_ON_SEND,
    FAULT_ON_SEND_UPLOAD, /* the same, counted apart */
    FAULT_ON_SEGMENTS,
    FAULT_ON_TIME,
    FAULT_ON_FRAME_OUT,
    FAULT_ON_FRAME_IN
};

enum fault_action {
    FAULT_FAIL, /* with status */
    FAULT_DELAY,
    FAULT_REORDER,
    FAULT_INLINE,
    FAULT_NO_MEMORY,
    FAULT_UPLOAD, /* for reason */
    FAULT_DROP,
    FAULT_DUPLICATE,
    FAULT_CORRUPT
};

enum fault_when { FAULT_ALWAYS, FAULT_NTH, FAULT_EVERY, FAULT_CHANCE };

struct fault_rule {
    enum fault_point point;
    enum fault_action action;
    enum fault_when when;
    ULONG number; /* of when; parts per million for CHANCE; segments; ms for ON_TIME */
    NDIS_STATUS status;
    ULONG reason;
    ULONG delay_ms;
    /* as it runs */
    ULONG count;
    struct random random;
};

struct fault_script {
    ULONG seed; /* (1) */
    ULONG count;
    struct fault_rule rules[FAULT_RULES_MAX];
};

/* Where and why a script was not understood. */
struct fault_error {
    ULONG line, column; /* from 1 */
    char text[160];     /* what was expected there, and what there is */
};

/* true: *script is what text says. Reads no byte behind text + length and keeps none. */
bool fault_script_read(const char *text, size_t length, struct fault_script *script,
                       struct fault_error *error);
/* From the beginning; each rule draws from numbers of its own, so rules do not disturb each other.
 */
void fault_script_start(struct fault_script *script);
/* Something happened at point: the first rule there whose turn it is; NULL: none. Every rule there
 * counts it. */
struct fault_rule *fault_script_meet(struct fault_script *script, enum fault_point point);
bool fault_script_has(const struct fault_script *script, enum fault_point point);

#endif
