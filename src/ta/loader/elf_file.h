// SPDX-License-Identifier: BSD-3-Clause
// ElfFile: a TA's or TA library's ELF image, read and checked before anything of it is used.
//
// AArch64 ET_DYN files as OP-TEE's TA development kit links them: section headers are there and
// needed, because DT_RELASZ of these files sums up sections that do not lie together (what ldelf of
// optee_os 4.10 does, too). Every offset, size and string is checked here or by the accessor that
// uses it. Keeps the bytes it was made from. Immutable; any thread.
// Not supported: 32-bit TAs, text relocations, segments with more memory than 64 MiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "tee/types.h"

namespace vtee::ta {

struct ElfSegment {
  std::uint64_t offset = 0;
  std::uint64_t address = 0;
  std::uint64_t file_size = 0;
  std::uint64_t memory_size = 0;
  bool writable = false;
  bool executable = false;
};

struct ElfTls {
  std::uint64_t address = 0;
  std::uint64_t file_size = 0;
  std::uint64_t memory_size = 0;
  std::uint64_t alignment = 1;
};

struct ElfSymbol {
  std::string_view name;
  std::uint64_t value = 0;
  std::uint64_t size = 0;
  bool defined = false;
  bool weak = false;
  bool global = false;  // global or weak binding
  bool tls = false;
};

struct ElfRelocation {
  std::uint64_t offset = 0;
  std::uint32_t type = 0;
  std::uint32_t symbol = 0;
  std::uint64_t addend = 0;
};

class ElfFile {
 public:
  static Result<ElfFile> Parse(std::vector<std::byte> bytes);
  // Names point into the bytes, which stay where they are when the object moves.
  ElfFile(ElfFile&&) = default;
  ElfFile& operator=(ElfFile&&) = default;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::vector<ElfSegment>& segments() const { return segments_; }  // ascending addresses
  std::uint64_t memory_end() const { return memory_end_; }  // whole pages, from address 0
  std::uint64_t entry() const { return entry_; }            // 0: a library
  const std::optional<ElfTls>& tls() const { return tls_; }
  std::string_view soname() const { return soname_; }
  const std::vector<tee::Uuid>& needed() const { return needed_; }
  std::uint64_t program_headers_offset() const { return program_headers_offset_; }
  std::uint16_t program_header_count() const { return program_header_count_; }

  std::size_t symbol_count() const { return symbols_size_ / kSymbolSize; }
  // Nothing: no such symbol, or its name lies outside of the string table.
  std::optional<ElfSymbol> symbol(std::size_t index) const;
  // A defined global or weak symbol.
  std::optional<ElfSymbol> Find(std::string_view name) const;

  std::size_t relocation_count() const { return relocation_count_; }
  ElfRelocation relocation(std::size_t index) const;

  // [address, address + size) lies inside of one segment.
  bool InSegment(std::uint64_t address, std::uint64_t size) const;
  // Bytes of the file that become this memory; nothing where there are none, or not all.
  std::optional<std::span<const std::byte>> FileBytesAt(std::uint64_t address,
                                                        std::uint64_t size) const;

 private:
  static constexpr std::size_t kSymbolSize = 24;
  struct Table {
    std::size_t offset;
    std::size_t count;
  };
  ElfFile() = default;
  Status ReadHeader();
  Status ReadSegments();
  Status AddSegment(const ElfSegment& segment, bool readable);
  Status ReadSections();
  Status ReadDynamic(std::uint64_t offset, std::uint64_t size);
  void IndexSymbols();
  std::optional<std::string_view> StringAt(std::uint64_t index) const;

  std::vector<std::byte> bytes_;
  std::vector<ElfSegment> segments_;
  std::optional<ElfTls> tls_;
  std::uint64_t memory_end_ = 0;
  std::uint64_t entry_ = 0;
  std::uint64_t program_headers_offset_ = 0;
  std::uint16_t program_header_count_ = 0;
  std::uint64_t section_headers_offset_ = 0;
  std::uint16_t section_count_ = 0;

  std::size_t symbols_offset_ = 0;
  std::size_t symbols_size_ = 0;
  std::size_t strings_offset_ = 0;
  std::size_t strings_size_ = 0;
  std::vector<Table> relocations_;
  std::size_t relocation_count_ = 0;
  std::string_view soname_;
  std::vector<tee::Uuid> needed_;
  // Defined global symbols by name, weak ones where there is no other: a TA's file must not be able
  // to make linking take the square of its size.
  std::unordered_map<std::string_view, std::size_t> symbols_by_name_;
};

}  // namespace vtee::ta
