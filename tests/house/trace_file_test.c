/*
 * The files of the intermediate driver trace: the frames in them are those of the wire, each once;
 * a ring is bounded and valid whenever somebody looks; and tshark, which is somebody else's, reads
 * what is there.
 */
#include "trace_kit.h"

#include "base/bytes.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The frames of the file are those that were heard, each once, with its bytes up to snap. */
static void
compare_frames(size_t snap)
{
    unsigned at = 0;

    for (unsigned i = 0; i < kit.count; i++) {
        const struct read_packet *packet = &kit.packets[i];

        if (kit_is_crossing(packet))
            continue;
        assert_in_range(at, 0, kit.heard.count - 1);
        assert_int_equal(packet->length, kit.heard.frames[at].len);
        assert_int_equal(packet->kept, packet->length < snap ? packet->length : snap);
        assert_int_equal(packet->flags, kit.heard.frames[at].out ? 2 : 1);
        assert_int_equal(packet->time_ns, KIT_YEAR_2000_NS + kit.heard.frames[at].now_us * 1000);
        assert_memory_equal(packet->bytes, kit.heard.bytes + kit.heard.frames[at].at, packet->kept);
        at++;
    }
    assert_int_equal(at, kit.heard.count);
}

/* Nobody has joined: the frames are those of the regular kit.path, and only those. */
static void
regular_frames(void **state)
{
    unsigned regular = 0;
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.floors = kit_floors("trace:File=%s")});
    kit_listen(&stage);
    kit_exchange(&stage, &pair);
    pair_close(&pair);
    stage_close(&stage);

    kit_read(kit.path);
    for (unsigned i = 0; i < kit.count; i++) {
        if (kit_is_crossing(&kit.packets[i])) {
            struct kit_seen seen = kit_decode(&kit.packets[i]);

            regular += seen.op == TRACE_SEND || seen.op == TRACE_RECEIVE ? seen.count : 0;
            continue;
        }
        assert_true(regular > 0); /* its crossing comes first */
        regular--;
        assert_in_range(kit.packets[i].length, 54, 70000);
        assert_int_equal(bytes_load_be16(kit.packets[i].bytes + 12), 0x0800);
    }
    assert_int_equal(regular, 0);
}

/* With the wire: all frames, regular and offloaded, each once though it passes two floors. */
static void
frames_of_the_wire(void **state)
{
    struct stage stage;
    struct pair pair;
    uint64_t before = 0;
    unsigned crossings[2] = {0, 0};

    memset(&kit.heard, 0, sizeof kit.heard);
    stage_open(&stage, &(struct stage_options){
                           .floors = kit_floors("trace:File=%s,passthru,trace:File=%s")});
    kit_listen(&stage);
    kit.heard.traces[0] = trace_join("p1", stage.ends[LEFT]);
    kit.heard.traces[1] = trace_join("p3", stage.ends[LEFT]);
    assert_non_null(kit.heard.traces[0]);
    assert_non_null(kit.heard.traces[1]);
    kit_exchange(&stage, &pair);
    assert_int_equal(trace_flush(kit.heard.traces[0]), 0);
    actor_upload(&pair.actors[LEFT]);
    pair_close(&pair);
    for (unsigned i = 0; i < 2; i++)
        trace_leave(kit.heard.traces[i]);
    stage.witness = NULL;
    stage_close(&stage);

    kit_read(kit.path);
    assert_int_equal(kit.file.interfaces, 4);
    assert_string_equal(kit.file.interface[0].name, "p1 frames");
    assert_string_equal(kit.file.interface[1].name, "p1");
    assert_string_equal(kit.file.interface[3].name, "p3");
    compare_frames(SIZE_MAX);
    for (unsigned i = 0; i < kit.count; i++) {
        assert_true(kit.packets[i].time_ns >= before);
        assert_int_equal(kit.packets[i].lost, 0);
        before = kit.packets[i].time_ns;
        if (kit_is_crossing(&kit.packets[i]))
            crossings[kit.packets[i].interface / 2]++;
    }
    /* The upper one also told the one below. */
    assert_true(crossings[0] > 20);
    assert_in_range(crossings[1], crossings[0] - 4, crossings[0] + 4);
}

static void
first_bytes_only(void **state)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.floors = kit_floors("trace:File=%s:Snap=60")});
    kit_listen(&stage);
    kit.heard.traces[0] = trace_join("p1", stage.ends[LEFT]);
    kit_exchange(&stage, &pair);
    actor_upload(&pair.actors[LEFT]);
    pair_close(&pair);
    trace_leave(kit.heard.traces[0]);
    stage.witness = NULL;
    stage_close(&stage);
    kit_read(kit.path);
    assert_int_equal(kit.file.interface[0].snap, 60);
    compare_frames(60);
}

/* Who joins a floor that is not there (yet, any more) is not harmed. */
static void
join_before_and_after(void **state)
{
    static const uint8_t frame[60];
    struct trace *trace = trace_join("p1", NULL);
    struct trace_frame none = {.frame = frame, .length = 0};
    struct stage stage;

    none.copy = NULL;
    trace_frame(trace, &none);
    assert_int_equal(trace_flush(trace), -ENOENT);
    stage_open(&stage, &(struct stage_options){.floors = kit_floors("trace:File=%s")});
    assert_int_equal(trace_flush(trace), 0);
    stage_close(&stage);
    assert_int_equal(trace_flush(trace), -ENOENT);
    trace_frame(trace, &none);
    trace_leave(trace);
}

/* ---- a ring ---- */

static size_t
whole_bytes(const char *name, unsigned *count)
{
    size_t len;

    if (access(name, F_OK) != 0)
        return 0;
    len = kit_read(name);
    assert_int_equal(kit.file.interfaces, 2);
    *count = kit.file.packets;
    return len;
}

/* Whenever somebody looks: both files are valid, together within the bound, and the newest is in.
 */
static void
ring(void **state)
{
    unsigned turned = 0, before = 0;
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.floors = kit_floors("trace:File=%s:Ring=1")});
    kit_listen(&stage);
    kit.heard.traces[0] = trace_join("p1", stage.ends[LEFT]);
    pair_open(&stage, &pair, kit_plain);
    actor_offload(&pair.actors[LEFT]);
    for (unsigned i = 0; i < 40; i++) {
        unsigned older = 0, newer = 0;

        kit.heard.used = kit.heard.count = 0;
        pair_send(&pair, 100000, 0, false);
        assert_true(stage_run(&stage, pair_done, &pair, 60 * SECOND_US));
        assert_int_equal(trace_flush(kit.heard.traces[0]), 0);
        assert_in_range(whole_bytes(kit.aside, &older) + whole_bytes(kit.path, &newer), 1, 1 << 20);
        turned += newer < before;
        before = newer;
        assert_true(newer > 0);
        assert_int_equal(kit.packets[kit.count - 1].time_ns / 1000000,
                         (KIT_YEAR_2000_NS + sys_loop_now_us(stage.loop) * 1000) / 1000000);
    }
    assert_true(turned >= 5);
    /* Cut anywhere, what is whole before the cut is trace. */
    for (size_t len = kit_load(kit.path), cut = 0, last = 0; cut < len; cut += 977) {
        size_t whole = read_pcapng(kit.bytes, cut, &kit.file, NULL, NULL);

        assert_null(kit.file.wrong);
        assert_true(whole >= last && whole <= cut);
        last = whole;
    }
    actor_upload(&pair.actors[LEFT]);
    pair_close(&pair);
    trace_leave(kit.heard.traces[0]);
    stage.witness = NULL;
    stage_close(&stage);
}

/* ---- as a program of others reads it ---- */

/* What a command prints, both streams. */
static int
run(const char *command, char *out, size_t room)
{
    FILE *stream = popen(command, "r");
    size_t used;

    assert_non_null(stream);
    used = fread(out, 1, room - 1, stream);
    out[used] = '\0';
    return pclose(stream);
}

static bool
has_tshark(void)
{
    return system("command -v tshark >/dev/null 2>&1") == 0;
}

static void
tshark_reads_it(void **state)
{
    static char out[1 << 20];
    char command[512];
    struct stage stage;
    struct pair pair;

    if (!has_tshark()) {
        print_message("# tshark is not installed: apt-get install tshark\n");
        skip();
    }
    stage_open(&stage, &(struct stage_options){.floors = kit_floors("trace:File=%s")});
    kit_listen(&stage);
    kit.heard.traces[0] = trace_join("p1", stage.ends[LEFT]);
    kit_exchange(&stage, &pair);
    actor_upload(&pair.actors[LEFT]);
    pair_close(&pair);
    trace_leave(kit.heard.traces[0]);
    stage.witness = NULL;
    stage_close(&stage);

    /* Without comkit_plaint: nothing on standard error but that root should not run it. */
    snprintf(command, sizeof command, "tshark -r %s 2>&1 >/dev/null | grep -v '^Running as user'",
             kit.path);
    run(command, out, sizeof out);
    assert_string_equal(out, "");
    snprintf(command, sizeof command, "tshark -r %s -T fields -e frame.number 2>/dev/null | wc -l",
             kit.path);
    assert_int_equal(run(command, out, sizeof out), 0);
    kit_read(kit.path);
    assert_int_equal(strtoul(out, NULL, 10), kit.count);

    /* The dissector: nothing it cannot read, and the fields are what is in the file. */
    snprintf(command, sizeof command,
             "tshark -X lua_script:%s -r %s -Y '_ws.malformed || chimney.short || chimney.unknown "
             "|| _ws.lua.error || (frame.interface_id == 1 && !chimney)' 2>&1 "
             "| grep -v '^Running as user'",
             CHIMNEY_LUA, kit.path);
    run(command, out, sizeof out);
    assert_string_equal(out, "");
    snprintf(command, sizeof command,
             "tshark -X lua_script:%s -r %s -Y 'chimney.op == 2' -T fields -e _ws.col.Protocol -e "
             "chimney.up -e chimney.status -e chimney.object -e chimney.localport 2>/dev/null",
             CHIMNEY_LUA, kit.path);
    assert_int_equal(run(command, out, sizeof out), 0);
    assert_string_equal(out, "CHIMNEY\t1\t0x00000000,0x00000000,0x00000000,0x00000000\t1,2,3\t"
                             "40000\n");
    snprintf(command, sizeof command,
             "tshark -X lua_script:%s -r %s -Y 'tcp.port == 40000 && eth' -T fields -e "
             "frame.number 2>/dev/null | wc -l",
             CHIMNEY_LUA, kit.path);
    assert_int_equal(run(command, out, sizeof out), 0);
    assert_int_equal(strtoul(out, NULL, 10), kit.heard.count);
}

/* ---- the example of the man page ---- */

/* The first line of the page that begins with start, without it. */
static void
line_of_page(const char *start, unsigned number, char *line, size_t room)
{
    FILE *page = fopen(TRACE_PAGE, "r");

    assert_non_null(page);
    for (;;) {
        assert_non_null(fgets(line, (int)room, page));
        if (strncmp(line, start, strlen(start)) == 0 && number-- == 0)
            break;
    }
    fclose(page);
    line[strcspn(line, "\n")] = '\0';
    memmove(line, line + strlen(start), strlen(line + strlen(start)) + 1);
}

/* Literally, in a folder of its own. */
static void
example_of_the_page(void **state)
{
    static char out[1 << 20];
    char list[256], before[256];
    struct stage stage;
    struct pair pair;

    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(dirname(strcpy(out, kit.path))), 0);
    line_of_page("# chimneyd --stack eth0=", 0, list, sizeof list);
    stage_open(&stage, &(struct stage_options){.floors = list});
    kit_exchange(&stage, &pair);
    actor_upload(&pair.actors[LEFT]);
    pair_close(&pair);
    stage_close(&stage);
    kit_read("eth0.pcapng");
    assert_true(kit.count > 20);
    if (has_tshark()) {
        assert_int_equal(symlink(CHIMNEY_LUA, "chimney.lua"), 0);
        line_of_page("$ ", 0, list, sizeof list);
        assert_int_equal(run(strcat(list, " 2>/dev/null"), out, sizeof out), 0);
        assert_string_equal(out, ""); /* nothing went wrong */
        line_of_page("$ ", 1, list, sizeof list);
        assert_int_equal(run(strcat(list, " 2>/dev/null"), out, sizeof out), 0);
        assert_non_null(strstr(out, "TCP_SEND down, tcp #3"));
        assert_null(strstr(out, "OID"));
        unlink("chimney.lua");
    }
    unlink("eth0.pcapng");
    assert_int_equal(chdir(before), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)
    const struct CMUnitTest tests[] = {
        TEST(regular_frames),
        TEST(frames_of_the_wire),
        TEST(first_bytes_only),
        TEST(join_before_and_after),
        TEST(ring),
        TEST(tshark_reads_it),
        TEST(example_of_the_page),
    };

    return cmocka_run_group_tests_name("house/trace_file", tests, NULL, NULL);
}
