// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/refusal.h"

#include "tee/types.h"

namespace vtee::ta {

std::uint32_t Refusal::code() const {
  // optee_os core/kernel/ree_fs_ta.c: check_update_version() has its own code, the rest has one.
  if (fault == Fault::kDowngrade) return tee::code::kAccessConflict;
  if (fault == Fault::kVersionStore) return tee::code::kStorageNotAvailable;
  return tee::code::kSecurity;
}

std::string_view ToString(Fault fault) {
  switch (fault) {
    case Fault::kTruncated:
      return "truncated";
    case Fault::kOversized:
      return "oversized";
    case Fault::kNotSigned:
      return "not-signed";
    case Fault::kUnknownType:
      return "unknown-type";
    case Fault::kAlgorithm:
      return "algorithm";
    case Fault::kHash:
      return "hash";
    case Fault::kKey:
      return "key";
    case Fault::kUuid:
      return "uuid";
    case Fault::kDowngrade:
      return "downgrade";
    case Fault::kSubkey:
      return "subkey";
    case Fault::kNoKey:
      return "no-key";
    case Fault::kDecryption:
      return "decryption";
    case Fault::kVersionStore:
      return "version-store";
  }
  return "unknown";
}

}  // namespace vtee::ta
