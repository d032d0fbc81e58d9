/*
 * Which cache lines of a connection a segment really touches, data in, data out and an ACK in,
 * while all is well: measured, not counted by hand (src/tcp/layout_test.c does that for the
 * engine).
 *
 * With everything that follows in order, data in touches 9 lines: 5 before the engine (whose it is;
 * what becomes of it; the object; the timer; the window or the answer), the engine's 4 (two of
 * numbers, the deadlines, the counters). Data out and an ACK in touch 13 each: besides, the place
 * in the send queue, what the sender is configured to, its round trip, and for the one the mark of
 * when it was sent, for the other what is completed. Wished for are two. But whose a segment is
 * (its key, and behind the object its VLAN) and whether it may be taken (the numbers, what was
 * negotiated) are four already, and each segment is delivered or completes something, is counted,
 * and may change what is due next: six lists are a line and a half, seven deadlines one.
 *
 * What stands behind a pointer counts for those whom it belongs to: path and neighbor are many
 * connections' and are counted apart. The node of a timer is the loop's and is left alone while no
 * deadline comes nearer; frames and NBLs are the segment's.
 *
 * The trick: the engine and the target are compiled once more for this program, with the
 * instrumentation of ThreadSanitizer but not its library. What it would call at every access is
 * here, and notes those that are within what is watched. Calls of memcpy and memset are not seen.
 */
#include "target/soft/conn.h"
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LINES (sizeof(struct soft_conn) / SOFT_CACHE_LINE + 1)

/* Lines from its start: the shared ones begin anywhere. */
struct watched {
    const void *base; /* NULL: not watched now */
    size_t size;
    bool touched[LINES];
};

static struct watched own = {.size = sizeof(struct soft_conn)};
static struct watched path = {.size = sizeof(struct soft_path)};
static struct watched neighbor = {.size = sizeof(struct soft_neighbor)};

static void
note_in(struct watched *watched, const void *at, size_t size)
{
    uintptr_t from = (uintptr_t)at - (uintptr_t)watched->base, to = from + size - 1;

    if (!watched->base || from >= watched->size)
        return;
    for (uintptr_t line = from / SOFT_CACHE_LINE; line <= to / SOFT_CACHE_LINE; line++)
        watched->touched[line] = true;
}

static void
note(const void *at, size_t size)
{
    note_in(&own, at, size);
    note_in(&path, at, size);
    note_in(&neighbor, at, size);
}

/* ---- what the compiler calls ---- */

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(void *at, unsigned long size);
void __tsan_write_range(void *at, unsigned long size);

void
__tsan_init(void)
{
}

void
__tsan_func_entry(void *caller)
{
}

void
__tsan_func_exit(void)
{
}

void
__tsan_read_range(void *at, unsigned long size)
{
    note(at, size);
}

void
__tsan_write_range(void *at, unsigned long size)
{
    note(at, size);
}

/* clang's for calls that it makes itself; gcc leaves them as they are. */
void *__tsan_memcpy(void *to, const void *from, unsigned long size);
void *__tsan_memmove(void *to, const void *from, unsigned long size);
void *__tsan_memset(void *at, int value, unsigned long size);

void *
__tsan_memcpy(void *to, const void *from, unsigned long size)
{
    return memcpy(to, from, size);
}

void *
__tsan_memmove(void *to, const void *from, unsigned long size)
{
    return memmove(to, from, size);
}

void *
__tsan_memset(void *at, int value, unsigned long size)
{
    return memset(at, value, size);
}

/* Counters of base/machine.h. */
uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *at, uint64_t value, int order);

uint64_t
__tsan_atomic64_fetch_add(volatile uint64_t *at, uint64_t value, int order)
{
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}

#define ACCESS(name, size)                                                                         \
    void __tsan_##name(void *at);                                                                  \
    void __tsan_##name(void *at)                                                                   \
    {                                                                                              \
        note(at, size);                                                                            \
    }
#define ACCESSES(size)                                                                             \
    ACCESS(read##size, size)                                                                       \
    ACCESS(write##size, size)                                                                      \
    ACCESS(unaligned_read##size, size)                                                             \
    ACCESS(unaligned_write##size, size)
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

/* ---- measuring ---- */

static struct rig rig;
static struct rig_conn conn;

/* Before the engine, of the engine, behind it. */
enum { FRONT, ENGINE, REST, PARTS };

static void
watch(void)
{
    const struct soft_conn *at = soft_conn_of(conn.tcp.handle.MiniportOffloadContext);

    rig_forget(&rig);
    memset(own.touched, 0, sizeof own.touched);
    memset(path.touched, 0, sizeof path.touched);
    memset(neighbor.touched, 0, sizeof neighbor.touched);
    own.base = at;
    path.base = soft_conn_path(at);
    neighbor.base = soft_path_neighbor(soft_conn_path(at));
}

static unsigned
count_of(const struct watched *watched)
{
    unsigned lines = 0;

    for (size_t i = 0; i < LINES; i++)
        lines += watched->touched[i];
    return lines;
}

static unsigned
part_of(size_t line)
{
    size_t at = line * SOFT_CACHE_LINE;

    if (at < offsetof(struct soft_conn, tcp))
        return FRONT;
    return at < offsetof(struct soft_conn, tcp) + sizeof(struct tcp_conn) ? ENGINE : REST;
}

/* At most so many lines of each part: a bound to be lowered, not an aim. */
static void
check(const char *what, unsigned front, unsigned engine, unsigned rest)
{
    unsigned lines[PARTS] = {0, 0, 0};
    char map[LINES + 1];

    rig_turn(&rig);
    own.base = path.base = neighbor.base = NULL;
    for (size_t i = 0; i < LINES; i++) {
        map[i] = own.touched[i] ? '#' : '.';
        lines[part_of(i)] += own.touched[i];
    }
    map[LINES] = '\0';
    print_message("# %-8s %s: %u lines, the engine's %u, behind it %u; path %u, neighbor %u\n",
                  what, map, lines[FRONT], lines[ENGINE], lines[REST], count_of(&path),
                  count_of(&neighbor));
    assert_true(lines[FRONT] && lines[FRONT] <= front);
    assert_true(lines[ENGINE] && lines[ENGINE] <= engine);
    assert_true(lines[REST] <= rest);
    assert_true(count_of(&path) && count_of(&path) <= 1);
    assert_true(count_of(&neighbor) && count_of(&neighbor) <= 2);
}

/* With everything that follows: delivery or completion, what is sent, the timer. */
static void
touches(void **state)
{
    uint32_t at = 0;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, TCP_FLAG_SACK_ENABLED);
    rig_conn_start(&rig, &conn);
    for (; at < 400; at += 100) { /* what is done once is done */
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + at, .ack = RIG_SND, .len = 100});
        rig_turn(&rig);
    }
    watch();
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + at, .ack = RIG_SND, .len = 100});
    check("data in", 5, 4, 0);
    watch();
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + at + 100, .ack = RIG_SND, .len = 100});
    check("answered", 5, 4, 0);
    watch();
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 1000, 0, 0));
    check("data out", 6, 7, 0);
    watch();
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + at + 200, .ack = RIG_SND + 1000});
    check("ACK in", 7, 6, 0);
    rig_conn_end(&rig, &conn);
    rig_turn(&rig);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(touches)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
