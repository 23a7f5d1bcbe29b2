// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/vm_link.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/socket.h"
#include "vmm/fake_vteed.h"

namespace vtee::vmm {
namespace {

using testing::HasSubstr;

struct LinkDeleter {
  void operator()(VmLink* link) const { VmLink::Destroy(link); }
};

class VmLinkTest : public testing::Test {
 protected:
  // A link to a fake vteed with these options, or nullptr and error_.
  VmLink* Attach(FakeVteed::Options options = {}, std::uint32_t vcpus = 4,
                 std::uint32_t timeout_ms = 5'000) {
    auto pair = MakeSocketPair();
    vteed_ = std::make_unique<FakeVteed>(std::move(pair->second), std::move(options));
    link_.reset(VmLink::Attach(OwnFd(pair->first.Release()), vcpus, MessageSink{Collect, &said_},
                               timeout_ms, error_));
    return link_.get();
  }
  static void Collect(void* context, const char* sentence) {
    static_cast<std::vector<std::string>*>(context)->emplace_back(sentence);
  }

  std::vector<std::string> said_;
  Text error_;
  std::unique_ptr<FakeVteed> vteed_;
  std::unique_ptr<VmLink, LinkDeleter> link_;
};

TEST_F(VmLinkTest, AttachTellsRangesAndInterrupt) {
  FakeVteed::Options options;
  options.interrupt_gsi = 12;
  ASSERT_NE(Attach(options), nullptr) << error_.bytes;
  ASSERT_EQ(link_->range_count(), 2u);
  EXPECT_EQ(link_->ranges()[1].base, 0xb2000000u);
  EXPECT_EQ(link_->interrupt_gsi(), 12);
  EXPECT_EQ(vteed_->hello_vcpus(), 4u);
  EXPECT_NE(link_->port(3), nullptr);
  EXPECT_EQ(link_->port(4), nullptr);
}

TEST_F(VmLinkTest, RingCannotBeTruncatedByEitherSide) {
  ASSERT_NE(Attach(), nullptr);
  EXPECT_EQ(vteed_->ring_seals() & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
            F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

TEST_F(VmLinkTest, CallsGoThroughTheRing) {
  FakeVteed::Options options;
  options.answer = [](std::size_t vcpu, const std::uint64_t* x) {
    CallRegisters reply;
    reply.x[0] = x[0] + 1000 * vcpu;
    reply.count = 1;
    return reply;
  };
  ASSERT_NE(Attach(options), nullptr);
  for (std::uint64_t i = 1; i <= 200; ++i) {
    CallRegisters reply;
    CallPort* port = link_->port(i % 2);
    ASSERT_TRUE(port->Submit(kConduitHvc, &i, 1));
    ASSERT_EQ(port->Wait({}, reply), CallPort::Outcome::kReplied);
    EXPECT_EQ(reply.x[0], i + 1000 * (i % 2));
  }
  EXPECT_EQ(vteed_->calls(), 200);
}

TEST_F(VmLinkTest, SlotsCarryTheirFile) {
  ASSERT_NE(Attach(), nullptr);
  const UniqueFd file(memfd_create("ram", MFD_CLOEXEC));
  struct stat status {};
  ASSERT_EQ(fstat(file.get(), &status), 0);
  SlotBody slot{3, kSlotReadOnly, 0x40000000, 0x100000, 0x2000, 0};
  EXPECT_EQ(link_->SetSlot(slot, file.get()), VmLink::Answer::kDone);
  slot.slot = 4;
  EXPECT_EQ(link_->SetSlot(slot, -1), VmLink::Answer::kDone);
  EXPECT_EQ(link_->RemoveSlot(3), VmLink::Answer::kDone);
  EXPECT_EQ(link_->SendLife(LifeKind::kPaused), VmLink::Answer::kDone);
  ASSERT_TRUE(vteed_->WaitForEvents(4));
  const auto events = vteed_->events();
  EXPECT_EQ(events[0].message.slot.guest_phys, 0x40000000u);
  EXPECT_EQ(events[0].message.slot.file_offset, 0x2000u);
  EXPECT_EQ(events[0].inode, status.st_ino);
  EXPECT_EQ(events[1].inode, 0u);
  EXPECT_EQ(events[2].message.slot.slot, 3u);
  EXPECT_EQ(events[3].message.life.kind, LifeKind::kPaused);
}

TEST_F(VmLinkTest, RefusalIsNotDeath) {
  FakeVteed::Options options;
  options.ack_status = 22;
  ASSERT_NE(Attach(options), nullptr);
  EXPECT_EQ(link_->SetSlot(SlotBody{}, -1), VmLink::Answer::kRefused);
  EXPECT_FALSE(link_->health().dead());
}

TEST_F(VmLinkTest, WrongAckIsDeath) {
  FakeVteed::Options options;
  options.ack_type = ControlType::kHello;
  ASSERT_NE(Attach(options), nullptr);
  EXPECT_EQ(link_->SetSlot(SlotBody{}, -1), VmLink::Answer::kDead);
  EXPECT_EQ(link_->SendLife(LifeKind::kReset), VmLink::Answer::kDead);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("broke the protocol"));
}

TEST_F(VmLinkTest, DeadVteedIsNoticedByRequests) {
  ASSERT_NE(Attach(), nullptr);
  vteed_->Die();
  EXPECT_EQ(link_->SendLife(LifeKind::kReset), VmLink::Answer::kDead);
  EXPECT_EQ(link_->SetInterrupt(0), VmLink::Answer::kDead);
  EXPECT_EQ(said_.size(), 1u);
}

TEST_F(VmLinkTest, DestroyingTheLinkTellsVteed) {
  ASSERT_NE(Attach(), nullptr);
  link_.reset();
  EXPECT_TRUE(vteed_->WaitForClose());
  EXPECT_TRUE(said_.empty()) << said_[0];
}

TEST_F(VmLinkTest, RefusedAttachQuotesVteedSafely) {
  FakeVteed::Options options;
  options.status = 1;
  options.text = "no /dev/tee0;\x1b[31m load the driver\n";
  ASSERT_EQ(Attach(options), nullptr);
  EXPECT_STREQ(error_.bytes, "no /dev/tee0;?[31m load the driver?");
  options.text = std::string(400, 'A');  // not terminated
  ASSERT_EQ(Attach(options), nullptr);
  EXPECT_EQ(std::string(error_.bytes), std::string(sizeof(HelloReplyBody::text) - 1, 'A'));
  options.text.clear();
  ASSERT_EQ(Attach(options), nullptr);
  EXPECT_THAT(error_.bytes, HasSubstr("without a reason"));
}

TEST_F(VmLinkTest, BadHellosAreRefused) {
  FakeVteed::Options options;
  options.major = 2;
  ASSERT_EQ(Attach(options), nullptr);
  EXPECT_THAT(error_.bytes, HasSubstr("version 2"));
  options = {};
  options.range_count = 1000;
  ASSERT_EQ(Attach(options), nullptr);
  EXPECT_THAT(error_.bytes, HasSubstr("1000 ranges"));
  for (const std::uint32_t registers : {0u, 19u, 0xFFFFFFFFu}) {
    options = {};
    options.ranges[1].registers = registers;
    ASSERT_EQ(Attach(options), nullptr);
    EXPECT_THAT(error_.bytes, HasSubstr("registers of a call"));
  }
  options = {};
  options.reply_size = 40;
  ASSERT_EQ(Attach(options), nullptr);
  EXPECT_THAT(error_.bytes, HasSubstr("not a vteed"));
  options = {};
  options.answer_hello = false;
  ASSERT_EQ(Attach(options, 4, 50), nullptr);
  EXPECT_THAT(error_.bytes, HasSubstr("did not answer"));
  EXPECT_EQ(Attach({}, 0), nullptr);
  EXPECT_EQ(Attach({}, kMaxVcpus + 1), nullptr);
}

TEST_F(VmLinkTest, VteedThatEndsDuringAttach) {
  auto pair = MakeSocketPair();
  pair->second.Reset();
  EXPECT_EQ(VmLink::Attach(OwnFd(pair->first.Release()), 1, {}, 1'000, error_), nullptr);
  EXPECT_THAT(error_.bytes, HasSubstr("ended while the VM attached"));
}

TEST(ControlTest, PathsAreChecked) {
  Text error;
  EXPECT_FALSE(ConnectToPath("", error).valid());
  EXPECT_FALSE(ConnectToPath(std::string(200, 'x').c_str(), error).valid());
  EXPECT_THAT(error.bytes, HasSubstr("use a shorter one"));
  EXPECT_FALSE(ConnectToPath("/nonexistent/vteed.sock", error).valid());
  EXPECT_THAT(error.bytes, HasSubstr("vteed --socket-path"));
}

TEST(ControlTest, KnowsSeqpacketSockets) {
  auto pair = MakeSocketPair();
  EXPECT_TRUE(IsSeqpacketSocket(pair->first.get()));
  EXPECT_FALSE(IsSeqpacketSocket(-1));
  const UniqueFd file(memfd_create("x", MFD_CLOEXEC));
  EXPECT_FALSE(IsSeqpacketSocket(file.get()));
}

}  // namespace
}  // namespace vtee::vmm
