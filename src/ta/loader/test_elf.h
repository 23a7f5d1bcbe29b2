// SPDX-License-Identifier: BSD-3-Clause
// Makes small TA images for tests, with every part where a test can change it. For tests only.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "ta/loader/tee_uuid.h"
#include "tee/types.h"

namespace vtee::ta {

// One page of headers and tables, one of code, one of data:
//   0x0000  headers, .dynsym, .dynstr, .rela.dyn, section headers: a read-only segment
//   0x1000  code: mov x0, x0; movz x8, #33; svc #0; ret
//   0x2000  data: ta_head, a word to relocate (at 0x2040), __elf_phdr_info (at 0x2060), .dynamic
struct TestElf {
  static constexpr std::uint64_t kCode = 0x1000;
  static constexpr std::uint64_t kData = 0x2000;
  static constexpr std::uint64_t kWord = 0x2040;
  static constexpr std::uint64_t kInfo = 0x2060;
  static constexpr std::uint64_t kDynamic = 0x2100;
  static constexpr std::size_t kRela = 0x600;

  explicit TestElf(const tee::Uuid& uuid) : bytes(0x3000) {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_DYN;
    header.e_machine = EM_AARCH64;
    header.e_entry = kCode;
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 3;
    header.e_shoff = 0x800;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 5;
    Put(0, header);
    Segment(0, 0, PF_R, 0x1000, 0x1000);
    Segment(1, kCode, PF_R | PF_X, 0x1000, 0x1000);
    Segment(2, kData, PF_R | PF_W, 0x1000, 0x4000);

    Symbol(1, "ta_head", kData, STB_GLOBAL);
    Symbol(2, "__elf_phdr_info", kInfo, STB_GLOBAL);
    Symbol(3, "weak", kCode, STB_WEAK);
    Symbol(4, "elsewhere", 0, STB_GLOBAL);
    Section(1, SHT_DYNSYM, 0x200, 5 * sizeof(Elf64_Sym), sizeof(Elf64_Sym), 2);
    Section(2, SHT_STRTAB, 0x400, 0x200, 0, 0);
    Section(3, SHT_RELA, kRela, 0, sizeof(Elf64_Rela), 1);
    Section(4, SHT_DYNAMIC, kDynamic, 0x40, sizeof(Elf64_Dyn), 2);

    const std::uint32_t code[] = {0xAA0003E0, 0xD2800428, 0xD4000001, 0xD65F03C0};
    Put(kCode, code);
    Put(kData, ToTeeUuid(uuid));
    const std::uint32_t stack_and_flags[] = {0x2000, 0};
    Put(kData + 16, stack_and_flags);
    Put(kData + 24, ~std::uint64_t{0});
  }

  template <typename T>
  void Put(std::size_t offset, const T& object) {
    std::memcpy(bytes.data() + offset, &object, sizeof(object));
  }
  template <typename T>
  T Get(std::size_t offset) const {
    T object;
    std::memcpy(&object, bytes.data() + offset, sizeof(object));
    return object;
  }

  void Segment(std::size_t index, std::uint64_t at, std::uint32_t flags, std::uint64_t file,
               std::uint64_t memory) {
    Elf64_Phdr header{};
    header.p_type = PT_LOAD;
    header.p_flags = flags;
    header.p_offset = header.p_vaddr = at;
    header.p_filesz = file;
    header.p_memsz = memory;
    header.p_align = 0x1000;
    Put(sizeof(Elf64_Ehdr) + index * sizeof(header), header);
  }
  void Section(std::size_t index, std::uint32_t type, std::uint64_t at, std::uint64_t size,
               std::uint64_t entry, std::uint32_t link) {
    Elf64_Shdr header{};
    header.sh_type = type;
    header.sh_flags = SHF_ALLOC;
    header.sh_addr = header.sh_offset = at;
    header.sh_size = size;
    header.sh_entsize = entry;
    header.sh_link = link;
    Put(0x800 + index * sizeof(header), header);
  }
  // `value` 0: undefined.
  void Symbol(std::size_t index, const std::string& name, std::uint64_t value, unsigned binding) {
    Elf64_Sym symbol{};
    symbol.st_name = String(name);
    symbol.st_info = static_cast<unsigned char>(ELF64_ST_INFO(binding, STT_OBJECT));
    symbol.st_shndx = value == 0 ? SHN_UNDEF : 1;
    symbol.st_value = value;
    Put(0x200 + index * sizeof(symbol), symbol);
  }
  std::uint32_t String(const std::string& text) {
    const std::size_t at = next_string_;
    std::memcpy(bytes.data() + 0x400 + at, text.c_str(), text.size() + 1);
    next_string_ += text.size() + 1;
    return static_cast<std::uint32_t>(at);
  }
  void Relocation(std::uint64_t offset, std::uint32_t type, std::uint32_t symbol,
                  std::int64_t addend) {
    Put(kRela + relocations_ * sizeof(Elf64_Rela),
        Elf64_Rela{offset, ELF64_R_INFO(std::uint64_t{symbol}, type), addend});
    ++relocations_;
    Section(3, SHT_RELA, kRela, relocations_ * sizeof(Elf64_Rela), sizeof(Elf64_Rela), 1);
  }
  void Needs(const tee::Uuid& library) {
    Put(kDynamic, Elf64_Dyn{DT_NEEDED, {String(tee::ToString(library))}});
  }

  std::vector<std::byte> bytes;

 private:
  std::size_t next_string_ = 1;
  std::size_t relocations_ = 0;
};

}  // namespace vtee::ta
