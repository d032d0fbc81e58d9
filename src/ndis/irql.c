/*
 * Levels at the doors of NDIS. Every thread has one (sys/irql.h); spin locks and the loop's calls
 * into drivers raise it, a call that is documented for a lower one is a breach and carried out:
 * here it does no harm, on the system the interface comes from it would.
 */
#include "ndis/landing.h"

#include "base/log.h"

KIRQL
KeGetCurrentIrql(VOID)
{
    return sys_irql();
}

VOID
KeRaiseIrql(KIRQL NewIrql, PKIRQL OldIrql)
{
    if (!ndis_given(OldIrql, "KeRaiseIrql"))
        return;
    if (NDIS_UNLIKELY(NewIrql < sys_irql()))
        log_error("KeRaiseIrql: from IRQL %u down to %u", sys_irql(), NewIrql);
    *OldIrql = sys_irql_set(NewIrql);
}

VOID
KeLowerIrql(KIRQL NewIrql)
{
    if (NDIS_UNLIKELY(NewIrql > sys_irql()))
        log_error("KeLowerIrql: from IRQL %u up to %u", sys_irql(), NewIrql);
    sys_irql_set(NewIrql);
}

unsigned
chimney_spin_locks_held(void)
{
    return sys_irql_now.locks;
}

void
ndis_irql_breach(const char *call, KIRQL limit)
{
    ndis_breach(ndis_house_current(), 0, NULL, "%s: called at IRQL %u, it is for %u at the most",
                call, sys_irql(), limit);
}

struct ndis_level
ndis_level_enter(KIRQL level)
{
    return (struct ndis_level){
        .before = sys_irql_set(level), .level = level, .locks = sys_irql_now.locks};
}

void
ndis_level_leave(const struct ndis_level *entered, const char *what)
{
    if (NDIS_UNLIKELY(sys_irql() != entered->level))
        log_error("a %s was called at IRQL %u and returned at %u", what, entered->level,
                  sys_irql());
    if (NDIS_UNLIKELY(sys_irql_now.locks != entered->locks))
        log_error("a %s was called with %u spin locks held and returned with %u", what,
                  entered->locks, sys_irql_now.locks);
    sys_irql_set(entered->before);
}
