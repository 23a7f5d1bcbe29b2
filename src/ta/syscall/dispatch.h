// SPDX-License-Identifier: BSD-3-Clause
// The system calls of TAs: numbers, arguments, and who serves them.
//
// The ABI is that of optee_os 4.5 to 4.10, lib/libutee/include/tee_syscall_numbers.h and
// utee_syscalls.h: number in x8, up to eight arguments in x0 to x7, a TEE_Result in x0. libutee
// turns every code that it does not expect into a panic of the TA, so the codes matter.
// Each handler trusts nothing: pointers go through TaSpace, handles through tables.
// Threading: the thread of the call that runs the TA.
#pragma once

#include <array>
#include <cstdint>

namespace vtee::ta {

class TaInstance;

using SyscallArgs = std::array<std::uint64_t, 8>;
using Syscall = std::uint32_t (*)(TaInstance& ta, const SyscallArgs& args);

// TEE_SCN_*
enum class SyscallNumber : std::uint64_t {
  kReturn = 0,
  kLog = 1,
  kPanic = 2,
  kGetProperty = 3,
  kGetPropertyNameToIndex = 4,
  kOpenTaSession = 5,
  kCloseTaSession = 6,
  kInvokeTaCommand = 7,
  kCheckAccessRights = 8,
  kGetCancellationFlag = 9,
  kUnmaskCancellation = 10,
  kMaskCancellation = 11,
  kWait = 12,
  kGetTime = 13,
  kSetTaTime = 14,
  kStateAlloc = 15,
  kStateCopy = 16,
  kStateFree = 17,
  kHashInit = 18,
  kHashUpdate = 19,
  kHashFinal = 20,
  kCipherInit = 21,
  kCipherUpdate = 22,
  kCipherFinal = 23,
  kObjectGetInfo = 24,
  kObjectRestrictUsage = 25,
  kObjectGetAttribute = 26,
  kObjectAlloc = 27,
  kObjectClose = 28,
  kObjectReset = 29,
  kObjectPopulate = 30,
  kObjectCopy = 31,
  kDeriveKey = 32,
  kRandom = 33,
  kAuthencInit = 34,
  kAuthencUpdateAad = 35,
  kAuthencUpdatePayload = 36,
  kAuthencEncFinal = 37,
  kAuthencDecFinal = 38,
  kAsymmetricOperate = 39,
  kAsymmetricVerify = 40,
  kStorageOpen = 41,
  kStorageCreate = 42,
  kStorageDelete = 43,
  kStorageRename = 44,
  kStorageAllocEnum = 45,
  kStorageFreeEnum = 46,
  kStorageResetEnum = 47,
  kStorageStartEnum = 48,
  kStorageNextEnum = 49,
  kStorageRead = 50,
  kStorageWrite = 51,
  kStorageTruncate = 52,
  kStorageSeek = 53,
  kObjectGenerateKey = 54,
  kCacheOperation = 70,
};
inline constexpr std::uint64_t kSyscalls = 71;

// What a handler table is made of; each group of calls adds its own.
using SyscallTable = std::array<Syscall, kSyscalls>;
void AddCoreCalls(SyscallTable& table);
void AddTimeCalls(SyscallTable& table);
void AddSessionCalls(SyscallTable& table);
void AddOperationCalls(SyscallTable& table);
void AddAuthenticatedCalls(SyscallTable& table);
void AddAsymmetricCalls(SyscallTable& table);
void AddObjectCalls(SyscallTable& table);
void AddStorageCalls(SyscallTable& table);

// Serves one call. NOT_SUPPORTED for numbers that OP-TEE does not have.
std::uint32_t DispatchSyscall(TaInstance& ta, std::uint64_t number, const SyscallArgs& args);

}  // namespace vtee::ta
