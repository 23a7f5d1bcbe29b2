// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/mailbox_server.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <random>

#include "daemon/test_vmm.h"

namespace vtee::daemon {
namespace {

constexpr std::uint64_t kEcho = 1;     // each register plus one; x1 tells the conduit
constexpr std::uint64_t kHold = 2;     // until released; may be parked
constexpr std::uint64_t kTooMany = 3;  // a reply that claims 99 registers
constexpr std::uint64_t kParked = 0xAAAA;
constexpr std::uint64_t kReleased = 0xBBBB;

// A dialect whose held calls are answered "parked" on demand and go on without their vCPU.
class HoldingDialect final : public mediator::Dialect {
 public:
  std::span<const mediator::FunctionRange> ranges() const override { return {}; }
  void SetInterrupt(UniqueFd) override {}
  void Reset() override {}

  void Handle(const mediator::SecureCall& call, mediator::Responder responder) override {
    ++handled;
    mediator::RegisterReply reply;
    reply.count = mediator::kMaxCallRegisters;
    for (std::size_t i = 0; i < call.x.size(); ++i) reply.x[i] = call.x[i] + 1;
    reply.x[1] = call.is_smc ? 's' : 'h';
    reply.x[2] = call.vcpu;
    if (call.x[0] == kTooMany) reply.count = 99;
    if (call.x[0] != kHold) return responder.Reply(reply);
    const auto held = std::make_shared<Held>(std::move(responder));
    held->Announce();
    std::unique_lock lock(mutex_);
    ++holding_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return released_; });
    --holding_;
    changed_.notify_all();
    lock.unlock();
    held->Finish();
  }

  void Release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  bool WaitHolding(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5), [&] { return holding_ == count; });
  }

  std::atomic<int> handled{0};

 private:
  class Held final : public mediator::ParkTarget, public std::enable_shared_from_this<Held> {
   public:
    explicit Held(mediator::Responder responder) : responder_(std::move(responder)) {}
    void Announce() { responder_.SetParkTarget(weak_from_this()); }
    void Park(const mediator::ReplyPort& port, std::uint32_t sequence) override {
      const std::lock_guard lock(mutex_);
      if (!responder_.armed() || !responder_.Answers(port, sequence)) return;
      responder_.Detach();
      Answer(kParked);
    }
    void Finish() {
      const std::lock_guard lock(mutex_);
      if (responder_.armed()) Answer(kReleased);
    }

   private:
    void Answer(std::uint64_t x0) {
      mediator::RegisterReply reply;
      reply.count = 1;
      reply.x[0] = x0;
      responder_.Reply(reply);
    }
    std::mutex mutex_;
    mediator::Responder responder_;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
  int holding_ = 0;
};

class MailboxServerTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kVcpus = 4;

  MailboxServerTest() : vmm_(kVcpus) {
    auto server = MailboxServer::Create(vmm_.ring(), kVcpus, dialect_, {200, 1234});
    if (!server.ok()) std::abort();
    server_ = std::move(server).value();
    EXPECT_TRUE(server_->Start().ok());
  }
  ~MailboxServerTest() override {
    dialect_.Release();
    server_.reset();
  }

  void ExpectEcho(std::uint32_t vcpu, std::uint64_t salt, bool sleep = false) {
    Registers x{};
    x[0] = kEcho;
    for (std::size_t i = 3; i < x.size(); ++i) x[i] = salt + i;
    const auto reply = vmm_.Call(vcpu, x, sleep);
    ASSERT_TRUE(reply);
    ASSERT_EQ(reply->count, vmm::kCallRegisters);
    EXPECT_EQ(reply->x[0], kEcho + 1);
    EXPECT_EQ(reply->x[2], vcpu);
    for (std::size_t i = 3; i < x.size(); ++i) EXPECT_EQ(reply->x[i], salt + i + 1);
  }

  HoldingDialect dialect_;
  TestVmm vmm_;
  std::unique_ptr<MailboxServer> server_;
};

TEST_F(MailboxServerTest, TheFirstCallOfAVcpuGetsItAThread) {
  EXPECT_EQ(vmm_.header().spinners, 1u);
  for (std::uint32_t vcpu = 0; vcpu < kVcpus; ++vcpu) {
    EXPECT_EQ(vmm_.box(vcpu).park_after_us, 1234u);
    EXPECT_EQ(vmm_.box(vcpu).spin_us, 200u);
    EXPECT_EQ(vmm_.box(vcpu).served.load(), 0u);
  }
  ExpectEcho(2, 100);
  EXPECT_EQ(vmm_.box(2).served.load(), 1u);
  EXPECT_EQ(vmm_.box(0).served.load(), 0u);
  const std::uint32_t rung = vmm_.header().park_doorbell.load();
  ExpectEcho(2, 200);
  EXPECT_EQ(vmm_.header().park_doorbell.load(), rung);  // no system call is needed any more
}

TEST_F(MailboxServerTest, TheConduitIsToldApart) {
  for (const bool smc : {true, false}) {
    vmm_.Submit(0, {kEcho}, smc);
    EXPECT_EQ(vmm_.Wait(0)->x[1], static_cast<std::uint64_t>(smc ? 's' : 'h'));
  }
  vmm_.box(0).conduit = 0xFFFFFFFF;
  ExpectEcho(0, 5);
}

TEST_F(MailboxServerTest, ManyCallsInARow) {
  for (std::uint64_t i = 0; i < 2000; ++i) ExpectEcho(0, i);
  EXPECT_EQ(dialect_.handled, 2000);
}

TEST_F(MailboxServerTest, SleepersOnBothSidesWakeEachOther) {
  for (std::uint64_t i = 0; i < 20; ++i) {
    if (i > 0) {
      ASSERT_TRUE(vmm_.WaitUntilVteedSleeps(1));
    }
    ExpectEcho(1, i, /*sleep=*/true);
  }
}

TEST_F(MailboxServerTest, VcpusSideBySide) {
  std::vector<std::thread> vcpus;
  for (std::uint32_t vcpu = 0; vcpu < kVcpus; ++vcpu) {
    vcpus.emplace_back([this, vcpu] {
      for (std::uint64_t i = 0; i < 300; ++i) ExpectEcho(vcpu, vcpu * 1000 + i, i % 7 == 0);
    });
  }
  for (std::thread& vcpu : vcpus) vcpu.join();
}

TEST_F(MailboxServerTest, AReplyOfTooManyRegistersIsCut) {
  const auto reply = vmm_.Call(0, {kTooMany});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->count, vmm::kCallRegisters);
}

TEST_F(MailboxServerTest, AParkedCallGivesItsVcpuAway) {
  vmm_.Submit(0, {kHold});
  ASSERT_TRUE(dialect_.WaitHolding(1));
  EXPECT_FALSE(vmm_.Replied(0));
  vmm_.AskToPark(0);
  const auto reply = vmm_.Wait(0, /*sleep=*/true);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->x[0], kParked);
  for (std::uint64_t i = 0; i < 50; ++i) ExpectEcho(0, i);
  // Again, and again: each parked call has its own thread.
  for (int parked = 2; parked <= 6; ++parked) {
    vmm_.Submit(0, {kHold});
    ASSERT_TRUE(dialect_.WaitHolding(parked));
    vmm_.AskToPark(0);
    EXPECT_EQ(vmm_.Wait(0)->x[0], kParked);
    ExpectEcho(0, 1);
  }
  dialect_.Release();
  ASSERT_TRUE(dialect_.WaitHolding(0));
  for (std::uint64_t i = 0; i < 50; ++i) ExpectEcho(0, i);  // nothing late disturbs the mailbox
}

TEST_F(MailboxServerTest, ParksOfSeveralVcpusAreKeptApart) {
  for (std::uint32_t vcpu = 0; vcpu < kVcpus; ++vcpu) vmm_.Submit(vcpu, {kHold});
  ASSERT_TRUE(dialect_.WaitHolding(kVcpus));
  vmm_.AskToPark(1);
  vmm_.AskToPark(3);
  EXPECT_EQ(vmm_.Wait(1)->x[0], kParked);
  EXPECT_EQ(vmm_.Wait(3)->x[0], kParked);
  EXPECT_FALSE(vmm_.Replied(0));
  EXPECT_FALSE(vmm_.Replied(2));
  dialect_.Release();
  EXPECT_EQ(vmm_.Wait(0)->x[0], kReleased);
  EXPECT_EQ(vmm_.Wait(2)->x[0], kReleased);
}

// The VMM side asks once. A request that is taken later than that must still be parked.
TEST_F(MailboxServerTest, AParkThatIsAskedForBeforeTheCallIsTakenIsNotLost) {
  ExpectEcho(0, 1);
  vmm_.box(0).park.store(2);
  vmm_.RingDoorbell();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the park thread has looked
  ASSERT_EQ(vmm_.Submit(0, {kHold}), 2u);
  EXPECT_EQ(vmm_.Wait(0)->x[0], kParked);
}

TEST_F(MailboxServerTest, ParksOfOtherSequencesDoNothing) {
  vmm_.Submit(0, {kHold});
  ASSERT_TRUE(dialect_.WaitHolding(1));
  for (const std::uint32_t wrong : {0u, 2u, 0xFFFFFFFFu}) {
    vmm_.box(0).park.store(wrong);
    vmm_.RingDoorbell();
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(vmm_.Replied(0));
  dialect_.Release();
  EXPECT_EQ(vmm_.Wait(0)->x[0], kReleased);
  vmm_.AskToPark(0);  // answered already
  ExpectEcho(0, 3);
}

TEST_F(MailboxServerTest, SequenceNumbersMayWrap) {
  vmm_.box(0).request.store(0xFFFFFFFE);
  vmm_.RingDoorbell();
  for (const std::uint32_t sequence : {0xFFFFFFFEu, 0xFFFFFFFFu, 1u, 2u}) {
    vmm_.box(0).request.store(sequence);
    FutexWakeShared(vmm_.box(0).request, 1);
    for (int i = 0; i < 5000 && vmm_.box(0).reply.load() != sequence; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(vmm_.box(0).reply.load(), sequence);
  }
}

// A VMM that writes nonsense everywhere hurts itself only.
TEST_F(MailboxServerTest, NonsenseInTheRingDoesNotEndTheServer) {
  std::minstd_rand engine(1);
  const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  while (std::chrono::steady_clock::now() < deadline) {
    vmm::Mailbox& box = vmm_.box(random() % 3);
    switch (random() % 6) {
      case 0:
        box.park.store(random());
        break;
      case 1:
        box.reply.store(random());
        break;
      case 2:
        box.vmm_sleeping.store(random());
        break;
      case 3:
        box.request.store(random());
        break;
      case 4:
        box.served.store(random() % 2);
        break;
      default:
        vmm_.RingDoorbell();
        break;
    }
  }
  ExpectEcho(3, 17);
}

TEST_F(MailboxServerTest, StopWakesSleepers) {
  for (std::uint32_t vcpu = 0; vcpu < kVcpus; ++vcpu) ExpectEcho(vcpu, vcpu);
  for (std::uint32_t vcpu = 0; vcpu < kVcpus; ++vcpu) {
    ASSERT_TRUE(vmm_.WaitUntilVteedSleeps(vcpu));
  }
  const auto start = std::chrono::steady_clock::now();
  server_->Stop();
  server_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

// A VMM that says its vCPUs' threads sleep, or do not, changes nothing about how long the end
// takes.
TEST(MailboxServerStopTest, DoesNotRelyOnTheVmmsWord) {
  constexpr std::uint32_t kVcpus = 64;
  for (const std::uint32_t claim : {0u, 1u}) {
    HoldingDialect dialect;
    TestVmm vmm(kVcpus);
    auto server = MailboxServer::Create(vmm.ring(), kVcpus, dialect, {0, 1});
    ASSERT_TRUE(server.ok());
    ASSERT_TRUE((*server)->Start().ok());
    ASSERT_TRUE(vmm.Call(0, {kEcho}));
    ASSERT_TRUE(vmm.WaitUntilVteedSleeps(0));
    for (std::uint32_t i = 0; i < kVcpus; ++i) vmm.box(i).vteed_sleeping.store(claim);
    const std::uint64_t start = MonotonicNanos();
    server->reset();
    EXPECT_LT(MonotonicNanos() - start, 5'000'000'000u) << "claim " << claim;
  }
}

TEST_F(MailboxServerTest, StopTwiceAndWithoutCalls) {
  server_->Stop();
  server_->Stop();
}

TEST(MailboxServerCreateTest, AServerThatNeverStartsEndsWell) {
  HoldingDialect dialect;
  TestVmm vmm(1);
  EXPECT_TRUE(MailboxServer::Create(vmm.ring(), 1, dialect, {0, 1}).ok());
}

TEST(MailboxServerCreateTest, UnusedMailboxesCostNoThread) {
  HoldingDialect dialect;
  TestVmm vmm(vmm::kMaxVcpus);
  auto server = MailboxServer::Create(vmm.ring(), vmm::kMaxVcpus, dialect, {0, 1});
  ASSERT_TRUE(server.ok());
  ASSERT_TRUE(server.value()->Start().ok());
  EXPECT_TRUE(vmm.Call(511, {kEcho}));
  EXPECT_EQ(vmm.box(510).served.load(), 0u);
}

// ---- rings that are refused ---------------------------------------------------------------

struct BadRing {
  const char* name;
  std::function<void(vmm::RingHeader&)> spoil;
};

const BadRing kBadHeaders[] = {
    {"Magic", [](vmm::RingHeader& header) { header.magic ^= 1; }},
    {"Zero", [](vmm::RingHeader& header) { header.magic = 0; }},
    {"Major", [](vmm::RingHeader& header) { header.major = 2; }},
    {"MailboxSize", [](vmm::RingHeader& header) { header.mailbox_size = 256; }},
    {"MailboxSizeAllOnes", [](vmm::RingHeader& header) { header.mailbox_size = 0xFFFFFFFF; }},
    {"CapacityLess", [](vmm::RingHeader& header) { header.vcpu_capacity = 1; }},
    {"CapacityMore", [](vmm::RingHeader& header) { header.vcpu_capacity = 512; }},
};

class BadHeaderTest : public ::testing::TestWithParam<BadRing> {};

TEST_P(BadHeaderTest, IsRefused) {
  HoldingDialect dialect;
  TestVmm vmm(4);
  GetParam().spoil(vmm.header());
  const auto server = MailboxServer::Create(vmm.ring(), 4, dialect, {0, 1});
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.error().code, ErrorCode::kProtocol);
}

INSTANTIATE_TEST_SUITE_P(Table, BadHeaderTest, ::testing::ValuesIn(kBadHeaders),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(MailboxServerCreateTest, ANewerMinorVersionIsWelcome) {
  HoldingDialect dialect;
  TestVmm vmm(1);
  vmm.header().minor = 7;
  EXPECT_TRUE(MailboxServer::Create(vmm.ring(), 1, dialect, {0, 1}).ok());
}

TEST(MailboxServerCreateTest, UnsealedSmallAndForeignFilesAreRefused) {
  HoldingDialect dialect;
  TestVmm unsealed(4, /*sealed=*/false);
  EXPECT_FALSE(MailboxServer::Create(unsealed.ring(), 4, dialect, {0, 1}).ok());
  TestVmm small(1);
  small.header().vcpu_capacity = 64;
  EXPECT_FALSE(MailboxServer::Create(small.ring(), 64, dialect, {0, 1}).ok());
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(MailboxServer::Create(event, 1, dialect, {0, 1}).ok());
  EXPECT_FALSE(MailboxServer::Create(UniqueFd(), 1, dialect, {0, 1}).ok());
  const UniqueFd zero(open("/dev/zero", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(MailboxServer::Create(zero, 1, dialect, {0, 1}).ok());
}

TEST(MailboxServerCreateTest, ImpossibleNumbersOfVcpus) {
  HoldingDialect dialect;
  TestVmm vmm(4);
  for (const std::uint32_t vcpus : {0u, 513u, 0x80000000u, 0xFFFFFFFFu}) {
    const auto server = MailboxServer::Create(vmm.ring(), vcpus, dialect, {0, 1});
    ASSERT_FALSE(server.ok());
    EXPECT_EQ(server.error().code, ErrorCode::kProtocol);
  }
}

}  // namespace
}  // namespace vtee::daemon
