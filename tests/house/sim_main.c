/*
 * Many runs, a worker process on each processor: one of each seed, or (--kills) one seed over and
 * over, its owner dying at the first crossing, then at the second, until one lives to the end. A
 * worker that ends early has found something: its run is named, with the line that does it again,
 * and another worker goes on behind it.
 */
#include "base/hash.h"
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
#define CROSSINGS_MAX 1000000u

struct worker {
    uint64_t number; /* of the run: a seed, or a crossing */
    bool finished;
    struct sim_figures figures;
    pid_t pid;
};

struct options {
    uint64_t seed, count;
    const char *trace, *peer;
    unsigned workers, failures, seconds, kill_at;
    bool plan, verbose, tap, kills;
    uint64_t first; /* run */
};

static _Noreturn void
usage(int code)
{
    fprintf(code ? stderr : stdout,
            "usage: sim [--seeds N] [--seed FIRST] [--kills | --kill-at N] [--trace FILE] "
            "[--verbose] [--plan] [--tap] [--workers N] [--failures N] [--seconds N] [--peer "
            "lwip]\n"
            "Runs N seeds (1) from FIRST (1) on. --kills: one seed, whose owner dies at each "
            "crossing in turn. --kill-at: at this one. --trace: of one seed, as pcapng. --verbose: "
            "every "
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
    struct options options = {.seed = 1,
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
        if (!strcmp(argv[i], "--kills")) {
            options.kills = true;
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
            options.seed = number(value);
        else if (!strcmp(argv[i], "--kill-at"))
            options.kill_at = (unsigned)number(value);
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
    if ((options.trace || options.kills || options.kill_at) && options.count != 1)
        usage(2);
    if (options.kills && (options.trace || options.kill_at))
        usage(2);
    options.first = options.kills ? 1 : options.seed;
    if (options.kills)
        options.count = CROSSINGS_MAX;
    if (options.peer && strcmp(options.peer, "lwip"))
        usage(2);
    if (options.peer && !sim_lwip_want()) {
        fputs("sim: built without lwIP (liblwip-dev)\n", stderr);
        exit(2);
    }
    return options;
}

static void
run(struct worker *worker, uint64_t number, uint64_t end, const struct options *options)
{
    struct sim_figures *figures = &worker->figures;
    bool lived = false;

    for (; number < end && !(options->kills && lived); number += options->workers) {
        struct sim_order order = {options->kills ? options->seed : number,
                                  options->kills ? (unsigned)number : options->kill_at,
                                  options->trace, options->verbose};
        uint64_t kills = figures->kills;
        worker->number = number;
        alarm(options->seconds);
        uint64_t fingerprint = sim_run(&order, figures);
        lived = figures->kills == kills;
        figures->fingerprint += hash_mix(fingerprint, number);
        if (options->count == 1)
            printf("seed %llu: fingerprint %016llx\n", (unsigned long long)number,
                   (unsigned long long)fingerprint);
    }
    worker->finished = true;
}

static void
start(struct worker *worker, uint64_t number, const struct options *options)
{
    fflush(NULL);
    worker->finished = false;
    worker->number = number;
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid != 0) {
        worker->pid = pid;
    } else {
        run(worker, number, options->first + options->count, options);
        exit(0); /* what is left is found now, with a sanitizer */
    }
}

static void
tell_failure(const struct worker *worker, int status, const struct options *options)
{
    unsigned long long seed = options->kills ? options->seed : worker->number;
    unsigned kill_at = options->kills ? (unsigned)worker->number : options->kill_at;
    char how[64], killed[32] = "";

    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "%s",
                 WTERMSIG(status) == SIGALRM ? "takes too long" : strsignal(WTERMSIG(status)));
    else
        snprintf(how, sizeof how, "ended with code %d", WEXITSTATUS(status));
    if (kill_at)
        snprintf(killed, sizeof killed, " --kill-at %u", kill_at);
    printf("%sFAILED seed %llu (%s); again: ./dev sim --seed %llu%s%s%s\n",
           options->tap ? "# " : "", seed, how, seed, killed, options->peer ? " --peer " : "",
           options->peer ? options->peer : "");
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
            worker->number + options->workers >= options->first + options->count)
            running--;
        else
            start(worker, worker->number + options->workers, options);
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
        all.fingerprint += one->fingerprint;
    }
    if (options->tap)
        printf("1..1\n%sok 1 - %llu %s\n# ", failed ? "not " : "",
               (unsigned long long)(options->kills ? all.kills : options->count),
               options->kills ? "crossings" : "seeds");
    printf("sim: %llu runs passed, %u failed; %llu hand-overs, %llu refused, %llu bytes, %llu "
           "frames, %llu retransmissions, %llu DSACKs, %llu forgeries, %llu kills, %llu cables, "
           "%llu invalidated, %llu queries, %llu marks, %llu CWRs; "
           "fingerprint %016llx; %.1f s, %.0f hand-overs/s\n",
           (unsigned long long)all.runs, failed, (unsigned long long)all.handovers,
           (unsigned long long)all.refused, (unsigned long long)all.bytes,
           (unsigned long long)all.frames, (unsigned long long)all.retransmissions,
           (unsigned long long)all.dsacks, (unsigned long long)all.forged,
           (unsigned long long)all.kills, (unsigned long long)all.cables,
           (unsigned long long)all.invalidated, (unsigned long long)all.answered,
           (unsigned long long)all.marks, (unsigned long long)all.cwrs,
           (unsigned long long)all.fingerprint, seconds,
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
            sim_plan_make(&plan, options.first + i, options.kill_at);
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
