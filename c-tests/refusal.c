/* malloc and its siblings, in front of the C library's own. */
#include "refusal.h"

#include <errno.h>
#include <stdlib.h>

/* glibc's own names for what is replaced here. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static struct {
    bool armed;
    bool from_then_on;
    bool refused;
    size_t number;
    size_t seen;
    size_t least;
} fault;

void refuse_large_only(size_t least)
{
    fault.least = least;
}

void refuse(size_t number, bool from_then_on)
{
    fault.number = number;
    fault.from_then_on = from_then_on;
    fault.seen = 0;
    fault.refused = false;
    fault.armed = true;
}

bool refuse_no_more(void)
{
    fault.armed = false;
    return fault.refused;
}

static bool is_refused(size_t size)
{
    if (!fault.armed || size < fault.least)
        return false;
    fault.seen++;
    if (fault.seen != fault.number && !(fault.from_then_on && fault.seen > fault.number))
        return false;
    fault.refused = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return is_refused(size) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return is_refused(count * size) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return is_refused(size) ? NULL : __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return is_refused(size) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (is_refused(size))
        return ENOMEM;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}
