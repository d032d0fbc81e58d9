/* Built without lwIP. */
#include "lwip_peer.h"

#include <stddef.h>

bool
lwip_peer_here(void)
{
    return false;
}

struct peer *
lwip_peer_create(struct sys_loop *loop, const struct peer_options *options,
                 const struct peer_app *app, void *arg)
{
    return NULL;
}
