// SPDX-License-Identifier: BSD-3-Clause
// What vtee must know of a QEMU command line, and the changes it makes to one.
//
// Parsing never fails: QEMU itself reports what it does not understand. CheckQemu() says, one
// sentence per problem with its remedy, what keeps the VM from having a TEE. Pure; any thread.
//
// Not supported: options in -readconfig files and @files, and machines other than "virt".
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/key_values.h"

namespace vtee::cli {

struct QemuOption {
  std::string name;  // without dashes; empty: a bare argument, which QEMU takes as a disk image
  std::optional<std::string> value;
};

struct MemoryBackend {
  std::string type;  // "memory-backend-memfd", ...
  std::string id;
  std::string size;
  std::optional<bool> share;

  // Can vteed map it, that is: has it a file, and do writes of either side reach the other?
  bool Shared() const;
};

struct QemuCommand {
  std::vector<QemuOption> options;        // in the order given
  KeyValues machine;                      // all -machine/-M merged; "type" is the machine
  std::vector<std::string> accelerators;  // in order of preference
  std::string memory_size;                // of -m as given, empty: QEMU's default
  std::vector<MemoryBackend> memory_backends;
  std::vector<std::string> numa_backends;  // memdev= of -numa node
  bool numa_without_backend = false;
  std::vector<KeyValues> devices;  // -device; "driver" is the type
  std::string kernel;
  bool bios = false;
  bool pflash = false;
  bool acpi = true;         // of the machine; it makes tables for firmware only
  std::string device_tree;  // the user's -dtb
  std::string name;
  bool daemonize = false;
  bool readconfig = false;

  std::string MachineType() const { return Find(machine, "type").value_or(""); }
  bool HasFirmware() const { return bios || pflash; }
  // Will the guest's operating system see ACPI tables instead of a device tree? EDK2 hands on one
  // of them, the tables if there are any.
  bool UsesAcpi() const { return HasFirmware() && acpi; }
};

// Is a program of this file name a QEMU that vtee knows how to analyse?
bool LooksLikeQemu(std::string_view program);

QemuCommand ParseQemu(std::string_view program, std::span<const std::string> arguments);

// `tree_wanted`: vtee is to add the TEE's node to the device tree. `memory_wanted`: vteed is to
// reach the guest's memory.
std::vector<std::string> CheckQemu(const QemuCommand& command, bool tree_wanted,
                                   bool memory_wanted = true);

// The sentence on guest memory that vteed cannot map and what to add so that it can; "": it can.
std::string MemoryAdvice(const QemuCommand& command);

// The size for -object memory-backend-*: a plain number means MiB for -m, bytes there.
std::string BackendSize(std::string_view memory_size);

// The arguments of a QEMU run that only writes its device tree to `tree_path`: what shapes the
// tree is kept, everything with an effect outside that process is left out.
struct DumpOptions {
  std::string tree_path;
  std::string firmware_path;  // stands in for any firmware: an image must not be opened twice
  bool emulate = false;       // no KVM here (dry run on another machine): nearest TCG equivalent
};
std::vector<std::string> DumpArguments(const QemuCommand& command, const DumpOptions& options);

// The arguments with the user's device tree, if any, replaced by `tree_path`, which also reaches
// firmware: QEMU puts the tree at the start of memory, where firmware looks for it.
std::vector<std::string> WithDeviceTree(const QemuCommand& command, const std::string& tree_path);

// Adds a PCI device with the option ROM `rom_path`, after all devices of the user's.
void AddOptionRom(std::vector<std::string>& arguments, const std::string& rom_path);

}  // namespace vtee::cli
