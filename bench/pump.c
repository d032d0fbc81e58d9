/*
 * One end of a bulk stream, as plain as a process can be: an unmodified program whose connection is
 * measured.
 *
 * pump listen ADDRESS send|receive SECONDS     prints the port, accepts one connection
 * pump connect ADDRESS PORT send|receive SECONDS
 *
 * The receiver prints "bytes microseconds" of what it read between its first byte and the end.
 * Cubic on both ends.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[256 * 1024];

static uint64_t
now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static int
open_listening(struct sockaddr_in *address)
{
    socklen_t len = sizeof *address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)address, len) || listen(listener, 1))
        die("listen");
    getsockname(listener, (struct sockaddr *)address, &len);
    printf("%u\n", ntohs(address->sin_port));
    fflush(stdout);
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        die("accept");
    return fd;
}

static void
send_for(int fd, double seconds)
{
    uint64_t until = now_us() + (uint64_t)(seconds * 1e6);

    while (now_us() < until) {
        if (write(fd, buffer, sizeof buffer) < 0)
            die("write");
    }
    shutdown(fd, SHUT_WR);
    while (read(fd, buffer, sizeof buffer) > 0)
        ;
}

static void
receive_all(int fd)
{
    uint64_t bytes = 0, first = 0, last = 0;
    ssize_t got;

    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        last = now_us();
        if (!first)
            first = last;
        bytes += (uint64_t)got;
    }
    if (got < 0)
        die("read");
    printf("%llu %llu\n", (unsigned long long)bytes, (unsigned long long)(last - first));
}

int
main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    bool listening = argc > 1 && strcmp(argv[1], "listen") == 0;
    int at = listening ? 3 : 4, fd;

    if (argc != at + 2 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: pump listen ADDRESS send|receive SECONDS\n"
                        "       pump connect ADDRESS PORT send|receive SECONDS\n");
        return 2;
    }
    if (listening) {
        fd = open_listening(&address);
    } else {
        address.sin_port = htons((uint16_t)atoi(argv[3]));
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address))
            die("connect");
    }
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5))
        die("cubic");
    if (strcmp(argv[at], "send") == 0)
        send_for(fd, atof(argv[at + 1]));
    else
        receive_all(fd);
    return 0;
}
