/*
 * The house: builds a stack of drivers on one event loop and takes it down again. This is the part
 * that a plug and play manager and the registry play elsewhere; drivers never see it.
 *
 * Threads: one, the loop's, and never from inside a driver's callback. Drivers may call NDIS from
 * any thread, but for what they call while they are bound, unbound, initialised and halted. Calls
 * that must wait for a driver (bind, pause, unbind) turn the loop until it has answered. Errors: 0
 * or a negative errno; what was refused and why goes to the log.
 */
#ifndef CHIMNEY_HOUSE_H
#define CHIMNEY_HOUSE_H

#include <ndis.h>

struct house;
struct sys_loop;

/*
 * A keyword and its value as a driver reads them with NdisReadConfiguration; the list ends with
 * name NULL. "Sub\Name" is below a sub key. Binary data are hexadecimal digits, the strings of a
 * multi-string have '|' between them.
 */
struct house_option {
    const char *name;
    const char *value;
};

/*
 * A floor as users write it: NAME, or NAME:KEY=VALUE:KEY=VALUE… The options end with name NULL and
 * refer to text.
 */
#define HOUSE_FLOOR_OPTIONS 16
struct house_floor_words {
    char name[256];
    struct house_option options[HOUSE_FLOOR_OPTIONS + 1];
    char text[512];
};
/* 0; -EINVAL: *why says what is wrong with it. */
int house_read_floor(const char *text, struct house_floor_words *out, const char **why);

/* DriverEntry of a driver. */
typedef NDIS_STATUS (*house_driver_entry)(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path);

int house_create(struct sys_loop *loop, struct house **out);
/* Takes everything down in the right order: offloads, bindings, adapters, drivers. */
void house_destroy(struct house *house);
struct sys_loop *house_loop(const struct house *house);
/*
 * For tests of drivers: an open and a close, which NDIS may answer at once or later, it answers
 * later (NDIS_STATUS_PENDING and the completion handler). Off at first.
 */
void house_set_late(struct house *house, bool late);

/*
 * Calls the driver's entry under this name (ours, for logs, traces and the calls below). context
 * reaches the driver as DRIVER_OBJECT.DriverExtension; drivers from outside the tree get NULL.
 */
int house_load(struct house *house, const char *name, house_driver_entry entry, void *context);
/*
 * The same with a driver from outside the tree: the function DriverEntry of the shared object at
 * path, which uses the functions of include/ndis that this program exports. The object is closed
 * when the driver has been unloaded. -EEXIST: the name is in use, or the object is loaded already;
 * -ENOEXEC: it is no shared object that fits this program (symbols that are missing are named in
 * the log), or has no DriverEntry; -EIO: DriverEntry failed; and those of opening the file.
 */
int house_load_file(struct house *house, const char *name, const char *path);
int house_unload(struct house *house, const char *name);

/*
 * Creates an adapter of a loaded miniport driver and brings it to Running. device becomes
 * NDIS_MINIPORT_INIT_PARAMETERS.MiniportAddDeviceContext (in-tree targets: their struct wire).
 * Options are copied. -EINVAL: one of them is there twice, which is logged; -EIO: the driver
 * failed, or has no such option, or its value is not of the type that the driver reads (it has to
 * ask for all of them in MiniportInitializeEx).
 */
int house_add_adapter(struct house *house, const char *driver, const char *adapter, void *device,
                      const struct house_option *options);
/*
 * Options of a virtual adapter that an intermediate driver will announce under this name: its
 * driver reads them as those of house_add_adapter are read, and house_bind fails like that. They
 * are copied, and hold whenever the adapter is made, until they are set again. options NULL: none
 * any more. -ENOMEM; -EINVAL: no such name can be, or an option is there twice, which is logged.
 */
int house_set_options(struct house *house, const char *adapter, const struct house_option *options);
/* NetEventPause to the bindings, unbind, MiniportPause, MiniportHalt. */
int house_remove_adapter(struct house *house, const char *adapter);
/* The same after the fact: MiniportDevicePnpEventNotify comes first. */
int house_surprise_remove_adapter(struct house *house, const char *adapter);

/*
 * Binds a loaded protocol driver to an adapter and restarts the binding. section becomes
 * NDIS_BIND_PARAMETERS.ProtocolSection: an intermediate driver names its virtual adapter after it.
 * NULL: none. The bind stays wanted, even if the driver refuses it: when the driver asks for it,
 * NDIS tries again.
 */
int house_bind(struct house *house, const char *protocol, const char *adapter, const char *section);
/* Also forgets that the bind was wanted. */
int house_unbind(struct house *house, const char *protocol, const char *adapter);

/*
 * Takes power from an adapter that stands on its device, or gives it back (NdisDeviceStateD0), and
 * turns the loop until it is done. Everything offloaded over it comes home first; until it is back
 * NDIS completes frames and initiates with NDIS_STATUS_LOW_POWER_STATE. -EIO: the miniport refused
 * or did not answer, and is as it was; -EINVAL: a virtual adapter, or no such state; -EBUSY: it is
 * not up, or has not answered the last time.
 */
int house_set_power(struct house *house, const char *adapter, NDIS_DEVICE_POWER_STATE state);

/*
 * The machine goes down, or (crash) is about to stop: MiniportShutdown of every adapter. Nothing
 * else changes; the house can still be destroyed.
 */
void house_shutdown(struct house *house, bool crash);

/* Walks what is there, top to bottom of each stack, for `stack show`. */
struct house_floor {
    const char *adapter, *driver, *state;
    const char *below;            /* adapter under it; NULL: it stands on its device */
    void *device;                 /* as given to house_add_adapter; NULL: it stands on an adapter */
    const char *protocols;        /* comma separated names of what is bound to it */
    const char *congestion;       /* control of its target, if it says which; or NULL */
    bool chimney;                 /* the path from here down can offload */
    bool paused;                  /* OFFLOAD_PAUSE in force */
    unsigned long long offloaded; /* objects initiated and not terminated through it */
};
void house_walk(struct house *house, void (*fn)(void *arg, const struct house_floor *floor),
                void *arg);

/* Entries of the drivers in the tree. */
NDIS_STATUS soft_target_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path);
NDIS_STATUS passthru_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path);
NDIS_STATUS vlan_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path);
NDIS_STATUS trace_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path);
NDIS_STATUS fault_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path);
NDIS_STATUS team_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path);

#endif
