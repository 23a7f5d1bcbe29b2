// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/tee_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "ta/container/test_signer.h"
#include "ta/loader/test_elf.h"
#include "ta/pta/device_pta.h"
#include "ta/pta/install_pta.h"
#include "ta/pta/socket_pta.h"
#include "ta/pta/system_pta.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

class Memory : public MemorySource {
 public:
  explicit Memory(std::size_t size) : bytes(size) {}
  bool Read(std::uint64_t offset, std::span<std::byte> out) const override {
    std::ranges::copy(std::span(bytes).subspan(offset, out.size()), out.begin());
    return true;
  }
  bool Write(std::uint64_t offset, std::span<const std::byte> in) const override {
    std::ranges::copy(in, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    return true;
  }
  mutable std::vector<std::byte> bytes;
};

// Everything up to the start of a process, which other tests do.
class Core : public ::testing::Test {
 protected:
  Core() {
    std::string name = testing::TempDir() + "vtee-tas-XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
    EXPECT_TRUE(options.sources.roots.AddPem(signer.PublicPem(), "test").ok());
    options.sources.folders = {folder};
  }
  ~Core() override { std::filesystem::remove_all(folder); }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  void AddTa(std::uint8_t last, std::uint32_t flags, const TestSigner& by) const {
    TestElf elf(Uuid(last));
    elf.Put(TestElf::kData + 20, flags);
    const FileBytes file = by.Bootstrap(Uuid(last), 1, elf.bytes);
    std::ofstream out(folder + "/" + tee::ToString(Uuid(last)) + ".ta", std::ios::binary);
    out.write(reinterpret_cast<const char*>(file.data()), static_cast<long>(file.size()));
  }
  static tee::Uuid Uuid(std::uint8_t last) {
    tee::Uuid uuid;
    uuid.octets[15] = last;
    return uuid;
  }
  std::unique_ptr<TeeCore> Make() const {
    return std::make_unique<TeeCore>(options, TeeState::InMemory(1u << 20));
  }
  tee::Outcome Open(TeeCore& core, const tee::Uuid& uuid, std::uint32_t& session) {
    EntryParams params{};
    return core.OpenSession(call, call.cancellation, nullptr, {}, uuid, params, session);
  }

  std::string folder;
  TestSigner signer;
  TeeOptions options;
  tee::CallContext context;
  Call call{context, {}, 0, nullptr};
};

TEST_F(Core, DevicesAreListedByTheirFlags) {
  AddTa(1, 0x200, signer);
  AddTa(2, 0x400, signer);
  AddTa(3, 0, signer);
  AddTa(4, 0x200, TestSigner(2048, 1));  // signed by nobody who is trusted
  std::ofstream(folder + "/garbage.ta") << "garbage";
  const auto core = Make();
  std::uint32_t session = 0;
  ASSERT_TRUE(Open(*core, kDevicePta, session).ok());
  for (const std::uint32_t command : {0u, 1u}) {
    EntryParams params{};
    params[0].kind = EntryParam::Kind::kMemory;
    params[0].direction = tee::Direction::kOut;
    EXPECT_EQ(core->Invoke(call, call.cancellation, nullptr, session, command, params).code,
              code::kShortBuffer);
    const std::uint64_t size = command == 0 ? 48 : 16;  // TEE's own: the clock, SCMI
    EXPECT_EQ(params[0].size, size);
    const Memory memory(64);
    params[0].memory = &memory;
    params[0].size = 64;
    EXPECT_TRUE(core->Invoke(call, call.cancellation, nullptr, session, command, params).ok());
    EXPECT_EQ(params[0].size, size);
    EXPECT_EQ(static_cast<std::uint8_t>(memory.bytes[15]), command + 1);
  }
  EntryParams none{};
  EXPECT_EQ(core->Invoke(call, call.cancellation, nullptr, session, 0, none).code,
            code::kBadParameters);
  EXPECT_TRUE(core->CloseSession(call, session).ok());
  EXPECT_EQ(core->CloseSession(call, session).code, code::kItemNotFound);
}

TEST_F(Core, InstalledTasAreFoundFirstAndOnlyGoodOnesAreInstalled) {
  const auto core = Make();
  std::uint32_t session = 0;
  ASSERT_TRUE(Open(*core, kInstallPta, session).ok());
  const FileBytes good = signer.Bootstrap(Uuid(5), 2, TestElf(Uuid(5)).bytes);
  const auto install = [&](const FileBytes& file) {
    Memory memory(0);
    memory.bytes = file;
    EntryParams params{};
    params[0].kind = EntryParam::Kind::kMemory;
    params[0].memory = &memory;
    params[0].size = file.size();
    return core->Invoke(call, call.cancellation, nullptr, session, 0, params).code;
  };
  EXPECT_EQ(Open(*core, Uuid(5), session).code, code::kItemNotFound);
  for (std::size_t at = 0; at < good.size(); at += 997) {
    FileBytes bad = good;
    bad[at] ^= std::byte{1};
    EXPECT_EQ(install(bad), code::kSecurity) << at;
  }
  EXPECT_EQ(install({}), code::kSecurity);
  EXPECT_EQ(install(signer.Legacy(good)), code::kSecurity);
  EXPECT_EQ(install(TestSigner(2048, 1).Bootstrap(Uuid(5), 2, good)), code::kSecurity);
  EXPECT_EQ(Open(*core, Uuid(5), session).code, code::kItemNotFound);
  EXPECT_EQ(install(good), code::kSuccess);
  EXPECT_TRUE(std::holds_alternative<std::vector<std::byte>>(core->files().Fetch(call, Uuid(5))));
  // An older one is refused from then on.
  EXPECT_EQ(install(signer.Bootstrap(Uuid(5), 1, TestElf(Uuid(5)).bytes)), code::kAccessConflict);
}

TEST_F(Core, PseudoTasForTasAreNotForTheGuest) {
  const auto core = Make();
  std::uint32_t session = 0;
  EXPECT_EQ(Open(*core, kSystemPta, session).code, code::kAccessDenied);
  EXPECT_EQ(Open(*core, kSocketPta, session).code, code::kAccessDenied);
  EXPECT_EQ(session, 0u);
}

TEST_F(Core, ATaThatIsNowhereIsNotFound) {
  const auto core = Make();
  std::uint32_t session = 0;
  EXPECT_EQ(Open(*core, Uuid(9), session).code, code::kItemNotFound);
}

TEST_F(Core, ATaOfAnUntrustedSignerIsASecurityError) {
  AddTa(4, 0, TestSigner(2048, 1));
  const auto core = Make();
  std::uint32_t session = 0;
  EXPECT_EQ(Open(*core, Uuid(4), session).code, code::kSecurity);
}

TEST_F(Core, AProcessThatDoesNotStartIsOutOfMemory) {
  AddTa(1, 0, signer);
  options.program.path = "/nonexistent/vtee-ta";
  const auto core = Make();
  std::uint32_t session = 0;
  EXPECT_EQ(Open(*core, Uuid(1), session).code, code::kOutOfMemory);
}

TEST_F(Core, OfAVmThatEndsStartsNothing) {
  AddTa(1, 0, signer);
  const auto core = Make();
  core->KillAll();
  std::uint32_t session = 0;
  EXPECT_EQ(Open(*core, Uuid(1), session).code, code::kTargetDead);
}

TEST_F(Core, SessionsThatAreNotAreBadParameters) {
  const auto core = Make();
  EntryParams params{};
  EXPECT_EQ(core->Invoke(call, call.cancellation, nullptr, 77, 0, params).code,
            code::kBadParameters);
}

TEST_F(Core, KeysAreOfTheVmAndTheirUse) {
  const auto one = Make();
  const auto two = Make();
  const SecretBytes data(16);
  const SecretBytes key = one->state().DeriveKey(TeeState::KeyUsage::kUniqueTa, data, 32);
  EXPECT_EQ(key, one->state().DeriveKey(TeeState::KeyUsage::kUniqueTa, data, 32));
  EXPECT_NE(key, one->state().DeriveKey(TeeState::KeyUsage::kTaEncryption, data, 32));
  EXPECT_NE(key, two->state().DeriveKey(TeeState::KeyUsage::kUniqueTa, data, 32));
}

TEST(Cancelling, ReachesAWaitUnlessItIsMasked) {
  using std::chrono::milliseconds;
  Cancellation cancellation;
  cancellation.Request();
  EXPECT_FALSE(cancellation.requested());
  EXPECT_TRUE(cancellation.WaitFor(milliseconds(1)));
  EXPECT_TRUE(cancellation.SetMask(false));
  EXPECT_TRUE(cancellation.requested());
  EXPECT_FALSE(cancellation.WaitFor(milliseconds(10'000)));
}

TEST(Cancelling, ComesWithTheDeadline) {
  using std::chrono::milliseconds;
  Cancellation cancellation;
  cancellation.SetMask(false);
  cancellation.set_deadline(Cancellation::Clock::now() + milliseconds(20));
  EXPECT_FALSE(cancellation.requested());
  EXPECT_FALSE(cancellation.WaitFor(milliseconds(10'000)));
}

TEST(ParamTypes, GoThereAndBack) {
  for (std::uint32_t types = 0; types < 0x10000; ++types) {
    EntryParams params{};
    bool known = true;
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t type = types >> (4 * i) & 0xF;
      known = known && type != 4 && type <= 7;
    }
    ASSERT_EQ(SetParamTypes(types, params), known) << std::hex << types;
    ASSERT_TRUE(!known || ParamTypes(params) == types);
  }
  EntryParams params{};
  EXPECT_FALSE(SetParamTypes(0x10000, params));
}

}  // namespace
}  // namespace vtee::ta
