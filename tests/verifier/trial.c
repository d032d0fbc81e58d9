/* The child runs the scenario and writes what it has seen into a pipe (trial.h). */
#include "trial.h"

#include "chimney/verifier.h"
#include "scenario.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S 60 /* of a mutant: it hangs */

struct witness {
    const struct mutant *mutant;
    struct trial *trial;
};

static void
on_report(void *arg, const struct verifier_report *report)
{
    struct witness *witness = arg;
    struct trial *trial = witness->trial;

    trial->named |= witness->mutant && report->rule == witness->mutant->rule;
    if (report->consequential || trial->findings++)
        return;
    trial->rule = report->rule;
    snprintf(trial->report, sizeof(trial->report), "V-%03u %s at %s: %s", report->rule,
             report->driver, report->call, report->seen);
}

static void
child(const struct mutant *mutant, unsigned floors, int out)
{
    static struct world world; /* large */
    struct trial trial = {0};
    struct witness witness = {mutant, &trial};
    struct verifier *verifier = verifier_create(
        &(struct verifier_options){.on_report = on_report, .arg = &witness});

    alarm(PATIENCE_S);
    mutate(mutant);
    scenario_run(&world, floors, verifier_observer(verifier));
    verifier_finish(verifier);
    trial.reached = mutant_reached();
    /* Without the leak check: a mutant may lose what it likes. */
    _exit(write(out, &trial, sizeof(trial)) == sizeof(trial) ? 0 : 1);
}

void
trial_run(const struct mutant *mutant, unsigned floors, struct trial *trial)
{
    int ends[2], status;
    pid_t pid;

    memset(trial, 0, sizeof(*trial));
    if (pipe(ends)) {
        trial->died = "no pipe";
        return;
    }
    fflush(NULL);
    pid = fork();
    if (!pid)
        child(mutant, floors, ends[1]);
    close(ends[1]);
    if (pid < 0)
        trial->died = "no child";
    else if (read(ends[0], trial, sizeof(*trial)) != sizeof(*trial))
        trial->died = "no answer";
    close(ends[0]);
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
        trial->died = WTERMSIG(status) == SIGALRM ? "hangs" : "killed by a signal";
}

const char *
trial_verdict(const struct mutant *mutant, struct trial *trial)
{
    trial_run(mutant, mutant->floor == 'I', trial);
    if (trial->died)
        return trial->died;
    if (!trial->reached)
        return "not reached";
    if (mutant->hidden)
        return trial->named ? "is named, and said to be hidden" : NULL;
    if (!trial->findings)
        return "nothing was found";
    if (trial->rule == mutant->rule || (mutant->or_rule && trial->rule == mutant->or_rule))
        return NULL;
    return trial->named ? "another rule is named first" : "another rule is named instead";
}
