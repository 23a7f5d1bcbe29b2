// SPDX-License-Identifier: BSD-3-Clause
// The GICv3 of QEMU's virt machine and the virtual timer, behind machine.h's functions.
#pragma once

#include "machine.h"

extern "C" void HandleInterrupt();
