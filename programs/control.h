/*
 * The control socket: programs ask in JSON lines (message.h), the host stack does it.
 *
 * Threads: the loop's.
 */
#ifndef PROGRAMS_CONTROL_H
#define PROGRAMS_CONTROL_H

struct control;
struct house;
struct hoststack;
struct sys_loop;

/*
 * Listens at path, mode 0600; a socket that a dead daemon left there is replaced. Clients wait
 * until control_start. 0 or a negative errno with a sentence in why: -EADDRINUSE when another
 * daemon answers at path.
 */
#define CONTROL_WHY 192
int control_open(struct sys_loop *loop, const char *path, struct control **out,
                 char why[CONTROL_WHY]);
/* Serves. house and stack outlive control_drain. 0 or a negative errno. */
int control_start(struct control *control, struct house *house, struct hoststack *stack);
/* The path is gone, requests are refused; moves under way still answer. */
void control_drain(struct control *control);
/* After hoststack_destroy: nothing answers any more. NULL: nothing to do. */
void control_close(struct control *control);

#endif
