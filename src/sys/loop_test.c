/*
 * What both loops promise: the order of a turn, timers that are never early, tasks of the next
 * turn, hooks before sleeping, and turning the loop inside a callback. Compiled twice, against the
 * real and the simulated loop.
 */
#include "sys/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>

/* What happened, a letter per event. */
static char story[512];
static struct sys_loop *loop;

static void
tell(char what)
{
    size_t len = strlen(story);

    assert_true(len + 1 < sizeof(story));
    story[len] = what;
    story[len + 1] = '\0';
}

static int
set_up(void **state)
{
    story[0] = '\0';
    loop = sys_loop_create();
    return loop == NULL;
}

static int
tear_down(void **state)
{
    sys_loop_destroy(loop);
    return 0;
}

/* Something that tells its letter, and then may do one thing more. */
struct actor {
    char letter;
    struct sys_task task;
    struct sys_timer timer;
    struct sys_hook hook;
    void (*then)(struct actor *self);
    struct actor *other;
    uint64_t fired_us;
    unsigned count;
};

static void
act(void *arg)
{
    struct actor *self = arg;

    self->count++;
    self->fired_us = sys_loop_now_us(loop);
    tell(self->letter);
    if (self->then != NULL)
        self->then(self);
}

static void
then_stop(struct actor *self)
{
    sys_loop_stop(loop);
}

static void
then_defer_other(struct actor *self)
{
    sys_loop_defer(loop, &self->other->task);
}

static void
then_cancel_other(struct actor *self)
{
    sys_task_cancel(&self->other->task);
}

static void
then_turn(struct actor *self)
{
    tell('(');
    sys_loop_turn(loop, false);
    tell(')');
}

static void
turn_until_quiet(void)
{
    while (sys_loop_turn(loop, false))
        continue;
}

static void
tasks_run_once_in_order(void **state)
{
    struct actor a = {.letter = 'a'}, b = {.letter = 'b'};

    sys_task_init(&a.task, act, &a);
    sys_task_init(&b.task, act, &b);
    sys_loop_defer(loop, &b.task);
    sys_loop_defer(loop, &a.task);
    sys_loop_defer(loop, &b.task);
    assert_true(sys_task_pending(&b.task));
    assert_string_equal(story, "");
    assert_true(sys_loop_turn(loop, true));
    assert_string_equal(story, "ba");
    assert_false(sys_task_pending(&b.task));
    assert_false(sys_loop_turn(loop, false));
}

static void
task_of_a_task_waits_a_turn(void **state)
{
    struct actor a = {.letter = 'a', .then = then_defer_other}, b = {.letter = 'b'};

    a.other = &b;
    sys_task_init(&a.task, act, &a);
    sys_task_init(&b.task, act, &b);
    sys_loop_defer(loop, &a.task);
    sys_loop_turn(loop, true);
    assert_string_equal(story, "a");
    assert_true(sys_loop_turn(loop, true));
    assert_string_equal(story, "ab");
}

static void
task_can_cancel_its_successor(void **state)
{
    struct actor a = {.letter = 'a', .then = then_cancel_other}, b = {.letter = 'b'};

    a.other = &b;
    sys_task_init(&a.task, act, &a);
    sys_task_init(&b.task, act, &b);
    sys_loop_defer(loop, &a.task);
    sys_loop_defer(loop, &b.task);
    turn_until_quiet();
    assert_string_equal(story, "a");
    sys_task_cancel(&b.task);
}

static void
posted_task_runs(void **state)
{
    struct actor a = {.letter = 'a', .then = then_stop}, b = {.letter = 'b'};

    sys_task_init(&a.task, act, &a);
    sys_task_init(&b.task, act, &b);
    sys_loop_post(loop, &b.task);
    sys_task_cancel(&b.task);
    sys_loop_post(loop, &a.task);
    assert_true(sys_task_pending(&a.task));
    assert_int_equal(sys_loop_run(loop), 0);
    assert_string_equal(story, "a");
}

static void
posted_and_deferred_are_one_queue(void **state)
{
    struct actor a = {.letter = 'a'}, b = {.letter = 'b'}, c = {.letter = 'c'};

    sys_task_init(&a.task, act, &a);
    sys_task_init(&b.task, act, &b);
    sys_task_init(&c.task, act, &c);
    sys_loop_defer(loop, &a.task);
    sys_loop_post(loop, &b.task);
    sys_loop_post(loop, &b.task);
    sys_loop_defer(loop, &b.task);
    sys_loop_defer(loop, &c.task);
    turn_until_quiet();
    assert_string_equal(story, "abc");
}

#define POSTERS 4
#define POSTS 2000

struct poster {
    pthread_t thread;
    struct sys_task own, last, *shared, *unwanted;
    sem_t ran;
    unsigned runs;
    bool over;
};

static void
poster_runs(void *arg)
{
    struct poster *poster = arg;

    poster->runs++;
    sem_post(&poster->ran);
}

static void
poster_over(void *arg)
{
    ((struct poster *)arg)->over = true;
}

static void *
poster_main(void *arg)
{
    struct poster *poster = arg;

    for (int i = 0; i < POSTS; i++) {
        sys_loop_post(loop, poster->shared);
        sys_loop_post(loop, poster->unwanted);
        sys_task_cancel(poster->unwanted);
        sys_loop_post(loop, &poster->own);
        sem_wait(&poster->ran);
    }
    sys_loop_post(loop, &poster->last);
    return NULL;
}

static void
count_run(void *arg)
{
    ++*(unsigned *)arg;
}

/* Several threads post, post what is pending already, and cancel. */
static void
other_threads_post(void **state)
{
    struct sys_task shared, unwanted;
    unsigned shared_runs = 0, unwanted_runs = 0;
    struct poster posters[POSTERS];

    sys_task_init(&shared, count_run, &shared_runs);
    sys_task_init(&unwanted, count_run, &unwanted_runs);
    for (int i = 0; i < POSTERS; i++) {
        struct poster *poster = &posters[i];

        *poster = (struct poster){.shared = &shared, .unwanted = &unwanted};
        sys_task_init(&poster->own, poster_runs, poster);
        sys_task_init(&poster->last, poster_over, poster);
        assert_int_equal(sem_init(&poster->ran, 0, 0), 0);
        assert_int_equal(pthread_create(&poster->thread, NULL, poster_main, poster), 0);
    }
    for (int i = 0; i < POSTERS; i++) {
        while (!posters[i].over)
            sys_loop_turn(loop, true);
        pthread_join(posters[i].thread, NULL);
        sem_destroy(&posters[i].ran);
        assert_int_equal(posters[i].runs, POSTS);
    }
    turn_until_quiet();
    assert_in_range(shared_runs, 1, POSTERS * POSTS);
    assert_in_range(unwanted_runs, 0, POSTERS * POSTS);
    assert_false(sys_task_pending(&shared));
}

static void
timers_fire_in_order_and_never_early(void **state)
{
    struct actor actors[5] = {0};
    static const uint64_t after_us[] = {3000, 700, 3000, 250, 1};
    uint64_t start_us = sys_loop_now_us(loop);

    for (int i = 0; i < 5; i++) {
        actors[i].letter = (char)('0' + i);
        assert_int_equal(sys_timer_init(&actors[i].timer, loop, act, &actors[i]), 0);
        sys_timer_set(&actors[i].timer, start_us + after_us[i]);
    }
    actors[2].then = then_stop;
    assert_int_equal(sys_loop_run(loop), 0);
    assert_string_equal(story, "43102");
    for (int i = 0; i < 5; i++) {
        assert_true(actors[i].fired_us >= start_us + after_us[i]);
        assert_true(actors[i].timer.deadline_us == SYS_NEVER);
        sys_timer_fini(&actors[i].timer);
    }
}

static void
timer_moves_and_stops(void **state)
{
    struct actor a = {.letter = 'a', .then = then_stop}, b = {.letter = 'b'};
    uint64_t start_us = sys_loop_now_us(loop);

    sys_timer_init(&a.timer, loop, act, &a);
    sys_timer_init(&b.timer, loop, act, &b);
    sys_timer_set(&b.timer, start_us + 100);
    sys_timer_set(&a.timer, start_us + 1000);
    sys_timer_set(&b.timer, SYS_NEVER);
    sys_timer_set(&a.timer, start_us + 2000);
    sys_loop_run(loop);
    assert_string_equal(story, "a");
    assert_true(a.fired_us >= start_us + 2000);
    sys_timer_set(&b.timer, start_us + 100);
    sys_timer_fini(&b.timer);
    assert_false(sys_loop_turn(loop, false));
    sys_timer_fini(&a.timer);
    sys_timer_fini(&a.timer);
}

static void
then_again_in_the_past(struct actor *self)
{
    if (self->count < 3)
        sys_timer_set(&self->timer, 1);
}

/* A timer that always is overdue neither holds up its turn nor the others. */
static void
overdue_timer_is_fair(void **state)
{
    struct actor a = {.letter = 'a', .then = then_again_in_the_past}, b = {.letter = 'b'};

    sys_timer_init(&a.timer, loop, act, &a);
    sys_timer_init(&b.timer, loop, act, &b);
    sys_timer_set(&a.timer, 1);
    sys_timer_set(&b.timer, 2);
    sys_loop_turn(loop, true);
    assert_string_equal(story, "ab");
    turn_until_quiet();
    assert_string_equal(story, "abaa");
    sys_timer_fini(&a.timer);
    sys_timer_fini(&b.timer);
}

static void
then_stop_other_timer(struct actor *self)
{
    sys_timer_set(&self->other->timer, SYS_NEVER);
}

static void
timer_stops_one_due_in_the_same_turn(void **state)
{
    struct actor a = {.letter = 'a', .then = then_stop_other_timer}, b = {.letter = 'b'};

    a.other = &b;
    sys_timer_init(&a.timer, loop, act, &a);
    sys_timer_init(&b.timer, loop, act, &b);
    sys_timer_set(&a.timer, 1);
    sys_timer_set(&b.timer, 2);
    turn_until_quiet();
    assert_string_equal(story, "a");
    sys_timer_fini(&a.timer);
    sys_timer_fini(&b.timer);
}

/* Against a model: many timers set, moved and stopped; each must fire in the order of deadlines. */
static void
many_timers(void **state)
{
    enum { COUNT = 200 };
    static struct actor actors[COUNT];
    uint64_t base_us = sys_loop_now_us(loop), last_us = 0;
    unsigned expected = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        actors[i] = (struct actor){.letter = '.'};
        sys_timer_init(&actors[i].timer, loop, act, &actors[i]);
        sys_timer_set(&actors[i].timer, base_us + (i * 7919) % 1000);
    }
    for (unsigned i = 0; i < COUNT; i += 3)
        sys_timer_set(&actors[i].timer, base_us + (i * 104729) % 2000);
    for (unsigned i = 0; i < COUNT; i += 7)
        sys_timer_set(&actors[i].timer, SYS_NEVER);
    for (unsigned i = 0; i < COUNT; i++)
        expected += actors[i].timer.deadline_us != SYS_NEVER;
    while (expected != 0) {
        sys_loop_turn(loop, true);
        for (unsigned i = 0; i < COUNT; i++) {
            if (actors[i].count != 1)
                continue;
            assert_true(actors[i].fired_us >= last_us);
            actors[i].count = 2;
            expected--;
        }
        last_us = sys_loop_now_us(loop);
        story[0] = '\0';
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(actors[i].count, i % 7 == 0 ? 0 : 2);
        sys_timer_fini(&actors[i].timer);
    }
}

static void
a_turn_is_timers_tasks_hooks(void **state)
{
    struct actor timer = {.letter = 't'}, task = {.letter = 'k'};
    struct actor first = {.letter = 'f'}, second = {.letter = 's'};

    sys_loop_on_flush(loop, &first.hook, act, &first);
    sys_loop_on_flush(loop, &second.hook, act, &second);
    sys_timer_init(&timer.timer, loop, act, &timer);
    sys_task_init(&task.task, act, &task);
    sys_loop_defer(loop, &task.task);
    sys_timer_set(&timer.timer, 1);
    sys_loop_turn(loop, false);
    assert_string_equal(story, "tkfs");
    sys_hook_remove(&first.hook);
    sys_loop_turn(loop, false);
    assert_string_equal(story, "tkfss");
    sys_hook_remove(&second.hook);
    sys_timer_fini(&timer.timer);
}

static void
then_defer_other_once(struct actor *self)
{
    if (self->count == 1)
        sys_loop_defer(loop, &self->other->task);
}

/* A task that a hook defers keeps the loop awake: there is no timer that could end a sleep. */
static void
hook_defers_a_task(void **state)
{
    struct actor hook = {.letter = 'h', .then = then_defer_other_once};
    struct actor task = {.letter = 'k', .then = then_stop};

    hook.other = &task;
    sys_task_init(&task.task, act, &task);
    sys_loop_on_flush(loop, &hook.hook, act, &hook);
    sys_loop_run(loop);
    assert_string_equal(story, "hkh");
    sys_hook_remove(&hook.hook);
}

static void
then_remove_other_hook(struct actor *self)
{
    sys_hook_remove(&self->other->hook);
    sys_hook_remove(&self->hook);
}

static void
hook_removes_its_successor_and_itself(void **state)
{
    struct actor a = {.letter = 'a', .then = then_remove_other_hook}, b = {.letter = 'b'};
    struct actor c = {.letter = 'c'};

    a.other = &b;
    sys_loop_on_flush(loop, &a.hook, act, &a);
    sys_loop_on_flush(loop, &b.hook, act, &b);
    sys_loop_on_flush(loop, &c.hook, act, &c);
    sys_loop_turn(loop, false);
    sys_loop_turn(loop, false);
    assert_string_equal(story, "acc");
    sys_hook_remove(&c.hook);
}

/*
 * A callback that waits for others by turning the loop: the inner turn does what the outer one had
 * still to do.
 */
static void
turning_inside_a_task(void **state)
{
    struct actor a = {.letter = 'a', .then = then_turn}, b = {.letter = 'b'}, h = {.letter = 'h'};

    sys_task_init(&a.task, act, &a);
    sys_task_init(&b.task, act, &b);
    sys_loop_on_flush(loop, &h.hook, act, &h);
    sys_loop_defer(loop, &a.task);
    sys_loop_defer(loop, &b.task);
    sys_loop_turn(loop, false);
    assert_string_equal(story, "a(bh)h");
    sys_hook_remove(&h.hook);
}

static void
then_turn_once(struct actor *self)
{
    if (self->count == 1)
        then_turn(self);
}

static void
turning_inside_a_hook_keeps_the_order(void **state)
{
    struct actor a = {.letter = 'a'}, b = {.letter = 'b', .then = then_turn_once},
                 c = {.letter = 'c'};

    sys_loop_on_flush(loop, &a.hook, act, &a);
    sys_loop_on_flush(loop, &b.hook, act, &b);
    sys_loop_on_flush(loop, &c.hook, act, &c);
    sys_loop_turn(loop, false);
    assert_string_equal(story, "ab(abc)");
    sys_loop_turn(loop, false);
    assert_string_equal(story, "ab(abc)abc");
    sys_hook_remove(&a.hook);
    sys_hook_remove(&b.hook);
    sys_hook_remove(&c.hook);
}

static void
turning_inside_a_timer(void **state)
{
    struct actor a = {.letter = 'a', .then = then_turn}, b = {.letter = 'b'};

    sys_timer_init(&a.timer, loop, act, &a);
    sys_timer_init(&b.timer, loop, act, &b);
    sys_timer_set(&a.timer, 1);
    sys_timer_set(&b.timer, 1);
    sys_loop_turn(loop, false);
    assert_string_equal(story, "a(b)");
    sys_timer_fini(&a.timer);
    sys_timer_fini(&b.timer);
}

static void
stop_finishes_the_turn(void **state)
{
    struct actor a = {.letter = 'a', .then = then_stop}, b = {.letter = 'b'};

    sys_task_init(&a.task, act, &a);
    sys_task_init(&b.task, act, &b);
    sys_loop_defer(loop, &a.task);
    sys_loop_defer(loop, &b.task);
    sys_loop_run(loop);
    assert_string_equal(story, "ab");
    /* and the loop can be run again */
    sys_loop_defer(loop, &a.task);
    sys_loop_run(loop);
    assert_string_equal(story, "aba");
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(tasks_run_once_in_order),
        LOOP_TEST(task_of_a_task_waits_a_turn),
        LOOP_TEST(task_can_cancel_its_successor),
        LOOP_TEST(posted_task_runs),
        LOOP_TEST(posted_and_deferred_are_one_queue),
        LOOP_TEST(other_threads_post),
        LOOP_TEST(timers_fire_in_order_and_never_early),
        LOOP_TEST(timer_moves_and_stops),
        LOOP_TEST(overdue_timer_is_fair),
        LOOP_TEST(timer_stops_one_due_in_the_same_turn),
        LOOP_TEST(many_timers),
        LOOP_TEST(a_turn_is_timers_tasks_hooks),
        LOOP_TEST(hook_defers_a_task),
        LOOP_TEST(hook_removes_its_successor_and_itself),
        LOOP_TEST(turning_inside_a_task),
        LOOP_TEST(turning_inside_a_hook_keeps_the_order),
        LOOP_TEST(turning_inside_a_timer),
        LOOP_TEST(stop_finishes_the_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
