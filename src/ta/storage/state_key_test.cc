// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_key.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/unique_fd.h"
#include "ta/storage/durable_file.h"
#include "ta/storage/test_store.h"

namespace vtee::ta {
namespace {

using testing::HasSubstr;

std::string RefusedRoot(const std::string& dir, const tee::Uuid& vm, ConstBytes key) {
  const auto root = StateKey::Open(dir, vm, key);
  return root.ok() ? "" : root.error().message;
}

TEST(StateKey, IsTheSameAgainAndDerivesByLabel) {
  const TestDir dir;
  const auto host = TestBytes(32, 1);
  auto made = StateKey::Open(dir / "vm", TestUuid(1), host);
  ASSERT_TRUE(made.ok()) << made.error().message;
  auto again = StateKey::Open(dir / "vm", TestUuid(1), host);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(made->Derive("storage"), again->Derive("storage"));
  EXPECT_NE(made->Derive("storage"), made->Derive("huk"));
  EXPECT_EQ(made->Derive("huk", 64).size(), 64U);
  struct stat status {};
  ASSERT_EQ(::stat((dir / "vm/root.sealed").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST(StateKey, RefusesAForeignRoot) {
  const TestDir dir;
  ASSERT_TRUE(StateKey::Open(dir / "vm", TestUuid(1), TestBytes(32, 1)).ok());
  EXPECT_THAT(RefusedRoot(dir / "vm", TestUuid(2), TestBytes(32, 1)), HasSubstr("belongs to"));
  EXPECT_THAT(RefusedRoot(dir / "vm", TestUuid(1), TestBytes(32, 2)), HasSubstr("another one"));
  EXPECT_THAT(RefusedRoot(dir / "vm", TestUuid(1), TestBytes(31, 1)), HasSubstr("32 bytes"));
}

TEST(StateKey, RefusesEveryChangedByteAndEveryShorterFile) {
  const TestDir dir;
  const auto host = TestBytes(32, 1);
  ASSERT_TRUE(StateKey::Open(dir / "vm", TestUuid(1), host).ok());
  const auto good = ReadSmallFile(dir / "vm/root.sealed");
  ASSERT_TRUE(good.ok() && good.value());
  for (std::size_t i = 0; i < good.value()->size(); ++i) {
    SecretBytes bad = *good.value();
    bad[i] ^= std::byte{0x10};
    ASSERT_TRUE(WriteDurably(dir / "vm/root.sealed", bad).ok());
    EXPECT_NE(RefusedRoot(dir / "vm", TestUuid(1), host), "") << i;
    ASSERT_TRUE(WriteDurably(dir / "vm/root.sealed", ConstBytes(*good.value()).first(i)).ok());
    EXPECT_NE(RefusedRoot(dir / "vm", TestUuid(1), host), "") << i;
  }
}

TEST(StateKey, MakesNoNewRootForOldObjects) {
  const TestDir dir;
  std::filesystem::create_directory(dir / "vm");
  std::ofstream(dir / "vm/objects.db") << "x";
  EXPECT_THAT(RefusedRoot(dir / "vm", TestUuid(1), TestBytes(32, 1)), HasSubstr("is missing"));
}

TEST(HostKey, IsMadeOnlyWhenAsked) {
  const TestDir dir;
  EXPECT_EQ(ReadHostKey(dir / "key", false).error().code, ErrorCode::kNotFound);
  const auto made = ReadHostKey(dir / "key", true);
  ASSERT_TRUE(made.ok()) << made.error().message;
  const auto again = ReadHostKey(dir / "key", true);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(made.value(), again.value());
  const UniqueFd fd(::open((dir / "key").c_str(), O_RDONLY | O_CLOEXEC));
  const auto from_fd = ReadHostKey(fd.get());
  ASSERT_TRUE(from_fd.ok());
  EXPECT_EQ(made.value(), from_fd.value());
  // Of those who share it, each reads all of it.
  EXPECT_EQ(made.value(), ReadHostKey(fd.get()).value());
}

TEST(HostKey, ComesThroughAPipe) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  const auto key = TestBytes(32, 4);
  ASSERT_EQ(::write(in.get(), key.data(), key.size()), 32);
  in.Reset();
  EXPECT_EQ(ReadHostKey(out.get()).value(), key);
  EXPECT_THAT(ReadHostKey(out.get()).error().message, HasSubstr("has 0 bytes"));
}

TEST(HostKey, IsTheSameForAllWhoMakeItAtATime) {
  const TestDir dir;
  std::vector<SecretBytes> keys(4);
  std::vector<std::thread> threads;
  for (SecretBytes& key : keys) {
    threads.emplace_back([&] {
      auto made = ReadHostKey(dir / "key", true);
      if (made.ok()) key = std::move(made).value();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const SecretBytes& key : keys) EXPECT_EQ(key, ReadHostKey(dir / "key", false).value());
}

TEST(HostKey, RefusesWrongSizesAndOpenModes) {
  const TestDir dir;
  ASSERT_TRUE(WriteDurably(dir / "short", TestBytes(31, 1)).ok());
  EXPECT_THAT(ReadHostKey(dir / "short", true).error().message, HasSubstr("31 bytes"));
  ASSERT_TRUE(WriteDurably(dir / "long", TestBytes(100000, 1)).ok());
  EXPECT_THAT(ReadHostKey(dir / "long", true).error().message, HasSubstr("too large"));
  ASSERT_TRUE(ReadHostKey(dir / "key", true).ok());
  ASSERT_EQ(::chmod((dir / "key").c_str(), 0644), 0);
  EXPECT_THAT(ReadHostKey(dir / "key", true).error().message, HasSubstr("chmod 600"));
}

}  // namespace
}  // namespace vtee::ta
