// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/call_message.h"

#include <gtest/gtest.h>

#include <cstring>

#include "backend/host/host_memory.h"
#include "backend/host/scattered_memfd.h"
#include "backend/host/test_tee_device.h"

namespace vtee::backend {
namespace {

using tee::Direction;
using tee::Param;

class CallMessageTest : public testing::Test {
 protected:
  void SetUp() override {
    auto guest = ScatteredMemfd::Make({1, 0}, 0, 8192);
    ASSERT_TRUE(guest.ok());
    guest_ = guest.value();
    guest_->set_mappable(false);
    registry_ = std::make_shared<MemoryRegistry>(device_, MemoryRegistry::Modes{});
    auto memory = registry_->Register(guest_);
    ASSERT_TRUE(memory.ok());
    memory_ = std::move(memory).value();
    id_ = static_cast<HostMemory&>(*memory_).shm_id();
  }
  Param Memory(Direction direction, std::uint64_t offset, std::uint64_t size) {
    Param param{.kind = Param::Kind::kMemory, .direction = direction};
    param.memory = memory_.get();
    param.offset = offset;
    param.size = size;
    return param;
  }

  std::shared_ptr<TestTeeDevice> device_ = std::make_shared<TestTeeDevice>();
  std::shared_ptr<ScatteredMemfd> guest_;
  std::shared_ptr<MemoryRegistry> registry_;
  std::unique_ptr<tee::RegisteredMemory> memory_;
  std::int32_t id_ = 0;
  std::array<tee_ioctl_param, 4> wire_{};
  ParamTranslation translation_;
};

TEST_F(CallMessageTest, EveryKindAndDirection) {
  struct Row {
    Param::Kind kind;
    Direction direction;
    std::uint64_t attr;
  };
  const Row rows[] = {
      {Param::Kind::kNone, Direction::kIn, 0},      {Param::Kind::kValue, Direction::kIn, 1},
      {Param::Kind::kValue, Direction::kOut, 2},    {Param::Kind::kValue, Direction::kInOut, 3},
      {Param::Kind::kMemory, Direction::kIn, 5},    {Param::Kind::kMemory, Direction::kOut, 6},
      {Param::Kind::kMemory, Direction::kInOut, 7},
  };
  for (const Row& row : rows) {
    tee::Params params{};
    if (row.kind == Param::Kind::kMemory) {
      params[2] = Memory(row.direction, 16, 32);
    } else {
      params[2] = Param{.kind = row.kind, .direction = row.direction, .a = 1, .b = 2, .c = 3};
    }
    wire_[0].attr = 0xFFFF;  // stale bytes must not survive
    ASSERT_TRUE(translation_.Encode(params, true, wire_.data()).ok());
    EXPECT_EQ(translation_.count(), row.kind == Param::Kind::kNone ? 0u : 3u);
    EXPECT_EQ(wire_[0].attr, 0u);
    EXPECT_EQ(wire_[2].attr, row.attr);
    if (row.kind == Param::Kind::kMemory) {
      EXPECT_EQ(wire_[2].a, 16u);
      EXPECT_EQ(wire_[2].b, 32u);
      EXPECT_EQ(wire_[2].c, static_cast<std::uint64_t>(id_));
    } else if (row.attr == 1 || row.attr == 3) {
      EXPECT_EQ(wire_[2].c, 3u);
    } else {
      EXPECT_EQ(wire_[2].a, 0u);  // outputs carry nothing in
    }
  }
}

TEST_F(CallMessageTest, NullMemref) {
  tee::Params params{};
  params[0] = Param{.kind = Param::Kind::kMemory, .direction = Direction::kOut};
  params[0].size = 64;
  params[0].offset = 5;
  ASSERT_TRUE(translation_.Encode(params, true, wire_.data()).ok());
  EXPECT_EQ(wire_[0].c, ~std::uint64_t{0});
  EXPECT_EQ(wire_[0].a, 0u);
  EXPECT_EQ(wire_[0].b, 64u);
  wire_[0].b = 100;
  EXPECT_TRUE(translation_.Decode(wire_.data(), params));
  EXPECT_EQ(params[0].size, 100u);

  const tee::Outcome refused = translation_.Encode(params, false, wire_.data());
  EXPECT_EQ(refused.code, tee::code::kBadParameters);
  EXPECT_EQ(refused.origin, tee::Origin::kComms);
}

TEST_F(CallMessageTest, RangesOutsideTheMemoryAreRefused) {
  struct Row {
    std::uint64_t offset;
    std::uint64_t size;
    bool fits;
  };
  const Row rows[] = {
      {0, 8192, true},
      {8192, 0, true},
      {8191, 1, true},
      {0, 8193, false},
      {8192, 1, false},
      {8193, 0, false},
      {1, 8192, false},
      {~std::uint64_t{0}, 1, false},
      {1, ~std::uint64_t{0}, false},
  };
  for (const Row& row : rows) {
    tee::Params params{};
    params[0] = Memory(Direction::kInOut, row.offset, row.size);
    EXPECT_EQ(translation_.Encode(params, true, wire_.data()).ok(), row.fits)
        << row.offset << "+" << row.size;
  }
}

TEST_F(CallMessageTest, OutputsComeBack) {
  tee::Params params{};
  params[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kInOut, .a = 1};
  params[1] = Param{.kind = Param::Kind::kValue, .direction = Direction::kIn, .a = 9};
  params[2] = Memory(Direction::kOut, 100, 50);
  params[3] = Memory(Direction::kIn, 0, 10);
  ASSERT_TRUE(translation_.Encode(params, true, wire_.data()).ok());
  wire_[0].a = 11;
  wire_[0].b = 12;
  wire_[0].c = 13;
  wire_[1].a = 77;  // inputs are not taken back
  wire_[2].b = 20;
  wire_[3].b = 99;
  std::memset(device_->Allocated(id_) + 100, 0x5A, 50);
  ASSERT_TRUE(translation_.Decode(wire_.data(), params));
  EXPECT_EQ(params[0].a, 11u);
  EXPECT_EQ(params[0].b, 12u);
  EXPECT_EQ(params[0].c, 13u);
  EXPECT_EQ(params[1].a, 9u);
  EXPECT_EQ(params[2].size, 20u);
  EXPECT_EQ(params[3].size, 10u);
  std::array<std::byte, 50> back{};
  ASSERT_TRUE(guest_->Read(100, back));
  EXPECT_EQ(back[19], std::byte{0x5A});
  EXPECT_EQ(back[20], std::byte{0});  // beyond the reported size
}

TEST_F(CallMessageTest, ShortBufferPassesThroughAndCopiesNoMoreThanOffered) {
  tee::Params params{};
  params[0] = Memory(Direction::kOut, 8000, 192);
  ASSERT_TRUE(translation_.Encode(params, true, wire_.data()).ok());
  wire_[0].b = ~std::uint64_t{0};
  std::memset(device_->Allocated(id_) + 8000, 0x33, 192);
  ASSERT_TRUE(translation_.Decode(wire_.data(), params));
  EXPECT_EQ(params[0].size, ~std::uint64_t{0});
  std::array<std::byte, 192> back{};
  ASSERT_TRUE(guest_->Read(8000, back));
  EXPECT_EQ(back[191], std::byte{0x33});
}

TEST_F(CallMessageTest, BytesTheTaDoesNotWriteStay) {
  const std::array<std::byte, 4> before{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  ASSERT_TRUE(guest_->Write(0, before));
  tee::Params params{};
  params[0] = Memory(Direction::kOut, 0, 4);
  ASSERT_TRUE(translation_.Encode(params, true, wire_.data()).ok());
  device_->Allocated(id_)[1] = 0xEE;
  ASSERT_TRUE(translation_.Decode(wire_.data(), params));
  std::array<std::byte, 4> after{};
  ASSERT_TRUE(guest_->Read(0, after));
  EXPECT_EQ(after[0], std::byte{1});
  EXPECT_EQ(after[1], std::byte{0xEE});
  EXPECT_EQ(after[3], std::byte{4});
}

TEST_F(CallMessageTest, VanishedAndRevokedMemory) {
  tee::Params params{};
  params[0] = Memory(Direction::kInOut, 0, 4);
  ASSERT_TRUE(translation_.Encode(params, true, wire_.data()).ok());
  guest_->set_vanished(true);
  EXPECT_FALSE(translation_.Decode(wire_.data(), params));
  EXPECT_EQ(translation_.Encode(params, true, wire_.data()).code, tee::code::kBadParameters);
  guest_->set_vanished(false);
  registry_->RevokeAll();
  EXPECT_EQ(translation_.Encode(params, true, wire_.data()).code, tee::code::kBadParameters);
}

}  // namespace
}  // namespace vtee::backend
