// SPDX-License-Identifier: BSD-3-Clause
#include "cli/qemu_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace vtee::cli {
namespace {

// QEMU's options without an argument, of versions 5 to 10. All others take exactly one.
constexpr auto kSwitches = std::to_array<std::string_view>({
    "h",
    "help",
    "version",
    "enable-kvm",
    "no-kvm",
    "no-hpet",
    "no-acpi",
    "no-fd-bootchk",
    "snapshot",
    "S",
    "s",
    "singlestep",
    "nographic",
    "full-screen",
    "no-frame",
    "alt-grab",
    "ctrl-grab",
    "no-quit",
    "sdl",
    "curses",
    "portrait",
    "no-shutdown",
    "no-reboot",
    "daemonize",
    "nodefaults",
    "no-user-config",
    "nodefconfig",
    "mem-prealloc",
    "semihosting",
    "xen-attach",
    "xen-domid-restrict",
    "preconfig",
    "only-migratable",
    "old-param",
    "win2k-hack",
    "usb",
    "enable-sync-profile",
    "enable-fips",
    "show-cursor",
    "perfmap",
    "jitdump",
    "async-teardown",
    "audio-help",
    "one-insn-per-tb",
});

bool IsSwitch(std::string_view name) {
  return std::find(kSwitches.begin(), kSwitches.end(), name) != kSwitches.end();
}

std::vector<QemuOption> SplitOptions(std::span<const std::string> arguments) {
  std::vector<QemuOption> options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view word = arguments[i];
    if (word.size() < 2 || word.front() != '-') {
      options.push_back({"", std::string(word)});
      continue;
    }
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    QemuOption option{std::string(word), std::nullopt};
    if (!IsSwitch(word) && i + 1 < arguments.size()) option.value = arguments[++i];
    options.push_back(std::move(option));
  }
  return options;
}

std::vector<std::string> SplitColons(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ':') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::string FileName(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

void TakeMachine(QemuCommand& command, const std::string& value) {
  for (KeyValue& pair : ParseKeyValues(value, "type")) {
    std::erase_if(command.machine, [&](const KeyValue& old) { return old.key == pair.key; });
    command.machine.push_back(std::move(pair));
  }
}

void TakeObject(QemuCommand& command, const std::string& value) {
  const KeyValues object = ParseKeyValues(value, "qom-type");
  const std::string type = Find(object, "qom-type").value_or("");
  if (!type.starts_with("memory-backend-")) return;
  MemoryBackend backend{type, Find(object, "id").value_or(""), Find(object, "size").value_or(""),
                        std::nullopt};
  if (const auto share = Find(object, "share")) backend.share = ParseSwitch(*share);
  command.memory_backends.push_back(std::move(backend));
}

void TakeNuma(QemuCommand& command, const std::string& value) {
  const KeyValues numa = ParseKeyValues(value, "type");
  if (Find(numa, "type") != "node") return;
  if (const auto backend = Find(numa, "memdev")) {
    command.numa_backends.push_back(*backend);
  } else if (Find(numa, "mem")) {
    command.numa_without_backend = true;
  }
}

void TakeDrive(QemuCommand& command, const std::string& value) {
  if (Find(ParseKeyValues(value, ""), "if") == "pflash") command.pflash = true;
}

void TakeSwitch(QemuCommand& command, const std::string& name) {
  if (name == "enable-kvm") command.accelerators.insert(command.accelerators.begin(), "kvm");
  if (name == "daemonize") command.daemonize = true;
  if (name == "no-acpi") command.acpi = false;
}

void TakeOption(QemuCommand& command, const std::string& name, const std::string& value) {
  if (name == "machine" || name == "M") TakeMachine(command, value);
  if (name == "accel") {
    command.accelerators.push_back(Find(ParseKeyValues(value, "accel"), "accel").value_or(""));
  }
  if (name == "m") command.memory_size = Find(ParseKeyValues(value, "size"), "size").value_or("");
  if (name == "object") TakeObject(command, value);
  if (name == "numa") TakeNuma(command, value);
  if (name == "device") command.devices.push_back(ParseKeyValues(value, "driver"));
  if (name == "kernel") command.kernel = value;
  if (name == "bios") command.bios = true;
  if (name == "pflash") command.pflash = true;
  if (name == "drive") TakeDrive(command, value);
  if (name == "dtb") command.device_tree = value;
  if (name == "name") command.name = Find(ParseKeyValues(value, "guest"), "guest").value_or("");
  if (name == "readconfig") command.readconfig = true;
}

// Some options are short forms of machine properties; the person may use either.
void TakeMachineProperties(QemuCommand& command) {
  if (const auto accel = Find(command.machine, "accel")) {
    const auto listed = SplitColons(*accel);
    command.accelerators.insert(command.accelerators.end(), listed.begin(), listed.end());
  }
  if (const auto kernel = Find(command.machine, "kernel")) command.kernel = *kernel;
  if (const auto tree = Find(command.machine, "dtb")) command.device_tree = *tree;
  if (Find(command.machine, "firmware")) command.bios = true;
  if (Find(command.machine, "pflash0")) command.pflash = true;
  if (Find(command.machine, "acpi") == "off") command.acpi = false;
}

bool IsVirt(std::string_view type) { return type == "virt" || type.starts_with("virt-"); }

void CheckMachine(const QemuCommand& command, std::vector<std::string>& problems) {
  const std::string type = command.MachineType();
  if (type.empty()) {
    problems.push_back("QEMU gets no machine type; add -machine virt");
  } else if (!IsVirt(type)) {
    problems.push_back(
        fmt::format("QEMU's machine '{}' is not supported; use -machine virt, or give vtee "
                    "--vmm other and describe the TEE to the guest yourself",
                    type));
  }
  if (command.accelerators.empty() || command.accelerators.front() != "kvm") {
    const std::string instead =
        command.accelerators.empty() ? "emulation" : "'" + command.accelerators.front() + "'";
    problems.push_back(fmt::format(
        "QEMU would use {}, and secure calls can be answered under KVM only; add -accel kvm",
        instead));
  }
}

const MemoryBackend* FindBackend(const QemuCommand& command, const std::string& id) {
  for (const MemoryBackend& backend : command.memory_backends) {
    if (backend.id == id) return &backend;
  }
  return nullptr;
}

// The memory backends that the guest's RAM is made of; none: QEMU's own.
std::vector<std::string> UsedBackends(const QemuCommand& command) {
  if (command.numa_without_backend) return {};
  std::vector<std::string> used = command.numa_backends;
  if (const auto id = Find(command.machine, "memory-backend")) used.push_back(*id);
  return used;
}

void CheckMemory(const QemuCommand& command, std::vector<std::string>& problems) {
  for (const std::string& id : UsedBackends(command)) {
    if (FindBackend(command, id) != nullptr) continue;
    problems.push_back(
        fmt::format("the guest's memory '{0}' is not defined; add -object "
                    "memory-backend-memfd,id={0},size={1},share=on",
                    id, BackendSize(command.memory_size)));
  }
}

// What makes the copies unnecessary for one backend that vteed cannot map.
std::string BackendAdvice(const MemoryBackend& backend) {
  constexpr std::string_view kSlow =
      "so every access by the TEE is copied by QEMU; to make it fast";
  if (backend.type == "memory-backend-ram" || backend.type == "memory-backend-epc") {
    return fmt::format(
        "the guest's memory '{0}' has no file that vteed could map, {1}, use -object "
        "memory-backend-memfd,id={0},size={2},share=on instead of {3}",
        backend.id, kSlow, backend.size, backend.type);
  }
  return fmt::format(
      "the guest's memory '{0}' is private to QEMU, {1}, add share=on to -object {2},id={0}",
      backend.id, kSlow, backend.type);
}

// Devices on the platform bus get a node that only the real device can fill in.
constexpr auto kPlatformDevices = std::to_array<std::string_view>(
    {"tpm-tis-device", "uefi-vars-sysbus", "vfio-platform", "vfio-amd-xgbe", "vfio-calxeda-xgmac"});

void CheckDeviceTree(const QemuCommand& command, std::vector<std::string>& problems) {
  if (!command.device_tree.empty()) return;
  for (const KeyValues& device : command.devices) {
    const std::string driver = Find(device, "driver").value_or("");
    if (std::find(kPlatformDevices.begin(), kPlatformDevices.end(), driver) !=
        kPlatformDevices.end()) {
      problems.push_back(fmt::format(
          "-device {} needs a device-tree node that vtee cannot ask QEMU for; give QEMU your own "
          "tree with -dtb",
          driver));
    }
    if (driver == "virtio-iommu-pci" && !Find(device, "addr")) {
      problems.push_back(
          "-device virtio-iommu-pci must have a fixed place for its device-tree node; add addr= "
          "to it, as in -device virtio-iommu-pci,addr=1f");
    }
  }
}

}  // namespace

bool MemoryBackend::Shared() const {
  if (type == "memory-backend-memfd" || type == "memory-backend-shm") return share.value_or(true);
  return type == "memory-backend-file" && share.value_or(false);
}

bool LooksLikeQemu(std::string_view program) {
  const std::string name = FileName(program);
  return name.starts_with("qemu-system-") || name == "qemu-kvm" || name == "kvm";
}

QemuCommand ParseQemu(std::string_view program, std::span<const std::string> arguments) {
  QemuCommand command;
  command.options = SplitOptions(arguments);
  for (const QemuOption& option : command.options) {
    if (option.value) {
      TakeOption(command, option.name, *option.value);
    } else {
      TakeSwitch(command, option.name);
    }
  }
  TakeMachineProperties(command);
  // QEMU prefers KVM by itself when its own name ends so.
  if (command.accelerators.empty() && program.ends_with("kvm")) command.accelerators = {"kvm"};
  return command;
}

std::vector<std::string> CheckQemu(const QemuCommand& command, bool tree_wanted,
                                   bool memory_wanted) {
  std::vector<std::string> problems;
  if (command.readconfig) {
    problems.push_back(
        "vtee cannot see what -readconfig sets; give QEMU those options on the command line");
    return problems;
  }
  if (command.daemonize) {
    problems.push_back(
        "vtee stays with the VM it started, and -daemonize would part them; leave it out and put "
        "vtee itself into the background");
  }
  CheckMachine(command, problems);
  if (!IsVirt(command.MachineType())) return problems;
  if (memory_wanted) CheckMemory(command, problems);
  if (tree_wanted) CheckDeviceTree(command, problems);
  return problems;
}

std::string MemoryAdvice(const QemuCommand& command) {
  const std::vector<std::string> used = UsedBackends(command);
  for (const std::string& id : used) {
    const MemoryBackend* backend = FindBackend(command, id);
    if (backend != nullptr && !backend->Shared()) return BackendAdvice(*backend);
  }
  if (!used.empty()) return "";
  const char* where = command.numa_without_backend ? "-numa node,memdev=mem (instead of mem=)"
                                                   : "-machine memory-backend=mem";
  return fmt::format(
      "the guest's memory is private to QEMU, so every access by the TEE is copied by QEMU; to "
      "make "
      "it fast, add -object memory-backend-memfd,id=mem,size={},share=on {}",
      BackendSize(command.memory_size), where);
}

std::string BackendSize(std::string_view memory_size) {
  if (memory_size.empty()) return "128M";  // what QEMU's virt machine has without -m
  std::string size(memory_size);
  if (std::isdigit(static_cast<unsigned char>(size.back())) != 0) size += 'M';
  return size;
}

}  // namespace vtee::cli
