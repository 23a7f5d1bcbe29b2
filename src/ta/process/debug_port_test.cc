// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/debug_port.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

namespace vtee::ta {
namespace {

constexpr std::uint16_t kFirst = 42'000;

UniqueFd ConnectTo(std::uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fd.Reset();
  }
  return fd;
}

// What the emulator does.
UniqueFd ListenAt(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(fd.get(), 1), 0);
  return fd;
}

std::string ReadSome(int fd) {
  char text[64] = {};
  const ssize_t got = read(fd, text, sizeof text);
  return got > 0 ? std::string(text, static_cast<std::size_t>(got)) : "";
}

TEST(DebugPortTest, CarriesBothWaysUntilOneEnds) {
  auto opened = DebugPort::Open(kFirst);
  ASSERT_TRUE(opened.ok());
  const DebugPort& debug = *opened.value();
  const UniqueFd debugger = ConnectTo(debug.port());
  ASSERT_TRUE(debugger.valid());
  // The emulator may come later than the debugger.
  const UniqueFd listener = ListenAt(debug.path());
  UniqueFd emulator(accept(listener.get(), nullptr, nullptr));
  ASSERT_EQ(write(debugger.get(), "$qSupported#37", 14), 14);
  EXPECT_EQ(ReadSome(emulator.get()), "$qSupported#37");
  ASSERT_EQ(write(emulator.get(), "+$#00", 5), 5);
  EXPECT_EQ(ReadSome(debugger.get()), "+$#00");
  EXPECT_FALSE(ConnectTo(debug.port()).valid()) << "a second debugger";
  emulator.Reset();
  EXPECT_EQ(ReadSome(debugger.get()), "");
}

TEST(DebugPortTest, EachTakesAPortOfItsOwnAndLeavesNothing) {
  std::string folder;
  {
    auto one = DebugPort::Open(kFirst + 100);
    auto two = DebugPort::Open(kFirst + 100);
    ASSERT_TRUE(one.ok() && two.ok());
    EXPECT_LT((*one)->port(), (*two)->port());
    EXPECT_NE((*one)->path(), (*two)->path());
    folder = (*one)->path().substr(0, (*one)->path().rfind('/'));
    struct stat status {};
    ASSERT_EQ(stat(folder.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
  }
  EXPECT_NE(access(folder.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace vtee::ta
