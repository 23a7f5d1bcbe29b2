// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the VMM's side (include/vtee/vmm.h) against a vteed that says what it likes: the reply to
// the hello, acknowledgements, descriptors nobody asked for, and the ring.
//
// Input: the reply to the hello, then what the VMM does. What the vteed answers lies in the socket
// before the VMM asks, or the socket is closed, so nothing waits and one thread does.
// What must hold: an attach gives a usable VM or a sentence; each function returns an error that
// its header names; no descriptor is left behind.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/socket.h"
#include "fuzz_input.h"
#include "hostile_vteed.h"
#include "vmm/control.h"
#include "vmm/protocol.h"
#include "vtee/vmm.h"

namespace vtee::vmm {
namespace {

constexpr std::size_t kMaxActions = 48;
constexpr std::uint32_t kVcpus = 2;

// Sends `message` with words of the input's choice changed, of a size of its choice.
void SendSpoilt(int socket, ControlMessage message, Input& input) {
  auto* bytes = reinterpret_cast<std::uint8_t*>(&message);
  const std::uint8_t how = input.Take<std::uint8_t>();
  for (int i = 0; i < (how & 3); ++i) {
    const std::size_t at = input.Take<std::uint16_t>() % (sizeof message - 3);
    const auto value = input.Take<std::uint32_t>();
    std::memcpy(bytes + at, &value, sizeof value);
  }
  std::size_t size = sizeof message;
  if ((how & 0x0C) == 0x0C) size = 1 + input.Take<std::uint16_t>() % sizeof message;
  static const UniqueFd stray(eventfd(0, EFD_CLOEXEC));
  const int fds[] = {stray.get(), stray.get(), stray.get()};
  const std::size_t count = (how & 0x30) == 0x30 ? 1 + (how >> 6) % 3 : 0;
  const Status sent =
      SendPacket(socket, std::as_bytes(std::span(&message, 1)).first(size), std::span(fds, count));
  static_cast<void>(sent.ok());  // a VMM that has closed hears nothing
}

ControlMessage WelcomeReply() {
  ControlMessage reply = MakeMessage(ControlType::kHelloReply);
  reply.hello_reply.range_count = 2;
  reply.hello_reply.ranges[0] = {0x32000000, 0x10000, 6, 0};
  reply.hello_reply.ranges[1] = {0xB2000000, 0x10000, 4, 0};
  reply.hello_reply.interrupt_gsi = 40;
  reply.hello_reply.vteed_pid = 7;
  reply.hello_reply.window_base = 0x0E000000;
  reply.hello_reply.window_size = 0x400000;
  return reply;
}

void RequireText(const char* text, std::size_t room) {
  const std::size_t length = strnlen(text, room);
  Require(length > 0 && length < room);
  for (std::size_t i = 0; i < length; ++i) Require(text[i] >= ' ' && text[i] <= '~');
}

// The hello as the vteed gets it, and the ring mapped.
void* TakeRing(int socket) {
  auto packet = ReceivePacket(socket, sizeof(ControlMessage));
  Require(packet.ok() && packet->fds.size() == 1);
  void* ring =
      mmap(nullptr, RingBytes(kVcpus), PROT_READ | PROT_WRITE, MAP_SHARED, packet->fds[0].get(), 0);
  Require(ring != MAP_FAILED);
  return ring;
}

class Vmm {
 public:
  Vmm(vtee_vm* vm, UniqueFd vteed, Input& input)
      : vm_(vm), vteed_(std::move(vteed)), input_(input), ring_(TakeRing(vteed_.get())) {}
  ~Vmm() {
    vtee_vm_detach(vm_);
    munmap(ring_, RingBytes(kVcpus));
  }
  Vmm(const Vmm&) = delete;
  Vmm& operator=(const Vmm&) = delete;

  void Act() {
    switch (input_.Take<std::uint8_t>() % 10) {
      case 0: {
        vtee_slot slot{};
        slot.size = sizeof slot;
        slot.slot = input_.Take<std::uint8_t>();
        slot.guest_phys = input_.Take<std::uint64_t>();
        slot.bytes = input_.Take<std::uint64_t>();
        slot.fd = -1;
        PrepareAck(ControlType::kSetSlot);
        RequireCode(vtee_vm_set_slot(vm_, &slot), {-EINVAL, -EPIPE});
        break;
      }
      case 1:
        PrepareAck(ControlType::kRemoveSlot);
        RequireCode(vtee_vm_remove_slot(vm_, input_.Take<std::uint8_t>()), {-EINVAL, -EPIPE});
        break;
      case 2:
        PrepareAck(ControlType::kLife);
        RequireCode(
            vtee_vm_event(vm_, static_cast<vtee_event>(1 + input_.Take<std::uint8_t>() % 3)),
            {-EINVAL, -EPIPE});
        break;
      case 3:
        RequireCode(vtee_vm_set_interrupt(vm_, STDIN_FILENO), {-EPIPE});
        break;
      case 4:
        Call(/*resume=*/false);
        break;
      case 5:
        Call(/*resume=*/true);
        break;
      case 6:
        vtee_vm_abandon(vm_, input_.Take<std::uint8_t>() % (kVcpus + 1));
        break;
      case 7:
        vteed_.Reset();
        break;
      case 8:
        if (vtee_vm_alive(vm_) == 0) RequireText(vtee_vm_error(vm_), 512);
        break;
      default:
        if (vteed_) SendSpoilt(vteed_.get(), MakeMessage(ControlType::kAck), input_);
        break;
    }
    DropRequests();
  }

 private:
  static void RequireCode(int code, std::initializer_list<int> allowed) {
    Require(code == 0 || std::find(allowed.begin(), allowed.end(), code) != allowed.end());
  }
  // An answer lies in the socket, or nobody will ever answer.
  void PrepareAck(ControlType of) {
    if (!vteed_) return;
    const std::uint8_t how = input_.Take<std::uint8_t>();
    if (how == 0xFF) return vteed_.Reset();
    ControlMessage ack = MakeMessage(ControlType::kAck);
    ack.ack.of = static_cast<std::uint32_t>(of);
    ack.ack.status = how & 1;
    SendSpoilt(vteed_.get(), ack, input_);
  }
  void DropRequests() const {
    ControlMessage message;
    while (vteed_ &&
           recv(vteed_.get(), static_cast<void*>(&message), sizeof message, MSG_DONTWAIT) > 0) {
    }
  }
  void Call(bool resume) {
    const std::uint32_t vcpu = input_.Take<std::uint8_t>() % (kVcpus + 1);
    auto* mailboxes = reinterpret_cast<Mailbox*>(static_cast<std::byte*>(ring_) + 4096);
    HostileVteed hostile(*static_cast<RingHeader*>(ring_), mailboxes[vcpu % kVcpus], input_);
    vtee_call call{};
    call.size = sizeof call;
    call.conduit = input_.Take<std::uint8_t>() & 1;
    call.x[0] = 0x32000004;
    call.should_stop = [](void* context, int) {
      return static_cast<HostileVteed*>(context)->Step() ? 1 : 0;
    };
    call.stop_context = &hostile;
    const int code = resume ? vtee_vm_resume(vm_, vcpu, &call) : vtee_vm_call(vm_, vcpu, &call);
    RequireCode(code, {-EINVAL, -EINTR, -EBUSY, -ENOENT});
    if (vcpu >= kVcpus) Require(code == -EINVAL);
    if (code == 0) Require(call.reply_count <= VTEE_CALL_REGISTERS);
    if (code == -EINTR) Require(vtee_vm_pending(vm_, vcpu) == 1);
  }

  vtee_vm* vm_;
  UniqueFd vteed_;
  Input& input_;
  void* ring_;
};

void RunOne(Input input) {
  auto pair = MakeSocketPair();
  Require(pair.ok());
  SendSpoilt(pair->second.get(), WelcomeReply(), input);
  vtee_attach attach{};
  char error[300] = {};
  attach.size = sizeof attach;
  attach.vcpus = kVcpus;
  attach.control_fd = pair->first.get();
  attach.timeout_ms = 1000;
  attach.message = [](void*, const char* sentence) { RequireText(sentence, 512); };
  attach.error = error;
  attach.error_size = sizeof error;
  vtee_vm* vm = nullptr;
  const int code = vtee_vm_attach(&attach, &vm);
  if (code != 0) {
    Require(code == -ECONNREFUSED && vm == nullptr);
    RequireText(error, sizeof error);
    return;
  }
  static_cast<void>(pair->first.Release());  // taken over
  vtee_filter_range ranges[VTEE_MAX_FILTER_RANGES];
  const std::uint32_t count = vtee_vm_filter_ranges(vm, ranges, VTEE_MAX_FILTER_RANGES);
  Require(count >= 1 && count <= VTEE_MAX_FILTER_RANGES);
  for (std::uint32_t i = 0; i < count; ++i) {
    Require(ranges[i].registers >= 1 && ranges[i].registers <= VTEE_CALL_REGISTERS);
  }
  vtee_window window{};
  window.size = sizeof window;
  if (vtee_vm_window(vm, &window) == 1) {
    Require(window.bytes != 0 && (window.bytes | window.guest_phys) % 4096 == 0);
    Require(window.guest_phys + window.bytes <= std::uint64_t{1} << 52);
  }
  Require(vtee_vm_call_registers(vm, ranges[0].base) <= VTEE_CALL_REGISTERS);
  Vmm vmm(vm, std::move(pair->second), input);
  for (std::size_t i = 0; i < kMaxActions && !input.empty(); ++i) vmm.Act();
}

}  // namespace
}  // namespace vtee::vmm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto lowest_free = [] { return vtee::UniqueFd(dup(STDIN_FILENO)).get(); };
  static const bool warm = (vtee::vmm::RunOne({data, size}), true);  // makes what is made once
  static const int before = lowest_free();
  if (warm) vtee::vmm::RunOne({data, size});
  vtee::Require(lowest_free() == before);
  return 0;
}
