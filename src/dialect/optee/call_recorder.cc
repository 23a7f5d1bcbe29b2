// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/call_recorder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/memory.h"

namespace vtee::optee {
namespace {

constexpr std::size_t kRegisters = 6;  // more than any call of this ABI takes

std::string Registers(const mediator::SecureCall& call) {
  std::string line = fmt::format("call {}", call.vcpu);
  for (std::size_t i = 0; i < kRegisters; ++i) {
    line += fmt::format(" {:x}", call.x[i]);
  }
  return line;
}

void AppendBytes(std::string& line, std::span<const std::byte> bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  line += ' ';
  for (const std::byte byte : bytes) {
    line += kDigits[static_cast<std::size_t>(byte >> 4)];
    line += kDigits[static_cast<std::size_t>(byte & std::byte{15})];
  }
}

void AppendList(std::string& line, const MsgParam& param, const guest::GuestMemory& memory) {
  const std::uint64_t type = param.attr & attr::kTypeMask;
  if (type < attr::kTmemIn || (param.attr & attr::kNonContiguous) == 0) return;
  const auto& [address, size, cookie] = param.u;
  const std::uint64_t offset = address % guest::kPageSize;
  const std::uint64_t pages = size / guest::kPageSize + 2;
  std::vector<std::uint64_t> entries(std::min(pages, CallRecorder::kMaxEntries));
  const auto bytes = std::as_writable_bytes(std::span(entries));
  if (memory.Snapshot(guest::GuestPhysAddr(address - offset), bytes) != guest::MemFault::kNone) {
    return;
  }
  line += fmt::format(" list {:x} {:x}", address, size);
  AppendBytes(line, bytes);
}

}  // namespace

Result<std::unique_ptr<CallRecorder>> CallRecorder::Create(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return ErrnoError(errno, "cannot create the record of calls " + path);
  Log(LogLevel::kWarning, "record.on",
      {{"file", path}, {"note", "it holds the guest's registers and messages; for developers"}});
  return std::unique_ptr<CallRecorder>(new CallRecorder(std::move(file)));
}

// A call for whose line there is no memory is left out.
void CallRecorder::Record(const mediator::SecureCall& call) {
  static_cast<void>(WithinMemory([&] { Write(Registers(call)); }));
}

void CallRecorder::Record(const mediator::SecureCall& call, const MsgHeader& header,
                          const ArgMemory& arg, const guest::GuestMemory& memory) {
  static_cast<void>(WithinMemory([&] { Write(Message(call, header, arg, memory)); }));
}

std::string CallRecorder::Message(const mediator::SecureCall& call, const MsgHeader& header,
                                  const ArgMemory& arg, const guest::GuestMemory& memory) {
  std::array<MsgParam, kMaxUsedParams> params{};
  const auto used =
      std::span(params).first(std::min<std::size_t>(header.num_params, params.size()));
  std::string line = Registers(call);
  if (arg.Read(sizeof header, std::as_writable_bytes(used))) {
    const bool by_address = (call.x[0] & 0xFFFFFFFF) != smc::kCallWithRegdArg;
    const std::uint64_t address = by_address ? call.x[1] << 32 | (call.x[2] & 0xFFFFFFFF) : 0;
    line += fmt::format(" message {:x}", address);
    std::vector<std::byte> message(sizeof header + used.size_bytes());
    std::copy_n(std::as_bytes(std::span(&header, 1)).begin(), sizeof header, message.begin());
    std::copy_n(std::as_bytes(used).begin(), used.size_bytes(), message.begin() + sizeof header);
    AppendBytes(line, message);
    for (const MsgParam& param : used) AppendList(line, param, memory);
  }
  return line;
}

void CallRecorder::Write(const std::string& line) {
  const std::string text = line + '\n';
  const std::lock_guard lock(mutex_);
  if (!file_) return;
  written_ += text.size();
  const bool full = written_ > kMaxBytes;
  if (!full && write(file_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) {
    return;
  }
  Log(LogLevel::kWarning, "record.off", {{"why", full ? "the file is large enough" : "no space"}});
  file_.Reset();
}

}  // namespace vtee::optee
