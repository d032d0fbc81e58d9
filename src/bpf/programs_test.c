/*
 * The steering programs alone, on frames made by hand (BPF_PROG_TEST_RUN): which frame belongs to a
 * flow, in which direction, and what happens to it. No network, but the kernel's verifier and BPF
 * machine.
 */
#include "bpf/parts.h"
#include "bpf/testnet.h"

#include "steer.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define NEXT (-1)
#define DROP 2
#define REDIRECT 7
#define LOOPBACK_IFINDEX 1
#define TAP_IFINDEX 4711
#define MAX_FRAME 256
#define ETHERNET 14

struct frame {
    uint8_t bytes[MAX_FRAME];
    uint32_t len;
};

static struct steer *steer;
static struct steer_key key4, key6;

/* ---- frames ---- */

static void
put16(uint8_t *at, uint16_t value)
{
    value = htons(value);
    memcpy(at, &value, 2);
}

/* From local to peer when out, otherwise the other way; words: length of the IPv4 header. */
static struct frame
ipv4_frame(bool out, unsigned words)
{
    struct frame f = {.len = ETHERNET + 4 * words + 20 + 10};
    uint8_t *ip = f.bytes + ETHERNET, *tcp = ip + 4 * words;

    put16(f.bytes + 12, 0x0800);
    ip[0] = (uint8_t)(0x40 | words);
    put16(ip + 2, (uint16_t)(f.len - ETHERNET));
    ip[8] = 64;
    ip[9] = IPPROTO_TCP;
    memset(ip + 20, 1, 4 * words - 20);
    memcpy(ip + 12, out ? key4.local : key4.peer, 4);
    memcpy(ip + 16, out ? key4.peer : key4.local, 4);
    memcpy(tcp, out ? &key4.local_port : &key4.peer_port, 2);
    memcpy(tcp + 2, out ? &key4.peer_port : &key4.local_port, 2);
    tcp[12] = 0x50;
    return f;
}

static struct frame
ipv6_frame(bool out)
{
    struct frame f = {.len = ETHERNET + 40 + 20 + 10};
    uint8_t *ip = f.bytes + ETHERNET, *tcp = ip + 40;

    put16(f.bytes + 12, 0x86dd);
    ip[0] = 0x60;
    put16(ip + 4, 30);
    ip[6] = IPPROTO_TCP;
    memcpy(ip + 8, out ? key6.local : key6.peer, 16);
    memcpy(ip + 24, out ? key6.peer : key6.local, 16);
    memcpy(tcp, out ? &key6.local_port : &key6.peer_port, 2);
    memcpy(tcp + 2, out ? &key6.peer_port : &key6.local_port, 2);
    tcp[12] = 0x50;
    return f;
}

/* ---- running ---- */

static int
verdict(const struct bpf_program *program, const struct frame *f, uint32_t mark, uint32_t *mark_out)
{
    struct __sk_buff context = {.mark = mark}, after = {0};
    uint8_t out[MAX_FRAME];
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = f->bytes, .data_size_in = f->len,
                .data_out = out, .data_size_out = sizeof(out), .ctx_in = &context,
                .ctx_size_in = sizeof(context), .ctx_out = &after, .ctx_size_out = sizeof(after));

    assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(program), &run), 0);
    if (mark_out)
        *mark_out = after.mark;
    return (int)run.retval;
}

static int
egress(const struct frame *f, uint32_t mark)
{
    return verdict(steer->programs->progs.steer_egress, f, mark, NULL);
}

static int
ingress(const struct frame *f, uint32_t mark)
{
    return verdict(steer->programs->progs.steer_ingress, f, mark, NULL);
}

/* A test run starts a filter behind the first Ethernet header, a raw packet socket before it: here
 * there are two. */
static int
taken(const struct frame *f, uint32_t mark)
{
    struct frame twice = {.len = f->len + ETHERNET};

    memcpy(twice.bytes, f->bytes, ETHERNET);
    memcpy(twice.bytes + ETHERNET, f->bytes, f->len);
    return verdict(steer->programs->progs.steer_taken, &twice, mark, NULL);
}

static struct steer_counters
counters(const struct steer_key *key)
{
    struct steer_counters now;

    assert_int_equal(steer_flow_read(steer, key, &now), 0);
    return now;
}

/* A key for every test, and a heart that beats for the length of it. */
static int
add_flows(void **state)
{
    key4 = (struct steer_key){.local = {10, 0, 0, 1},
                              .peer = {10, 0, 0, 2},
                              .family = AF_INET,
                              .local_port = htons(1001),
                              .peer_port = htons(443)};
    key6 = (struct steer_key){.local = {0xfd, [15] = 1},
                              .peer = {0xfd, [15] = 2},
                              .family = AF_INET6,
                              .local_port = htons(1001),
                              .peer_port = htons(443)};
    steer_beat(steer, testnet_now_ns());
    return steer_flow_add(steer, &key4) || steer_flow_add(steer, &key6);
}

static int
remove_flows(void **state)
{
    return steer_flow_remove(steer, &key4, NULL) || steer_flow_remove(steer, &key6, NULL);
}

/* ---- tests ---- */

static void
test_directions(void **state)
{
    struct frame out = ipv4_frame(true, 5), in = ipv4_frame(false, 5);

    assert_int_equal(egress(&out, 0), REDIRECT);
    assert_int_equal(egress(&in, 0), NEXT);
    assert_int_equal(ingress(&in, 0), DROP);
    assert_int_equal(ingress(&out, 0), NEXT);
    assert_int_equal(taken(&in, 0), -1);
    assert_int_equal(taken(&out, 0), 0);
    assert_int_equal(counters(&key4).out_redirected, 1);
    assert_int_equal(counters(&key4).out_redirected_bytes, out.len);
    assert_int_equal(counters(&key4).in_diverted, 1);
    assert_int_equal(counters(&key4).in_diverted_bytes, in.len);
    assert_int_equal(counters(&key6).out_redirected, 0);
}

static void
test_ipv6(void **state)
{
    struct frame out = ipv6_frame(true), in = ipv6_frame(false);

    assert_int_equal(egress(&out, 0), REDIRECT);
    assert_int_equal(egress(&in, 0), NEXT);
    assert_int_equal(ingress(&in, 0), DROP);
    assert_int_equal(ingress(&out, 0), NEXT);
    assert_int_equal(taken(&in, 0), -1);
    assert_int_equal(taken(&out, 0), 0);
    assert_int_equal(counters(&key6).out_redirected, 1);
    assert_int_equal(counters(&key6).in_diverted, 1);
    assert_int_equal(counters(&key4).out_redirected, 0);
}

static void
test_marked_frames_pass(void **state)
{
    struct frame out = ipv4_frame(true, 5), in = ipv4_frame(false, 5);
    uint32_t mark = steer_mark(steer), after;

    assert_int_equal(egress(&out, mark), NEXT);
    assert_int_equal(verdict(steer->programs->progs.steer_ingress, &in, mark, &after), NEXT);
    assert_int_equal(after, 0);
    assert_int_equal(taken(&in, mark), 0);
    assert_int_equal(counters(&key4).out_marked, 1);
    assert_int_equal(counters(&key4).in_marked, 1);
    assert_int_equal(counters(&key4).out_redirected + counters(&key4).in_diverted, 0);
}

/* Somebody else's mark is neither ours nor touched. */
static void
test_foreign_mark(void **state)
{
    struct frame other = ipv4_frame(false, 5), in = other;
    uint32_t mark = steer_mark(steer) + 1, after;

    other.bytes[ETHERNET + 20] ^= 1; /* another port */
    assert_int_equal(verdict(steer->programs->progs.steer_ingress, &other, mark, &after), NEXT);
    assert_int_equal(after, mark);
    assert_int_equal(ingress(&in, mark), DROP);
}

static void
test_ipv4_options(void **state)
{
    for (unsigned words = 6; words <= 15; words++) {
        struct frame out = ipv4_frame(true, words), in = ipv4_frame(false, words);

        assert_int_equal(egress(&out, 0), REDIRECT);
        assert_int_equal(ingress(&in, 0), DROP);
        assert_int_equal(taken(&in, 0), -1);
    }
}

static void
everything_passes(const struct frame *out, const struct frame *in)
{
    assert_int_equal(egress(out, 0), NEXT);
    assert_int_equal(ingress(in, 0), NEXT);
    assert_int_equal(taken(in, 0), 0);
}

static void
test_fragments_pass(void **state)
{
    static const uint16_t bits[] = {0x2000, 0x0001, 0x1fff, 0x2010};

    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        struct frame out = ipv4_frame(true, 5), in = ipv4_frame(false, 5);

        put16(out.bytes + ETHERNET + 6, bits[i]);
        put16(in.bytes + ETHERNET + 6, bits[i]);
        everything_passes(&out, &in);
    }
}

static void
test_do_not_fragment_is_no_fragment(void **state)
{
    struct frame out = ipv4_frame(true, 5);

    put16(out.bytes + ETHERNET + 6, 0x4000);
    assert_int_equal(egress(&out, 0), REDIRECT);
}

static void
test_other_protocols_pass(void **state)
{
    struct frame out = ipv4_frame(true, 5), in = ipv4_frame(false, 5);
    struct frame out6 = ipv6_frame(true), in6 = ipv6_frame(false);

    out.bytes[ETHERNET + 9] = in.bytes[ETHERNET + 9] = IPPROTO_UDP;
    everything_passes(&out, &in);
    out6.bytes[ETHERNET + 6] = in6.bytes[ETHERNET + 6] = 0; /* hop-by-hop options */
    everything_passes(&out6, &in6);
    out6.bytes[ETHERNET + 6] = in6.bytes[ETHERNET + 6] = 44; /* fragment header */
    everything_passes(&out6, &in6);
    put16(out6.bytes + 12, 0x0806);
    put16(in6.bytes + 12, 0x0806);
    everything_passes(&out6, &in6);
}

/* The tag in the frame: the ethertype is no IP. (A tag beside the frame is vlan_present.) */
static void
test_vlan_passes(void **state)
{
    struct frame out = ipv4_frame(true, 5), in = ipv4_frame(false, 5);

    memmove(out.bytes + 16, out.bytes + 12, out.len - 12);
    memmove(in.bytes + 16, in.bytes + 12, in.len - 12);
    put16(out.bytes + 12, 0x8100);
    put16(in.bytes + 12, 0x8100);
    out.len += 4;
    in.len += 4;
    everything_passes(&out, &in);
}

/* Every cut before the end of the ports passes and reads nothing that is not there. */
static void
test_short_frames_pass(void **state)
{
    struct frame full4 = ipv4_frame(true, 5), full6 = ipv6_frame(true);

    for (uint32_t len = ETHERNET + 20; len < ETHERNET + 20 + 4; len++) {
        full4.len = len;
        assert_int_equal(egress(&full4, 0), NEXT);
    }
    for (uint32_t len = ETHERNET + 40; len < ETHERNET + 40 + 4; len++) {
        full6.len = len;
        assert_int_equal(egress(&full6, 0), NEXT);
    }
    full4 = ipv4_frame(true, 5);
    full4.bytes[ETHERNET] = 0x44; /* a header length that cannot be */
    assert_int_equal(egress(&full4, 0), NEXT);
    full4.bytes[ETHERNET] = 0x4f; /* a header longer than the frame */
    full4.len = ETHERNET + 40;
    assert_int_equal(egress(&full4, 0), NEXT);
}

static void
test_every_part_of_the_key_counts(void **state)
{
    static const uint32_t parts[] = {12, 15, 16, 19, 20, 21, 22, 23};

    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct frame out = ipv4_frame(true, 5), in = ipv4_frame(false, 5);

        out.bytes[ETHERNET + parts[i]] ^= 0x10;
        in.bytes[ETHERNET + parts[i]] ^= 0x10;
        everything_passes(&out, &in);
    }
}

static void
test_stale_heart(void **state)
{
    struct frame out = ipv4_frame(true, 5), in = ipv4_frame(false, 5);

    steer_beat(steer, testnet_now_ns() - UINT64_C(101) * 1000000);
    everything_passes(&out, &in);
    assert_int_equal(counters(&key4).out_leaked, 1);
    assert_int_equal(counters(&key4).in_leaked, 1);
    steer_beat(steer, testnet_now_ns());
    assert_int_equal(egress(&out, 0), REDIRECT);
}

/* An owner that wakes after a stop may say what it had ready before: of its flows nothing passes,
 * in neither direction; of others it does. */
static void
test_stale_heart_silences_its_owner(void **state)
{
    struct frame out = ipv4_frame(true, 5), in = ipv4_frame(false, 5), other_out = out,
                 other_in = in;
    struct frame out6 = ipv6_frame(true), in6 = ipv6_frame(false);
    uint32_t mark = steer_mark(steer);

    steer_beat(steer, testnet_now_ns() - UINT64_C(101) * 1000000);
    assert_int_equal(egress(&out, mark), DROP);
    assert_int_equal(ingress(&in, mark), DROP);
    assert_int_equal(egress(&out6, mark), DROP);
    assert_int_equal(ingress(&in6, mark), DROP);
    assert_int_equal(counters(&key4).out_marked + counters(&key4).in_marked, 0);
    other_out.bytes[ETHERNET + 20] ^= 1;
    other_in.bytes[ETHERNET + 20] ^= 1;
    assert_int_equal(egress(&other_out, mark), NEXT);
    assert_int_equal(ingress(&other_in, mark), NEXT);
    steer_beat(steer, testnet_now_ns());
    assert_int_equal(egress(&out, mark), NEXT);
    assert_int_equal(ingress(&in, mark), NEXT);
}

/* The owner's clock may be read a moment after the program's: that is no age of 500 years. */
static void
test_beat_a_little_ahead(void **state)
{
    struct frame out = ipv4_frame(true, 5);

    steer_beat(steer, testnet_now_ns() + UINT64_C(1000000000));
    assert_int_equal(egress(&out, 0), REDIRECT);
}

static void
test_interface_without_tap(void **state)
{
    struct frame out = ipv4_frame(true, 5);
    uint32_t lo = LOOPBACK_IFINDEX, tap = TAP_IFINDEX;
    int twins = bpf_map__fd(steer->programs->maps.twins);

    assert_int_equal(bpf_map_delete_elem(twins, &lo), 0);
    assert_int_equal(egress(&out, 0), NEXT);
    assert_int_equal(counters(&key4).out_leaked, 1);
    assert_int_equal(bpf_map_update_elem(twins, &lo, &tap, BPF_ANY), 0);
}

static void
test_tap(void **state)
{
    struct frame in = ipv4_frame(false, 5);
    uint32_t lo = LOOPBACK_IFINDEX, tap = TAP_IFINDEX, mark;
    int twins = bpf_map__fd(steer->programs->maps.twins);

    assert_int_equal(verdict(steer->programs->progs.steer_tap, &in, 0, &mark), REDIRECT);
    assert_int_equal(mark, steer_mark(steer));
    assert_int_equal(bpf_map_delete_elem(twins, &lo), 0);
    assert_int_equal(verdict(steer->programs->progs.steer_tap, &in, 0, &mark), DROP);
    assert_int_equal(bpf_map_update_elem(twins, &lo, &tap, BPF_ANY), 0);
}

static void
test_not_for_us(void **state)
{
    struct frame in = ipv4_frame(false, 5);

    in.bytes[0] = 0x02; /* the test frame's own address is zero, as the loopback's is */
    assert_int_equal(ingress(&in, 0), NEXT);
    assert_int_equal(taken(&in, 0), 0);
    assert_int_equal(counters(&key4).in_diverted + counters(&key4).in_leaked, 0);
}

static void
test_options(void **state)
{
    struct steer_options options = {.mark = 77, .missed_ms = 5000};
    struct steer *other = NULL;
    const char *why = "";

    assert_int_equal(steer_mark(steer), 0x00c41e57);
    assert_int_equal(steer_open(&options, &other, &why), 0);
    assert_int_equal(steer_mark(other), 77);
    steer_close(other);
    steer_close(NULL);
}

/* Test frames arrive on, and leave by, the loopback interface. */
static int
open_group(void **state)
{
    uint32_t lo = LOOPBACK_IFINDEX, tap = TAP_IFINDEX;
    const char *why = "";

    if (steer_open(NULL, &steer, &why))
        testnet_fail(__FILE__, __LINE__, why);
    return bpf_map_update_elem(bpf_map__fd(steer->programs->maps.twins), &lo, &tap, BPF_ANY);
}

static int
close_group(void **state)
{
    steer_close(steer);
    return 0;
}

#define with_flows(test) cmocka_unit_test_setup_teardown(test, add_flows, remove_flows)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_flows(test_directions),
        with_flows(test_ipv6),
        with_flows(test_marked_frames_pass),
        with_flows(test_foreign_mark),
        with_flows(test_ipv4_options),
        with_flows(test_fragments_pass),
        with_flows(test_do_not_fragment_is_no_fragment),
        with_flows(test_other_protocols_pass),
        with_flows(test_vlan_passes),
        with_flows(test_short_frames_pass),
        with_flows(test_every_part_of_the_key_counts),
        with_flows(test_stale_heart),
        with_flows(test_stale_heart_silences_its_owner),
        with_flows(test_beat_a_little_ahead),
        with_flows(test_interface_without_tap),
        with_flows(test_tap),
        with_flows(test_not_for_us),
        cmocka_unit_test(test_options),
    };

    if (geteuid() != 0) {
        printf("1..0 # SKIP needs root\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, open_group, close_group);
}
