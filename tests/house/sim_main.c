/*
 * Runs of many seeds, a worker process on each processor. A worker that ends early has found
 * something: its seed is named, with the line that does it again, and another worker goes on behind
 * it.
 */
#include "sim.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 16
#define SEED_SECONDS 120 /* of real time, for one run, unless told otherwise */

struct worker {
    uint64_t seed; /* being run */
    bool finished;
    struct sim_figures figures;
    pid_t pid;
};

struct options {
    uint64_t first, count;
    const char *trace, *peer;
    unsigned workers, failures, seconds;
    bool plan, verbose, tap;
};

static _Noreturn void
usage(int code)
{
    fprintf(code ? stderr : stdout,
            "usage: sim [--seeds N] [--seed FIRST] [--trace FILE] [--verbose] [--plan] [--tap] "
            "[--workers N] "
            "[--failures N] [--seconds N] [--peer lwip]\n"
            "Runs N seeds (1) from FIRST (1) on. --trace: of one seed, as pcapng. --verbose: every "
            "frame and move. --plan: what the seeds mean, without running them.\n--failures: give "
            "up after so many (10). --seconds: of real time that one run may take (120). "
            "--peer: lwIP is at the other end.\n");
    exit(code);
}

static uint64_t
number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    if (!*text || *end)
        usage(2);
    return value;
}

static struct options
read_options(int argc, char **argv)
{
    struct options options = {.first = 1,
                              .count = 1,
                              .workers = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
                              .failures = 10,
                              .seconds = SEED_SECONDS};

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--plan")) {
            options.plan = true;
            continue;
        }
        if (!strcmp(argv[i], "--tap")) {
            options.tap = true;
            continue;
        }
        if (!strcmp(argv[i], "--verbose")) {
            options.verbose = true;
            continue;
        }
        if (!strcmp(argv[i], "--help"))
            usage(0);
        if (!value)
            usage(2);
        if (!strcmp(argv[i], "--seeds"))
            options.count = number(value);
        else if (!strcmp(argv[i], "--seed"))
            options.first = number(value);
        else if (!strcmp(argv[i], "--trace"))
            options.trace = value;
        else if (!strcmp(argv[i], "--workers"))
            options.workers = (unsigned)number(value);
        else if (!strcmp(argv[i], "--peer"))
            options.peer = value;
        else if (!strcmp(argv[i], "--failures"))
            options.failures = (unsigned)number(value);
        else if (!strcmp(argv[i], "--seconds"))
            options.seconds = (unsigned)number(value);
        else
            usage(2);
        i++;
    }
    if (options.workers < 1 || options.workers > WORKERS_MAX)
        options.workers = options.workers ? WORKERS_MAX : 1;
    if (options.trace && options.count != 1)
        usage(2);
    if (options.peer && strcmp(options.peer, "lwip"))
        usage(2);
    if (options.peer && !sim_lwip_want()) {
        fputs("sim: built without lwIP (liblwip-dev)\n", stderr);
        exit(2);
    }
    return options;
}

static void
run_seeds(struct worker *worker, uint64_t seed, uint64_t end, const struct options *options)
{
    for (; seed < end; seed += options->workers) {
        worker->seed = seed;
        alarm(options->seconds);
        uint64_t fingerprint = sim_run(seed, options->trace, options->verbose, &worker->figures);
        if (options->count == 1)
            printf("seed %llu: fingerprint %016llx\n", (unsigned long long)seed,
                   (unsigned long long)fingerprint);
    }
    worker->finished = true;
}

static void
start(struct worker *worker, uint64_t seed, const struct options *options)
{
    fflush(NULL);
    worker->finished = false;
    worker->seed = seed;
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid != 0) {
        worker->pid = pid;
    } else {
        run_seeds(worker, seed, options->first + options->count, options);
        exit(0); /* what is left is found now, with a sanitizer */
    }
}

static void
tell_failure(const struct worker *worker, int status, const struct options *options)
{
    char how[64];

    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "%s",
                 WTERMSIG(status) == SIGALRM ? "takes too long" : strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof how, "ended with code %d", WEXITSTATUS(status));
    printf("%sFAILED seed %llu (%s); again: ./dev sim --seed %llu%s%s\n", options->tap ? "# " : "",
           (unsigned long long)worker->seed, how, (unsigned long long)worker->seed,
           options->peer ? " --peer " : "", options->peer ? options->peer : "");
    fflush(stdout);
}

/* How many failed. */
static unsigned
watch(struct worker *workers, const struct options *options)
{
    unsigned running = options->workers, failed = 0;

    while (running) {
        int status;
        pid_t pid = wait(&status);
        struct worker *worker = workers;
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            break;
        while (worker->pid != pid)
            worker++;
        if (worker->finished && status == 0) {
            running--;
            continue;
        }
        failed++;
        tell_failure(worker, status, options);
        if (worker->finished || failed >= options->failures ||
            worker->seed + options->workers >= options->first + options->count)
            running--;
        else
            start(worker, worker->seed + options->workers, options);
    }
    return failed;
}

static void
sum(const struct worker *workers, const struct options *options, unsigned failed, double seconds)
{
    struct sim_figures all = {0};

    for (unsigned i = 0; i < options->workers; i++) {
        const struct sim_figures *one = &workers[i].figures;
        all.runs += one->runs;
        all.handovers += one->handovers;
        all.refused += one->refused;
        all.bytes += one->bytes;
        all.frames += one->frames;
        all.retransmissions += one->retransmissions;
        all.dsacks += one->dsacks;
        all.forged += one->forged;
        all.kills += one->kills;
        all.cables += one->cables;
        all.invalidated += one->invalidated;
        all.answered += one->answered;
        all.marks += one->marks;
        all.cwrs += one->cwrs;
    }
    if (options->tap)
        printf("1..1\n%sok 1 - %llu seeds\n# ", failed ? "not " : "",
               (unsigned long long)options->count);
    printf("sim: %llu runs passed, %u failed; %llu hand-overs, %llu refused, %llu bytes, %llu "
           "frames, %llu retransmissions, %llu DSACKs, %llu forgeries, %llu kills, %llu cables, "
           "%llu invalidated, %llu queries, %llu marks, %llu CWRs; "
           "%.1f s, %.0f hand-overs/s\n",
           (unsigned long long)all.runs, failed, (unsigned long long)all.handovers,
           (unsigned long long)all.refused, (unsigned long long)all.bytes,
           (unsigned long long)all.frames, (unsigned long long)all.retransmissions,
           (unsigned long long)all.dsacks, (unsigned long long)all.forged,
           (unsigned long long)all.kills, (unsigned long long)all.cables,
           (unsigned long long)all.invalidated, (unsigned long long)all.answered,
           (unsigned long long)all.marks, (unsigned long long)all.cwrs, seconds,
           (double)all.handovers / (seconds > 0 ? seconds : 1));
}

static double
seconds_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* What a thread's cache of the allocator holds counts as in use: without it a run can be asked
 * whether it has given everything back (sim.c). */
static void
without_cache(char **argv)
{
    if (getenv("GLIBC_TUNABLES"))
        return;
    setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
    execv("/proc/self/exe", argv);
}

int
main(int argc, char **argv)
{
    without_cache(argv);
    struct options options = read_options(argc, argv);
    struct worker *workers = mmap(NULL, WORKERS_MAX * sizeof *workers, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double began = seconds_now();
    struct sim_plan plan;
    unsigned failed;

    if (workers == MAP_FAILED)
        return 1;
    if (options.plan || options.count == 1) {
        for (uint64_t i = 0; i < options.count; i++) {
            sim_plan_make(&plan, options.first + i);
            sim_lwip_adapt(&plan);
            sim_plan_print(&plan);
        }
    }
    if (options.verbose)
        setvbuf(stdout, NULL, _IONBF, 0);
    if (options.plan)
        return 0;
    if (options.workers > options.count)
        options.workers = (unsigned)options.count;
    for (unsigned i = 0; i < options.workers; i++)
        start(&workers[i], options.first + i, &options);
    failed = watch(workers, &options);
    sum(workers, &options, failed, seconds_now() - began);
    return failed != 0;
}
