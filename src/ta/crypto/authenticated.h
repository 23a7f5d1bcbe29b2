// SPDX-License-Identifier: BSD-3-Clause
// Authenticated encryption as operations of a TA: AES-GCM and AES-CCM, in any number of updates.
//
// Results are TEE codes (MAC_INVALID: the tag is wrong). Threading: one thread at a time. Copied by
// Clone(), in mid-stream too. Plain text comes out before the tag has been checked, as
// GlobalPlatform has it: a TA throws it away when the end says so.
#pragma once

#include <cstdint>
#include <memory>

#include "ta/crypto/secret.h"

namespace vtee::ta {

inline constexpr std::uint32_t kMacInvalid = 0xFFFF3071;

class AuthenticatedState {
 public:
  struct Sizes {
    std::size_t tag = 0;
    std::size_t aad = 0;      // CCM; GCM takes what comes
    std::size_t payload = 0;  // CCM
  };
  virtual ~AuthenticatedState() = default;
  virtual std::unique_ptr<AuthenticatedState> Clone() const = 0;
  virtual std::uint32_t Init(bool encrypt, ConstBytes key, ConstBytes nonce,
                             const Sizes& sizes) = 0;
  virtual std::uint32_t UpdateAad(ConstBytes aad) = 0;
  virtual std::uint32_t Update(ConstBytes in, MutableBytes out) = 0;
  // After the last Update().
  virtual std::uint32_t GiveTag(MutableBytes tag) = 0;
  virtual std::uint32_t CheckTag(ConstBytes tag) = 0;
  std::size_t tag_size() const { return tag_size_; }

 protected:
  std::size_t tag_size_ = 0;
};

// Null: not supported.
std::unique_ptr<AuthenticatedState> MakeAuthenticated(std::uint32_t algorithm);

}  // namespace vtee::ta
