/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Preloaded into a program: its nth allocation fails, or every one from the nth on. Operator new
 * goes through malloc, so it fails with std::bad_alloc.
 *
 * FAILING_MALLOC=FD: a descriptor with struct failing_malloc in shared memory. Counted from main()
 * on. Any thread.
 */
#include "daemon/test_failing_malloc.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

extern void* __libc_malloc(size_t size);
extern void* __libc_calloc(size_t count, size_t size);
extern void* __libc_realloc(void* block, size_t size);
extern void* __libc_memalign(size_t alignment, size_t size);

static struct failing_malloc* shared;

typedef int main_function(int argc, char** argv, char** environment);
static main_function* program_main;

static int counted_main(int argc, char** argv, char** environment) {
  const char* fd = getenv("FAILING_MALLOC");
  if (fd == NULL) abort();
  void* base = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(fd), 0);
  if (base == MAP_FAILED) abort();
  shared = base;
  return program_main(argc, argv, environment);
}

/* What every program's first instructions call. */
int __libc_start_main(main_function* start, int argc, char** argv, void (*init)(void),
                      void (*fini)(void), void (*rtld_fini)(void), void* stack_end) {
  int (*real)(main_function*, int, char**, void (*)(void), void (*)(void), void (*)(void), void*);
  *(void**)&real = dlsym(RTLD_NEXT, "__libc_start_main");
  program_main = start;
  return real(counted_main, argc, argv, init, fini, rtld_fini, stack_end);
}

static int fails(void) {
  if (shared == NULL) return 0;
  const unsigned n = __atomic_add_fetch(&shared->count, 1, __ATOMIC_RELAXED);
  const int failing = n == shared->first || (n > shared->first && n - shared->first < shared->many);
  if (failing) errno = ENOMEM;
  return failing;
}

void* malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void* realloc(void* block, size_t size) { return fails() ? NULL : __libc_realloc(block, size); }
void* memalign(size_t alignment, size_t size) {
  return fails() ? NULL : __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** block, size_t alignment, size_t size) {
  void* got = memalign(alignment, size);
  if (got == NULL) return ENOMEM;
  *block = got;
  return 0;
}
