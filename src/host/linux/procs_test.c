/* Sockets of this process and of a child. No privileges. */
#include "host/linux/procs.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t
inode_of(int fd)
{
    struct stat facts;

    assert_int_equal(fstat(fd, &facts), 0);
    return facts.st_ino;
}

static int
new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return fd;
}

static void
test_inodes(void **state)
{
    int a = new_socket(), b = new_socket();
    uint64_t closed = inode_of(b);
    struct procs_inodes *inodes = NULL;

    assert_int_equal(procs_inodes_of(getpid(), &inodes), 0);
    assert_true(procs_inodes_have(inodes, inode_of(a)));
    assert_true(procs_inodes_have(inodes, closed));
    assert_true(procs_inodes_count(inodes) >= 2);
    procs_inodes_free(inodes);
    close(b);
    assert_int_equal(procs_inodes_of(getpid(), &inodes), 0);
    assert_true(procs_inodes_have(inodes, inode_of(a)));
    assert_false(procs_inodes_have(inodes, closed));
    assert_false(procs_inodes_have(inodes, 0));
    procs_inodes_free(inodes);
    procs_inodes_free(NULL);
    close(a);
}

/* More sockets than the first table holds. */
static void
test_many(void **state)
{
    enum { COUNT = 300 };
    struct procs_inodes *inodes;
    int fds[COUNT];

    for (int i = 0; i < COUNT; i++)
        fds[i] = new_socket();
    assert_int_equal(procs_inodes_of(getpid(), &inodes), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_true(procs_inodes_have(inodes, inode_of(fds[i])));
        close(fds[i]);
    }
    procs_inodes_free(inodes);
}

/* The pid of a child that has ended, and was waited for, is nobody's for now. */
static void
test_no_process(void **state)
{
    struct procs_inodes *inodes;
    char command[16] = "x";
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(procs_inodes_of(child, &inodes), -ESRCH);
    assert_int_equal(procs_command(child, command, sizeof(command)), -ESRCH);
    assert_string_equal(command, "");
}

static void
test_find(void **state)
{
    int fd = new_socket();
    char command[32], mine[32], tiny[4];
    pid_t pid;

    assert_int_equal(procs_command(getpid(), mine, sizeof(mine)), 0);
    assert_true(strlen(mine) > 3);
    assert_int_equal(procs_find(inode_of(fd), &pid, command, sizeof(command)), 0);
    assert_int_equal(pid, getpid());
    assert_string_equal(command, mine);
    assert_int_equal(procs_find(inode_of(fd), &pid, tiny, sizeof(tiny)), 0);
    assert_memory_equal(tiny, mine, 3);
    assert_int_equal(tiny[3], '\0');
    close(fd);
}

static void
test_find_nobody(void **state)
{
    int fd = new_socket();
    uint64_t inode = inode_of(fd);
    char command[16] = "x";
    pid_t pid = 1;

    close(fd);
    assert_int_equal(procs_find(inode, &pid, command, sizeof(command)), -ENOENT);
    assert_int_equal(pid, 0);
    assert_string_equal(command, "");
    assert_int_equal(procs_find(0, &pid, command, sizeof(command)), -ENOENT);
}

/* A socket that only the child still holds. */
static void
test_owner_is_a_child(void **state)
{
    struct procs_owners *owners;
    int fd = new_socket(), ends[2];
    uint64_t inode = inode_of(fd);
    char command[16];
    pid_t pid, child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        close(ends[1]);
        _exit(read(ends[0], command, 1) == 0 ? 0 : 1); /* until the parent is done */
    }
    close(ends[0]);
    close(fd);
    assert_int_equal(procs_owners_read(&owners), 0);
    assert_int_equal(procs_owners_find(owners, inode, &pid, command, sizeof(command)), 0);
    assert_int_equal(pid, child);
    assert_int_equal(procs_owners_find(owners, 0, &pid, command, sizeof(command)), -ENOENT);
    procs_owners_free(owners);
    procs_owners_free(NULL);
    close(ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inodes),      cmocka_unit_test(test_many),
        cmocka_unit_test(test_no_process),  cmocka_unit_test(test_find),
        cmocka_unit_test(test_find_nobody), cmocka_unit_test(test_owner_is_a_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
