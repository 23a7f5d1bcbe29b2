// SPDX-License-Identifier: BSD-3-Clause
// TeeState: what a VM's TEE has beside its running TAs: objects, the versions of TAs it has seen,
// its clocks, and its keys. In a directory of the host, or in memory for as long as it runs.
//
// Threading: any thread, but for TakeStore(), which comes first and once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "ta/container/signed_ta.h"
#include "ta/crypto/secret.h"
#include "ta/storage/object_store.h"

namespace vtee::ta {

// Where a state is kept, and what opens it.
struct DiskStateOptions {
  std::string directory;
  // 32 bytes that the directory's root key is sealed with, as OpenHostKey(): a file, made if it is
  // not there, or the host's TPM, which then also counts. Or an open descriptor, which stays open.
  std::string state_key;
  int key_fd = -1;
  std::uint32_t count_every = 16;  // changes for one step of the TPM's counter (AnchorCounting)
  tee::Uuid vm;         // tells the VMs of a host apart: another one's directory is refused
  std::string vm_name;  // for people
  std::uint64_t most_bytes = 0;
};

class TeeState : public VersionStore {
 public:
  static std::unique_ptr<TeeState> InMemory(std::uint64_t most_bytes);
  static Result<std::unique_ptr<TeeState>> OnDisk(const DiskStateOptions& place);

  virtual std::unique_ptr<ObjectStore> TakeStore() = 0;
  // What a TA's persistent time is ahead of the host's clock, in milliseconds. TEE codes.
  virtual std::uint32_t GetTimeOffset(const tee::Uuid& ta, std::optional<std::int64_t>& millis) = 0;
  virtual std::uint32_t SetTimeOffset(const tee::Uuid& ta, std::int64_t millis) = 0;

  // A key of up to 32 bytes that only this VM's TEE has, by OP-TEE's formula: HMAC-SHA-256 of the
  // root key over the usage's number and the data (optee_os core/kernel/huk_subkey.c).
  enum class KeyUsage : std::uint32_t { kUniqueTa = 3, kTaEncryption = 4 };
  SecretBytes DeriveKey(KeyUsage usage, ConstBytes data, std::size_t size) const;
  // gpd.tee.deviceID
  const tee::Uuid& device_id() const { return device_id_; }

 protected:
  TeeState(SecretBytes huk, const tee::Uuid& device_id)
      : huk_(std::move(huk)), device_id_(device_id) {}

 private:
  const SecretBytes huk_;  // takes the place of a device's hardware unique key
  const tee::Uuid device_id_;
};

}  // namespace vtee::ta
