// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/vm.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "base/log.h"
#include "base/memory.h"
#include "dialect/optee/optee_dialect.h"

namespace vtee::daemon {
namespace {

using vmm::ControlMessage;
using vmm::ControlType;

constexpr std::uint32_t kRefused = 1;  // of an acknowledgement

ControlMessage NewMessage(ControlType type) {
  ControlMessage message{};
  message.magic = vmm::kProtocolMagic;
  message.major = vmm::kProtocolMajor;
  message.minor = vmm::kProtocolMinor;
  message.type = type;
  return message;
}

Status Send(int socket, const ControlMessage& message) {
  return SendPacket(socket, std::as_bytes(std::span(&message, 1)));
}

// Smaller slots are not the guest's RAM.
constexpr std::uint64_t kWorthMapping = std::uint64_t{2} << 20;

Error Protocol(std::string text) { return Error{ErrorCode::kProtocol, std::move(text)}; }

}  // namespace

Vm::Vm(const Config& config, const WaitTimes& times, std::unique_ptr<tee::Backend> backend,
       std::unique_ptr<optee::CallRecorder> recorder)
    : config_(config),
      times_(times),
      identity_{config.name, config.uuid},
      backend_(std::move(backend)) {
  auto dialect =
      std::make_unique<optee::OpteeDialect>(memory_, *backend_, config.policy, config.optee);
  dialect->SetRecorder(std::move(recorder));
  dialect_ = std::move(dialect);
  backend_->OnLifeEvent(tee::LifeEvent::kCreated, identity_);
}

Vm::~Vm() {
  if (channel_) channel_->Close();
  if (mailboxes_) mailboxes_->Stop();
  dialect_->Reset();
  mailboxes_.reset();
  backend_->OnLifeEvent(tee::LifeEvent::kDestroyed, identity_);
}

void Vm::Leave() {
  if (channel_) channel_->Close();
  dialect_->Reset();
}

Status Vm::HandlePacket(int socket, Packet packet) {
  ControlMessage message{};
  if (packet.bytes.size() != sizeof message) return Protocol("a packet of the wrong size");
  std::memcpy(&message, packet.bytes.data(), sizeof message);
  if (message.magic != vmm::kProtocolMagic) return Protocol("a packet that is not vtee's");
  if (!mailboxes_ && message.type != ControlType::kHello) {
    return Protocol("a message before the hello");
  }
  switch (message.type) {
    case ControlType::kHello:
      return Hello(socket, message, packet);
    case ControlType::kSetSlot: {
      std::uint32_t status = kRefused;
      if (!WithinMemory([&] { status = SetSlot(message.slot, packet); })) {
        Log(LogLevel::kError, "slot.refused",
            {{"slot", message.slot.slot}, {"error", "out of memory"}});
      }
      return Ack(socket, message.type, status);
    }
    case ControlType::kRemoveSlot:
      return HandleRemoveSlot(socket, message.slot);
    case ControlType::kInterrupt:
      if (packet.fds.size() != 1) return Protocol("an interrupt without its descriptor");
      dialect_->SetInterrupt(std::move(packet.fds[0]));
      return {};
    case ControlType::kMemoryChannel:
      return SetMemoryChannel(packet);
    case ControlType::kLife:
      return HandleLife(socket, message.life);
    default:
      return Protocol("a message of unknown type");
  }
}

Status Vm::Hello(int socket, const ControlMessage& message, Packet& packet) {
  ControlMessage reply = NewMessage(ControlType::kHelloReply);
  reply.hello_reply.vteed_pid = static_cast<std::uint32_t>(getpid());
  reply.hello_reply.interrupt_gsi = config_.interrupt;
  reply.hello_reply.window_base = config_.optee.window.base;
  reply.hello_reply.window_size = config_.optee.window.size;
  Status outcome;
  if (message.major != vmm::kProtocolMajor) {
    outcome = Protocol("the VMM side speaks version " + std::to_string(message.major) +
                       " of the vtee protocol and this vteed version 1; install matching versions");
  } else if (config_.optee.window.size != 0 && message.minor < vmm::kMinorWithWindow) {
    outcome = Protocol("profile " + std::string(config_.optee.profile->name) +
                       " needs a shared-memory window, which this VMM side (protocol 1.0) cannot "
                       "make; use this version's libvtee-kvm.so or libvtee-vmm");
  } else if (mailboxes_ || packet.fds.size() != 1) {
    outcome = Protocol("a second hello, or one without its ring");
  } else {
    auto server =
        MailboxServer::Create(packet.fds[0], message.hello.vcpu_capacity, *dialect_, times_);
    if (server.ok()) {
      mailboxes_ = std::move(server).value();
      outcome = mailboxes_->Start();
    } else {
      outcome = server.error();
    }
  }
  if (!outcome.ok()) {
    reply.hello_reply.status = 1;
    const std::string& text = outcome.error().message;
    std::memcpy(reply.hello_reply.text, text.data(),
                std::min(text.size(), sizeof reply.hello_reply.text - 1));
    static_cast<void>(Send(socket, reply));
    return outcome;
  }
  for (const mediator::FunctionRange& range : dialect_->ranges()) {
    reply.hello_reply.ranges[reply.hello_reply.range_count++] = {range.base, range.count,
                                                                 range.registers, 0};
  }
  Log(LogLevel::kInfo, "vm.attached",
      {{"vmm_pid", message.hello.vmm_pid},
       {"backend", backend_->capabilities().description},
       {"spin_us", times_.spin_us},
       {"park_after_us", times_.park_after_us}});
  return Send(socket, reply);
}

// With a window vteed sees nothing of the guest's but the window, and it stays where it is: the
// TEE may hold it for as long as the VM lives.
Status Vm::CheckWindowSlot(const vmm::SlotBody& body) const {
  const optee::StaticWindow& window = config_.optee.window;
  if (window.size == 0) return {};
  const bool exact = body.guest_phys == window.base && body.size == window.size &&
                     (body.flags & vmm::kSlotReadOnly) == 0;
  if (exact && !has_window_) return {};
  return Error{ErrorCode::kInvalidArgument,
               exact ? "the window's memory cannot be replaced"
                     : "vteed takes the window's slot only; the VMM must not announce others"};
}

Status Vm::HandleRemoveSlot(int socket, const vmm::SlotBody& body) {
  std::uint32_t status = kRefused;
  if (!WithinMemorySoon([&] { status = RemoveSlot(body); })) throw std::bad_alloc();
  return Ack(socket, ControlType::kRemoveSlot, status);
}

std::uint32_t Vm::RemoveSlot(const vmm::SlotBody& body) {
  if (config_.optee.window.size != 0) {
    Log(LogLevel::kError, "slot.refused",
        {{"slot", body.slot}, {"error", "the window's memory cannot be removed"}});
    return kRefused;
  }
  memory_.RemoveSlot(guest::SlotId(body.slot));
  return 0;
}

std::uint32_t Vm::SetSlot(const vmm::SlotBody& body, Packet& packet) {
  guest::SlotSpec spec;
  spec.id = guest::SlotId(body.slot);
  spec.base = guest::GuestPhysAddr(body.guest_phys);
  spec.size = body.size;
  spec.file_offset = body.file_offset;
  spec.read_only = (body.flags & vmm::kSlotReadOnly) != 0;
  UniqueFd file = packet.fds.empty() ? UniqueFd() : std::move(packet.fds[0]);
  const char* reached = file.valid() ? "mapped" : body.region != 0 ? "copied" : "no";
  Status set = CheckWindowSlot(body);
  if (set.ok()) set = ReachSlot(spec, std::move(file), body.region);
  if (!set.ok()) {
    Log(LogLevel::kError, "slot.refused", {{"slot", body.slot}, {"error", set.error().message}});
    return kRefused;
  }
  has_window_ = config_.optee.window.size != 0;
  Log(LogLevel::kDebug, "slot.set",
      {{"slot", body.slot},
       {"ipa", Hex(body.guest_phys)},
       {"size", Hex(body.size)},
       {"reached", reached}});
  return 0;
}

Status Vm::SetMemoryChannel(Packet& packet) {
  if (channel_ || packet.fds.size() != 1) {
    return Protocol("a second memory channel, or one without its socket");
  }
  channel_ = std::make_shared<MemoryChannel>(std::move(packet.fds[0]));
  return {};
}

Status Vm::ReachSlot(const guest::SlotSpec& spec, UniqueFd file, std::uint64_t region) {
  if (file.valid() || region == 0) return memory_.SetSlot(spec, std::move(file));
  if (!channel_) return Protocol("a slot with a region came before its memory channel");
  VTEE_TRY(memory_.SetRemoteSlot(spec, channel_, region));
  if (!said_copied_ && spec.size >= kWorthMapping) {
    said_copied_ = true;
    Log(LogLevel::kWarning, "memory.copied",
        {{"ipa", Hex(spec.base.value())},
         {"size", Hex(spec.size)},
         {"remedy", fmt::format("guest memory is private to the VMM, so each access is copied by "
                                "it; to make it fast, start QEMU with -object "
                                "memory-backend-memfd,id=mem,size={}M,share=on -machine "
                                "memory-backend=mem",
                                spec.size >> 20)}});
  }
  return {};
}

Status Vm::HandleLife(int socket, const vmm::LifeBody& body) {
  Status done;
  if (!WithinMemorySoon([&] { done = Life(body); })) throw std::bad_alloc();
  if (!done.ok()) return done;
  return Ack(socket, ControlType::kLife, 0);
}

Status Vm::Life(const vmm::LifeBody& body) {
  switch (body.kind) {
    case vmm::LifeKind::kReset:
      Log(LogLevel::kInfo, "vm.reset");
      dialect_->Reset();
      backend_->OnLifeEvent(tee::LifeEvent::kReset, identity_);
      return {};
    case vmm::LifeKind::kPaused:
      backend_->OnLifeEvent(tee::LifeEvent::kPaused, identity_);
      return {};
    case vmm::LifeKind::kResumed:
      backend_->OnLifeEvent(tee::LifeEvent::kResumed, identity_);
      return {};
  }
  return Protocol("a life event of unknown kind");
}

Status Vm::Ack(int socket, ControlType of, std::uint32_t status) {
  ControlMessage message = NewMessage(ControlType::kAck);
  message.ack.of = static_cast<std::uint32_t>(of);
  message.ack.status = status;
  return Send(socket, message);
}

}  // namespace vtee::daemon
