// SPDX-License-Identifier: BSD-3-Clause
// Each allocation of the host backend fails in turn: nothing of the TEE's may be lost by it.
#include <gtest/gtest.h>

#include "backend/host/host_backend.h"
#include "backend/host/scattered_memfd.h"
#include "backend/host/test_tee_device.h"
#include "base/memory.h"
#include "base/test_allocations.h"

namespace vtee::backend {
namespace {

// The kernel's side, which has memory of its own.
class KernelDevice final : public TeeDevice {
 public:
  int Ioctl(unsigned long request, void* argument) override {
    const AllocationsSucceed scope;
    return kernel.Ioctl(request, argument);
  }
  void* MapBuffer(int fd, std::size_t size) override {
    const AllocationsSucceed scope;
    return kernel.MapBuffer(fd, size);
  }
  void UnmapBuffer(void* address, std::size_t size) override { kernel.UnmapBuffer(address, size); }
  void Close(int fd) override { kernel.Close(fd); }

  TestTeeDevice kernel;
};

struct Mode {
  const char* name;
  bool always_copy;
  std::uint64_t copy_below;
  std::uint64_t bytes;
};
const Mode kModes[] = {{"Registered", false, 0, 5000},
                       {"Copied", true, 0, 5000},
                       {"SharedSlots", false, CopySlots::kSlotBytes, 5000},
                       {"RegisteredLate", false, CopySlots::kSlotBytes, 50'000}};

class HostAllocationTest : public ::testing::TestWithParam<Mode> {
 protected:
  void SetUp() override {
    device_ = std::make_shared<KernelDevice>();
    HostBackendOptions options;
    options.always_copy = GetParam().always_copy;
    options.copy_below = GetParam().copy_below;
    auto backend = HostBackend::WithDevice(device_, options);
    ASSERT_TRUE(backend.ok());
    backend_ = std::move(backend).value();
    auto guest =
        ScatteredMemfd::Make({12, 4, 9, 0, 2, 7, 5, 10, 3, 1, 8, 6, 11}, 0, GetParam().bytes);
    ASSERT_TRUE(guest.ok());
    guest_ = std::move(guest).value();
  }

  // What a call does, and what its end gives back.
  void Call() {
    auto memory = backend_->RegisterMemory(guest_);
    if (!memory.ok()) return;
    tee::CallContext context{.upcalls = nullptr, .operation = tee::OperationId(1)};
    tee::Params params{};
    params[0].kind = tee::Param::Kind::kMemory;
    params[0].direction = tee::Direction::kInOut;
    params[0].memory = memory.value().get();
    params[0].size = GetParam().bytes;
    tee::SessionId session;
    if (!backend_->OpenSession(context, {}, params, session).ok()) return;
    // In the dialect each of these is a call of its own.
    static_cast<void>(
        WithinMemory([&] { static_cast<void>(backend_->Invoke(context, session, 1, params)); }));
    static_cast<void>(backend_->CloseSession(context, session));
  }

  std::shared_ptr<KernelDevice> device_;
  std::unique_ptr<HostBackend> backend_;
  std::shared_ptr<ScatteredMemfd> guest_;
};

TEST_P(HostAllocationTest, NthFailsAndNothingLeaks) {
  std::uint64_t failures = 0;
  for (std::uint64_t nth = 1;; ++nth) {
    bool happened = false;
    {
      const FailNthAllocation fail(nth);
      static_cast<void>(WithinMemory([&] { Call(); }));
      happened = fail.happened();
    }
    EXPECT_EQ(device_->kernel.sessions(), 0u) << "after allocation " << nth;
    EXPECT_EQ(backend_->open_sessions(), 0u) << "after allocation " << nth;
    EXPECT_EQ(backend_->registered_memories(), 0u) << "after allocation " << nth;
    // At most the slots that calls share.
    EXPECT_LE(device_->kernel.descriptors(), GetParam().copy_below != 0 ? 1u : 0u);
    EXPECT_EQ(device_->kernel.mappings(), device_->kernel.descriptors());
    if (!happened) break;
    ++failures;
  }
  EXPECT_GE(failures, 3u);
  backend_.reset();
  EXPECT_EQ(device_->kernel.descriptors(), 0u);
  EXPECT_EQ(device_->kernel.mappings(), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, HostAllocationTest, ::testing::ValuesIn(kModes),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace vtee::backend
