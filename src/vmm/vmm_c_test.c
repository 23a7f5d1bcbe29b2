/* SPDX-License-Identifier: BSD-3-Clause
 * vtee/vmm.h from a C11 program, linked by the C compiler: no C++ runtime may be needed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vtee/vmm.h"

int main(void) {
  char error[256] = "";
  vtee_vm* vm = NULL;
  struct vtee_attach attach = {.size = sizeof attach,
                               .vcpus = 1,
                               .socket_path = "/nonexistent/vteed.sock",
                               .control_fd = -1,
                               .error = error,
                               .error_size = sizeof error};
  if (vtee_vm_attach(&attach, &vm) != -ECONNREFUSED || vm != NULL) return 1;
  if (strstr(error, "/nonexistent/vteed.sock") == NULL) return 2;
  vtee_vm_detach(NULL);
  puts(error);
  return 0;
}
