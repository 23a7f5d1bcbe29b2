// SPDX-License-Identifier: BSD-3-Clause
#include "teec/operation.h"

#include <algorithm>
#include <array>

namespace vtee::teec {
namespace {

using program::ParamBody;

// tee::Param::Kind and tee::Direction on the wire.
enum : std::uint32_t { kNone = 0, kValue = 1, kMemory = 2 };
enum : std::uint32_t { kIn = 1, kOut = 2, kInOut = 3 };

// A cache line, so that no two buffers share one.
constexpr std::uint64_t kAlignment = 64;

std::uint32_t TypeOf(const TEEC_Operation& operation, std::size_t i) {
  return operation.paramTypes >> (i * 4) & 0xF;
}

// The bytes of this process that a parameter refers to.
struct Buffer {
  std::byte* address = nullptr;  // null: a NULL reference
  std::uint64_t size = 0;
  std::uint32_t direction = 0;
};

TEEC_Result FromTemporary(const TEEC_TempMemoryReference& reference, std::uint32_t direction,
                          Buffer& buffer) {
  if (reference.buffer == nullptr && reference.size != 0) return TEEC_ERROR_BAD_PARAMETERS;
  buffer = {static_cast<std::byte*>(reference.buffer), reference.size, direction};
  return TEEC_SUCCESS;
}

TEEC_Result FromWhole(const TEEC_RegisteredMemoryReference& reference, Buffer& buffer) {
  const TEEC_SharedMemory& shared = *reference.parent;
  // TEEC_MEM_INPUT and _OUTPUT have the numbers of the directions.
  const std::uint32_t direction = shared.flags & kInOut;
  if (direction == 0) return TEEC_ERROR_BAD_PARAMETERS;
  buffer = {static_cast<std::byte*>(shared.buffer), shared.size, direction};
  return TEEC_SUCCESS;
}

TEEC_Result FromPart(const TEEC_RegisteredMemoryReference& reference, std::uint32_t direction,
                     Buffer& buffer) {
  const TEEC_SharedMemory& shared = *reference.parent;
  if ((shared.flags & direction) != direction || reference.offset > shared.size ||
      reference.size > shared.size - reference.offset) {
    return TEEC_ERROR_BAD_PARAMETERS;
  }
  buffer = {static_cast<std::byte*>(shared.buffer) + reference.offset, reference.size, direction};
  return TEEC_SUCCESS;
}

TEEC_Result BufferOf(const TEEC_Operation& operation, std::size_t i, Buffer& buffer) {
  const TEEC_Parameter& param = operation.params[i];
  switch (const std::uint32_t type = TypeOf(operation, i)) {
    case TEEC_MEMREF_TEMP_INPUT:
    case TEEC_MEMREF_TEMP_OUTPUT:
    case TEEC_MEMREF_TEMP_INOUT:
      return FromTemporary(param.tmpref, type & kInOut, buffer);
    case TEEC_MEMREF_WHOLE:
    case TEEC_MEMREF_PARTIAL_INPUT:
    case TEEC_MEMREF_PARTIAL_OUTPUT:
    case TEEC_MEMREF_PARTIAL_INOUT:
      if (param.memref.parent == nullptr || param.memref.parent->buffer == nullptr) {
        return TEEC_ERROR_BAD_PARAMETERS;
      }
      return type == TEEC_MEMREF_WHOLE ? FromWhole(param.memref, buffer)
                                       : FromPart(param.memref, type & kInOut, buffer);
    default:
      return TEEC_ERROR_BAD_PARAMETERS;
  }
}

bool IsValue(std::uint32_t type) { return type >= TEEC_VALUE_INPUT && type <= TEEC_VALUE_INOUT; }

// Where the size that the TA reports belongs.
size_t& SizeOf(TEEC_Operation& operation, std::size_t i) {
  TEEC_Parameter& param = operation.params[i];
  return TypeOf(operation, i) < TEEC_MEMREF_WHOLE ? param.tmpref.size : param.memref.size;
}

TEEC_Result CopyBack(const ParamBody& body, const ParamBody& sent, const Lane& lane,
                     TEEC_Operation& operation, std::size_t i) {
  Buffer buffer;
  if (BufferOf(operation, i, buffer) != TEEC_SUCCESS || (buffer.direction & kOut) == 0) {
    return TEEC_SUCCESS;
  }
  const std::uint64_t size = std::min(body.b, sent.b);
  SizeOf(operation, i) = body.b;
  if (buffer.address == nullptr || size == 0) return TEEC_SUCCESS;
  return lane.CopyOut(sent.a, buffer.address, size) ? TEEC_SUCCESS : TEEC_ERROR_GENERIC;
}

}  // namespace

TEEC_Result ToMessage(const TEEC_Operation* operation, Lane& lane, program::Message& message) {
  if (operation == nullptr) return TEEC_SUCCESS;
  std::array<Buffer, TEEC_CONFIG_PAYLOAD_REF_COUNT> buffers{};
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    ParamBody& body = message.params[i];
    const std::uint32_t type = TypeOf(*operation, i);
    if (type == TEEC_NONE) continue;
    if (IsValue(type)) {
      body = {kValue, type, operation->params[i].value.a, operation->params[i].value.b, 0};
      continue;
    }
    if (const TEEC_Result wrong = BufferOf(*operation, i, buffers[i]); wrong != TEEC_SUCCESS) {
      return wrong;
    }
    const bool null = buffers[i].address == nullptr;
    body = {kMemory, buffers[i].direction, end, buffers[i].size, null ? program::kIsNull : 0};
    std::uint64_t next = 0;
    if (__builtin_add_overflow(end, buffers[i].size, &next) ||
        __builtin_add_overflow(next, kAlignment - 1, &next)) {
      return TEEC_ERROR_OUT_OF_MEMORY;
    }
    end = next & ~(kAlignment - 1);
  }
  // A reference of 0 bytes at an address needs memory to point into.
  if (!lane.Reserve(std::max<std::uint64_t>(end, 1))) return TEEC_ERROR_OUT_OF_MEMORY;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    // Outputs too: what a TA leaves alone must be there afterwards.
    if (buffers[i].address != nullptr && buffers[i].size != 0 &&
        !lane.CopyIn(message.params[i].a, buffers[i].address, buffers[i].size)) {
      return TEEC_ERROR_GENERIC;
    }
  }
  return TEEC_SUCCESS;
}

TEEC_Result FromMessage(const program::Message& result, const program::Message& sent,
                        const Lane& lane, TEEC_Operation* operation) {
  if (operation == nullptr) return TEEC_SUCCESS;
  TEEC_Result outcome = TEEC_SUCCESS;
  for (std::size_t i = 0; i < TEEC_CONFIG_PAYLOAD_REF_COUNT; ++i) {
    const ParamBody& body = result.params[i];
    const std::uint32_t type = TypeOf(*operation, i);
    if (type == TEEC_VALUE_OUTPUT || type == TEEC_VALUE_INOUT) {
      operation->params[i].value = {static_cast<std::uint32_t>(body.a),
                                    static_cast<std::uint32_t>(body.b)};
    } else if (type > TEEC_VALUE_INOUT) {
      const TEEC_Result copied = CopyBack(body, sent.params[i], lane, *operation, i);
      if (copied != TEEC_SUCCESS) outcome = copied;
    }
  }
  return outcome;
}

}  // namespace vtee::teec
