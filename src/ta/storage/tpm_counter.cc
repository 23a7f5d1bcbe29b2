// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/tpm_counter.h"

#include "ta/storage/seal.h"

namespace vtee::ta {
namespace {

// For the owner of the machine: TCG Registry of Reserved TPM 2.0 Handles and Localities.
constexpr std::uint32_t kFirst = 0x01800000;
constexpr std::uint32_t kMask = 0x003FFFFF;
constexpr std::size_t kAuthorizationBytes = 32;

}  // namespace

TpmCounter::TpmCounter(Tpm tpm, ConstBytes key)
    : tpm_(std::move(tpm)), authorization_(Secret(key.first(kAuthorizationBytes))) {
  Decoder places(key.subspan(kAuthorizationBytes));
  for (std::uint32_t& place : places_) place = kFirst | (places.U32() & kMask);
}

Status TpmCounter::Find() {
  if (index_) return {};
  for (const std::uint32_t place : places_) {
    const auto count = tpm_.ReadCounter(place, authorization_);
    if (!count.ok() && count.error().code == ErrorCode::kNotFound) continue;
    if (!count.ok()) return count.error();
    index_ = place;
    return {};
  }
  return Error{ErrorCode::kNotFound, "there is no counter of this state in the TPM"};
}

Result<std::uint64_t> TpmCounter::Read() {
  VTEE_TRY(Find());
  return tpm_.ReadCounter(*index_, authorization_);
}

Result<std::uint64_t> TpmCounter::Make() {
  auto there = Read();
  if (there.ok() || there.error().code != ErrorCode::kNotFound) return there;
  index_.reset();
  for (const std::uint32_t place : places_) {
    auto made = tpm_.MakeCounter(place, authorization_);
    if (made.ok()) index_ = place;
    if (made.ok() || made.error().code != ErrorCode::kResourceExhausted) return made;
  }
  return Error{ErrorCode::kUnavailable,
               "all places for a counter in the TPM are taken by others: remove some "
               "(tpm2_nvundefine), or begin anew with another state"};
}

Result<std::uint64_t> TpmCounter::Increment() {
  VTEE_TRY(Find());
  return tpm_.Increment(*index_, authorization_);
}

Status TpmCounter::Remove() {
  VTEE_TRY(Find());
  return tpm_.RemoveCounter(*index_, authorization_);
}

}  // namespace vtee::ta
