// SPDX-License-Identifier: BSD-3-Clause
// What a guest wants to know of its flattened device tree.
// Threading: any. Not supported: overlays, aliases; the tree is believed.
#pragma once

#include "machine.h"

namespace guest {

void ReadMachine(const void* tree, Machine& machine);

}  // namespace guest
