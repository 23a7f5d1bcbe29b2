// SPDX-License-Identifier: BSD-3-Clause
#include "teec/supplicant.h"

#include <new>

#include "teec/plugins.h"
#include "teec/sockets.h"
#include "teec/tee_client_api.h"
#include "teec/upcall.h"

namespace vtee::teec {
namespace {

// OPTEE_RPC_CMD_*
constexpr std::uint32_t kSocket = 10;
constexpr std::uint32_t kPlugin = 12;

TEEC_Result Serve(Upcall& upcall) {
  switch (upcall.message().command) {
    case kSocket:
      return Sockets::OfProcess().Serve(upcall);
    case kPlugin:
      return Plugins::OfProcess().Serve(upcall);
    default:
      return TEEC_ERROR_NOT_SUPPORTED;
  }
}

}  // namespace

program::Message ServeUpcall(const program::Message& asked, int memory) {
  try {
    Upcall upcall;
    TEEC_Result result = TEEC_ERROR_BAD_PARAMETERS;
    if (upcall.Take(asked, memory)) {
      result = Serve(upcall);
      if (!upcall.PutBack(memory)) result = TEEC_ERROR_GENERIC;
    }
    program::Message reply = upcall.message();
    reply.code = result;
    return reply;
  } catch (const std::bad_alloc&) {
    program::Message reply = asked;
    reply.code = TEEC_ERROR_OUT_OF_MEMORY;
    return reply;
  }
}

}  // namespace vtee::teec
