// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes vteed as a hostile VMM reaches it: packets and descriptors on the control socket, memory
// slots over files that shrink, and calls of the guest in between.
//
// Input: actions, see Action. A packet goes through a real socket, as in vteed. What must hold:
// each packet is answered as docs/vmm-protocol.md says or ends the connection with a sentence; a
// call is answered; at the end no descriptor and no thread is left.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "backend/fake/fake_backend.h"
#include "base/log.h"
#include "base/socket.h"
#include "daemon/test_vmm.h"
#include "daemon/vm.h"
#include "fuzz_input.h"
#include "guest/test_memory.h"

namespace vtee::daemon {
namespace {

enum class Action : std::uint8_t {
  kPacket,     // well-formed but for what the input says
  kRawPacket,  // any bytes of any size
  kCall,       // the guest calls
  kWrite,      // the guest writes its memory
  kResize,     // the VMM cuts or lengthens a file
  kActions,
};

constexpr std::size_t kMaxActions = 24;
constexpr std::uint32_t kVcpus = 2;
constexpr std::uint64_t kFileBytes = 16 * guest::kPageSize;

UniqueFd OpenAgain(const UniqueFd& file, int flags) {
  return UniqueFd(open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), flags | O_CLOEXEC));
}

// What a VMM may hand over, by the number that the input gives.
class Descriptors {
 public:
  Descriptors() : vmm_(kVcpus), unsealed_(kVcpus, false), larger_(8) {
    ram_ = guest::MakeTestFile(kFileBytes);
    read_only_ = OpenAgain(ram_, O_RDONLY);
    path_ = OpenAgain(ram_, O_PATH);
    event_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
    full_event_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
    const std::uint64_t full = ~std::uint64_t{0} - 1;
    Require(write(full_event_.get(), &full, sizeof full) == sizeof full);
    zero_ = UniqueFd(open("/dev/zero", O_RDWR | O_CLOEXEC));
    folder_ = UniqueFd(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    auto pair = MakeSocketPair();
    Require(pair.ok());
    socket_ = std::move(pair->first);
  }

  int Get(std::uint8_t number) const {
    const std::array<int, 11> all = {
        vmm_.ring().get(), ram_.get(),        event_.get(),         unsealed_.ring().get(),
        read_only_.get(),  full_event_.get(), zero_.get(),          folder_.get(),
        socket_.get(),     path_.get(),       larger_.ring().get(),
    };
    return all[number % all.size()];
  }
  TestVmm& vmm() { return vmm_; }
  const UniqueFd& ram() const { return ram_; }

 private:
  TestVmm vmm_;
  TestVmm unsealed_;
  TestVmm larger_;
  UniqueFd ram_, read_only_, path_, event_, full_event_, zero_, folder_, socket_;
};

class Session {
 public:
  Session(Input input, const Config& config, Descriptors& descriptors)
      : input_(input),
        config_(config),
        descriptors_(descriptors),
        vm_(config_, {0, 1000}, backend::FakeBackend::WithDefaultScript()) {
    auto pair = MakeSocketPair();
    Require(pair.ok());
    vmm_end_ = std::move(pair->first);
    vteed_end_ = std::move(pair->second);
  }

  // False: the connection has ended.
  bool Act() {
    switch (static_cast<Action>(input_.Take<std::uint8_t>() %
                                static_cast<std::uint8_t>(Action::kActions))) {
      case Action::kPacket:
        return SendMessage();
      case Action::kRawPacket: {
        const std::size_t size = 1 + input_.Take<std::uint16_t>() % 700;
        std::vector<std::byte> bytes(size);
        const auto given = input_.TakeBytes(size);
        std::copy(given.begin(), given.end(), bytes.begin());
        return Deliver(bytes, {});
      }
      case Action::kCall:
        Call();
        return true;
      case Action::kWrite: {
        const auto at = input_.Take<std::uint16_t>();
        const auto bytes = input_.TakeBytes(input_.Take<std::uint8_t>());
        Require(pwrite(descriptors_.ram().get(), bytes.data(), bytes.size(), at) >= 0);
        return true;
      }
      case Action::kResize:
        Require(ftruncate(descriptors_.ram().get(), input_.Take<std::uint8_t>() * 1024) == 0);
        return true;
      case Action::kActions:
        break;
    }
    return true;
  }

 private:
  bool SendMessage() {
    vmm::ControlMessage message{};
    message.magic = vmm::kProtocolMagic;
    message.major = vmm::kProtocolMajor;
    message.type = static_cast<vmm::ControlType>(input_.Take<std::uint8_t>() % 10);
    const std::uint8_t how = input_.Take<std::uint8_t>();
    if ((how & 0x07) == 0x07) message.magic ^= 1u << (how >> 3);
    if ((how & 0x07) != 0x06) message.minor = vmm::kProtocolMinor;
    if ((how & 0x38) == 0x38) message.major ^= 1u << (how >> 6);
    std::array<int, kMaxPacketFds> fds{};
    const std::size_t count = input_.Take<std::uint8_t>() % (fds.size() + 1);
    for (std::size_t i = 0; i < count; ++i) fds[i] = descriptors_.Get(input_.Take<std::uint8_t>());
    auto* body = reinterpret_cast<std::byte*>(&message) + offsetof(vmm::ControlMessage, hello);
    const auto given = input_.TakeBytes(input_.Take<std::uint8_t>());
    std::copy(given.begin(), given.end(), body);
    return Deliver(std::as_bytes(std::span(&message, 1)), std::span(fds.data(), count));
  }

  // What vteed's main loop does with one packet.
  bool Deliver(std::span<const std::byte> bytes, std::span<const int> fds) {
    Require(SendPacket(vmm_end_.get(), bytes, fds).ok());
    auto packet = ReceivePacket(vteed_end_.get(), sizeof(vmm::ControlMessage));
    if (!packet.ok()) return RequireSentence(packet.error());
    const Status handled = vm_.HandlePacket(vteed_end_.get(), std::move(packet).value());
    vmm::ControlMessage reply{};
    const ssize_t size = recv(vmm_end_.get(), &reply, sizeof reply, MSG_DONTWAIT);
    if (size >= 0) CheckReply(reply, static_cast<std::size_t>(size), handled.ok());
    if (!handled.ok()) return RequireSentence(handled.error());
    return true;
  }
  static bool RequireSentence(const Error& error) {
    Require(!error.message.empty());
    return false;
  }
  void CheckReply(const vmm::ControlMessage& reply, std::size_t size, bool ok) {
    Require(size == sizeof reply && reply.magic == vmm::kProtocolMagic);
    if (reply.type == vmm::ControlType::kAck) {
      Require(ok && attached_ && reply.ack.status <= 1);
      return;
    }
    Require(reply.type == vmm::ControlType::kHelloReply);
    Require((reply.hello_reply.status == 0) == ok);
    Require(strnlen(reply.hello_reply.text, sizeof reply.hello_reply.text) <
            sizeof reply.hello_reply.text);
    attached_ = ok;
  }

  void Call() {
    constexpr std::array<std::uint32_t, 6> kFunctions = {0x32000004, 0x32000012, 0x32000013,
                                                         0x32000003, 0xB2000010, 0xBF00FF01};
    Registers x{};
    const std::uint32_t vcpu = input_.Take<std::uint8_t>() % kVcpus;
    x[0] = kFunctions[input_.Take<std::uint8_t>() % kFunctions.size()];
    x[1] = input_.Take<std::uint32_t>();
    x[2] = input_.Take<std::uint32_t>();
    x[3] = input_.Take<std::uint8_t>();
    if (!attached_) return;
    TestVmm& vmm = descriptors_.vmm();
    vmm.Submit(vcpu, x);
    // As a VMM does whose call takes long.
    const std::uint64_t start = MonotonicNanos();
    while (!vmm.Replied(vcpu)) {
      std::this_thread::yield();
      const std::uint64_t waited = MonotonicNanos() - start;
      if (waited > 5'000'000) vmm.AskToPark(vcpu);
      Require(waited < 20'000'000'000);
    }
    Require(vmm.box(vcpu).reply_count <= vmm::kCallRegisters);
  }

  Input input_;
  const Config& config_;
  Descriptors& descriptors_;
  Vm vm_;
  UniqueFd vmm_end_;
  UniqueFd vteed_end_;
  bool attached_ = false;
};

void RunOne(const std::uint8_t* data, std::size_t size) {
  Config config;
  // The last byte's top three bits choose the guest's profile.
  const std::size_t profile = size == 0 ? 0 : data[size - 1] >> 5;
  config.optee.profile = &optee::kProfiles[profile % optee::kProfiles.size()];
  if (config.optee.profile->window) config.optee.window = {0x10000, kFileBytes};
  Descriptors descriptors;
  Session session({data, size}, config, descriptors);
  for (std::size_t i = 0; i < kMaxActions && session.Act(); ++i) {
  }
}

}  // namespace
}  // namespace vtee::daemon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::SetLogLevel(vtee::LogLevel::kError);
  static const bool handler = vtee::guest::InstallFaultHandler().ok();
  static const int log = open("/dev/null", O_WRONLY | O_CLOEXEC);  // NOLINT
  vtee::Require(handler && log >= 0);
  const auto lowest_free = [] { return vtee::UniqueFd(dup(log)).get(); };
  static const bool warm = (vtee::daemon::RunOne(data, size), true);  // makes what is made once
  static const int before = lowest_free();
  if (warm) vtee::daemon::RunOne(data, size);
  vtee::Require(lowest_free() == before);
  return 0;
}
