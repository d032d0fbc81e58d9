/*
 * Shared objects through dlopen. They are bound at once and kept out of the global scope, so that
 * two of them cannot see each other.
 *
 * dlopen names only the first symbol it cannot find. Somebody who ports a driver wants to see them
 * all, so after a failure the dynamic symbol table of the file is read and every undefined symbol
 * looked up. The file may be anything: every offset is checked against its size.
 */
#include "sys/module.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct sys_module {
    void *handle;
    const struct link_map *map; /* the loader's, one per object */
};

/* ---- what is missing ---- */

struct image {
    const unsigned char *bytes;
    size_t size;
};

/* NULL: not inside the file, or not aligned as its users need it. */
static const void *
image_at(const struct image *image, uint64_t offset, uint64_t count, size_t each)
{
    if (offset % 8 != 0 || offset > image->size || count > (image->size - offset) / each)
        return NULL;
    return image->bytes + offset;
}

static const char *
image_text(const struct image *image, const ElfW(Shdr) * strings, uint32_t at)
{
    const char *text;

    if (strings->sh_offset > image->size || strings->sh_size > image->size - strings->sh_offset ||
        at >= strings->sh_size)
        return NULL;
    text = (const char *)image->bytes + strings->sh_offset + at;
    return memchr(text, '\0', strings->sh_size - at) != NULL ? text : NULL;
}

static bool
is_missing(const ElfW(Sym) * symbol, const char *name)
{
    return symbol->st_shndx == SHN_UNDEF && symbol->st_info >> 4 == STB_GLOBAL && name != NULL &&
           name[0] != '\0' && dlsym(RTLD_DEFAULT, name) == NULL;
}

/* Appends the names of the missing symbols of one table. */
static void
list_missing(const struct image *image, const ElfW(Shdr) * table, const ElfW(Shdr) * strings,
             char *out, size_t size)
{
    uint64_t count = table->sh_size / sizeof(ElfW(Sym));
    const ElfW(Sym) *symbols = image_at(image, table->sh_offset, count, sizeof(*symbols));
    size_t used = strlen(out);

    for (uint64_t i = 0; symbols != NULL && i < count; i++) {
        const char *name = image_text(image, strings, symbols[i].st_name);
        int more;

        if (!is_missing(&symbols[i], name))
            continue;
        more = snprintf(out + used, size - used, "%s%s", used != 0 ? ", " : "", name);
        if (more < 0 || (size_t)more >= size - used)
            return;
        used += (size_t)more;
    }
}

static void
read_missing(const struct image *image, char *out, size_t size)
{
    static const unsigned char ident[] = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3,
                                          sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32};
    const ElfW(Ehdr) *file = image_at(image, 0, 1, sizeof(*file));
    const ElfW(Shdr) * sections;

    if (file == NULL || memcmp(file->e_ident, ident, sizeof(ident)) != 0 ||
        file->e_shentsize != sizeof(*sections))
        return;
    sections = image_at(image, file->e_shoff, file->e_shnum, sizeof(*sections));
    for (unsigned i = 0; sections != NULL && i < file->e_shnum; i++) {
        if (sections[i].sh_type == SHT_DYNSYM && sections[i].sh_link < file->e_shnum)
            list_missing(image, &sections[i], &sections[sections[i].sh_link], out, size);
    }
}

/* The names of what the file at fd needs and nobody has; empty: it fails for another reason. */
static void
find_missing(int fd, char *out, size_t size)
{
    struct image image;
    struct stat status;
    void *bytes;

    out[0] = '\0';
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0)
        return;
    bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return;
    image = (struct image){bytes, (size_t)status.st_size};
    read_missing(&image, out, size);
    munmap(bytes, image.size);
}

/* ---- opening ---- */

int
sys_module_open(const char *path, struct sys_module **out, char *why, size_t size)
{
    struct sys_module *module = malloc(sizeof(*module));
    int fd = open(path, O_RDONLY | O_CLOEXEC), error = -errno;

    if (module == NULL || fd < 0) {
        error = module == NULL ? -ENOMEM : error;
        snprintf(why, size, "%s", strerror(-error));
        goto failed;
    }
    module->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (module->handle == NULL) {
        const char *words = dlerror();
        char names[512];

        error = -ENOEXEC;
        find_missing(fd, names, sizeof(names));
        if (names[0] != '\0')
            snprintf(why, size, "this program does not offer %s", names);
        else
            snprintf(why, size, "%s", words != NULL ? words : "it cannot be loaded");
        goto failed;
    }
    close(fd);
    module->map = NULL;
    dlinfo(module->handle, RTLD_DI_LINKMAP, &module->map);
    *out = module;
    return 0;

failed:
    if (fd >= 0)
        close(fd);
    free(module);
    return error;
}

void (*sys_module_function(struct sys_module *module, const char *name))(void)
{
    void *address = dlsym(module->handle, name);
    void (*function)(void);

    memcpy(&function, &address, sizeof(function)); /* ISO C knows no such cast */
    return function;
}

bool
sys_module_contains(const struct sys_module *module, const void *address)
{
    struct link_map *map = NULL;
    Dl_info info;

    return dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) != 0 && map != NULL &&
           map == module->map;
}

bool
sys_module_same(const struct sys_module *one, const struct sys_module *other)
{
    return one->handle == other->handle;
}

void
sys_module_close(struct sys_module *module)
{
    dlclose(module->handle);
    free(module);
}
