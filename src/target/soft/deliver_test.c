/*
 * The delivery algorithm, every combination of it (chimney 6.2). It is no machine of
 * base/machine.h: where a delivery stands is in its lists (a request or none, begun or not; data
 * buffered or none, refused or not) and in whether the push timer runs, and a state beside them
 * would say the same twice. So tools/edges cannot count its transitions; this walks them instead:
 *
 *   the request     none, of no length, shorter than a segment, as long, longer than everything,
 *                   longer and begun by the host stack (TcpReceiveBytesTransferred)
 *                   push or not
 *                   posted before the data, inside the indication of it, or afterwards
 *   the data        none, a segment, two; PSH on the last or not
 *   the indication  accepted, in part, refused
 *   then            the push timer, FIN, RST, a terminate at once, or nothing
 *
 * What is heard is compared with the three flowcharts, written down once more, plainly, in `model`.
 * Every byte comes once: delivered, or in BufferedData.
 */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NO_REQUEST, EMPTY, LESS, EXACT, MORE, BEGUN, REQUESTS };
enum { BEFORE, INSIDE, AFTER, MOMENTS };
enum { ACCEPTED, IN_PART, REFUSED, ANSWERS };
enum { QUIET, TIMER, FIN, RST, TERMINATE, ENDS };

#define FIRST 100u /* bytes of the segments */
#define SECOND 60u
#define PART 30u /* what is accepted of an indication */

static const uint32_t lengths[REQUESTS] = {
    [LESS] = 40, [EXACT] = FIRST, [MORE] = 300, [BEGUN] = 300};
static const uint32_t accepted[ANSWERS] = {RIG_ALL, PART, 0};

struct combination {
    unsigned request, moment, segments, answer, end;
    bool push, psh;
};

/* ---- as documented ---- */

struct model {
    struct combination is;
    uint32_t frames[2], count; /* bytes of each that waits, oldest first */
    bool pushed[2];
    bool posted, refused, indicated, timer, last_push;
    uint32_t filled, delivered;
    char words[512];
};

static void __attribute__((format(printf, 2, 3))) say(struct model *m, const char *format, ...)
{
    size_t used = strlen(m->words);
    va_list arguments;

    if (used)
        m->words[used++] = ' ';
    va_start(arguments, format);
    vsnprintf(m->words + used, sizeof m->words - used, format, arguments);
    va_end(arguments);
}

static void
end_request(struct model *m, const char *status)
{
    if (m->posted)
        say(m, "received:%s:%u", status, m->filled);
    m->posted = m->timer = false;
    m->filled = 0;
}

static void
consume(struct model *m, uint32_t bytes)
{
    m->delivered += bytes;
    m->frames[0] -= bytes;
    if (m->frames[0])
        return;
    m->frames[0] = m->frames[1];
    m->pushed[0] = m->pushed[1];
    m->count--;
}

static void indicate(struct model *m);

static void
place(struct model *m)
{
    uint32_t length = lengths[m->is.request], before = m->filled;

    while (m->posted && m->count) {
        uint32_t bytes = length - m->filled < m->frames[0] ? length - m->filled : m->frames[0];
        m->last_push = m->pushed[0] && bytes == m->frames[0];
        m->filled += bytes;
        if (bytes)
            consume(m, bytes);
        if (m->filled == length)
            end_request(m, "ok");
    }
    if (m->count) {
        indicate(m);
        return;
    }
    if (!m->posted || !m->is.push || !(m->filled || m->is.request == BEGUN))
        return;
    if (m->filled != before && m->last_push)
        end_request(m, "ok");
    else
        m->timer = true;
}

static void
post(struct model *m)
{
    if (m->is.request == NO_REQUEST)
        return;
    m->posted = true;
    m->refused = false;
}

static void
indicate(struct model *m)
{
    while (m->count && !m->posted && !m->refused) {
        uint32_t len = m->frames[0], take = accepted[m->is.answer];
        say(m, "indicate:%u", len);
        m->refused = take < len;
        consume(m, take < len ? take : len);
        if (m->is.moment == INSIDE && !m->indicated)
            post(m);
        m->indicated = true;
    }
    if (m->posted)
        place(m);
}

static void
arrive(struct model *m, uint32_t len, bool psh)
{
    m->pushed[m->count] = psh;
    m->frames[m->count++] = len;
    if (m->posted)
        place(m);
    else if (m->count == 1)
        indicate(m);
}

static void
finish(struct model *m)
{
    switch (m->is.end) {
    case TIMER:
        if (m->timer)
            end_request(m, "ok");
        break;
    case FIN:
        if (m->count) /* not before everything is consumed */
            break;
        if (m->filled)
            end_request(m, "ok");
        say(m, "event:disconnect");
        end_request(m, "invalid");
        break;
    case RST:
        say(m, "event:abort");
        end_request(m, "aborted");
        break;
    }
    end_request(m, "upload");
    say(m, "terminated");
}

static void
predict(struct model *m)
{
    if (m->is.moment == BEFORE) {
        post(m);
        place(m);
    }
    if (m->is.segments)
        arrive(m, FIRST, m->is.psh && m->is.segments == 1);
    if (m->is.segments == 2)
        arrive(m, SECOND, m->is.psh);
    if (m->is.moment == AFTER) {
        post(m);
        place(m);
    }
    finish(m);
}

/* ---- as it is ---- */

static struct rig rig;
static struct rig_conn conn;
static struct combination now;

static void
post_request(struct rig *r)
{
    r->on_indicate = NULL;
    if (now.request == NO_REQUEST)
        return;
    NET_BUFFER_LIST *nbl = rig_nbl(r, lengths[now.request], 0xee, 0);
    NET_BUFFER_LIST_INFO(nbl, TcpReceiveNoPush) = (PVOID)(uintptr_t)!now.push;
    NET_BUFFER_LIST_INFO(
        nbl, TcpReceiveBytesTransferred) = (PVOID)(uintptr_t)(now.request == BEGUN ? 10 : 0);
    NdisOffloadTcpReceive(&conn.tcp.handle, nbl);
}

static uint32_t
send_segments(void)
{
    uint32_t sent = 0;

    for (unsigned i = 0; i < now.segments; i++) {
        uint32_t len = i ? SECOND : FIRST;
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + sent,
                                       .ack = RIG_SND,
                                       .len = len,
                                       .first = (uint8_t)sent,
                                       .flags = now.psh && i + 1 == now.segments ? TCP_PSH : 0});
        sent += len;
        if (now.end != TERMINATE || i + 1 < now.segments || now.moment == AFTER)
            rig_turn(&rig);
    }
    return sent;
}

/* What BufferedData has follows what was delivered. */
static void
take_buffered(void)
{
    NET_BUFFER_LIST *nbls = rig_given_back(&conn)->BufferedData;

    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
        uint8_t *to = rig.got + rig.got_count;
        const uint8_t *bytes = NdisGetDataBuffer(nb, NET_BUFFER_DATA_LENGTH(nb), to, 1, 0);
        memmove(to, bytes, NET_BUFFER_DATA_LENGTH(nb));
        rig.got_count += NET_BUFFER_DATA_LENGTH(nb);
    }
    if (nbls)
        NdisOffloadTcpReceiveReturn(rig.binding, nbls);
}

static void
live(void)
{
    uint32_t sent;

    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    rig.accept = accepted[now.answer];
    rig.on_indicate = now.moment == INSIDE ? post_request : NULL;
    if (now.moment == BEFORE)
        post_request(&rig);
    sent = send_segments();
    if (now.moment == AFTER)
        post_request(&rig);
    if (now.end != TERMINATE)
        rig_turn(&rig);
    if (now.end == TIMER)
        rig_pass(&rig, 600000);
    if (now.end == FIN || now.end == RST)
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + sent,
                                       .ack = RIG_SND,
                                       .flags = now.end == FIN ? TCP_FIN : TCP_RST});
    if (now.end == FIN || now.end == RST)
        rig_turn(&rig);
    rig_conn_end(&rig, &conn);
    rig_turn(&rig);
}

static void
compare(void)
{
    struct model m = {.is = now};
    uint32_t sent = now.segments ? FIRST + (now.segments - 1) * SECOND : 0;

    predict(&m);
    if (strcmp(rig.heard, m.words))
        fail_msg("request %u %s, moment %u, %u segments%s, answer %u, end %u: heard \"%s\", not "
                 "\"%s\"",
                 now.request, now.push ? "push" : "no push", now.moment, now.segments,
                 now.psh ? " with PSH" : "", now.answer, now.end, rig.heard, m.words);
    assert_int_equal(rig.got_count, m.delivered);
    take_buffered();
    assert_int_equal(rig.got_count, now.end == RST ? m.delivered : sent);
    for (uint32_t i = 0; i < rig.got_count; i++)
        assert_int_equal(rig.got[i], (uint8_t)i);
}

static void
run_one(void)
{
    live();
    compare();
    for (unsigned i = 0; i < rig.kept_count; i++)
        rig_return(&rig, i);
    rig_forget(&rig);
    rig.kept_count = 0;
    rig.got_count = 0;
}

/* Each dimension is a digit. */
static bool
choose(unsigned number)
{
    now = (struct combination){.push = number & 1, .psh = number >> 1 & 1};
    number >>= 2;
    now.request = number % REQUESTS;
    number /= REQUESTS;
    now.moment = number % MOMENTS;
    number /= MOMENTS;
    now.segments = number % 3;
    number /= 3;
    now.answer = number % ANSWERS;
    number /= ANSWERS;
    now.end = number;
    return number < ENDS;
}

static void
every_combination(void **state)
{
    unsigned number = 0;

    rig_open(&rig, NULL);
    rig.careless =
        true; /* V-103: a request in push mode that is begun may be had sooner than meant */
    for (; choose(number); number++)
        run_one();
    rig_close(&rig);
    assert_int_equal(number, 4 * REQUESTS * MOMENTS * 3 * ANSWERS * ENDS);
    print_message("# %u combinations\n", number);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_combination)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
