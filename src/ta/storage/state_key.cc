// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_key.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"
#include "ta/storage/durable_file.h"
#include "ta/storage/refused.h"
#include "ta/storage/seal.h"
#include "ta/storage/state_paths.h"

namespace vtee::ta {
namespace {

constexpr std::string_view kRootMagic = "vteeroot";
constexpr std::string_view kTpmPrefix = "tpm:";
constexpr std::uint32_t kRootFormat = 1;
constexpr mode_t kOthers = S_IROTH | S_IWOTH | S_IXOTH;

Result<SecretBytes> TakeHostKey(SecretBytes bytes, const std::string& name) {
  if (bytes.size() == kSealKeyBytes) return bytes;
  return Refused(name + " has " + std::to_string(bytes.size()) +
                 " bytes, a host key has 32: make one with `head -c 32 /dev/urandom`");
}

Result<SecretBytes> MakeTpmKey(const Tpm& tpm, const StatePaths& paths) {
  SecretBytes key(kSealKeyBytes);
  if (!FillRandom(key)) {
    return Error{ErrorCode::kSystem, "the system gives no random numbers for a host key"};
  }
  VTEE_ASSIGN_OR_RETURN(const SecretBytes sealed, tpm.Seal(key));
  VTEE_TRY(MakePrivateDirectory(paths.folder()));
  VTEE_ASSIGN_OR_RETURN(const bool made, CreateDurably(paths.tpm_key(), sealed));
  if (made) return key;
  return Error{ErrorCode::kUnavailable, "another process is just making " + paths.tpm_key() +
                                            ": a VM's TEE can run only once"};
}

// What the root is bound to, and what stands before it in the file.
SecretBytes HeaderFor(const tee::Uuid& vm) {
  return Encoder()
      .Bytes(std::as_bytes(std::span(kRootMagic)))
      .U32(kRootFormat)
      .Bytes(std::as_bytes(std::span(vm.octets)))
      .bytes();
}

Result<SecretBytes> MakeRoot(const std::string& dir, const std::string& path, const tee::Uuid& vm,
                             ConstBytes host_key) {
  const std::string database = StatePaths(dir).database();
  if (Exists(database)) {
    return Refused(path + " is missing, and without it nobody can read " + database +
                   ": put it back from a backup, or move the directory away to begin anew");
  }
  SecretBytes root(kRootBytes);
  Sealed sealed;
  const SecretBytes header = HeaderFor(vm);
  if (!FillRandom(root) || !Seal(host_key, header, root, sealed)) {
    return Error{ErrorCode::kSystem, "the system gives no random numbers for a new root key"};
  }
  VTEE_ASSIGN_OR_RETURN(const bool made,
                        CreateDurably(path, Encoder().Bytes(header).Bytes(sealed).bytes()));
  if (!made) {
    return Error{ErrorCode::kUnavailable,
                 "another process is just making " + path + ": a VM's TEE can run only once"};
  }
  return root;
}

// What is before the sealed root.
struct RootHeader {
  std::uint32_t format = 0;
  tee::Uuid owner;
  ConstBytes sealed;
};
std::optional<RootHeader> ParseRoot(ConstBytes file) {
  Decoder decoder(file);
  const ConstBytes magic = decoder.Bytes(kRootMagic.size());
  RootHeader header;
  header.format = decoder.U32();
  const ConstBytes uuid = decoder.Bytes(header.owner.octets.size());
  if (!decoder.ok() || std::memcmp(magic.data(), kRootMagic.data(), kRootMagic.size()) != 0) {
    return std::nullopt;
  }
  std::memcpy(header.owner.octets.data(), uuid.data(), uuid.size());
  header.sealed = decoder.rest();
  return header;
}

Result<SecretBytes> OpenRoot(const std::string& path, ConstBytes file, const tee::Uuid& vm,
                             ConstBytes host_key) {
  const auto header = ParseRoot(file);
  if (!header) {
    return Refused(path + " is damaged or no root key of vtee: put it back from a backup");
  }
  if (header->format != kRootFormat) {
    return Refused(path + " has format " + std::to_string(header->format) +
                   ", this version of vtee knows only 1: use the version that wrote it");
  }
  if (header->owner != vm) {
    return Refused(path + " belongs to the VM " + tee::ToString(header->owner) + ", not to " +
                   tee::ToString(vm) + ": give each VM its own directory");
  }
  SecretBytes root;
  if (!Unseal(host_key, HeaderFor(vm), header->sealed, root) || root.size() != kRootBytes) {
    return Refused(path +
                   " cannot be opened with this host key: it was sealed with another one, or it is "
                   "damaged; use the key of the host that made it, or a backup");
  }
  return root;
}

}  // namespace

Result<SecretBytes> ReadHostKey(int fd) {
  const std::string name = "the host key (descriptor " + std::to_string(fd) + ")";
  // The position is shared with everybody who has inherited the same open file.
  SecretBytes whole(kSealKeyBytes + 1);
  const ssize_t size = ::pread(fd, whole.data(), whole.size(), 0);
  if (size >= 0) {
    whole.resize(static_cast<std::size_t>(size));
    return TakeHostKey(std::move(whole), name);
  }
  VTEE_ASSIGN_OR_RETURN(auto bytes, ReadToEnd(fd, name));
  return TakeHostKey(std::move(bytes), name);
}

Result<SecretBytes> ReadHostKey(const std::string& path, bool create) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd && errno == ENOENT && create) {
    SecretBytes key(kSealKeyBytes);
    if (!FillRandom(key)) {
      return Error{ErrorCode::kSystem, "the system gives no random numbers for a host key"};
    }
    VTEE_ASSIGN_OR_RETURN(const bool made, CreateDurably(path, key));
    // Others may have been quicker, and use theirs already.
    return made ? Result<SecretBytes>(std::move(key)) : ReadHostKey(path, false);
  }
  if (!fd) return ErrnoError(errno, "cannot open the host key " + path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return ErrnoError(errno, "cannot look at " + path);
  if ((status.st_mode & kOthers) != 0) {
    return Error{ErrorCode::kPermissionDenied,
                 "everybody has access to the host key " + path + ": run `chmod 600 " + path +
                     "`, and make a new key if others may have read it"};
  }
  VTEE_ASSIGN_OR_RETURN(auto bytes, ReadToEnd(fd.get(), path));
  return TakeHostKey(std::move(bytes), path);
}

std::optional<Tpm> TpmOf(const std::string& state_key) {
  if (!state_key.starts_with(kTpmPrefix)) return std::nullopt;
  return Tpm(state_key.substr(kTpmPrefix.size()));
}

Result<SecretBytes> OpenHostKey(const std::string& state_key, const std::string& dir, bool create) {
  const StatePaths paths(dir);
  const auto tpm = TpmOf(state_key);
  // A new key would not open the root that is there.
  const bool may_make = create && !Exists(paths.root());
  if (!tpm) {
    auto key = ReadHostKey(state_key.empty() ? paths.key() : state_key, may_make);
    if (!key.ok() && key.error().code == ErrorCode::kNotFound && Exists(paths.tpm_key())) {
      return Error{ErrorCode::kNotFound, key.error().message +
                                             "; this state's key is sealed to a "
                                             "TPM: say so (state_key=tpm:)"};
    }
    return key;
  }
  const std::string path = paths.tpm_key();
  VTEE_ASSIGN_OR_RETURN(const auto sealed, ReadSmallFile(path));
  if (!sealed) {
    if (may_make) return MakeTpmKey(*tpm, paths);
    return Refused(path +
                   " is missing, and without it the TPM does not give the state's key: put "
                   "it back, or name the key that the state was made with");
  }
  auto key = tpm->Unseal(*sealed);
  if (!key.ok()) return Error{key.error().code, path + ": " + key.error().message};
  return TakeHostKey(std::move(key).value(), path);
}

Result<StateKey> StateKey::Open(const std::string& dir, const tee::Uuid& vm, ConstBytes host_key) {
  if (host_key.size() != kSealKeyBytes) return Refused("a host key has 32 bytes");
  VTEE_TRY(MakePrivateDirectory(dir));
  const std::string path = StatePaths(dir).root();
  VTEE_ASSIGN_OR_RETURN(auto file, ReadSmallFile(path));
  auto root = file ? OpenRoot(path, *file, vm, host_key) : MakeRoot(dir, path, vm, host_key);
  if (!root.ok()) return root.error();
  return StateKey(std::move(root).value(), vm);
}

std::optional<tee::Uuid> OwnerOfRoot(ConstBytes file) {
  const auto header = ParseRoot(file);
  if (!header || header->format != kRootFormat) return std::nullopt;
  return header->owner;
}

SecretBytes StateKey::Derive(std::string_view label, std::size_t size) const {
  return Hkdf(root_, std::as_bytes(std::span(vm_.octets)), label, size);
}

}  // namespace vtee::ta
