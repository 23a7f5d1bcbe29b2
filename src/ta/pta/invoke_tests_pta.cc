// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/invoke_tests_pta.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/log.h"
#include "ta/core/tee_core.h"
#include "ta/crypto/ae.h"
#include "ta/crypto/algorithms.h"
#include "ta/crypto/cipher.h"
#include "ta/pta/pta_params.h"
#include "ta/pta/self_tests.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

enum Command : std::uint32_t {
  kTrace = 0,
  kParameters = 1,
  kSelfTests = 2,
  kCopyToSecure = 3,
  kModifySecure = 4,
  kCopyFromSecure = 5,
  kHashTree = 6,
  kMutex = 7,
  kLockDependencies = 8,
  kAesPerf = 9,
  kNullMemref = 10,
  kDrivers = 11,
  kTransferLists = 12,
};

constexpr std::uint32_t kNone = 0;
constexpr std::uint32_t kValueIn = 1;
constexpr std::uint32_t kValueOut = 2;
constexpr std::uint32_t kValueInOut = 3;
constexpr std::uint32_t kMemrefInOut = 7;

std::uint32_t Low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }

// The one parameter of type `type`, all others being of type `rest`; null: it is otherwise.
EntryParam* Single(EntryParams& params, std::uint32_t type, std::uint32_t rest) {
  const std::uint32_t types = ParamTypes(params);
  EntryParam* found = nullptr;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const std::uint32_t is = types >> (4 * i) & 0xF;
    if (is == type && found == nullptr) {
      found = &params[i];
    } else if (is != rest) {
      return nullptr;
    }
  }
  return found;
}

// The first byte becomes the sum of all.
std::uint32_t SumBytes(const EntryParam& buffer) {
  if (buffer.memory == nullptr || buffer.size == 0) return code::kBadParameters;
  std::array<std::byte, 4096> piece{};
  std::uint8_t sum = 0;
  for (std::uint64_t at = 0; at < buffer.size;) {
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), buffer.size - at));
    const auto bytes = std::span(piece).first(size);
    if (!buffer.memory->Read(buffer.offset + at, bytes)) return code::kAccessDenied;
    for (const std::byte byte : bytes)
      sum = static_cast<std::uint8_t>(sum + std::to_integer<int>(byte));
    at += size;
  }
  const auto result = static_cast<std::byte>(sum);
  return buffer.memory->Write(buffer.offset, std::span(&result, 1)) ? code::kSuccess
                                                                    : code::kAccessDenied;
}

std::uint32_t TestParameters(EntryParams& params) {
  if (EntryParam* both = Single(params, kValueInOut, kNone)) {
    both->a = Low(both->a + both->b);
    return code::kSuccess;
  }
  if (EntryParam* out = Single(params, kValueOut, kValueIn)) {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    for (const EntryParam& param : params) {
      if (&param == out) continue;
      a += param.a;
      b += param.b;
    }
    out->a = Low(a);
    out->b = Low(b);
    return code::kSuccess;
  }
  if (const EntryParam* buffer = Single(params, kMemrefInOut, kNone)) return SumBytes(*buffer);
  return code::kBadParameters;
}

std::uint32_t TestNullMemref(const EntryParams& params) {
  if (ParamTypes(params) != kMemrefInOut) return code::kBadParameters;
  return params[0].memory == nullptr && params[0].size == 0 ? code::kSuccess : code::kBadParameters;
}

std::uint32_t Report(std::span<const SelfTest> tests) {
  const auto failed = FailedTests(tests);
  for (const std::string_view name : failed) {
    LogGuest(LogLevel::kError, "ta.self_test", {{"failed", std::string(name)}});
  }
  return failed.empty() ? code::kSuccess : code::kGeneric;
}

// What is encrypted or decrypted again and again, in units.
struct AesRun {
  std::uint32_t algorithm = 0;
  bool encrypt = true;
  std::size_t key_bytes = 0;
  std::uint64_t repeats = 0;
  std::uint64_t unit = 0;
};

template <typename Update>
std::uint32_t RunUnits(const AesRun& run, std::span<const std::byte> in, std::span<std::byte> out,
                       const Update& update) {
  for (std::uint64_t n = 0; n < run.repeats; ++n) {
    for (std::size_t at = 0; at < in.size();) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(run.unit, in.size() - at));
      const std::uint32_t result = update(in.subspan(at, size), out.subspan(at, size));
      if (result != code::kSuccess) return result;
      at += size;
    }
  }
  return code::kSuccess;
}

std::uint32_t RunAes(const AesRun& run, std::span<const std::byte> in, std::span<std::byte> out) {
  constexpr std::size_t kBlock = 16;
  constexpr std::size_t kMostKey = 32;
  if (run.key_bytes > kMostKey) return code::kBadParameters;
  // Fixed ones: it is the speed that is asked for.
  std::array<std::byte, 2 * kMostKey> keys{};
  std::array<std::byte, kBlock> iv{};
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<std::byte>(i);
  for (std::size_t i = 0; i < iv.size(); ++i) iv[i] = static_cast<std::byte>(0xA0 + i);
  const auto key = std::span(keys).first(run.key_bytes);
  if (run.algorithm == alg::kAesGcm) {
    const auto state = AeState::Create(run.algorithm, run.encrypt, key);
    if (!state) return code::kBadParameters;
    const std::uint32_t begun = state->Init(iv, kBlock, 0, in.size());
    if (begun != code::kSuccess) return begun;
    return RunUnits(run, in, out, [&](auto from, auto to) {
      std::size_t length = to.size();
      return state->Update(from, to, length);
    });
  }
  const bool two_keys = run.algorithm == alg::kAesXts;
  const auto tweak = std::span(keys).subspan(kMostKey, two_keys ? run.key_bytes : 0);
  const auto state = CipherState::Create(run.algorithm, run.encrypt, key, tweak);
  if (!state) return code::kBadParameters;
  const std::uint32_t begun = state->Init(iv);
  if (begun != code::kSuccess) return begun;
  return RunUnits(run, in, out, [&](auto from, auto to) { return state->Update(from, to); });
}

// value in {decrypt << 16 | key bits, mode}, value in {repeats, unit}, memref inout, memref inout.
std::uint32_t TestAesSpeed(EntryParams& params) {
  constexpr std::uint32_t kModes[] = {alg::kAesEcb, alg::kAesCbc, alg::kAesCtr, alg::kAesXts,
                                      alg::kAesGcm};
  constexpr std::uint64_t kMostBuffer = 1u << 20;
  constexpr std::uint64_t kMostWork = 256u << 20;  // bytes
  constexpr std::uint64_t kMostUnits = 1u << 20;
  if (ParamTypes(params) != 0x7711 || params[0].b >= std::size(kModes) || params[1].b == 0 ||
      params[2].size > params[3].size || params[3].memory == nullptr) {
    return code::kBadParameters;
  }
  const std::uint32_t how = Low(params[0].a);
  if ((how & 0xFFFF) % 8 != 0) return code::kBadParameters;
  const AesRun run{.algorithm = kModes[params[0].b],
                   .encrypt = how >> 16 == 0,
                   .key_bytes = (how & 0xFFFF) / 8,
                   .repeats = params[1].a,
                   .unit = params[1].b};
  const auto in = ReadBuffer(params[2], kMostBuffer);
  if (!in) return code::kBadParameters;
  const auto work = CheckedMul<std::uint64_t>(run.repeats, in->size());
  const auto units = CheckedMul<std::uint64_t>(run.repeats, in->size() / run.unit + 1);
  if (!work || *work > kMostWork || !units || *units > kMostUnits) return code::kBadParameters;
  std::vector<std::byte> out(in->size());
  const std::uint32_t result = RunAes(run, *in, out);
  if (result != code::kSuccess || out.empty()) return result;
  return params[3].memory->Write(params[3].offset, out) ? code::kSuccess : code::kAccessDenied;
}

}  // namespace

std::uint32_t InvokeTestsPta::WriteUnderLock(std::uint32_t rounds, EntryParam& seen) {
  seen.a = ++writers_.before;
  const std::unique_lock held(lock_);
  --writers_.before;
  seen.b = ++writers_.during;
  for (std::uint32_t i = 0; i < rounds; ++i) {
    // No atomic addition: without the lock, additions of others would be lost.
    once_.store(once_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    twice_.store(twice_.load(std::memory_order_relaxed) + 2, std::memory_order_relaxed);
  }
  --writers_.during;
  return code::kSuccess;
}

std::uint32_t InvokeTestsPta::ReadUnderLock(std::uint32_t rounds, EntryParam& seen) {
  seen.a = ++readers_.before;
  const std::shared_lock held(lock_);
  --readers_.before;
  seen.b = ++readers_.during;
  std::uint32_t result = code::kSuccess;
  for (std::uint32_t i = 0; i < rounds; ++i) {
    if (once_.load(std::memory_order_relaxed) * 2 != twice_.load(std::memory_order_relaxed)) {
      result = code::kBadState;
    }
  }
  --readers_.during;
  return result;
}

// value in {reader, rounds}, value out {who waited, who had the lock}.
std::uint32_t InvokeTestsPta::TestLock(EntryParams& params) {
  constexpr std::uint64_t kMostRounds = 1u << 20;
  if (ParamTypes(params) != 0x0021 || params[0].b > kMostRounds) return code::kBadParameters;
  switch (params[0].a) {
    case 0:
      return WriteUnderLock(Low(params[0].b), params[1]);
    case 1:
      return ReadUnderLock(Low(params[0].b), params[1]);
    default:
      return code::kBadParameters;
  }
}

// OP-TEE tests here how drivers are found and probed. In vtee it is the guest's kernel that does
// that, by the list of devices: whatever is on it must load, and be what the list says it is.
std::uint32_t InvokeTestsPta::TestDevices(Call& call) {
  constexpr std::uint32_t kDeviceFlags = 1u << 9 | 1u << 10 | 1u << 12;
  std::uint32_t result = code::kSuccess;
  for (const tee::Uuid& uuid : core_.files().InFoldersWith(kDeviceFlags)) {
    auto image = core_.files().Fetch(call, uuid);
    std::optional<TaHead> head;
    if (auto* bytes = std::get_if<std::vector<std::byte>>(&image)) {
      const auto file = ElfFile::Parse(std::move(*bytes));
      if (file.ok()) head = ReadTaHead(*file);
    }
    if (head && head->uuid == uuid && (head->flags & kDeviceFlags) != 0) continue;
    LogGuest(LogLevel::kError, "ta.self_test",
             {{"failed", "devices"}, {"ta", tee::ToString(uuid)}});
    result = code::kGeneric;
  }
  return result;
}

std::uint32_t InvokeTestsPta::Invoke(Call& call, TaInstance*, std::uint32_t, std::uint32_t command,
                                     EntryParams& params) {
  switch (command) {
    case kTrace:
      LogGuest(LogLevel::kInfo, "ta.trace", {{"what", "the guest asked for this line"}});
      return code::kSuccess;
    case kParameters:
      return TestParameters(params);
    case kSelfTests:
      return Report(CoreSelfTests());
    case kHashTree:
      return Report(StorageSelfTests());
    case kMutex:
      return TestLock(params);
    case kAesPerf:
      return TestAesSpeed(params);
    case kNullMemref:
      return TestNullMemref(params);
    case kDrivers:
      return TestDevices(call);
    case kCopyToSecure:
    case kModifySecure:
    case kCopyFromSecure:
    case kLockDependencies:
    case kTransferLists:
      return code::kNotSupported;
    default:
      return code::kBadParameters;
  }
}

}  // namespace vtee::ta
