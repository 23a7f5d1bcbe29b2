// SPDX-License-Identifier: BSD-3-Clause
// Signs TAs for tests, with keys made on the spot. For tests only; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ta/container/header.h"
#include "ta/container/signed_ta.h"
#include "tee/types.h"

struct evp_pkey_st;

namespace vtee::ta {

using FileBytes = std::vector<std::byte>;

inline constexpr std::uint32_t kPssSha256 = 0x70414930;
inline constexpr std::uint32_t kPkcs1Sha256 = 0x70004830;

class TestSigner {
 public:
  // Keys of a size are made once and shared; `which` tells several of a size apart.
  explicit TestSigner(int bits = 2048, int which = 0);

  std::string PublicPem() const;
  FileBytes modulus() const;
  FileBytes exponent() const;

  // The header, hash and signature over `hashed`, followed by nothing.
  FileBytes Header(ImageType type, std::size_t image_size, std::span<const std::byte> hashed,
                   std::uint32_t algorithm = kPssSha256) const;

  FileBytes Legacy(const FileBytes& image) const;
  FileBytes Bootstrap(const tee::Uuid& uuid, std::uint32_t version, const FileBytes& image,
                      std::uint32_t algorithm = kPssSha256) const;
  FileBytes Encrypted(const tee::Uuid& uuid, std::uint32_t version, const FileBytes& image,
                      const TaDecryptionKeys::Key& key, bool class_wide) const;
  // What goes in front of whatever `subkey` signs.
  FileBytes Subkey(const TestSigner& subkey, const tee::Uuid& uuid, std::uint32_t version,
                   std::uint32_t max_depth, const std::string& name) const;

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

template <typename T>
void Append(FileBytes& out, const T& object) {
  const auto bytes = std::as_bytes(std::span(&object, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}
inline void AppendBytes(FileBytes& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
FileBytes BytesOf(std::string_view text);
tee::Uuid UuidOf(std::string_view text);

}  // namespace vtee::ta
