// SPDX-License-Identifier: BSD-3-Clause
// Tests of src/base but for the log (log_test.cc).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/adaptive_spin.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/file_bytes.h"
#include "base/futex.h"
#include "base/result.h"
#include "base/socket.h"
#include "base/strong_id.h"
#include "base/unique_fd.h"

namespace vtee {
namespace {

// ---- result --------------------------------------------------------------------------------

Status FailingStatus() { return Error{ErrorCode::kProtocol, "no"}; }
Result<int> FailingResult() { return Error{ErrorCode::kNotFound, "nothing"}; }
Result<std::unique_ptr<int>> Seven() { return std::make_unique<int>(7); }

Status TryBoth(bool fail) {
  if (fail) VTEE_TRY(FailingStatus());
  VTEE_ASSIGN_OR_RETURN(const std::unique_ptr<int> seven, Seven());
  VTEE_ASSIGN_OR_RETURN(const std::unique_ptr<int> again, Seven());
  if (*seven != 7 || *again != 7) return Error{ErrorCode::kSystem, "not seven"};
  VTEE_ASSIGN_OR_RETURN(const int never, FailingResult());
  return Error{ErrorCode::kSystem, std::to_string(never)};
}

TEST(StatusTest, DefaultIsOk) {
  const Status status;
  EXPECT_TRUE(status.ok());
}

TEST(StatusTest, CarriesItsError) {
  const Status status = FailingStatus();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kProtocol);
  EXPECT_EQ(status.error().message, "no");
}

TEST(StatusTest, MovesKeepExactlyOneError) {
  Status status = FailingStatus();
  Status other = std::move(status);
  EXPECT_FALSE(other.ok());
  other = Status();
  EXPECT_TRUE(other.ok());
  other = FailingStatus();
  Status& alias = other;
  other = std::move(alias);
  EXPECT_FALSE(other.ok());
}

TEST(ResultTest, HoldsValueOrError) {
  Result<std::unique_ptr<int>> value = Seven();
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(**value, 7);
  const std::unique_ptr<int> taken = std::move(value).value();
  EXPECT_EQ(*taken, 7);
  const Result<int> error = FailingResult();
  ASSERT_FALSE(error.ok());
  EXPECT_EQ(error.error().message, "nothing");
}

TEST(ResultTest, ValueMayHaveTheTypeOfAnError) {
  const Result<std::string> value = std::string("text");
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, "text");
  EXPECT_EQ(value->size(), 4u);
}

TEST(ResultTest, MacrosReturnTheFirstError) {
  EXPECT_EQ(TryBoth(true).error().code, ErrorCode::kProtocol);
  EXPECT_EQ(TryBoth(false).error().code, ErrorCode::kNotFound);
}

TEST(ResultTest, ErrnoErrorsHaveClassAndText) {
  const struct {
    int number;
    ErrorCode code;
  } cases[] = {{EACCES, ErrorCode::kPermissionDenied},
               {EPERM, ErrorCode::kPermissionDenied},
               {ENOENT, ErrorCode::kNotFound},
               {ENXIO, ErrorCode::kNotFound},
               {ENOMEM, ErrorCode::kResourceExhausted},
               {EMFILE, ErrorCode::kResourceExhausted},
               {EIO, ErrorCode::kSystem}};
  for (const auto& test : cases) {
    const Error error = ErrnoError(test.number, "open x");
    EXPECT_EQ(error.code, test.code) << test.number;
    EXPECT_EQ(error.message, std::string("open x: ") + std::strerror(test.number));
  }
}

// ---- checked -------------------------------------------------------------------------------

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

TEST(CheckedTest, AddSubMul) {
  EXPECT_EQ(CheckedAdd<std::uint64_t>(kMax - 1, 1), kMax);
  EXPECT_EQ(CheckedAdd<std::uint64_t>(kMax, 1), std::nullopt);
  EXPECT_EQ(CheckedAdd<std::uint32_t>(0xffffffffu, 1u), std::nullopt);
  EXPECT_EQ(CheckedAdd<std::uint16_t>(0xffff, 1), std::nullopt);  // no promotion to int
  EXPECT_EQ(CheckedSub<std::uint64_t>(1, 1), 0u);
  EXPECT_EQ(CheckedSub<std::uint64_t>(1, 2), std::nullopt);
  EXPECT_EQ(CheckedMul<std::uint64_t>(std::uint64_t{1} << 32, (std::uint64_t{1} << 32) - 1),
            ((std::uint64_t{1} << 32) - 1) << 32);
  EXPECT_EQ(CheckedMul<std::uint64_t>(std::uint64_t{1} << 32, std::uint64_t{1} << 32),
            std::nullopt);
}

TEST(CheckedTest, RoundUp) {
  EXPECT_EQ(CheckedRoundUp<std::uint64_t>(0, 4096), 0u);
  EXPECT_EQ(CheckedRoundUp<std::uint64_t>(1, 4096), 4096u);
  EXPECT_EQ(CheckedRoundUp<std::uint64_t>(4096, 4096), 4096u);
  EXPECT_EQ(CheckedRoundUp<std::uint64_t>(kMax - 4095, 4096), kMax - 4095);
  EXPECT_EQ(CheckedRoundUp<std::uint64_t>(kMax - 4094, 4096), std::nullopt);
}

TEST(CheckedTest, RangeInside) {
  EXPECT_TRUE(RangeInside(0, 0, 0));
  EXPECT_TRUE(RangeInside(10, 0, 10));
  EXPECT_TRUE(RangeInside(0, 10, 10));
  EXPECT_TRUE(RangeInside(4, 6, 10));
  EXPECT_FALSE(RangeInside(4, 7, 10));
  EXPECT_FALSE(RangeInside(11, 0, 10));
  EXPECT_FALSE(RangeInside(1, kMax, 10));
  EXPECT_FALSE(RangeInside(kMax, 1, kMax));
  EXPECT_TRUE(RangeInside(0, kMax, kMax));
}

// ---- strong id, clock, futex ---------------------------------------------------------------

TEST(StrongIdTest, ComparesAndHashesAsItsNumber) {
  using Id = StrongId<struct TestTag, std::uint32_t>;
  static_assert(!std::is_convertible_v<std::uint32_t, Id>);
  static_assert(!std::is_convertible_v<Id, std::uint32_t>);
  EXPECT_LT(Id(1), Id(2));
  EXPECT_EQ(Id(), Id(0));
  const std::unordered_set<Id> ids = {Id(1), Id(2), Id(1)};
  EXPECT_EQ(ids.size(), 2u);
}

TEST(ClockTest, NeverGoesBack) {
  const std::uint64_t before = MonotonicNanos();
  CpuRelax();
  EXPECT_GE(MonotonicNanos(), before);
}

TEST(FutexTest, ChangedTimedOutAndWoken) {
  std::atomic<std::uint32_t> word{1};
  EXPECT_EQ(FutexWaitShared(word, 2, 1'000'000'000), FutexResult::kChanged);
  EXPECT_EQ(FutexWaitShared(word, 1, 1'000'000), FutexResult::kTimedOut);
  std::thread waker([&] {
    word.store(2);
    FutexWakeShared(word, 1);
  });
  while (word.load() == 1) FutexWaitShared(word, 1, 1'000'000'000);
  waker.join();
  EXPECT_EQ(word.load(), 2u);
}

// ---- unique fd -----------------------------------------------------------------------------

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }
UniqueFd Null() { return UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)); }

TEST(UniqueFdTest, ClosesWhatItOwnsOnce) {
  int number = -1;
  {
    UniqueFd fd = Null();
    ASSERT_TRUE(fd);
    number = fd.get();
    UniqueFd moved = std::move(fd);
    EXPECT_FALSE(fd);  // NOLINT: a moved-from UniqueFd is none
    EXPECT_TRUE(IsOpen(number));
    UniqueFd other = Null();
    const int replaced = other.get();
    other = std::move(moved);
    EXPECT_FALSE(IsOpen(replaced));
    UniqueFd& alias = other;
    other = std::move(alias);
    EXPECT_EQ(other.get(), number);
    EXPECT_TRUE(IsOpen(number));
  }
  EXPECT_FALSE(IsOpen(number));
}

TEST(UniqueFdTest, ReleaseAndReset) {
  UniqueFd fd = Null();
  const int number = fd.Release();
  EXPECT_FALSE(fd.valid());
  EXPECT_TRUE(IsOpen(number));
  fd.Reset(number);
  fd.Reset();
  EXPECT_FALSE(IsOpen(number));
}

// ---- socket --------------------------------------------------------------------------------

std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string Text(const Packet& packet) {
  return {reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size()};
}

// ---- spinning ---------------------------------------------------------------------------------

TEST(AdaptiveSpinTest, LearnsFromHowLongWaitsAre) {
  AdaptiveSpin spin(1'000'000);
  EXPECT_EQ(spin.budget_ns(), 50'000u);
  spin.Waited(300'000);
  EXPECT_EQ(spin.budget_ns(), 600'000u) << "up at once";
  spin.Waited(900'000);
  EXPECT_EQ(spin.budget_ns(), 1'000'000u) << "within its limit";
  spin.Waited(1'000);
  EXPECT_EQ(spin.budget_ns(), 875'000u) << "down slowly";
  for (int i = 0; i < 20; ++i) spin.Waited(5'000'000);
  EXPECT_EQ(spin.budget_ns(), 5'000u) << "long waits are slept through";
  spin.Waited(200'000);
  EXPECT_EQ(spin.budget_ns(), 400'000u);
}

TEST(AdaptiveSpinTest, WithoutALimitItNeverSpins) {
  AdaptiveSpin spin(0);
  for (const std::uint64_t waited : {0u, 1u, 100u, 1'000'000u}) {
    spin.Waited(waited);
    EXPECT_EQ(spin.budget_ns(), 0u);
  }
}

TEST(SpinLimitTest, GrantsAsManyTurnsAsThereMayBe) {
  SpinLimit limit(2);
  const SpinLimit::Turn first(limit);
  EXPECT_TRUE(first.granted());
  {
    const SpinLimit::Turn second(limit);
    EXPECT_TRUE(second.granted());
    const SpinLimit::Turn third(limit);
    EXPECT_FALSE(third.granted());
  }
  const SpinLimit::Turn again(limit);
  EXPECT_TRUE(again.granted()) << "turns come back";
  limit.set_limit(3);
  const SpinLimit::Turn more(limit);
  EXPECT_TRUE(more.granted());
}

TEST(AdaptiveSpinTest, SpinsUntilDoneOrTheDeadline) {
  int asked = 0;
  EXPECT_TRUE(SpinUntil(MonotonicNanos() + 5'000'000'000, [&] { return ++asked == 1000; }));
  EXPECT_EQ(asked, 1000);
  const std::uint64_t deadline = MonotonicNanos() + 1'000'000;
  EXPECT_FALSE(SpinUntil(deadline, [] { return false; }));
  EXPECT_GE(MonotonicNanos(), deadline);
  EXPECT_TRUE(SpinUntil(0, [] { return true; })) << "looks at least once";
}

// A pipe holds 64 KiB, so that reads and writes of more come in pieces.
TEST(FileBytesTest, PiecesAreJoinedUntilTheEnd) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  std::vector<std::byte> sent(300'000, std::byte{7});
  bool written = false;
  std::thread sender([&] {
    written = WriteFully(writer.get(), sent);
    writer = UniqueFd();
  });
  std::vector<std::byte> got(250'000);
  EXPECT_EQ(ReadFully(reader.get(), got), 250'000u);
  EXPECT_TRUE(std::equal(got.begin(), got.end(), sent.begin()));
  EXPECT_EQ(ReadFully(reader.get(), got), 50'000u) << "the file ends before the room does";
  sender.join();
  EXPECT_TRUE(written);
  EXPECT_EQ(ReadFully(reader.get(), got), 0u);
}

TEST(FileBytesTest, FailuresLeaveErrno) {
  std::array<std::byte, 1> bytes{};
  EXPECT_EQ(ReadFully(-1, bytes), std::nullopt);
  EXPECT_EQ(errno, EBADF);
  EXPECT_FALSE(WriteFully(-1, bytes));
  EXPECT_EQ(errno, EBADF);
}

class SocketTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = MakeSocketPair();
    ASSERT_TRUE(pair.ok());
    pair_ = std::move(pair).value();
    char name[] = "/tmp/vtee-base-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    unlink(Path().c_str());
    rmdir(folder_.c_str());
  }
  std::string Path() const { return folder_ + "/socket"; }

  // Sends past SendPacket's own checks.
  void SendRaw(std::size_t size, std::size_t fd_count) const {
    std::vector<std::byte> bytes(size);
    iovec data{bytes.data(), bytes.size()};
    std::vector<char> control(CMSG_SPACE(sizeof(int) * fd_count));
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    const std::vector<int> fds(fd_count, pair_.first.get());
    if (fd_count > 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
      std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fd_count);
    }
    ASSERT_EQ(sendmsg(pair_.first.get(), &message, 0), static_cast<ssize_t>(size));
  }

  SocketPair pair_;
  std::string folder_;
};

int OpenDescriptors() {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) count += IsOpen(fd) ? 1 : 0;
  return count;
}

TEST_F(SocketTest, PacketsKeepTheirBoundaries) {
  ASSERT_TRUE(SendPacket(pair_.first.get(), Bytes("one")).ok());
  ASSERT_TRUE(SendPacket(pair_.first.get(), Bytes("second")).ok());
  Result<Packet> packet = ReceivePacket(pair_.second.get(), 64);
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(Text(*packet), "one");
  EXPECT_TRUE(packet->fds.empty());
  packet = ReceivePacket(pair_.second.get(), 6);  // exactly as long as allowed
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(Text(*packet), "second");
}

TEST_F(SocketTest, PassesDescriptors) {
  const UniqueFd null = Null();
  std::array<int, kMaxPacketFds> fds{};
  fds.fill(null.get());
  ASSERT_TRUE(SendPacket(pair_.first.get(), Bytes("x"), fds).ok());
  const Result<Packet> packet = ReceivePacket(pair_.second.get(), 64);
  ASSERT_TRUE(packet.ok());
  ASSERT_EQ(packet->fds.size(), kMaxPacketFds);
  struct stat sent {};
  fstat(null.get(), &sent);
  for (const UniqueFd& fd : packet->fds) {
    struct stat received {};
    ASSERT_EQ(fstat(fd.get(), &received), 0);
    EXPECT_EQ(received.st_rdev, sent.st_rdev);
    EXPECT_NE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(SocketTest, TooManyDescriptorsAreRefusedByBothSides) {
  const std::vector<int> fds(kMaxPacketFds + 1, pair_.first.get());
  EXPECT_EQ(SendPacket(pair_.first.get(), Bytes("x"), fds).error().code,
            ErrorCode::kInvalidArgument);
  const int before = OpenDescriptors();
  SendRaw(1, kMaxPacketFds + 1);
  const Result<Packet> packet = ReceivePacket(pair_.second.get(), 64);
  ASSERT_FALSE(packet.ok());
  EXPECT_EQ(packet.error().code, ErrorCode::kProtocol);
  EXPECT_EQ(OpenDescriptors(), before);  // those that did arrive are closed
}

TEST_F(SocketTest, OversizeIsRefusedAndItsDescriptorsClosed) {
  const int before = OpenDescriptors();
  SendRaw(65, 2);
  const Result<Packet> packet = ReceivePacket(pair_.second.get(), 64);
  ASSERT_FALSE(packet.ok());
  EXPECT_EQ(packet.error().code, ErrorCode::kProtocol);
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(SocketTest, EndOfConnectionIsUnavailable) {
  pair_.first.Reset();
  const Result<Packet> packet = ReceivePacket(pair_.second.get(), 64);
  ASSERT_FALSE(packet.ok());
  EXPECT_EQ(packet.error().code, ErrorCode::kUnavailable);
  // No SIGPIPE either.
  EXPECT_EQ(SendPacket(pair_.second.get(), Bytes("x")).error().code, ErrorCode::kUnavailable);
}

TEST_F(SocketTest, EndWithUnreadDataIsUnavailable) {
  ASSERT_TRUE(SendPacket(pair_.second.get(), Bytes("never read")).ok());
  pair_.first.Reset();  // the other side then sees ECONNRESET
  const Result<Packet> packet = ReceivePacket(pair_.second.get(), 64);
  ASSERT_FALSE(packet.ok());
  EXPECT_EQ(packet.error().code, ErrorCode::kUnavailable);
}

TEST_F(SocketTest, EmptyPacketsAreNotSentAndNotTrusted) {
  EXPECT_EQ(SendPacket(pair_.first.get(), {}).error().code, ErrorCode::kInvalidArgument);
  const int before = OpenDescriptors();
  SendRaw(0, 2);
  EXPECT_FALSE(ReceivePacket(pair_.second.get(), 64).ok());
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(SocketTest, BadDescriptorIsAnError) {
  EXPECT_EQ(SendPacket(-1, Bytes("x")).error().code, ErrorCode::kSystem);
  EXPECT_EQ(ReceivePacket(-1, 64).error().code, ErrorCode::kSystem);
}

TEST_F(SocketTest, ListenConnectSend) {
  auto listener = ListenUnix(Path());
  ASSERT_TRUE(listener.ok()) << listener.error().message;
  struct stat info {};
  ASSERT_EQ(stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
  auto client = ConnectUnix(Path());
  ASSERT_TRUE(client.ok()) << client.error().message;
  const UniqueFd server(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(server);
  ASSERT_TRUE(SendPacket(client->get(), Bytes("hello")).ok());
  const Result<Packet> packet = ReceivePacket(server.get(), 64);
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(Text(*packet), "hello");
}

TEST_F(SocketTest, ListenReplacesAStaleSocketButNothingElse) {
  ASSERT_TRUE(ListenUnix(Path()).ok());
  ASSERT_TRUE(ListenUnix(Path()).ok());
  unlink(Path().c_str());
  ASSERT_TRUE(UniqueFd(open(Path().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
  const auto refused = ListenUnix(Path());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(SocketTest, PathsThatCannotBeAreRefused) {
  for (const std::string& path : {std::string(), std::string(108, 'x'), std::string("\0vtee", 5)}) {
    EXPECT_EQ(ListenUnix(path).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(ConnectUnix(path).error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(ConnectUnix(Path()).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vtee
