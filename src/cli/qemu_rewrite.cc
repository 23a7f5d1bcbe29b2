// SPDX-License-Identifier: BSD-3-Clause
// The changed command lines: one that dumps the device tree, one that uses the edited tree.
//
// QEMU's virt machine writes its tree from the machine, the CPUs, memory and NUMA layout, whether
// there is firmware (GPIO keys appear only without), how many serial ports there are (the second
// one since 9.1), and IOMMUs. PCI devices do not appear in it. The device with the option ROM is
// in the dump so that a QEMU built without it says so there.
#include <algorithm>
#include <array>

#include "cli/option_rom.h"
#include "cli/qemu_arguments.h"

namespace vtee::cli {
namespace {

constexpr auto kKept = std::to_array<std::string_view>(
    {"cpu", "smp", "m", "accel", "enable-kvm", "numa", "global", "no-acpi", "no-user-config"});
constexpr auto kTreeDevices =
    std::to_array<std::string_view>({"virtio-iommu-pci", "virtio-iommu-device", "arm-smmuv3"});
// Properties of the machine that name files or back ends which the dump must not touch.
constexpr auto kDroppedProperties = std::to_array<std::string_view>(
    {"kernel", "initrd", "append", "dtb", "dumpdtb", "firmware", "pflash0", "pflash1"});
constexpr auto kKvmProperties =
    std::to_array<std::string_view>({"accel", "kernel-irqchip", "kernel_irqchip"});

template <std::size_t n>
bool Contains(const std::array<std::string_view, n>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

std::string DumpMachine(const QemuCommand& command, const DumpOptions& options) {
  KeyValues machine = {{"type", command.MachineType()}};
  for (const KeyValue& pair : command.machine) {
    if (pair.key == "type" || Contains(kDroppedProperties, pair.key)) continue;
    if (options.emulate && Contains(kKvmProperties, pair.key)) continue;
    machine.push_back(pair);
    if (options.emulate && pair.key == "gic-version" && pair.value == "host") {
      machine.back().value = "max";
    }
  }
  machine.push_back({"dumpdtb", options.tree_path});
  return FormatKeyValues(machine, "type");
}

// The CPU for a machine without KVM: "host" exists only with it.
std::string EmulatedCpu(const std::string& cpu) {
  return cpu == "host" || cpu.starts_with("host,") ? "max" : cpu;
}

void AddKept(const QemuOption& option, bool emulate, std::vector<std::string>& arguments) {
  if (emulate && (option.name == "accel" || option.name == "enable-kvm")) return;
  arguments.push_back("-" + option.name);
  if (!option.value) return;
  arguments.push_back(emulate && option.name == "cpu" ? EmulatedCpu(*option.value) : *option.value);
}

void AddDevice(const QemuOption& option, std::vector<std::string>& arguments) {
  const std::string driver = Find(ParseKeyValues(*option.value, "driver"), "driver").value_or("");
  if (!Contains(kTreeDevices, driver)) return;
  arguments.insert(arguments.end(), {"-device", *option.value});
}

KeyValues RomDevice() { return {{"driver", kRomDevice}, {"bus", "pcie.0"}}; }

}  // namespace

std::vector<std::string> DumpArguments(const QemuCommand& command, const DumpOptions& options) {
  std::vector<std::string> arguments = {"-nodefaults", "-display", "none", "-machine",
                                        DumpMachine(command, options)};
  if (options.emulate) arguments.insert(arguments.end(), {"-accel", "tcg"});
  // Plain memory of the same size and name: the real one may be a file that must not be touched.
  for (const MemoryBackend& backend : command.memory_backends) {
    const KeyValues plain = {
        {"qom-type", "memory-backend-ram"}, {"id", backend.id}, {"size", backend.size}};
    arguments.insert(arguments.end(), {"-object", FormatKeyValues(plain, "qom-type")});
  }
  for (const QemuOption& option : command.options) {
    if (Contains(kKept, option.name)) AddKept(option, options.emulate, arguments);
    if (!option.value) continue;
    if (option.name == "device") AddDevice(option, arguments);
    if (option.name == "serial") {
      arguments.insert(arguments.end(), {"-serial", *option.value == "none" ? "none" : "null"});
    }
  }
  if (command.HasFirmware()) arguments.insert(arguments.end(), {"-bios", options.firmware_path});
  if (command.UsesAcpi()) {
    arguments.insert(arguments.end(), {"-device", FormatKeyValues(RomDevice(), "driver")});
  }
  return arguments;
}

std::vector<std::string> WithDeviceTree(const QemuCommand& command, const std::string& tree_path) {
  std::vector<std::string> arguments;
  for (const QemuOption& option : command.options) {
    if (option.name == "dtb") continue;
    std::string value = option.value.value_or("");
    if (option.name == "machine" || option.name == "M") {
      KeyValues machine = ParseKeyValues(value, "type");
      if (std::erase_if(machine, [](const KeyValue& pair) { return pair.key == "dtb"; }) > 0) {
        if (machine.empty()) continue;
        value = FormatKeyValues(machine, "type");
      }
    }
    if (!option.name.empty()) arguments.push_back("-" + option.name);
    if (option.value) arguments.push_back(std::move(value));
  }
  arguments.insert(arguments.end(), {"-dtb", tree_path});
  return arguments;
}

void AddOptionRom(std::vector<std::string>& arguments, const std::string& rom_path) {
  KeyValues device = RomDevice();
  device.push_back({"romfile", rom_path});
  arguments.insert(arguments.end(), {"-device", FormatKeyValues(device, "driver")});
}

}  // namespace vtee::cli
