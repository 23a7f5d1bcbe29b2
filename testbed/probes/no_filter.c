/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Preloaded into `vtee run`: KVM as a kernel before 6.4 has it, without the SMCCC filter. */
#include <dlfcn.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ioctl.h>

int ioctl(int fd, unsigned long request, ...) {
  va_list args;
  va_start(args, request);
  void* argument = va_arg(args, void*);
  va_end(args);
  if (request == KVM_HAS_DEVICE_ATTR) {
    errno = ENXIO;
    return -1;
  }
  int (*real)(int, unsigned long, ...) =
      (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
  if (real == NULL) {
    errno = ENOSYS;
    return -1;
  }
  return real(fd, request, argument);
}
