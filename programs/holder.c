/*
 * /proc/PID/fdinfo names the interface of an open TAP. Read for the last sentence of a daemon that
 * cannot start because another one serves its interface; nothing else depends on it.
 */
#include "holder.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 320

/* TAPs of the same name may be in other namespaces. */
static bool
is_in_our_namespace(const char *pid)
{
    char path[PATH_BYTES];
    struct stat ours, its;

    snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
    return stat("/proc/self/ns/net", &ours) == 0 && stat(path, &its) == 0 &&
           ours.st_ino == its.st_ino && ours.st_dev == its.st_dev;
}

static bool
is_tap(const char *pid, const char *fd, const char *tap)
{
    char path[PATH_BYTES], line[128], name[64];
    bool found = false;
    ssize_t length;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, fd);
    length = readlink(path, line, sizeof(line) - 1);
    line[length > 0 ? length : 0] = '\0';
    if (strcmp(line, "/dev/net/tun") != 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof(line), file) != NULL)
        found = sscanf(line, "iff: %63s", name) == 1 && strcmp(name, tap) == 0;
    fclose(file);
    return found;
}

static bool
holds_tap(const char *pid, const char *tap)
{
    char path[PATH_BYTES];
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    dir = opendir(path);
    if (dir == NULL)
        return false;
    while (!found && (entry = readdir(dir)) != NULL)
        found = is_tap(pid, entry->d_name, tap);
    closedir(dir);
    return found;
}

static void
describe(const char *pid, char *words, size_t size)
{
    char path[PATH_BYTES], command[32] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    file = fopen(path, "re");
    if (file != NULL && fgets(command, sizeof(command), file) != NULL)
        command[strcspn(command, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
    snprintf(words, size, "process %s (%s)", pid, command);
}

bool
holder_of_tap(const char *tap, char *words, size_t size)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    bool found = false;

    words[0] = '\0';
    if (dir == NULL)
        return false;
    while (!found && (entry = readdir(dir)) != NULL) {
        const char *pid = entry->d_name;

        if (!isdigit((unsigned char)pid[0]) || !is_in_our_namespace(pid) || !holds_tap(pid, tap))
            continue;
        found = true;
        describe(pid, words, size);
    }
    closedir(dir);
    return found;
}
