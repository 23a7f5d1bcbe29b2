// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/ae.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/ccm.h"
#include "ta/crypto/gcm.h"
#include "tee/types.h"

namespace vtee::ta {

namespace code = tee::code;

std::unique_ptr<AeState> AeState::Create(std::uint32_t algorithm, bool encrypt,
                                         std::span<const std::byte> key) {
  if (algorithm == alg::kAesGcm) return CreateGcm(encrypt, key);
  if (algorithm == alg::kAesCcm) return CreateCcm(encrypt, key);
  return nullptr;
}

std::uint32_t AeState::Init(std::span<const std::byte> nonce, std::size_t tag_length,
                            std::size_t aad_length, std::size_t payload_length) {
  active_ = false;
  const Lengths announced{tag_length, aad_length, payload_length};
  if (const auto bad = Start(nonce, announced)) return bad;
  done_ = {.tag = tag_length};
  active_ = true;
  return code::kSuccess;
}

std::uint32_t AeState::UpdateAad(std::span<const std::byte> aad) {
  if (!active_) return code::kBadState;
  if (aad.empty()) return code::kSuccess;
  if (done_.payload > 0) return code::kBadParameters;
  Lengths total = done_;
  if (__builtin_add_overflow(total.aad, aad.size(), &total.aad)) return code::kBadParameters;
  if (const auto bad = CheckTotals(total, false)) return bad;
  done_ = total;
  return Authenticate(aad) ? code::kSuccess : code::kGeneric;
}

std::uint32_t AeState::RunAll(std::span<const std::byte> source, std::span<std::byte> destination,
                              bool end) {
  Lengths total = done_;
  if (__builtin_add_overflow(total.payload, source.size(), &total.payload)) {
    return code::kBadParameters;
  }
  if (const auto bad = CheckTotals(total, end)) return bad;
  done_ = total;
  // In between is a piece of memory of our own: see the header about memory that changes.
  std::array<std::byte, 4096> piece;
  const std::size_t used = std::min(source.size(), piece.size());
  bool ok = true;
  while (ok && !source.empty()) {
    const auto now = std::span(piece).first(std::min(source.size(), piece.size()));
    std::copy_n(source.begin(), now.size(), now.begin());
    ok = Run(now, now);
    if (ok) std::copy(now.begin(), now.end(), destination.begin());
    source = source.subspan(now.size());
    destination = destination.subspan(now.size());
  }
  OPENSSL_cleanse(piece.data(), used);
  return ok ? code::kSuccess : code::kGeneric;
}

std::uint32_t AeState::Update(std::span<const std::byte> source, std::span<std::byte> destination,
                              std::size_t& length) {
  if (!active_) return code::kBadState;
  length = source.size();
  if (destination.size() < source.size()) return code::kShortBuffer;
  if (source.empty()) return code::kSuccess;
  return RunAll(source, destination, false);
}

std::uint32_t AeState::EncFinal(std::span<const std::byte> source, std::span<std::byte> destination,
                                std::size_t& length, std::span<std::byte> tag,
                                std::size_t& tag_length) {
  if (!active_) return code::kBadState;
  if (!encrypt_) return code::kBadParameters;
  length = source.size();
  tag_length = done_.tag;
  if (destination.size() < source.size() || tag.size() < done_.tag) return code::kShortBuffer;
  if (const auto bad = RunAll(source, destination, true)) return bad;
  active_ = false;
  return MakeTag(tag.first(done_.tag)) ? code::kSuccess : code::kGeneric;
}

std::uint32_t AeState::DecFinal(std::span<const std::byte> source, std::span<std::byte> destination,
                                std::size_t& length, std::span<const std::byte> tag) {
  if (!active_) return code::kBadState;
  if (encrypt_) return code::kBadParameters;
  length = source.size();
  if (destination.size() < source.size()) return code::kShortBuffer;
  if (const auto bad = RunAll(source, destination, true)) return bad;
  active_ = false;
  if (tag.size() == done_.tag) {
    std::array<std::byte, 16> given{};
    std::copy(tag.begin(), tag.end(), given.begin());
    if (CheckTag(std::span(given).first(tag.size()))) return code::kSuccess;
  }
  OPENSSL_cleanse(destination.data(), source.size());
  return code::kMacInvalid;
}

}  // namespace vtee::ta
