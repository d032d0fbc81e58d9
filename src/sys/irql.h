/*
 * The interrupt request level, as bookkeeping: what the code that runs now may do, by the rules of
 * drivers. Nothing is masked and nobody is kept from running by it.
 *
 * Threads: each has a level of its own, 0 (passive) when it starts, and a count of the spin locks
 * it holds.
 */
#ifndef SYS_IRQL_H
#define SYS_IRQL_H

struct sys_irql {
    unsigned char level;
    unsigned locks;
};

/* Of this thread; its address tells threads apart. */
extern _Thread_local struct sys_irql sys_irql_now;

static inline unsigned char
sys_irql(void)
{
    return sys_irql_now.level;
}

/* Returns what it was. */
static inline unsigned char
sys_irql_set(unsigned char level)
{
    unsigned char before = sys_irql_now.level;

    sys_irql_now.level = level;
    return before;
}

#endif
