// SPDX-License-Identifier: BSD-3-Clause
// System calls 32, 39 and 40: derivation, asymmetric encryption, signatures.
#include <cstring>

#include "ta/core/ta_instance.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/derivation.h"
#include "ta/syscall/attributes_in.h"
#include "ta/syscall/dispatch.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// What is signed, verified or decrypted is copied: it must be the same from beginning to end.
bool CopyIn(TaInstance& ta, std::uint64_t address, std::uint64_t size, SecretBytes& out) {
  const auto view = ta.space().ViewIn(address, size);
  if (!view) return false;
  out = Secret(*view);
  return true;
}

bool Usable(const ObjectHandle& object) { return object.key.initialized() || object.persistent(); }

// (operation, attributes, count, object)
std::uint32_t DeriveCall(TaInstance& ta, const SyscallArgs& args) {
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  AttributesIn attributes;
  std::uint32_t result = attributes.Take(ta, args[1], args[2]);
  if (result != code::kSuccess) return result;
  const auto key = ta.handles().objects.Find(operation->key1);
  const auto ephemeral = ta.handles().objects.Find(operation->key2);
  const auto into = ta.handles().objects.Find(args[3]);
  if (!key || !into) return code::kBadState;
  if (!Usable(*key) || into->persistent()) return code::kBadParameters;
  constexpr std::uint32_t kConfirmationOut = 0xD0000846;
  SecretBytes confirmation;
  result = DeriveKey(operation->algorithm, {key->key, ephemeral ? &ephemeral->key : nullptr},
                     attributes.get(), into->key, confirmation);
  if (result != code::kSuccess || confirmation.empty()) return result;
  return ta.space().Write(attributes.AddressOf(kConfirmationOut), confirmation)
             ? code::kSuccess
             : code::kAccessDenied;
}

// (operation, attributes, count, in, size, out, out size)
std::uint32_t OperateCall(TaInstance& ta, const SyscallArgs& args) {
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  SecretBytes in;
  std::uint64_t room = 0;
  if (!CopyIn(ta, args[3], args[4], in) || !ta.space().ReadObject(args[6], room)) {
    return code::kAccessDenied;
  }
  const auto out = ta.space().ViewOut(args[5], room);
  if (!out) return code::kAccessDenied;
  AttributesIn attributes;
  std::uint32_t result = attributes.Take(ta, args[1], args[2]);
  if (result != code::kSuccess) return result;
  const auto key = ta.handles().objects.Find(operation->key1);
  if (!key) return code::kBadState;
  if (!Usable(*key)) return code::kGeneric;
  const std::uint64_t wanted = AsymmetricRoom(operation->algorithm, operation->mode, key->key);
  if (room < wanted) {
    return ta.space().WriteObject(args[6], wanted) ? code::kShortBuffer : code::kAccessDenied;
  }
  SecretBytes made;
  result = AsymmetricOperate(operation->algorithm, operation->mode, key->key, attributes.get(), in,
                             made);
  if (result != code::kSuccess) return result;
  const std::uint64_t size = made.size();
  if (!ta.space().WriteObject(args[6], size)) return code::kAccessDenied;
  if (room < size) return code::kShortBuffer;
  if (!made.empty()) std::memcpy(out->data(), made.data(), made.size());
  return code::kSuccess;
}

// (operation, attributes, count, data, size, signature, signature size)
std::uint32_t VerifyCall(TaInstance& ta, const SyscallArgs& args) {
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation || operation->mode != opmode::kVerify) return code::kBadParameters;
  SecretBytes data;
  SecretBytes signature;
  if (!CopyIn(ta, args[3], args[4], data) || !CopyIn(ta, args[5], args[6], signature)) {
    return code::kAccessDenied;
  }
  AttributesIn attributes;
  const std::uint32_t result = attributes.Take(ta, args[1], args[2]);
  if (result != code::kSuccess) return result;
  const auto key = ta.handles().objects.Find(operation->key1);
  if (!key) return code::kBadState;
  if (!Usable(*key)) return code::kBadParameters;
  return AsymmetricVerify(operation->algorithm, key->key, attributes.get(), data, signature);
}

}  // namespace

void AddAsymmetricCalls(SyscallTable& table) {
  const auto set = [&](SyscallNumber number, Syscall call) {
    table[static_cast<std::size_t>(number)] = call;
  };
  set(SyscallNumber::kDeriveKey, DeriveCall);
  set(SyscallNumber::kAsymmetricOperate, OperateCall);
  set(SyscallNumber::kAsymmetricVerify, VerifyCall);
}

}  // namespace vtee::ta
