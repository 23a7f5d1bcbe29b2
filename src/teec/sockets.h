// SPDX-License-Identifier: BSD-3-Clause
// Sockets: TCP and UDP connections of TAs (GlobalPlatform TEE Sockets API), made by this process.
//
// The requests are those of OP-TEE's tee-supplicant (OPTEE_RPC_CMD_SOCKET, optee_os
// core/include/optee_rpc_cmd.h): value in {request, session, handle} first. A session's sockets
// are its own. Threading: any thread; a request that waits holds up no other.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "base/unique_fd.h"
#include "teec/tee_client_api.h"
#include "teec/upcall.h"

namespace vtee::teec {

class Sockets {
 public:
  static Sockets& OfProcess();
  TEEC_Result Serve(Upcall& upcall);

 private:
  using Shared = std::shared_ptr<const UniqueFd>;
  TEEC_Result Open(Upcall& upcall);
  TEEC_Result Close(Upcall& upcall);
  TEEC_Result CloseAll(Upcall& upcall);
  Shared Find(Upcall& upcall);

  std::mutex mutex_;
  // By session and handle.
  std::map<std::pair<std::uint64_t, std::uint64_t>, Shared> open_;
  std::uint64_t next_handle_ = 1;
};

}  // namespace vtee::teec
