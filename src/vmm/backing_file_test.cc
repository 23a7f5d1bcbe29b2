// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/backing_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace vtee::vmm {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kPages = 64;
constexpr std::size_t kBytes = kPages * kPage;

ino_t Inode(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

class BackingFileTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(ftruncate(file_.get(), kBytes), 0);
    memory_ = Map(PROT_READ | PROT_WRITE, MAP_SHARED, file_.get());
  }
  void TearDown() override { munmap(memory_, kBytes); }
  static char* Map(int protection, int flags, int fd) {
    return static_cast<char*>(mmap(nullptr, kBytes, protection, flags, fd, 0));
  }
  static BackingFile Find(const char* memory, std::size_t size, bool writable = true) {
    return FindBackingFile(reinterpret_cast<std::uintptr_t>(memory), size, writable);
  }

  UniqueFd file_{memfd_create("ram", MFD_CLOEXEC)};
  char* memory_ = nullptr;
};

TEST_F(BackingFileTest, FindsWholeMemfd) {
  const BackingFile found = Find(memory_, kBytes);
  ASSERT_TRUE(found.fd.valid());
  EXPECT_EQ(Inode(found.fd.get()), Inode(file_.get()));
  EXPECT_NE(found.fd.get(), file_.get());
  EXPECT_EQ(found.file_offset, 0u);
}

TEST_F(BackingFileTest, FindsPartAndItsOffset) {
  const BackingFile found = Find(memory_ + 5 * kPage, 7 * kPage);
  ASSERT_TRUE(found.fd.valid());
  EXPECT_EQ(found.file_offset, 5 * kPage);
}

TEST_F(BackingFileTest, JoinsSplitMappings) {
  ASSERT_EQ(madvise(memory_ + 8 * kPage, 4 * kPage, MADV_DONTDUMP), 0);
  const BackingFile found = Find(memory_ + kPage, 40 * kPage);
  ASSERT_TRUE(found.fd.valid());
  EXPECT_EQ(found.file_offset, kPage);
}

TEST_F(BackingFileTest, WritableIsAskedOfEveryPart) {
  ASSERT_EQ(mprotect(memory_ + 8 * kPage, 4 * kPage, PROT_READ), 0);
  EXPECT_FALSE(Find(memory_, kBytes).fd.valid());
  EXPECT_TRUE(Find(memory_, kBytes, false).fd.valid());
}

TEST_F(BackingFileTest, RefusesHoles) {
  ASSERT_EQ(munmap(memory_ + 8 * kPage, kPage), 0);
  EXPECT_FALSE(Find(memory_, kBytes).fd.valid());
  EXPECT_FALSE(Find(memory_ + 8 * kPage, kPage).fd.valid());
  EXPECT_TRUE(Find(memory_ + 9 * kPage, kPage).fd.valid());
}

TEST_F(BackingFileTest, RefusesMixedFilesAndDisorder) {
  const UniqueFd other(memfd_create("other", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(other.get(), kBytes), 0);
  ASSERT_NE(mmap(memory_ + 8 * kPage, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                 other.get(), 8 * kPage),
            MAP_FAILED);
  EXPECT_FALSE(Find(memory_, kBytes).fd.valid());
  ASSERT_NE(mmap(memory_ + 8 * kPage, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                 file_.get(), 0),
            MAP_FAILED);
  EXPECT_FALSE(Find(memory_, kBytes).fd.valid()) << "right file, wrong place";
}

TEST_F(BackingFileTest, RefusesPrivateAndAnonymousMemory) {
  char* copy = Map(PROT_READ | PROT_WRITE, MAP_PRIVATE, file_.get());
  EXPECT_FALSE(Find(copy, kBytes).fd.valid());
  munmap(copy, kBytes);
  char* anonymous = Map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  EXPECT_FALSE(Find(anonymous, kBytes).fd.valid());
  munmap(anonymous, kBytes);
}

TEST_F(BackingFileTest, RefusesNonsense) {
  EXPECT_FALSE(Find(nullptr, kBytes).fd.valid());
  EXPECT_FALSE(Find(memory_, 0).fd.valid());
  EXPECT_FALSE(FindBackingFile(~std::uint64_t{0} - 100, 4096, true).fd.valid());
}

TEST_F(BackingFileTest, ClosedDescriptorIsFoundElsewhereOrNotAtAll) {
  const ino_t inode = Inode(file_.get());
  file_.Reset();
  const BackingFile found = Find(memory_, kBytes);  // needs a capability
  if (found.fd.valid()) {
    EXPECT_EQ(Inode(found.fd.get()), inode);
  }
}

TEST_F(BackingFileTest, ReadOnlyDescriptorIsReopenedForWriting) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", file_.get());
  UniqueFd read_only(open(path, O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(read_only);
  file_ = std::move(read_only);
  const BackingFile found = Find(memory_, kBytes);
  ASSERT_TRUE(found.fd.valid());
  EXPECT_EQ(fcntl(found.fd.get(), F_GETFL) & O_ACCMODE, O_RDWR);
}

}  // namespace
}  // namespace vtee::vmm
