// SPDX-License-Identifier: BSD-3-Clause
// RpcEngine: asks the guest, in the middle of its call, for what the TEE wants (optee_rpc_cmd.h).
//
// One object per running call, on its worker's stack. Memory for RPC messages comes from the call
// itself (RPC_ARG) or from an ALLOC RPC; payload memory from SHM_ALLOC, freed after each upcall.
// Everything the guest answers is fetched once and bounded by what was asked for.
// Threading: the call's worker only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "dialect/optee/call_slot.h"
#include "dialect/optee/profile.h"
#include "dialect/optee/wire.h"
#include "guest/guest_buffer.h"
#include "tee/upcalls.h"

namespace vtee::optee {

class RpcEngine final : public tee::Upcalls {
 public:
  RpcEngine(CallSlot& slot, const guest::GuestMemory& memory, const GuestSetup& setup)
      : slot_(slot), memory_(memory), setup_(setup) {}
  // Gives back what an ALLOC RPC lent, so: before the call's final reply.
  ~RpcEngine() override { ReturnRpcArg(); }
  RpcEngine(const RpcEngine&) = delete;
  RpcEngine& operator=(const RpcEngine&) = delete;

  tee::Outcome Call(tee::Upcall& upcall) override;

 private:
  using Message = std::array<MsgParam, kRpcParams>;
  struct Payload {
    std::shared_ptr<const guest::GuestBuffer> buffer;
    std::uint64_t cookie = 0;
    std::uint64_t type = 0;
    std::uint64_t contiguous_at = 0;  // IPA when the guest gave contiguous memory, else 0
    bool scattered = false;
  };

  bool EnsureRpcArg();
  void ReturnRpcArg();
  tee::Outcome Ask(tee::Upcall& upcall);
  guest::MemFault TakePayload(const MsgParam& given, std::uint64_t size, Payload& payload);
  // Sends a message and fetches the answer into `params`; false: the guest is gone or lied.
  bool Exchange(std::uint32_t command, std::span<MsgParam> params, std::uint32_t& result);
  std::uint32_t AllocatePayload(tee::UpcallKind kind, std::uint64_t size, Payload& payload);
  void FreePayload(const Payload& payload);
  bool FillParams(const tee::Upcall& upcall, const Payload& payload, Message& message);
  bool TakeResults(const Message& message, const Payload& payload, tee::Upcall& upcall);

  CallSlot& slot_;
  const guest::GuestMemory& memory_;
  const GuestSetup& setup_;
};

}  // namespace vtee::optee
