// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vm_link.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

namespace vtee::vmm {
namespace {

constexpr std::uint32_t kSlotTimeoutMs = 10'000;
// A reset ends the guest's sessions in the TEE, which takes as long as its TAs take.
constexpr std::uint32_t kLifeTimeoutMs = 30'000;

// vteed's sentence, made safe to print: bounded and without control characters.
void CopySentence(const char (&from)[sizeof HelloReplyBody::text], char (&to)[256]) {
  std::size_t length = 0;
  for (; length < sizeof from - 1 && from[length] != '\0'; ++length) {
    to[length] = from[length] >= ' ' && from[length] <= '~' ? from[length] : '?';
  }
  to[length] = '\0';
}

}  // namespace

VmLink::VmLink(OwnFd control, std::uint32_t vcpus, const MessageSink& sink)
    : control_(std::move(control)), vcpus_(vcpus), health_(sink) {}

VmLink::~VmLink() {
  if (ring_ != nullptr) munmap(ring_, RingBytes(vcpus_));
  std::free(static_cast<void*>(ports_));  // ports own nothing
}

VmLink* VmLink::Attach(OwnFd control, std::uint32_t vcpus, const MessageSink& sink,
                       std::uint32_t timeout_ms, Text& error) {
  if (vcpus == 0 || vcpus > kMaxVcpus) {
    error.Format("a VM must have 1 to %zu vCPUs, not %u", kMaxVcpus, vcpus);
    return nullptr;
  }
  void* memory = std::malloc(sizeof(VmLink));
  if (memory == nullptr) {
    error.Format("out of memory while attaching the VM to vteed");
    return nullptr;
  }
  auto* link = new (memory) VmLink(std::move(control), vcpus, sink);
  if (!link->MakeRing(error) || !link->SayHello(timeout_ms, error)) {
    Destroy(link);
    return nullptr;
  }
  return link;
}

void VmLink::Destroy(VmLink* link) {
  if (link == nullptr) return;
  link->~VmLink();
  std::free(static_cast<void*>(link));
}

bool VmLink::MakeRing(Text& error) {
  const std::size_t bytes = RingBytes(vcpus_);
  ring_fd_.Reset(memfd_create("vtee-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  void* ring = MAP_FAILED;
  // Sealed against shrinking, so that neither side can make the other fault.
  if (ring_fd_.valid() && ftruncate(ring_fd_.get(), static_cast<off_t>(bytes)) == 0 &&
      fcntl(ring_fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    ring = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring_fd_.get(), 0);
  }
  if (ring == MAP_FAILED) {
    error.Format("cannot make the shared memory for secure calls (%s)", strerror(errno));
    return false;
  }
  ring_ = ring;
  auto* header = new (ring_) RingHeader;
  header->magic = kProtocolMagic;
  header->major = kProtocolMajor;
  header->minor = kProtocolMinor;
  header->vcpu_capacity = vcpus_;
  header->mailbox_size = sizeof(Mailbox);
  ports_ = static_cast<CallPort*>(std::malloc(vcpus_ * sizeof(CallPort)));
  if (ports_ == nullptr) {
    error.Format("out of memory while attaching the VM to vteed");
    return false;
  }
  char* first = static_cast<char*>(ring_) + 4096;
  for (std::uint32_t i = 0; i < vcpus_; ++i) {
    auto* mailbox = reinterpret_cast<Mailbox*>(first + i * sizeof(Mailbox));
    (new (&ports_[i]) CallPort)->Init(header, mailbox, &health_, &spinners_);
  }
  return true;
}

bool VmLink::SayHello(std::uint32_t timeout_ms, Text& error) {
  ControlMessage message = MakeMessage(ControlType::kHello);
  message.hello.vcpu_capacity = vcpus_;
  message.hello.vmm_pid = static_cast<std::uint32_t>(getpid());
  ControlResult result = SendControl(control_.get(), message, ring_fd_.get(), timeout_ms);
  if (result == ControlResult::kDone) {
    result = ReceiveControl(control_.get(), message, timeout_ms);
  }
  switch (result) {
    case ControlResult::kDone:
      break;
    case ControlResult::kClosed:
      error.Format("vteed ended while the VM attached to it; see vteed's own messages for why");
      return false;
    case ControlResult::kTimedOut:
      error.Format(
          "vteed did not answer within %u s; see whether it waits for its TEE, and "
          "whether another VM is attached to it (one vteed serves one VM)",
          timeout_ms / 1000);
      return false;
    case ControlResult::kMalformed:
      error.Format("what answered is not a vteed; check VTEE_SOCKET or how the VM was started");
      return false;
    case ControlResult::kFailed:
      error.Format("cannot talk to vteed (%s)", strerror(errno));
      return false;
  }
  if (message.type != ControlType::kHelloReply) {
    error.Format("what answered is not a vteed; check VTEE_SOCKET or how the VM was started");
    return false;
  }
  auto* header = static_cast<RingHeader*>(ring_);
  const std::uint32_t spinners = __atomic_load_n(&header->spinners, __ATOMIC_RELAXED);
  spinners_.set_limit(std::clamp<std::uint32_t>(spinners, 1, kMaxVcpus));
  vteed_minor_ = message.minor;
  return JudgeReply(message.hello_reply, message.major, message.minor, error);
}

bool VmLink::JudgeReply(const HelloReplyBody& reply, std::uint16_t major, std::uint16_t minor,
                        Text& error) {
  char sentence[256];
  CopySentence(reply.text, sentence);
  if (reply.status != 0) {
    error.Format("%s", sentence[0] != '\0' ? sentence : "vteed refused the VM without a reason");
    return false;
  }
  if (major != kProtocolMajor) {
    error.Format(
        "vteed speaks protocol version %u and this VMM side version %u; install both from "
        "the same vtee release",
        major, kProtocolMajor);
    return false;
  }
  if (reply.range_count == 0 || reply.range_count > kMaxFilterRanges) {
    error.Format(
        "vteed sent %u ranges of function ids, not 1 to %zu; install vteed and the VMM "
        "side from the same vtee release",
        reply.range_count, kMaxFilterRanges);
    return false;
  }
  for (std::uint32_t i = 0; i < reply.range_count; ++i) {
    if (reply.ranges[i].registers - 1 < kCallRegisters) continue;
    error.Format(
        "vteed wants %u registers of a call, not 1 to %zu; install vteed and the VMM side from "
        "the same vtee release",
        reply.ranges[i].registers, kCallRegisters);
    return false;
  }
  hello_ = reply;
  if (minor < kMinorWithWindow) hello_.window_base = hello_.window_size = 0;
  constexpr std::uint64_t kPage = 4096;
  constexpr std::uint64_t kEnd = std::uint64_t{1} << 52;
  const std::uint64_t base = hello_.window_base;
  const std::uint64_t size = hello_.window_size;
  if ((base | size) % kPage != 0 || base > kEnd || size > kEnd - base) {
    error.Format(
        "vteed wants a shared-memory window that cannot be; install vteed and the VMM "
        "side from the same vtee release");
    return false;
  }
  health_.SetPeer(control_.get(), reply.vteed_pid);
  return true;
}

const FilterRange* VmLink::FindRange(std::uint32_t function) const {
  for (std::uint32_t i = 0; i < hello_.range_count; ++i) {
    if (function - hello_.ranges[i].base < hello_.ranges[i].count) return &hello_.ranges[i];
  }
  return nullptr;
}

VmLink::Answer VmLink::FailRequest(ControlResult result) {
  switch (result) {
    case ControlResult::kDone:
      return Answer::kDone;
    case ControlResult::kClosed:
      health_.Fail("ended");
      break;
    case ControlResult::kTimedOut:
      health_.Fail("stopped answering");
      break;
    case ControlResult::kMalformed:
      health_.Fail("broke the protocol");
      break;
    case ControlResult::kFailed:
      health_.Fail("could not be reached");
      break;
  }
  return Answer::kDead;
}

VmLink::Answer VmLink::Request(const ControlMessage& message, int fd, std::uint32_t timeout_ms) {
  // Before the lock as well: the message sink is told with the lock held, and may come back here.
  if (health_.dead()) return Answer::kDead;
  const MutexLock lock(request_mutex_);
  if (health_.dead()) return Answer::kDead;
  ControlMessage ack;
  ControlResult result = SendControl(control_.get(), message, fd, timeout_ms);
  if (result == ControlResult::kDone) result = ReceiveControl(control_.get(), ack, timeout_ms);
  if (result == ControlResult::kDone &&
      (ack.type != ControlType::kAck || ack.ack.of != static_cast<std::uint32_t>(message.type))) {
    result = ControlResult::kMalformed;
  }
  if (result != ControlResult::kDone) return FailRequest(result);
  return ack.ack.status == 0 ? Answer::kDone : Answer::kRefused;
}

VmLink::Answer VmLink::SetSlot(const SlotBody& slot, int fd) {
  ControlMessage message = MakeMessage(ControlType::kSetSlot);
  message.slot = slot;
  const Answer answer = Request(message, fd, kSlotTimeoutMs);
  if (answer == Answer::kDone) memory_.RemoveAllBut(slot.region, slot.slot);
  return answer;
}

VmLink::Answer VmLink::RemoveSlot(std::uint32_t slot) {
  ControlMessage message = MakeMessage(ControlType::kRemoveSlot);
  message.slot.slot = slot;
  const Answer answer = Request(message, -1, kSlotTimeoutMs);
  memory_.Remove(slot);  // whatever vteed says: the VMM is about to use the addresses anew
  return answer;
}

bool VmLink::OpenMemory(bool with_thread) {
  const MutexLock lock(request_mutex_);
  if (memory_open_) return true;
  if (vteed_minor_ < kMinorWithMemory || health_.dead() || memory_.fd() >= 0) return false;
  OwnFd peer;
  if (!memory_.Open(peer) || (with_thread && !memory_.StartThread())) return false;
  const ControlMessage message = MakeMessage(ControlType::kMemoryChannel);
  const ControlResult sent = SendControl(control_.get(), message, peer.get(), kSlotTimeoutMs);
  memory_open_ = FailRequest(sent) == Answer::kDone;
  return memory_open_;
}

VmLink::Answer VmLink::SetCopiedSlot(SlotBody slot, std::uint64_t address) {
  slot.region = memory_.Add(slot.slot, address, slot.size, (slot.flags & kSlotReadOnly) != 0);
  const Answer answer = SetSlot(slot, -1);
  if (answer != Answer::kDone) memory_.Remove(slot.slot);
  return answer;
}

VmLink::Answer VmLink::SetInterrupt(int eventfd) {
  if (health_.dead()) return Answer::kDead;  // as in Request()
  const MutexLock lock(request_mutex_);
  if (health_.dead()) return Answer::kDead;
  return FailRequest(
      SendControl(control_.get(), MakeMessage(ControlType::kInterrupt), eventfd, kSlotTimeoutMs));
}

VmLink::Answer VmLink::SendLife(LifeKind kind) {
  ControlMessage message = MakeMessage(ControlType::kLife);
  message.life.kind = kind;
  return Request(message, -1, kLifeTimeoutMs);
}

}  // namespace vtee::vmm
