/*
 * chimneyctl: asks chimneyd and prints the answer.
 *
 * One request, one line; the answer comes as lines that are printed as they arrive (with -j: as one
 * JSON document at the end). The exit code is the daemon's, but for what the daemon cannot say.
 */
#include "print.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_NO_DAEMON = 3, EXIT_DENIED = 7 };

#define SILENCE_S 60 /* a daemon that says nothing for so long will not answer */

static const char usage[] =
    "usage: chimneyctl [--socket PATH] [-j] COMMAND\n"
    "  status                 what the daemon has done so far\n"
    "  stack show             the drivers over each interface, from the top down\n"
    "  team show              the members of teams: links, and which is in use\n"
    "  team fail MEMBER       leave it, as if its link were lost\n"
    "  team restore MEMBER    use it again, when it is needed\n"
    "  conn list [SELECTOR]   connections, one per line\n"
    "  conn show [SELECTOR]   with all their figures\n"
    "  conn offload SELECTOR  hand them to the offload target\n"
    "  conn upload SELECTOR   give them back to the kernel\n"
    "SELECTOR, all of which must fit:\n"
    "  --pid N                belongs to process N\n"
    "  --local ADDR:PORT      our end; :PORT or ADDR alone, [ADDR]:PORT for IPv6\n"
    "  --peer ADDR:PORT       the other end\n"
    "  --all                  every connection (offload and upload want it said)\n"
    "exit codes: 0 done, 1 refused (untouched), 2 usage, 3 no daemon, 4 partly done,\n"
    "            5 lost (it ended while the target had it), 6 not supported, 7 not permitted\n";

struct command {
    const char *words[2]; /* the second may be NULL */
    const char *op;
    const char *member; /* what the lines of the answer hold */
    bool selects, moves;
    bool names; /* one more word: a member of a team */
};

static const struct command commands[] = {
    {{"status", NULL}, "status", "status", false, false},
    {{"stack", "show"}, "stack", "floor", false, false},
    {{"conn", "list"}, "list", "conn", true, false},
    {{"conn", "show"}, "show", "conn", true, false},
    {{"conn", "offload"}, "offload", "move", true, true},
    {{"conn", "upload"}, "upload", "move", true, true},
    {{"team", "show"}, "team", "member", false, false},
    {{"team", "fail"}, "fail", "member", false, false, true},
    {{"team", "restore"}, "restore", "member", false, false, true},
};

struct request {
    const char *socket;
    bool json;
    json_t *selector;
    const struct command *command;
    const char *member; /* of a team; NULL: none */
    json_t *document;   /* -j: what has arrived */
    unsigned lines;
};

/* ---- arguments ---- */

static int
fail_usage(const char *what, const char *value)
{
    fprintf(stderr, "chimneyctl: %s%s%s\n", what, value != NULL ? ": " : "",
            value != NULL ? value : "");
    fputs("try: chimneyctl --help\n", stderr);
    return -EXIT_USAGE;
}

static const struct command *
find_command(int count, char **given)
{
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const struct command *command = &commands[i];
        int words = command->words[1] != NULL ? 2 : 1, wanted = words + command->names;

        if (count == wanted && strcmp(given[0], command->words[0]) == 0 &&
            (words == 1 || strcmp(given[1], command->words[1]) == 0))
            return command;
    }
    return NULL;
}

static int
fail_command(int count, char **words)
{
    char text[128] = "";

    for (int i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i > 0 ? " " : "",
                 words[i]);
    return fail_usage("no such command", text);
}

static int
set_pid(struct request *request, const char *value)
{
    char *end;

    errno = 0;
    long pid = strtol(value, &end, 10);
    if (*value == '\0' || *end != '\0' || errno != 0 || pid < 1 || pid > 0x7fffffff)
        return fail_usage("--pid wants a process id", value);
    return json_object_set_new(request->selector, "pid", json_integer(pid));
}

static const struct option options[] = {
    {"socket", required_argument, NULL, 's'},
    {"json", no_argument, NULL, 'j'},
    {"pid", required_argument, NULL, 'p'},
    {"local", required_argument, NULL, 'l'},
    {"peer", required_argument, NULL, 'r'},
    {"all", no_argument, NULL, 'a'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* 0; 1: printed something and is done; -EXIT_USAGE. word: the option as it was written. */
static int
read_option(struct request *request, int option, const char *value, const char *word)
{
    switch (option) {
    case 's':
        request->socket = value;
        return *value != '\0' ? 0 : fail_usage("the socket's path is empty", NULL);
    case 'j':
        request->json = true;
        return 0;
    case 'p':
        return set_pid(request, value);
    case 'l':
    case 'r':
        if (json_object_set_new(request->selector, option == 'l' ? "local" : "peer",
                                json_string(value)) != 0)
            return fail_usage("not an address (not even text)", word);
        return 0;
    case 'a':
        return json_object_set_new(request->selector, "all", json_true());
    case 'h':
        fputs(usage, stdout);
        return 1;
    case 'V':
        puts("chimneyctl " TCPCHIMNEY_VERSION);
        return 1;
    case ':':
        return fail_usage("a value is missing after", word);
    default:
        return fail_usage("no such option", word);
    }
}

static int
read_arguments(struct request *request, int argc, char **argv)
{
    int option, result;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":jh", options, NULL)) != -1) {
        result = read_option(request, option, optarg, argv[optind - 1]);
        if (result != 0)
            return result;
    }
    if (optind == argc)
        return fail_usage("a command is missing", NULL);
    request->command = find_command(argc - optind, argv + optind);
    if (request->command == NULL)
        return fail_command(argc - optind, argv + optind);
    if (request->command->names)
        request->member = argv[argc - 1];
    if (!request->command->selects && json_object_size(request->selector) > 0)
        return fail_usage("this command selects no connections", NULL);
    if (request->command->moves && json_object_size(request->selector) == 0)
        return fail_usage("name the connections (--pid, --local, --peer) or say --all", NULL);
    return 0;
}

/* ---- the daemon ---- */

/* A connected stream, or a negative exit code. */
static int
connect_daemon(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval silence = {.tv_sec = SILENCE_S};
    int fd, error;

    if (strlen(path) >= sizeof(address.sun_path))
        return fail_usage("the socket's path is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)) == 0 &&
        connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    error = errno;
    if (fd >= 0)
        close(fd);
    if (error == EACCES || error == EPERM) {
        fprintf(stderr,
                "chimneyctl: %s: not permitted; only the user that chimneyd runs as may ask\n",
                path);
        return -EXIT_DENIED;
    }
    fprintf(stderr,
            "chimneyctl: no chimneyd at %s (%s): start it, or say with --socket where it is\n",
            path, strerror(error));
    return -EXIT_NO_DAEMON;
}

static int
send_request(int fd, const struct request *request)
{
    json_t *object = json_pack("{s:s, s:O, s:s*}", "op", request->command->op, "selector",
                               request->selector, "member", request->member);
    char *line = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    int result = -1;

    if (line != NULL)
        result = dprintf(fd, "%s\n", line);
    free(line);
    json_decref(object);
    return result < 0 ? -1 : 0;
}

/* The selector as it was given. */
static void
format_selector(json_t *selector, char *out, size_t size)
{
    const char *key;
    json_t *value;

    out[0] = '\0';
    json_object_foreach(selector, key, value)
    {
        size_t used = strlen(out);

        snprintf(out + used, size - used, used > 0 ? " --%s" : "--%s", key);
        used = strlen(out);
        if (json_is_string(value))
            snprintf(out + used, size - used, " %s", json_string_value(value));
        else if (json_is_integer(value))
            snprintf(out + used, size - used, " %lld", json_integer_value(value));
    }
}

static void
show_move(const struct request *request, json_t *move)
{
    const char *reason = json_string_value(json_object_get(move, "reason"));
    char asked[256];

    if (reason == NULL || strcmp(reason, "no-such-connection") != 0) {
        print_move(move);
        return;
    }
    format_selector(request->selector, asked, sizeof(asked));
    print_no_move(move, asked);
}

/* One line of the answer; item is borrowed. */
static void
show_item(struct request *request, json_t *item)
{
    const char *member = request->command->member;

    if (request->json)
        json_array_append(request->document, item);
    else if (strcmp(member, "status") == 0)
        print_status(item);
    else if (strcmp(member, "floor") == 0)
        print_floor(item);
    else if (strcmp(member, "member") == 0)
        print_member(item);
    else if (strcmp(member, "move") == 0)
        show_move(request, item);
    else if (strcmp(request->command->op, "show") == 0)
        print_conn_details(item);
    else
        print_conn_line(item, request->lines);
    request->lines++;
    fflush(stdout);
}

/* The daemon's code, or -1 while there is more to come. */
static int
read_line(struct request *request, const char *line)
{
    json_error_t error;
    json_t *object = json_loads(line, 0, &error);
    json_t *item = json_object_get(object, request->command->member);
    const char *words = json_string_value(json_object_get(object, "error"));
    int code = -1;

    if (item != NULL) {
        show_item(request, item);
    } else if (json_is_true(json_object_get(object, "end"))) {
        code = (int)json_integer_value(json_object_get(object, "code"));
        if (words != NULL)
            fprintf(stderr, "chimneyctl: %s\n", words);
    } else {
        fprintf(stderr, "chimneyctl: an answer that makes no sense: %.80s\n", line);
        code = EXIT_NO_DAEMON;
    }
    json_decref(object);
    return code;
}

static int
read_answer(struct request *request, int fd)
{
    FILE *stream = fdopen(fd, "r");
    char *line = NULL;
    size_t size = 0;
    int code = -1;

    if (stream == NULL) {
        close(fd);
        return EXIT_NO_DAEMON;
    }
    while (code < 0 && getline(&line, &size, stream) > 0)
        code = read_line(request, line);
    if (code < 0) {
        fprintf(stderr, "chimneyctl: chimneyd %s\n",
                ferror(stream) ? "does not answer" : "went away before it had answered");
        code = EXIT_NO_DAEMON;
    }
    free(line);
    fclose(stream);
    return code;
}

/* -j: status is one object, everything else a list. */
static void
print_document(const struct request *request)
{
    json_t *document = request->document;

    if (strcmp(request->command->op, "status") == 0)
        document = json_array_get(document, 0);
    if (document == NULL)
        return;
    json_dumpf(document, stdout, JSON_INDENT(2));
    putchar('\n');
}

static int
run(struct request *request)
{
    int code, fd = connect_daemon(request->socket);

    if (fd < 0)
        return -fd;
    if (send_request(fd, request) != 0) {
        fprintf(stderr, "chimneyctl: chimneyd does not listen (%s)\n", strerror(errno));
        close(fd);
        return EXIT_NO_DAEMON;
    }
    code = read_answer(request, fd);
    if (request->json)
        print_document(request);
    return code;
}

int
main(int argc, char **argv)
{
    struct request request = {
        .socket = "/run/chimneyd.sock", .selector = json_object(), .document = json_array()};
    int result = read_arguments(&request, argc, argv);

    signal(SIGPIPE, SIG_IGN);
    if (result == 0)
        result = run(&request);
    else
        result = result > 0 ? 0 : EXIT_USAGE;
    json_decref(request.selector);
    json_decref(request.document);
    return result;
}
