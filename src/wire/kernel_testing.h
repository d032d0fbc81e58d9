/*
 * What the tests against the kernel share: a network namespace of the process's own, two wires on
 * one loop, and waiting for something to happen. The namespace goes with the process, and
 * everything in it.
 */
#ifndef WIRE_KERNEL_TESTING_H
#define WIRE_KERNEL_TESTING_H

#include "sys/clock.h"
#include "sys/loop.h"
#include "wire/frames_testing.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_US = 20000000 };

static const char *why_skipped;
static struct sys_loop *loop;
static struct wire *ends[2];

struct sink {
    unsigned frames, numbered, next, out_of_order, twice, ups, downs, writable;
    bool seen[20000];       /* by number */
    struct wire_buf *large; /* the last frame that was not numbered */
    struct wire *close;
};

static struct sink sinks[2];

static inline void
on_frame(void *arg, struct wire_buf *buf)
{
    struct sink *sink = arg;

    sink->frames++;
    if (test_is_numbered(buf)) {
        uint32_t number = bytes_load_be32(buf->data + 14);

        assert_in_range(number, 0, sizeof(sink->seen) - 1);
        sink->twice += sink->seen[number];
        sink->seen[number] = true;
        sink->out_of_order += number != sink->next;
        sink->next = number + 1;
        sink->numbered++;
    } else if (buf->len > 1000) {
        if (sink->large != NULL)
            wire_buf_put(sink->large);
        sink->large = wire_buf_get(buf);
    }
    wire_close(sink->close);
    sink->close = NULL;
}

static inline void
on_writable(void *arg)
{
    ((struct sink *)arg)->writable++;
}

static inline void
on_link(void *arg, bool up)
{
    struct sink *sink = arg;

    sink->ups += up;
    sink->downs += !up;
}

static const struct wire_receiver receiver = {on_frame, on_writable, on_link};

static inline void
run(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

/* Turns the loop until *count reaches at least wanted. */
static inline void
await(const unsigned *count, unsigned wanted)
{
    uint64_t end_us = sys_clock_us() + PATIENCE_US;

    while (*(const volatile unsigned *)count < wanted) {
        if (!sys_loop_turn(loop, false))
            sched_yield();
        if (sys_clock_us() > end_us)
            fail_msg("waited in vain for %u, have %u", wanted, *count);
    }
}

/* Frames that two processors pass on may overtake each other; ours shall not be blamed for that. */
static inline void
stay_on_one_processor(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
}

static inline void
enter_namespace(void)
{
    int fd;

    stay_on_one_processor();
    if (unshare(CLONE_NEWNET) != 0) {
        why_skipped = "needs root: cannot make a network namespace";
        return;
    }
    /* Router solicitations and the like would count as frames. */
    fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "1", 1) != 1)
            why_skipped = "cannot silence IPv6 in the namespace";
        close(fd);
    }
    if (access("/dev/net/tun", R_OK | W_OK) != 0)
        why_skipped = "no /dev/net/tun";
}

static inline int
set_up(void **state)
{
    memset(sinks, 0, sizeof(sinks));
    memset(ends, 0, sizeof(ends));
    loop = why_skipped == NULL ? sys_loop_create() : NULL;
    return 0;
}

static inline int
tear_down(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        wire_close(ends[i]);
        if (sinks[i].large != NULL)
            wire_buf_put(sinks[i].large);
    }
    sys_loop_destroy(loop);
    if (if_nametoindex("v0") != 0)
        run("ip link del v0");
    return 0;
}

static inline void
need_kernel(void)
{
    if (why_skipped == NULL)
        return;
    print_message("# skipped: %s\n", why_skipped);
    skip();
}

static inline void
listen_on(unsigned i)
{
    wire_set_receiver(ends[i], &receiver, &sinks[i]);
}

static uint8_t payload[60000];

static inline void
fill_payload(void)
{
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 7 + i / 251);
}

/* A superframe leaves from ends[from] and arrives whole and unchanged at the other end. */
static inline void
check_superframe(unsigned from, bool ipv6)
{
    struct sink *sink = &sinks[!from];
    unsigned before = sink->frames;
    size_t header = ipv6 ? 86 : 66;

    fill_payload();
    assert_int_equal(test_send_tcp(ends[from], ipv6, payload, sizeof(payload), 1400), 0);
    wire_flush(ends[from]);
    memset(payload, 0, sizeof(payload));
    await(&sink->frames, before + 1);
    fill_payload();
    assert_non_null(sink->large);
    assert_int_equal(sink->large->len, header + sizeof(payload));
    assert_memory_equal(sink->large->data + header, payload, sizeof(payload));
    assert_int_equal(sink->large->meta.gso_type, ipv6 ? WIRE_GSO_TCPV6 : WIRE_GSO_TCPV4);
    assert_int_equal(sink->large->meta.gso_size, 1400);
    assert_int_equal(sink->large->meta.header_len, header);
    assert_int_equal(sink->large->meta.csum_start, header - TEST_TCP_BYTES);
    assert_int_equal(sink->large->meta.csum_offset, 16);
    assert_true(sink->large->meta.csum_partial && sink->large->meta.csum_valid);
}

#define KERNEL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
