// SPDX-License-Identifier: BSD-3-Clause
#include "cli/interrupts.h"

#include <fmt/format.h>

#include <array>
#include <span>

namespace vtee::cli {
namespace {

using Cells = std::span<const std::uint32_t>;

constexpr std::uint32_t kGicSpi = 0;  // first cell of a GIC interrupt: 0 SPI, 1 PPI
constexpr std::uint32_t kFirstSpiIntid = 32;

// Walks the tree once and notes every SPI that reaches the GIC.
class SpiScan {
 public:
  SpiScan(const DeviceTree& tree, int gic) : tree_(tree), gic_(gic) {}

  Status Run() {
    for (int node = 0; node != DeviceTree::kNone; node = tree_.Next(node)) {
      VTEE_TRY(ScanInterrupts(node));
      VTEE_TRY(ScanExtended(node));
      VTEE_TRY(ScanMap(node));
      ScanMessageRanges(node);
    }
    return {};
  }
  std::set<std::uint32_t> TakeUsed() { return std::move(used_); }

 private:
  Error Unclear(int node, const char* property) const {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("cannot understand {} of {} in the device tree {}; correct it, or "
                             "choose the interrupt with --interrupt none or a number",
                             property, tree_.Path(node), tree_.origin())};
  }

  void Note(int controller, Cells specifier) {
    if (controller == gic_ && specifier.size() == 3 && specifier[0] == kGicSpi) {
      used_.insert(specifier[1]);
    }
  }

  // The nearest interrupt-parent, or controller, above the node.
  int Controller(int node) const {
    for (int at = node; at != DeviceTree::kNone; at = tree_.Parent(at)) {
      if (const auto phandle = tree_.Cell(at, "interrupt-parent")) {
        return tree_.FindPhandle(*phandle);
      }
      const bool controls = tree_.Has(at, "interrupt-controller") || tree_.Has(at, "interrupt-map");
      if (at != node && controls) return at;
    }
    return DeviceTree::kNone;
  }

  Status ScanInterrupts(int node) {
    const auto cells = tree_.Cells(node, "interrupts");
    if (!cells) return tree_.Has(node, "interrupts") ? Unclear(node, "interrupts") : Status();
    const int controller = Controller(node);
    if (controller != gic_) return {};  // an interrupt of another controller, or through a map
    if (cells->size() % 3 != 0) return Unclear(node, "interrupts");
    for (std::size_t i = 0; i < cells->size(); i += 3)
      Note(controller, Cells(*cells).subspan(i, 3));
    return {};
  }

  // Takes `count` cells off the front; false if there are not as many.
  static bool Take(Cells& rest, std::size_t count, Cells& taken) {
    if (rest.size() < count) return false;
    taken = rest.first(count);
    rest = rest.subspan(count);
    return true;
  }

  Status ScanExtended(int node) {
    const auto cells = tree_.Cells(node, "interrupts-extended");
    if (!cells) return {};
    for (Cells rest = *cells; !rest.empty();) {
      Cells phandle, specifier;
      Take(rest, 1, phandle);
      const int controller = tree_.FindPhandle(phandle[0]);
      if (controller == DeviceTree::kNone) return Unclear(node, "interrupts-extended");
      const auto size = tree_.Cell(controller, "#interrupt-cells");
      if (!size || !Take(rest, *size, specifier)) return Unclear(node, "interrupts-extended");
      Note(controller, specifier);
    }
    return {};
  }

  // Rows of: child address, child interrupt, parent, parent's address, parent's interrupt.
  Status ScanMap(int node) {
    const auto cells = tree_.Cells(node, "interrupt-map");
    if (!cells) return {};
    const std::size_t child = std::size_t{tree_.Cell(node, "#address-cells").value_or(2)} +
                              tree_.Cell(node, "#interrupt-cells").value_or(1);
    for (Cells rest = *cells; !rest.empty();) {
      Cells skipped, phandle, specifier;
      if (!Take(rest, child, skipped) || !Take(rest, 1, phandle)) {
        return Unclear(node, "interrupt-map");
      }
      const int controller = tree_.FindPhandle(phandle[0]);
      if (controller == DeviceTree::kNone) return Unclear(node, "interrupt-map");
      const auto size = tree_.Cell(controller, "#interrupt-cells");
      if (!size || !Take(rest, tree_.Cell(controller, "#address-cells").value_or(0), skipped) ||
          !Take(rest, *size, specifier)) {
        return Unclear(node, "interrupt-map");
      }
      Note(controller, specifier);
    }
    return {};
  }

  void NoteIntids(std::uint32_t first, std::uint32_t count) {
    // 1020 is where the architecture's ordinary interrupt ids end.
    for (std::uint32_t i = 0; i < count && first + i < 1020; ++i) {
      if (first + i >= kFirstSpiIntid) used_.insert(first + i - kFirstSpiIntid);
    }
  }

  // SPIs that message-signalled interrupts are turned into: GICv2m frames and GICv3's MBIs.
  void ScanMessageRanges(int node) {
    const auto base = tree_.Cell(node, "arm,msi-base-spi");
    const auto count = tree_.Cell(node, "arm,msi-num-spis");
    if (base && count) NoteIntids(*base, *count);
    const auto ranges = tree_.Cells(node, "mbi-ranges");
    for (std::size_t i = 0; ranges && i + 1 < ranges->size(); i += 2) {
      NoteIntids((*ranges)[i], (*ranges)[i + 1]);
    }
  }

  const DeviceTree& tree_;
  int gic_;
  std::set<std::uint32_t> used_;
};

}  // namespace

Result<Gic> FindGic(const DeviceTree& tree) {
  constexpr auto kGics = std::to_array<const char*>(
      {"arm,gic-v3", "arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a7-gic"});
  int node = DeviceTree::kNone;
  for (const char* compatible : kGics) {
    if (node == DeviceTree::kNone) node = tree.FindCompatible(compatible);
  }
  // A fourth cell names a PPI partition; no virtual machine has those.
  if (node == DeviceTree::kNone || tree.Cell(node, "#interrupt-cells") != 3u) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("the device tree {} has no GIC with three interrupt cells; give vtee "
                             "--interrupt none",
                             tree.origin())};
  }
  const auto root = tree.Cell(0, "interrupt-parent");
  return Gic{tree.Path(node), root && tree.FindPhandle(*root) == node};
}

Result<std::set<std::uint32_t>> UsedSpis(const DeviceTree& tree, const Gic& gic) {
  SpiScan scan(tree, tree.Find(gic.path));
  VTEE_TRY(scan.Run());
  return scan.TakeUsed();
}

std::set<std::uint32_t> VirtReservedSpis() {
  // hw/arm/virt.c, a15irqmap[], the same from QEMU 4.2 to 10: 1-2 UART and RTC, 3-6 PCIe, 7 GPIO,
  // 8 second UART, 9 ACPI events; 16-47 virtio-mmio; 48-111 GICv2m (SMMU within); 112-175
  // platform bus.
  std::set<std::uint32_t> taken;
  for (std::uint32_t spi = 0; spi <= 9; ++spi) taken.insert(spi);
  for (std::uint32_t spi = 16; spi <= 175; ++spi) taken.insert(spi);
  return taken;
}

Result<std::uint32_t> ChooseSpi(const std::set<std::uint32_t>& taken) {
  // From 15 down: when virt gets another fixed device, it goes to the lowest free number.
  for (std::uint32_t spi = 15; spi >= 10; --spi) {
    if (!taken.contains(spi)) return spi;
  }
  for (std::uint32_t spi = kVirtSpis - 1; spi > 15; --spi) {
    if (!taken.contains(spi)) return spi;
  }
  return Error{ErrorCode::kResourceExhausted,
               "the machine has no free interrupt; give vtee --interrupt none"};
}

Status CheckSpi(std::uint32_t spi, const std::set<std::uint32_t>& taken) {
  if (spi < kVirtSpis && !taken.contains(spi)) return {};
  const char* why = spi < kVirtSpis ? "is used by the machine" : "does not exist on the machine";
  const auto free = ChooseSpi(taken);
  const std::string remedy = free.ok()
                                 ? fmt::format("--interrupt auto or, for example, {}", free.value())
                                 : "--interrupt none";
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("interrupt {} {}; give vtee {}", spi, why, remedy)};
}

}  // namespace vtee::cli
