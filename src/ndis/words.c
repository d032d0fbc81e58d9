/* How a floor with options is written: NAME:KEY=VALUE:KEY=VALUE… */
#include "chimney/house.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* KEY=VALUE, in place. */
static const char *
read_option(char *word, struct house_option *option)
{
    char *equals = strchr(word, '=');

    if (!equals || equals == word)
        return "an option is KEY=VALUE";
    *equals = '\0';
    *option = (struct house_option){word, equals + 1};
    return NULL;
}

/* Case does not count, as for drivers: which of the two would be the one? */
static bool
is_there_twice(const struct house_option *options, unsigned last)
{
    for (unsigned i = 0; i < last; i++)
        if (strcasecmp(options[i].name, options[last].name) == 0)
            return true;
    return false;
}

int
house_read_floor(const char *text, struct house_floor_words *out, const char **why)
{
    size_t length = strcspn(text, ":");
    unsigned count = 0;
    char *rest = NULL;

    memset(out, 0, sizeof(*out));
    *why = NULL;
    if (!length || length >= sizeof(out->name))
        *why = length ? "the name is too long" : "a name is missing";
    else if (strlen(text + length) >= sizeof(out->text))
        *why = "the options are too long";
    if (*why)
        return -EINVAL;
    memcpy(out->name, text, length);
    memcpy(out->text, text + length, strlen(text + length));
    for (char *word = strtok_r(out->text, ":", &rest); word && !*why;
         word = strtok_r(NULL, ":", &rest)) {
        if (count == HOUSE_FLOOR_OPTIONS)
            *why = "there are too many options";
        else
            *why = read_option(word, &out->options[count]);
        if (!*why && is_there_twice(out->options, count))
            *why = "an option is given twice";
        count++;
    }
    return *why ? -EINVAL : 0;
}
