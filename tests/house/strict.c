/* See strict.h: what both halves share. Of several things at one moment only what they come to
 * counts, for it takes our side some turns of the loop, but no time, to answer. */
#include "strict.h"

#include <stdarg.h>
#include <stdio.h>

void
strict_blame(struct strict *strict, const char *format, ...)
{
    char text[256];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    strict->options.on_violation(strict->options.arg, text);
}

void
strict_init(struct strict *strict, const struct strict_options *options)
{
    *strict = (struct strict){.options = *options, .reading = true};
    strict->written = strict->released = options->snd_seq;
    strict->taken = options->rcv_seq;
    strict_send_init(strict);
    strict_receive_init(strict);
}

void
strict_time(struct strict *strict, uint64_t now_us)
{
    if (now_us == strict->now_us)
        return;
    strict_send_settled(strict, now_us);
    strict_receive_settled(strict, now_us);
    strict->now_us = now_us;
}

void
strict_in(struct strict *strict, const struct peer_segment *segment, uint64_t now_us)
{
    strict_time(strict, now_us);
    strict->events++;
    if (segment->flags & PEER_RST)
        return;
    strict_send_heard(strict, segment, now_us);
    strict_receive_heard(strict, segment, now_us);
}

void
strict_out(struct strict *strict, const struct peer_segment *segment, uint32_t gso_bytes,
           uint64_t now_us)
{
    strict_time(strict, now_us);
    strict->events++;
    if (segment->flags & PEER_RST)
        return;
    if (segment->ttl != strict->options.ttl || (!segment->ipv6 && !segment->df))
        strict_blame(strict, "TTL %u, DF %d", segment->ttl, segment->df);
    strict_receive_said(strict, segment, now_us);
    strict_send_said(strict, segment, gso_bytes, now_us);
}
