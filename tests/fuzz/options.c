/*
 * Headers and options as they come from the wire. What is read lies within what there is, and what
 * the engine writes of it reads the same again.
 */
#include "fuzz.h"

#include "tcp/private.h"

#include <string.h>

/* What tcp_parse may say of a header in so many bytes. */
static void
check_parsed(const struct tcp_segment *segment, size_t size)
{
    FUZZ_CHECK(segment->header_len >= TCP_HEADER_LEN && segment->header_len <= size);
    FUZZ_CHECK(segment->header_len <= TCP_MAX_HEADER);
    FUZZ_CHECK(segment->sack_count <= 4);
    FUZZ_CHECK(segment->has_timestamp || (!segment->tsval && !segment->tsecr));
}

/* The timestamp and the blocks, written anew, as far as there is room for both. */
static void
write_again(const struct tcp_segment *segment)
{
    struct tcp_out out = {.seq = segment->seq,
                          .ack = segment->ack,
                          .window = segment->window,
                          .flags = segment->flags};
    unsigned blocks = segment->has_timestamp ? tcp_min(segment->sack_count, 3)
                                             : segment->sack_count;
    uint8_t bytes[TCP_MAX_HEADER];
    struct tcp_segment again;

    if (segment->has_timestamp)
        out.option_len = tcp_put_timestamp(out.options, segment->tsval, segment->tsecr);
    if (blocks)
        out.option_len += tcp_put_sack(out.options + out.option_len, segment->sack, blocks);
    size_t len = tcp_write_header(&out, segment->source_port, segment->dest_port, bytes);
    FUZZ_CHECK(len == TCP_HEADER_LEN + out.option_len);
    FUZZ_CHECK(!tcp_parse(bytes, len, &again));
    FUZZ_CHECK(again.header_len == len && again.sack_count == blocks);
    FUZZ_CHECK(again.seq == segment->seq && again.ack == segment->ack);
    FUZZ_CHECK(again.window == segment->window && again.flags == segment->flags);
    FUZZ_CHECK(again.source_port == segment->source_port && again.dest_port == segment->dest_port);
    FUZZ_CHECK(again.has_timestamp == segment->has_timestamp && again.tsval == segment->tsval &&
               again.tsecr == segment->tsecr);
    FUZZ_CHECK(!memcmp(again.sack, segment->sack, blocks * sizeof again.sack[0]));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tcp_segment segment;

    memset(&segment, 0xa5, sizeof segment);
    if (tcp_parse(data, size, &segment))
        return 0;
    check_parsed(&segment, size);
    write_again(&segment);
    return 0;
}
