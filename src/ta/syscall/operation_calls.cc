// SPDX-License-Identifier: BSD-3-Clause
// System calls 15 to 23 and 33: operations, digests, MACs, ciphers, random numbers.
#include <openssl/rand.h>

#include "ta/core/ta_instance.h"
#include "ta/crypto/algorithms.h"
#include "ta/syscall/dispatch.h"
#include "ta/syscall/key_rules.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// (algorithm, mode, key1, key2, operation)
std::uint32_t AllocCall(TaInstance& ta, const SyscallArgs& args) {
  auto operation = std::make_shared<Operation>();
  operation->algorithm = ModernAlgorithm(static_cast<std::uint32_t>(args[0]));
  operation->mode = static_cast<std::uint32_t>(args[1]);
  std::shared_ptr<ObjectHandle> keys[2];
  for (int i = 0; i < 2; ++i) {
    if (args[2 + i] == 0) continue;
    keys[i] = ta.handles().objects.Find(args[2 + i]);
    if (!keys[i]) return code::kBadState;
    if (keys[i]->busy || !KeyFits(keys[i]->key.type(), operation->algorithm, operation->mode)) {
      return code::kBadParameters;
    }
  }
  const std::uint32_t result = MakeStates(*operation, keys[0] != nullptr, keys[1] != nullptr);
  if (result != code::kSuccess) return result;
  operation->key1 = static_cast<std::uint32_t>(args[2]);
  operation->key2 = static_cast<std::uint32_t>(args[3]);
  const std::uint32_t handle = ta.handles().operations.Add(std::move(operation));
  if (handle == 0) return code::kOutOfMemory;
  if (!ta.space().WriteObject(args[4], handle)) {
    ta.handles().operations.Remove(handle);
    return code::kAccessDenied;
  }
  for (const auto& key : keys) {
    if (key) key->busy = true;
  }
  return code::kSuccess;
}

// (to, from)
std::uint32_t CopyCall(TaInstance& ta, const SyscallArgs& args) {
  const auto to = ta.handles().operations.Find(args[0]);
  const auto from = ta.handles().operations.Find(args[1]);
  if (!to || !from || to->algorithm != from->algorithm || to->mode != from->mode) {
    return code::kBadParameters;
  }
  if (from->hash) {
    to->hash = from->hash->Clone();
  } else if (from->cipher) {
    to->cipher = from->cipher->Clone();
  } else if (from->authenticated) {
    to->authenticated = from->authenticated->Clone();
  } else {
    return code::kBadState;
  }
  to->ready = from->ready;
  return code::kSuccess;
}

std::uint32_t FreeCall(TaInstance& ta, const SyscallArgs& args) {
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  for (const std::uint32_t key : {operation->key1, operation->key2}) {
    if (key != 0) ta.handles().objects.Remove(key);
  }
  ta.handles().operations.Remove(args[0]);
  return code::kSuccess;
}

// (operation, iv, size): an IV is not used.
std::uint32_t HashInitCall(TaInstance& ta, const SyscallArgs& args) {
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation || !operation->hash) return code::kBadParameters;
  ConstBytes secret;
  if (ClassOf(operation->algorithm) == AlgorithmClass::kMac) {
    const auto key = ta.handles().objects.Find(operation->key1);
    if (!key || !key->key.initialized()) return code::kBadParameters;
    secret = key->key.secret();
  }
  const std::uint32_t result = operation->hash->Init(secret);
  if (result == code::kSuccess) operation->ready = true;
  return result;
}

// (operation, bytes, size)
std::uint32_t HashUpdateCall(TaInstance& ta, const SyscallArgs& args) {
  if (args[1] == 0 && args[2] != 0) return code::kBadParameters;
  if (args[2] == 0) return code::kSuccess;
  const auto bytes = ta.space().ViewIn(args[1], args[2]);
  if (!bytes) return code::kAccessDenied;
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  if (!operation->ready) return code::kBadState;
  if (!operation->hash) return code::kBadParameters;
  return operation->hash->Update(*bytes);
}

// (operation, bytes, size, hash, hash size)
std::uint32_t HashFinalCall(TaInstance& ta, const SyscallArgs& args) {
  if (args[1] == 0 && args[2] != 0) return code::kBadParameters;
  const auto bytes = ta.space().ViewIn(args[1], args[2]);
  std::uint64_t room = 0;
  if (!bytes || !ta.space().ReadObject(args[4], room)) return code::kAccessDenied;
  const auto out = ta.space().ViewOut(args[3], room);
  if (!out) return code::kAccessDenied;
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  if (!operation->ready) return code::kBadState;
  if (!operation->hash) return code::kBadParameters;
  const bool extendable = IsExtendable(operation->algorithm);
  const std::uint64_t size = extendable ? room : operation->hash->size();
  std::uint32_t result = code::kShortBuffer;
  if (room >= size) {
    result = bytes->empty() ? code::kSuccess : operation->hash->Update(*bytes);
    if (result == code::kSuccess) result = operation->hash->Final(out->first(size));
    if (result != code::kSuccess || extendable) return result;
  }
  return ta.space().WriteObject(args[4], size) ? result : code::kAccessDenied;
}

// (operation, iv, size)
std::uint32_t CipherInitCall(TaInstance& ta, const SyscallArgs& args) {
  constexpr std::uint64_t kMostIv = 1024;
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  if (!operation->cipher) return code::kBadState;
  const auto key = ta.handles().objects.Find(operation->key1);
  if (!key || !key->key.initialized()) return code::kBadParameters;
  ConstBytes second;
  if (operation->key2 != 0) {
    const auto key2 = ta.handles().objects.Find(operation->key2);
    if (!key2 || !key2->key.initialized()) return code::kBadParameters;
    second = key2->key.secret();
  }
  if (args[2] > kMostIv) return code::kBadParameters;
  SecretBytes iv(args[2]);
  if (!ta.space().Read(args[1], iv)) return code::kAccessDenied;
  const std::uint32_t result = operation->cipher->Init(operation->mode == opmode::kEncrypt,
                                                       key->key.secret(), second, iv);
  if (result == code::kSuccess) operation->ready = true;
  return result;
}

// (operation, in, size, out, out size)
std::uint32_t CipherRun(TaInstance& ta, const SyscallArgs& args, bool last) {
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  if (!operation->ready || !operation->cipher) return code::kBadState;
  const auto in = ta.space().ViewIn(args[1], args[2]);
  if (!in) return code::kAccessDenied;
  std::uint64_t room = 0;
  if (args[4] != 0 && !ta.space().ReadObject(args[4], room)) return code::kAccessDenied;
  const auto out = ta.space().ViewOut(args[3], room);
  if (!out) return code::kAccessDenied;
  std::uint32_t result = code::kShortBuffer;
  if (room >= in->size()) {
    result = code::kSuccess;
    if (!in->empty()) {
      const MutableBytes part = out->first(in->size());
      result = last ? operation->cipher->Final(*in, part) : operation->cipher->Update(*in, part);
    }
    if (last) operation->ready = false;
  }
  if (result != code::kSuccess && result != code::kShortBuffer) return result;
  if (args[4] != 0 && !ta.space().WriteObject(args[4], std::uint64_t{in->size()})) {
    return code::kAccessDenied;
  }
  return result;
}
std::uint32_t CipherUpdateCall(TaInstance& ta, const SyscallArgs& args) {
  return CipherRun(ta, args, false);
}
std::uint32_t CipherFinalCall(TaInstance& ta, const SyscallArgs& args) {
  return CipherRun(ta, args, true);
}

std::uint32_t RandomCall(TaInstance& ta, const SyscallArgs& args) {
  constexpr std::uint64_t kAtOnce = 1u << 20;
  const auto out = ta.space().ViewOut(args[0], args[1]);
  if (!out) return code::kAccessDenied;
  for (MutableBytes left = *out; !left.empty();) {
    const std::size_t take = std::min<std::size_t>(left.size(), kAtOnce);
    if (RAND_bytes(Out(left), static_cast<int>(take)) != 1) return code::kGeneric;
    left = left.subspan(take);
  }
  return code::kSuccess;
}

}  // namespace

void AddOperationCalls(SyscallTable& table) {
  const auto set = [&](SyscallNumber number, Syscall call) {
    table[static_cast<std::size_t>(number)] = call;
  };
  set(SyscallNumber::kStateAlloc, AllocCall);
  set(SyscallNumber::kStateCopy, CopyCall);
  set(SyscallNumber::kStateFree, FreeCall);
  set(SyscallNumber::kHashInit, HashInitCall);
  set(SyscallNumber::kHashUpdate, HashUpdateCall);
  set(SyscallNumber::kHashFinal, HashFinalCall);
  set(SyscallNumber::kCipherInit, CipherInitCall);
  set(SyscallNumber::kCipherUpdate, CipherUpdateCall);
  set(SyscallNumber::kCipherFinal, CipherFinalCall);
  set(SyscallNumber::kRandom, RandomCall);
}

}  // namespace vtee::ta
