/* How a floor with options is written: NAME:KEY=VALUE:KEY=VALUE… */
#include "chimney/house.h"

#include <errno.h>
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
            *why = read_option(word, &out->options[count++]);
    }
    return *why ? -EINVAL : 0;
}
