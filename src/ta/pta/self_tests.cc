// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/self_tests.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>

#include "base/checked.h"
#include "runner/access_check.h"
#include "ta/crypto/algorithms.h"
#include "ta/crypto/cipher.h"
#include "ta/crypto/digest.h"
#include "ta/crypto/secret.h"
#include "ta/storage/memory_store.h"
#include "ta/storage/seal.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// Keeps the compiler from knowing the value, so that the test is made where it runs.
template <typename T>
T Opaque(T value) {
  volatile T hidden = value;
  return hidden;
}

template <typename T>
bool ArithmeticOf() {
  const T most = Opaque(std::numeric_limits<T>::max());
  const T half = Opaque(static_cast<T>(std::numeric_limits<T>::max() / 2 + 1));
  const T one = Opaque(static_cast<T>(1));
  const T zero = Opaque(static_cast<T>(0));
  return CheckedAdd(most, zero) == most && !CheckedAdd(most, one) && !CheckedAdd(half, half) &&
         CheckedSub(most, most) == zero && !CheckedSub(zero, one) &&
         CheckedMul(most, one) == most && CheckedMul(most, zero) == zero &&
         !CheckedMul(half, static_cast<T>(one + one)) && !CheckedMul(most, most) &&
         CheckedRoundUp(one, half) == half && !CheckedRoundUp(most, half);
}

// For self_test_add_overflow() and its like.
bool Arithmetic() {
  const auto limit = Opaque<std::uint64_t>(100);
  return ArithmeticOf<std::uint8_t>() && ArithmeticOf<std::uint32_t>() &&
         ArithmeticOf<std::uint64_t>() && RangeInside(limit, 0, limit) &&
         !RangeInside(limit, 1, limit) && RangeInside(1, limit - 1, limit) &&
         !RangeInside(2, ~std::uint64_t{0}, limit);
}

// For self_test_malloc(): blocks are zeroed, keep what is in them while they grow, and share no
// byte with one another.
bool Allocation() {
  constexpr std::size_t kBlocks = 16;
  std::vector<SecretBytes> blocks;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    SecretBytes& block = blocks.emplace_back(std::size_t{1} << i);
    if (std::ranges::any_of(block, [](std::byte byte) { return byte != std::byte{0}; })) {
      return false;
    }
    std::ranges::fill(block, static_cast<std::byte>(i + 1));
  }
  for (SecretBytes& block : blocks) block.resize(block.size() * 3);
  for (std::size_t i = 0; i < kBlocks; ++i) {
    const std::size_t filled = std::size_t{1} << i;
    for (std::size_t at = 0; at < blocks[i].size(); ++at) {
      if (blocks[i][at] != (at < filled ? static_cast<std::byte>(i + 1) : std::byte{0})) {
        return false;
      }
    }
  }
  return true;
}

// For self_test_va2pa(): a TA's addresses are looked up in its regions, not in page tables.
bool AccessCheck() {
  using namespace runner;  // NOLINT: a dozen of its names
  const std::array regions{
      Region{0x1000, 0x3000, kRegionRead | kRegionPrivate, 0},
      Region{0x3000, 0x4000, kRegionRead | kRegionWrite | kRegionPrivate, 0},
      Region{0x5000, 0x6000, kRegionRead | kRegionNonSecure, 0},
  };
  const auto allows = [&](std::uint64_t access, std::uint64_t address, std::uint64_t size) {
    return CheckAccess(regions.data(), regions.size(), access, Opaque(address), size) == 0;
  };
  constexpr std::uint64_t kReadAny = kAccessRead | kAccessAnyOwner;
  return allows(kAccessRead, 0x1000, 0x2000) && !allows(kAccessRead, 0xFFF, 2) &&
         !allows(kAccessWrite, 0x1000, 1) && allows(kAccessRead | kAccessWrite, 0x3FFF, 1) &&
         allows(kReadAny, 0x2FFF, 2) && !allows(kReadAny, 0x3FFF, 2) &&
         !allows(kReadAny, 0x4000, 1) && !allows(kAccessRead, 0x5000, 1) &&
         allows(kReadAny | kAccessNonSecure, 0x5000, 0x1000) &&
         !allows(kReadAny | kAccessSecure, 0x5000, 1) && !allows(kReadAny, 0x1001, ~0ull) &&
         allows(kAccessWrite, 0x9000, 0);
}

template <std::size_t N>
std::array<std::byte, N> Octets(const std::uint8_t (&octets)[N]) {
  std::array<std::byte, N> bytes{};
  std::ranges::copy(std::as_bytes(std::span(octets)), bytes.begin());
  return bytes;
}

// FIPS 180-4's example of one block, and FIPS 197, appendix C.1.
bool KnownAnswers() {
  const auto state = DigestState::Create(alg::kSha256);
  const auto abc = Octets({'a', 'b', 'c'});
  std::array<std::byte, 32> digest{};
  std::size_t size = digest.size();
  if (!state || state->Init() != code::kSuccess || state->Update(abc) != code::kSuccess ||
      state->Final(digest, size) != code::kSuccess ||
      digest != Octets({0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                        0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                        0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad})) {
    return false;
  }
  std::array<std::byte, 16> key{};
  std::array<std::byte, 16> block{};
  for (std::size_t i = 0; i < key.size(); ++i) {
    key[i] = static_cast<std::byte>(i);
    block[i] = static_cast<std::byte>(i * 0x11);
  }
  const auto cipher = CipherState::Create(alg::kAesEcb, true, key, {});
  return cipher && cipher->Init({}) == code::kSuccess &&
         cipher->Final(block, block) == code::kSuccess &&
         block == Octets({0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30, 0xd8, 0xcd, 0xb7, 0x80,
                          0x70, 0xb4, 0xc5, 0x5a});
}

// For the hash tree's corrupted nodes: a sealed block that is altered anywhere, cut short, in
// another place or under another key is found out.
bool SealedBlocks() {
  SecretBytes key(kSealKeyBytes);
  SecretBytes plain(100);
  if (!FillRandom(key) || !FillRandom(plain)) return false;
  const SecretBytes here = Encoder('t').U64(1).bytes();
  const SecretBytes there = Encoder('t').U64(2).bytes();
  Sealed sealed;
  SecretBytes opened;
  if (!Seal(key, here, plain, sealed) || sealed.size() != plain.size() + kSealBytes ||
      !Unseal(key, here, sealed, opened) || opened != plain) {
    return false;
  }
  const auto refused = [&](ConstBytes with, ConstBytes place, ConstBytes bytes) {
    return !Unseal(with, place, bytes, opened) && opened.empty();
  };
  for (std::byte& byte : sealed) {
    byte ^= std::byte{1};
    if (!refused(key, here, sealed)) return false;
    byte ^= std::byte{1};
  }
  SecretBytes other = key;
  other[0] ^= std::byte{1};
  return refused(other, here, sealed) && refused(key, there, sealed) &&
         refused(key, here, ConstBytes(sealed).first(sealed.size() - 1)) &&
         refused(key, here, ConstBytes(sealed).first(kSealBytes - 1)) && refused(key, here, {}) &&
         Unseal(key, here, sealed, opened) && opened == plain;
}

// What cannot be done leaves the store as it was.
bool StoreLimits() {
  constexpr std::uint64_t kRoom = std::uint64_t{64} * 1024;
  constexpr std::size_t kGap = 1000;
  MemoryStore store(kRoom);
  const ObjectKey key{.ta = {}, .id = {std::byte{1}}};
  const SecretBytes data(10, std::byte{7});
  const SecretBytes huge(kRoom + 1, std::byte{8});
  SecretBytes back(2 * kGap);
  std::uint64_t got = 0;
  ObjectRecord record;
  if (store.Load(key, record) != code::kItemNotFound ||
      store.Create(key, {}, data, false) != code::kSuccess ||
      store.Create(key, {}, data, false) != code::kAccessConflict ||
      store.Write(key, 0, huge) != kStorageNoSpace ||
      store.Write(key, kGap, data) != code::kSuccess ||
      store.Read(key, 0, back, got) != code::kSuccess || got != kGap + data.size()) {
    return false;
  }
  for (std::size_t at = 0; at < got; ++at) {
    const bool written = at < data.size() || at >= kGap;
    if (back[at] != (written ? std::byte{7} : std::byte{0})) return false;
  }
  return store.Truncate(key, 1) == code::kSuccess && store.Load(key, record) == code::kSuccess &&
         record.size == 1 && store.Remove(key) == code::kSuccess &&
         store.Load(key, record) == code::kItemNotFound;
}

constexpr SelfTest kCore[] = {
    {"arithmetic", Arithmetic},
    {"allocation", Allocation},
    {"access-check", AccessCheck},
    {"known-answers", KnownAnswers},
};
constexpr SelfTest kStorage[] = {
    {"sealed-blocks", SealedBlocks},
    {"store-limits", StoreLimits},
};

}  // namespace

std::span<const SelfTest> CoreSelfTests() { return kCore; }
std::span<const SelfTest> StorageSelfTests() { return kStorage; }

std::vector<std::string_view> FailedTests(std::span<const SelfTest> tests) {
  std::vector<std::string_view> failed;
  for (const SelfTest& test : tests) {
    bool passes = false;
    try {
      passes = test.passes();
    } catch (const std::exception&) {
      passes = false;
    }
    if (!passes) failed.push_back(test.name);
  }
  return failed;
}

}  // namespace vtee::ta
