// SPDX-License-Identifier: BSD-3-Clause
// Which of the GIC's shared peripheral interrupts (SPIs) a machine leaves free.
//
// A device tree names most users of interrupts; QEMU's virt machine has further ones (ACPI's
// event device, hot-plugged platform devices, GICv2m's MSI range), known from its interrupt map.
// Pure; any thread. Not supported: PPIs, extended SPIs, interrupt controllers other than a GIC.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/result.h"
#include "cli/device_tree.h"

namespace vtee::cli {

struct Gic {
  std::string path;
  bool is_root_parent = false;  // the root's interrupt-parent, so nodes below need not name it
};
Result<Gic> FindGic(const DeviceTree& tree);

// SPIs that some property of the tree uses. Fails if a property cannot be understood.
Result<std::set<std::uint32_t>> UsedSpis(const DeviceTree& tree, const Gic& gic);

// SPIs of QEMU's virt machine that its tree need not show.
std::set<std::uint32_t> VirtReservedSpis();

inline constexpr std::uint32_t kVirtSpis = 256;  // SPIs 0..255 exist on QEMU's virt machine

Result<std::uint32_t> ChooseSpi(const std::set<std::uint32_t>& taken);
Status CheckSpi(std::uint32_t spi, const std::set<std::uint32_t>& taken);

}  // namespace vtee::cli
