// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/host_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "backend/host/scattered_memfd.h"
#include "backend/host/test_tee_device.h"

namespace vtee::backend {
namespace {

class HostMemoryTest : public testing::Test {
 protected:
  void Start(MemoryRegistry::Modes modes) {
    registry_ = std::make_shared<MemoryRegistry>(device_, modes);
  }
  // Four pages, shuffled, from the middle of the first: byte i holds i * 7.
  std::shared_ptr<ScatteredMemfd> Guest() {
    auto memory = ScatteredMemfd::Make({3, 0, 2, 5}, 100, kSize);
    EXPECT_TRUE(memory.ok());
    std::vector<std::byte> bytes(kSize);
    for (std::size_t i = 0; i < kSize; ++i) bytes[i] = Pattern(i);
    EXPECT_TRUE(memory.value()->Write(0, bytes));
    return memory.value();
  }
  static std::byte Pattern(std::size_t i) { return static_cast<std::byte>(i * 7 + i / 4096); }
  const HostMemory& Host(const Result<std::unique_ptr<tee::RegisteredMemory>>& memory) {
    return static_cast<const HostMemory&>(*memory.value());
  }

  static constexpr std::uint64_t kSize = 3 * 4096 + 17;
  std::shared_ptr<TestTeeDevice> device_ = std::make_shared<TestTeeDevice>();
  std::shared_ptr<MemoryRegistry> registry_;
};

TEST_F(HostMemoryTest, ZeroCopyRegistersTheScatteredPagesInOrder) {
  Start({});
  {
    auto memory = registry_->Register(Guest());
    ASSERT_TRUE(memory.ok());
    EXPECT_EQ(memory.value()->size(), kSize);
    EXPECT_FALSE(Host(memory).copies());
    const auto& seen = device_->Registered(Host(memory).shm_id());
    ASSERT_EQ(seen.size(), kSize);
    for (std::size_t i = 0; i < kSize; ++i) {
      ASSERT_EQ(static_cast<std::byte>(seen[i]), Pattern(i)) << i;
    }
    EXPECT_EQ(device_->registered[0].addr % static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)),
              100u);
    EXPECT_EQ(registry_->count(), 1u);
  }
  EXPECT_EQ(registry_->count(), 0u);
  EXPECT_EQ(device_->descriptors(), 0u);
}

TEST_F(HostMemoryTest, CopiesWhenItCannotBeMapped) {
  Start({});
  auto guest = Guest();
  guest->set_mappable(false);
  {
    auto memory = registry_->Register(guest);
    ASSERT_TRUE(memory.ok());
    ASSERT_TRUE(Host(memory).copies());
    std::uint8_t* tee_side = device_->Allocated(Host(memory).shm_id());
    ASSERT_TRUE(Host(memory).CopyIn({}, 4000, 200));
    for (std::size_t i = 4000; i < 4200; ++i) {
      ASSERT_EQ(static_cast<std::byte>(tee_side[i]), Pattern(i)) << i;
    }
    EXPECT_EQ(tee_side[3999], 0);  // only the range
    EXPECT_EQ(tee_side[4200], 0);
    std::memset(tee_side + 4000, 0xAA, 200);
    ASSERT_TRUE(Host(memory).CopyOut({}, 4010, 20));
    std::array<std::byte, 22> back{};
    ASSERT_TRUE(guest->Read(4009, back));
    EXPECT_EQ(back[0], Pattern(4009));
    EXPECT_EQ(back[1], std::byte{0xAA});
    EXPECT_EQ(back[20], std::byte{0xAA});
    EXPECT_EQ(back[21], Pattern(4030));
  }
  EXPECT_EQ(device_->descriptors(), 0u);
  EXPECT_EQ(device_->mappings(), 0u);
}

TEST_F(HostMemoryTest, CopiesWhenThePagesCannotBePinned) {
  for (const int err : {EFAULT, EINVAL, EOPNOTSUPP, kKernelNotSupported}) {
    Start({});
    device_->Fail(TEE_IOC_SHM_REGISTER, err);
    auto memory = registry_->Register(Guest());
    ASSERT_TRUE(memory.ok()) << err;
    EXPECT_TRUE(Host(memory).copies()) << err;
  }
}

TEST_F(HostMemoryTest, CopiesWhenAskedToOrWhenTheTeeCannotRegister) {
  for (const MemoryRegistry::Modes modes :
       {MemoryRegistry::Modes{false, true}, MemoryRegistry::Modes{true, false}}) {
    Start(modes);
    auto memory = registry_->Register(Guest());
    ASSERT_TRUE(memory.ok());
    EXPECT_TRUE(Host(memory).copies());
  }
  EXPECT_EQ(device_->Count(TEE_IOC_SHM_REGISTER), 0);
}

TEST_F(HostMemoryTest, OtherRegisterErrorsAreErrors) {
  struct Row {
    int err;
    ErrorCode code;
  };
  for (const Row& row : {Row{ENOMEM, ErrorCode::kResourceExhausted},
                         Row{EACCES, ErrorCode::kPermissionDenied}, Row{EIO, ErrorCode::kSystem}}) {
    Start({});
    device_->Fail(TEE_IOC_SHM_REGISTER, row.err);
    auto memory = registry_->Register(Guest());
    ASSERT_FALSE(memory.ok()) << row.err;
    EXPECT_EQ(memory.error().code, row.code);
  }
  EXPECT_EQ(device_->Count(TEE_IOC_SHM_ALLOC), 0);
  EXPECT_EQ(device_->descriptors(), 0u);
}

TEST_F(HostMemoryTest, InterruptedRegistrationIsRepeated) {
  Start({});
  device_->Fail(TEE_IOC_SHM_REGISTER, EINTR, 0, 3);
  EXPECT_TRUE(registry_->Register(Guest()).ok());
  EXPECT_EQ(device_->Count(TEE_IOC_SHM_REGISTER), 4);
}

TEST_F(HostMemoryTest, LargeCopyBufferFallsBackToOwnMemory) {
  Start({.zero_copy = false});
  device_->Fail(TEE_IOC_SHM_ALLOC, ENOMEM);
  auto guest = Guest();
  {
    auto memory = registry_->Register(guest);
    ASSERT_TRUE(memory.ok());
    ASSERT_TRUE(Host(memory).copies());
    ASSERT_EQ(device_->registered.size(), 1u);
    ASSERT_TRUE(Host(memory).CopyIn({}, 0, kSize));
    const auto* bounce = reinterpret_cast<const std::byte*>(device_->registered[0].addr);
    EXPECT_EQ(bounce[kSize - 1], Pattern(kSize - 1));
    EXPECT_EQ(device_->mappings(), 1u);
  }
  EXPECT_EQ(device_->descriptors(), 0u);
  EXPECT_EQ(device_->mappings(), 0u);
}

TEST_F(HostMemoryTest, NothingLeaksWhenCopyBuffersFail) {
  Start({.zero_copy = false, .register_supported = false});
  device_->Fail(TEE_IOC_SHM_ALLOC, ENOMEM);
  auto exhausted = registry_->Register(Guest());
  ASSERT_FALSE(exhausted.ok());
  EXPECT_EQ(exhausted.error().code, ErrorCode::kResourceExhausted);

  device_->set_fail_map(true);
  auto unmapped = registry_->Register(Guest());
  ASSERT_FALSE(unmapped.ok());
  EXPECT_EQ(unmapped.error().code, ErrorCode::kResourceExhausted);
  device_->set_fail_map(false);

  Start({.zero_copy = false});
  device_->Fail(TEE_IOC_SHM_ALLOC, ENOMEM);
  device_->Fail(TEE_IOC_SHM_REGISTER, EIO);
  EXPECT_FALSE(registry_->Register(Guest()).ok());

  EXPECT_EQ(device_->descriptors(), 0u);
  EXPECT_EQ(device_->mappings(), 0u);
}

TEST_F(HostMemoryTest, EmptyMemoryIsRefused) {
  Start({});
  EXPECT_FALSE(registry_->Register(nullptr).ok());
  auto empty = ScatteredMemfd::Make({0}, 0, 0);
  ASSERT_TRUE(empty.ok());
  EXPECT_FALSE(registry_->Register(empty.value()).ok());
}

TEST_F(HostMemoryTest, VanishedGuestMemoryIsReported) {
  Start({.zero_copy = false});
  auto guest = Guest();
  auto memory = registry_->Register(guest);
  ASSERT_TRUE(memory.ok());
  guest->set_vanished(true);
  EXPECT_FALSE(Host(memory).CopyIn({}, 0, 1));
  EXPECT_FALSE(Host(memory).CopyOut({}, 0, 1));
  EXPECT_TRUE(Host(memory).CopyIn({}, 0, 0));
}

TEST_F(HostMemoryTest, RevokedMemoryIsInertAndOutlivesTheRegistry) {
  Start({.zero_copy = false});
  auto memory = registry_->Register(Guest());
  ASSERT_TRUE(memory.ok());
  registry_->RevokeAll();
  EXPECT_FALSE(Host(memory).valid());
  EXPECT_EQ(registry_->count(), 0u);
  EXPECT_EQ(device_->descriptors(), 0u);
  EXPECT_EQ(device_->mappings(), 0u);
  registry_.reset();
}

// ---- small references of new buffers ----------------------------------------------------------

class SmallCopyTest : public HostMemoryTest {
 protected:
  static constexpr std::uint64_t kLimit = CopySlots::kSlotBytes;
  void SetUp() override {
    Start({.copy_below = kLimit});
    guest_ = Guest();
    memory_ = std::move(registry_->Register(guest_)).value();
  }
  const HostMemory& memory() const { return static_cast<const HostMemory&>(*memory_); }

  std::shared_ptr<ScatteredMemfd> guest_;
  std::unique_ptr<tee::RegisteredMemory> memory_;
  Placement place_;
};

TEST_F(SmallCopyTest, ABufferThatNoCallUsesCostsNothing) {
  EXPECT_TRUE(memory().valid());
  memory_.reset();
  EXPECT_EQ(device_->Count(TEE_IOC_SHM_REGISTER) + device_->Count(TEE_IOC_SHM_ALLOC), 0);
  EXPECT_EQ(registry_->count(), 0u);
}

TEST_F(SmallCopyTest, ASmallReferenceTravelsThroughASharedSlot) {
  CopySlots slots;
  ASSERT_EQ(memory().Place(4000, 200, 2, slots, place_), tee::code::kSuccess);
  ASSERT_NE(place_.copy, nullptr);
  EXPECT_EQ(place_.offset, 2 * kLimit);
  std::uint8_t* tee_side = device_->Allocated(place_.shm_id) + place_.offset;
  ASSERT_TRUE(memory().CopyIn(place_, 4000, 200));
  EXPECT_EQ(static_cast<std::byte>(tee_side[0]), Pattern(4000));
  EXPECT_EQ(static_cast<std::byte>(tee_side[199]), Pattern(4199));
  EXPECT_EQ(tee_side[200], 0);
  tee_side[0] = 0xAA;
  tee_side[1] = 0xAA;
  ASSERT_TRUE(memory().CopyOut(place_, 4000, 1));
  std::array<std::byte, 2> back{};
  ASSERT_TRUE(guest_->Read(4000, back));
  EXPECT_EQ(back[0], std::byte{0xAA});
  EXPECT_EQ(back[1], Pattern(4001));
  EXPECT_EQ(device_->Count(TEE_IOC_SHM_REGISTER), 0);
}

TEST_F(SmallCopyTest, SlotsAreWipedAndUsedAgain) {
  std::int32_t id = -1;
  for (int call = 0; call < 3; ++call) {
    CopySlots slots;
    ASSERT_EQ(memory().Place(0, 100, 0, slots, place_), tee::code::kSuccess);
    ASSERT_EQ(memory().Place(200, 300, 3, slots, place_), tee::code::kSuccess);
    ASSERT_TRUE(memory().CopyIn(place_, 200, 300));
    if (call > 0) {
      EXPECT_EQ(place_.shm_id, id);
    }
    id = place_.shm_id;
  }
  for (std::size_t i = 0; i < tee::kMaxParams * kLimit; ++i) {
    ASSERT_EQ(device_->Allocated(id)[i], 0) << i;
  }
  EXPECT_EQ(device_->Count(TEE_IOC_SHM_ALLOC), 1);
}

TEST_F(SmallCopyTest, CallsSideBySideHaveTheirOwnSlots) {
  CopySlots first;
  CopySlots second;
  Placement other;
  ASSERT_EQ(memory().Place(0, 16, 0, first, place_), tee::code::kSuccess);
  ASSERT_EQ(memory().Place(0, 16, 0, second, other), tee::code::kSuccess);
  EXPECT_NE(place_.shm_id, other.shm_id);
}

TEST_F(SmallCopyTest, ABufferInUseIsSharedFromTheNinthTimeOn) {
  for (std::uint32_t use = 0; use < HostMemory::kCopiesBeforeSharing; ++use) {
    CopySlots slots;
    ASSERT_EQ(memory().Place(8, 16, 0, slots, place_), tee::code::kSuccess);
    EXPECT_NE(place_.copy, nullptr);
  }
  for (int use = 0; use < 2; ++use) {
    CopySlots slots;
    ASSERT_EQ(memory().Place(8, 16, 0, slots, place_), tee::code::kSuccess);
    EXPECT_EQ(place_.copy, nullptr);
    EXPECT_EQ(place_.offset, 8u);
    EXPECT_TRUE(memory().CopyIn(place_, 8, 16));
  }
  EXPECT_EQ(device_->Count(TEE_IOC_SHM_REGISTER), 1);
  EXPECT_EQ(device_->Registered(place_.shm_id).size(), kSize);
}

TEST_F(SmallCopyTest, ALargeReferenceIsSharedAtOnceAndThenAllAre) {
  Start({.copy_below = 100});
  auto memory = registry_->Register(guest_);
  ASSERT_TRUE(memory.ok());
  for (const std::uint64_t size : {100u, 99u}) {
    CopySlots slots;
    ASSERT_EQ(Host(memory).Place(0, size, 0, slots, place_), tee::code::kSuccess);
    EXPECT_EQ(place_.copy, nullptr) << size;
  }
}

TEST_F(SmallCopyTest, WithoutMemoryForSlotsItIsShared) {
  device_->Fail(TEE_IOC_SHM_ALLOC, ENOMEM);
  CopySlots slots;
  ASSERT_EQ(memory().Place(0, 16, 0, slots, place_), tee::code::kSuccess);
  EXPECT_EQ(place_.copy, nullptr);
  EXPECT_EQ(device_->Count(TEE_IOC_SHM_REGISTER), 1);
}

TEST_F(SmallCopyTest, WithoutAnyMemoryTheCallIsRefused) {
  device_->Fail(TEE_IOC_SHM_ALLOC, ENOMEM);
  device_->Fail(TEE_IOC_SHM_REGISTER, ENOMEM);
  CopySlots slots;
  EXPECT_EQ(memory().Place(0, 16, 0, slots, place_), tee::code::kOutOfMemory);
  // And the next one may have it.
  EXPECT_EQ(memory().Place(0, 16, 0, slots, place_), tee::code::kSuccess);
}

TEST_F(SmallCopyTest, RevokedMemoryMakesNothingAnyMore) {
  {
    CopySlots slots;
    ASSERT_EQ(memory().Place(0, 16, 0, slots, place_), tee::code::kSuccess);
  }
  registry_->RevokeAll();
  EXPECT_FALSE(memory().valid());
  EXPECT_EQ(device_->descriptors(), 0u);
  CopySlots slots;
  EXPECT_NE(memory().Place(0, kLimit, 0, slots, place_), tee::code::kSuccess);
  EXPECT_EQ(device_->descriptors(), 0u);
  EXPECT_EQ(device_->mappings(), 0u);
}

TEST_F(SmallCopyTest, NothingIsLeftWhenTheRegistryGoes) {
  {
    CopySlots slots;
    ASSERT_EQ(memory().Place(0, 16, 0, slots, place_), tee::code::kSuccess);
    memory_.reset();
    registry_.reset();
    EXPECT_EQ(device_->descriptors(), 1u) << "a call still uses it";
  }
  EXPECT_EQ(device_->descriptors(), 0u);
  EXPECT_EQ(device_->mappings(), 0u);
}

}  // namespace
}  // namespace vtee::backend
