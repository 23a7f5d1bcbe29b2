// SPDX-License-Identifier: BSD-3-Clause
#include "ta/loader/modules.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "ta/loader/svc_patch.h"
#include "ta/loader/tee_uuid.h"

namespace vtee::ta {
namespace {

using runner::kPage;
using runner::kRegionExecute;
using runner::kRegionPrivate;
using runner::kRegionRead;
using runner::kRegionWrite;

constexpr std::size_t kMostModules = 32;
constexpr std::uint64_t kTlsDescriptorWords = 2;

// struct ta_head
struct RawHead {
  TeeUuid uuid;
  std::uint32_t stack_size;
  std::uint32_t flags;
  std::uint64_t old_entry;
};
static_assert(sizeof(RawHead) == 32);

// struct dl_phdr_info of libutee
struct ProgramHeaderInfo {
  std::uint64_t load;
  std::uint64_t name;
  std::uint64_t headers;
  std::uint16_t header_count;
  std::uint16_t pad[3];
  std::uint64_t adds;
  std::uint64_t subs;
  std::uint64_t tls_id;
  std::uint64_t tls_start;
};
static_assert(sizeof(ProgramHeaderInfo) == 64);

// struct __elf_phdr_info
struct ModulesInfo {
  std::uint32_t reserved;
  std::uint16_t count;
  std::uint8_t reserved2;
  char zero;
  std::uint64_t modules;
};
static_assert(sizeof(ModulesInfo) == 16);

LoadFailure Malformed(const std::string& what) {
  return {tee::code::kBadFormat, "the TA cannot be loaded: " + what};
}
LoadFailure OutOfMemory() {
  return {tee::code::kOutOfMemory,
          "the TA does not fit into the memory of a TA; raise ta_memory in the backend's options"};
}

}  // namespace

std::optional<LoadFailure> Modules::LoadTa(const tee::Uuid& uuid, const Fetch& fetch) {
  if (auto failure = LoadFrom(uuid, fetch)) return failure;
  return ReadHead(uuid);
}

std::optional<LoadFailure> Modules::LoadLibrary(const tee::Uuid& uuid, const Fetch& fetch) {
  return LoadFrom(uuid, fetch);
}

std::optional<LoadFailure> Modules::LoadFrom(const tee::Uuid& uuid, const Fetch& fetch) {
  const auto loaded = [&](const tee::Uuid& wanted) {
    return std::ranges::any_of(modules_, [&](const Module& m) { return m.uuid == wanted; });
  };
  const std::size_t before = modules_.size();
  // Breadth first: the order in which symbols are looked up.
  std::vector<tee::Uuid> queue{uuid};
  for (std::size_t i = 0; i < queue.size(); ++i) {
    if (loaded(queue[i])) continue;
    if (modules_.size() == kMostModules) return Malformed("it needs more than 32 libraries");
    auto fetched = fetch(queue[i]);
    if (auto* failure = std::get_if<LoadFailure>(&fetched)) return std::move(*failure);
    auto parsed = ElfFile::Parse(std::move(std::get<0>(fetched)));
    if (!parsed.ok()) return LoadFailure{tee::code::kBadFormat, parsed.error().message};
    const std::vector<tee::Uuid> needed = parsed->needed();
    if (auto failure = Place(queue[i], std::move(parsed).value())) return failure;
    queue.insert(queue.end(), needed.begin(), needed.end());
  }
  auto added = modules_.begin();
  std::advance(added, before);
  for (auto module = added; module != modules_.end(); ++module) {
    if (auto failure = Relocate(*module)) return failure;
  }
  if (auto failure = DescribeModules()) return failure;
  for (auto module = added; module != modules_.end(); ++module) {
    if (auto failure = Seal(*module)) return failure;
  }
  return std::nullopt;
}

std::optional<LoadFailure> Modules::Place(const tee::Uuid& uuid, ElfFile file) {
  constexpr std::uint32_t kReadOnly = kRegionRead | kRegionPrivate;
  const auto load = space_.Allocate(TaSpace::Zone::kModules, file.memory_end(), kReadOnly);
  const auto header = space_.Allocate(TaSpace::Zone::kModules, kPage, kReadOnly);
  if (!load || !header) return OutOfMemory();
  const auto copy = [&](std::uint64_t address, std::span<const std::byte> bytes) {
    if (!bytes.empty()) {
      std::memcpy(space_.Raw(address, bytes.size()).data(), bytes.data(), bytes.size());
    }
  };
  copy(*header, file.bytes().first(std::min<std::size_t>(file.bytes().size(), kPage)));
  for (const ElfSegment& segment : file.segments()) {
    copy(*load + segment.address, file.bytes().subspan(segment.offset, segment.file_size));
  }
  Module module{uuid, std::move(file), *load, *header, 0, 0};
  if (const auto& tls = module.file.tls()) {
    module.tls_id = ++tls_modules_;
    module.tls_offset = (tls_end_ + tls->alignment - 1) / tls->alignment * tls->alignment;
    tls_end_ = module.tls_offset + tls->memory_size;
  }
  modules_.push_back(std::move(module));
  return std::nullopt;
}

namespace {

std::optional<RawHead> ReadRawHead(const ElfFile& file) {
  // Old TAs have no such symbol, and the head at their beginning.
  const auto symbol = file.Find("ta_head");
  const auto bytes = file.FileBytesAt(symbol ? symbol->value : 0, sizeof(RawHead));
  if (!bytes) return std::nullopt;
  RawHead raw;
  std::memcpy(&raw, bytes->data(), sizeof(raw));
  return raw;
}

}  // namespace

std::optional<TaHead> ReadTaHead(const ElfFile& file) {
  const auto raw = ReadRawHead(file);
  if (!raw) return std::nullopt;
  return TaHead{FromTeeUuid(raw->uuid), raw->stack_size, raw->flags};
}

std::optional<LoadFailure> Modules::ReadHead(const tee::Uuid& uuid) {
  const Module& main = modules_.front();
  const auto raw = ReadRawHead(main.file);
  if (!raw) return Malformed("it has no ta_head; is it a library?");
  head_ = {FromTeeUuid(raw->uuid), raw->stack_size, raw->flags};
  if (head_.uuid != uuid) {
    return LoadFailure{tee::code::kSecurity, "the TA's image says that it is " +
                                                 tee::ToString(head_.uuid) + ", not " +
                                                 tee::ToString(uuid)};
  }
  constexpr std::uint64_t kNoOldEntry = ~std::uint64_t{0};
  const std::uint64_t entry = raw->old_entry == kNoOldEntry ? main.file.entry() : raw->old_entry;
  if (entry == 0 || !main.file.InSegment(entry, 4)) return Malformed("it has no entry point");
  entry_ = main.load + entry;
  return std::nullopt;
}

std::optional<Modules::Resolved> Modules::Resolve(std::string_view name) const {
  for (const Module& module : modules_) {
    if (const auto symbol = module.file.Find(name)) return Resolved{&module, *symbol};
  }
  return std::nullopt;
}

std::optional<LoadFailure> Modules::Relocate(const Module& module) {
  for (std::size_t i = 0; i < module.file.relocation_count(); ++i) {
    if (auto failure = RelocateOne(module, module.file.relocation(i))) return failure;
  }
  return std::nullopt;
}

std::optional<LoadFailure> Modules::RelocateOne(const Module& module,
                                                const ElfRelocation& relocation) {
  if (relocation.type == R_AARCH64_NONE) return std::nullopt;
  const bool pair = relocation.type == R_AARCH64_TLSDESC;
  const std::uint64_t size = sizeof(std::uint64_t) * (pair ? kTlsDescriptorWords : 1);
  if (!module.file.InSegment(relocation.offset, size)) {
    return Malformed("a relocation outside of its memory");
  }
  std::uint64_t words[kTlsDescriptorWords] = {};
  const Module* owner = &module;
  std::uint64_t value = 0;
  bool defined = true;
  if (relocation.symbol != 0) {
    const auto symbol = module.file.symbol(relocation.symbol);
    if (!symbol) return Malformed("a relocation without its symbol");
    if (symbol->defined && !symbol->global) {
      value = symbol->value;
    } else if (const auto found = Resolve(symbol->name)) {
      owner = found->module;
      value = found->symbol.value;
    } else if (symbol->weak) {
      defined = false;
    } else {
      return LoadFailure{tee::code::kItemNotFound,
                         "the TA cannot be loaded: no library of it has the symbol " +
                             std::string(symbol->name.substr(0, 200))};
    }
  }
  const std::uint64_t address = defined ? owner->load + value : 0;
  switch (relocation.type) {
    case R_AARCH64_RELATIVE:
      words[0] = module.load + relocation.addend;
      break;
    case R_AARCH64_ABS64:
      words[0] = defined ? address + relocation.addend : 0;
      break;
    case R_AARCH64_GLOB_DAT:
    case R_AARCH64_JUMP_SLOT:
      words[0] = address;
      break;
    case R_AARCH64_TLS_TPREL:
      words[0] = value + owner->tls_offset + relocation.addend;
      break;
    case R_AARCH64_TLSDESC: {
      const auto resolver = TlsResolver();
      if (!resolver) return OutOfMemory();
      words[0] = *resolver;
      words[1] = value + owner->tls_offset + relocation.addend;
      break;
    }
    default:
      return Malformed("relocations of type " + std::to_string(relocation.type));
  }
  std::memcpy(space_.Raw(module.load + relocation.offset, size).data(), words, size);
  return std::nullopt;
}

// What the code calls for the offset of a thread-local variable: takes it from the descriptor.
std::optional<std::uint64_t> Modules::TlsResolver() {
  if (tls_resolver_ != 0) return tls_resolver_;
  const auto page = space_.Allocate(TaSpace::Zone::kModules, kPage,
                                    kRegionRead | kRegionExecute | kRegionPrivate);
  if (!page) return std::nullopt;
  constexpr std::uint32_t kCode[] = {0xF9400400, 0xD65F03C0};  // ldr x0, [x0, #8]; ret
  std::memcpy(space_.Raw(*page, sizeof(kCode)).data(), kCode, sizeof(kCode));
  tls_resolver_ = *page;
  return page;
}

std::optional<LoadFailure> Modules::Seal(const Module& module) {
  for (const ElfSegment& segment : module.file.segments()) {
    const std::uint64_t start = module.load + segment.address;
    const std::uint64_t page = start / kPage * kPage;
    const std::uint64_t size = (start + segment.memory_size - page + kPage - 1) / kPage * kPage;
    std::uint32_t flags = kRegionRead | kRegionPrivate;
    if (segment.writable) flags |= kRegionWrite;
    if (segment.executable) {
      flags |= kRegionExecute;
      PatchSvcWrappers(space_.Raw(page, size), page, runner::kThunkAddress);
    }
    if (!space_.SetFlags(page, size, flags)) return OutOfMemory();
  }
  return std::nullopt;
}

std::optional<LoadFailure> Modules::DescribeModules() {
  const auto wanted = Resolve("__elf_phdr_info");
  if (!wanted) return std::nullopt;  // an old TA, which does not ask
  if (!wanted->module->file.InSegment(wanted->symbol.value, sizeof(ModulesInfo))) {
    return Malformed("its list of modules");
  }
  // The list, then the names.
  constexpr std::uint64_t kMostName = 64;
  const std::uint64_t size = modules_.size() * (sizeof(ProgramHeaderInfo) + kMostName);
  if (description_ == 0 || size > description_size_) {
    if (description_ != 0) space_.Free(description_, description_size_);
    description_size_ = (size + kPage - 1) / kPage * kPage;
    const auto place =
        space_.Allocate(TaSpace::Zone::kModules, description_size_, kRegionRead | kRegionPrivate);
    if (!place) return OutOfMemory();
    description_ = *place;
  }
  const std::uint64_t info_address = wanted->module->load + wanted->symbol.value;
  const std::uint64_t zero = info_address + offsetof(ModulesInfo, zero);
  std::uint64_t at = description_;
  std::uint64_t name_at = description_ + modules_.size() * sizeof(ProgramHeaderInfo);
  for (const Module& module : modules_) {
    ProgramHeaderInfo info{};
    info.load = module.load;
    info.name = zero;
    const std::string_view name = module.file.soname().substr(0, kMostName - 1);
    if (!name.empty()) {
      std::memset(space_.Raw(name_at, kMostName).data(), 0, kMostName);
      std::memcpy(space_.Raw(name_at, name.size()).data(), name.data(), name.size());
      info.name = name_at;
    }
    info.headers = module.header_page + module.file.program_headers_offset();
    info.header_count = module.file.program_header_count();
    info.adds = 1;
    info.tls_id = module.tls_id;
    if (module.file.tls()) info.tls_start = module.load + module.file.tls()->address;
    std::memcpy(space_.Raw(at, sizeof(info)).data(), &info, sizeof(info));
    at += sizeof(info);
    name_at += kMostName;
  }
  const ModulesInfo info{0, static_cast<std::uint16_t>(modules_.size()), 0, 0, description_};
  std::memcpy(space_.Raw(info_address, sizeof(info)).data(), &info, sizeof(info));
  return std::nullopt;
}

std::optional<std::uint64_t> Modules::Symbol(const tee::Uuid& uuid, std::string_view name) const {
  for (const Module& module : modules_) {
    if (uuid != tee::Uuid{} && module.uuid != uuid) continue;
    if (const auto symbol = module.file.Find(name)) return module.load + symbol->value;
  }
  return std::nullopt;
}

std::vector<Modules::Placed> Modules::placed() const {
  std::vector<Placed> placed;
  for (const Module& module : modules_) placed.push_back({module.uuid, module.load});
  return placed;
}

}  // namespace vtee::ta
