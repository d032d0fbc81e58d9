/*
 * A host stack that obeys: connections exist because the caller says so, move when the caller says
 * so, and hand every byte to the caller. While a connection is not offloaded, the engine of src/tcp
 * drives it with frames of the regular path; while it is, its bytes go through the protocol edge.
 *
 * Threads: the loop's. Callbacks of struct script_app may call script_write, script_read,
 * script_offload and the like, but not script_conn_destroy.
 */
#ifndef HOST_SCRIPT_SCRIPT_H
#define HOST_SCRIPT_SCRIPT_H

#include "host/host.h"
#include "sys/loop.h"
#include "tcp/tcp.h"

struct script;
struct script_conn;

/* name: for the log. NULL: out of memory. Load it with house_load(house, name, host_entry,
 * script_host(script)). */
struct script *script_create(const char *name, struct sys_loop *loop);
/* After the driver was unloaded and every connection destroyed. */
void script_destroy(struct script *script);
struct host *script_host(struct script *script);
/* The adapter it is bound to; NULL: none is running. */
struct host_binding *script_binding(const struct script *script);

struct script_stats {
    uint64_t frames_in, frames_out, strangers; /* strangers: of no connection of ours */
    uint64_t bad_checksums, resets_in;
    uint64_t
        breaches; /* what came up from NDIS did not fit what went down; the log has the words */
};
const struct script_stats *script_stats(const struct script *script);

/* ---- the application's end ---- */

enum script_end {
    SCRIPT_CLOSED,  /* both halves, in order */
    SCRIPT_RESET,   /* by the peer */
    SCRIPT_ABORTED, /* by script_abort */
    SCRIPT_TIMEOUT,
    SCRIPT_LOST /* the target lost its state */
};

/* A finished move, asked for or not. */
struct script_move {
    bool down;
    NDIS_STATUS status;                 /* of the TCP node */
    struct host_initiate_result nodes;  /* down only */
    uint64_t held_us;                   /* the connection belonged to nobody */
    uint32_t send_bytes, receive_bytes; /* carried: not acknowledged yet; received, not delivered */
};

/* Any member may be NULL. */
struct script_app {
    void (*on_data)(void *arg, const uint8_t *bytes, size_t len); /* in order, once */
    void (*on_room)(void *arg, size_t bytes); /* so many written bytes were acknowledged */
    void (*on_fin)(void *arg);                /* the peer has nothing more to say */
    void (*on_end)(void *arg, enum script_end end);
    void (*on_move)(void *arg, const struct script_move *move);
    void (*on_query)(void *arg, NDIS_STATUS status, const TCP_OFFLOAD_STATE_DELEGATED *state);
};

/* How data comes up while offloaded. */
enum script_receive {
    SCRIPT_ACCEPT, /* indications are taken whole */
    SCRIPT_HOLD, /* … and returned, and delivered, hold_us later: for targets that acknowledge what
                    was returned */
    SCRIPT_POST,  /* buffers are posted in advance, push mode and not in turns */
    SCRIPT_NIBBLE /* indications are refused in part or whole, then a buffer is posted */
};

/* A connection as a handshake would have left it. Zero means the default in parentheses. */
struct script_options {
    bool ipv6;
    uint8_t local[16], peer[16]; /* network order */
    uint8_t local_mac[6], peer_mac[6];
    uint16_t local_port, peer_port; /* host order */
    uint32_t snd_seq, rcv_seq;      /* next to send, next expected */
    uint16_t mtu;                   /* (1500) of the path; also decides the MSS */
    uint8_t snd_wscale, rcv_wscale;
    bool no_timestamps, no_sack, no_scaling;
    uint32_t receive_buffer; /* (64 KiB) */
    uint32_t send_buffer;    /* (256 KiB) what script_write takes ahead of acknowledgements */
    uint32_t peer_window;    /* (64 KiB) */
    uint32_t ts_offset, ts_recent;
    bool superframes;  /* on the regular path */
    bool ack_returned; /* ask the target for it, with SCRIPT_HOLD */
    bool extended;     /* move with the extension of the state, if the target knows its version */
    bool ecn;          /* negotiated; moves with the extension only (-EOPNOTSUPP) */
    enum script_receive receive;
    uint32_t hold_us;     /* (1000) */
    uint32_t piece_bytes; /* (0: all) what one MDL covers; the data then begin and end inside one */
};

/* Owner: app stays the caller's. NULL: out of memory, or the numbers cannot be. */
struct script_conn *script_conn_create(struct script *script, const struct script_options *options,
                                       const struct script_app *app, void *arg);
/* The connection must not be with the target: script_state is HOST_CONN_HOST. Silent: nothing is
 * sent. */
void script_conn_destroy(struct script_conn *conn);

/* Copies as much as there is room for; returns how many bytes. */
size_t script_write(struct script_conn *conn, const void *bytes, size_t len);
/* Whether the application takes data; off: it fills the receive buffer. On at first. */
void script_read(struct script_conn *conn, bool on);
/* FIN behind what was written. */
void script_close(struct script_conn *conn);
/* RST; everything queued is dropped. */
void script_abort(struct script_conn *conn);

/* ---- changes: they hold whoever has the connection, see change.c ---- */

struct script_settings {
    uint8_t ttl; /* (64) hop limit, in IPv6 */
    uint8_t
        tos; /* (0) traffic class; of the lower two bits ECN has charge where it was agreed on */
    uint32_t flow_label;   /* (0) IPv6 only; 20 bits */
    bool nagle;            /* (on) */
    uint32_t keepalive_ms; /* (0: off) idle time and interval */
};
void script_set(struct script_conn *conn, const struct script_settings *settings);
const struct script_settings *script_settings(const struct script_conn *conn);
/* For all connections between the two addresses. */
void script_set_path_mtu(struct script_conn *conn, uint16_t mtu);
/* The neighbor with link address from has another one now: for all connections by way of it. */
void script_move_neighbor(struct script *script, const uint8_t from[6], const uint8_t to[6]);
/* The router has changed: everything between the connection's addresses goes to this link address.
 * A path that the target has is relinked if it has that neighbor, too, and invalidated otherwise.
 */
void script_reroute(struct script_conn *conn, const uint8_t mac[6]);
/* The path, or the neighbor, leads nowhere: what the target has that stands on it comes home, and
 * goes down with new objects if it is told to. 0, or those of host_invalidate. */
int script_invalidate(struct script_conn *conn, bool neighbor);

/* ---- moving ---- */

/* 0: on_move follows. -EBUSY: moving or ended; -ENETDOWN: no binding; -EOPNOTSUPP: ECN, and the
 * target cannot carry it on; and those of host_initiate. */
int script_offload(struct script_conn *conn);
/* 0: on_move follows. -EBUSY: not with the target, or a query is in flight. */
int script_upload(struct script_conn *conn);
int script_query(struct script_conn *conn);
enum host_conn_state script_state(const struct script_conn *conn);
bool script_ended(const struct script_conn *conn);
/* The handle that NDIS knows the connection by: for observers. */
const NDIS_OFFLOAD_HANDLE *script_handle(const struct script_conn *conn);

struct script_figures {
    uint64_t host_out,
        host_in; /* payload bytes acknowledged, delivered, while the host stack owned it */
    uint64_t target_out, target_in; /* … while the target did */
    uint64_t forwarded;             /* segments handed to the target */
    uint64_t retransmits;           /* segments, by the host stack */
    uint32_t moves_down, moves_up, refused;
    uint32_t buffered_down, buffered_up; /* moves that carried received data */
    uint32_t sends_returned;             /* NBLs that came home unfinished */
    uint32_t extended_down, extended_up; /* moves with the extension */
    uint32_t disorder_down;              /* segments out of order that went along */
};
void script_read_figures(const struct script_conn *conn, struct script_figures *out);
/* The engine while the host stack owns it; for the curious. */
const struct tcp_conn *script_engine(const struct script_conn *conn);

#endif
