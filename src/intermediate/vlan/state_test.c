/*
 * What a VLAN fills into the state, what comes back, and what it refuses: between two fakes, so
 * that both sides are seen.
 */
#include "intermediate/vlan/vlan.h"

#include "base/log.h"
#include "intermediate/drivers.h"
#include "intermediate/floor/ndis_fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OURS ((PVOID)0x77) /* a context of the driver below */

/* One block with everything that may follow it. */
struct node {
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    union {
        struct {
            NEIGHBOR_OFFLOAD_STATE_CONST constant __attribute__((aligned(8)));
            NEIGHBOR_OFFLOAD_STATE_CACHED cached __attribute__((aligned(8)));
            NEIGHBOR_OFFLOAD_STATE_DELEGATED delegated __attribute__((aligned(8)));
        } neighbor;
        struct {
            TCP_OFFLOAD_STATE_CONST constant __attribute__((aligned(8)));
            TCP_OFFLOAD_STATE_CACHED cached __attribute__((aligned(8)));
            TCP_OFFLOAD_STATE_DELEGATED delegated __attribute__((aligned(8)));
        } tcp;
        TCP_OFFLOAD_STATE_CACHED cached;
        NEIGHBOR_OFFLOAD_STATE_CONST constant;
    } state __attribute__((aligned(8)));
    PVOID cell;
};

static struct node neighbor, path, tcp;

static void
node_init(struct node *node, OFFLOAD_STATE_TYPE type)
{
    PVOID cell = node->cell;

    memset(node, 0, sizeof(*node));
    node->cell = cell;
    node->block.Header.Type = (UCHAR)type;
    node->block.Header.Size = sizeof(node->block);
    node->block.MiniportOffloadContext = &node->cell;
    node->block.NdisOffloadHandle = node;
    node->block.Status = 0x5A5A;
    switch ((int)type) {
    case NeighborOffloadState:
        node->state.neighbor.constant.Header.Length = sizeof(node->state.neighbor.constant);
        node->state.neighbor.cached.Header.Length = sizeof(node->state.neighbor.cached);
        break;
    case TcpOffloadState:
        node->state.tcp.constant.Header.Length = sizeof(node->state.tcp.constant);
        node->state.tcp.cached.Header.Length = sizeof(node->state.tcp.cached);
        break;
    default:
        break;
    }
}

/* The usual tree. */
static void
tree_init(unsigned vlan, unsigned priority)
{
    neighbor.cell = path.cell = tcp.cell = NULL;
    node_init(&neighbor, NeighborOffloadState);
    node_init(&path, Ip4OffloadState);
    node_init(&tcp, TcpOffloadState);
    neighbor.block.DependentBlockList = &path.block;
    path.block.DependentBlockList = &tcp.block;
    neighbor.state.neighbor.constant.VlanId = vlan & 0xfff;
    tcp.state.tcp.cached.UserPriority = priority & 7;
}

static void
stand(const char *id, const char *priority)
{
    const struct fake_option options[] = {
        {"Id", id}, {priority ? "Priority" : NULL, priority}, {NULL, NULL}};

    fake_options = options;
    fake_stand_as(vlan_entry);
    fake_options = NULL;
}

static void
answer(struct node *node, NDIS_STATUS status)
{
    if (status == NDIS_STATUS_SUCCESS && !fake_below(&node->block)->MiniportOffloadContext)
        fake_below(&node->block)->MiniportOffloadContext = OURS;
    node->block.Status = status;
}

static void
initiate(void)
{
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &neighbor.block);
}

static void
initiated(NDIS_STATUS status)
{
    answer(&neighbor, status);
    answer(&path, status);
    answer(&tcp, status);
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&neighbor.block);
}

static void
leave(void)
{
    struct node *nodes[] = {&tcp, &path, &neighbor};

    for (unsigned i = 0; i < 3; i++)
        if (nodes[i]->cell)
            fake_terminate(&nodes[i]->cell, nodes[i]);
    fake_leave();
}

/* ---- what goes down, and what comes up ---- */

static void
is_filled_in_and_put_back(void **state)
{
    static const struct {
        const char *id, *priority;
        unsigned vlan, user; /* from above */
        unsigned vlan_below, user_below;
    } cases[] = {
        {"5", NULL, 0, 0, 5, 0},  {"5", "3", 0, 0, 5, 3},       {"5", "3", 0, 6, 5, 6},
        {"5", NULL, 0, 6, 5, 6},  {"4094", "7", 0, 0, 4094, 7}, {"0", "3", 0, 0, 0, 3},
        {"0", "3", 17, 0, 17, 3}, {"0", "3", 17, 2, 17, 2},
    };

    for (unsigned i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned c = i / 2;

        stand(cases[c].id, cases[c].priority);
        tree_init(cases[c].vlan, cases[c].user);
        initiate();
        assert_string_equal(fake.down.name, "initiate");
        assert_int_equal(neighbor.state.neighbor.constant.VlanId, cases[c].vlan_below);
        assert_int_equal(tcp.state.tcp.cached.UserPriority, cases[c].user_below);
        initiated(i % 2 ? NDIS_STATUS_FAILURE : NDIS_STATUS_SUCCESS);
        assert_int_equal(neighbor.state.neighbor.constant.VlanId, cases[c].vlan);
        assert_int_equal(tcp.state.tcp.cached.UserPriority, cases[c].user);
        leave();
    }
}

/* A linker has a type, and is followed by nothing. */
static void
linkers_carry_no_state(void **state)
{
    struct node child;

    stand("5", "3");
    tree_init(0, 0);
    initiate();
    initiated(NDIS_STATUS_SUCCESS);
    node_init(&neighbor, NeighborOffloadState);
    node_init(&path, Ip4OffloadState);
    child.cell = NULL;
    node_init(&child, TcpOffloadState);
    memset(&neighbor.state, 0xEE, sizeof(neighbor.state));
    neighbor.block.DependentBlockList = &path.block;
    path.block.DependentBlockList = &child.block;
    initiate();
    assert_int_equal(neighbor.state.neighbor.constant.VlanId, 0xEEE & 0xfff);
    assert_int_equal(child.state.tcp.cached.UserPriority, 3);
    answer(&neighbor, NDIS_STATUS_SUCCESS);
    answer(&path, NDIS_STATUS_SUCCESS);
    answer(&child, NDIS_STATUS_SUCCESS);
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&neighbor.block);
    assert_int_equal(child.state.tcp.cached.UserPriority, 0);
    fake_terminate(&child.cell, &child);
    leave();
}

static void
update(unsigned priority, NDIS_STATUS status, unsigned expected)
{
    node_init(&tcp, TcpOffloadCachedState);
    tcp.state.cached.Header.Length = sizeof(tcp.state.cached);
    tcp.state.cached.UserPriority = priority & 7;
    fake.provider.UpdateOffloadHandler(fake.adapter_context, &tcp.block);
    assert_int_equal(tcp.state.cached.UserPriority, expected);
    tcp.block.Status = status;
    fake.client.UpdateOffloadCompleteHandler(fake.binding_context, (PVOID)&tcp.block);
    assert_int_equal(tcp.state.cached.UserPriority, priority);
}

/* The driver below answers with what it has; what comes up is what the driver above gave last. */
static void
query(unsigned below, unsigned above)
{
    node_init(&neighbor, NeighborOffloadState);
    node_init(&tcp, TcpOffloadState);
    neighbor.block.DependentBlockList = &tcp.block;
    fake.provider.QueryOffloadHandler(fake.adapter_context, &neighbor.block);
    neighbor.state.neighbor.constant.VlanId = 5;
    tcp.state.tcp.cached.UserPriority = below & 7;
    tcp.state.tcp.delegated.SndUna = 1234;
    answer(&neighbor, NDIS_STATUS_SUCCESS);
    answer(&tcp, NDIS_STATUS_SUCCESS);
    fake.client.QueryOffloadCompleteHandler(fake.binding_context, (PVOID)&neighbor.block);
    assert_int_equal(neighbor.state.neighbor.constant.VlanId, 0);
    assert_int_equal(tcp.state.tcp.cached.UserPriority, above);
    assert_int_equal(tcp.state.tcp.delegated.SndUna, 1234);
}

static void
updates_and_queries(void **state)
{
    stand("5", "3");
    tree_init(0, 0);
    initiate();
    initiated(NDIS_STATUS_SUCCESS);
    query(3, 0);
    update(6, NDIS_STATUS_SUCCESS, 6);
    query(6, 6);
    update(0, NDIS_STATUS_FAILURE, 3); /* then it has not changed */
    query(6, 6);
    update(0, NDIS_STATUS_SUCCESS, 3);
    query(3, 0);
    leave();
}

static void
single_classes_are_asked(void **state)
{
    stand("5", "3");
    tree_init(0, 0);
    initiate();
    initiated(NDIS_STATUS_SUCCESS);
    node_init(&neighbor, NeighborOffloadConstState);
    fake.provider.QueryOffloadHandler(fake.adapter_context, &neighbor.block);
    neighbor.state.constant.VlanId = 5;
    answer(&neighbor, NDIS_STATUS_SUCCESS);
    fake.client.QueryOffloadCompleteHandler(fake.binding_context, (PVOID)&neighbor.block);
    assert_int_equal(neighbor.state.constant.VlanId, 0);
    node_init(&tcp, TcpOffloadCachedState);
    fake.provider.QueryOffloadHandler(fake.adapter_context, &tcp.block);
    tcp.state.cached.UserPriority = 3;
    answer(&tcp, NDIS_STATUS_SUCCESS);
    fake.client.QueryOffloadCompleteHandler(fake.binding_context, (PVOID)&tcp.block);
    assert_int_equal(tcp.state.cached.UserPriority, 0);
    leave();
}

static unsigned seen_in_event;

static void
look(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    const NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(block);

    seen_in_event = constant->VlanId;
}

static void
events_hide_it(void **state)
{
    struct node question;

    stand("5", "3");
    tree_init(0, 0);
    initiate();
    initiated(NDIS_STATUS_SUCCESS);
    question.cell = NULL;
    node_init(&question, NeighborOffloadState);
    question.state.neighbor.constant.VlanId = 5;
    ((PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST)(PVOID)&question.block)
        ->OffloadHandle = &((struct floor_offload *)neighbor.cell)->lower;
    seen_in_event = 99;
    fake.on_event_up = look;
    fake.client.IndicateOffloadEventHandler(fake.binding_context, (PVOID)&question.block,
                                            NeighborReachabilityQuery);
    assert_string_equal(fake.up.name, "event");
    assert_ptr_equal(fake.up.handle, &neighbor);
    assert_int_equal(seen_in_event, 0);
    assert_int_equal(question.state.neighbor.constant.VlanId, 5);
    leave();
}

/* ---- what is refused ---- */

/* Nothing goes down; it completes later, every node has a status, the neighbor the reason. */
static void
second_id_is_refused(void **state)
{
    stand("5", "3");
    tree_init(7, 0);
    initiate();
    assert_null(fake.down.name);
    assert_null(fake.up.name); /* not on the stack of the call */
    fake_run_work();
    assert_string_equal(fake.up.name, "initiate");
    assert_ptr_equal(fake.up.data, &neighbor.block);
    assert_int_equal(neighbor.block.Status, NDIS_STATUS_OFFLOAD_VLAN_MISMATCH);
    assert_int_equal(path.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(tcp.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(neighbor.state.neighbor.constant.VlanId, 7);
    assert_int_equal(tcp.state.tcp.cached.UserPriority, 0);
    assert_null(neighbor.cell);
    leave();
}

/* The second neighbor of two has the id: the whole tree is refused (V-166). */
static void
one_of_two_is_refused(void **state)
{
    struct node second = {.cell = NULL};

    stand("5", NULL);
    tree_init(0, 0);
    node_init(&second, NeighborOffloadState);
    second.state.neighbor.constant.VlanId = 7;
    neighbor.block.NextBlock = &second.block;
    initiate();
    assert_null(fake.down.name);
    fake_run_work();
    assert_int_equal(neighbor.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(tcp.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(second.block.Status, NDIS_STATUS_OFFLOAD_VLAN_MISMATCH);
    leave();
}

/* A driver above that named no VLAN hears of none (V-050); one that did hears the truth. */
static void
reasons_from_below(void **state)
{
    static const struct {
        const char *id;
        unsigned vlan;
        NDIS_STATUS below, above;
    } cases[] = {
        {"5", 0, NDIS_STATUS_OFFLOAD_VLAN_MISMATCH, NDIS_STATUS_FAILURE},
        {"5", 0, NDIS_STATUS_OFFLOAD_VLAN_ENTRIES, NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES},
        {"5", 0, NDIS_STATUS_RESOURCES, NDIS_STATUS_RESOURCES},
        {"0", 7, NDIS_STATUS_OFFLOAD_VLAN_MISMATCH, NDIS_STATUS_OFFLOAD_VLAN_MISMATCH},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stand(cases[i].id, "3");
        tree_init(cases[i].vlan, 0);
        initiate();
        answer(&neighbor, cases[i].below);
        answer(&path, NDIS_STATUS_FAILURE);
        answer(&tcp, NDIS_STATUS_FAILURE);
        fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&neighbor.block);
        assert_int_equal(neighbor.block.Status, cases[i].above);
        leave();
    }
}

/* ---- the adapter ---- */

static void
no_room_for_a_second_tag(void **state)
{
    static const struct {
        const char *id;
        ULONG below, mtu, options;
    } cases[] = {
        {"5", 0, 1500, NDIS_MAC_OPTION_8021P_PRIORITY | NDIS_MAC_OPTION_8021Q_VLAN},
        {"5", NDIS_MAC_OPTION_8021Q_VLAN, 1496,
         NDIS_MAC_OPTION_8021P_PRIORITY | NDIS_MAC_OPTION_8021Q_VLAN},
        {"0", NDIS_MAC_OPTION_8021Q_VLAN, 1500,
         NDIS_MAC_OPTION_8021P_PRIORITY | NDIS_MAC_OPTION_8021Q_VLAN},
        {"0", 0, 1500, NDIS_MAC_OPTION_8021P_PRIORITY},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct fake_option options[] = {{"Id", cases[i].id}, {"Priority", "1"}, {NULL, NULL}};
        NDIS_MINIPORT_INIT_PARAMETERS init = {.Flags = 0};
        NDIS_BIND_PARAMETERS parameters;
        struct floor_adapter *adapter;

        fake_load(vlan_entry);
        fake_options = options;
        fake_bind_parameters(&parameters);
        parameters.MacOptions = cases[i].below;
        fake.protocol.BindAdapterHandlerEx(fake.protocol_context, FAKE_BIND, &parameters);
        init.IMDeviceInstanceContext = fake.device_context;
        assert_int_equal(
            fake.miniport.InitializeHandlerEx(FAKE_UPPER, fake.miniport_context, &init),
            NDIS_STATUS_SUCCESS);
        adapter = fake.adapter_context;
        assert_int_equal(adapter->general.MtuSize, cases[i].mtu);
        assert_int_equal(adapter->general.MacOptions, cases[i].options);
        fake.protocol.UnbindAdapterHandlerEx(FAKE_UNBIND, fake.binding_context);
        fake_unload();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_filled_in_and_put_back),
        cmocka_unit_test(linkers_carry_no_state),
        cmocka_unit_test(updates_and_queries),
        cmocka_unit_test(single_classes_are_asked),
        cmocka_unit_test(events_hide_it),
        cmocka_unit_test(second_id_is_refused),
        cmocka_unit_test(one_of_two_is_refused),
        cmocka_unit_test(reasons_from_below),
        cmocka_unit_test(no_room_for_a_second_tag),
    };

    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
