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

/* The last rule reported at a crossing of this thread, which NDIS may notice as well. */
static _Thread_local unsigned said;

void
report_next(void)
{
    said = 0;
}

/* The same NBL is under way at every landing it has crossed. */
static bool
echo_of_nbl(struct verifier *verifier, const void *nbl, bool mark)
{
    bool before = false;

    for (struct table_entry *entry = table_find(&verifier->nbls, nbl); entry;
         entry = table_find_older(entry)) {
        struct shadow_nbl *found = container_of(entry, struct shadow_nbl, entry);

        before |= found->breached || (found->object && found->object->breached);
        found->breached |= mark;
        if (found->object)
            found->object->breached |= mark;
    }
    return before;
}

/* Marks it, unless this is only a warning; true: it was marked before. */
static bool
echo_of_object(struct verifier *verifier, const void *object, bool mark)
{
    struct shadow_object *found = object ? shadow_object_find(verifier, object) : NULL;
    bool before = found && found->breached;

    if (found)
        found->breached |= mark;
    return before || (object && echo_of_nbl(verifier, object, mark));
}

static bool
echo_of_driver(struct verifier *verifier, const char *name, bool mark)
{
    struct shadow_driver *driver = strcmp(name, "?") ? shadow_driver(verifier, name) : NULL;
    bool before = driver && driver->breached;

    if (driver)
        driver->breached |= mark;
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

/* echo: of something at another landing, which this driver only passed on. */
static void
deliver(struct verifier *verifier, struct verifier_report *found, bool echo)
{
    const struct verifier_rule *rule = verifier_rule(found->rule);

    found->warning = rule && rule->kind == 'W';
    if (echo_of_object(verifier, found->object, !found->warning))
        echo = true;
    if (!echo)
        echo = echo_of_driver(verifier, found->driver, !found->warning);
    found->consequential = echo;
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
    said = rule;
    deliver(call->verifier, &found, call_mark(call, rule));
}

/* Who makes calls now: the callee of the innermost one. */
static const struct shadow_driver *
running(const struct call *call)
{
    if (!call || !call->adapter)
        return NULL;
    if (call->up)
        return call->binding ? call->binding->driver : NULL;
    return call->adapter->driver;
}

void
report_ndis(struct verifier *verifier, unsigned rule, const char *driver, const void *object,
            const char *what)
{
    const struct call *call = call_current();
    const struct shadow_driver *known = running(call);
    const struct shadow_grave *grave = object ? shadow_grave_find(verifier, object) : NULL;
    struct verifier_report found = {.rule = rule,
                                    .driver = driver,
                                    .call = call ? crossing_name(call->op) : "no call",
                                    .object = object,
                                    .seen = what};

    if (rule && rule == said)
        return; /* a check has reported it, with more to say */
    if (grave && rule == 84)
        known = grave->above;
    else if (grave && rule != 190) /* who has the memory of an NBL need not be who had it before */
        known = grave->below;
    if (grave && grave->rule && rule != 84)
        found.rule = grave->rule;
    if (known && !strcmp(driver, "?"))
        found.driver = known->name;
    deliver(verifier, &found, call && call_mark(call, found.rule));
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
    deliver(verifier, &found, false);
}
