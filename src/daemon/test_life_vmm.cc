// SPDX-License-Identifier: BSD-3-Clause
// A VMM that lives one life (test_life.h): descriptor 3 is the socket to vteed, 4 the LifeShared.
#include <sys/mman.h>

#include "daemon/test_life.h"

int main() {
  using vtee::daemon::LifeShared;
  void* shared = mmap(nullptr, sizeof(LifeShared), PROT_READ | PROT_WRITE, MAP_SHARED, 4, 0);
  if (shared == MAP_FAILED) return 2;
  auto& life = *static_cast<LifeShared*>(shared);
  vtee::daemon::TestLife(life).Run(3);
  return life.failures.load() == 0 ? 0 : 1;
}
