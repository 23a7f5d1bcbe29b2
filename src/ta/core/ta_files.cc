// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/ta_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "base/file_bytes.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "ta/core/guest_ta.h"
#include "ta/pta/install_pta.h"

namespace vtee::ta {
namespace {

// No TA has this namespace: the pseudo-TA goes before a TA of its UUID.
ObjectKey InstalledKey(const tee::Uuid& uuid) {
  const auto bytes = std::as_bytes(std::span(uuid.octets));
  ObjectKey key;
  key.ta = kInstallPta;
  key.id.assign(bytes.begin(), bytes.end());
  return key;
}

}  // namespace

TaFiles::TaFiles(const TaSources& sources, TeeState& state, StoredObjects& storage)
    : sources_(sources), state_(state), storage_(storage) {}

std::variant<std::vector<std::byte>, LoadFailure> TaFiles::Fetch(Call& call,
                                                                 const tee::Uuid& uuid) {
  auto found = FetchVerified(call, uuid);
  if (auto* failure = std::get_if<LoadFailure>(&found)) return std::move(*failure);
  return std::move(std::get<VerifiedTa>(found).image);
}

std::variant<VerifiedTa, LoadFailure> TaFiles::FetchVerified(Call& call, const tee::Uuid& uuid) {
  auto file = ReadInstalled(uuid);
  if (!file) file = ReadFromFolders(uuid);
  if (!file && sources_.guest) {
    auto asked = AskGuestForTa(call.context, uuid);
    if (const auto* failure = std::get_if<LoadFailure>(&asked)) return *failure;
    file = std::get<0>(std::move(asked));
  }
  if (!file) {
    return LoadFailure{tee::code::kItemNotFound, "there is no such TA: " + tee::ToString(uuid)};
  }
  return VerifyOrLog(*file, uuid);
}

std::uint32_t TaFiles::Install(std::span<const std::byte> file) {
  const auto uuid = ClaimedUuid(file);
  if (!uuid) return tee::code::kSecurity;
  const auto checked = VerifyOrLog(file, *uuid);
  if (const auto* failure = std::get_if<LoadFailure>(&checked)) return failure->code;
  return storage_.store().Create(InstalledKey(*uuid), {}, file, true);
}

std::vector<tee::Uuid> TaFiles::InFoldersWith(std::uint32_t flags) {
  std::set<tee::Uuid> found;
  for (const std::string& folder : sources_.folders) {
    std::error_code failed;
    for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end;
         at.increment(failed)) {
      tee::Uuid uuid;
      const std::filesystem::path& path = at->path();
      if (path.extension() != ".ta" || !tee::ParseUuid(path.stem().native(), uuid)) continue;
      const auto file = ReadFromFolders(uuid);
      if (!file) continue;
      auto verdict = Verify(*file, uuid);
      if (!verdict.ok()) continue;
      const auto image = ElfFile::Parse(std::move(verdict.value().image));
      const auto head = image.ok() ? ReadTaHead(*image) : std::nullopt;
      if (head && (head->flags & flags) != 0) found.insert(uuid);
    }
  }
  return {found.begin(), found.end()};
}

Verdict<VerifiedTa> TaFiles::Verify(std::span<const std::byte> file, const tee::Uuid& uuid) {
  // Files of TAs can be encrypted for one VM: with the key that OP-TEE would derive of its root.
  TaDecryptionKeys keys;
  const SecretBytes key =
      state_.DeriveKey(TeeState::KeyUsage::kTaEncryption, {}, sizeof(TaDecryptionKeys::Key));
  std::memcpy(keys.device.emplace().data(), key.data(), key.size());
  return VerifySignedTa(file, uuid, sources_.roots, keys, state_);
}

std::variant<VerifiedTa, LoadFailure> TaFiles::VerifyOrLog(std::span<const std::byte> file,
                                                           const tee::Uuid& uuid) {
  auto verdict = Verify(file, uuid);
  if (verdict.ok()) return std::move(verdict.value());
  const Refusal& refusal = verdict.refusal();
  LogGuest(
      LogLevel::kWarning, "ta.refused",
      {{"ta", tee::ToString(uuid)}, {"fault", ToString(refusal.fault)}, {"why", refusal.message}});
  return LoadFailure{refusal.code(), refusal.message};
}

std::optional<std::vector<std::byte>> TaFiles::ReadInstalled(const tee::Uuid& uuid) {
  const ObjectKey key = InstalledKey(uuid);
  ObjectRecord record;
  if (storage_.store().Load(key, record) != tee::code::kSuccess || record.size > kMostTaFile) {
    return std::nullopt;
  }
  std::vector<std::byte> file(record.size);
  std::uint64_t got = 0;
  if (storage_.store().Read(key, 0, file, got) != tee::code::kSuccess || got != file.size()) {
    return std::nullopt;
  }
  return file;
}

std::optional<std::vector<std::byte>> TaFiles::ReadFromFolders(const tee::Uuid& uuid) const {
  for (const std::string& folder : sources_.folders) {
    const std::string path = folder + "/" + tee::ToString(uuid) + ".ta";
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    if (!fd.valid() || fstat(fd.get(), &info) != 0 || info.st_size < 0 ||
        static_cast<std::uint64_t>(info.st_size) > kMostTaFile) {
      continue;
    }
    std::vector<std::byte> bytes(static_cast<std::size_t>(info.st_size));
    bytes.resize(ReadFully(fd.get(), bytes).value_or(0));
    return bytes;
  }
  return std::nullopt;
}

}  // namespace vtee::ta
