/*
 * Which lines of a connection a segment touches while all is well: no loss, no disorder, no
 * keepalive, no timer. Lines of 64 bytes from the start of the structure; a list of members per
 * kind of segment, as the code reads and writes them.
 */
#include "tcp/test_conn.h"

#define LINE 64u

struct member {
    const char *name;
    size_t offset, size;
};

#define MEMBER(name)                                                                               \
    {                                                                                              \
#name, offsetof(struct tcp_conn, name), sizeof(((struct tcp_conn *)0)->name)               \
    }

/* Read by every arriving segment, and written by most. */
static const struct member common[] = {
    MEMBER(state),
    MEMBER(flags),
    MEMBER(rcv_nxt),
    MEMBER(rcv_edge),
    MEMBER(rcv_advertised),
    MEMBER(last_ack_sent),
    MEMBER(snd_una),
    MEMBER(snd_max),
    MEMBER(snd_wnd),
    MEMBER(snd_wl1),
    MEMBER(max_snd_wnd),
    MEMBER(sack_count),
    MEMBER(keepalive_probe_count),
    MEMBER(ts_recent),
    MEMBER(config.timestamps),
    MEMBER(config.sack),
    MEMBER(config.ecn),
    MEMBER(config.snd_wscale),
    MEMBER(config.keepalive),
};

static const struct member data_in[] = {
    MEMBER(rcv_ack),
    MEMBER(mss),
    MEMBER(pending_segments),
    MEMBER(ts_recent_us),
    MEMBER(ready_head),
    MEMBER(ready_tail),
    MEMBER(ooo_head),
    MEMBER(rcv_sack_count),
    MEMBER(config.rcv_wscale),
    MEMBER(config.ack_frequency),
    MEMBER(config.delayed_ack_us),
};

/* Everything that goes out, a bare ACK included. */
static const struct member out[] = {
    MEMBER(flags),
    MEMBER(rcv_nxt),
    MEMBER(rcv_ack),
    MEMBER(rcv_edge),
    MEMBER(rcv_advertised),
    MEMBER(last_ack_sent),
    MEMBER(ts_recent),
    MEMBER(mss),
    MEMBER(snd_una),
    MEMBER(snd_nxt),
    MEMBER(snd_max),
    MEMBER(snd_wnd),
    MEMBER(snd_end),
    MEMBER(cwnd),
    MEMBER(ack_repeat),
    MEMBER(rcv_sack_count),
    MEMBER(pending_segments),
    MEMBER(config.rcv_wscale),
    MEMBER(config.ts_tick_us),
    MEMBER(config.ts_offset),
    MEMBER(config.nagle),
};

/* By the timers of what is sent, and by the round trips. */
static const struct member sender_config[] = {
    MEMBER(config.congestion),
    MEMBER(config.min_rto_us),
    MEMBER(config.max_rto_us),
    MEMBER(config.max_rt_us),
};

/* By the caller, behind every segment. */
static const struct member asked_for[] = {
    MEMBER(delack_deadline_us),    MEMBER(rtx_deadline_us),
    MEMBER(tail_deadline_us),      MEMBER(reo_deadline_us),
    MEMBER(keepalive_deadline_us), MEMBER(fin_wait_2_deadline_us),
    MEMBER(sws_deadline_us),       MEMBER(dropped),
};

static const struct member sender[] = {
    MEMBER(ssthresh),    MEMBER(rtt_seq),          MEMBER(bytes_acked), MEMBER(dup_ack_count),
    MEMBER(recover_seq), MEMBER(retransmit_count), MEMBER(mark_count),  MEMBER(rtt_sent_us),
    MEMBER(srtt_us),     MEMBER(rttvar_us),        MEMBER(rto_us),      MEMBER(total_rt_us),
    MEMBER(ts_sent),
};

static const struct member counted[] = {
    MEMBER(min_rtt_us),           MEMBER(next_min_rtt_us),       MEMBER(min_rtt_since_us),
    MEMBER(counters.segments_in), MEMBER(counters.segments_out), MEMBER(counters.bytes_in),
    MEMBER(counters.bytes_out),   MEMBER(last_data_us),
};

static void
assert_between(const struct member *members, size_t count, unsigned first, unsigned last)
{
    for (size_t i = 0; i < count; i++) {
        unsigned from = (unsigned)(members[i].offset / LINE);
        unsigned to = (unsigned)((members[i].offset + members[i].size - 1) / LINE);

        if (from < first || to > last)
            fail_msg("%s is in lines %u to %u", members[i].name, from, to);
    }
}

#define ASSERT_BETWEEN(members, first, last)                                                       \
    assert_between(members, sizeof(members) / sizeof(*(members)), first, last)

static void
test_what_every_segment_touches(void **state)
{
    ASSERT_BETWEEN(common, 0, 1);
    ASSERT_BETWEEN(data_in, 0, 1);
    ASSERT_BETWEEN(out, 0, 1);
    ASSERT_BETWEEN(asked_for, 3, 3);
    ASSERT_BETWEEN(counted, 5, 5);
}

static void
test_what_sending_touches(void **state)
{
    ASSERT_BETWEEN(sender_config, 2, 2);
    ASSERT_BETWEEN(sender, 4, 4);
}

/* A table of connections is as large as this. */
static void
test_size(void **state)
{
    print_message("# %zu bytes a connection\n", sizeof(struct tcp_conn));
    assert_true(sizeof(struct tcp_conn) <= 2304);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_every_segment_touches),
        cmocka_unit_test(test_what_sending_touches),
        cmocka_unit_test(test_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
