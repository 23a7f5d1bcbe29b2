// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the device tree that a person hands to `vtee run` with -dtb.
//
// What must hold: a tree is refused with a sentence, or it gets the TEE's node with an interrupt
// that nothing in it uses, and is a whole tree again.
#include <cstddef>
#include <cstdint>
#include <span>

#include "cli/device_tree.h"
#include "cli/interrupts.h"
#include "cli/tee_node.h"
#include "fuzz_input.h"

namespace vtee::cli {
namespace {

void RunOne(std::span<const std::byte> bytes) {
  auto loaded = DeviceTree::FromBytes(bytes, "tree");
  if (!loaded.ok()) {
    Require(!loaded.error().message.empty());
    return;
  }
  DeviceTree tree = std::move(loaded).value();
  std::set<std::uint32_t> used;
  if (const auto gic = FindGic(tree); gic.ok()) {
    if (auto spis = UsedSpis(tree, gic.value()); spis.ok()) used = std::move(spis).value();
  }
  const auto spi = AddTeeNode(tree, Conduit::kSmc, InterruptChoice{});
  if (!spi.ok()) {
    Require(!spi.error().message.empty());
    return;
  }
  Require(tree.Find("/firmware/optee") != DeviceTree::kNone);
  Require(spi.value().has_value() && !used.contains(*spi.value()));
}

}  // namespace
}  // namespace vtee::cli

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::cli::RunOne(std::as_bytes(std::span(data, size)));
  return 0;
}
