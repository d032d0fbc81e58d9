/*
 * A script host over a fake NDIS (host/ndis_fake.h), with one connection: the test is the target,
 * and the wire. Our bytes begin at 1000, the peer's at 5000; ports 40000 and 443.
 */
#ifndef HOST_SCRIPT_TEST_RIG_H
#define HOST_SCRIPT_TEST_RIG_H

#include "host/ndis_fake.h"
#include "host/script/private.h"

#define RIG_OURS 1000u
#define RIG_PEERS 5000u
#define RIG_STAMP 0xfffffff0u /* of the peer's segments: 0 would be later */

struct rig {
    struct sys_loop *loop;
    struct script *script;
    struct script_conn *conn;
    char got[4096]; /* what the application has */
    uint32_t got_len, room;
    bool fin, ended;
    enum script_end end;
    NET_BUFFER_LIST *chain; /* sends that went down with the initiate */
};

/* options: addresses, ports and sequence numbers are filled in. Timestamps only if asked for. */
void rig_open(struct rig *rig, struct script_options options, bool timestamps);
/* Nothing may be left: neither calls nor NBLs. The connection is at home. */
void rig_close(struct rig *rig);
/* All that is due now; or within so many milliseconds. */
void rig_turn(struct rig *rig);
void rig_pass(struct rig *rig, uint32_t ms);

/* ---- the regular path ---- */

/* A segment of the peer's arrives; damaged: its IP header is. */
void rig_hear(struct rig *rig, uint32_t seq, uint32_t ack, uint8_t flags, const char *text,
              bool damaged);
/* Takes the oldest frame that was sent, its IP header in ip (60 bytes) unless that is NULL; false:
 * there is none. */
bool rig_said(struct tcp_segment *segment, uint8_t *ip);
/* Takes all of them; the last one. */
bool rig_said_last(struct tcp_segment *segment);

/* ---- the target ---- */

/* The initiate is asked for and succeeds; the state that came with it. */
TCP_OFFLOAD_STATE_DELEGATED rig_offload(struct rig *rig);
/* Answers the terminate that was asked for. state: SUCCESS with it; sends go back as they are
 * still open. */
void rig_answer_terminate(struct rig *rig, const TCP_OFFLOAD_STATE_DELEGATED *state);
/* An indication of this text; what was consumed. */
ULONG rig_indicate(struct rig *rig, const char *text);
/* Gives back what was lent: what came with returns. */
unsigned rig_take_returns(void);
void rig_event(struct rig *rig, ULONG type, ULONG info);
/* Completes the oldest receive (filled with text) or disconnect; false: there is none. */
bool rig_complete_receive(NDIS_STATUS status, const char *text);
bool rig_complete_disconnect(NDIS_STATUS status);
/* The cached state of the oldest update, of a connection; it is answered. NULL: none. */
const TCP_OFFLOAD_STATE_CACHED *rig_take_update(NDIS_STATUS status);

#endif
