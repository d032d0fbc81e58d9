/*
 * Crossings look at the clock themselves; the timer is for the time in which nothing crosses, when
 * what should have followed does not.
 */
#include "verify.h"

#include "base/log.h"
#include "chimney/wire.h"
#include "sys/loop.h"

#include <stdio.h>
#include <stdlib.h>

#define TICK_US 1000000u
#define HEADERS 192 /* of a frame, at most */
#define ADAPTER_NAME 64

struct verify_wire {
    struct verify_wire *next;
    struct verifier *verifier;
    struct wire *wire;
    char adapter[ADAPTER_NAME];
};

struct verify {
    struct sys_loop *loop;
    struct verifier *verifier;
    struct sys_timer timer;
    struct verify_wire *wires;
};

static void
on_tick(void *arg)
{
    struct verify *verify = arg;
    uint64_t now_us = sys_loop_now_us(verify->loop);

    verifier_tick(verify->verifier, now_us);
    sys_timer_set(&verify->timer, now_us + TICK_US);
}

struct verify *
verify_open(struct sys_loop *loop, struct house *house)
{
    struct verify *verify = calloc(1, sizeof *verify);

    if (verify == NULL)
        return NULL;
    verify->loop = loop;
    verify->verifier = verifier_create(NULL);
    if (verify->verifier == NULL || sys_timer_init(&verify->timer, loop, on_tick, verify) != 0) {
        verifier_destroy(verify->verifier);
        free(verify);
        return NULL;
    }
    house_attach_observer(house, verifier_observer(verify->verifier));
    on_tick(verify);
    log_info("the verifier is watching");
    return verify;
}

void
verify_frame(const struct verify_wire *watched, bool out, const struct wire_tx *frame)
{
    static uint8_t whole[WIRE_MAX_FRAME]; /* the loop's */
    uint8_t bytes[HEADERS];
    struct verifier_frame seen = {.adapter = watched->adapter,
                                  .out = out,
                                  .bytes = bytes,
                                  .len = wire_tx_copy(frame, bytes, sizeof bytes),
                                  .frame_len = wire_tx_length(frame),
                                  .gso_size = frame->meta.gso_size,
                                  .mac = wire_mac(watched->wire)};

    if (!out && !frame->meta.csum_partial && !frame->meta.csum_valid &&
        !verify_intact(whole, wire_tx_copy(frame, whole, sizeof whole)))
        return;
    verifier_frame(watched->verifier, &seen);
}

struct verify_wire *
verify_wire(struct verify *verify, struct wire *wire, const char *adapter)
{
    struct verify_wire *watched = calloc(1, sizeof *watched);

    if (watched == NULL)
        return NULL;
    watched->verifier = verify->verifier;
    watched->wire = wire;
    snprintf(watched->adapter, sizeof watched->adapter, "%s", adapter);
    watched->next = verify->wires;
    verify->wires = watched;
    return watched;
}

void
verify_close(struct verify *verify)
{
    struct verifier_counts counts;

    if (verify == NULL)
        return;
    sys_timer_fini(&verify->timer);
    verifier_finish(verify->verifier);
    verifier_read_counts(verify->verifier, &counts);
    log_line(
        counts.errors + counts.warnings ? LOG_WARN : LOG_INFO,
        "verified: %llu crossings, %llu frames, %llu errors, %llu warnings, %llu consequential",
        counts.crossings, counts.frames, counts.errors, counts.warnings, counts.consequential);
    verifier_destroy(verify->verifier);
    while (verify->wires != NULL) {
        struct verify_wire *watched = verify->wires;

        verify->wires = watched->next;
        free(watched);
    }
    free(verify);
}
