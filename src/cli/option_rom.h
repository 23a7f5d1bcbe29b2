// SPDX-License-Identifier: BSD-3-Clause
// A PCI option ROM that gives a guest's UEFI firmware one more ACPI table.
//
// QEMU's virt machine has no option for further tables (-acpitable is for x86 alone), and takes the
// tables it makes itself from no file. But UEFI firmware runs the drivers it finds in the ROMs of
// PCI devices: this ROM's driver, 18 instructions, hands the table to the firmware's
// EFI_ACPI_TABLE_PROTOCOL and is done. That holds for each boot of the VM. Pure; any thread.
//
// Not supported: firmware that enforces Secure Boot (it runs signed drivers only), and guests of
// other architectures than AArch64.
#pragma once

#include <cstdint>
#include <string>

namespace vtee::cli {

// The device that carries the ROM: QEMU's test device, which no guest has a driver for.
inline constexpr const char* kRomDevice = "pci-testdev";
inline constexpr std::uint16_t kRomVendorId = 0x1b36;
inline constexpr std::uint16_t kRomDeviceId = 0x0005;

// The bytes of the ROM; `table` is a whole ACPI table with its header.
std::string OptionRom(const std::string& table);

}  // namespace vtee::cli
