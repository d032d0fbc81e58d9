/*
 * Shared objects that are opened by path while the program runs.
 *
 * Threads: one at a time.
 */
#ifndef SYS_MODULE_H
#define SYS_MODULE_H

#include <stdbool.h>
#include <stddef.h>

struct sys_module;

/*
 * Opens the object at path (with a slash, or it is looked for where libraries are) and resolves
 * everything it needs, at once, from this program and from the libraries it names. An object that
 * is open already is the same module again. 0; -ENOENT and the like: the file cannot be read;
 * -ENOEXEC: it is no shared object for this machine, or needs symbols that nobody has: why then
 * says which. why is filled on every error.
 */
int sys_module_open(const char *path, struct sys_module **out, char *why, size_t size);
/* NULL: it exports no such symbol. */
void (*sys_module_function(struct sys_module *module, const char *name))(void);
/* Whether this code or data is part of it. */
bool sys_module_contains(const struct sys_module *module, const void *address);
/* Two handles of one object. */
bool sys_module_same(const struct sys_module *one, const struct sys_module *other);
/* Nothing of it may be called or read any more. */
void sys_module_close(struct sys_module *module);

#endif
