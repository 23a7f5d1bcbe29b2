// SPDX-License-Identifier: BSD-3-Clause
// The ACPI table (SSDT) by which a guest that boots with ACPI finds its TEE:
//   Device (\_SB.VTEE) { _HID "PRP0001", _DSD { compatible "linaro,optee-tz", method "smc" } }
// Linux matches a PRP0001 device by its `compatible`, as it does a device-tree node, and its driver
// reads `method` and the interrupt (_CRS, edge) through calls that know both. Pure; any thread.
// Not supported: guests that do not know PRP0001.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/tee_node.h"

namespace vtee::cli {

// The bytes of the table, checksum and all.
std::string TeeTable(Conduit conduit, std::optional<std::uint32_t> spi);

// What the table says, for a person.
std::string DescribeTeeTable(Conduit conduit, std::optional<std::uint32_t> spi);

}  // namespace vtee::cli
