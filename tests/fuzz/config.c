/*
 * What chimneyd is told, and floors with options. Bytes that begin with "--" are arguments, one a
 * line; all others are a file. Whatever they say is refused with words, or is a configuration in
 * which every text ends and every count has a bound.
 */
#include "fuzz.h"

#include "chimney/house.h"
#include "programs/config.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARGUMENTS_MAX 64
#define TEXT_MAX 65536

static bool
ends(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

static void
check_floor(const char *text)
{
    struct house_floor_words words;
    const char *why;

    if (house_read_floor(text, &words, &why)) {
        FUZZ_CHECK(why);
        return;
    }
    FUZZ_CHECK(words.name[0] && ends(words.name, sizeof words.name));
    for (unsigned i = 0; i < HOUSE_FLOOR_OPTIONS && words.options[i].name; i++)
        FUZZ_CHECK(words.options[i].name[0] && words.options[i].value);
}

static void
check_stack(const struct config_stack *stack)
{
    FUZZ_CHECK(stack->ifname[0] && ends(stack->ifname, sizeof stack->ifname));
    FUZZ_CHECK(stack->wire_count <= CONFIG_WIRES);
    FUZZ_CHECK(stack->intermediate_count <= CONFIG_INTERMEDIATES);
    FUZZ_CHECK(stack->port || !stack->wire_count);
    for (unsigned i = 0; i < stack->wire_count; i++)
        FUZZ_CHECK(stack->wires[i][0] && ends(stack->wires[i], sizeof stack->wires[i]));
    for (unsigned i = 0; i < stack->intermediate_count; i++) {
        FUZZ_CHECK(ends(stack->intermediates[i], sizeof stack->intermediates[i]));
        check_floor(stack->intermediates[i]);
    }
    FUZZ_CHECK(ends(stack->target, sizeof stack->target));
    check_floor(stack->target);
}

static void
check(const struct config *config, int error)
{
    if (error) {
        FUZZ_CHECK(config->error[0] && ends(config->error, sizeof config->error));
        FUZZ_CHECK(!strchr(config->error, '\n'));
        return;
    }
    FUZZ_CHECK(config->stack_count <= CONFIG_STACKS);
    FUZZ_CHECK(config->socket[0] && ends(config->socket, sizeof config->socket));
    FUZZ_CHECK(config->nice >= -20 && config->nice <= 19 && (unsigned)config->log <= LOG_DEBUG);
    for (unsigned i = 0; i < config->stack_count; i++) {
        check_stack(&config->stacks[i]);
        for (unsigned j = 0; j < i; j++)
            FUZZ_CHECK(strcmp(config->stacks[i].ifname, config->stacks[j].ifname));
    }
}

/* Reads some other file, or prints. */
static bool
is_harmless(const char *argument)
{
    return strncmp(argument, "--", 2) == 0 && argument[2] != 'c' && argument[2] != 'h' &&
           strncmp(argument + 2, "vers", 4) != 0;
}

static void
read_arguments(struct config *config, char *text)
{
    static char program[] = "chimneyd";
    char *argv[ARGUMENTS_MAX + 2] = {program}, *rest = NULL;
    int argc = 1;

    for (char *word = strtok_r(text, "\n", &rest); word && argc <= ARGUMENTS_MAX;
         word = strtok_r(NULL, "\n", &rest)) {
        if (word[0] == '-' && !is_harmless(word))
            return;
        argv[argc++] = word;
    }
    check(config, config_read_arguments(config, argc, argv));
}

static void
read_file(struct config *config, const uint8_t *data, size_t size)
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    char path[64];

    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check(config, config_read_file(config, path));
    close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    static char text[TEXT_MAX];

    if (size >= sizeof text)
        return 0;
    config_init(&config);
    if (size < 2 || memcmp(data, "--", 2) != 0) {
        read_file(&config, data, size);
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    read_arguments(&config, text);
    return 0;
}
