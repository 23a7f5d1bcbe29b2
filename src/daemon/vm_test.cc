// SPDX-License-Identifier: BSD-3-Clause
// The control protocol: a model VMM at the other end of a socket pair, the fake TEE behind.
#include "daemon/vm.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>
#include <functional>

#include "backend/fake/fake_backend.h"
#include "daemon/test_vmm.h"
#include "dialect/optee/wire.h"
#include "guest/test_memory.h"
#include "vmm/memory_server.h"

namespace vtee::daemon {
namespace {

using optee::MsgHeader;
using optee::MsgParam;
using tee::LifeEvent;
using vmm::ControlMessage;
using vmm::ControlType;

constexpr std::uint64_t kRam = 0x4000'0000;
constexpr std::uint64_t kRamBytes = 16 * guest::kPageSize;

// The fake TEE, whose counters outlive it.
class WatchedBackend final : public tee::Backend {
 public:
  explicit WatchedBackend(std::shared_ptr<backend::FakeBackend> tee) : tee_(std::move(tee)) {}
  const tee::BackendCapabilities& capabilities() const override { return tee_->capabilities(); }
  tee::SessionTee* sessions() override { return tee_->sessions(); }
  void OnLifeEvent(LifeEvent event, const tee::VmIdentity& vm) override {
    EXPECT_EQ(vm.name, "tested");
    if (event == LifeEvent::kDestroyed || event == LifeEvent::kReset) {
      EXPECT_EQ(tee_->counters().open_sessions, 0u) << "sessions end before the VM does";
    }
    tee_->OnLifeEvent(event, vm);
  }

 private:
  std::shared_ptr<backend::FakeBackend> tee_;
};

ControlMessage Message(ControlType type) {
  ControlMessage message{};
  message.magic = vmm::kProtocolMagic;
  message.major = vmm::kProtocolMajor;
  message.minor = vmm::kProtocolMinor;
  message.type = type;
  return message;
}

class VmTest : public ::testing::Test {
 protected:
  VmTest()
      : tee_(backend::FakeBackend::WithDefaultScript()),
        vmm_(2),
        ram_(guest::MakeTestFile(kRamBytes)) {
    EXPECT_TRUE(guest::InstallFaultHandler().ok());
    config_.name = "tested";
    config_.interrupt = 99;
    auto pair = MakeSocketPair();
    EXPECT_TRUE(pair.ok());
    sockets_ = std::move(pair).value();
    vm_ = std::make_unique<Vm>(config_, WaitTimes{200, 2'000},
                               std::make_unique<WatchedBackend>(tee_));
  }

  // What vteed's loop does with one packet of the VMM.
  Status Deliver(std::span<const std::byte> bytes, std::span<const int> fds = {}) {
    EXPECT_TRUE(SendPacket(sockets_.first.get(), bytes, fds).ok());
    auto packet = ReceivePacket(sockets_.second.get(), sizeof(ControlMessage));
    if (!packet.ok()) return packet.error();
    return vm_->HandlePacket(sockets_.second.get(), std::move(packet).value());
  }
  Status Deliver(const ControlMessage& message, std::span<const int> fds = {}) {
    return Deliver(std::as_bytes(std::span(&message, 1)), fds);
  }
  // vteed's answer, if there is one.
  std::optional<ControlMessage> Answer() {
    ControlMessage message{};
    const ssize_t size =
        recv(sockets_.first.get(), static_cast<void*>(&message), sizeof message, MSG_DONTWAIT);
    if (size != sizeof message) return std::nullopt;
    EXPECT_EQ(message.magic, vmm::kProtocolMagic);
    return message;
  }
  ControlMessage HelloMessage(std::uint32_t vcpus = 2) const {
    ControlMessage hello = Message(ControlType::kHello);
    hello.hello = {vcpus, 4711};
    return hello;
  }
  void SayHello() {
    const int ring = vmm_.ring().get();
    ASSERT_TRUE(Deliver(HelloMessage(), std::span(&ring, 1)).ok());
    const auto reply = Answer();
    ASSERT_TRUE(reply);
    ASSERT_EQ(reply->hello_reply.status, 0u);
  }
  std::uint32_t SetSlot(std::uint32_t slot, std::uint64_t base, std::uint64_t size, int file,
                        std::uint32_t flags = 0, std::uint64_t offset = 0,
                        std::uint64_t region = 0) {
    ControlMessage message = Message(ControlType::kSetSlot);
    message.slot = {slot, flags, base, size, offset, region};
    EXPECT_TRUE(Deliver(message, file < 0 ? std::span<const int>() : std::span(&file, 1)).ok());
    return ExpectAck(ControlType::kSetSlot);
  }
  std::uint32_t ExpectAck(ControlType of) {
    const auto ack = Answer();
    EXPECT_TRUE(ack);
    if (!ack) return ~0u;
    EXPECT_EQ(ack->type, ControlType::kAck);
    EXPECT_EQ(ack->ack.of, static_cast<std::uint32_t>(of));
    return ack->ack.status;
  }
  std::uint32_t SendLife(vmm::LifeKind kind) {
    ControlMessage message = Message(ControlType::kLife);
    message.life.kind = kind;
    EXPECT_TRUE(Deliver(message).ok());
    return ExpectAck(ControlType::kLife);
  }
  // An OPEN_SESSION of the hello TA by the guest: its a0, and the message's result.
  std::uint64_t OpenSession(std::uint32_t vcpu = 0) {
    struct {
      MsgHeader header;
      MsgParam params[2];
    } message{};
    message.header.num_params = 2;
    message.params[0].attr = message.params[1].attr = optee::attr::kMeta | optee::attr::kValueIn;
    std::memcpy(message.params[0].u, backend::fake::kHelloUuid.octets.data(), 16);
    EXPECT_EQ(pwrite(ram_.get(), &message, sizeof message, 0), ssize_t{sizeof message});
    const auto reply = vmm_.Call(vcpu, {optee::smc::kCallWithArg, kRam >> 32, kRam & 0xFFFFFFFF});
    EXPECT_TRUE(reply);
    EXPECT_EQ(pread(ram_.get(), &header_, sizeof header_, 0), ssize_t{sizeof header_});
    return reply ? reply->x[0] : ~std::uint64_t{0};
  }

  Config config_;
  std::shared_ptr<backend::FakeBackend> tee_;
  TestVmm vmm_;
  UniqueFd ram_;
  SocketPair sockets_;
  MsgHeader header_{};
  std::unique_ptr<Vm> vm_;
};

TEST_F(VmTest, HelloTellsWhatToRoute) {
  const int ring = vmm_.ring().get();
  ASSERT_TRUE(Deliver(HelloMessage(), std::span(&ring, 1)).ok());
  const auto reply = Answer();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->type, ControlType::kHelloReply);
  EXPECT_EQ(reply->major, vmm::kProtocolMajor);
  const vmm::HelloReplyBody& body = reply->hello_reply;
  EXPECT_EQ(body.status, 0u);
  EXPECT_EQ(body.interrupt_gsi, 99);
  EXPECT_EQ(body.vteed_pid, static_cast<std::uint32_t>(getpid()));
  ASSERT_EQ(body.range_count, 5u);
  // The trusted OS's standard calls, fast calls and queries; a return from an RPC has more to say.
  std::uint32_t next = 0x32000000;
  for (const vmm::FilterRange& range : std::span(body.ranges).first(3)) {
    EXPECT_EQ(range.base, next);
    EXPECT_EQ(range.registers, range.base == optee::smc::kReturnFromRpc ? 6u : 4u);
    next = range.base + range.count;
  }
  EXPECT_EQ(next, 0x32010000u);
  EXPECT_EQ(body.ranges[3].base, 0xB2000000u);
  EXPECT_EQ(body.ranges[3].count, 0x10000u);
  EXPECT_EQ(body.ranges[4].base, 0xBF000000u);
  EXPECT_EQ(body.ranges[4].count, 0x10000u);
  EXPECT_EQ(body.text[0], '\0');
}

TEST_F(VmTest, AGuestReachesTheTee) {
  SayHello();
  const auto uid = vmm_.Call(0, {optee::smc::kCallsUid});
  ASSERT_TRUE(uid);
  EXPECT_EQ(uid->x[0], 0x384fb3e0u);
  EXPECT_EQ(OpenSession(), optee::ret::kBadAddress);  // no memory yet
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, ram_.get()), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
  EXPECT_EQ(header_.ret, tee::code::kSuccess);
  EXPECT_NE(header_.session, 0u);
  EXPECT_EQ(tee_->counters().open_sessions, 1u);
  EXPECT_EQ(OpenSession(1), optee::ret::kOk);
  vm_.reset();
  EXPECT_EQ(tee_->counters().open_sessions, 0u);
  EXPECT_EQ(tee_->counters().life_events,
            (std::vector{LifeEvent::kCreated, LifeEvent::kDestroyed}));
}

// ---- hellos that fail ---------------------------------------------------------------------

struct BadHello {
  const char* name;
  std::function<void(ControlMessage&)> spoil;
  int descriptors;
  const char* says;
};

const BadHello kBadHellos[] = {
    {"NewerMajor", [](ControlMessage& hello) { hello.major = 2; }, 1, "version 2"},
    {"MajorZero", [](ControlMessage& hello) { hello.major = 0; }, 1, "version 0"},
    {"NoRing", [](ControlMessage&) {}, 0, "ring"},
    {"TwoDescriptors", [](ControlMessage&) {}, 2, "ring"},
    {"NoVcpus", [](ControlMessage& hello) { hello.hello.vcpu_capacity = 0; }, 1, "vCPUs"},
    {"TooManyVcpus", [](ControlMessage& hello) { hello.hello.vcpu_capacity = 513; }, 1, "vCPUs"},
    {"AllOnesVcpus", [](ControlMessage& hello) { hello.hello.vcpu_capacity = ~0u; }, 1, "vCPUs"},
    {"OtherVcpus", [](ControlMessage& hello) { hello.hello.vcpu_capacity = 1; }, 1, "layout"},
    {"MoreVcpusThanRing", [](ControlMessage& hello) { hello.hello.vcpu_capacity = 512; }, 1,
     "too small"},
};

class BadHelloTest : public VmTest, public ::testing::WithParamInterface<BadHello> {};

TEST_P(BadHelloTest, IsAnsweredWithASentenceAndTheEnd) {
  ControlMessage hello = HelloMessage();
  GetParam().spoil(hello);
  const int fds[] = {vmm_.ring().get(), vmm_.ring().get()};
  const Status status =
      Deliver(hello, std::span(fds).first(static_cast<std::size_t>(GetParam().descriptors)));
  EXPECT_FALSE(status.ok());
  const auto reply = Answer();
  ASSERT_TRUE(reply);
  EXPECT_NE(reply->hello_reply.status, 0u);
  const char* text = reply->hello_reply.text;
  ASSERT_LT(strnlen(text, sizeof reply->hello_reply.text), sizeof reply->hello_reply.text);
  EXPECT_NE(std::string(text).find(GetParam().says), std::string::npos) << text;
  EXPECT_EQ(reply->hello_reply.range_count, 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, BadHelloTest, ::testing::ValuesIn(kBadHellos),
                         [](const auto& row) { return std::string(row.param.name); });

TEST_F(VmTest, ANewerMinorIsWelcome) {
  ControlMessage hello = HelloMessage();
  hello.minor = 9;
  const int ring = vmm_.ring().get();
  EXPECT_TRUE(Deliver(hello, std::span(&ring, 1)).ok());
}

// ---- a window instead of the guest's memory -------------------------------------------------

class VmWindowTest : public VmTest {
 protected:
  static constexpr std::uint64_t kWindowBytes = kRamBytes;

  // The guest's messages lie at the start of the window as they otherwise do in its RAM.
  VmWindowTest() {
    config_.optee = {optee::FindProfile("static"), {kRam, kWindowBytes}};
    vm_ = std::make_unique<Vm>(config_, WaitTimes{200, 2'000},
                               std::make_unique<WatchedBackend>(tee_));
  }
  std::uint64_t ShmConfig() {
    const auto reply = vmm_.Call(0, {optee::smc::kGetShmConfig});
    EXPECT_TRUE(reply);
    return reply ? reply->x[0] : ~std::uint64_t{0};
  }
};

TEST_F(VmWindowTest, TheHelloAsksForIt) {
  const int ring = vmm_.ring().get();
  ASSERT_TRUE(Deliver(HelloMessage(), std::span(&ring, 1)).ok());
  const auto reply = Answer();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->hello_reply.window_base, kRam);
  EXPECT_EQ(reply->hello_reply.window_size, kWindowBytes);
}

TEST_F(VmWindowTest, AVmmSideThatKnowsNoWindowIsToldWhatToInstall) {
  ControlMessage hello = HelloMessage();
  hello.minor = 0;
  const int ring = vmm_.ring().get();
  EXPECT_FALSE(Deliver(hello, std::span(&ring, 1)).ok());
  const auto reply = Answer();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->hello_reply.status, 1u);
  EXPECT_NE(std::string(reply->hello_reply.text).find("libvtee-kvm.so"), std::string::npos);
}

TEST_F(VmWindowTest, IsAllThatVteedSees) {
  SayHello();
  EXPECT_EQ(ShmConfig(), optee::ret::kNotAvailable) << "not there yet";
  EXPECT_NE(SetSlot(0, 0x8000'0000, kWindowBytes, ram_.get()), 0u) << "the guest's RAM";
  EXPECT_NE(SetSlot(0, kRam, kWindowBytes / 2, ram_.get()), 0u) << "half of it";
  EXPECT_NE(SetSlot(0, kRam, kWindowBytes, ram_.get(), vmm::kSlotReadOnly), 0u);
  EXPECT_EQ(SetSlot(5, kRam, kWindowBytes, ram_.get()), 0u);
  EXPECT_EQ(ShmConfig(), optee::ret::kOk);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
  EXPECT_EQ(header_.ret, tee::code::kSuccess);
  // It stays: the TEE may hold it.
  EXPECT_NE(SetSlot(5, kRam, kWindowBytes, ram_.get()), 0u);
  EXPECT_NE(SetSlot(6, 0x8000'0000, kWindowBytes, ram_.get()), 0u);
  ControlMessage remove = Message(ControlType::kRemoveSlot);
  remove.slot.slot = 5;
  EXPECT_TRUE(Deliver(remove).ok());
  EXPECT_NE(ExpectAck(ControlType::kRemoveSlot), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
}

TEST_F(VmWindowTest, StaysOverAReset) {
  SayHello();
  ASSERT_EQ(SetSlot(5, kRam, kWindowBytes, ram_.get()), 0u);
  ASSERT_EQ(OpenSession(), optee::ret::kOk);
  EXPECT_EQ(SendLife(vmm::LifeKind::kReset), 0u);
  EXPECT_EQ(tee_->counters().open_sessions, 0u);
  EXPECT_EQ(ShmConfig(), optee::ret::kOk);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
}

TEST_F(VmTest, ASecondHelloEndsTheConnection) {
  SayHello();
  const int ring = vmm_.ring().get();
  EXPECT_FALSE(Deliver(HelloMessage(), std::span(&ring, 1)).ok());
}

TEST_F(VmTest, NothingComesBeforeTheHello) {
  for (const ControlType type :
       {ControlType::kSetSlot, ControlType::kRemoveSlot, ControlType::kInterrupt,
        ControlType::kLife, ControlType::kAck, ControlType::kNewVm, ControlType{0}}) {
    const Status status = Deliver(Message(type));
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kProtocol);
    EXPECT_FALSE(Answer());
  }
}

TEST_F(VmTest, PacketsThatAreNotOfTheProtocol) {
  SayHello();
  for (const std::size_t size : {1u, 4u, 16u, 40u, 415u}) {
    const std::vector<std::byte> bytes(size, std::byte{0x76});
    EXPECT_FALSE(Deliver(bytes).ok()) << size;
  }
  const std::vector<std::byte> longer(sizeof(ControlMessage) + 1);
  EXPECT_FALSE(Deliver(longer).ok());
  ControlMessage message = Message(ControlType::kRemoveSlot);
  message.magic ^= 0x100;
  EXPECT_FALSE(Deliver(message).ok());
  for (const std::uint32_t type : {0u, 2u, 7u, 8u, 9u, 0xFFFFFFFFu}) {
    EXPECT_FALSE(Deliver(Message(static_cast<ControlType>(type))).ok()) << type;
  }
  EXPECT_FALSE(Answer());
}

// ---- slots --------------------------------------------------------------------------------

struct SlotCase {
  const char* name;
  std::uint64_t base;
  std::uint64_t size;
  std::uint64_t offset;
  std::uint32_t status;
};

const SlotCase kSlots[] = {
    {"Good", kRam, kRamBytes, 0, 0},
    {"PartOfAFile", kRam, guest::kPageSize, kRamBytes - guest::kPageSize, 0},
    {"BaseMisaligned", kRam + 8, kRamBytes, 0, 1},
    {"SizeMisaligned", kRam, kRamBytes - 1, 0, 1},
    {"OffsetMisaligned", kRam, guest::kPageSize, 1, 1},
    {"NoSize", kRam, 0, 0, 1},
    {"Wraps", ~std::uint64_t{0xFFF}, 2 * guest::kPageSize, 0, 1},
    {"SizeAllOnes", kRam, ~std::uint64_t{0xFFF}, 0, 1},
    {"Past52Bits", std::uint64_t{1} << 52, guest::kPageSize, 0, 1},
    {"OffsetWraps", kRam, 2 * guest::kPageSize, ~std::uint64_t{0xFFF}, 1},
};

class SlotTest : public VmTest, public ::testing::WithParamInterface<SlotCase> {};

TEST_P(SlotTest, IsAcknowledgedWithItsStatus) {
  SayHello();
  EXPECT_EQ(SetSlot(3, GetParam().base, GetParam().size, ram_.get(), 0, GetParam().offset),
            GetParam().status);
  // The connection goes on in any case.
  EXPECT_EQ(SetSlot(4, 0x8000'0000, kRamBytes, ram_.get()), 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, SlotTest, ::testing::ValuesIn(kSlots),
                         [](const auto& row) { return std::string(row.param.name); });

TEST_F(VmTest, SlotsComeAndGoWhileTheGuestCalls) {
  SayHello();
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, ram_.get()), 0u);
  EXPECT_EQ(SetSlot(1, kRam + guest::kPageSize, kRamBytes, ram_.get()), 1u);  // overlaps
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
  ControlMessage remove = Message(ControlType::kRemoveSlot);
  remove.slot.slot = 0;
  for (int i = 0; i < 2; ++i) {  // the second time there is nothing to remove
    ASSERT_TRUE(Deliver(remove).ok());
    EXPECT_EQ(ExpectAck(ControlType::kRemoveSlot), 0u);
  }
  EXPECT_EQ(OpenSession(), optee::ret::kBadAddress);
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, ram_.get(), vmm::kSlotReadOnly), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kBadAddress);
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, -1), 0u);  // RAM that is not shared
  EXPECT_EQ(OpenSession(), optee::ret::kBadAddress);
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, ram_.get()), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
}

TEST_F(VmTest, FilesThatAreNotMemoryAreRefused) {
  SayHello();
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  const UniqueFd zero(open("/dev/zero", O_RDWR | O_CLOEXEC));
  for (const int fd : {event.get(), zero.get(), sockets_.first.get()}) {
    EXPECT_EQ(SetSlot(0, kRam, kRamBytes, fd), 1u);
  }
}

// ---- memory that cannot be mapped ---------------------------------------------------------

// The guest's RAM at an address of "the VMM" that vteed is not told, and the VMM's side of copies.
class CopiedMemoryTest : public VmTest {
 protected:
  CopiedMemoryTest()
      : address_(mmap(nullptr, kRamBytes, PROT_READ | PROT_WRITE, MAP_SHARED, ram_.get(), 0)) {}
  ~CopiedMemoryTest() override { munmap(address_, kRamBytes); }

  Status SendChannel() {
    vmm::OwnFd peer;
    EXPECT_TRUE(server_.Open(peer));
    EXPECT_TRUE(server_.StartThread());
    const int fd = peer.get();
    return Deliver(Message(ControlType::kMemoryChannel), std::span(&fd, 1));
  }
  std::uint64_t Region(std::uint32_t slot) {
    return server_.Add(slot, reinterpret_cast<std::uintptr_t>(address_), kRamBytes, false);
  }

  void* address_;
  vmm::PeerHealth health_{vmm::MessageSink{}};
  vmm::MemoryServer server_{health_};
};

TEST_F(CopiedMemoryTest, AGuestReachesTheTee) {
  SayHello();
  ASSERT_TRUE(SendChannel().ok());
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, -1, 0, 0, Region(0)), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
  EXPECT_EQ(tee_->counters().open_sessions, 1u);
}

TEST_F(CopiedMemoryTest, ASlotThatMovesOrGoesIsNotReachedByItsOldRegion) {
  SayHello();
  ASSERT_TRUE(SendChannel().ok());
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, -1, 0, 0, Region(0)), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
  server_.Remove(0);  // the VMM side has forgotten it, vteed has not heard yet
  EXPECT_EQ(OpenSession(), optee::ret::kBadAddress);
  EXPECT_EQ(SetSlot(0, 2 * kRam, kRamBytes, -1, 0, 0, Region(0)), 0u);  // elsewhere
  EXPECT_EQ(OpenSession(), optee::ret::kBadAddress);
  server_.Remove(0);
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, -1, 0, 0, Region(0)), 0u);  // and back
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, ram_.get()), 0u);  // mapped from now on
  server_.Remove(0);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
}

TEST_F(CopiedMemoryTest, ItsMessagesAreChecked) {
  SayHello();
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, -1, 0, 0, 1), 1u) << "a region before its channel";
  EXPECT_FALSE(Deliver(Message(ControlType::kMemoryChannel)).ok()) << "no socket";
  ASSERT_TRUE(SendChannel().ok());
  const int another = ram_.get();
  EXPECT_FALSE(Deliver(Message(ControlType::kMemoryChannel), std::span(&another, 1)).ok());
}

TEST_F(CopiedMemoryTest, ADeadChannelFailsCallsAndNotTheVm) {
  SayHello();
  const UniqueFd nothing(eventfd(0, EFD_CLOEXEC));
  const int fd = nothing.get();
  ASSERT_TRUE(Deliver(Message(ControlType::kMemoryChannel), std::span(&fd, 1)).ok());
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, -1, 0, 0, 1), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kBadAddress);
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, ram_.get()), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
}

TEST_F(CopiedMemoryTest, TheVmEndsWhileACallWaitsForItsMemory) {
  SayHello();
  auto pair = MakeSocketPair();
  const int fd = pair->second.get();
  ASSERT_TRUE(Deliver(Message(ControlType::kMemoryChannel), std::span(&fd, 1)).ok());
  pair->second.Reset();
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, -1, 0, 0, 1), 0u);
  vmm_.Submit(0, {optee::smc::kCallWithArg, kRam >> 32, kRam & 0xFFFFFFFF});
  // The call asks and gets no answer.
  ASSERT_TRUE(ReceivePacket(pair->first.get(), vmm::kMaxMemoryPacket).ok());
  EXPECT_FALSE(vmm_.Replied(0));
  vm_.reset();  // returns
}

// ---- interrupt and life -------------------------------------------------------------------

TEST_F(VmTest, AnInterruptOffersNotifications) {
  SayHello();
  const auto caps = [&] { return vmm_.Call(0, {optee::smc::kExchangeCapabilities})->x[1]; };
  EXPECT_EQ(caps() & optee::kSecCapAsyncNotif, 0u);
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  const int fd = event.get();
  ASSERT_TRUE(Deliver(Message(ControlType::kInterrupt), std::span(&fd, 1)).ok());
  EXPECT_FALSE(Answer());
  EXPECT_NE(caps() & optee::kSecCapAsyncNotif, 0u);
  const int two[] = {fd, fd};
  EXPECT_FALSE(Deliver(Message(ControlType::kInterrupt)).ok());
  EXPECT_FALSE(Deliver(Message(ControlType::kInterrupt), two).ok());
}

TEST_F(VmTest, AResetEndsTheGuestsSessions) {
  SayHello();
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, ram_.get()), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
  const std::uint32_t old = header_.session;
  EXPECT_EQ(SendLife(vmm::LifeKind::kReset), 0u);
  EXPECT_EQ(tee_->counters().open_sessions, 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);  // memory stays
  EXPECT_NE(header_.session, old);
}

TEST_F(VmTest, LeavingEndsTheGuestsSessions) {
  SayHello();
  EXPECT_EQ(SetSlot(0, kRam, kRamBytes, ram_.get()), 0u);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
  EXPECT_EQ(OpenSession(), optee::ret::kOk);
  ASSERT_EQ(tee_->counters().open_sessions, 2u);
  vm_->Leave();
  EXPECT_EQ(tee_->counters().open_sessions, 0u);
}

TEST_F(VmTest, LifeEventsReachTheTee) {
  SayHello();
  EXPECT_EQ(SendLife(vmm::LifeKind::kPaused), 0u);
  EXPECT_EQ(SendLife(vmm::LifeKind::kResumed), 0u);
  EXPECT_EQ(SendLife(vmm::LifeKind::kReset), 0u);
  ControlMessage odd = Message(ControlType::kLife);
  for (const std::uint32_t kind : {0u, 4u, 0xFFFFFFFFu}) {
    odd.life.kind = static_cast<vmm::LifeKind>(kind);
    EXPECT_FALSE(Deliver(odd).ok());
    EXPECT_FALSE(Answer());
  }
  vm_.reset();
  EXPECT_EQ(tee_->counters().life_events,
            (std::vector{LifeEvent::kCreated, LifeEvent::kPaused, LifeEvent::kResumed,
                         LifeEvent::kReset, LifeEvent::kDestroyed}));
}

TEST_F(VmTest, AVmThatNeverSaidHelloEndsWell) {
  vm_.reset();
  EXPECT_EQ(tee_->counters().life_events,
            (std::vector{LifeEvent::kCreated, LifeEvent::kDestroyed}));
}

TEST_F(VmTest, StrayDescriptorsAreClosed) {
  SayHello();
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  const int fds[] = {event.get(), event.get(), event.get()};
  const int before = dup(event.get());
  close(before);
  ControlMessage remove = Message(ControlType::kRemoveSlot);
  ASSERT_TRUE(Deliver(remove, fds).ok());
  EXPECT_EQ(ExpectAck(ControlType::kRemoveSlot), 0u);
  const int after = dup(event.get());
  close(after);
  EXPECT_EQ(before, after);
}

}  // namespace
}  // namespace vtee::daemon
