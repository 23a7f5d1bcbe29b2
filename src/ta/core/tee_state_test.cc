// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/tee_state.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::uint64_t kRoom = 1u << 20;

tee::Uuid Uuid(std::uint8_t last) {
  tee::Uuid uuid;
  uuid.octets[15] = last;
  return uuid;
}

// A key that follows from the root of all.
SecretBytes KeyOf(const TeeState& state) {
  return state.DeriveKey(TeeState::KeyUsage::kUniqueTa, {}, 32);
}

class State : public ::testing::Test {
 protected:
  State() {
    std::string name = testing::TempDir() + "vtee-state-XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
  }
  ~State() override { std::filesystem::remove_all(folder); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Result<std::unique_ptr<TeeState>> Open(const std::string& name, std::uint8_t vm) {
    DiskStateOptions place;
    place.directory = folder + "/" + name;
    place.state_key = folder + "/key";
    place.vm = Uuid(vm);
    place.most_bytes = kRoom;
    return TeeState::OnDisk(place);
  }
  std::string folder;
};

TEST_F(State, OnADiskIsThereAgain) {
  SecretBytes key;
  tee::Uuid id;
  {
    auto state = Open("a", 1);
    ASSERT_TRUE(state.ok()) << state.error().message;
    key = KeyOf(**state);
    id = (*state)->device_id();
    EXPECT_EQ((*state)->Raise(VersionStore::Kind::kTa, Uuid(7), 5), 5u);
    EXPECT_EQ((*state)->Raise(VersionStore::Kind::kSubkey, Uuid(7), 2), 2u);
    EXPECT_EQ((*state)->SetTimeOffset(Uuid(7), -12), code::kSuccess);
    const auto store = (*state)->TakeStore();
    ObjectRecord record;
    record.usage = 3;
    EXPECT_EQ(store->Create({Uuid(7), {std::byte{1}}}, record, {}, false), code::kSuccess);
  }
  auto again = Open("a", 1);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(KeyOf(**again), key);
  EXPECT_EQ((*again)->device_id(), id);
  EXPECT_EQ((*again)->Raise(VersionStore::Kind::kTa, Uuid(7), 4), 5u);
  EXPECT_EQ((*again)->Raise(VersionStore::Kind::kSubkey, Uuid(7), 1), 2u);
  std::optional<std::int64_t> offset;
  EXPECT_EQ((*again)->GetTimeOffset(Uuid(7), offset), code::kSuccess);
  EXPECT_EQ(offset, -12);
  const auto store = (*again)->TakeStore();
  ObjectRecord record;
  EXPECT_EQ(store->Load({Uuid(7), {std::byte{1}}}, record), code::kSuccess);
  EXPECT_EQ(record.usage, 3u);
}

TEST_F(State, OfAnotherVmIsRefused) {
  ASSERT_TRUE(Open("a", 1).ok());
  const auto other = Open("a", 2);
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.error().message.find("belongs to the VM"), std::string::npos);
}

TEST_F(State, CannotBeUsedTwiceAtOnce) {
  const auto first = Open("a", 1);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(Open("a", 1).ok());
}

TEST_F(State, OfTwoVmsHasNothingInCommon) {
  auto one = Open("a", 1);
  auto two = Open("b", 2);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_NE(KeyOf(**one), KeyOf(**two));
  EXPECT_NE((*one)->device_id(), (*two)->device_id());
}

TEST_F(State, TheHostsKeyIsMadeForItsOwnerAlone) {
  ASSERT_TRUE(Open("a", 1).ok());
  struct stat info {};
  ASSERT_EQ(stat((folder + "/key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(info.st_size, 32);
}

TEST_F(State, WithoutTheHostsKeyIsRefused) {
  ASSERT_TRUE(Open("a", 1).ok());
  std::filesystem::remove(folder + "/key");
  const auto again = Open("a", 1);
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.error().message.find("host key"), std::string::npos);
}

TEST(StateInMemory, IsNewEachTime) {
  const auto one = TeeState::InMemory(kRoom);
  const auto two = TeeState::InMemory(kRoom);
  EXPECT_NE(KeyOf(*one), KeyOf(*two));
  EXPECT_EQ(one->Raise(VersionStore::Kind::kTa, Uuid(7), 5), 5u);
  EXPECT_EQ(one->Raise(VersionStore::Kind::kTa, Uuid(7), 4), 5u);
  EXPECT_EQ(two->Raise(VersionStore::Kind::kTa, Uuid(7), 4), 4u);
}

}  // namespace
}  // namespace vtee::ta
