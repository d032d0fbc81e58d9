/* Which mutation is in force, and how often its point was reached (mutant.h). */
#include "mutant.h"

static const struct mutant *active;
static unsigned reached;

void
mutate(const struct mutant *mutant)
{
    active = mutant;
    reached = 0;
}

unsigned
mutant_reached(void)
{
    return reached;
}

bool
helps_v(unsigned rule, unsigned variant)
{
    return active && active->rule == rule && active->variant == variant;
}

bool
bad_v(unsigned rule, unsigned variant)
{
    if (!helps_v(rule, variant))
        return false;
    reached++;
    return true;
}

bool
bad_once_v(unsigned rule, unsigned variant)
{
    return bad_v(rule, variant) && reached == 1;
}

bool
bad(unsigned rule)
{
    return bad_v(rule, 1);
}

bool
bad_once(unsigned rule)
{
    return bad_once_v(rule, 1);
}
