/*
 * The simulator: one run is one house in virtual time, wholly determined by a seed.
 *
 *   script host ── floors by seed ── soft a0 ── mem wire ── peers (tests/house/peer.h), one a
 * connection └── judge, one a connection, at our end of the wire
 *
 * A plan says what the seed means; a run does what the plan says. What goes wrong ends the process:
 * whoever started it (sim_main.c) has written down which seed it was. Threads: none.
 */
#ifndef TESTS_HOUSE_SIM_H
#define TESTS_HOUSE_SIM_H

#include "judge.h"
#include "peer.h"
#include "stage.h"
#include "strict.h"

#define SIM_CONNS_MAX 6
#define SIM_STATIONS 3 /* link addresses of the peers' end */
#define SIM_LOSSES 3
#define SIM_MS 1000u
#define SIM_SECOND 1000000ull

/* How a connection ends. */
enum sim_end {
    SIM_BOTH_CLOSE,
    SIM_WE_CLOSE_FIRST,
    SIM_PEER_CLOSES_FIRST,
    SIM_STAYS_OPEN,
    SIM_WE_ABORT,
    SIM_PEER_ABORTS,
    SIM_ENDS
};

/* One direction: bytes in portions, with gaps between them; how the receiver takes them. */
struct sim_talk {
    uint64_t bytes;
    uint32_t part_min, part_max, gap_min_us, gap_max_us; /* part_max 0: all at once */
    unsigned pauses; /* so often the receiver stops taking data */
    uint32_t pause_max_us;
};

struct sim_conn_plan {
    uint64_t seed;
    struct script_options host;
    struct peer_options peer;
    struct sim_talk out, in;
    enum sim_end end;
    uint32_t abort_us;
    unsigned moves, forgeries;
    uint32_t move_min_us, move_max_us;
    unsigned move_frames; /* instead of by time: after so many frames of ours, at most */
    unsigned changes;     /* around it, see sim_house.c */
    uint32_t change_max_us;
    uint32_t start_us; /* nobody says anything before */
    unsigned looks;    /* so often its state is asked for, in a calm run */
    uint32_t look_max_us;
};

/* A calm run (sim_calm.c). lost: of the segments with data, from the first on, so many; [0]:
 * towards us. dark: nothing arrives. */
struct sim_calm {
    bool on, lossy;
    bool deserted; /* it stays dark: the peer is gone for good */
    struct {
        unsigned first, count;
    } lost[2][SIM_LOSSES];
    uint32_t dark_from_us, dark_us;
};

/* A team below all floors, see sim_team.c. */
enum sim_team_mode { SIM_NO_TEAM, SIM_TEAM_BACKUP, SIM_TEAM_HASH };

/* Of the target, see sim_limits.c. */
struct sim_limit {
    const char *keyword; /* NULL: none */
    unsigned kind;
    uint32_t value;
};

struct sim_plan {
    uint64_t seed;
    char floors[512];
    uint16_t vlan;
    bool loose; /* the floors change the order of frames, or hold things back */
    bool late;  /* of house_set_late */
    bool exact; /* it neither loses nor damages */
    struct wire_mem_impair impair[2];
    uint32_t corrupt_ppm;
    uint32_t mark_ppm[2]; /* of what is ECN-capable: towards us, from us */
    bool deaf_target;     /* it knows no extension of the state */
    uint16_t mtu;
    struct sim_calm calm;
    unsigned kill_at; /* the owner dies at this crossing; 0: it lives */
    unsigned conns;
    struct sim_conn_plan conn[SIM_CONNS_MAX];
    enum sim_team_mode team;
    bool crossed;   /* mode hash: peers answer through the other cable */
    unsigned pulls; /* so often a cable comes or goes */
    uint32_t pull_max_us;
    struct sim_limit limit;
    struct host_tuning tuning;
};

struct sim;

/* What the wire must show; until due that of before is right, too. */
struct sim_value {
    uint32_t now, before;
    uint64_t due_us;
};

struct sim_house {
    struct random random;
    struct sys_timer timer;
    unsigned left;
    struct sim_value ttl, tos, flow, nagle, mtu, station;
    uint64_t data_us;    /* of the last segment with data */
    uint64_t home_by_us; /* invalidated; 0: it is not, or has come home */
};

/* What was so when a query was asked. */
struct sim_asked {
    uint32_t una, said_ack, said_edge, tsecr;
    bool said, sampled;
};

/* Whether our side must have measured a round trip: the first segment with new data since the
 * target got the connection was acknowledged before it lost it, and nothing was sent again. */
struct sim_sample {
    bool pending, spoilt, taken;
    uint32_t end_seq, moves;
};

/* Segments of offloaded connections, seen at the wire. */
struct sim_counters {
    uint64_t in_least, in_most, out, again, resets;
    uint64_t octets_in_least, octets_in_most, octets_out; /* with headers from IP on */
};

struct sim_conn {
    struct sim *sim;
    const struct sim_conn_plan *plan;
    unsigned number;
    struct random random; /* of what is done to it */
    struct script_conn *host;
    struct peer *peer;
    struct peer *kernel; /* what goes on instead of host, after a kill */
    struct judge judge;
    struct strict strict; /* of a calm run */
    struct sys_timer out_timer, in_timer, read_out_timer, read_in_timer, move_timer, abort_timer,
        forge_timer, look_timer;
    struct sys_task move_task;
    uint64_t offered_out, written,
        acked_out; /* by our application: may be written, is; has arrived */
    uint64_t offered_in;
    uint64_t received_out, received_in; /* at the peer, at us */
    bool out_closed, in_closed, fin_at_us, fin_at_peer;
    bool host_reading, peer_reading;
    unsigned pauses_out, pauses_in, moves_left, forgeries_left, looks_left;
    uint64_t left_us;   /* the last move of a calm run began */
    unsigned looked_at; /* what the strict judge had been told when a query was asked */
    unsigned frames_to_move;
    uint32_t tried_seq; /* unacknowledged; a segment with it has been sent so often since */
    unsigned tries;
    uint32_t handed_sends, handed_data; /* bytes, when the move down began */
    bool host_ended;
    enum script_end host_end;
    uint64_t ended_us;
    struct sim_house house;
    struct sim_asked asked;
    struct sim_sample sample;
    unsigned heard; /* through which cable the peer has heard us last */
};

struct sim_team {
    struct wire *cable[2]; /* of a1: its end, the peers'; a0 is on the stage's wire */
    struct stage_watch watch;
    struct sys_timer puller;
    struct random random;
    bool up[2];
    unsigned port; /* mode backup: the cable that the bridge sends through */
    unsigned pulls, changes;
};

struct sim {
    struct sim_plan plan;
    struct stage stage;
    struct sim_conn conns[SIM_CONNS_MAX];
    struct random wire_random, peer_random, mark_random;
    uint64_t fingerprint;            /* of every frame at our end, and when */
    uint64_t frames, turns, turn_us; /* turns of the loop at turn_us */
    uint64_t began_us;
    unsigned data_segments[2]; /* of a calm run, towards us and from us */
    unsigned lost_in_a_row[2]; /* so that nobody gives up */
    bool verbose;
    struct trace *trace; /* NULL: none */
    struct observer observer;
    unsigned crossings;
    bool dead, revived; /* the owner was killed; others have gone on */
    bool past_gag;      /* one of those is sending */
    struct sim_team team;
    struct sim_value stations[SIM_STATIONS]; /* byte 3 of the address: how often it has moved */
    unsigned invalidated, answered;
    struct sim_counters counters[2]; /* IPv4, IPv6 */
    uint16_t next_ip_id;             /* behind the target's last; 0: it has not said any */
};

/* What all runs of a process have come to. */
struct sim_figures {
    uint64_t runs, handovers, refused, bytes, frames, retransmissions, dsacks, forged, kills,
        cables, invalidated, answered, marks, cwrs;
    uint64_t fingerprint; /* of all their fingerprints, in any order */
};

/* What the seed means. kill_at: the owner dies at this crossing; 0: as the seed has it. */
void sim_plan_make(struct sim_plan *plan, uint64_t seed, unsigned kill_at);
/* One line. */
void sim_plan_print(const struct sim_plan *plan);
/* Which run, and what is wanted of it. */
struct sim_order {
    uint64_t seed;
    unsigned kill_at;  /* see sim_plan_make */
    const char *trace; /* path of a pcapng file; NULL: none */
    bool verbose;      /* a line for every frame and move */
};
/* Its fingerprint. Does not return when something is wrong. */
uint64_t sim_run(const struct sim_order *order, struct sim_figures *figures);
_Noreturn void sim_fail(const struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- sim_conn.c ---- */
void sim_conn_open(struct sim *sim, unsigned number);
void sim_conn_bring_home(struct sim_conn *conn);
void sim_conn_close(struct sim_conn *conn, struct sim_figures *figures);
/* Writes what was offered, and closes when it may. */
void sim_conn_write(struct sim_conn *conn);
uint64_t sim_out_seed(const struct sim_conn *conn);
uint64_t sim_in_seed(const struct sim_conn *conn);
/* A frame of ours has passed the wire. */
void sim_conn_count_frame(struct sim_conn *conn);

/* ---- sim_end.c ---- */
/* As the plan has it: everything has come, both have ended … */
bool sim_conn_done(const struct sim_conn *conn);
void sim_conn_check(const struct sim_conn *conn);
/* What the script thinks of it, for who looks for the reason. */
const char *sim_conn_inside(const struct sim_conn *conn);
/* Waits until it is at home, and forgets the script's end. */
void sim_conn_leave(struct sim_conn *conn, struct sim_figures *figures);

/* ---- sim_kill.c ---- */
struct observer *sim_kill_observer(struct sim *sim);
/* After the kill: sockets go on from what the applications know. */
void sim_kill_revive(struct sim *sim, struct sim_figures *figures);

/* ---- sim_calm.c ---- */
/* Some plans become calm ones. */
void sim_calm_draw(struct sim_plan *plan);
/* The wire loses this frame. */
bool sim_calm_loses(struct sim *sim, bool out, bool data);
void sim_calm_judge(struct sim_conn *conn);
/* What the applications have done; what crosses our end of the wire; time has passed. */
void sim_calm_tell(struct sim_conn *conn);
void sim_calm_hear(struct sim_conn *conn, bool out, const struct peer_segment *segment,
                   uint32_t gso_bytes);
void sim_calm_time(struct sim_conn *conn);
/* A move begins now, if it may; it is over. */
bool sim_calm_leave(struct sim_conn *conn);
void sim_calm_moved(struct sim_conn *conn);
/* Its state is asked for, wherever it is; and what the target has answered. */
void sim_calm_look(void *arg);
void sim_calm_answered(struct sim_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *state);

/* ---- sim_wire.c ---- */
void sim_wire_open(struct sim *sim);
/* A peer's frame towards us. */
void sim_wire_send(struct sim_conn *conn, const uint8_t *frame, size_t len);
/* Something that somebody else made up arrives at our end. */
void sim_wire_forge(struct sim_conn *conn);

/* A frame of ours has come to the peers' end of a cable. */
void sim_wire_arrived(struct sim *sim, struct wire_buf *buf, unsigned cable);

/* ---- sim_house.c ---- */
void sim_house_open(struct sim_conn *conn);
/* Nothing changes any more. */
void sim_house_rest(struct sim_conn *conn);
void sim_house_close(struct sim_conn *conn);
/* A segment leaves, before the judge knows of it. */
void sim_house_out(struct sim_conn *conn, const uint8_t *frame, const struct peer_segment *segment,
                   uint32_t gso_bytes);
/* Whether a frame goes to where the peer is. */
bool sim_house_reaches(const struct sim_conn *conn, const uint8_t *frame);
/* Every turn: what is to come home does. */
void sim_house_watch(struct sim_conn *conn);

/* ---- sim_query.c ---- */
void sim_query_ask(struct sim_conn *conn);
void sim_query_answered(struct sim_conn *conn, NDIS_STATUS status,
                        const TCP_OFFLOAD_STATE_DELEGATED *state);
/* A segment at our end, before the judge knows of it. */
void sim_query_count(struct sim_conn *conn, bool out, const struct peer_segment *segment,
                     uint32_t gso_bytes);
/* At the end, when all are home. */
void sim_query_counters(struct sim *sim);

/* ---- sim_limits.c ---- */
void sim_limits_draw(struct sim_plan *plan);
/* Of the target: up to two, and the end. text: for a value, as long as they are needed. */
void sim_limits_options(const struct sim_plan *plan, struct house_option *options, char text[16]);
/* A move down begins; a move is over. */
void sim_limits_begin(struct sim_conn *conn);
void sim_limits_moved(const struct sim_conn *conn, const struct script_move *move);

/* ---- sim_team.c ---- */
/* After the wire was opened: who receives at the peers' end, and the second member if there is one.
 */
void sim_team_open(struct sim *sim);
/* From now on both cables stay in. */
void sim_team_rest(struct sim *sim);
void sim_team_close(struct sim *sim, struct sim_figures *figures);
/* Every crossing, for the bridge. */
void sim_team_look(struct sim *sim, const struct crossing *crossing);
/* Whether what has come through a cable gets to the peers, and to whose. */
bool sim_team_hears(struct sim *sim, unsigned cable);
void sim_team_heard(struct sim_conn *conn, unsigned cable);
/* The wire that the peer's frames take: its far end, and ours. NULL: none. */
struct wire *sim_team_far(const struct sim_conn *conn);
struct wire *sim_team_near(const struct sim_conn *conn);

/* ---- sim_lwip.c ---- */
/* From now on the peers are lwIP; false: this program was built without it. */
bool sim_lwip_want(void);
/* To a plan: what lwIP has not is not asked of it, if it is wanted. */
void sim_lwip_adapt(struct sim_plan *plan);
/* Whether a reset at the end is lwIP's way, and nothing is lost. */
bool sim_lwip_excuses(const struct sim_conn *conn);
/* Whichever is wanted. */
struct peer *sim_lwip_or_peer(struct sim *sim, const struct peer_options *options,
                              const struct peer_app *app, void *arg);

/* ---- sim_stream.c: the bytes of a stream, computed ---- */
void sim_stream_fill(uint64_t seed, uint64_t at, uint8_t *bytes, size_t len);
bool sim_stream_is(uint64_t seed, uint64_t at, const uint8_t *bytes, size_t len);

#endif
