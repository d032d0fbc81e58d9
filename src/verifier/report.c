/*
 * Reports. The first breach of an object (where there is none: of a driver) is the finding; what
 * follows on the same one is marked as its consequence, because a driver that has lost its way
 * breaks rule after rule.
 */
#include "verifier/shadow.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Marks object and driver; true: one was marked before. A warning is nobody's fall. */
static bool
echo(struct verifier *verifier, const struct verifier_report *found)
{
    struct shadow_object *object = found->object ? shadow_object_find(verifier, found->object)
                                                 : NULL;
    struct shadow_driver *driver = strcmp(found->driver, "?")
                                       ? shadow_driver(verifier, found->driver)
                                       : NULL;
    bool before = (object && object->breached) || (driver && driver->breached);

    if (object && !found->warning)
        object->breached = true;
    if (driver && !found->warning)
        driver->breached = true;
    return before;
}

static void
to_log(const struct verifier_report *found)
{
    const struct verifier_rule *rule = verifier_rule(found->rule);
    char line[640];

    snprintf(line, sizeof(line), "V-%03u%s %s%s%s at %s, object %p: %s. The rule: %s", found->rule,
             found->consequential ? " (consequential)" : "", found->driver,
             found->adapter ? " on " : "", found->adapter ? found->adapter : "", found->call,
             found->object, found->seen, rule ? rule->text : "none with a number");
    if (found->warning)
        log_warn("%s", line);
    else
        log_error("%s", line);
}

static void
deliver(struct verifier *verifier, struct verifier_report *found)
{
    const struct verifier_rule *rule = verifier_rule(found->rule);

    found->warning = rule && rule->kind == 'W';
    found->consequential = echo(verifier, found);
    if (found->consequential)
        verifier->counts.consequential++;
    else if (found->warning)
        verifier->counts.warnings++;
    else
        verifier->counts.errors++;
    if (verifier->options.on_report) {
        verifier->options.on_report(verifier->options.arg, found);
        return;
    }
    to_log(found);
#ifndef NDEBUG
    if (!found->warning && !found->consequential)
        abort(); /* the stack below is the breach */
#endif
}

void
report(const struct call *call, unsigned rule, enum blame blame, const void *object,
       const char *format, ...)
{
    const struct crossing *crossing = call->crossing;
    char seen[320];
    struct verifier_report found = {
        .rule = rule,
        .driver = blame == BLAME_CALLER ? crossing->from : crossing->to,
        .adapter = crossing->adapter,
        .call = crossing_name(crossing->op),
        .object = object,
        .seen = seen,
    };
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(seen, sizeof(seen), format, arguments);
    va_end(arguments);
    deliver(call->verifier, &found);
}

void
report_late(struct verifier *verifier, unsigned rule, const char *driver, const char *adapter,
            const void *object, const char *format, ...)
{
    char seen[320];
    struct verifier_report found = {
        .rule = rule,
        .driver = driver ? driver : "?",
        .adapter = adapter,
        .call = "no call",
        .object = object,
        .seen = seen,
    };
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(seen, sizeof(seen), format, arguments);
    va_end(arguments);
    deliver(verifier, &found);
}
