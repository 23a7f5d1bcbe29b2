// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/signed_ta.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "ta/container/header.h"
#include "ta/container/subkey.h"

namespace vtee::ta {
namespace {

const unsigned char* Bytes(std::span<const std::byte> span) {
  return reinterpret_cast<const unsigned char*>(span.data());
}

// Nothing: as wished.
using Check = std::optional<Refusal>;

class Hash {
 public:
  explicit Hash(const EVP_MD* digest) : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), digest, nullptr) != 1)
      throw std::bad_alloc();
  }
  void Add(std::span<const std::byte> bytes) {
    if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) throw std::bad_alloc();
  }
  template <typename T>
  void AddObject(const T& object) {
    Add(std::as_bytes(std::span(&object, 1)));
  }
  bool Is(std::span<const std::byte> expected) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    if (EVP_DigestFinal_ex(context_.get(), digest.data(), &size) != 1) throw std::bad_alloc();
    return size == expected.size() && CRYPTO_memcmp(digest.data(), expected.data(), size) == 0;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

class Verifier {
 public:
  Verifier(std::span<const std::byte> file, const tee::Uuid& wanted, const TrustRoots& roots,
           const TaDecryptionKeys& keys, VersionStore& versions)
      : reader_(file), wanted_(wanted), roots_(roots), keys_(keys), versions_(versions) {}

  Verdict<VerifiedTa> Run() {
    if (auto refusal = TakeHeader()) return *std::move(refusal);
    if (auto refusal = CheckRootSignature()) return *std::move(refusal);
    while (type() == ImageType::kSubkey) {
      if (auto refusal = FollowSubkey()) return *std::move(refusal);
    }
    if (must_be_ && *must_be_ != wanted_) {
      return Refusal{Fault::kSubkey, "the subkey does not sign for TA " + tee::ToString(wanted_) +
                                         " but for " + tee::ToString(*must_be_) +
                                         "; check the name given to the "
                                         "signing tool"};
    }
    if (auto refusal = CheckTa()) return *std::move(refusal);
    if (auto refusal = CheckVersions()) return *std::move(refusal);
    ta_.digest.assign(hash_.begin(), hash_.end());
    ta_.uuid = wanted_;
    return std::move(ta_);
  }

 private:
  ImageType type() const { return static_cast<ImageType>(header_.image_type); }

  static Refusal Truncated() {
    return {Fault::kTruncated, "the TA's file is cut off; copy it again"};
  }

  Check TakeHeader() {
    if (!reader_.Take(header_)) return Truncated();
    if (header_.magic != kSignedMagic) {
      return Refusal{Fault::kNotSigned,
                     "the file is no signed TA; sign the ELF file with sign_encrypt.py"};
    }
    scheme_ = SignatureScheme::From(header_.algorithm);
    if (!scheme_) {
      return Refusal{Fault::kAlgorithm,
                     "the TA is signed with an algorithm that is not accepted; use RSA with "
                     "SHA-256 or better"};
    }
    if (header_.hash_size != scheme_->digest_size) {
      return Refusal{Fault::kAlgorithm,
                     "the hash in the TA's header has not the size of its "
                     "algorithm; sign the TA again"};
    }
    if (!reader_.Take(header_.hash_size, hash_) ||
        !reader_.Take(header_.signature_size, signature_)) {
      return Truncated();
    }
    return std::nullopt;
  }

  Check CheckRootSignature() {
    for (const SigningKey& key : roots_.keys()) {
      if (key.Verifies(*scheme_, hash_, signature_)) {
        ta_.signer = key.fingerprint();
        return std::nullopt;
      }
    }
    return Refusal{Fault::kKey,
                   roots_.keys().empty()
                       ? "no key is trusted to sign TAs; name one (keys=FILE.pem)"
                       : "no trusted key has signed the TA; name its key, if you trust it "
                         "(keys=FILE.pem)"};
  }

  Check FollowSubkey() {
    std::span<const std::byte> image;
    if (!reader_.Take(header_.image_size, image)) return Truncated();
    if (auto refusal = CheckHash(image)) return refusal;
    auto read = ReadSubkey(image);
    if (!read.ok()) return read.refusal();
    const Subkey& subkey = read.value();
    if (must_be_ && *must_be_ != subkey.uuid) {
      return Refusal{Fault::kSubkey, "a subkey is not the one that the key before it signs for"};
    }
    if (depth_ && subkey.max_depth >= *depth_) {
      return Refusal{Fault::kSubkey, "there are more subkeys in the file than one of them allows"};
    }
    depth_ = subkey.max_depth;
    std::span<const std::byte> name;
    if (!reader_.Take(subkey.name_size, name)) return Truncated();
    must_be_ = SubkeyNextUuid(subkey.uuid, name);
    seen_.push_back({VersionStore::Kind::kSubkey, subkey.uuid, subkey.version});

    if (auto refusal = TakeHeader()) return refusal;
    if (!subkey.key.Verifies(*scheme_, hash_, signature_)) {
      return Refusal{Fault::kSubkey, "what follows a subkey in the file is not signed with it"};
    }
    return std::nullopt;
  }

  Check CheckHash(std::span<const std::byte> image) const {
    Hash hash(scheme_->digest);
    hash.AddObject(header_);
    hash.Add(image);
    if (hash.Is(hash_)) return std::nullopt;
    return WrongHash();
  }

  static Refusal WrongHash() {
    return {Fault::kHash, "the TA's contents are not what was signed; copy or build it again"};
  }

  Check CheckTa() {
    Hash hash(scheme_->digest);
    hash.AddObject(header_);
    if (type() == ImageType::kBootstrap || type() == ImageType::kEncrypted) {
      BootstrapHeader bootstrap{};
      if (!reader_.Take(bootstrap)) return Truncated();
      hash.AddObject(bootstrap);
      ta_.uuid = tee::Uuid{bootstrap.uuid};
      ta_.version = bootstrap.version;
    } else if (type() != ImageType::kLegacy) {
      return Refusal{Fault::kUnknownType,
                     "the TA's file is of a type that is not known; is it "
                     "from a newer OP-TEE?"};
    }
    if (type() == ImageType::kEncrypted) {
      if (auto refusal = Decrypt(hash)) return refusal;
    } else {
      if (auto refusal = CheckSize(header_.image_size)) return refusal;
      ta_.image.assign(reader_.left().begin(), reader_.left().end());
    }
    hash.Add(ta_.image);
    if (!hash.Is(hash_)) return WrongHash();
    if (type() != ImageType::kLegacy && ta_.uuid != wanted_) {
      return Refusal{Fault::kUuid, "the file is signed as TA " + tee::ToString(ta_.uuid) +
                                       ", not as " + tee::ToString(wanted_) +
                                       "; name the file after its TA"};
    }
    return std::nullopt;
  }

  Check CheckSize(std::uint64_t size) const {
    if (reader_.left().size() < size) return Truncated();
    if (reader_.left().size() > size) {
      return Refusal{Fault::kOversized, "there are bytes after the end of the TA's file"};
    }
    return std::nullopt;
  }

  // The hash is over the plain text. The tag is checked at the end: nothing of the text is used
  // before.
  Check Decrypt(Hash& hash) {
    EncryptedHeader encrypted{};
    std::span<const std::byte> iv;
    std::span<const std::byte> tag;
    if (!reader_.Take(encrypted) || !reader_.Take(encrypted.iv_size, iv) ||
        !reader_.Take(encrypted.tag_size, tag)) {
      return Truncated();
    }
    hash.AddObject(encrypted);
    hash.Add(iv);
    hash.Add(tag);
    if (encrypted.algorithm != kEncryptedAesGcm || iv.empty() || iv.size() > 16 ||
        tag.size() != 16) {
      return Refusal{Fault::kAlgorithm,
                     "the TA is encrypted in a way that is not accepted; use AES-GCM with a tag "
                     "of 16 bytes"};
    }
    if (auto refusal = CheckSize(header_.image_size)) return refusal;
    const bool class_wide = (encrypted.flags & kEncryptedClassWideKey) != 0;
    const auto& key = class_wide ? keys_.class_wide : keys_.device;
    if (!key) {
      return Refusal{Fault::kNoKey, class_wide
                                        ? "the TA is encrypted with a class-wide key, and none is "
                                          "given (ta_class_key=FILE)"
                                        : "the TA is encrypted for one device, and this TEE has no "
                                          "such key"};
    }
    return DecryptWith(*key, iv, tag);
  }

  Check DecryptWith(const TaDecryptionKeys::Key& key, std::span<const std::byte> iv,
                    std::span<const std::byte> tag) {
    const auto input = reader_.left();
    ta_.image.resize(input.size());
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
        EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
    if (!context) throw std::bad_alloc();
    auto* output = reinterpret_cast<unsigned char*>(ta_.image.data());
    int length = 0;
    const bool ok =
        EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, nullptr, nullptr) == 1 &&
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_IVLEN, static_cast<int>(iv.size()),
                            nullptr) == 1 &&
        EVP_DecryptInit_ex(context.get(), nullptr, nullptr, key.data(), Bytes(iv)) == 1 &&
        EVP_DecryptUpdate(context.get(), output, &length, Bytes(input),
                          static_cast<int>(input.size())) == 1 &&
        EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()),
                            const_cast<std::byte*>(tag.data())) == 1 &&
        EVP_DecryptFinal_ex(context.get(), output + length, &length) == 1;
    ERR_clear_error();
    if (ok) return std::nullopt;
    OPENSSL_cleanse(ta_.image.data(), ta_.image.size());
    return Refusal{Fault::kDecryption,
                   "the TA cannot be decrypted: it is for another key, or has been changed"};
  }

  Check CheckVersions() {
    if (type() != ImageType::kLegacy) {
      seen_.push_back({VersionStore::Kind::kTa, wanted_, ta_.version});
    }
    for (const Seen& seen : seen_) {
      const auto newest = versions_.Raise(seen.kind, seen.uuid, seen.version);
      if (!newest) {
        return Refusal{Fault::kVersionStore,
                       "the versions of TAs seen so far cannot be read or written; see the "
                       "message about the VM's state directory"};
      }
      if (*newest > seen.version) {
        const bool is_key = seen.kind == VersionStore::Kind::kSubkey;
        return Refusal{Fault::kDowngrade,
                       std::string(is_key ? "the subkey " : "the TA ") + tee::ToString(seen.uuid) +
                           " is of version " + std::to_string(seen.version) + ", and version " +
                           std::to_string(*newest) + " has run here; install the newer one"};
      }
    }
    return std::nullopt;
  }

  struct Seen {
    VersionStore::Kind kind;
    tee::Uuid uuid;
    std::uint32_t version;
  };

  FileReader reader_;
  const tee::Uuid& wanted_;
  const TrustRoots& roots_;
  const TaDecryptionKeys& keys_;
  VersionStore& versions_;

  SignedHeader header_{};  // of the part that is being read
  std::optional<SignatureScheme> scheme_;
  std::span<const std::byte> hash_;
  std::span<const std::byte> signature_;
  std::optional<tee::Uuid> must_be_;    // what the last subkey signs for
  std::optional<std::uint32_t> depth_;  // how many more subkeys it allows
  std::vector<Seen> seen_;
  VerifiedTa ta_;
};

}  // namespace

std::optional<tee::Uuid> ClaimedUuid(std::span<const std::byte> file) {
  FileReader reader(file);
  SignedHeader header{};
  std::span<const std::byte> skipped;
  BootstrapHeader bootstrap{};
  if (!reader.Take(header) || header.magic != kSignedMagic ||
      header.image_type != static_cast<std::uint32_t>(ImageType::kBootstrap) ||
      !reader.Take(header.hash_size, skipped) || !reader.Take(header.signature_size, skipped) ||
      !reader.Take(bootstrap)) {
    return std::nullopt;
  }
  return tee::Uuid{bootstrap.uuid};
}

Verdict<VerifiedTa> VerifySignedTa(std::span<const std::byte> file, const tee::Uuid& wanted,
                                   const TrustRoots& roots, const TaDecryptionKeys& keys,
                                   VersionStore& versions) {
  // Sizes of OpenSSL's interfaces are ints, and no TA comes near.
  constexpr std::size_t kMostBytes = 64u << 20;
  if (file.size() > kMostBytes) {
    return Refusal{Fault::kOversized, "the TA's file is larger than 64 MiB"};
  }
  return Verifier(file, wanted, roots, keys, versions).Run();
}

}  // namespace vtee::ta
