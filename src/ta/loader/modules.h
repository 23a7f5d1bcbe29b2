// SPDX-License-Identifier: BSD-3-Clause
// Modules: the ELF images that make up a running TA: itself and the libraries it needs.
//
// Loads, relocates and links them into a TaSpace, as OP-TEE's ldelf does inside a TA (optee_os
// 4.10 ldelf/*.c). The images have been verified before; yet nothing here trusts them.
// Threading: as the instance: one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ta/loader/elf_file.h"
#include "ta/process/ta_space.h"
#include "tee/types.h"

namespace vtee::ta {

// Why loading failed: what the TEE answers, and a sentence.
struct LoadFailure {
  std::uint32_t code = 0;
  std::string message;
};

// What a TA says about itself: struct ta_head (optee_os lib/libutee/include/user_ta_header.h).
struct TaHead {
  tee::Uuid uuid;
  std::uint32_t stack_size = 0;
  std::uint32_t flags = 0;
};

// Nothing: it is no TA.
std::optional<TaHead> ReadTaHead(const ElfFile& file);

class Modules {
 public:
  // The verified image of a module, or why there is none.
  using Fetch = std::function<std::variant<std::vector<std::byte>, LoadFailure>(const tee::Uuid&)>;

  explicit Modules(TaSpace& space) : space_(space) {}
  Modules(const Modules&) = delete;
  Modules& operator=(const Modules&) = delete;

  // Loads the TA and all it needs. Nothing: done.
  std::optional<LoadFailure> LoadTa(const tee::Uuid& uuid, const Fetch& fetch);
  // Loads a library and all it needs into a TA that has run: dlopen(). Nothing to do if it is
  // there.
  std::optional<LoadFailure> LoadLibrary(const tee::Uuid& uuid, const Fetch& fetch);
  // The address of a global symbol: in a library, or in all of the TA (nil UUID). dlsym().
  std::optional<std::uint64_t> Symbol(const tee::Uuid& uuid, std::string_view name) const;

  const TaHead& head() const { return head_; }
  std::uint64_t entry() const { return entry_; }

  // The pages of the list of modules, which says where they are; 0: there is none.
  std::uint64_t description() const { return description_; }

  // What a symbolizer needs: where each module lies.
  struct Placed {
    tee::Uuid uuid;
    std::uint64_t load;
  };
  std::vector<Placed> placed() const;

 private:
  struct Module {
    tee::Uuid uuid;
    ElfFile file;
    std::uint64_t load = 0;         // what the file's addresses are added to
    std::uint64_t header_page = 0;  // a copy of the file's first page
    std::uint64_t tls_id = 0;
    std::uint64_t tls_offset = 0;  // from the thread pointer
  };
  struct Resolved {
    const Module* module;
    ElfSymbol symbol;
  };

  std::optional<LoadFailure> LoadFrom(const tee::Uuid& uuid, const Fetch& fetch);
  std::optional<LoadFailure> Place(const tee::Uuid& uuid, ElfFile file);
  std::optional<LoadFailure> ReadHead(const tee::Uuid& uuid);
  std::optional<LoadFailure> Relocate(const Module& module);
  std::optional<LoadFailure> RelocateOne(const Module& module, const ElfRelocation& relocation);
  std::optional<Resolved> Resolve(std::string_view name) const;
  // Sets rights; code is patched before.
  std::optional<LoadFailure> Seal(const Module& module);
  std::optional<LoadFailure> DescribeModules();
  std::optional<std::uint64_t> TlsResolver();

  TaSpace& space_;
  std::list<Module> modules_;  // the order of symbol search
  TaHead head_;
  std::uint64_t entry_ = 0;
  std::uint64_t tls_end_ = 16;  // the thread control block comes first
  std::uint64_t tls_modules_ = 0;
  std::uint64_t tls_resolver_ = 0;
  std::uint64_t description_ = 0;  // of the modules, for dl_iterate_phdr()
  std::uint64_t description_size_ = 0;
};

}  // namespace vtee::ta
