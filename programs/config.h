/*
 * What chimneyd is told: an INI file, then the command line, which wins.
 *
 *   [daemon]      socket, log (error, warn, info, debug), mark, lock_memory, nice, verify
 *   [port IF]     the same, and wire = interfaces under it
 *   [stack IF]    intermediate = drivers from the host stack down, target = driver
 *
 * A driver is the name of one that is built in, or, with a slash, the path of one that is not.
 */
#ifndef PROGRAMS_CONFIG_H
#define PROGRAMS_CONFIG_H

#include "base/log.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define CONFIG_STACKS 16
#define CONFIG_INTERMEDIATES 8
#define CONFIG_DRIVER 256
#define CONFIG_WIRES 4
#define CONFIG_NICE (-10)
#define CONFIG_SOCKET "/run/chimneyd.sock"

struct config_stack {
    char ifname[IF_NAMESIZE]; /* of a port: what it will be called */
    bool port;
    char wires[CONFIG_WIRES][IF_NAMESIZE]; /* of a port: the interfaces under it */
    unsigned wire_count;
    char intermediates[CONFIG_INTERMEDIATES][CONFIG_DRIVER]; /* from the host stack down */
    unsigned intermediate_count;
    char target[CONFIG_DRIVER];
    bool in_file, in_arguments; /* where it was named: once in each */
};

struct config {
    char socket[108]; /* sun_path */
    enum log_level log;
    uint32_t mark; /* 0: the host stack's default */
    bool lock_memory, verify;
    int nice;     /* CONFIG_NICE unless set */
    int ready_fd; /* -1: none */
    struct config_stack stacks[CONFIG_STACKS];
    unsigned stack_count;
    char error[512]; /* what was wrong, without a newline */
};

void config_init(struct config *config);
/* 0; -EINVAL, or the error of opening it, with words in config->error. */
int config_read_file(struct config *config, const char *path);
/* Reads the file of -c, then the other arguments. 0; 1: help or version was printed; as above. */
int config_read_arguments(struct config *config, int argc, char **argv);

#endif
