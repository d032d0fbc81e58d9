/*
 * Order matters twice. When this process dies the kernel closes its descriptors in rising order:
 * the TAPs are opened before anything else, so that they are gone before the steering that leads
 * into them would go, and the flow falls back to the kernel at once. And on the way down the host
 * stack goes first, because it gives the connections back through everything below it.
 */
#include "assembly.h"

#include "base/log.h"
#include "chimney/hoststack.h"
#include "chimney/house.h"
#include "chimney/wire.h"
#include "holder.h"
#include "sys/loop.h"
#include "verify.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADAPTER_NAME 64
#define DRIVER_NAME 32
#define TRACE_NAME "trace"

enum driver_kind { DRIVER_TARGET, DRIVER_INTERMEDIATE };

static const struct driver {
    const char *name;
    enum driver_kind kind;
    house_driver_entry entry;
    bool joins; /* it makes one virtual adapter of several */
} drivers[] = {
    {"soft", DRIVER_TARGET, soft_target_entry, false},
    {"passthru", DRIVER_INTERMEDIATE, passthru_entry, false},
    {"vlan", DRIVER_INTERMEDIATE, vlan_entry, false},
    {TRACE_NAME, DRIVER_INTERMEDIATE, trace_entry, false},
    {"fault", DRIVER_INTERMEDIATE, fault_entry, false},
    {"team", DRIVER_INTERMEDIATE, team_entry, true},
};
#define DRIVER_COUNT (sizeof(drivers) / sizeof(drivers[0]))

/* The whole sentence. */
static int __attribute__((format(printf, 3, 4)))
assembly_refuse(struct assembly *assembly, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(assembly->error, sizeof(assembly->error), format, args);
    va_end(args);
    return error;
}

/* A sentence that ends in why, and in what the error is. why: NULL, or what is needed, or failed.
 */
static int __attribute__((format(printf, 4, 5)))
assembly_fail(struct assembly *assembly, int error, const char *why, const char *format, ...)
{
    size_t used;
    va_list args;

    va_start(args, format);
    vsnprintf(assembly->error, sizeof(assembly->error), format, args);
    va_end(args);
    if (why == NULL && (error == -EPERM || error == -EACCES))
        why = hoststack_reason_words(HOSTSTACK_NO_PRIVILEGE);
    used = strlen(assembly->error);
    snprintf(assembly->error + used, sizeof(assembly->error) - used, ": %s%s%s%s",
             why != NULL ? why : strerror(-error), why != NULL ? " (" : "",
             why != NULL ? strerror(-error) : "", why != NULL ? ")" : "");
    return error;
}

/* ---- drivers ---- */

static const struct driver *
driver_find(const char *name, enum driver_kind kind)
{
    for (unsigned i = 0; i < DRIVER_COUNT; i++) {
        if (drivers[i].kind == kind && strcmp(drivers[i].name, name) == 0)
            return &drivers[i];
    }
    return NULL;
}

/* Anything with a slash is a file. */
static bool
is_path(const char *driver)
{
    return strchr(driver, '/') != NULL;
}

/* What the house calls it: itself, or the name of the file without .so and what follows. */
static const char *
driver_name(const char *driver, char name[DRIVER_NAME])
{
    const char *base = is_path(driver) ? strrchr(driver, '/') + 1 : driver;
    const char *ending = is_path(driver) ? strstr(base, ".so") : NULL;
    size_t length = ending != NULL ? (size_t)(ending - base) : strlen(base);

    snprintf(name, DRIVER_NAME, "%.*s", (int)length, base);
    return name;
}

static int
check_driver(struct assembly *assembly, const char *ifname, const char *text, enum driver_kind kind)
{
    struct house_floor_words words;
    const char *why, *driver = words.name;
    char known[128] = "";

    if (house_read_floor(text, &words, &why) != 0)
        return assembly_refuse(assembly, -EINVAL, "%s: '%s': %s", ifname, text, why);
    if (is_path(driver)) {
        if (access(driver, R_OK) == 0)
            return 0;
        return assembly_fail(assembly, -errno, NULL, "%s: driver %s", ifname, driver);
    }
    if (driver_find(driver, kind) != NULL)
        return 0;
    for (unsigned i = 0; i < DRIVER_COUNT; i++) {
        if (drivers[i].kind == kind)
            snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
                     known[0] != '\0' ? ", " : "", drivers[i].name);
    }
    return assembly_refuse(assembly, -EINVAL, "%s: no %s is called '%s'; built in: %s", ifname,
                           kind == DRIVER_TARGET ? "offload target" : "intermediate driver", driver,
                           known);
}

static int
check_interface(struct assembly *assembly, const char *name, const char *ifname)
{
    const char *why;
    int error = hoststack_check_interface(ifname, &why);

    if (error == 0)
        return 0;
    return name == ifname ? assembly_refuse(assembly, error, "%s: %s", ifname, why)
                          : assembly_refuse(assembly, error, "%s: %s: %s", name, ifname, why);
}

/* The kernel must not answer there itself: it would reset the port's connections. */
static int
check_silent(struct assembly *assembly, const char *port, const char *wire)
{
    struct ifaddrs *addresses = NULL;
    bool silent = true;

    if (getifaddrs(&addresses) != 0)
        return assembly_fail(assembly, -errno, NULL, "%s: addresses of %s", port, wire);
    for (const struct ifaddrs *at = addresses; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET &&
            strcmp(at->ifa_name, wire) == 0)
            silent = false;
    }
    freeifaddrs(addresses);
    if (silent)
        return 0;
    return assembly_refuse(assembly, -EADDRINUSE,
                           "%s: %s has an address, and would answer beside the port: move it to %s "
                           "when that is there",
                           port, wire, port);
}

/* One from a file may, for all that is known here. */
static bool
lowest_joins(const struct config_stack *stack)
{
    const struct driver *driver;
    struct house_floor_words words;
    const char *why;

    if (stack->intermediate_count == 0 ||
        house_read_floor(stack->intermediates[stack->intermediate_count - 1], &words, &why) != 0)
        return false;
    driver = driver_find(words.name, DRIVER_INTERMEDIATE);
    return is_path(words.name) || (driver != NULL && driver->joins);
}

static int
check_port(struct assembly *assembly, const struct config_stack *stack)
{
    if (if_nametoindex(stack->ifname) != 0)
        return assembly_refuse(assembly, -EEXIST,
                               "%s: there is an interface of that name already; give the port "
                               "another one",
                               stack->ifname);
    if (stack->wire_count > 1 && !lowest_joins(stack))
        return assembly_refuse(assembly, -EINVAL,
                               "%s: several interfaces need a driver that joins them as the lowest "
                               "(the last named): %s=%s+%s,team",
                               stack->ifname, stack->ifname, stack->wires[0], stack->wires[1]);
    for (unsigned i = 0; i < stack->wire_count; i++) {
        int error = check_interface(assembly, stack->ifname, stack->wires[i]);

        if (error == 0)
            error = check_silent(assembly, stack->ifname, stack->wires[i]);
        if (error != 0)
            return error;
    }
    return 0;
}

/* Before anything is made. */
static int
check_stack(struct assembly *assembly, const struct config_stack *stack)
{
    int error = check_driver(assembly, stack->ifname, stack->target, DRIVER_TARGET);

    for (unsigned i = 0; error == 0 && i < stack->intermediate_count; i++)
        error = check_driver(assembly, stack->ifname, stack->intermediates[i], DRIVER_INTERMEDIATE);
    if (error != 0)
        return error;
    return stack->port ? check_port(assembly, stack)
                       : check_interface(assembly, stack->ifname, stack->ifname);
}

static int
load_file(struct assembly *assembly, const char *text)
{
    struct house_floor_words words;
    const char *why, *path = words.name;
    char name[DRIVER_NAME];
    int error;

    if (house_read_floor(text, &words, &why) != 0 || !is_path(path))
        return 0;
    for (unsigned i = 0; i < assembly->file_count; i++) {
        if (strcmp(assembly->files[i], path) == 0)
            return 0;
    }
    if (assembly->file_count == ASSEMBLY_FILES)
        return assembly_fail(assembly, -E2BIG, NULL, "driver %s", path);
    error = house_load_file(assembly->house, driver_name(path, name), path);
    if (error == -EEXIST)
        return assembly_fail(assembly, error, "another driver is called so; rename the file",
                             "driver %s", path);
    if (error != 0)
        return assembly_fail(assembly, error, error == -ENOEXEC ? "it does not fit" : NULL,
                             "driver %s", path);
    snprintf(assembly->files[assembly->file_count++], sizeof(assembly->files[0]), "%s", path);
    return 0;
}

static int
load_drivers(struct assembly *assembly, const struct config *config)
{
    int error = 0;

    for (unsigned i = 0; i < DRIVER_COUNT; i++) {
        error = house_load(assembly->house, drivers[i].name, drivers[i].entry, NULL);
        if (error != 0)
            return assembly_fail(assembly, error, NULL, "driver %s", drivers[i].name);
    }
    for (unsigned i = 0; error == 0 && i < config->stack_count; i++) {
        const struct config_stack *stack = &config->stacks[i];

        error = load_file(assembly, stack->target);
        for (unsigned j = 0; error == 0 && j < stack->intermediate_count; j++)
            error = load_file(assembly, stack->intermediates[j]);
    }
    return error;
}

/* ---- interfaces ---- */

/* There is one TAP per interface, so whoever has it serves the interface. */
static int
fail_tap(struct assembly *assembly, int error, const char *ifname, const char *tap)
{
    char holder[96];

    if (error == -EBUSY && holder_of_tap(tap, holder, sizeof(holder)))
        return assembly_refuse(assembly, error,
                               "%s: %s serves it already, and has its TAP %s: stop that one, or "
                               "leave this interface out",
                               ifname, holder, tap);
    if (error == -EBUSY)
        return assembly_refuse(assembly, error,
                               "%s: its TAP %s is there already: is it served by another chimneyd?",
                               ifname, tap);
    if (error == -ENOENT || error == -ENXIO)
        return assembly_fail(assembly, error, "no /dev/net/tun, which TAPs are made with",
                             "%s: TAP %s", ifname, tap);
    return assembly_fail(assembly, error, NULL, "%s: TAP %s", ifname, tap);
}

/* The TAP of an interface looks like it: same address, same MTU. That of a port has the name of the
 * port, and looks like what it stands on. */
static int
open_tap(struct assembly *assembly, unsigned port, const struct config_stack *stack)
{
    const char *ifname = stack->port ? stack->wires[0] : stack->ifname;
    struct ifreq request = {.ifr_ifindex = (int)if_nametoindex(ifname)};
    char tap[IF_NAMESIZE];
    int fd, error = 0, mtu = 0;
    uint8_t mac[6];

    if (request.ifr_ifindex == 0)
        return assembly_fail(assembly, -errno, NULL, "%s", ifname);
    if (stack->port)
        memcpy(tap, stack->ifname, sizeof(tap));
    else
        snprintf(tap, sizeof(tap), "chim%d", request.ifr_ifindex);
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return assembly_fail(assembly, -errno, NULL, "%s", ifname);
    if (ioctl(fd, SIOCGIFMTU, &request) == 0) {
        mtu = request.ifr_mtu;
        if (ioctl(fd, SIOCGIFHWADDR, &request) == 0)
            memcpy(mac, request.ifr_hwaddr.sa_data, sizeof(mac));
        else
            error = -errno;
    } else {
        error = -errno;
    }
    close(fd);
    if (error == 0)
        error = (stack->port ? wire_port_open : wire_tap_open)(
            assembly->loop, tap, mac, (unsigned)mtu, &assembly->ports[port].tap);
    return error == 0 ? 0 : fail_tap(assembly, error, ifname, tap);
}

struct wanted {
    const char *adapter;
    bool there;
};

static void
look_for_adapter(void *arg, const struct house_floor *floor)
{
    struct wanted *wanted = arg;

    wanted->there |= strcmp(floor->adapter, wanted->adapter) == 0;
}

/* Binds driver to the adapter below; what it must have made of that is the adapter above. */
static int
stack_intermediate(struct assembly *assembly, const char *ifname, const char *driver,
                   const char *below, const char *above)
{
    struct wanted wanted = {above, false};
    const char *why = NULL;
    int error = house_bind(assembly->house, driver, below, above);

    if (error == 0) {
        house_walk(assembly->house, look_for_adapter, &wanted);
        if (wanted.there)
            return 0;
        error = -EINVAL;
    }
    if (error == -ENOENT || error == -EINVAL)
        why = "it is no intermediate driver";
    else if (error == -EIO)
        why = "it refused, and has said why above";
    return assembly_fail(assembly, error, why, "%s: binding %s to %s", ifname, driver, below);
}

/* Of the virtual adapter of intermediate driver number i. */
static void
floor_name(const struct config_stack *stack, unsigned i, const char *driver,
           char name[ADAPTER_NAME])
{
    snprintf(name, ADAPTER_NAME, "%s/%s%u", stack->ifname, driver, stack->intermediate_count - i);
}

/* The traces on adapter above hear the wires of its port. Before it stands, so that no frame is
 * there twice. */
static int
hear_wires(struct assembly *assembly, unsigned port, const char *above)
{
    struct wire **wires = assembly->ports[port].wires;
    int error = 0;

    for (unsigned i = 0; error == 0 && i < CONFIG_WIRES && wires[i] != NULL; i++)
        error = ears_trace(&assembly->ports[port].ears[i], wires[i], above);
    return error;
}

/* Stacks the intermediate drivers of a port on adapter and leaves the name of the top in it. */
static int
stack_intermediates(struct assembly *assembly, unsigned port, const struct config_stack *stack,
                    char adapter[ADAPTER_NAME])
{
    for (unsigned i = stack->intermediate_count; i-- > 0;) {
        char above[ADAPTER_NAME], driver[DRIVER_NAME];
        struct house_floor_words words;
        const char *why;
        int error;

        house_read_floor(stack->intermediates[i], &words, &why); /* checked before */
        driver_name(words.name, driver);
        floor_name(stack, i, driver, above);
        error = house_set_options(assembly->house, above, words.options);
        if (error != 0)
            return assembly_fail(assembly, error, NULL, "%s: options of %s", stack->ifname, driver);
        if (strcmp(words.name, TRACE_NAME) == 0 && (error = hear_wires(assembly, port, above)) != 0)
            return assembly_fail(assembly, error, NULL, "%s: %s", stack->ifname, above);
        error = stack_intermediate(assembly, stack->ifname, driver, adapter, above);
        if (error != 0)
            return error;
        memcpy(adapter, above, sizeof(above));
    }
    return 0;
}

/* A steered interface gives us some flows, one under a port everything. */
static int
open_wire(struct assembly *assembly, const struct config_stack *stack, unsigned number,
          struct wire **wire)
{
    const char *ifname = stack->port ? stack->wires[number] : stack->ifname;
    int filter = stack->port ? -1 : hoststack_wire_filter(assembly->stack);
    int error = wire_packet_open(assembly->loop, ifname, filter,
                                 hoststack_wire_mark(assembly->stack), wire);

    if (error == 0 && stack->port)
        error = wire_packet_hear_all(*wire);
    return error == 0 ? 0 : assembly_fail(assembly, error, NULL, "%s: packet socket", ifname);
}

/* An adapter at the bottom; its name, which tells of several which one it is on. */
static int
build_target(struct assembly *assembly, unsigned port, const struct config_stack *stack,
             unsigned number, char adapter[ADAPTER_NAME])
{
    struct wire *wire = assembly->ports[port].wires[number];
    bool several = stack->port && stack->wire_count > 1;
    struct house_floor_words words;
    char target[DRIVER_NAME];
    const char *why;
    int error;

    house_read_floor(stack->target, &words, &why); /* checked before */
    driver_name(words.name, target);
    snprintf(adapter, ADAPTER_NAME, "%s/%s%s%s", stack->ifname, target, several ? "." : "",
             several ? stack->wires[number] : "");
    error = house_add_adapter(assembly->house, target, adapter, wire, words.options);
    if (error != 0)
        return assembly_fail(assembly, error, error == -EINVAL ? "it is no offload target" : NULL,
                             "%s: adapter %s", stack->ifname, adapter);
    if (assembly->verify != NULL && (error = ears_verify(&assembly->ports[port].ears[number], wire,
                                                         assembly->verify, adapter)) != 0)
        return assembly_fail(assembly, error, NULL, "%s: verifier", stack->ifname);
    return 0;
}

/* Those at the bottom, and their names. */
static int
build_bottom(struct assembly *assembly, unsigned port, const struct config_stack *stack,
             char adapters[CONFIG_WIRES][ADAPTER_NAME])
{
    unsigned count = stack->port ? stack->wire_count : 1;
    int error = 0;

    for (unsigned i = 0; error == 0 && i < count; i++) {
        error = open_wire(assembly, stack, i, &assembly->ports[port].wires[i]);
        if (error == 0)
            error = build_target(assembly, port, stack, i, adapters[i]);
    }
    return error;
}

/* The lowest intermediate driver stands on the first of them; the others join it. */
static int
join_others(struct assembly *assembly, const struct config_stack *stack,
            char adapters[CONFIG_WIRES][ADAPTER_NAME])
{
    char above[ADAPTER_NAME], driver[DRIVER_NAME];
    struct house_floor_words words;
    const char *why;

    if (!stack->port || stack->wire_count < 2)
        return 0;
    house_read_floor(stack->intermediates[stack->intermediate_count - 1], &words, &why);
    driver_name(words.name, driver);
    floor_name(stack, stack->intermediate_count - 1, driver, above);
    for (unsigned i = 1; i < stack->wire_count; i++) {
        int error = house_bind(assembly->house, driver, adapters[i], above);

        if (error != 0)
            return assembly_fail(assembly, error, "it does not join the others",
                                 "%s: binding %s to %s", stack->ifname, driver, adapters[i]);
    }
    return 0;
}

static void
tell_port(const struct config_stack *stack, const char *adapter)
{
    char over[CONFIG_WIRES * (IF_NAMESIZE + 1)];
    size_t at = 0;

    for (unsigned i = 0; i < stack->wire_count; i++)
        at += (size_t)snprintf(over + at, sizeof(over) - at, "%s%s", i > 0 ? "+" : "",
                               stack->wires[i]);
    log_info("%s: a port over %s, it goes when this program does; served by %s", stack->ifname,
             over, adapter);
}

static int
build_port(struct assembly *assembly, unsigned port, const struct config_stack *stack)
{
    char adapters[CONFIG_WIRES][ADAPTER_NAME];
    char *adapter = adapters[0];
    const char *why = NULL;
    int error = build_bottom(assembly, port, stack, adapters);

    if (error != 0)
        return error;
    error = stack_intermediates(assembly, port, stack, adapter);
    if (error == 0)
        error = join_others(assembly, stack, adapters);
    if (error != 0)
        return error;
    if (stack->port)
        error = hoststack_add_port(assembly->stack, stack->ifname, adapter,
                                   assembly->ports[port].tap, assembly->ports[port].wires,
                                   stack->wire_count, &why);
    else
        error = hoststack_add_interface(assembly->stack, stack->ifname, adapter,
                                        assembly->ports[port].tap, assembly->ports[port].wires[0],
                                        &why);
    if (error != 0)
        return assembly_fail(assembly, error, why, "%s", stack->ifname);
    assembly->ports[port].tap = NULL;
    if (stack->port)
        tell_port(stack, adapter);
    else
        log_info("%s: served by %s", stack->ifname, adapter);
    return 0;
}

/* ---- all of it ---- */

static int
create_stack(struct assembly *assembly, const struct config *config)
{
    struct hoststack_options options = {.mark = config->mark};
    const char *why = NULL;
    int error = house_create(assembly->loop, &assembly->house);

    if (error != 0)
        return assembly_fail(assembly, error, NULL, "house");
    if (config->verify && (assembly->verify = verify_open(assembly->loop, assembly->house)) == NULL)
        return assembly_fail(assembly, -ENOMEM, NULL, "verifier");
    error = load_drivers(assembly, config);
    if (error != 0)
        return error;
    error = hoststack_create(assembly->house, &options, &assembly->stack, &why);
    if (error != 0)
        return assembly_fail(assembly, error, why, "host stack");
    return 0;
}

int
assembly_init(struct assembly *assembly, struct sys_loop *loop, const struct config *config)
{
    int error = 0;

    *assembly = (struct assembly){.loop = loop};
    for (unsigned i = 0; error == 0 && i < config->stack_count; i++)
        error = check_stack(assembly, &config->stacks[i]);
    for (unsigned i = 0; error == 0 && i < config->stack_count; i++)
        error = open_tap(assembly, i, &config->stacks[i]);
    if (error == 0)
        error = create_stack(assembly, config);
    for (unsigned i = 0; error == 0 && i < config->stack_count; i++)
        error = build_port(assembly, i, &config->stacks[i]);
    return error;
}

void
assembly_fini(struct assembly *assembly)
{
    if (assembly->stack != NULL)
        hoststack_destroy(assembly->stack);
    if (assembly->house != NULL)
        house_destroy(assembly->house);
    for (unsigned i = CONFIG_STACKS; i-- > 0;) {
        for (unsigned j = 0; j < CONFIG_WIRES; j++) {
            ears_close(&assembly->ports[i].ears[j]);
            if (assembly->ports[i].wires[j] != NULL)
                wire_close(assembly->ports[i].wires[j]);
        }
        if (assembly->ports[i].tap != NULL)
            wire_close(assembly->ports[i].tap);
    }
    verify_close(assembly->verify);
    *assembly = (struct assembly){.loop = NULL};
}
