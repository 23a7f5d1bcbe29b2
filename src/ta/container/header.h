// SPDX-License-Identifier: BSD-3-Clause
// The headers of signed TA files, as OP-TEE's sign_encrypt.py writes them: little-endian, packed,
// one after the other (optee_os core/include/signed_hdr.h). Layout only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace vtee::ta {

inline constexpr std::uint32_t kSignedMagic = 0x4F545348;

enum class ImageType : std::uint32_t { kLegacy = 0, kBootstrap = 1, kEncrypted = 2, kSubkey = 3 };

// struct shdr; then hash[hash_size], signature[signature_size].
struct SignedHeader {
  std::uint32_t magic;
  std::uint32_t image_type;
  std::uint32_t image_size;
  std::uint32_t algorithm;
  std::uint16_t hash_size;
  std::uint16_t signature_size;
};
static_assert(sizeof(SignedHeader) == 20);

// struct shdr_bootstrap_ta
struct BootstrapHeader {
  std::array<std::uint8_t, 16> uuid;  // RFC 4122 octets
  std::uint32_t version;
};
static_assert(sizeof(BootstrapHeader) == 20);

// struct shdr_encrypted_ta; then iv[iv_size], tag[tag_size].
struct EncryptedHeader {
  std::uint32_t algorithm;
  std::uint32_t flags;
  std::uint16_t iv_size;
  std::uint16_t tag_size;
};
static_assert(sizeof(EncryptedHeader) == 12);
inline constexpr std::uint32_t kEncryptedAesGcm = 0x40000810;
inline constexpr std::uint32_t kEncryptedClassWideKey = 1;  // flags; else the device's own key

// struct shdr_subkey, without its attributes; then name[name_size] after the image.
struct SubkeyHeader {
  std::array<std::uint8_t, 16> uuid;
  std::uint32_t name_size;
  std::uint32_t version;
  std::uint32_t max_depth;
  std::uint32_t algorithm;
  std::uint32_t attribute_count;
};
static_assert(sizeof(SubkeyHeader) == 36);

// struct shdr_subkey_attr
struct SubkeyAttribute {
  std::uint32_t id;
  std::uint32_t offset;  // from the start of SubkeyHeader
  std::uint32_t size;
};
static_assert(sizeof(SubkeyAttribute) == 12);

// Takes fields off the front of a file. Every take checks what is left.
class FileReader {
 public:
  explicit FileReader(std::span<const std::byte> bytes) : left_(bytes) {}

  template <typename T>
  [[nodiscard]] bool Take(T& out) {
    if (left_.size() < sizeof(T)) return false;
    std::memcpy(&out, left_.data(), sizeof(T));
    left_ = left_.subspan(sizeof(T));
    return true;
  }
  [[nodiscard]] bool Take(std::size_t size, std::span<const std::byte>& out) {
    if (left_.size() < size) return false;
    out = left_.first(size);
    left_ = left_.subspan(size);
    return true;
  }
  std::span<const std::byte> left() const { return left_; }

 private:
  std::span<const std::byte> left_;
};

}  // namespace vtee::ta
