/*
 * Late answers (house_set_late). NDIS may answer an open and a close at once or later; a driver has
 * to be ready for both, and meets the second one here: the answer comes at the next turn of the
 * loop.
 */
#include "ndis/objects.h"

static void
open_answered(void *arg)
{
    struct ndis_binding *binding = arg;
    struct ndis_level level = ndis_level_enter(PASSIVE_LEVEL);

    binding->late = false;
    binding->protocol->handlers.OpenAdapterCompleteHandlerEx(binding->context, NDIS_STATUS_SUCCESS);
    ndis_level_leave(&level, "open completion");
}

static void
close_answered(void *arg)
{
    struct ndis_binding *binding = arg;
    struct ndis_level level = ndis_level_enter(PASSIVE_LEVEL);

    binding->late = false;
    binding->protocol->handlers.CloseAdapterCompleteHandlerEx(binding->context);
    ndis_level_leave(&level, "close completion");
}

static NDIS_STATUS
answer(struct ndis_binding *binding, void (*later)(void *arg))
{
    if (!binding->head.house->late)
        return NDIS_STATUS_SUCCESS;
    binding->late = true;
    sys_task_init(&binding->late_answer, later, binding);
    sys_loop_post(binding->head.house->loop, &binding->late_answer);
    return NDIS_STATUS_PENDING;
}

NDIS_STATUS
ndis_answer_open(struct ndis_binding *binding)
{
    return answer(binding, open_answered);
}

NDIS_STATUS
ndis_answer_close(struct ndis_binding *binding)
{
    return answer(binding, close_answered);
}

static bool
all_answered(void *arg)
{
    return !((struct ndis_binding *)arg)->late;
}

void
ndis_answers_wait(struct ndis_binding *binding)
{
    ndis_wait(binding->head.house, all_answered, binding, NDIS_PATIENCE_US);
}

void
house_set_late(struct house *house, bool late)
{
    house->late = late;
}
