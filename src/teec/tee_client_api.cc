// SPDX-License-Identifier: BSD-3-Clause
// The functions of the TEE Client API. Codes and origins are those of OP-TEE's libteec
// (optee_client libteec/src/tee_client_api.c). No exception leaves: want of memory is a code.
#include "teec/tee_client_api.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "teec/context.h"
#include "teec/operation.h"
#include "teec/uuid.h"

#define VTEE_EXPORT __attribute__((visibility("default")))

namespace vtee::teec {
namespace {

// Guards TEEC_Operation's imp.session, which another thread looks at to cancel.
std::mutex& OperationMutex() {
  static std::mutex mutex;
  return mutex;
}

template <typename Work>
TEEC_Result WithinMemory(Work work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return TEEC_ERROR_OUT_OF_MEMORY;
  }
}

const char* SocketPath() {
  const char* given = std::getenv(program::kSocketVariable);
  return given != nullptr ? given : program::kDefaultSocket;
}

// A request with its parameters, there and back.
TEEC_Result Exchange(const TEEC_Context* api_context, program::Message& request,
                     program::Message& result, TEEC_Operation* operation, std::uint32_t& origin) {
  origin = TEEC_ORIGIN_API;
  const std::shared_ptr<Context> context = Context::Find(api_context);
  if (!context) return TEEC_ERROR_BAD_PARAMETERS;
  if (!context->InThisProcess()) return TEEC_ERROR_BAD_STATE;
  const Context::Lease lease(*context);
  origin = TEEC_ORIGIN_COMMS;
  if (lease.lane() == nullptr) return TEEC_ERROR_COMMUNICATION;
  Lane& lane = *lease.lane();
  if (const TEEC_Result wrong = ToMessage(operation, lane, request); wrong != TEEC_SUCCESS) {
    origin = TEEC_ORIGIN_API;
    return wrong;
  }
  if (!lane.Call(request, result)) return TEEC_ERROR_COMMUNICATION;
  if (const TEEC_Result wrong = FromMessage(result, request, lane, operation);
      wrong != TEEC_SUCCESS) {
    origin = TEEC_ORIGIN_API;
    return wrong;
  }
  origin = result.origin;
  return result.code;
}

bool FlagsAreValid(const TEEC_SharedMemory& memory) {
  constexpr std::uint32_t kKnown = TEEC_MEM_INPUT | TEEC_MEM_OUTPUT;
  return memory.flags != 0 && (memory.flags & ~kKnown) == 0;
}

// Shared memory is this process's alone: its bytes travel with each call.
constexpr std::uint32_t kAllocated = 1;  // imp.flags

void Describe(TEEC_SharedMemory& memory, std::uint32_t flags) {
  memory.imp = {0, memory.size, nullptr, -1, flags};
}

TEEC_Result Open(TEEC_Context* context, TEEC_Session* session, const TEEC_UUID* destination,
                 std::uint32_t method, const void* data, TEEC_Operation* operation,
                 std::uint32_t& origin) {
  origin = TEEC_ORIGIN_API;
  if (context == nullptr || session == nullptr || destination == nullptr) {
    return TEEC_ERROR_BAD_PARAMETERS;
  }
  program::Message request;
  request.type = program::MessageType::kOpenSession;
  request.login = method;
  if (method == TEEC_LOGIN_GROUP || method == TEEC_LOGIN_GROUP_APPLICATION) {
    if (data == nullptr) return TEEC_ERROR_BAD_PARAMETERS;
    std::memcpy(&request.group, data, sizeof request.group);
  }
  const auto octets = ToOctets(*destination);
  std::copy(octets.begin(), octets.end(), std::begin(request.application));
  program::Message result;
  const TEEC_Result outcome = Exchange(context, request, result, operation, origin);
  if (outcome == TEEC_SUCCESS) session->imp = {context, result.session};
  return outcome;
}

}  // namespace
}  // namespace vtee::teec

using namespace vtee;        // NOLINT: C has no namespaces
using namespace vtee::teec;  // NOLINT

extern "C" {

VTEE_EXPORT TEEC_Result TEEC_InitializeContext(const char* name, TEEC_Context* context) {
  if (context == nullptr) return TEEC_ERROR_BAD_PARAMETERS;
  if (name != nullptr && std::strcmp(name, "optee-tz") != 0) return TEEC_ERROR_ITEM_NOT_FOUND;
  return WithinMemory([&] {
    std::shared_ptr<Context> connected;
    const TEEC_Result result = Context::Connect(SocketPath(), connected);
    if (result != TEEC_SUCCESS) return result;
    Context::Keep(connected);
    context->imp = {connected->fd(), true, true};
    return result;
  });
}

VTEE_EXPORT void TEEC_FinalizeContext(TEEC_Context* context) {
  if (context != nullptr) Context::Forget(context);
}

VTEE_EXPORT TEEC_Result TEEC_OpenSession(TEEC_Context* context, TEEC_Session* session,
                                         const TEEC_UUID* destination, uint32_t connection_method,
                                         const void* connection_data, TEEC_Operation* operation,
                                         uint32_t* return_origin) {
  std::uint32_t origin = TEEC_ORIGIN_API;
  const TEEC_Result result = WithinMemory([&] {
    return Open(context, session, destination, connection_method, connection_data, operation,
                origin);
  });
  if (return_origin != nullptr) *return_origin = origin;
  return result;
}

VTEE_EXPORT void TEEC_CloseSession(TEEC_Session* session) {
  if (session == nullptr) return;
  static_cast<void>(WithinMemory([&] {
    program::Message request;
    request.type = program::MessageType::kCloseSession;
    request.session = session->imp.session_id;
    program::Message result;
    std::uint32_t origin = 0;
    return Exchange(session->imp.ctx, request, result, nullptr, origin);
  }));
}

VTEE_EXPORT TEEC_Result TEEC_InvokeCommand(TEEC_Session* session, uint32_t command,
                                           TEEC_Operation* operation, uint32_t* return_origin) {
  std::uint32_t origin = TEEC_ORIGIN_API;
  TEEC_Result outcome = TEEC_ERROR_BAD_PARAMETERS;
  if (session != nullptr) {
    if (operation != nullptr) {
      const std::lock_guard lock(OperationMutex());
      operation->imp.session = session;
    }
    outcome = WithinMemory([&] {
      program::Message request;
      request.type = program::MessageType::kInvoke;
      request.session = session->imp.session_id;
      request.command = command;
      program::Message result;
      return Exchange(session->imp.ctx, request, result, operation, origin);
    });
  }
  if (return_origin != nullptr) *return_origin = origin;
  return outcome;
}

VTEE_EXPORT void TEEC_RequestCancellation(TEEC_Operation* operation) {
  if (operation == nullptr) return;
  const TEEC_Session* session = nullptr;
  {
    const std::lock_guard lock(OperationMutex());
    session = operation->imp.session;
  }
  if (session == nullptr) return;
  const std::shared_ptr<Context> context = Context::Find(session->imp.ctx);
  if (context && context->InThisProcess()) context->Cancel(session->imp.session_id);
}

VTEE_EXPORT TEEC_Result TEEC_RegisterSharedMemory(TEEC_Context* context,
                                                  TEEC_SharedMemory* memory) {
  if (context == nullptr || memory == nullptr || !FlagsAreValid(*memory) ||
      memory->buffer == nullptr) {
    return TEEC_ERROR_BAD_PARAMETERS;
  }
  Describe(*memory, 0);
  return TEEC_SUCCESS;
}

VTEE_EXPORT TEEC_Result TEEC_AllocateSharedMemory(TEEC_Context* context,
                                                  TEEC_SharedMemory* memory) {
  if (context == nullptr || memory == nullptr || !FlagsAreValid(*memory)) {
    return TEEC_ERROR_BAD_PARAMETERS;
  }
  memory->buffer = std::calloc(std::max<std::size_t>(memory->size, 8), 1);
  if (memory->buffer == nullptr) return TEEC_ERROR_OUT_OF_MEMORY;
  Describe(*memory, kAllocated);
  return TEEC_SUCCESS;
}

VTEE_EXPORT void TEEC_ReleaseSharedMemory(TEEC_SharedMemory* memory) {
  if (memory == nullptr || memory->imp.id == -1) return;
  if ((memory->imp.flags & kAllocated) != 0) std::free(memory->buffer);
  memory->buffer = nullptr;
  memory->imp = {-1, 0, nullptr, -1, 0};
}

VTEE_EXPORT TEEC_Result TEEC_RegisterSharedMemoryFileDescriptor(TEEC_Context* context,
                                                                TEEC_SharedMemory* memory, int fd) {
  if (context == nullptr || memory == nullptr || fd < 0 || !FlagsAreValid(*memory)) {
    return TEEC_ERROR_BAD_PARAMETERS;
  }
  return TEEC_ERROR_NOT_SUPPORTED;
}

}  // extern "C"
