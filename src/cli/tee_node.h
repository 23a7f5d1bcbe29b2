// SPDX-License-Identifier: BSD-3-Clause
// The device-tree node by which a guest finds its TEE:
//   /firmware/optee { compatible = "linaro,optee-tz"; method = "smc"; interrupts = <...>; }
// (Linux Documentation/devicetree/bindings/arm/firmware/linaro,optee-tz.yaml). Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "cli/device_tree.h"

namespace vtee::cli {

enum class Conduit { kSmc, kHvc };
const char* Name(Conduit conduit);

// How the guest is told that a call can go on.
struct InterruptChoice {
  enum class Kind { kAuto, kNone, kNumber } kind = Kind::kAuto;
  std::uint32_t spi = 0;  // of kNumber
};
Result<InterruptChoice> ParseInterrupt(const std::string& text);

// Adds the node and returns the SPI it names, or nothing for InterruptChoice::kNone.
Result<std::optional<std::uint32_t>> AddTeeNode(DeviceTree& tree, Conduit conduit,
                                                const InterruptChoice& choice);

// What AddTeeNode() adds, as source text for a person.
std::string DescribeTeeNode(Conduit conduit, std::optional<std::uint32_t> spi);

}  // namespace vtee::cli
