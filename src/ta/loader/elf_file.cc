// SPDX-License-Identifier: BSD-3-Clause
#include "ta/loader/elf_file.h"

#include <elf.h>

#include <cstring>

#include "base/checked.h"
#include "runner/channel.h"

namespace vtee::ta {
namespace {

using runner::kPage;

constexpr std::uint64_t kMostMemory = 64u << 20;
constexpr std::size_t kMostNeeded = 64;
constexpr std::size_t kMostTables = 64;  // of relocations; linkers make two or three

Error Bad(const char* what) {
  return {ErrorCode::kInvalidArgument,
          std::string("the TA's ELF image is malformed (") + what +
              "); build it with OP-TEE's TA development kit for arm64"};
}

// The caller has checked that it lies inside.
template <typename T>
T Object(std::span<const std::byte> bytes, std::uint64_t offset) {
  T object;
  std::memcpy(&object, bytes.data() + offset, sizeof(T));
  return object;
}

}  // namespace

Result<ElfFile> ElfFile::Parse(std::vector<std::byte> bytes) {
  ElfFile file;
  file.bytes_ = std::move(bytes);
  VTEE_TRY(file.ReadHeader());
  VTEE_TRY(file.ReadSegments());
  VTEE_TRY(file.ReadSections());
  file.IndexSymbols();
  return file;
}

Status ElfFile::ReadHeader() {
  if (bytes_.size() < sizeof(Elf64_Ehdr)) return Bad("too short");
  const auto header = Object<Elf64_Ehdr>(bytes_, 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return Bad("no ELF file");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_AARCH64) {
    return Error{ErrorCode::kUnsupported,
                 "the TA is not for arm64 (AArch64); 32-bit TAs are not supported"};
  }
  if (header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_DYN ||
      header.e_phentsize != sizeof(Elf64_Phdr) || header.e_shentsize != sizeof(Elf64_Shdr)) {
    return Bad("its header");
  }
  const std::uint64_t phdrs = std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  const std::uint64_t shdrs = std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr);
  // The TA sees the program headers in a copy of the file's first page.
  if (!RangeInside(header.e_phoff, phdrs, std::min<std::uint64_t>(bytes_.size(), kPage)) ||
      header.e_phoff % alignof(Elf64_Phdr) != 0) {
    return Bad("program headers beyond its first page");
  }
  if (!RangeInside(header.e_shoff, shdrs, bytes_.size())) return Bad("section headers cut off");
  entry_ = header.e_entry;
  program_headers_offset_ = header.e_phoff;
  program_header_count_ = header.e_phnum;
  section_headers_offset_ = header.e_shoff;
  section_count_ = header.e_shnum;
  return {};
}

Status ElfFile::ReadSegments() {
  for (std::uint16_t i = 0; i < program_header_count_; ++i) {
    const auto header =
        Object<Elf64_Phdr>(bytes_, program_headers_offset_ + std::uint64_t{i} * sizeof(Elf64_Phdr));
    if (header.p_type == PT_LOAD) {
      VTEE_TRY(AddSegment({header.p_offset, header.p_vaddr, header.p_filesz, header.p_memsz,
                           (header.p_flags & PF_W) != 0, (header.p_flags & PF_X) != 0},
                          (header.p_flags & PF_R) != 0));
    } else if (header.p_type == PT_TLS) {
      if (header.p_align > kPage || (header.p_align & (header.p_align - 1)) != 0 ||
          header.p_memsz > kMostMemory || header.p_filesz > header.p_memsz) {
        return Bad("its thread-local data");
      }
      tls_ = ElfTls{header.p_vaddr, header.p_filesz, header.p_memsz,
                    std::max<std::uint64_t>(header.p_align, 1)};
    }
  }
  if (segments_.empty()) return Bad("nothing to load");
  if (tls_ && !InSegment(tls_->address, tls_->file_size)) return Bad("its thread-local data");
  if (entry_ != 0 && !InSegment(entry_, 4)) return Bad("its entry point");
  return {};
}

Status ElfFile::AddSegment(const ElfSegment& segment, bool readable) {
  if (segment.memory_size == 0) return {};
  const auto end = CheckedAdd(segment.address, segment.memory_size);
  if (!end || *end > kMostMemory) return Bad("a segment that is too large");
  if (!readable || (segment.writable && segment.executable)) {
    return Bad("a segment that is writable and executable, or not readable");
  }
  if (segment.file_size > segment.memory_size ||
      !RangeInside(segment.offset, segment.file_size, bytes_.size())) {
    return Bad("a segment that is cut off");
  }
  if ((segment.address - segment.offset) % kPage != 0) return Bad("a segment's alignment");
  if (!segment.writable && segment.file_size != segment.memory_size) {
    return Bad("a read-only segment with memory of its own");
  }
  if (!segments_.empty() && segment.address / kPage * kPage < memory_end_) {
    return Bad("segments that overlap");
  }
  memory_end_ = (*end + kPage - 1) / kPage * kPage;
  segments_.push_back(segment);
  return {};
}

Status ElfFile::ReadSections() {
  std::optional<Elf64_Shdr> dynamic;
  for (std::uint16_t i = 0; i < section_count_; ++i) {
    const auto header =
        Object<Elf64_Shdr>(bytes_, section_headers_offset_ + std::uint64_t{i} * sizeof(Elf64_Shdr));
    if (header.sh_type == SHT_NOBITS || (header.sh_flags & SHF_ALLOC) == 0) continue;
    if (!RangeInside(header.sh_offset, header.sh_size, bytes_.size())) {
      return Bad("a section that is cut off");
    }
    if (header.sh_type == SHT_DYNSYM) {
      if (header.sh_entsize != kSymbolSize || header.sh_link >= section_count_) {
        return Bad("its symbol table");
      }
      const auto strings = Object<Elf64_Shdr>(
          bytes_, section_headers_offset_ + std::uint64_t{header.sh_link} * sizeof(Elf64_Shdr));
      if (strings.sh_type != SHT_STRTAB ||
          !RangeInside(strings.sh_offset, strings.sh_size, bytes_.size())) {
        return Bad("its string table");
      }
      symbols_offset_ = header.sh_offset;
      symbols_size_ = header.sh_size;
      strings_offset_ = strings.sh_offset;
      strings_size_ = strings.sh_size;
    } else if (header.sh_type == SHT_RELA) {
      if (header.sh_entsize != sizeof(Elf64_Rela) || relocations_.size() == kMostTables) {
        return Bad("its relocations");
      }
      relocations_.push_back({header.sh_offset, header.sh_size / sizeof(Elf64_Rela)});
      relocation_count_ += relocations_.back().count;
    } else if (header.sh_type == SHT_DYNAMIC) {
      dynamic = header;
    }
  }
  if (dynamic) return ReadDynamic(dynamic->sh_offset, dynamic->sh_size);
  return {};
}

Status ElfFile::ReadDynamic(std::uint64_t offset, std::uint64_t size) {
  for (std::uint64_t at = 0; at + sizeof(Elf64_Dyn) <= size; at += sizeof(Elf64_Dyn)) {
    const auto entry = Object<Elf64_Dyn>(bytes_, offset + at);
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_TEXTREL) return Bad("relocations of its code; compile it with -fpic");
    if (entry.d_tag != DT_NEEDED && entry.d_tag != DT_SONAME) continue;
    const auto text = StringAt(entry.d_un.d_val);
    if (!text) return Bad("a library's name");
    if (entry.d_tag == DT_SONAME) {
      soname_ = *text;
      continue;
    }
    tee::Uuid uuid;
    if (!tee::ParseUuid(*text, uuid) || needed_.size() == kMostNeeded) {
      return Bad("a library that it needs is not named by a UUID");
    }
    needed_.push_back(uuid);
  }
  return {};
}

std::optional<std::string_view> ElfFile::StringAt(std::uint64_t index) const {
  if (index >= strings_size_) return std::nullopt;
  const char* start = reinterpret_cast<const char*>(bytes_.data()) + strings_offset_ + index;
  const void* end = std::memchr(start, 0, strings_size_ - index);
  if (end == nullptr) return std::nullopt;
  return std::string_view(start, static_cast<std::size_t>(static_cast<const char*>(end) - start));
}

std::optional<ElfSymbol> ElfFile::symbol(std::size_t index) const {
  if (index >= symbol_count()) return std::nullopt;
  const auto raw = Object<Elf64_Sym>(bytes_, symbols_offset_ + index * kSymbolSize);
  const auto name = StringAt(raw.st_name);
  if (!name) return std::nullopt;
  const unsigned binding = ELF64_ST_BIND(raw.st_info);
  ElfSymbol symbol;
  symbol.name = *name;
  symbol.value = raw.st_value;
  symbol.size = raw.st_size;
  symbol.defined = raw.st_shndx != SHN_UNDEF;
  symbol.weak = binding == STB_WEAK;
  symbol.global = binding == STB_GLOBAL || symbol.weak;
  symbol.tls = ELF64_ST_TYPE(raw.st_info) == STT_TLS;
  return symbol;
}

void ElfFile::IndexSymbols() {
  for (std::size_t i = 1; i < symbol_count(); ++i) {
    const auto found = symbol(i);
    if (!found || !found->defined || !found->global) continue;
    const auto [place, fresh] = symbols_by_name_.try_emplace(found->name, i);
    // The first of its kind, and a strong one before a weak one.
    if (!fresh && !found->weak && symbol(place->second)->weak) place->second = i;
  }
}

std::optional<ElfSymbol> ElfFile::Find(std::string_view name) const {
  const auto found = symbols_by_name_.find(name);
  return found == symbols_by_name_.end() ? std::nullopt : symbol(found->second);
}

ElfRelocation ElfFile::relocation(std::size_t index) const {
  for (const Table& table : relocations_) {
    if (index < table.count) {
      const auto raw = Object<Elf64_Rela>(bytes_, table.offset + index * sizeof(Elf64_Rela));
      return {raw.r_offset, static_cast<std::uint32_t>(ELF64_R_TYPE(raw.r_info)),
              static_cast<std::uint32_t>(ELF64_R_SYM(raw.r_info)),
              static_cast<std::uint64_t>(raw.r_addend)};
    }
    index -= table.count;
  }
  return {};
}

bool ElfFile::InSegment(std::uint64_t address, std::uint64_t size) const {
  for (const ElfSegment& segment : segments_) {
    if (address >= segment.address &&
        RangeInside(address - segment.address, size, segment.memory_size)) {
      return true;
    }
  }
  return false;
}

std::optional<std::span<const std::byte>> ElfFile::FileBytesAt(std::uint64_t address,
                                                               std::uint64_t size) const {
  for (const ElfSegment& segment : segments_) {
    if (address >= segment.address &&
        RangeInside(address - segment.address, size, segment.file_size)) {
      return bytes().subspan(segment.offset + (address - segment.address), size);
    }
  }
  return std::nullopt;
}

}  // namespace vtee::ta
