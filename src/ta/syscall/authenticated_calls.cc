// SPDX-License-Identifier: BSD-3-Clause
// System calls 34 to 38: authenticated encryption.
#include "ta/core/ta_instance.h"
#include "ta/crypto/algorithms.h"
#include "ta/syscall/dispatch.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

std::shared_ptr<Operation> Ready(TaInstance& ta, std::uint64_t handle, std::uint32_t& result) {
  auto operation = ta.handles().operations.Find(handle);
  if (!operation) {
    result = code::kBadParameters;
  } else if (!operation->ae) {
    result = code::kBadState;
    operation.reset();
  }
  return operation;
}

// The payload of a call: where from, where to.
struct Payload {
  ConstBytes in;
  MutableBytes out;
  std::uint64_t size_address = 0;
  std::size_t size = 0;  // written, or needed

  // args: in, size, out, address of the out size (0: none).
  std::uint32_t Take(TaInstance& ta, const std::uint64_t* args) {
    const auto from = ta.space().ViewIn(args[0], args[1]);
    if (!from) return code::kAccessDenied;
    std::uint64_t room = 0;
    size_address = args[3];
    if (size_address != 0 && !ta.space().ReadObject(size_address, room)) {
      return code::kAccessDenied;
    }
    const auto to = ta.space().ViewOut(args[2], room);
    if (!to) return code::kAccessDenied;
    in = *from;
    out = *to;
    return code::kSuccess;
  }
  std::uint32_t GiveSize(TaInstance& ta, std::uint32_t result) const {
    if (result != code::kSuccess && result != code::kShortBuffer) return result;
    if (size_address == 0) return result;
    return ta.space().WriteObject(size_address, std::uint64_t{size}) ? result : code::kAccessDenied;
  }
};

// (operation, nonce, size, tag bytes, aad size, payload size)
std::uint32_t InitCall(TaInstance& ta, const SyscallArgs& args) {
  constexpr std::uint64_t kMostNonce = 1024;
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  if (ClassOf(operation->algorithm) != AlgorithmClass::kAe) return code::kBadState;
  const auto key = ta.handles().objects.Find(operation->key1);
  if (!key || !key->key.initialized() || args[2] > kMostNonce) return code::kBadParameters;
  SecretBytes nonce(args[2]);
  if (!ta.space().Read(args[1], nonce)) return code::kAccessDenied;
  operation->ae =
      AeState::Create(operation->algorithm, operation->mode == opmode::kEncrypt, key->key.secret());
  if (!operation->ae) return code::kBadParameters;
  const std::uint32_t result = operation->ae->Init(nonce, args[3], args[4], args[5]);
  if (result != code::kSuccess) operation->ae.reset();
  return result;
}

// (operation, aad, size)
std::uint32_t UpdateAadCall(TaInstance& ta, const SyscallArgs& args) {
  const auto aad = ta.space().ViewIn(args[1], args[2]);
  if (!aad) return code::kAccessDenied;
  std::uint32_t result = code::kSuccess;
  const auto operation = Ready(ta, args[0], result);
  return operation ? operation->ae->UpdateAad(*aad) : result;
}

// (operation, in, size, out, out size)
std::uint32_t UpdateCall(TaInstance& ta, const SyscallArgs& args) {
  std::uint32_t result = code::kSuccess;
  const auto operation = Ready(ta, args[0], result);
  if (!operation) return result;
  Payload payload;
  result = payload.Take(ta, args.data() + 1);
  if (result != code::kSuccess) return result;
  return payload.GiveSize(ta, operation->ae->Update(payload.in, payload.out, payload.size));
}

// (operation, in, size, out, out size, tag, tag size)
std::uint32_t EncFinalCall(TaInstance& ta, const SyscallArgs& args) {
  std::uint32_t result = code::kSuccess;
  const auto operation = Ready(ta, args[0], result);
  if (!operation) return result;
  if (operation->mode != opmode::kEncrypt) return code::kBadParameters;
  Payload payload;
  result = payload.Take(ta, args.data() + 1);
  if (result != code::kSuccess) return result;
  std::uint64_t room = 0;
  if (!ta.space().ReadObject(args[6], room)) return code::kAccessDenied;
  const auto tag = ta.space().ViewOut(args[5], room);
  if (!tag) return code::kAccessDenied;
  std::size_t tag_size = 0;
  result = operation->ae->EncFinal(payload.in, payload.out, payload.size, *tag, tag_size);
  result = payload.GiveSize(ta, result);
  if (result != code::kSuccess && result != code::kShortBuffer) return result;
  return ta.space().WriteObject(args[6], std::uint64_t{tag_size}) ? result : code::kAccessDenied;
}

// (operation, in, size, out, out size, tag, tag bytes)
std::uint32_t DecFinalCall(TaInstance& ta, const SyscallArgs& args) {
  constexpr std::uint64_t kMostTag = 16;
  std::uint32_t result = code::kSuccess;
  const auto operation = Ready(ta, args[0], result);
  if (!operation) return result;
  if (operation->mode != opmode::kDecrypt) return code::kBadParameters;
  Payload payload;
  result = payload.Take(ta, args.data() + 1);
  if (result != code::kSuccess) return result;
  if (args[6] > kMostTag) return code::kMacInvalid;
  SecretBytes tag(args[6]);
  if (!ta.space().Read(args[5], tag)) return code::kAccessDenied;
  return payload.GiveSize(ta, operation->ae->DecFinal(payload.in, payload.out, payload.size, tag));
}

}  // namespace

void AddAuthenticatedCalls(SyscallTable& table) {
  const auto set = [&](SyscallNumber number, Syscall call) {
    table[static_cast<std::size_t>(number)] = call;
  };
  set(SyscallNumber::kAuthencInit, InitCall);
  set(SyscallNumber::kAuthencUpdateAad, UpdateAadCall);
  set(SyscallNumber::kAuthencUpdatePayload, UpdateCall);
  set(SyscallNumber::kAuthencEncFinal, EncFinalCall);
  set(SyscallNumber::kAuthencDecFinal, DecFinalCall);
}

}  // namespace vtee::ta
