// SPDX-License-Identifier: BSD-3-Clause
// System calls 15 to 23 and 33: operations, digests, MACs, ciphers, random numbers.
#include "ta/core/ta_instance.h"
#include "ta/crypto/algorithms.h"
#include "ta/crypto/random.h"
#include "ta/syscall/dispatch.h"
#include "ta/syscall/key_rules.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// (algorithm, mode, key1, key2, operation)
std::uint32_t AllocOperationCall(TaInstance& ta, const SyscallArgs& args) {
  auto operation = std::make_shared<Operation>();
  operation->algorithm = CurrentAlgorithm(static_cast<std::uint32_t>(args[0]));
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
  const std::uint32_t result =
      CheckKeyCount(operation->algorithm, keys[0] != nullptr, keys[1] != nullptr);
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

template <typename State>
std::unique_ptr<State> CloneOf(const std::unique_ptr<State>& state) {
  return state ? state->Clone() : nullptr;
}

// (to, from)
std::uint32_t CopyOperationCall(TaInstance& ta, const SyscallArgs& args) {
  const auto to = ta.handles().operations.Find(args[0]);
  const auto from = ta.handles().operations.Find(args[1]);
  if (!to || !from || to->algorithm != from->algorithm || to->mode != from->mode) {
    return code::kBadParameters;
  }
  switch (ClassOf(from->algorithm)) {
    case AlgorithmClass::kDigest:
      to->digest = CloneOf(from->digest);
      return code::kSuccess;
    case AlgorithmClass::kMac:
      to->mac = CloneOf(from->mac);
      return code::kSuccess;
    case AlgorithmClass::kCipher:
      to->cipher = CloneOf(from->cipher);
      return code::kSuccess;
    case AlgorithmClass::kAe:
      to->ae = CloneOf(from->ae);
      return code::kSuccess;
    default:
      return code::kBadState;
  }
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
  if (!operation) return code::kBadParameters;
  switch (ClassOf(operation->algorithm)) {
    case AlgorithmClass::kDigest:
      operation->digest = DigestState::Create(operation->algorithm);
      return operation->digest ? operation->digest->Init() : code::kNotSupported;
    case AlgorithmClass::kMac: {
      const auto key = ta.handles().objects.Find(operation->key1);
      if (!key || !key->key.initialized()) return code::kBadParameters;
      operation->mac = MacState::Create(operation->algorithm, key->key.secret());
      return operation->mac ? operation->mac->Init() : code::kBadParameters;
    }
    default:
      return code::kBadParameters;
  }
}

// (operation, bytes, size)
std::uint32_t HashUpdateCall(TaInstance& ta, const SyscallArgs& args) {
  if (args[1] == 0 && args[2] != 0) return code::kBadParameters;
  if (args[2] == 0) return code::kSuccess;
  const auto bytes = ta.space().ViewIn(args[1], args[2]);
  if (!bytes) return code::kAccessDenied;
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  if (operation->digest) return operation->digest->Update(*bytes);
  if (operation->mac) return operation->mac->Update(*bytes);
  return code::kBadState;
}

// The last bytes and the result. `size`: in: the room, out: what is needed or given.
template <typename State>
std::uint32_t Finish(State& state, ConstBytes bytes, MutableBytes out, std::size_t& size) {
  if (size < state.size()) {
    size = state.size();
    return code::kShortBuffer;
  }
  const std::uint32_t result = bytes.empty() ? code::kSuccess : state.Update(bytes);
  return result == code::kSuccess ? state.Final(out, size) : result;
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
  std::size_t size = room;
  std::uint32_t result = code::kBadState;
  if (operation->digest) {
    result = Finish(*operation->digest, *bytes, *out, size);
  } else if (operation->mac) {
    result = Finish(*operation->mac, *bytes, *out, size);
  }
  if (result != code::kSuccess && result != code::kShortBuffer) return result;
  return ta.space().WriteObject(args[4], std::uint64_t{size}) ? result : code::kAccessDenied;
}

// (operation, iv, size)
std::uint32_t CipherInitCall(TaInstance& ta, const SyscallArgs& args) {
  constexpr std::uint64_t kMostIv = 1024;
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  if (ClassOf(operation->algorithm) != AlgorithmClass::kCipher) return code::kBadState;
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
  operation->cipher = CipherState::Create(operation->algorithm, operation->mode == opmode::kEncrypt,
                                          key->key.secret(), second);
  return operation->cipher ? operation->cipher->Init(iv) : code::kBadParameters;
}

// (operation, in, size, out, out size)
std::uint32_t CipherRun(TaInstance& ta, const SyscallArgs& args, bool last) {
  const auto operation = ta.handles().operations.Find(args[0]);
  if (!operation) return code::kBadParameters;
  if (!operation->cipher) return code::kBadState;
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
    if (last) operation->cipher.reset();
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
  const auto out = ta.space().ViewOut(args[0], args[1]);
  return out ? RandomBytes(*out) : code::kAccessDenied;
}

}  // namespace

void AddOperationCalls(SyscallTable& table) {
  const auto set = [&](SyscallNumber number, Syscall call) {
    table[static_cast<std::size_t>(number)] = call;
  };
  set(SyscallNumber::kStateAlloc, AllocOperationCall);
  set(SyscallNumber::kStateCopy, CopyOperationCall);
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
