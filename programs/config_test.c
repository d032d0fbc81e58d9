/* What a configuration may say, and that everything else is refused with the line and the reason.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Reads text as a configuration file. */
static int
read_text(struct config *config, const char *text)
{
    char path[] = "/tmp/config_test-XXXXXX";
    int fd = mkstemp(path), result;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    config_init(config);
    result = config_read_file(config, path);
    unlink(path);
    return result;
}

static int
read_words(struct config *config, int argc, const char *const *words)
{
    char *argv[16] = {(char *)"chimneyd"};

    for (int i = 0; i < argc; i++)
        argv[i + 1] = (char *)words[i];
    config_init(config);
    return config_read_arguments(config, argc + 1, argv);
}
#define READ_WORDS(config, ...)                                                                    \
    read_words(config, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),              \
               (const char *[]){__VA_ARGS__})

static void
file_sets_everything(void **state)
{
    struct config config;

    assert_int_equal(read_text(&config, "; a comment\n"
                                        "[daemon]\n"
                                        "socket = /tmp/x.sock\n"
                                        "log = debug\n"
                                        "mark = 0xffffffff\n"
                                        "lock_memory = yes\n"
                                        "nice = -5\n"
                                        "[stack eth0]\n"
                                        "intermediate = passthru, passthru\n"
                                        "target = soft\n"
                                        "[stack eth1]\n"
                                        "target = null\n"),
                     0);
    assert_string_equal(config.socket, "/tmp/x.sock");
    assert_int_equal(config.log, LOG_DEBUG);
    assert_true(config.mark == 0xffffffffu);
    assert_true(config.lock_memory);
    assert_int_equal(config.nice, -5);
    assert_int_equal(config.stack_count, 2);
    assert_string_equal(config.stacks[0].ifname, "eth0");
    assert_int_equal(config.stacks[0].intermediate_count, 2);
    assert_string_equal(config.stacks[0].intermediates[1], "passthru");
    assert_string_equal(config.stacks[1].target, "null");
    assert_int_equal(config.stacks[1].intermediate_count, 0);
}

static void
defaults_stand(void **state)
{
    struct config config;

    assert_int_equal(READ_WORDS(&config, "--stack", "eth0"), 0);
    assert_string_equal(config.socket, CONFIG_SOCKET);
    assert_int_equal(config.log, LOG_INFO);
    assert_int_equal(config.mark, 0);
    assert_int_equal(config.ready_fd, -1);
    assert_string_equal(config.stacks[0].target, "soft");
}

static void
arguments_win_over_the_file(void **state)
{
    char path[] = "/tmp/config_test-XXXXXX";
    static const char text[] = "[daemon]\nsocket=/file\nlog=error\n[stack eth0]\nintermediate=a\n";
    struct config config;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), (ssize_t)sizeof(text) - 1);
    close(fd);
    assert_int_equal(READ_WORDS(&config, "--socket", "/line", "--stack", "eth0=b, c", "--stack",
                                "eth1", "--ready-fd", "3", "-c", path),
                     0);
    unlink(path);
    assert_string_equal(config.socket, "/line");
    assert_int_equal(config.log, LOG_ERROR);
    assert_int_equal(config.ready_fd, 3);
    assert_int_equal(config.stack_count, 2);
    assert_int_equal(config.stacks[0].intermediate_count, 2);
    assert_string_equal(config.stacks[0].intermediates[0], "b");
    assert_string_equal(config.stacks[0].intermediates[1], "c");
}

static void
ports_stand_on_wires(void **state)
{
    struct config config;

    assert_int_equal(read_text(&config, "[port chim0]\nwire = eth1, eth2\nintermediate = passthru\n"
                                        "[stack eth0]\n"),
                     0);
    assert_true(config.stacks[0].port);
    assert_string_equal(config.stacks[0].ifname, "chim0");
    assert_int_equal(config.stacks[0].wire_count, 2);
    assert_string_equal(config.stacks[0].wires[1], "eth2");
    assert_int_equal(config.stacks[0].intermediate_count, 1);
    assert_false(config.stacks[1].port);
    assert_int_equal(READ_WORDS(&config, "--port", "chim0=eth1+eth2,passthru,vlan:Id=5"), 0);
    assert_true(config.stacks[0].port);
    assert_int_equal(config.stacks[0].wire_count, 2);
    assert_string_equal(config.stacks[0].wires[0], "eth1");
    assert_string_equal(config.stacks[0].intermediates[1], "vlan:Id=5");
    assert_int_equal(READ_WORDS(&config, "--port", "chim0"), -EINVAL);
    assert_string_equal(config.error,
                        "--port chim0: under which interface? chim0=WIRE[,DRIVER...]");
    assert_int_equal(READ_WORDS(&config, "--port", "chim0="), -EINVAL);
    assert_string_equal(config.error, "port chim0 stands on no interface: wire = IFNAME");
    assert_int_equal(READ_WORDS(&config, "--port", "chim0=a+b+c+d+e"), -EINVAL);
    assert_string_equal(config.error, "more than 4 wires under chim0");
    assert_int_equal(read_text(&config, "[stack eth0]\nwire = eth1\n"), -EINVAL);
    assert_non_null(strstr(config.error, "[stack eth0] has no key 'wire'"));
}

static void
drivers_may_be_paths(void **state)
{
    char text[128 + 2 * CONFIG_DRIVER], path[CONFIG_DRIVER + 1];
    struct config config;

    assert_int_equal(read_text(&config, "[stack eth0]\n"
                                        "intermediate = passthru, /opt/drivers/mux.so,./x.so\n"
                                        "target = /opt/drivers/nic.so\n"),
                     0);
    assert_string_equal(config.stacks[0].intermediates[1], "/opt/drivers/mux.so");
    assert_string_equal(config.stacks[0].intermediates[2], "./x.so");
    assert_string_equal(config.stacks[0].target, "/opt/drivers/nic.so");
    assert_int_equal(READ_WORDS(&config, "--stack", "eth0=/a/b.so,passthru"), 0);
    assert_string_equal(config.stacks[0].intermediates[0], "/a/b.so");
    /* The longest that fits, and one more. */
    memset(path, 'x', CONFIG_DRIVER);
    path[0] = '/';
    path[CONFIG_DRIVER - 1] = '\0';
    snprintf(text, sizeof(text), "eth0=%s,soft", path);
    assert_int_equal(READ_WORDS(&config, "--stack", text), 0);
    assert_string_equal(config.stacks[0].intermediates[0], path);
    path[CONFIG_DRIVER - 1] = 'x';
    path[CONFIG_DRIVER] = '\0';
    snprintf(text, sizeof(text), "eth0=%s,soft", path);
    assert_int_equal(READ_WORDS(&config, "--stack", text), -EINVAL);
    assert_non_null(strstr(config.error, "longer than 255 characters"));
}

static void
a_stack_needs_no_key(void **state)
{
    struct config config;

    assert_int_equal(
        read_text(&config, "[stack eth0]\n[stack eth1]\ntarget = soft\n[stack eth2]\n"), 0);
    assert_int_equal(config.stack_count, 3);
    assert_string_equal(config.stacks[0].ifname, "eth0");
    assert_string_equal(config.stacks[0].target, "soft");
    assert_string_equal(config.stacks[2].ifname, "eth2");
}

/* Every file here is wrong; the message must name the line and say this. */
static void
bad_files_are_refused_with_the_line(void **state)
{
    static const struct {
        const char *text, *line, *words;
    } cases[] = {
        {"[daemon]\nlog = loud\n", ":2:", "loud"},
        {"[daemon]\nsokcet = /x\n", ":2:", "no key 'sokcet'"},
        {"[deamon]\nlog = info\n", ":1:", "[deamon]"},
        {"[daemon]\n[deamon]\n", ":2:", "[deamon]"},
        {"[stacks eth0]\n", ":1:", "[stacks eth0]"},
        {"[stack]\n", ":1:", "names no interface"},
        {"[stack eth0]\n[stack eth1]\n[stack eth0]\n", ":3:", "[stack eth0] is there twice"},
        {"[daemon]\n [stack eth0]\ntargte = soft\n", ":3:", "no key 'targte'"},
        {"[daemon\nlog = info\n", ":1:", "neither"},
        {"log = info\n[daemon]\n", ":1:", "before any [section]"},
        {"[daemon]\n\nmark = 0x1ffffffff\n", ":3:", "mark"},
        {"[daemon]\nmark = -1\n", ":2:", "mark"},
        {"[daemon]\nmark = 12x\n", ":2:", "12x"},
        {"[daemon]\nmark =\n", ":2:", "mark"},
        {"[daemon]\nlock_memory = maybe\n", ":2:", "neither yes nor no"},
        {"[daemon]\nnice = -21\n", ":2:", "from -20 to 19"},
        {"[daemon]\nnice = nicer\n", ":2:", "from -20 to 19"},
        {"[daemon]\nsocket =\n", ":2:", "empty"},
        {"[stack eth0]\ntargte = soft\n", ":2:", "no key 'targte'"},
        {"[stack a-name-that-is-too-long]\ntarget = soft\n", ":1:", "longer than 15"},
        {"[stack ]\ntarget = soft\n", ":1:", "names no interface"},
        {"[stack eth0]\nintermediate = a b\n", ":2:", "comma is missing"},
        {"[stack eth0]\nintermediate = a,,b\n", ":2:", "empty"},
        {"[stack eth0]\nintermediate = a,\n", ":2:", "after the comma"},
        {"[stack eth0]\nintermediate = a,a,a,a,a,a,a,a,a\n", ":2:", "more than 8"},
        {"nonsense\n", ":1:", "neither"},
    };
    struct config config;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_text(&config, cases[i].text), -EINVAL);
        if (strstr(config.error, cases[i].line) == NULL)
            fail_msg("case %u: '%s' does not name line %s", i, config.error, cases[i].line);
        if (strstr(config.error, cases[i].words) == NULL)
            fail_msg("case %u: '%s' does not say '%s'", i, config.error, cases[i].words);
    }
}

static void
only_the_first_error_is_told(void **state)
{
    struct config config;

    assert_int_equal(read_text(&config, "[daemon]\nlog = loud\nmark = x\n"), -EINVAL);
    assert_non_null(strstr(config.error, "loud"));
    assert_null(strstr(config.error, "mark"));
}

static void
bad_arguments_are_refused(void **state)
{
    struct config config;

    assert_int_equal(READ_WORDS(&config, "--socket", "/x"), -EINVAL);
    assert_non_null(strstr(config.error, "--stack"));
    assert_int_equal(READ_WORDS(&config, "--stack", "eth0", "eth1"), -EINVAL);
    assert_non_null(strstr(config.error, "eth1"));
    assert_int_equal(READ_WORDS(&config, "--stack"), -EINVAL);
    assert_non_null(strstr(config.error, "missing after --stack"));
    assert_int_equal(READ_WORDS(&config, "--frobnicate"), -EINVAL);
    assert_non_null(strstr(config.error, "no such option: --frobnicate"));
    assert_int_equal(READ_WORDS(&config, "--stack", "eth0", "--stack", "eth0=passthru"), -EINVAL);
    assert_non_null(strstr(config.error, "--stack eth0 is given twice"));
    assert_int_equal(READ_WORDS(&config, "--stack", "=passthru"), -EINVAL);
    assert_int_equal(READ_WORDS(&config, "--stack", "eth0", "--ready-fd", "-1"), -EINVAL);
    assert_int_equal(READ_WORDS(&config, "-c", "/nonexistent/file"), -ENOENT);
    assert_non_null(strstr(config.error, "/nonexistent/file"));
    assert_int_equal(READ_WORDS(&config, "-c", "/"), -EISDIR);
    assert_non_null(strstr(config.error, "/: Is a directory"));
}

static void
too_many_stacks_are_refused(void **state)
{
    char text[2048] = "";
    struct config config;

    for (int i = 0; i <= CONFIG_STACKS; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "[stack e%d]\ntarget=soft\n", i);
    assert_int_equal(read_text(&config, text), -EINVAL);
    assert_non_null(strstr(config.error, "more than"));
}

/* ---- the examples of the manual pages ---- */

/* One page, block by block: what stands between two lines of ```. PAGES names the folder. */
static FILE *
open_page(const char *name)
{
    const char *folder = getenv("PAGES");
    char path[512];
    FILE *page;

    assert_non_null(folder);
    snprintf(path, sizeof(path), "%s/%s.scd", folder, name);
    page = fopen(path, "r");
    assert_non_null(page);
    return page;
}

static bool
next_block(FILE *page, char *block, size_t room)
{
    bool inside = false;
    size_t used = 0;
    char line[256];

    *block = '\0';
    while (fgets(line, sizeof(line), page) != NULL) {
        if (strcmp(line, "```\n") == 0 && inside)
            return true;
        if (inside) {
            assert_in_range(used + strlen(line), 0, room - 1);
            memcpy(block + used, line, strlen(line) + 1);
            used += strlen(line);
        }
        inside |= strcmp(line, "```\n") == 0;
    }
    return false;
}

/* "# chimneyd WORD..." or without the prompt, as a shell would part it; false: another command. */
static bool
read_command(struct config *config, const char *command)
{
    const char *words[16];
    char copy[256], *rest = NULL;
    int count = 0;

    command += strncmp(command, "# ", 2) == 0 ? 2 : 0;
    if (strncmp(command, "chimneyd ", 9) != 0)
        return false;
    snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(command, "\n"), command + 9);
    copy[strcspn(copy, "\n")] = '\0';
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_in_range(count, 0, 14);
        words[count++] = word;
    }
    assert_int_equal(read_words(config, count, words), 0);
    return true;
}

struct page {
    const char *name;
    unsigned files, commands;                     /* how many examples there are */
    const char *ifname, *wires[2], *intermediate; /* what it says */
};

/* The two forms of an example mean the same; what is about a stack may be anything. */
static void
check_example(const struct page *page, const struct config *config, bool is_file)
{
    const struct config_stack *stack = &config->stacks[0];

    assert_int_equal(config->stack_count, 1);
    if (is_file && !stack->port)
        return;
    assert_string_equal(stack->ifname, page->ifname);
    for (unsigned i = 0; i < 2 && page->wires[i]; i++)
        assert_string_equal(stack->wires[i], page->wires[i]);
    assert_int_equal(stack->intermediate_count, 1);
    assert_memory_equal(stack->intermediates[0], page->intermediate, strlen(page->intermediate));
}

/* Every example parses. */
static void
pages_are_right(void **state)
{
    static const struct page pages[] = {
        {"chimneyd.8", 3, 0, "chim0", {"eth1"}, "passthru"},
        {"chimney-passthru.7", 1, 1, "chim0", {"eth1"}, "passthru"},
        {"chimney-vlan.7", 1, 1, "chim0", {"eth1"}, "vlan:Id=10:Priority=3"},
        {"chimney-trace.7", 0, 1, "eth0", {NULL}, "trace:File=eth0.pcapng:Ring=64"},
        {"chimney-team.7", 0, 2, "chim0", {"eth0", "eth1"}, "team"},
    };

    for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        FILE *file = open_page(pages[i].name);
        unsigned files = 0, commands = 0;
        struct config config;
        char block[2048];

        while (next_block(file, block, sizeof(block))) {
            bool is_file = *block == '[';

            if (is_file && read_text(&config, block) != 0)
                fail_msg("%s: %s in:\n%s", pages[i].name, config.error, block);
            if (!is_file && !read_command(&config, block))
                continue;
            files += is_file;
            commands += !is_file;
            check_example(&pages[i], &config, is_file);
        }
        fclose(file);
        assert_int_equal(files, pages[i].files);
        assert_int_equal(commands, pages[i].commands);
    }
}

/* In its text: "or *--port NAME=WIRE,DRIVER*." behind the same in a file. */
static void
options_in_the_text(void **state)
{
    FILE *page = open_page("chimneyd.8");
    unsigned found = 0;
    char line[512];

    while (fgets(line, sizeof(line), page) != NULL) {
        for (const char *at = line; (at = strstr(at, "--port chim0=")) != NULL; at++, found++) {
            char word[128];
            struct config config;

            snprintf(word, sizeof(word), "%.*s", (int)strcspn(at + 7, "* \n"), at + 7);
            assert_int_equal(READ_WORDS(&config, "--port", word), 0);
            assert_string_equal(config.stacks[0].ifname, "chim0");
            assert_string_equal(config.stacks[0].wires[0], "eth1");
            assert_string_equal(config.stacks[0].intermediates[0],
                                config.stacks[0].wire_count > 1 ? "team" : "passthru");
        }
    }
    fclose(page);
    assert_int_equal(found, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_sets_everything),
        cmocka_unit_test(defaults_stand),
        cmocka_unit_test(ports_stand_on_wires),
        cmocka_unit_test(pages_are_right),
        cmocka_unit_test(options_in_the_text),
        cmocka_unit_test(drivers_may_be_paths),
        cmocka_unit_test(a_stack_needs_no_key),
        cmocka_unit_test(arguments_win_over_the_file),
        cmocka_unit_test(bad_files_are_refused_with_the_line),
        cmocka_unit_test(only_the_first_error_is_told),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(too_many_stacks_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
