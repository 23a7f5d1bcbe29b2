// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/ta_instance.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/log.h"
#include "ta/core/tee_core.h"
#include "ta/syscall/dispatch.h"

namespace vtee::ta {
namespace {

using runner::kPage;
using runner::kRegionNonSecure;
using runner::kRegionPrivate;
using runner::kRegionRead;
using runner::kRegionWrite;

constexpr std::uint32_t kStackAlignment = 16;
constexpr std::uint64_t kParamsOnStack = 80;  // UteeParams, and the stack stays aligned

}  // namespace

TaInstance::TaInstance(TeeCore& core, const tee::Uuid& uuid, std::unique_ptr<RunnerProcess> process,
                       const Limits& limits)
    : core_(core),
      uuid_(uuid),
      limits_(limits),
      process_(std::move(process)),
      space_(*process_, limits_.private_bytes),
      modules_(space_) {}

TaInstance::~TaInstance() = default;

tee::Uuid TaInstance::device_id() const { return core_.state().device_id(); }

std::optional<LoadFailure> TaInstance::Load(const Modules::Fetch& fetch) {
  if (auto failure = modules_.LoadTa(uuid_, fetch)) return failure;
  const TaHead& head = modules_.head();
  if ((head.flags & ~kKnownFlags) != 0) {
    return LoadFailure{tee::code::kBadFormat,
                       "the TA has flags (" + Hex(head.flags) + ") that are not known here"};
  }
  constexpr std::uint64_t kMostStack = 16u << 20;
  if (head.stack_size < kParamsOnStack || head.stack_size > kMostStack ||
      head.stack_size % kStackAlignment != 0) {
    return LoadFailure{tee::code::kBadFormat,
                       "the TA wants a stack of " + std::to_string(head.stack_size) + " bytes"};
  }
  const std::uint64_t size = (head.stack_size + kPage - 1) / kPage * kPage;
  const auto stack =
      space_.Allocate(TaSpace::Zone::kAnywhere, size, kRegionRead | kRegionWrite | kRegionPrivate);
  if (!stack) {
    return LoadFailure{tee::code::kOutOfMemory, "the TA's stack does not fit into its memory"};
  }
  // As in OP-TEE: what the last page has beyond the size lies above. There are TAs (xtest's) that
  // read a little further than what they have put on their stack.
  stack_top_ = *stack + head.stack_size;
  if (process_->debug_port() != 0) SayHowToDebug();
  if (!space_.Apply()) {
    return LoadFailure{tee::code::kOutOfMemory, "the TA's process cannot map the TA's memory"};
  }
  return std::nullopt;
}

bool TaInstance::MapParams(const EntryParams& params) {
  for (std::size_t i = 0; i < params.size(); ++i) {
    const EntryParam& param = params[i];
    MappedParam wanted;
    // No bytes at an address get an address, too: only NULL is NULL.
    if (param.is_memory() && param.memory != nullptr) {
      // The TA sees the same alignment as its caller, as with mapped memory.
      const std::uint64_t inset = param.offset % kPage;
      const auto bytes = CheckedAdd(std::max<std::uint64_t>(param.size, 1), inset);
      const auto pages = bytes ? CheckedRoundUp<std::uint64_t>(*bytes, kPage) : std::nullopt;
      if (!pages) return false;
      wanted.bytes = *pages;
      wanted.address = inset;
      wanted.flags = kRegionRead | kRegionWrite | (param.memory->secure() ? 0 : kRegionNonSecure);
    }
    MappedParam& mapped = mapped_[i];
    // The pages of the entry before serve again if they fit.
    if (mapped.bytes == wanted.bytes && mapped.flags == wanted.flags) {
      mapped.address = mapped.start + wanted.address;
      continue;
    }
    if (mapped.bytes != 0) space_.Free(mapped.start, mapped.bytes);
    mapped = {};
    if (wanted.bytes == 0) continue;
    const auto start = space_.Allocate(TaSpace::Zone::kAnywhere, wanted.bytes, wanted.flags);
    if (!start) return false;
    mapped = {*start + wanted.address, *start, wanted.bytes, wanted.flags};
  }
  return true;
}

bool TaInstance::Describe(EntryParams& params, UteeParams& raw) const {
  raw = {};
  raw.types = ParamTypes(params);
  for (std::size_t i = 0; i < params.size(); ++i) {
    const EntryParam& param = params[i];
    std::uint64_t* values = raw.values + 2 * i;
    if (param.is_value() && param.goes_in()) {
      values[0] = param.a;
      values[1] = param.b;
    } else if (param.is_memory()) {
      if (param.memory == nullptr && param.size != 0) return false;
      values[0] = mapped_[i].bytes != 0 ? mapped_[i].address : 0;
      values[1] = param.size;
    }
  }
  return true;
}

bool TaInstance::CopyIn(const EntryParams& params, const UteeParams& raw) {
  for (std::size_t i = 0; i < params.size(); ++i) {
    if (mapped_[i].bytes == 0) continue;
    const EntryParam& param = params[i];
    const auto pages = space_.Raw(mapped_[i].start, mapped_[i].bytes);
    const std::uint64_t inset = mapped_[i].address - mapped_[i].start;
    // Nothing of the entry before around it.
    std::memset(pages.data(), 0, inset);
    std::memset(pages.data() + inset + param.size, 0, pages.size() - inset - param.size);
    // Output, too: what the TA does not write stays as it was.
    if (!param.memory->Read(param.offset, pages.subspan(inset, param.size))) return false;
  }
  const std::uint64_t at = stack_top_ - kParamsOnStack;
  std::memcpy(space_.Raw(at, sizeof(raw)).data(), &raw, sizeof(raw));
  return true;
}

bool TaInstance::TakeBack(EntryParams& params) {
  UteeParams raw;
  std::memcpy(&raw, space_.Raw(stack_top_ - kParamsOnStack, sizeof(raw)).data(), sizeof(raw));
  for (std::size_t i = 0; i < params.size(); ++i) {
    EntryParam& param = params[i];
    if (!param.comes_out()) continue;
    if (param.is_value()) {
      param.a = raw.values[2 * i];
      param.b = raw.values[2 * i + 1];
    } else if (param.is_memory()) {
      if (mapped_[i].bytes != 0 &&
          !param.memory->Write(param.offset, space_.Raw(mapped_[i].address, param.size))) {
        return false;
      }
      param.size = raw.values[2 * i + 1];
    }
  }
  return true;
}

tee::Outcome TaInstance::Enter(Call& call, Cancellation& cancellation, EntryFunction function,
                               std::uint32_t session, const ClientIdentity& client,
                               std::uint32_t command, EntryParams& params) {
  constexpr tee::Outcome kDead{tee::code::kTargetDead, tee::Origin::kTee};
  if (dead()) return kDead;
  process_->GiveTime(limits_.entry_ns);
  UteeParams raw;
  if (!MapParams(params)) return {tee::code::kOutOfMemory, tee::Origin::kTee};
  if (!Describe(params, raw) || !CopyIn(params, raw)) {
    return {tee::code::kBadParameters, tee::Origin::kTee};
  }
  if (!space_.Apply()) {
    Kill();
    return kDead;
  }
  call_ = &call;
  cancellation_ = &cancellation;
  client_ = client;
  cancellation.SetMask(true);
  runner::Channel& channel = process_->arena().channel();
  const std::uint64_t frame = stack_top_ - kParamsOnStack;
  const std::uint64_t args[] = {modules_.entry(), frame, static_cast<std::uint64_t>(function),
                                session,          frame, command};
  std::copy(std::begin(args), std::end(args), channel.args);
  const auto result = Run(runner::Request::kEnter);
  call_ = nullptr;
  cancellation_ = nullptr;
  if (!result) {
    Kill();
    return kDead;
  }
  if (!TakeBack(params)) return {tee::code::kBadParameters, tee::Origin::kTee};
  return {*result, tee::Origin::kTrustedApp};
}

std::optional<std::uint32_t> TaInstance::Run(runner::Request request) {
  runner::Channel& channel = process_->arena().channel();
  for (;;) {
    if (!process_->Exchange(request)) {
      if (process_->overran()) {
        LogGuest(LogLevel::kWarning, "ta.time",
                 {{"ta", tee::ToString(uuid_)},
                  {"what", "it has not returned in its time and is ended"},
                  {"seconds", std::to_string(limits_.entry_ns / 1'000'000'000)},
                  {"remedy", "if it needs more, raise ta_seconds in the backend's options"}});
        return std::nullopt;
      }
      LogGuest(LogLevel::kWarning, "ta.died",
               {{"ta", tee::ToString(uuid_)},
                {"end", process_->DescribeEnd()},
                {"remedy",
                 "its process has ended or was killed (a system call of its own, want of "
                 "memory); see the kernel's log"}});
      return std::nullopt;
    }
    switch (static_cast<runner::Event>(channel.event)) {
      case runner::Event::kReturn:
        return static_cast<std::uint32_t>(channel.regs[0]);
      case runner::Event::kSyscall: {
        SyscallArgs args;
        std::copy(std::begin(channel.regs), std::end(channel.regs) - 1, args.begin());
        const std::uint64_t number = channel.regs[8];
        const std::uint32_t result = DispatchSyscall(*this, number, args);
        if (panicked_) return std::nullopt;
        channel.args[0] = result;
        request = runner::Request::kResult;
        break;
      }
      case runner::Event::kFault:
        ReportFault();
        return std::nullopt;
      default:
        return std::nullopt;
    }
  }
}

void TaInstance::Panic(std::uint32_t code, std::uint64_t frame) {
  panicked_ = true;
  // libutee passes where it has stored the frame pointer and the return address.
  std::uint64_t saved[2] = {};
  space_.Read(frame, std::as_writable_bytes(std::span(saved)));
  ReportPanic(fmt::format("panic with code {:#x}", code), saved[1], saved[0]);
  ReportRegisters(Stop::kPanic);
}

void TaInstance::ReportFault() {
  const runner::Channel& channel = process_->arena().channel();
  const std::uint64_t* regs = channel.stop_regs;
  ReportPanic(fmt::format("signal {} at address {:#x}", channel.signal, channel.fault_address),
              regs[32], regs[29]);
  ReportRegisters(Stop::kFault);
}

void TaInstance::ReportRegisters(Stop stop) {
  const std::uint64_t* regs = process_->arena().channel().stop_regs;
  std::string text;
  for (int i = 0; i < 31; ++i) {
    // A system call's way to the core uses these two.
    if (stop == Stop::kPanic && (i == 16 || i == 17)) continue;
    text += fmt::format("x{}={:#x} ", i, regs[i]);
  }
  LogGuest(LogLevel::kWarning, "ta.registers",
           {{"ta", tee::ToString(uuid_)},
            {"pc", Hex(regs[32])},
            {"sp", Hex(regs[31])},
            {"pstate", Hex(regs[33])},
            {"registers", text}});
}

void TaInstance::ReportPanic(const std::string& what, std::uint64_t pc, std::uint64_t fp) {
  std::string stack = Hex(pc);
  for (int depth = 0; depth < 32; ++depth) {
    std::uint64_t frame[2] = {};
    if (fp == 0 || fp % 8 != 0 || !space_.Read(fp, std::as_writable_bytes(std::span(frame)))) break;
    if (frame[1] == 0) break;
    stack += " " + Hex(frame[1]);
    if (frame[0] <= fp) break;  // a chain only goes up
    fp = frame[0];
  }
  std::string places;
  for (const auto& module : modules_.placed()) {
    places += fmt::format("{}@{:#x} ", tee::ToString(module.uuid), module.load);
  }
  LogGuest(LogLevel::kWarning, "ta.panic",
           {{"ta", tee::ToString(uuid_)}, {"what", what}, {"stack", stack}, {"modules", places}});
  std::string regions;
  for (const runner::Region& region : space_.regions()) {
    regions += fmt::format("{:#x}-{:#x}:{:x} ", region.start, region.end, region.flags);
  }
  LogGuest(LogLevel::kWarning, "ta.regions", {{"ta", tee::ToString(uuid_)}, {"regions", regions}});
}

void TaInstance::SayHowToDebug() const {
  std::string words = fmt::format("gdb-multiarch -ex 'target remote :{}'", process_->debug_port());
  for (const auto& module : modules_.placed()) {
    words += fmt::format(" -ex 'add-symbol-file {}.elf -o {:#x}'", tee::ToString(module.uuid),
                         module.load);
  }
  Log(LogLevel::kWarning, "ta.debugger",
      {{"ta", tee::ToString(uuid_)},
       {"what", "the TA waits for a debugger, then for its 'continue'"},
       {"command", words}});
}

}  // namespace vtee::ta
