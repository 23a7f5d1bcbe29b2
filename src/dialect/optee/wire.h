// SPDX-License-Identifier: BSD-3-Clause
// The OP-TEE SMC ABI: function ids, return codes and message layout.
//
// Sources: optee_os core/arch/arm/include/sm/optee_smc.h (SMC ids and returns),
// core/include/optee_msg.h (messages), core/include/optee_rpc_cmd.h (RPC commands), and the same
// definitions in Linux drivers/tee/optee. docs/optee-abi.md explains how they are used.
// Not here: the FF-A flavour, arm32-only calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vtee::optee {

// ---- SMC function ids (SMC32; owner 50 is "trusted OS", 63 the trusted OS's "calls" queries) --

namespace smc {
inline constexpr std::uint32_t kCallsCount = 0xBF00FF00;
inline constexpr std::uint32_t kCallsUid = 0xBF00FF01;
inline constexpr std::uint32_t kCallsRevision = 0xBF00FF03;
inline constexpr std::uint32_t kGetOsUuid = 0xB2000000;
inline constexpr std::uint32_t kGetOsRevision = 0xB2000001;
inline constexpr std::uint32_t kGetShmConfig = 0xB2000007;
inline constexpr std::uint32_t kExchangeCapabilities = 0xB2000009;
inline constexpr std::uint32_t kDisableShmCache = 0xB200000A;
inline constexpr std::uint32_t kEnableShmCache = 0xB200000B;
inline constexpr std::uint32_t kGetThreadCount = 0xB200000F;
inline constexpr std::uint32_t kEnableAsyncNotif = 0xB2000010;
inline constexpr std::uint32_t kGetAsyncNotifValue = 0xB2000011;
inline constexpr std::uint32_t kReturnFromRpc = 0x32000003;
inline constexpr std::uint32_t kCallWithArg = 0x32000004;
inline constexpr std::uint32_t kCallWithRpcArg = 0x32000012;
inline constexpr std::uint32_t kCallWithRegdArg = 0x32000013;
}  // namespace smc

// "CALLS_COUNT" as OP-TEE without namespace virtualisation answers it.
inline constexpr std::uint32_t kCallsCountValue = 12;
inline constexpr std::array<std::uint32_t, 4> kApiUid = {0x384fb3e0, 0xe7f811e3, 0xaf630002,
                                                         0xa5d5c51b};
inline constexpr std::array<std::uint32_t, 4> kOsUuid = {0x486178e0, 0xe7f811e3, 0xbc5e0002,
                                                         0xa5d5c51b};
inline constexpr std::uint32_t kApiRevisionMajor = 2;
inline constexpr std::uint32_t kApiRevisionMinor = 0;

// EXCHANGE_CAPABILITIES
inline constexpr std::uint32_t kNsecCapUniprocessor = 1u << 0;
inline constexpr std::uint32_t kSecCapReservedShm = 1u << 0;
inline constexpr std::uint32_t kSecCapUnregisteredShm = 1u << 1;
inline constexpr std::uint32_t kSecCapDynamicShm = 1u << 2;
inline constexpr std::uint32_t kSecCapMemrefNull = 1u << 4;
inline constexpr std::uint32_t kSecCapAsyncNotif = 1u << 5;
inline constexpr std::uint32_t kSecCapRpcArg = 1u << 6;

// GET_SHM_CONFIG: normal cached memory, the only kind that drivers take
inline constexpr std::uint32_t kShmCached = 1;

// GET_ASYNC_NOTIF_VALUE
inline constexpr std::uint32_t kAsyncNotifValid = 1u << 0;
inline constexpr std::uint32_t kAsyncNotifPending = 1u << 1;

// Return values in a0
namespace ret {
inline constexpr std::uint32_t kOk = 0;
inline constexpr std::uint32_t kThreadLimit = 1;
inline constexpr std::uint32_t kBusy = 2;
inline constexpr std::uint32_t kResume = 3;
inline constexpr std::uint32_t kBadAddress = 4;
inline constexpr std::uint32_t kBadCommand = 5;
inline constexpr std::uint32_t kNoMemory = 6;
inline constexpr std::uint32_t kNotAvailable = 7;
inline constexpr std::uint64_t kUnknownFunction = ~std::uint64_t{0};  // SMCCC NOT_SUPPORTED
inline constexpr std::uint32_t kRpcAlloc = 0xFFFF0000;
inline constexpr std::uint32_t kRpcFree = 0xFFFF0002;
inline constexpr std::uint32_t kRpcForeignInterrupt = 0xFFFF0004;
inline constexpr std::uint32_t kRpcCommand = 0xFFFF0005;
}  // namespace ret

// ---- messages ------------------------------------------------------------------------------

namespace cmd {
inline constexpr std::uint32_t kOpenSession = 0;
inline constexpr std::uint32_t kInvokeCommand = 1;
inline constexpr std::uint32_t kCloseSession = 2;
inline constexpr std::uint32_t kCancel = 3;
inline constexpr std::uint32_t kRegisterShm = 4;
inline constexpr std::uint32_t kUnregisterShm = 5;
inline constexpr std::uint32_t kDoBottomHalf = 6;
inline constexpr std::uint32_t kStopAsyncNotif = 7;
inline constexpr std::uint32_t kLendProtectedMemory = 8;
inline constexpr std::uint32_t kReclaimProtectedMemory = 9;
inline constexpr std::uint32_t kGetProtectedMemoryConfig = 10;
inline constexpr std::uint32_t kAssignProtectedMemory = 11;
}  // namespace cmd

namespace rpc {
inline constexpr std::uint32_t kLoadTa = 0;
inline constexpr std::uint32_t kGetTime = 3;
inline constexpr std::uint32_t kNotification = 4;
inline constexpr std::uint32_t kSuspend = 5;
inline constexpr std::uint32_t kShmAlloc = 6;
inline constexpr std::uint32_t kShmFree = 7;
// No command of OP-TEE's, nor likely to become one: any supplicant answers NOT_SUPPORTED.
inline constexpr std::uint32_t kNobodys = 0x7FFF7EE0;
inline constexpr std::uint64_t kNotificationWait = 0;
inline constexpr std::uint64_t kShmTypeApplication = 0;
inline constexpr std::uint64_t kShmTypeKernel = 1;
}  // namespace rpc

// Parameter attribute: type in bits 7..0, flags above; every other bit must be 0.
namespace attr {
inline constexpr std::uint64_t kTypeMask = 0xFF;
inline constexpr std::uint64_t kNone = 0;
inline constexpr std::uint64_t kValueIn = 1;
inline constexpr std::uint64_t kValueOut = 2;
inline constexpr std::uint64_t kValueInOut = 3;
inline constexpr std::uint64_t kRmemIn = 5;
inline constexpr std::uint64_t kRmemOut = 6;
inline constexpr std::uint64_t kRmemInOut = 7;
inline constexpr std::uint64_t kTmemIn = 9;
inline constexpr std::uint64_t kTmemOut = 0xA;
inline constexpr std::uint64_t kTmemInOut = 0xB;
inline constexpr std::uint64_t kMeta = 1u << 8;
inline constexpr std::uint64_t kNonContiguous = 1u << 9;
inline constexpr std::uint64_t kCacheMask = 7u << 16;  // 0: "predefined", the only one in use
inline constexpr std::uint64_t kKnown = kTypeMask | kMeta | kNonContiguous | kCacheMask;
}  // namespace attr

// struct optee_msg_param. The union's three words by kind:
//   value: a, b, c      tmem: buf_ptr, size, shm_ref      rmem: offs, size, shm_ref
struct MsgParam {
  std::uint64_t attr;
  std::uint64_t u[3];
};
static_assert(sizeof(MsgParam) == 32, "optee_msg.h: struct optee_msg_param");

// struct optee_msg_arg without its parameters, which follow directly.
struct MsgHeader {
  std::uint32_t cmd;
  std::uint32_t func;
  std::uint32_t session;
  std::uint32_t cancel_id;
  std::uint32_t pad;
  std::uint32_t ret;
  std::uint32_t ret_origin;
  std::uint32_t num_params;
};
static_assert(sizeof(MsgHeader) == 32, "optee_msg.h: struct optee_msg_arg");
static_assert(offsetof(MsgHeader, session) == 8);
static_assert(offsetof(MsgHeader, ret) == 20);
static_assert(offsetof(MsgHeader, num_params) == 28);

// OPTEE_MSG_MAX_NUM_PARAMS: what fits one 4 KiB page.
inline constexpr std::uint32_t kMaxMsgParams = (4096 - sizeof(MsgHeader)) / sizeof(MsgParam);
static_assert(kMaxMsgParams == 127);
// The most any command uses: OPEN_SESSION's two meta parameters and four for the TA.
inline constexpr std::uint32_t kMaxUsedParams = 6;
inline constexpr std::uint32_t kRpcParams = 4;  // "rpc_param_count" of EXCHANGE_CAPABILITIES

constexpr std::uint64_t MsgSize(std::uint32_t num_params) {
  return sizeof(MsgHeader) + std::uint64_t{num_params} * sizeof(MsgParam);
}

}  // namespace vtee::optee
