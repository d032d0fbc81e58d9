/* What stands behind struct script and struct script_conn. Private to src/host/script. */
#ifndef HOST_SCRIPT_PRIVATE_H
#define HOST_SCRIPT_PRIVATE_H

#include "host/script/script.h"

#define SCRIPT_POSTS 4            /* receive buffers posted at once */
#define SCRIPT_POST_BYTES 6000u   /* not a multiple of any segment size */
#define SCRIPT_BLOCK_BYTES 16384u /* the most one send NBL covers */
#define SCRIPT_FIN_WATCH_US 20000u
#define SCRIPT_BUCKETS 1024u
#define SCRIPT_TICKS_PER_SECOND 1000u
#define SCRIPT_AROUND 8u /* bytes of memory before and behind what an NBL is made over */

struct script {
    char name[32];
    struct sys_loop *loop;
    struct host *host;
    struct host_binding *binding; /* Running; NULL: none */
    struct list conns;
    struct list buckets[SCRIPT_BUCKETS]; /* the same, by ports */
    struct script_stats stats;
};

/* Written bytes, from the first unacknowledged one on. */
struct script_block {
    struct list link;
    uint32_t seq, len, offset; /* bytes[offset] has sequence number seq */
    NET_BUFFER_LIST *nbl;      /* over all of len; NULL: not with the target */
    uint8_t bytes[];
};

/* A segment from the regular path, copied; its chunk is on the engine's lists while it waits. */
struct script_frame {
    struct list link;
    struct tcp_segment segment;
    struct tcp_chunk chunk;
    uint32_t tcp_len;     /* header and payload */
    NET_BUFFER_LIST *nbl; /* while it is forwarded */
    uint8_t *payload;
    uint8_t tcp[]; /* from the TCP header on */
};

/* Received bytes that the application has not taken. */
struct script_data {
    struct list link;
    uint32_t len;
    NET_BUFFER_LIST *nbl; /* while handed over as BufferedData */
    uint8_t bytes[];
};

/* An indicated NBL that is ours for a while. */
struct script_loan {
    struct list link;
    NET_BUFFER_LIST *nbl;
    uint32_t len;
    bool delivered;
    uint64_t due_us; /* when it goes back; if not delivered before, then */
};

/* A posted receive buffer. */
struct script_post {
    NET_BUFFER_LIST *nbl; /* NULL: not posted */
    uint8_t before[SCRIPT_AROUND], bytes[SCRIPT_POST_BYTES], behind[SCRIPT_AROUND];
};

struct script_conn {
    struct host_conn down; /* first: container_of by address */
    struct list link;
    struct list bucket;
    struct script *script;
    struct script_options options;
    const struct script_app *app;
    void *arg;

    struct tcp_config config;
    struct tcp_conn tcp; /* valid while down.state is HOST, and until an initiate has succeeded */
    struct sys_timer timer;
    struct sys_task work; /* what must not be done on somebody else's stack */
    struct sys_timer hold_timer;
    struct script_settings settings;
    struct sys_timer change_timer;                       /* tries again what could not be told */
    bool settings_due, mtu_due, neighbor_due, route_due; /* the target is to be told */
    uint8_t told_mac[6]; /* of the neighbor, as the target knows it */

    struct list blocks; /* script_block, ascending: written, not acknowledged */
    uint32_t write_seq; /* behind the last written byte */
    uint32_t una_seq;   /* first byte of blocks, or write_seq */
    uint32_t queued_bytes;
    struct list received;   /* script_data, ascending: not delivered */
    uint32_t delivered_seq; /* behind the last byte the application has got, of what came to us */
    uint32_t received_seq;  /* behind the last byte that came to us */
    struct list waiting;    /* script_frame: while it belongs to nobody */
    struct list forwards;   /* script_frame: with the target */
    struct list loans;      /* script_loan */
    struct script_post posts[SCRIPT_POSTS];
    unsigned posted, post_count;
    NET_BUFFER_LIST *disconnect; /* in flight */

    bool live; /* tcp may be fed and asked */
    bool reading;
    bool window_due; /* with ack = returned: the target has not been told of room it could offer */
    bool post_due;   /* the target waits for a receive before it indicates anything */
    bool fin_wanted, fin_below,
        fin_acked;            /* ours: asked for; known to the engine or the target; acknowledged */
    bool fin_known, fin_told; /* the peer's: at fin_seq; the application knows */
    uint32_t fin_seq;
    bool abort_wanted, abort_below;
    bool upload_wanted, blocked; /* blocked: the target gave a send back, wait for the upload */
    bool silenced;               /* its path is invalid: the target sends no ACKs either */
    bool handed_data;            /* the initiate in flight carries BufferedData */
    bool handed_fin;             /* … and a FIN that was sent */
    bool ended;
    enum script_end end;
    uint64_t move_since_us;
    uint32_t moved_bytes;
    struct script_figures figures;
};

static inline struct list *
script_bucket(struct script *script, uint16_t local_port, uint16_t peer_port)
{
    return &script->buckets[(local_port ^ peer_port * 31u) % SCRIPT_BUCKETS];
}

static inline struct script_conn *
script_of(struct host_conn *down)
{
    return container_of(down, struct script_conn, down);
}

static inline uint64_t
script_now(const struct script_conn *conn)
{
    return sys_loop_now_us(conn->script->loop);
}

/* One thing from below does not fit what we know. */
void script_breach(struct script_conn *conn, const char *what, uint32_t expected, uint32_t got);

/* ---- chimney.c, for whoever hands bytes down ---- */
/* An NBL over bytes that have SCRIPT_AROUND more on both sides. NULL: out of memory. */
NET_BUFFER_LIST *script_nbl_create(struct script_conn *conn, void *bytes, uint32_t len);

/* ---- frame.c ---- */
/* A copy of the TCP segment in a frame, with its connection; NULL: none of ours, or damaged. */
struct script_frame *script_frame_parse(struct script *script, NET_BUFFER_LIST *nbl,
                                        struct script_conn **conn);
/* Sends one segment (or superframe) of the engine's on the regular path. */
void script_frame_send(struct script_conn *conn, const struct tcp_out *out);

/* ---- engine.c: while the host stack owns the connection ---- */
void script_on_frame(struct script_conn *conn, struct script_frame *frame);
void script_output(struct script_conn *conn);
void script_on_timer(void *arg);
bool script_fin_unwatched(const struct script_conn *conn);
void script_watch_fin(struct script_conn *conn);
/* The engine's lists, freed. */
void script_drop_chunks(struct script_conn *conn);
/* … put in front of what waits: the target has not had them. Returns how many. */
unsigned script_keep_chunks(struct script_conn *conn);

/* ---- conn.c ---- */
/* Bytes in order, from wherever: to the application, or kept. */
void script_deliver(struct script_conn *conn, const uint8_t *bytes, uint32_t len, bool target);
void script_on_fin(struct script_conn *conn); /* the peer's FIN is next */
void script_tell_fin(struct script_conn *conn);
void script_look_closed(struct script_conn *conn);
/* Written bytes before seq are acknowledged. */
void script_release(struct script_conn *conn, uint32_t seq, bool target);
void script_end_conn(struct script_conn *conn, enum script_end end);
void script_defer(struct script_conn *conn);

/* ---- state.c ---- */
TCP_OFFLOAD_STATE_CACHED script_cached(const struct script_conn *conn);
/* Our FIN has been sent. */
bool script_fin_in_sequence(enum tcp_conn_state state);
void script_export(struct script_conn *conn, const struct tcp_state *state,
                   struct host_initiate *what);
void script_import(struct script_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *delegated,
                   struct tcp_state *state);

/* ---- extension.c ---- */
/* The target can be asked for it. */
bool script_extends(const struct script_conn *conn);
void script_import_extension(const TCP_OFFLOAD_STATE_EXTENSION *in, struct tcp_extension *out);
void script_export_extension(const struct tcp_extension *in, TCP_OFFLOAD_STATE_EXTENSION *out);

/* ---- move.c ---- */
extern const struct host_conn_ops script_conn_ops;

/* ---- change.c ---- */
void script_settings_defaults(struct script_conn *conn);
/* What the target has not been told of, as far as it goes. */
void script_tell_changes(struct script_conn *conn);
void script_on_change_timer(void *arg);

/* ---- chimney.c: while the target owns it ---- */
void script_post_sends(struct script_conn *conn);
void script_post_receives(struct script_conn *conn);
/* With ack = returned the window is the host stack's to open: by an update. */
void script_tell_window(struct script_conn *conn);
/* The first len bytes of nb, in order, to the application. */
void script_deliver_nb(struct script_conn *conn, NET_BUFFER *nb, uint32_t len);
void script_disconnect_below(struct script_conn *conn, bool abortive);
void script_forward_waiting(struct script_conn *conn);
/* DUE, ALL: delivers and returns; DROP: returns, and what was not delivered is as if it had not
 * come. */
enum script_loans { SCRIPT_DUE, SCRIPT_ALL, SCRIPT_DROP };
void script_return_loans(struct script_conn *conn, enum script_loans which);
void script_on_hold_timer(void *arg);
void script_on_sent(struct host_conn *down, NET_BUFFER_LIST *nbl);
void script_on_received(struct host_conn *down, NET_BUFFER_LIST *nbl);
void script_on_disconnected(struct host_conn *down, NET_BUFFER_LIST *nbl);
void script_on_forwarded(struct host_conn *down, NET_BUFFER_LIST *nbl);
NDIS_STATUS script_on_indicate(struct host_conn *down, NET_BUFFER_LIST *nbl, ULONG *consumed);
void script_on_event(struct host_conn *down, ULONG type, ULONG info);

#endif
