/* The first steps: the house is built, the regular path works, requests are answered. */
#include "scenario.h"

static void
load(struct world *world)
{
    static const struct house_option options[] = {{"VlanId", "7"}, {NULL, NULL}};
    static const char *const names[] = {"nic0", "v0", "v1"};
    struct house *house = world->house;

    EXPECT(world, house_load(house, "target", bad_target_entry, &world->target) == 0);
    EXPECT(world, house_load(house, "im", bad_im_entry, &world->im) == 0);
    EXPECT(world, house_load(house, "host", bad_host_entry, &world->host) == 0);
    EXPECT(world, house_add_adapter(house, "target", "nic0", NULL, options) == 0);
    for (unsigned i = 0; i < world->floors; i++)
        EXPECT(world, house_bind(house, "im", names[i], names[i + 1]) == 0);
    world->top = names[world->floors];
}

/* The bind is answered later. The host sets the connection-offload parameters when it restarts. */
static void
bind(struct world *world)
{
    world->host.pend_bind = true;
    EXPECT(world, house_bind(world->house, "host", world->top, NULL) == 0);
    world->host.pend_bind = false;
    EXPECT(world, world->host.has_chimney);
    EXPECT(world, world->host.capabilities.TcpConnectionOffloadCapacity == BT_CAPACITY);
    EXPECT(world, world->host.restarts == 1 && !world->host.request_out);
    EXPECT(world, world->target.vlan == 7);
}

static void
frames(struct world *world)
{
    bh_frames_send(&world->host, 1);
    EXPECT(world, world->host.frames_sent == 0);
    world_settle(world);
    EXPECT(world, world->host.frames_sent == 1);
    bh_frames_send(&world->host, 3);
    nic_frames(&world->target, 1);
    nic_frames(&world->target, 3);
    world_settle(world);
    EXPECT(world, world->host.frames_sent == 4 && world->host.frames_out == 0);
    EXPECT(world, world->host.frames == 4 && world->target.frames_up == 0);
}

static void
requests(struct world *world)
{
    struct bad_host *host = &world->host;
    TCP_OFFLOAD_STATS tcp = {.InErrors = 9};
    ULONG filter = NDIS_PACKET_TYPE_DIRECTED;

    EXPECT(world, bh_set_oid(host, OID_GEN_CURRENT_PACKET_FILTER, &filter, sizeof(filter)) ==
                      NDIS_STATUS_SUCCESS);
    EXPECT(world,
           bh_query_oid(host, 0x00010101, &filter, sizeof(filter)) == NDIS_STATUS_NOT_SUPPORTED);
    EXPECT(world,
           bh_query_oid(host, OID_TCP4_OFFLOAD_STATS, &tcp, 1) == NDIS_STATUS_BUFFER_TOO_SHORT);
    world->target.pend_oids = true;
    EXPECT(world,
           bh_query_oid(host, OID_TCP4_OFFLOAD_STATS, &tcp, sizeof(tcp)) == NDIS_STATUS_PENDING);
    world_settle(world);
    EXPECT(world, host->request_out);
    nic_release(&world->target);
    world_settle(world);
    EXPECT(world, !host->request_out && host->request_status == NDIS_STATUS_SUCCESS);
    EXPECT(world, tcp.InErrors == 0 && tcp.InSegments == 0);
}

const struct step steps_begin[] = {
    {"load", load}, {"bind", bind}, {"frames", frames}, {"requests", requests}, {NULL, NULL},
};
