// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/socket_pta.h"

#include <algorithm>
#include <vector>

#include "ta/core/ta_instance.h"
#include "ta/crypto/secret.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
using UpcallKind = tee::UpcallParam::Kind;

enum Command : std::uint32_t { kOpen = 1, kClose = 2, kSend = 3, kRecv = 4, kIoctl = 5 };
// OPTEE_RPC_SOCKET_*
enum Request : std::uint64_t {
  kRpcOpen = 0,
  kRpcClose = 1,
  kRpcCloseAll = 2,
  kRpcSend = 3,
  kRpcRecv = 4,
  kRpcIoctl = 5
};

// No TA sends more at once, and the guest has to have room for it.
constexpr std::uint64_t kMostBytes = 1u << 20;

// One request to the guest's supplicant. The session's number tells whose sockets they are.
class GuestSocket {
 public:
  GuestSocket(Call& call, std::uint64_t request, std::uint32_t session, std::uint64_t handle)
      : call_(call) {
    upcall_.kind = tee::UpcallKind::kSocket;
    Value(0, UpcallKind::kValueIn, request, session, handle);
  }
  void Value(std::size_t i, UpcallKind kind, std::uint64_t a, std::uint64_t b = 0,
             std::uint64_t c = 0) {
    upcall_.params[i] = {kind, a, b, c, {}, 0};
  }
  void Bytes(std::size_t i, UpcallKind kind, MutableBytes bytes) {
    upcall_.params[i] = {kind, 0, 0, 0, bytes, bytes.size()};
  }
  std::uint32_t Ask() {
    if (call_.context.upcalls == nullptr) return code::kCommunication;
    return call_.context.upcalls->Call(upcall_).code;
  }
  const tee::UpcallParam& param(std::size_t i) const { return upcall_.params[i]; }

 private:
  Call& call_;
  tee::Upcall upcall_;
};

bool TakeBytes(const EntryParam& param, std::vector<std::byte>& bytes) {
  if (param.size > kMostBytes || (param.size != 0 && param.memory == nullptr)) return false;
  bytes.resize(param.size);
  return param.size == 0 || param.memory->Read(param.offset, bytes);
}

// value in {ip version, port}, memref in address, value in protocol, value out handle
std::uint32_t OpenSocket(Call& call, std::uint32_t session, EntryParams& params) {
  std::vector<std::byte> address;
  if (ParamTypes(params) != 0x2151 || !TakeBytes(params[1], address)) return code::kBadParameters;
  GuestSocket socket(call, kRpcOpen, session, 0);
  socket.Value(1, UpcallKind::kValueIn, params[0].b, params[2].a, params[0].a);
  socket.Bytes(2, UpcallKind::kBytesIn, address);
  socket.Value(3, UpcallKind::kValueOut, 0);
  const std::uint32_t result = socket.Ask();
  if (result == code::kSuccess) params[3].a = socket.param(3).a;
  return result;
}

// value in handle
std::uint32_t CloseSocket(Call& call, std::uint32_t session, EntryParams& params) {
  if (ParamTypes(params) != 0x0001) return code::kBadParameters;
  return GuestSocket(call, kRpcClose, session, params[0].a).Ask();
}

// value in {handle, timeout}, memref in data, value out bytes sent
std::uint32_t Send(Call& call, std::uint32_t session, EntryParams& params) {
  std::vector<std::byte> data;
  if (ParamTypes(params) != 0x0251 || !TakeBytes(params[1], data)) return code::kBadParameters;
  GuestSocket socket(call, kRpcSend, session, params[0].a);
  socket.Bytes(1, UpcallKind::kBytesIn, data);
  socket.Value(2, UpcallKind::kValueInOut, params[0].b);
  const std::uint32_t result = socket.Ask();
  params[2].a = socket.param(2).b;
  return result;
}

// value in {handle, timeout}, memref out data
std::uint32_t Receive(Call& call, std::uint32_t session, EntryParams& params) {
  if (ParamTypes(params) != 0x0061 || params[1].size > kMostBytes) return code::kBadParameters;
  std::vector<std::byte> data(params[1].size);
  GuestSocket socket(call, kRpcRecv, session, params[0].a);
  socket.Bytes(1, UpcallKind::kBytesOut, data);
  socket.Value(2, UpcallKind::kValueIn, params[0].b);
  const std::uint32_t result = socket.Ask();
  const std::uint64_t got = socket.param(1).size;
  const std::uint64_t copied = std::min<std::uint64_t>(got, data.size());
  if (copied != 0 && params[1].memory != nullptr &&
      !params[1].memory->Write(params[1].offset, std::span(data).first(copied))) {
    return code::kAccessDenied;
  }
  params[1].size = got;
  return result;
}

// value in {handle, command}, memref inout data
std::uint32_t Ioctl(Call& call, std::uint32_t session, EntryParams& params) {
  std::vector<std::byte> data;
  if (ParamTypes(params) != 0x0071 || !TakeBytes(params[1], data)) return code::kBadParameters;
  GuestSocket socket(call, kRpcIoctl, session, params[0].a);
  socket.Bytes(1, UpcallKind::kBytesInOut, data);
  socket.Value(2, UpcallKind::kValueIn, params[0].b);
  const std::uint32_t result = socket.Ask();
  const std::uint64_t got = socket.param(1).size;
  if (got != 0 && got <= data.size() &&
      !params[1].memory->Write(params[1].offset, std::span(data).first(got))) {
    return code::kAccessDenied;
  }
  params[1].size = got;
  return result;
}

}  // namespace

std::uint32_t SocketPta::Open(Call&, TaInstance* caller, const ClientIdentity&, EntryParams&) {
  return caller != nullptr ? code::kSuccess : code::kAccessDenied;
}

std::uint32_t SocketPta::Invoke(Call& call, TaInstance*, std::uint32_t session,
                                std::uint32_t command, EntryParams& params) {
  switch (command) {
    case kOpen:
      return OpenSocket(call, session, params);
    case kClose:
      return CloseSocket(call, session, params);
    case kSend:
      return Send(call, session, params);
    case kRecv:
      return Receive(call, session, params);
    case kIoctl:
      return Ioctl(call, session, params);
    default:
      return code::kNotImplemented;
  }
}

void SocketPta::Close(Call& call, std::uint32_t session) {
  static_cast<void>(GuestSocket(call, kRpcCloseAll, session, 0).Ask());
}

}  // namespace vtee::ta
