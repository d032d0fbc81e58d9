/*
 * The floor that changes nothing: whatever is sent, offloaded or not, is on the wire byte for byte
 * and in the order as it would be without the floor.
 */
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define SECOND_US 1000000ull

/* ---- the wire ---- */

/* Of all frames that an end sends, in their order: a sum (FNV-1a) and how many. */
struct heard {
    uint64_t sum;
    unsigned frames;
};

static void
add_byte(struct heard *heard, uint8_t byte)
{
    heard->sum = (heard->sum ^ byte) * 0x100000001b3ull;
}

static void
on_frame(void *arg, enum stage_side side, bool out, const struct wire_tx *frame)
{
    struct heard *heard = arg;

    if (!out)
        return;
    heard->frames++;
    add_byte(heard, side == LEFT ? 'l' : 'r');
    for (unsigned i = 0; i < frame->piece_count; i++)
        for (size_t j = 0; j < frame->pieces[i].iov_len; j++)
            add_byte(heard, ((const uint8_t *)frame->pieces[i].iov_base)[j]);
}

static void
transfer(struct stage *stage, struct pair *pair)
{
    pair_send(pair, 200000, 100000, false);
    assert_true(stage_run(stage, pair_done, pair, 60 * SECOND_US));
    pair_check(pair);
}

/* At home, one side down, both, home again, and the end. */
static struct heard
life_under(const char *floors)
{
    static const struct script_options sides[2];
    struct heard heard = {.sum = 0xcbf29ce484222325ull};
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){
                           .floors = floors, .far_floors = floors, .bare = floors == NULL});
    stage.witness = on_frame;
    stage.witness_arg = &heard;
    pair_open(&stage, &pair, sides);
    transfer(&stage, &pair);
    actor_offload(&pair.actors[LEFT]);
    transfer(&stage, &pair);
    actor_offload(&pair.actors[RIGHT]);
    transfer(&stage, &pair);
    assert_true(actor_with_target(&pair.actors[LEFT]));
    actor_upload(&pair.actors[LEFT]);
    transfer(&stage, &pair);
    actor_upload(&pair.actors[RIGHT]);
    pair_send(&pair, 1000, 1000, true);
    assert_true(stage_run(&stage, pair_ended, &pair, 600 * SECOND_US));
    pair_close(&pair);
    stage.witness = NULL;
    stage_close(&stage);
    return heard;
}

/* ---- what is the same ---- */

static void
compare(const char *floors)
{
    struct heard bare = life_under(NULL), over = life_under(floors);

    assert_in_range(bare.frames, 100, 100000);
    assert_int_equal(over.frames, bare.frames);
    assert_true(over.sum == bare.sum);
}

static void
one_floor(void **state)
{
    compare("passthru");
}

static void
eight_floors(void **state)
{
    compare("passthru,passthru,passthru,passthru,passthru,passthru,passthru,passthru");
}

/* The control: a floor that does change something is noticed. */
static void
a_tag_is_noticed(void **state)
{
    struct heard bare = life_under(NULL), tagged = life_under("vlan:Id=5");

    assert_true(bare.sum != tagged.sum);
}

/* The page has an example: "chimneyd --port NAME=WIRE,FLOORS". MAN_PAGE names it. */
static void
as_the_page_says(void **state)
{
    const char *page = getenv("MAN_PAGE"), *at = NULL;
    char line[256];
    FILE *file;

    assert_non_null(page);
    file = fopen(page, "r");
    assert_non_null(file);
    while (!at && fgets(line, sizeof line, file))
        at = strstr(line, "# chimneyd --port ");
    fclose(file);
    at = at ? strchr(at, ',') : NULL;
    assert_non_null(at);
    line[strcspn(line, "\n")] = '\0';
    compare(at + 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_floor),
        cmocka_unit_test(eight_floors),
        cmocka_unit_test(a_tag_is_noticed),
        cmocka_unit_test(as_the_page_says),
    };

    return cmocka_run_group_tests_name("house/passthru", tests, NULL, NULL);
}
