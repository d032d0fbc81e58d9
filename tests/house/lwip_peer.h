/*
 * lwIP as a peer, where it is installed: a TCP that others have written, behind the functions of
 * peer.h. What it cannot do (timestamps, SACK, ECN, sequences and times of its own choice) its
 * options must not ask for.
 */
#ifndef TESTS_HOUSE_LWIP_PEER_H
#define TESTS_HOUSE_LWIP_PEER_H

#include "peer.h"

#define LWIP_PEER_SCALE 1 /* of its window, as Debian builds it, and how large that is */
#define LWIP_PEER_WINDOW 65535u

/* Whether this program was built with it. */
bool lwip_peer_here(void);
/* As peer_create; it has shaken hands when this returns. NULL: not here, or it would not. All that
 * exist at a time have the same loop. */
struct peer *lwip_peer_create(struct sys_loop *loop, const struct peer_options *options,
                              const struct peer_app *app, void *arg);

#endif
