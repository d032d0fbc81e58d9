/*
 * The words for every refusal and every ending, next to their stable tokens; and endpoints as text.
 */
#include "chimney/hoststack.h"
#include "host/linux/stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *token, *words;
} reasons[] = {
#define REASON_ROW(token, words) {#token, words},
    HOSTSTACK_REASONS(REASON_ROW)};

_Static_assert(sizeof reasons / sizeof reasons[0] == HOSTSTACK_REASON_COUNT,
               "one row for each reason, in order");

const char *
hoststack_reason_token(enum hoststack_reason reason)
{
    return reason < HOSTSTACK_REASON_COUNT ? reasons[reason].token : "unknown";
}

const char *
hoststack_reason_words(enum hoststack_reason reason)
{
    return reason < HOSTSTACK_REASON_COUNT ? reasons[reason].words : "unknown";
}

const char *
hoststack_state_name(uint32_t kernel_state)
{
    static const char *const names[] = {"CLOSED",     "ESTABLISHED", "SYN_SENT",  "SYN_RCVD",
                                        "FIN_WAIT_1", "FIN_WAIT_2",  "TIME_WAIT", "CLOSED",
                                        "CLOSE_WAIT", "LAST_ACK",    "LISTEN",    "CLOSING"};

    return kernel_state < sizeof names / sizeof names[0] ? names[kernel_state] : "UNKNOWN";
}

/* The port behind the last colon: 1 to 65535. */
static int
parse_port(const char *text, struct hoststack_endpoint *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    unsigned long port = strtoul(text, &end, 10);
    if (*end || port == 0 || port > 65535)
        return -EINVAL;
    out->port = (uint16_t)port;
    out->any_port = false;
    return 0;
}

static int
parse_address(const char *text, struct hoststack_endpoint *out)
{
    out->any_address = false;
    if (inet_pton(AF_INET, text, out->address) == 1)
        out->family = AF_INET;
    else if (inet_pton(AF_INET6, text, out->address) == 1)
        out->family = AF_INET6;
    else
        return -EINVAL;
    return 0;
}

int
hoststack_parse_endpoint(const char *text, struct hoststack_endpoint *out)
{
    struct hoststack_endpoint endpoint = {.any_address = true, .any_port = true};
    char address[64];
    const char *port = NULL;
    size_t len = strlen(text);

    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (!close || (close[1] && close[1] != ':'))
            return -EINVAL;
        port = close[1] ? close + 2 : NULL;
        text++;
        len = (size_t)(close - text);
    } else if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
        port = strchr(text, ':') + 1;
        len = (size_t)(port - 1 - text);
    }
    if (len >= sizeof address || (!len && !port))
        return -EINVAL;
    memcpy(address, text, len);
    address[len] = '\0';
    if (len && strcmp(address, "*") && parse_address(address, &endpoint))
        return -EINVAL;
    if (port && strcmp(port, "*") && parse_port(port, &endpoint))
        return -EINVAL;
    *out = endpoint;
    return 0;
}
