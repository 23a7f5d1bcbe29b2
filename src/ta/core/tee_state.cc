// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/tee_state.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "ta/storage/memory_store.h"
#include "ta/storage/seal.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/state_key.h"
#include "ta/storage/tpm_counter.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::size_t kHukBytes = 32;

tee::Uuid UuidOf(ConstBytes bytes) {
  tee::Uuid uuid;
  std::ranges::transform(bytes.first(uuid.octets.size()), uuid.octets.begin(),
                         [](std::byte byte) { return static_cast<std::uint8_t>(byte); });
  // A version 8 UUID (RFC 9562): made in a way of our own.
  uuid.octets[6] = static_cast<std::uint8_t>((uuid.octets[6] & 0x0F) | 0x80);
  uuid.octets[8] = static_cast<std::uint8_t>((uuid.octets[8] & 0x3F) | 0x80);
  return uuid;
}

class MemoryState final : public TeeState {
 public:
  MemoryState(SecretBytes huk, const tee::Uuid& device_id, std::uint64_t most_bytes)
      : TeeState(std::move(huk), device_id), store_(std::make_unique<MemoryStore>(most_bytes)) {}

  std::unique_ptr<ObjectStore> TakeStore() override { return std::move(store_); }
  std::optional<std::uint32_t> Raise(Kind kind, const tee::Uuid& uuid,
                                     std::uint32_t version) override {
    const std::lock_guard lock(mutex_);
    std::uint32_t& newest = versions_[{kind, uuid}];
    newest = std::max(newest, version);
    return newest;
  }
  std::uint32_t GetTimeOffset(const tee::Uuid& ta, std::optional<std::int64_t>& millis) override {
    const std::lock_guard lock(mutex_);
    const auto found = offsets_.find(ta);
    millis = found == offsets_.end() ? std::nullopt : std::optional(found->second);
    return code::kSuccess;
  }
  std::uint32_t SetTimeOffset(const tee::Uuid& ta, std::int64_t millis) override {
    const std::lock_guard lock(mutex_);
    offsets_[ta] = millis;
    return code::kSuccess;
  }

 private:
  std::unique_ptr<ObjectStore> store_;
  std::mutex mutex_;
  std::map<std::pair<Kind, tee::Uuid>, std::uint32_t> versions_;
  std::map<tee::Uuid, std::int64_t> offsets_;
};

class DiskState final : public TeeState {
 public:
  DiskState(SecretBytes huk, const tee::Uuid& device_id, std::unique_ptr<SqliteStore> store)
      : TeeState(std::move(huk), device_id), owned_(std::move(store)), store_(*owned_) {}

  // The objects' layer owns it from then on; it lives as long as the TEE, as this does.
  std::unique_ptr<ObjectStore> TakeStore() override { return std::move(owned_); }
  std::optional<std::uint32_t> Raise(Kind kind, const tee::Uuid& uuid,
                                     std::uint32_t version) override {
    std::uint32_t newest = 0;
    const auto of =
        kind == Kind::kTa ? SqliteStore::VersionOf::kTa : SqliteStore::VersionOf::kSubkey;
    if (store_.RaiseTaVersion(uuid, version, newest, of) != code::kSuccess) return std::nullopt;
    return newest;
  }
  std::uint32_t GetTimeOffset(const tee::Uuid& ta, std::optional<std::int64_t>& millis) override {
    return store_.GetTimeOffset(ta, millis);
  }
  std::uint32_t SetTimeOffset(const tee::Uuid& ta, std::int64_t millis) override {
    return store_.SetTimeOffset(ta, millis);
  }

 private:
  std::unique_ptr<SqliteStore> owned_;
  SqliteStore& store_;
};

}  // namespace

SecretBytes TeeState::DeriveKey(KeyUsage usage, ConstBytes data, std::size_t size) const {
  SecretBytes text = Secret(std::as_bytes(std::span(&usage, 1)));
  text.insert(text.end(), data.begin(), data.end());
  SecretBytes key(EVP_MAX_MD_SIZE);
  unsigned int made = 0;
  if (HMAC(EVP_sha256(), huk_.data(), static_cast<int>(huk_.size()), In(text), text.size(),
           Out(key), &made) == nullptr) {
    throw std::bad_alloc();
  }
  key.resize(std::min<std::size_t>(size, made));
  return key;
}

std::unique_ptr<TeeState> TeeState::InMemory(std::uint64_t most_bytes) {
  SecretBytes huk(kHukBytes);
  SecretBytes id(sizeof(tee::Uuid));
  if (!FillRandom(huk) || !FillRandom(id)) {
    throw std::bad_alloc();
  }
  return std::make_unique<MemoryState>(std::move(huk), UuidOf(id), most_bytes);
}

Result<std::unique_ptr<TeeState>> TeeState::OnDisk(const DiskStateOptions& place) {
  VTEE_ASSIGN_OR_RETURN(const SecretBytes host_key,
                        place.key_fd >= 0 ? ReadHostKey(place.key_fd)
                                          : OpenHostKey(place.state_key, place.directory, true));
  VTEE_ASSIGN_OR_RETURN(const StateKey key, StateKey::Open(place.directory, place.vm, host_key));
  SqliteStoreOptions options;
  options.dir = place.directory;
  options.vm = place.vm;
  options.vm_name = place.vm_name;
  options.root_key = key.Derive(kStorageLabel);
  if (const auto tpm = TpmOf(place.state_key)) {
    options.counting.counter =
        std::make_unique<TpmCounter>(*tpm, key.Derive(kCounterLabel, TpmCounter::kKeyBytes));
    options.counting.every = place.count_every;
  }
  options.most_bytes = place.most_bytes;
  VTEE_ASSIGN_OR_RETURN(auto store, SqliteStore::Open(std::move(options)));
  return std::unique_ptr<TeeState>(std::make_unique<DiskState>(
      key.Derive("huk", kHukBytes), UuidOf(key.Derive("device-id")), std::move(store)));
}

}  // namespace vtee::ta
