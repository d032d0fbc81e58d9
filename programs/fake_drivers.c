/* The drivers that chimneyd names, for its tests: they are loaded into a house without NDIS, and do
 * nothing there. One team is always there. */
#include "chimney/house.h"
#include "chimney/team.h"

#include <errno.h>
#include <string.h>

NDIS_STATUS
soft_target_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    return 0;
}

NDIS_STATUS
team_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    return 0;
}

NDIS_STATUS
passthru_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    return 0;
}

NDIS_STATUS
vlan_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    return 0;
}

NDIS_STATUS
trace_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    return 0;
}

NDIS_STATUS
fault_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path)
{
    return 0;
}

void
team_walk(void (*fn)(void *arg, const struct team_info *info), void *arg)
{
    static const char *const names[] = {"chim0/soft.eth0", "chim0/soft.eth1"};

    for (unsigned i = 0; i < 2; i++) {
        struct team_info info = {.team = "chim0/team1",
                                 .member = names[i],
                                 .mode = "backup",
                                 .active = i == 0,
                                 .link = true,
                                 .running = true,
                                 .connections = i == 0 ? 7 : 0};

        fn(arg, &info);
    }
}

/* One that can be failed, one that cannot. */
int
team_fail(const char *member)
{
    return strcmp(member, "eth0") == 0 ? 0 : strcmp(member, "eth1") == 0 ? -ENOLINK : -ENOENT;
}

int
team_restore(const char *member)
{
    return strcmp(member, "eth0") == 0 ? 0 : -EALREADY;
}
