// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/ta_params.h"

#include <algorithm>

#include "base/checked.h"
#include "base/log.h"
#include "guest/page_list.h"

namespace vtee::optee {

std::uint32_t TaParams::Decode(std::span<const MsgParam> message, const guest::GuestMemory& memory,
                               const GuestSetup& setup, ShmRegistry& registry,
                               tee::SessionTee& tee) {
  if (message.size() > tee::kMaxParams) return tee::code::kBadParameters;
  for (std::size_t i = 0; i < message.size(); ++i) {
    const MsgParam& from = message[i];
    tee::Param& to = params_[i];
    if ((from.attr & ~(attr::kTypeMask | attr::kNonContiguous)) != 0) {
      return tee::code::kBadParameters;  // META, a cache attribute, or bits nobody has defined
    }
    const std::uint64_t type = from.attr & attr::kTypeMask;
    const bool scattered = (from.attr & attr::kNonContiguous) != 0;
    const bool temporary = type >= attr::kTmemIn && type <= attr::kTmemInOut;
    if (scattered && !temporary) return tee::code::kBadParameters;
    std::uint32_t code = tee::code::kSuccess;
    if (type == attr::kNone) {
      to.kind = tee::Param::Kind::kNone;
    } else if (type <= attr::kValueInOut) {
      to.kind = tee::Param::Kind::kValue;
      to.direction = static_cast<tee::Direction>(type);
      to.a = from.u[0];
      to.b = from.u[1];
      to.c = from.u[2];
    } else if (type >= attr::kRmemIn && type <= attr::kRmemInOut && !setup.profile->window) {
      to.direction = static_cast<tee::Direction>(type - attr::kRmemIn + 1);
      code = DecodeRmem(from, registry, tee, to, holds_[i]);
    } else if (temporary) {
      to.direction = static_cast<tee::Direction>(type - attr::kTmemIn + 1);
      code = DecodeTmem(from, memory, setup, registry, tee, to, holds_[i]);
    } else {
      code = tee::code::kBadParameters;
    }
    if (code != tee::code::kSuccess) return code;
  }
  count_ = message.size();
  return tee::code::kSuccess;
}

std::uint32_t TaParams::DecodeRmem(const MsgParam& from, ShmRegistry& registry,
                                   tee::SessionTee& tee, tee::Param& to, Hold& hold) {
  const auto& [offset, size, cookie] = from.u;
  to.kind = tee::Param::Kind::kMemory;
  to.size = size;
  if (cookie == 0 && offset == 0) return tee::code::kSuccess;  // NULL memref
  hold.use = registry.Find(ShmCookie(cookie));
  if (!hold.use) return tee::code::kBadParameters;
  if (!RangeInside(offset, size, hold.use->buffer()->size())) return tee::code::kSecurity;
  to.memory = hold.use->Register(tee);
  if (to.memory == nullptr) return tee::code::kOutOfMemory;
  to.offset = offset;
  return tee::code::kSuccess;
}

// With a window the TEE gets to know each reference by itself, and not the window once and for all:
// OP-TEE maps all of a buffer for a pseudo-TA that gets some of it, and has room for few MiB.
std::uint32_t TaParams::DecodeTmem(const MsgParam& from, const guest::GuestMemory& memory,
                                   const GuestSetup& setup, ShmRegistry& registry,
                                   tee::SessionTee& tee, tee::Param& to, Hold& hold) {
  const auto& [address, size, cookie] = from.u;
  to.kind = tee::Param::Kind::kMemory;
  to.size = size;
  if (address == 0) return tee::code::kSuccess;  // NULL memref: the ABI has no other spelling
  const bool scattered = (from.attr & attr::kNonContiguous) != 0;
  const bool window = setup.profile->window;
  if (size == 0 && !window) return tee::code::kBadParameters;
  // In a window an empty buffer has a place, as in OP-TEE.
  const std::uint64_t bytes = std::max<std::uint64_t>(size, 1);
  if (window && (scattered || !setup.window.Contains(address, bytes))) {
    LogGuest(LogLevel::kInfo, "param.window", {{"address", Hex(address)}, {"size", size}});
    return tee::code::kBadParameters;
  }
  hold.charge = registry.Take(bytes);
  if (!hold.charge) return tee::code::kOutOfMemory;
  guest::MemFault fault = guest::MemFault::kNone;
  if (scattered) {
    const std::uint64_t offset = address % guest::kPageSize;
    std::vector<guest::GuestPhysAddr> pages;
    fault = guest::WalkPageList(memory, guest::GuestPhysAddr(address - offset), offset, size,
                                size / guest::kPageSize + 2, pages);
    if (fault == guest::MemFault::kNone) {
      fault = guest::GuestBuffer::FromPages(memory, pages, offset, size, hold.buffer);
    }
  } else {
    fault =
        guest::GuestBuffer::FromRange(memory, guest::GuestPhysAddr(address), bytes, hold.buffer);
  }
  if (fault != guest::MemFault::kNone) {
    LogGuest(LogLevel::kInfo, "param.tmem",
             {{"address", Hex(address)}, {"size", size}, {"fault", guest::MemFaultName(fault)}});
    return tee::code::kBadParameters;
  }
  auto registered = tee.RegisterMemory(hold.buffer);
  if (!registered.ok()) {
    LogGuest(LogLevel::kWarning, "param.register", {{"error", registered.error().message}});
    return tee::code::kOutOfMemory;
  }
  hold.registered = std::move(registered).value();
  to.memory = hold.registered.get();
  return tee::code::kSuccess;
}

bool TaParams::WriteBack(const ArgMemory& arg) const {
  for (std::size_t i = 0; i < count_; ++i) {
    const tee::Param& param = params_[i];
    if (param.direction == tee::Direction::kIn) continue;
    const std::uint64_t at = i * sizeof(MsgParam) + offsetof(MsgParam, u);
    if (param.kind == tee::Param::Kind::kValue) {
      // c stays as the guest wrote it, as OP-TEE leaves it.
      const std::array<std::uint64_t, 2> values{param.a, param.b};
      if (!arg.WriteObject(at, values)) return false;
    } else if (param.kind == tee::Param::Kind::kMemory) {
      // The size is the second word of temporary and registered references alike.
      if (!arg.WriteObject(at + sizeof(std::uint64_t), param.size)) return false;
    }
  }
  return true;
}

bool TaParams::WriteMemory(std::size_t index, std::span<const std::byte> bytes) const {
  const Hold& hold = holds_[index];
  if (hold.use) return hold.use->buffer()->Write(params_[index].offset, bytes);
  return hold.buffer != nullptr && hold.buffer->Write(0, bytes);
}

}  // namespace vtee::optee
