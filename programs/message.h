/*
 * The control protocol: one JSON object per line, both ways. A request is
 *   {"op": "status|stack|list|show|offload|upload", "selector": {"pid", "local", "peer", "all"}}
 *   {"op": "team|fail|restore", "member": NAME}
 * and is answered by one object per floor, member, connection or move, then {"end": true, "code":
 * N}, where N is the exit code that chimneyctl ends with. chimneyd(8) shows every member.
 */
#ifndef PROGRAMS_MESSAGE_H
#define PROGRAMS_MESSAGE_H

#include "chimney/hoststack.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct house_floor;
struct team_info;

/* Exit codes of chimneyctl, and "code" of every answer. */
enum message_code {
    MESSAGE_DONE = 0,
    MESSAGE_REFUSED = 1,     /* every connection is where it was */
    MESSAGE_USAGE = 2,       /* the request makes no sense */
    MESSAGE_NO_DAEMON = 3,   /* chimneyctl's own */
    MESSAGE_PARTLY = 4,      /* some moved, some did not */
    MESSAGE_LOST = 5,        /* a connection ended while the target had it */
    MESSAGE_UNSUPPORTED = 6, /* by this kernel, or by what is built in */
    MESSAGE_DENIED = 7
};

enum message_op {
    MESSAGE_STATUS,
    MESSAGE_STACK,
    MESSAGE_LIST,
    MESSAGE_SHOW,
    MESSAGE_OFFLOAD,
    MESSAGE_UPLOAD,
    MESSAGE_TEAM,
    MESSAGE_FAIL,
    MESSAGE_RESTORE
};

#define MESSAGE_MEMBER 64
struct message_request {
    enum message_op op;
    struct hoststack_selector selector;
    char member[MESSAGE_MEMBER]; /* fail, restore: of a team */
};

/* 0; -EINVAL with words in why. An offload or upload that names nothing must say "all". */
int message_read_request(const char *line, size_t length, struct message_request *out, char *why,
                         size_t why_size);

/* "10.0.0.1:80", "[fe80::1]:80"; a * for what is not given. */
#define MESSAGE_ENDPOINT 64
void message_endpoint(const struct hoststack_endpoint *endpoint, char text[MESSAGE_ENDPOINT]);

/* Builders of answers; NULL: out of memory. Owner: the caller's reference. */
/* link: of its device: up, down, gone; NULL: it stands on an adapter. */
json_t *message_floor(const struct house_floor *floor, const char *link);
/* gone: the interface under it is not there any more. */
json_t *message_member(const struct team_info *info, bool gone);
json_t *message_conn(const struct hoststack_conn_info *info);
json_t *message_move(const struct hoststack_move *move);
json_t *message_status(const struct hoststack_totals *totals, unsigned long long uptime_ms);
/* error: NULL or a sentence. */
json_t *message_end(enum message_code code, unsigned count, const char *error);

/* done, refused, lost, unsupported, denied */
const char *message_outcome(enum hoststack_outcome outcome);

/* How the moves of a request went, and what that comes to. */
struct message_sum {
    unsigned done, refused, lost, unsupported, denied;
};
void message_count(struct message_sum *sum, enum hoststack_outcome outcome);
enum message_code message_code_of(const struct message_sum *sum);
enum message_code message_code_of_errno(int error);

#endif
