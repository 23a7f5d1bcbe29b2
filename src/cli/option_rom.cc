// SPDX-License-Identifier: BSD-3-Clause
#include "cli/option_rom.h"

#include <array>
#include <initializer_list>

namespace vtee::cli {
namespace {

// The driver's entry point: EFI_STATUS Entry(EFI_HANDLE, EFI_SYSTEM_TABLE*). The table follows it.
// Offsets are those of the UEFI specification's structures on a 64-bit machine.
constexpr auto kDriver = std::to_array<std::uint32_t>({
    0xa9be7bfd,  // 00  stp  x29, x30, [sp, #-32]!
    0x910003fd,  // 04  mov  x29, sp
    0xf9403028,  // 08  ldr  x8, [x1, #96]     SystemTable->BootServices
    0xf940a108,  // 0c  ldr  x8, [x8, #320]    ->LocateProtocol
    0x100001c0,  // 10  adr  x0, 48
    0xaa1f03e1,  // 14  mov  x1, xzr
    0x910043e2,  // 18  add  x2, sp, #16
    0xd63f0100,  // 1c  blr  x8                LocateProtocol(&guid, NULL, &protocol)
    0xb50000e0,  // 20  cbnz x0, 3c
    0xf9400be0,  // 24  ldr  x0, [sp, #16]
    0xf9400008,  // 28  ldr  x8, [x0]          protocol->InstallAcpiTable
    0x10000161,  // 2c  adr  x1, 58
    0xb9400422,  // 30  ldr  w2, [x1, #4]      the table's own length
    0x910063e3,  // 34  add  x3, sp, #24
    0xd63f0100,  // 38  blr  x8                InstallAcpiTable(protocol, table, length, &key)
    0xa8c27bfd,  // 3c  ldp  x29, x30, [sp], #32
    0xd65f03c0,  // 40  ret                    with the status of the last call
    0xd503201f,  // 44  nop
    // 48: EFI_ACPI_TABLE_PROTOCOL_GUID, ffe06bdd-6107-46a6-7bb2-5a9c7ec5275c; 58: the table
    0xffe06bdd,
    0x46a66107,
    0x9c5ab27b,
    0x5c27c57e,
});

constexpr std::size_t kBlock = 512;           // of ROM sizes and of the image's parts in a file
constexpr std::size_t kPage = 4096;           // of the image in memory
constexpr std::size_t kImageStart = 0x40;     // the image in the ROM
constexpr std::uint16_t kMachine = 0xaa64;    // AArch64
constexpr std::uint16_t kBootDriver = 0x0b;   // EFI boot service driver
constexpr std::uint32_t kCode = 0x6000'0020;  // a section's flags: code, to execute and to read

constexpr std::size_t Up(std::size_t size, std::size_t unit) {
  return (size + unit - 1) / unit * unit;
}

struct Field {
  std::size_t offset;
  int width;
  std::uint64_t value;
};

void Store(std::string& image, std::size_t base, std::initializer_list<Field> fields) {
  for (const Field& field : fields) {
    for (int i = 0; i < field.width; ++i) {
      image[base + field.offset + static_cast<std::size_t>(i)] =
          static_cast<char>(field.value >> (8 * i));
    }
  }
}

// A PE32+ image with one section, which runs wherever it is loaded: nothing needs relocation.
std::string Image(const std::string& code) {
  constexpr std::size_t kCoff = 0x44;
  constexpr std::size_t kOptional = kCoff + 20;
  constexpr std::size_t kOptionalSize = 112;  // no data directories
  constexpr std::size_t kSection = kOptional + kOptionalSize;
  const std::size_t in_file = Up(code.size(), kBlock);
  std::string image(kBlock, '\0');
  image.replace(0, 2, "MZ");
  Store(image, 0, {{0x3c, 4, 0x40}});
  image.replace(0x40, 2, "PE");
  Store(image, kCoff,
        {{0, 2, kMachine}, {2, 2, 1}, {16, 2, kOptionalSize}, {18, 2, 0x0002 /* executable */}});
  Store(image, kOptional,
        {{0, 2, 0x020b},                           // PE32+
         {4, 4, in_file},                          // size of code
         {16, 4, kPage},                           // entry point
         {20, 4, kPage},                           // base of code
         {32, 4, kPage},                           // alignment in memory
         {36, 4, kBlock},                          // alignment in the file
         {56, 4, kPage + Up(code.size(), kPage)},  // size in memory
         {60, 4, kBlock},                          // size of headers
         {68, 2, kBootDriver},                     // subsystem
         {70, 2, 0x0100}});                        // needs no memory to be writable and code
  image.replace(kSection, 5, ".text");
  Store(image, kSection,
        {{8, 4, code.size()}, {12, 4, kPage}, {16, 4, in_file}, {20, 4, kBlock}, {36, 4, kCode}});
  image += code;
  image.resize(kBlock + in_file, '\0');
  return image;
}

}  // namespace

std::string OptionRom(const std::string& table) {
  std::string code(kDriver.size() * sizeof(std::uint32_t), '\0');
  for (std::size_t i = 0; i < kDriver.size(); ++i) Store(code, i * 4, {{0, 4, kDriver[i]}});
  const std::string image = Image(code + table);
  // EDK2 takes a ROM of 2 KiB for none.
  const std::size_t size = Up(kImageStart + image.size(), kPage);
  constexpr std::size_t kPciData = 0x1c;
  std::string rom(kImageStart, '\0');
  Store(rom, 0,
        {{0x00, 2, 0xaa55},
         {0x02, 2, size / kBlock},
         {0x04, 4, 0x0ef1},  // an EFI image follows
         {0x08, 2, kBootDriver},
         {0x0a, 2, kMachine},
         {0x16, 2, kImageStart},
         {0x18, 2, kPciData}});
  rom.replace(kPciData, 4, "PCIR");
  Store(rom, kPciData,
        {{4, 2, kRomVendorId},
         {6, 2, kRomDeviceId},
         {10, 2, 0x1c},  // length of this structure
         {12, 1, 3},     // its revision
         {15, 1, 0xff},  // class: none of the defined ones
         {16, 2, size / kBlock},
         {20, 1, 3},     // code type: EFI
         {21, 1, 0x80},  // the last image
         {22, 2, size / kBlock}});
  rom += image;
  rom.resize(size, '\0');
  return rom;
}

}  // namespace vtee::cli
