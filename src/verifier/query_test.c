/* V-054, V-155: what one query says after another. */
#include "verifier/test_kit.h"

#define LENGTH 100u
#define SENDS 3

/* A connection with sends out; SndUna is 0. */
struct scene {
    struct kit kit;
    struct kit_conn conn;
    struct kit_nbl sends[SENDS];
};

static void
scene_open(struct scene *scene)
{
    kit_open(&scene->kit, false);
    kit_offload(&scene->kit, &scene->kit.landing, &scene->conn);
    for (int i = 0; i < SENDS; i++) {
        kit_nbl_init(&scene->sends[i], LENGTH, (UCHAR)i);
        kit_post(&scene->kit, &scene->kit.landing, CROSSING_TCP_SEND, &scene->conn,
                 &scene->sends[i]);
    }
    kit_assert_none(&scene->kit);
}

struct question {
    struct kit_block block;
    TCP_OFFLOAD_STATE_DELEGATED *state;
};

static void
query_begin(struct scene *scene, struct question *question)
{
    kit_block_init(&question->block, TcpOffloadDelegatedState, &scene->conn.tcp);
    question->state = kit_state_add(&question->block, &(size_t){0}, sizeof(*question->state));
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_QUERY, false, &question->block);
}

static void
query_end(struct scene *scene, struct question *question, ULONG una, ULONG cwnd)
{
    struct kit_conn lent;

    kit_conn_init(&lent);
    *question->state = *kit_delegated(&lent);
    question->state->SndUna = una;
    question->state->SndNxt = question->state->SndMax = SENDS * LENGTH;
    question->state->CWnd = cwnd;
    question->state->SendBacklogSize = 1;
    question->state->ReceiveBacklogSize = 0;
    question->block.block.Status = NDIS_STATUS_SUCCESS;
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_QUERY_COMPLETE, true, &question->block);
}

static void
query(struct scene *scene, ULONG una, ULONG cwnd)
{
    struct question question;

    query_begin(scene, &question);
    query_end(scene, &question, una, cwnd);
}

static void
update(struct scene *scene)
{
    struct kit_block block;

    kit_block_init(&block, TcpOffloadCachedState, &scene->conn.tcp);
    kit_state_add(&block, &(size_t){0}, sizeof(TCP_OFFLOAD_STATE_CACHED));
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_UPDATE, false, &block);
    block.block.Status = NDIS_STATUS_SUCCESS;
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_UPDATE_COMPLETE, true, &block);
}

/* A query, perhaps an update, another query: what may differ. */
static void
across_an_update(void **state)
{
    static const struct {
        ULONG una[2], cwnd[2];
        unsigned later_us, rule;
        bool update;
    } cases[] = {
        {{50, 50}, {9000, 9000}, 0, 0, true},
        {{50, 60}, {9000, 9500}, 0, 0, true}, /* an acknowledgement came */
        {{50, 50}, {9000, 1}, 0, 54, true},
        {{50, 50}, {9000, 1}, 1, 0, true}, /* time has passed: a loss, perhaps */
        {{50, 50}, {9000, 1}, 0, 0, false},
        {{50, 40}, {9000, 9000}, 0, 54, true},
        {{50, 40}, {9000, 9000}, 0, 155, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;

        print_message("# %zu\n", i);
        scene_open(&scene);
        query(&scene, cases[i].una[0], cases[i].cwnd[0]);
        if (cases[i].update)
            update(&scene);
        scene.kit.now_us += cases[i].later_us;
        query(&scene, cases[i].una[1], cases[i].cwnd[1]);
        if (cases[i].rule)
            kit_assert(&scene.kit, cases[i].rule, "target");
        kit_assert_none(&scene.kit);
        kit_close(&scene.kit);
    }
}

/* Two questions at once: nobody says which is answered first. */
static void
the_older_question_last(void **state)
{
    for (int later = 0; later < 2; later++) {
        struct question one, two;
        struct scene scene;

        scene_open(&scene);
        query_begin(&scene, &one);
        if (!later)
            query_begin(&scene, &two);
        query_end(&scene, later ? &one : &two, 60, 9000);
        if (later)
            query_begin(&scene, &two);
        query_end(&scene, later ? &two : &one, 50, 9000);
        if (later)
            kit_assert(&scene.kit, 155, "target");
        kit_assert_none(&scene.kit);
        kit_close(&scene.kit);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(across_an_update),
        cmocka_unit_test(the_older_question_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
