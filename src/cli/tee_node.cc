// SPDX-License-Identifier: BSD-3-Clause
#include "cli/tee_node.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "cli/interrupts.h"

namespace vtee::cli {
namespace {

constexpr const char* kPath = "/firmware/optee";
// INTID 991: KVM_DEV_ARM_VGIC_GRP_NR_IRQS takes multiples of 32 below 1023, so 992 at most.
constexpr std::uint32_t kMaxSpi = 959;
constexpr std::uint32_t kSpi = 0;
constexpr std::uint32_t kEdgeRising = 1;

// A second node with an OP-TEE would give the guest two drivers for one TEE.
Status RefuseExisting(const DeviceTree& tree) {
  int node = tree.Find(kPath);
  if (node == DeviceTree::kNone) node = tree.FindCompatible("linaro,optee-tz");
  if (node == DeviceTree::kNone) return {};
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("the device tree {} describes a TEE already ({}); remove that node, or "
                           "keep it and give vtee --no-dtb and the interrupt it names",
                           tree.origin(), tree.Path(node))};
}

Result<std::uint32_t> DecideSpi(const DeviceTree& tree, const Gic& gic,
                                const InterruptChoice& choice) {
  VTEE_ASSIGN_OR_RETURN(std::set<std::uint32_t> taken, UsedSpis(tree, gic));
  taken.merge(VirtReservedSpis());
  if (choice.kind == InterruptChoice::Kind::kAuto) return ChooseSpi(taken);
  VTEE_TRY(CheckSpi(choice.spi, taken));
  return choice.spi;
}

}  // namespace

const char* Name(Conduit conduit) { return conduit == Conduit::kSmc ? "smc" : "hvc"; }

Result<InterruptChoice> ParseInterrupt(const std::string& text) {
  if (text == "auto") return InterruptChoice{InterruptChoice::Kind::kAuto, 0};
  if (text == "none") return InterruptChoice{InterruptChoice::Kind::kNone, 0};
  std::uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, wrong] = std::from_chars(text.data(), end, number);
  if (wrong != std::errc() || stop != end || number > kMaxSpi) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("--interrupt must be auto, none or an SPI number from 0 to {}, not "
                             "'{}'",
                             kMaxSpi, text)};
  }
  return InterruptChoice{InterruptChoice::Kind::kNumber, number};
}

Result<std::optional<std::uint32_t>> AddTeeNode(DeviceTree& tree, Conduit conduit,
                                                const InterruptChoice& choice) {
  VTEE_TRY(RefuseExisting(tree));
  std::optional<std::uint32_t> spi;
  std::optional<Gic> gic;
  if (choice.kind != InterruptChoice::Kind::kNone) {
    VTEE_ASSIGN_OR_RETURN(gic, FindGic(tree));
    VTEE_ASSIGN_OR_RETURN(spi, DecideSpi(tree, *gic, choice));
  }
  if (tree.Find("/firmware") == DeviceTree::kNone) VTEE_TRY(tree.AddNode("/", "firmware"));
  VTEE_TRY(tree.AddNode("/firmware", "optee"));
  VTEE_TRY(tree.SetText(kPath, "compatible", "linaro,optee-tz"));
  VTEE_TRY(tree.SetText(kPath, "method", Name(conduit)));
  if (spi) {
    const std::array<std::uint32_t, 3> interrupt = {kSpi, *spi, kEdgeRising};
    VTEE_TRY(tree.SetCells(kPath, "interrupts", interrupt));
    if (!gic->is_root_parent || tree.Has(tree.Find("/firmware"), "interrupt-parent")) {
      VTEE_ASSIGN_OR_RETURN(const std::uint32_t phandle, tree.PhandleOf(gic->path));
      VTEE_TRY(tree.SetCells(kPath, "interrupt-parent", std::span(&phandle, 1)));
    }
  }
  return spi;
}

std::string DescribeTeeNode(Conduit conduit, std::optional<std::uint32_t> spi) {
  const std::string interrupt =
      spi ? fmt::format(" interrupts = <0 {} 1>; /* SPI {}, rising edge */", *spi, *spi) : "";
  return fmt::format("{} {{ compatible = \"linaro,optee-tz\"; method = \"{}\";{} }}", kPath,
                     Name(conduit), interrupt);
}

}  // namespace vtee::cli
