// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/memory_channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "base/socket.h"
#include "guest/guest_memory.h"
#include "guest/test_memory.h"
#include "vmm/memory_server.h"

namespace vtee::daemon {
namespace {

using guest::GuestPhysAddr;
using guest::MemFault;
using guest::RemotePiece;
using vmm::MemoryHeader;

constexpr std::uint64_t kRam = 0x4000'0000;
constexpr std::size_t kRamBytes = 1 << 20;

// With the real other side.
class MemoryChannelTest : public ::testing::Test {
 protected:
  MemoryChannelTest() : ram_(guest::TestPattern(kRamBytes)) {
    vmm::OwnFd peer;
    EXPECT_TRUE(server_.Open(peer));
    EXPECT_TRUE(server_.StartThread());
    channel_ = std::make_shared<MemoryChannel>(UniqueFd(dup(peer.get())));
    const std::uint64_t address = reinterpret_cast<std::uintptr_t>(ram_.data());
    const guest::SlotSpec spec{guest::SlotId(0), GuestPhysAddr(kRam), kRamBytes, 0, false};
    EXPECT_TRUE(
        memory_.SetRemoteSlot(spec, channel_, server_.Add(0, address, kRamBytes, false)).ok());
  }

  std::vector<std::byte> ram_;
  vmm::PeerHealth health_{vmm::MessageSink{}};
  vmm::MemoryServer server_{health_};
  std::shared_ptr<MemoryChannel> channel_;
  guest::GuestMemory memory_;
};

TEST_F(MemoryChannelTest, CopiesAnyAmountAtAnyPlace) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{4096}, vmm::kMaxMemoryBytes - 1,
                                 vmm::kMaxMemoryBytes, vmm::kMaxMemoryBytes + 1, kRamBytes - 77}) {
    std::vector<std::byte> copy(size);
    ASSERT_EQ(memory_.Snapshot(GuestPhysAddr(kRam + 77), copy), MemFault::kNone);
    EXPECT_EQ(std::memcmp(copy.data(), ram_.data() + 77, size), 0) << size;
    const std::vector<std::byte> pattern = guest::TestPattern(size, size);
    ASSERT_EQ(memory_.Publish(GuestPhysAddr(kRam + 77), pattern), MemFault::kNone);
    EXPECT_EQ(std::memcmp(pattern.data(), ram_.data() + 77, size), 0) << size;
  }
  EXPECT_FALSE(health_.dead());
}

TEST_F(MemoryChannelTest, ServesSeveralThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (std::size_t n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      const std::size_t part = kRamBytes / 4;
      for (std::uint64_t round = 1; round <= 50; ++round) {
        const std::vector<std::byte> pattern = guest::TestPattern(5'000, round * 4 + n);
        std::vector<std::byte> copy(pattern.size());
        const GuestPhysAddr at(kRam + n * part + round);
        if (memory_.Publish(at, pattern) == MemFault::kNone &&
            memory_.Snapshot(at, copy) == MemFault::kNone && copy == pattern) {
          good.fetch_add(1);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good.load(), 200);
}

TEST_F(MemoryChannelTest, ARefusalFailsOneAccess) {
  server_.Remove(0);
  std::array<std::byte, 8> copy{};
  EXPECT_EQ(memory_.Snapshot(GuestPhysAddr(kRam), copy), MemFault::kVanished);
  const std::uint64_t address = reinterpret_cast<std::uintptr_t>(ram_.data());
  const std::uint64_t region = server_.Add(0, address, kRamBytes, false);
  const RemotePiece piece{region, 0, 8};
  EXPECT_TRUE(channel_->Read(std::span(&piece, 1), copy)) << "the channel goes on";
}

// With the other side played by the test.
class ChannelPeerTest : public ::testing::Test {
 protected:
  ChannelPeerTest() {
    auto pair = MakeSocketPair();
    peer_ = std::move(pair->second);
    channel_ = std::make_unique<MemoryChannel>(std::move(pair->first), 30);
  }
  bool Read() {
    std::array<std::byte, 8> out{};
    const RemotePiece piece{1, 0, out.size()};
    return channel_->Read(std::span(&piece, 1), out);
  }
  MemoryHeader NextRequest() {
    MemoryHeader header{};
    auto packet = ReceivePacket(peer_.get(), vmm::kMaxMemoryPacket);
    if (packet.ok()) std::memcpy(&header, packet->bytes.data(), sizeof header);
    return header;
  }
  void Answer(const MemoryHeader& header, std::size_t bytes) {
    std::vector<std::byte> packet(sizeof header + bytes);
    std::memcpy(packet.data(), &header, sizeof header);
    ASSERT_TRUE(SendPacket(peer_.get(), packet).ok());
  }
  static MemoryHeader Good(MemoryHeader request) {
    request.count = 0;
    return request;
  }

  UniqueFd peer_;
  std::unique_ptr<MemoryChannel> channel_;
};

TEST_F(ChannelPeerTest, ALongWaitIsNoFailure) {
  std::thread vmm([&] {  // stopped for a while
    const MemoryHeader request = NextRequest();
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
    Answer(Good(request), 8);
  });
  EXPECT_TRUE(Read());
  vmm.join();
}

TEST_F(ChannelPeerTest, TheVmmsEndEndsTheWait) {
  std::thread vmm([&] {
    NextRequest();
    peer_.Reset();
  });
  EXPECT_FALSE(Read());
  vmm.join();
  EXPECT_FALSE(Read());
}

TEST_F(ChannelPeerTest, CloseEndsTheWaitOfEveryThread) {
  std::vector<std::thread> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.emplace_back([&] { EXPECT_FALSE(Read()); });
  }
  NextRequest();
  channel_->Close();
  for (std::thread& thread : waiting) thread.join();
  EXPECT_FALSE(Read());
}

TEST_F(ChannelPeerTest, MalformedAnswersCloseIt) {
  struct Bad {
    const char* name;
    std::function<void(MemoryHeader&)> change;
    std::size_t bytes;
  };
  const std::vector<Bad> answers = {
      {"magic", [](MemoryHeader& answer) { answer.magic ^= 1; }, 8},
      {"op", [](MemoryHeader& answer) { answer.op = 2; }, 8},
      {"another request's", [](MemoryHeader& answer) { ++answer.id; }, 8},
      {"fewer bytes", [](MemoryHeader& answer) { answer.bytes = 7; }, 7},
      {"more bytes", [](MemoryHeader& answer) { answer.bytes = 9; }, 9},
      {"bytes not sent", [](MemoryHeader&) {}, 7},
      {"bytes not said", [](MemoryHeader&) {}, 9},
      {"far too long", [](MemoryHeader&) {}, 100'000},
      {"no bytes", [](MemoryHeader&) {}, 0},
      {"an error with bytes", [](MemoryHeader& answer) { answer.count = 3; }, 8},
  };
  for (const Bad& bad : answers) {
    auto pair = MakeSocketPair();
    peer_ = std::move(pair->second);
    channel_ = std::make_unique<MemoryChannel>(std::move(pair->first));
    std::thread vmm([&] {
      MemoryHeader answer = Good(NextRequest());
      bad.change(answer);
      Answer(answer, bad.bytes);
    });
    EXPECT_FALSE(Read()) << bad.name;
    vmm.join();
    char byte = 0;
    EXPECT_EQ(recv(peer_.get(), &byte, 1, 0), 0) << bad.name << ": closed";
  }
}

TEST_F(ChannelPeerTest, AShortPacketClosesIt) {
  std::thread vmm([&] {
    NextRequest();
    const std::byte byte{1};
    ASSERT_TRUE(SendPacket(peer_.get(), std::span(&byte, 1)).ok());
  });
  EXPECT_FALSE(Read());
  vmm.join();
}

}  // namespace
}  // namespace vtee::daemon
