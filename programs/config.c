/*
 * Both sources end in the same setters; a setter takes text and either stores a checked value or
 * leaves one sentence in config->error. The first error is the one reported. An unknown key is an
 * error: a misspelt one would otherwise be a default nobody chose.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int __attribute__((format(printf, 2, 3)))
config_fail(struct config *config, const char *format, ...)
{
    va_list args;

    if (config->error[0] != '\0')
        return -EINVAL;
    va_start(args, format);
    vsnprintf(config->error, sizeof(config->error), format, args);
    va_end(args);
    return -EINVAL;
}

void
config_init(struct config *config)
{
    *config = (struct config){
        .socket = CONFIG_SOCKET, .log = LOG_INFO, .nice = CONFIG_NICE, .ready_fd = -1};
}

static int
config_copy(struct config *config, char *out, size_t size, const char *what, const char *value)
{
    size_t length = strlen(value);

    if (length == 0)
        return config_fail(config, "%s is empty", what);
    if (length >= size)
        return config_fail(config, "%s '%s' is longer than %zu characters", what, value, size - 1);
    memcpy(out, value, length + 1);
    return 0;
}

static int
config_set_log(struct config *config, const char *value)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};

    for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(value, levels[i]) == 0) {
            config->log = (enum log_level)i;
            return 0;
        }
    }
    return config_fail(config, "log '%s' is none of error, warn, info, debug", value);
}

static int
config_set_bool(struct config *config, const char *key, const char *value, bool *out)
{
    *out = strcmp(value, "yes") == 0;
    if (*out || strcmp(value, "no") == 0)
        return 0;
    return config_fail(config, "%s '%s' is neither yes nor no", key, value);
}

static int
config_set_number(struct config *config, const char *key, const char *value, uint32_t most,
                  uint32_t *out)
{
    char *end;

    errno = 0;
    unsigned long long number = strtoull(value, &end, 0);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number > most)
        return config_fail(config, "%s '%s' is not a number from 0 to %u", key, value, most);
    *out = (uint32_t)number;
    return 0;
}

static int
config_set_nice(struct config *config, const char *value)
{
    char *end;
    long nice = strtol(value, &end, 10);

    if (end == value || *end != '\0' || nice < -20 || nice > 19)
        return config_fail(config, "nice '%s' is not a number from -20 to 19", value);
    config->nice = (int)nice;
    return 0;
}

/* The stack of an interface, new if it has none yet. NULL: does not fit. */
static struct config_stack *
config_stack_of(struct config *config, const char *ifname)
{
    struct config_stack *stack;

    for (unsigned i = 0; i < config->stack_count; i++) {
        if (strcmp(config->stacks[i].ifname, ifname) == 0)
            return &config->stacks[i];
    }
    if (config->stack_count == CONFIG_STACKS) {
        config_fail(config, "more than %d stacks", CONFIG_STACKS);
        return NULL;
    }
    stack = &config->stacks[config->stack_count];
    *stack = (struct config_stack){.target = "soft"};
    if (config_copy(config, stack->ifname, sizeof(stack->ifname), "interface", ifname) != 0)
        return NULL;
    config->stack_count++;
    return stack;
}

/* A comma separated list; blanks around the names do not count. An empty list is a list. */
static int
config_set_intermediates(struct config *config, struct config_stack *stack, const char *value)
{
    char name[2 * CONFIG_DRIVER]; /* one that is cut is still too long */

    stack->intermediate_count = 0;
    value += strspn(value, " \t");
    while (*value != '\0') {
        size_t length = strcspn(value, ", \t");

        if (stack->intermediate_count == CONFIG_INTERMEDIATES)
            return config_fail(config, "more than %d intermediate drivers over %s",
                               CONFIG_INTERMEDIATES, stack->ifname);
        snprintf(name, sizeof(name), "%.*s", (int)length, value);
        if (config_copy(config, stack->intermediates[stack->intermediate_count], CONFIG_DRIVER,
                        "an intermediate driver's name", name) != 0)
            return -EINVAL;
        stack->intermediate_count++;
        value += length;
        value += strspn(value, " \t");
        if (*value == ',') {
            value++;
            value += strspn(value, " \t");
            if (*value == '\0')
                return config_fail(config, "a driver's name is missing after the comma");
        } else if (*value != '\0') {
            return config_fail(config, "a comma is missing before '%s'", value);
        }
    }
    return 0;
}

static int
config_set_daemon(struct config *config, const char *key, const char *value)
{
    if (strcmp(key, "socket") == 0)
        return config_copy(config, config->socket, sizeof(config->socket), key, value);
    if (strcmp(key, "log") == 0)
        return config_set_log(config, value);
    if (strcmp(key, "mark") == 0)
        return config_set_number(config, key, value, UINT32_MAX, &config->mark);
    if (strcmp(key, "lock_memory") == 0)
        return config_set_bool(config, key, value, &config->lock_memory);
    if (strcmp(key, "nice") == 0)
        return config_set_nice(config, value);
    if (strcmp(key, "verify") == 0)
        return config_set_bool(config, key, value, &config->verify);
    return config_fail(config, "[daemon] has no key '%s'", key);
}

/* A list like that of drivers. */
static int
config_set_wires(struct config *config, struct config_stack *stack, const char *value)
{
    stack->wire_count = 0;
    for (value += strspn(value, ", \t"); *value != '\0'; value += strspn(value, ", \t")) {
        size_t length = strcspn(value, ", \t");
        char name[64];

        if (stack->wire_count == CONFIG_WIRES)
            return config_fail(config, "more than %d wires under %s", CONFIG_WIRES, stack->ifname);
        snprintf(name, sizeof(name), "%.*s", (int)length, value);
        if (config_copy(config, stack->wires[stack->wire_count], IF_NAMESIZE, "an interface",
                        name) != 0)
            return -EINVAL;
        stack->wire_count++;
        value += length;
    }
    return 0;
}

static int
config_set_stack(struct config *config, const char *ifname, const char *key, const char *value)
{
    struct config_stack *stack = config_stack_of(config, ifname);

    if (stack == NULL)
        return -EINVAL;
    if (strcmp(key, "intermediate") == 0)
        return config_set_intermediates(config, stack, value);
    if (strcmp(key, "target") == 0)
        return config_copy(config, stack->target, sizeof(stack->target), key, value);
    if (stack->port && strcmp(key, "wire") == 0)
        return config_set_wires(config, stack, value);
    return config_fail(config, "[%s %s] has no key '%s'", stack->port ? "port" : "stack", ifname,
                       key);
}

/* ---- the file ---- */

/*
 * inih tells of keys only, so sections are read here, line by line: one that is misspelt is an
 * error without a key, too, and a [stack IFNAME] without any is served with the defaults.
 */
struct reading {
    FILE *file;
    struct config *config;
    int line;          /* the one read last */
    int bad_line;      /* of config->error; 0: none */
    int error;         /* of the file itself */
    char section[128]; /* that was opened last */
};

static int
config_open_stack(struct config *config, const char *ifname, bool port)
{
    const char *what = port ? "port" : "stack";
    struct config_stack *stack;

    if (*ifname == '\0')
        return config_fail(config, "[%s] names no interface: [%s eth0]", what, what);
    stack = config_stack_of(config, ifname);
    if (stack == NULL)
        return -EINVAL;
    if (stack->in_file)
        return config_fail(config, "[%s %s] is there twice", what, ifname);
    stack->in_file = true;
    stack->port = port;
    return 0;
}

/* What stands behind the word, of a section that is called so; NULL: it is another one. */
static const char *
section_name(const char *section, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(section, word, length) != 0 || strchr(" \t", section[length]) == NULL)
        return NULL;
    return section + length + strspn(section + length, " \t");
}

static int
config_open_section(struct reading *reading, const char *section)
{
    const char *name;

    snprintf(reading->section, sizeof(reading->section), "%s", section);
    if (strcmp(section, "daemon") == 0)
        return 0;
    if ((name = section_name(section, "stack")) != NULL)
        return config_open_stack(reading->config, name, false);
    if ((name = section_name(section, "port")) != NULL)
        return config_open_stack(reading->config, name, true);
    return config_fail(reading->config, "no section is called [%s]", section);
}

static int
config_set(struct reading *reading, const char *section, const char *key, const char *value)
{
    const char *name;

    if (*section == '\0')
        return config_fail(reading->config, "'%s' stands before any [section]", key);
    /* indented, it was not seen as a section until now */
    if (strcmp(section, reading->section) != 0 && config_open_section(reading, section) != 0)
        return -EINVAL;
    if (strcmp(section, "daemon") == 0)
        return config_set_daemon(reading->config, key, value);
    name = section_name(section, "stack");
    return config_set_stack(reading->config, name != NULL ? name : section_name(section, "port"),
                            key, value);
}

/* inih's: non-zero goes on. */
static int
on_ini(void *arg, const char *section, const char *key, const char *value)
{
    struct reading *reading = arg;

    if (reading->bad_line == 0 && config_set(reading, section, key, value) != 0)
        reading->bad_line = reading->line;
    return reading->bad_line == 0;
}

static char *
next_line(char *line, int size, void *stream)
{
    struct reading *reading = stream;
    char section[128];

    if (fgets(line, size, reading->file) == NULL) {
        if (ferror(reading->file))
            reading->error = -errno;
        return NULL;
    }
    reading->line++;
    if (reading->bad_line == 0 && sscanf(line, "[%127[^]\n]]", section) == 1 &&
        config_open_section(reading, section) != 0)
        reading->bad_line = reading->line;
    return line;
}

int
config_read_file(struct config *config, const char *path)
{
    char what[sizeof(config->error)];
    FILE *file = fopen(path, "re");
    struct reading reading = {.file = file, .config = config, .error = -errno};
    int line;

    if (file == NULL) {
        config_fail(config, "%s: %s", path, strerror(-reading.error));
        return reading.error;
    }
    reading.error = 0;
    line = ini_parse_stream(next_line, &reading, on_ini, &reading);
    fclose(file);
    if (reading.error != 0) {
        config_fail(config, "%s: %s", path, strerror(-reading.error));
        return reading.error;
    }
    if (line <= 0 && reading.bad_line == 0)
        return line == 0 ? 0 : config_fail(config, "%s: out of memory", path);
    snprintf(what, sizeof(what), "%s", config->error);
    config->error[0] = '\0';
    if (reading.bad_line == 0 || (line > 0 && line < reading.bad_line))
        return config_fail(config, "%s:%d: neither [section] nor key = value", path, line);
    return config_fail(config, "%s:%d: %s", path, reading.bad_line, what);
}

/* ---- arguments ---- */

/* NAME=WIRE,driver,driver */
static int
config_add_port(struct config *config, const char *text)
{
    const char *equals = strchr(text, '=');
    struct config_stack *stack;
    char name[64], wires[64];

    if (equals == NULL)
        return config_fail(config, "--port %s: under which interface? %s=WIRE[,DRIVER...]", text,
                           text);
    snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
    stack = config_stack_of(config, name);
    if (stack == NULL)
        return -EINVAL;
    if (stack->in_arguments)
        return config_fail(config, "--port %s is given twice", name);
    stack->in_arguments = stack->port = true;
    snprintf(wires, sizeof(wires), "%.*s", (int)strcspn(equals + 1, ","), equals + 1);
    for (char *plus = wires; (plus = strchr(plus, '+')) != NULL;)
        *plus = ',';
    if (config_set_wires(config, stack, wires) != 0)
        return -EINVAL;
    equals += 1 + strcspn(equals + 1, ",");
    return config_set_intermediates(config, stack, *equals == ',' ? equals + 1 : "");
}

/* IFNAME or IFNAME=driver,driver */
static int
config_add_stack(struct config *config, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
    struct config_stack *stack;
    char ifname[64];

    snprintf(ifname, sizeof(ifname), "%.*s", (int)length, text);
    stack = config_stack_of(config, ifname);
    if (stack == NULL)
        return -EINVAL;
    if (stack->in_arguments)
        return config_fail(config, "--stack %s is given twice", ifname);
    stack->in_arguments = true;
    return config_set_intermediates(config, stack, equals != NULL ? equals + 1 : "");
}

enum {
    OPTION_SOCKET = 256,
    OPTION_STACK,
    OPTION_PORT,
    OPTION_READY_FD,
    OPTION_LOG,
    OPTION_MARK,
    OPTION_NICE,
    OPTION_VERIFY,
    OPTION_VERSION
};

static const struct option config_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"stack", required_argument, NULL, OPTION_STACK},
    {"port", required_argument, NULL, OPTION_PORT},
    {"ready-fd", required_argument, NULL, OPTION_READY_FD},
    {"log", required_argument, NULL, OPTION_LOG},
    {"mark", required_argument, NULL, OPTION_MARK},
    {"nice", required_argument, NULL, OPTION_NICE},
    {"verify", no_argument, NULL, OPTION_VERIFY},
    {"foreground", no_argument, NULL, 'f'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const char config_usage[] =
    "usage: chimneyd [-c FILE] [--stack IFNAME[=DRIVER,...]]... [options]\n"
    "  -c, --config FILE    read FILE first\n"
    "  --stack IFNAME[=..]  serve this interface, with these intermediate drivers from the top\n"
    "                       down (names, or paths with a slash); may be given several times\n"
    "  --port NAME=WIRE[,DRIVER,...]\n"
    "                       make an interface that stands on WIRE; all its traffic passes the\n"
    "                       drivers (WIRE+WIRE: on several, for a driver that joins them)\n"
    "  --socket PATH        control socket (" CONFIG_SOCKET ")\n"
    "  --mark N             mark of our own frames\n"
    "  --nice N             priority of the daemon, -20 to 19 (-10)\n"
    "  --verify             check the contract between the drivers at every call\n"
    "  --log LEVEL          error, warn, info or debug\n"
    "  --ready-fd N         write a line to descriptor N and close it when ready\n"
    "  --foreground         the only way it runs; accepted for habit\n"
    "  --help, --version\n";

/* word: the option as it was written. */
static int
config_set_option(struct config *config, int option, const char *value, const char *word)
{
    uint32_t number = 0;

    switch (option) {
    case 'c':
    case 'f':
        return 0;
    case OPTION_SOCKET:
        return config_set_daemon(config, "socket", value);
    case OPTION_LOG:
        return config_set_daemon(config, "log", value);
    case OPTION_MARK:
        return config_set_daemon(config, "mark", value);
    case OPTION_NICE:
        return config_set_daemon(config, "nice", value);
    case OPTION_VERIFY:
        config->verify = true;
        return 0;
    case OPTION_STACK:
        return config_add_stack(config, value);
    case OPTION_PORT:
        return config_add_port(config, value);
    case OPTION_READY_FD:
        if (config_set_number(config, "ready-fd", value, 1 << 20, &number) != 0)
            return -EINVAL;
        config->ready_fd = (int)number;
        return 0;
    case 'h':
        fputs(config_usage, stdout);
        return 1;
    case OPTION_VERSION:
        puts("chimneyd " TCPCHIMNEY_VERSION);
        return 1;
    case ':':
        return config_fail(config, "a value is missing after %s; try --help", word);
    default:
        return config_fail(config, "no such option: %s; try --help", word);
    }
}

int
config_read_arguments(struct config *config, int argc, char **argv)
{
    int option, error = 0;

    /* The file first, wherever -c stands. */
    opterr = 0;
    optind = 0;
    while (error == 0 && (option = getopt_long(argc, argv, ":c:h", config_options, NULL)) != -1) {
        if (option == 'c')
            error = config_read_file(config, optarg);
    }
    optind = 0;
    while (error == 0 && (option = getopt_long(argc, argv, ":c:h", config_options, NULL)) != -1)
        error = config_set_option(config, option, optarg, argv[optind - 1]);
    if (error != 0)
        return error;
    if (optind < argc)
        return config_fail(config, "'%s' is no option; try --help", argv[optind]);
    if (config->stack_count == 0)
        return config_fail(config, "no interface to serve: give --stack IFNAME, or -c FILE with a "
                                   "[stack IFNAME] section");
    for (unsigned i = 0; i < config->stack_count; i++) {
        if (config->stacks[i].port && config->stacks[i].wire_count == 0)
            return config_fail(config, "port %s stands on no interface: wire = IFNAME",
                               config->stacks[i].ifname);
    }
    return 0;
}
