/*
 * A tool sets sysctls before it runs a script. The sockets live in a namespace of ours, so each
 * time one is made it takes what was set for TCP along: everything of net.ipv4 that begins with
 * tcp_ and exists on both sides.
 */
#include "parts.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACE "/proc/sys/net/ipv4"
#define NAME_BYTES 64
#define VALUE_BYTES 192

struct settings {
    unsigned count;
    struct setting {
        char name[NAME_BYTES];
        char value[VALUE_BYTES];
    } all[];
};

/* Its text, or false: it is none that we may read, or too long. */
static bool
read_value(const char *name, char value[VALUE_BYTES])
{
    char path[sizeof(PLACE) + NAME_BYTES];
    ssize_t len = -1;
    int fd;

    snprintf(path, sizeof(path), PLACE "/%s", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        len = read(fd, value, VALUE_BYTES - 1);
        close(fd);
    }
    if (len <= 0 || len == VALUE_BYTES - 1)
        return false;
    value[len] = '\0';
    return true;
}

static void
write_value(const char *name, const char *value)
{
    char path[sizeof(PLACE) + NAME_BYTES];
    int fd;

    snprintf(path, sizeof(path), PLACE "/%s", name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, value, strlen(value)) < 0) {
        /* read-only, or not for this namespace: as documented */
    }
    close(fd);
}

static struct settings *
add(struct settings *settings, const char *name)
{
    char value[VALUE_BYTES];
    struct settings *more;

    if (strncmp(name, "tcp_", 4) != 0 || strlen(name) >= NAME_BYTES || !read_value(name, value))
        return settings;
    more = realloc(settings, sizeof(*settings) + (settings->count + 1) * sizeof(settings->all[0]));
    if (more == NULL)
        return settings;
    snprintf(more->all[more->count].name, NAME_BYTES, "%s", name);
    memcpy(more->all[more->count].value, value, VALUE_BYTES);
    more->count++;
    return more;
}

struct settings *
settings_read(void)
{
    struct settings *settings = calloc(1, sizeof(*settings));
    DIR *dir = settings != NULL ? opendir(PLACE) : NULL;
    struct dirent *file;

    if (dir == NULL)
        return settings;
    while ((file = readdir(dir)) != NULL)
        settings = add(settings, file->d_name);
    closedir(dir);
    return settings;
}

void
settings_write(const struct settings *settings)
{
    char now[VALUE_BYTES];

    for (unsigned i = 0; settings != NULL && i < settings->count; i++)
        if (read_value(settings->all[i].name, now) && strcmp(now, settings->all[i].value) != 0)
            write_value(settings->all[i].name, settings->all[i].value);
}

void
settings_free(struct settings *settings)
{
    free(settings);
}
