/*
 * chimney-story: the demo without privileges. The story is chimney/story.h's; this program paces
 * it, prints one line per move and the totals, and ends 0 only if nothing was lost.
 */
#include "chimney/story.h"
#include "sys/loop.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORY_MIB (UINT64_C(1) << 20)
#define STORY_SECONDS 10
#define STORY_LEAST_MOVES 20
#define STORY_LEAST_PERCENT 40

struct teller {
    json_t *moves;
    uint64_t size;
    bool live; /* somebody watches: a progress line */
};

static void
on_move(void *arg, const struct script_story_move *move)
{
    struct teller *teller = arg;
    const char *direction = move->down ? "down" : "up";

    if (teller->live)
        printf("\r%78s\r", "");
    printf("  %3u  %-4s  held %6" PRIu64 " µs   send queue %5u KiB   receive queue %4u KiB   "
           "owner %-6s   at %4" PRIu64 " MiB%s\n",
           move->number, direction, move->held_us, move->send_bytes / 1024,
           move->receive_bytes / 1024, move->down != move->refused ? "target" : "host",
           move->bytes / STORY_MIB, move->refused ? "   refused" : "");
    fflush(stdout);
    json_array_append_new(teller->moves,
                          json_pack("{s:s, s:b, s:I, s:I, s:I, s:I}", "direction", direction,
                                    "refused", move->refused, "held_us", (json_int_t)move->held_us,
                                    "send_queue_bytes", (json_int_t)move->send_bytes,
                                    "receive_queue_bytes", (json_int_t)move->receive_bytes,
                                    "at_bytes", (json_int_t)move->bytes));
}

static void
on_progress(void *arg, uint64_t bytes, bool with_target)
{
    struct teller *teller = arg;
    int filled = (int)(40 * bytes / teller->size);

    if (!teller->live)
        return;
    printf("\r  [%.*s%.*s] %4" PRIu64 " of %" PRIu64 " MiB  owner %-6s", filled,
           "########################################", 40 - filled,
           "........................................", bytes / STORY_MIB, teller->size / STORY_MIB,
           with_target ? "target" : "host");
    fflush(stdout);
}

/* 0 only if the file is complete. */
static int
write_json(const char *path, struct teller *teller, const struct script_story_totals *totals,
           bool equal)
{
    json_t *document = json_pack("{s:b, s:I, s:b, s:O, s:I, s:I, s:i, s:i}", "in_process", 1,
                                 "bytes", (json_int_t)totals->bytes, "sha_equal", equal, "moves",
                                 teller->moves, "rst", (json_int_t)totals->resets, "engine_bytes",
                                 (json_int_t)totals->engine_bytes, "kernel_retrans", 0,
                                 "wire_retrans", 0);
    int error = document != NULL ? json_dump_file(document, path, JSON_INDENT(1)) : -1;

    json_decref(document);
    if (error != 0)
        fprintf(stderr, "chimney-story: %s cannot be written\n", path);
    return error;
}

/* Prints the totals; 0 if the story ended as it should. */
static int
print_end(const struct script_story_totals *totals, const struct script_story_options *options)
{
    unsigned percent = (unsigned)(100 * totals->engine_bytes / options->bytes);
    const char *complaint = NULL;

    printf("\n  bytes %" PRIu64 " of %" PRIu64 ", %" PRIu64
           " of them wrong   moves %u   resets seen by the peer %" PRIu64
           "   engine's share %u %%   %.1f s\n",
           totals->bytes, options->bytes, totals->wrong, totals->moves, totals->resets, percent,
           (double)totals->elapsed_us / 1e6);
    if (!totals->complete)
        complaint = "the download did not end in order";
    else if (totals->wrong != 0)
        complaint = "the bytes differ";
    else if (totals->resets != 0)
        complaint = "the peer saw a reset";
    else if (totals->breaches != 0)
        complaint = "the two sides of a move disagreed";
    else if (totals->moves < STORY_LEAST_MOVES)
        complaint = "too few moves";
    else if (percent < STORY_LEAST_PERCENT)
        complaint = "too few bytes went through the engine";
    printf("  %s%s\n", complaint != NULL ? "FAIL: " : "PASS", complaint != NULL ? complaint : "");
    return complaint != NULL;
}

static int
tell(const struct script_story_options *options, struct teller *teller, const char *json_path)
{
    struct sys_loop *loop = sys_loop_create();
    struct script_story_totals totals = {.bytes = 0};
    int error = loop != NULL ? script_story_run(loop, options, &totals) : -ENOMEM;

    if (loop != NULL)
        sys_loop_destroy(loop);
    if (error != 0) {
        fprintf(stderr, "chimney-story: the house cannot be built: %s\n", strerror(-error));
        return 1;
    }
    if (teller->live)
        printf("\r%78s\r", "");
    error = print_end(&totals, options);
    if (json_path != NULL &&
        write_json(json_path, teller, &totals, totals.complete && totals.wrong == 0) != 0)
        error = 1;
    return error;
}

/* A whole number from 1; 0 for anything else. */
static uint64_t
read_number(const char *text)
{
    char *end;

    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 ? number : 0;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"json", required_argument, NULL, 'j'},
                                            {"size-mib", required_argument, NULL, 's'},
                                            {"moves", required_argument, NULL, 'm'},
                                            {NULL, 0, NULL, 0}};
    struct script_story_options story = {
        .moves = 26, .passthru = 1, .on_move = on_move, .on_progress = on_progress};
    struct teller teller = {.live = isatty(STDOUT_FILENO)};
    uint64_t mib = 512, moves = story.moves;
    const char *json_path = NULL;
    int option, code;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            json_path = optarg;
        else if (option == 's')
            mib = read_number(optarg);
        else
            moves = option == 'm' ? read_number(optarg) : 0;
    }
    if (optind < argc || mib == 0 || mib > 1 << 20 || moves == 0 || moves > 10000) {
        fputs("usage: chimney-story [--json FILE] [--size-mib N] [--moves N]\n", stderr);
        return 2;
    }
    story.bytes = teller.size = mib * STORY_MIB;
    story.moves = (unsigned)moves;
    story.bits_per_second = story.bytes * 8 / STORY_SECONDS;
    story.arg = &teller;
    teller.moves = json_array();
    printf(
        "tcpchimney demo, in one process: two host stacks, a wire in memory, passthru in between;"
        " %" PRIu64 " MiB\n",
        mib);
    code = tell(&story, &teller, json_path);
    json_decref(teller.moves);
    return code;
}
