// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/memory_server.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "vmm/test_memory_client.h"

namespace vtee::vmm {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kBytes = 32 * kPage;

// Private memory of this process, as a VMM's without a file is.
class PrivateMemory {
 public:
  PrivateMemory() {
    base_ = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (std::size_t i = 0; i < kBytes; ++i) data()[i] = static_cast<std::byte>(i / 7);
  }
  ~PrivateMemory() { munmap(base_, kBytes); }
  PrivateMemory(const PrivateMemory&) = delete;
  PrivateMemory& operator=(const PrivateMemory&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(base_); }
  std::uint64_t address() const { return reinterpret_cast<std::uintptr_t>(base_); }

 private:
  void* base_ = nullptr;
};

// What the thread called `name` of this process says in /proc; "": there is none.
std::string ThreadStatus(const std::string& name) {
  std::string found;
  DIR* tasks = opendir("/proc/self/task");
  while (const dirent* entry = readdir(tasks)) {
    std::ifstream file(std::string("/proc/self/task/") + entry->d_name + "/status");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (text.starts_with("Name:\t" + name + "\n")) found = text;
  }
  closedir(tasks);
  return found;
}

class MemoryServerTest : public testing::Test {
 protected:
  void Start() {
    OwnFd peer;
    ASSERT_TRUE(server_->Open(peer));
    peer_ = std::move(peer);
    ASSERT_TRUE(server_->StartThread());
  }
  std::optional<MemoryAnswer> Read(std::vector<MemoryPiece> pieces) {
    return AskForMemory(peer_.get(), MemoryOp::kRead, pieces);
  }
  std::optional<MemoryAnswer> Write(std::vector<MemoryPiece> pieces,
                                    std::span<const std::byte> bytes) {
    return AskForMemory(peer_.get(), MemoryOp::kWrite, pieces, bytes);
  }
  static void Collect(void* context, const char* sentence) {
    static_cast<std::string*>(context)->append(sentence);
  }

  PrivateMemory memory_;
  std::string said_;
  PeerHealth health_{MessageSink{Collect, &said_}};
  std::unique_ptr<MemoryServer> server_ = std::make_unique<MemoryServer>(health_);
  OwnFd peer_;
};

TEST_F(MemoryServerTest, CopiesPiecesBothWays) {
  Start();
  const std::uint64_t one = server_->Add(0, memory_.address(), 16 * kPage, false);
  const std::uint64_t two = server_->Add(1, memory_.address() + 16 * kPage, 16 * kPage, false);
  ASSERT_NE(one, 0u);
  ASSERT_NE(two, one);
  const std::vector<MemoryPiece> pieces = {
      {one, 5, 3}, {two, 16 * kPage - 1, 1}, {one, 0, 5 * kPage}, {one, 5, 1}};
  auto answer = Read(pieces);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status(), MemoryStatus::kDone);
  ASSERT_EQ(answer->bytes.size(), 5 * kPage + 5);
  EXPECT_EQ(answer->header.bytes, 5 * kPage + 5);
  EXPECT_EQ(answer->bytes[3], memory_.data()[kBytes - 1]);
  EXPECT_EQ(std::memcmp(answer->bytes.data() + 4, memory_.data(), 5 * kPage), 0);
  const std::vector<std::byte> ones(8, std::byte{1});
  answer = Write({{two, kPage - 4, 7}, {one, 3, 1}}, ones);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status(), MemoryStatus::kDone);
  EXPECT_EQ(std::memcmp(memory_.data() + 17 * kPage - 4, ones.data(), 7), 0);
  EXPECT_EQ(memory_.data()[3], std::byte{1});
  EXPECT_NE(memory_.data()[4], std::byte{1});
  EXPECT_EQ(said_, "");
}

TEST_F(MemoryServerTest, TouchesNothingButItsRegions) {
  Start();
  const std::uint64_t region = server_->Add(0, memory_.address() + kPage, 4 * kPage, false);
  const std::uint64_t gone = server_->Add(7, memory_.address(), kPage, false);
  server_->Remove(7);
  const std::vector<std::byte> before(memory_.data(), memory_.data() + kBytes);
  const std::vector<std::byte> zeros(kPage + 1);
  const MemoryPiece bad[] = {
      {region, 4 * kPage, 1},
      {region, 4 * kPage - 1, 2},
      {region, ~std::uint64_t{0}, 1},
      {region, 0 - kPage, kPage},
      {region + 100, 0, 1},
      {0, 0, 1},
      {gone, 0, 1},
      {region, 3 * kPage + 1, kPage},
  };
  for (const MemoryPiece& piece : bad) {
    auto answer = Read({piece});
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status(), MemoryStatus::kNoRegion);
    EXPECT_TRUE(answer->bytes.empty());
    // A good piece before the bad one is not written either.
    answer = Write({{region, 0, 1}, piece}, std::span(zeros).first(1 + piece.size));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status(), MemoryStatus::kNoRegion);
  }
  EXPECT_EQ(std::memcmp(before.data(), memory_.data(), kBytes), 0);
}

TEST_F(MemoryServerTest, ReadOnlyRegionsAreNotWritten) {
  Start();
  const std::uint64_t rom = server_->Add(0, memory_.address(), kPage, true);
  const std::uint64_t ram = server_->Add(1, memory_.address() + kPage, kPage, false);
  const std::vector<std::byte> before(memory_.data(), memory_.data() + kBytes);
  const std::vector<std::byte> bytes(2, std::byte{0xee});
  auto answer = Write({{ram, 0, 1}, {rom, 0, 1}}, bytes);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status(), MemoryStatus::kReadOnly);
  EXPECT_EQ(std::memcmp(before.data(), memory_.data(), kBytes), 0);
  answer = Read({{rom, 0, 1}});
  EXPECT_EQ(answer->status(), MemoryStatus::kDone);
}

TEST_F(MemoryServerTest, MissingMemoryIsAFaultAndNoSignal) {
  Start();
  const std::uint64_t region = server_->Add(0, memory_.address(), kBytes, false);
  ASSERT_EQ(mprotect(memory_.data(), kPage, PROT_NONE), 0);
  ASSERT_EQ(mprotect(memory_.data() + kPage, kPage, PROT_READ), 0);
  ASSERT_EQ(munmap(memory_.data() + 2 * kPage, kPage), 0);
  const int file = memfd_create("truncated", MFD_CLOEXEC);
  ASSERT_NE(mmap(memory_.data() + 3 * kPage, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                 file, 0),
            MAP_FAILED);  // beyond the end of its file: SIGBUS for who touches it
  const std::byte one{1};
  for (const std::uint64_t page : {0u, 1u, 2u, 3u}) {
    const auto read = Read({{region, page * kPage, 8}});
    ASSERT_TRUE(read);
    EXPECT_EQ(read->status(), page == 1 ? MemoryStatus::kDone : MemoryStatus::kFault) << page;
    const auto write = Write({{region, page * kPage, 1}}, std::span(&one, 1));
    ASSERT_TRUE(write);
    EXPECT_EQ(write->status(), MemoryStatus::kFault) << "the mapping's protection counts";
  }
  EXPECT_EQ(Read({{region, 4 * kPage, 8}})->status(), MemoryStatus::kDone) << "goes on";
  close(file);
}

struct BadRequest {
  const char* name;
  std::vector<std::byte> packet;
};

std::vector<std::byte> Changed(void (*change)(MemoryHeader&), std::size_t extra = 0) {
  const MemoryPiece piece{1, 0, 8};
  std::vector<std::byte> packet = MemoryRequest(MemoryOp::kRead, std::span(&piece, 1));
  MemoryHeader header;
  std::memcpy(&header, packet.data(), sizeof header);
  change(header);
  std::memcpy(packet.data(), &header, sizeof header);
  packet.resize(packet.size() + extra);
  return packet;
}

TEST_F(MemoryServerTest, MalformedRequestsEndTheChannel) {
  const MemoryPiece empty{1, 0, 0};
  const MemoryPiece huge{1, 0, kMaxMemoryBytes + 1};
  const MemoryPiece wraps[] = {{1, 0, ~std::uint64_t{0}}, {1, 0, 2}};
  const std::vector<MemoryPiece> many(kMaxMemoryPieces + 1, MemoryPiece{1, 0, 1});
  const std::vector<BadRequest> requests = {
      {"short", std::vector<std::byte>(8)},
      {"header only", std::vector<std::byte>(sizeof(MemoryHeader))},
      {"long", std::vector<std::byte>(kMaxMemoryPacket + 1)},
      {"magic", Changed([](MemoryHeader& header) { header.magic = 1; })},
      {"op 0", Changed([](MemoryHeader& header) { header.op = 0; })},
      {"op 3", Changed([](MemoryHeader& header) { header.op = 3; })},
      {"no pieces", MemoryRequest(MemoryOp::kRead, {})},
      {"fewer pieces than said", Changed([](MemoryHeader& header) { header.count = 2; })},
      {"too many pieces", MemoryRequest(MemoryOp::kRead, many)},
      {"count of all ones", Changed([](MemoryHeader& header) { header.count = ~0u; })},
      {"another sum", Changed([](MemoryHeader& header) { header.bytes = 9; })},
      {"bytes of all ones", Changed([](MemoryHeader& header) { header.bytes = ~0u; })},
      {"a read with data", Changed([](MemoryHeader&) {}, 8)},
      {"a write without", Changed([](MemoryHeader& header) { header.op = 2; })},
      {"an empty piece", MemoryRequest(MemoryOp::kRead, std::span(&empty, 1))},
      {"a huge piece", MemoryRequest(MemoryOp::kRead, std::span(&huge, 1))},
      {"sizes that wrap", MemoryRequest(MemoryOp::kRead, wraps)},
  };
  for (const BadRequest& request : requests) {
    said_.clear();
    PeerHealth health{MessageSink{Collect, &said_}};
    MemoryServer server(health);
    OwnFd peer;
    ASSERT_TRUE(server.Open(peer));
    ASSERT_NE(server.Add(0, memory_.address(), kBytes, false), 0u);
    ASSERT_GT(send(peer.get(), request.packet.data(), request.packet.size(), MSG_NOSIGNAL), 0);
    EXPECT_EQ(server.Serve(), MemoryServer::Served::kEnded) << request.name;
    EXPECT_FALSE(ReceiveAnswer(peer.get())) << request.name;
    EXPECT_TRUE(health.dead()) << request.name;
    EXPECT_THAT(said_, testing::HasSubstr("broke the protocol"));
    EXPECT_EQ(server.Serve(), MemoryServer::Served::kEnded);
  }
}

TEST_F(MemoryServerTest, APeerThatTakesNoAnswersIsNotWaitedFor) {
  OwnFd peer;
  ASSERT_TRUE(server_->Open(peer));
  const std::uint64_t region = server_->Add(0, memory_.address(), kBytes, false);
  const MemoryPiece piece{region, 0, kMaxMemoryBytes};
  const auto packet = MemoryRequest(MemoryOp::kRead, std::span(&piece, 1));
  int served = 0;
  while (send(peer.get(), packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0 &&
         server_->Serve() == MemoryServer::Served::kOne) {
    ASSERT_LT(++served, 10'000);
  }
  EXPECT_TRUE(health_.dead());
}

TEST_F(MemoryServerTest, ItsThreadHasAllSignalsBlockedAndEndsWithIt) {
  EXPECT_EQ(ThreadStatus("vtee-memory"), "");
  Start();
  std::string status;
  for (int i = 0; i < 5'000 && status.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    status = ThreadStatus("vtee-memory");
  }
  // All but SIGKILL, SIGSTOP and glibc's own two.
  EXPECT_THAT(status, testing::HasSubstr("SigBlk:\tfffffffe7ffbfeff\n"));
  sigset_t mine;
  pthread_sigmask(SIG_SETMASK, nullptr, &mine);
  EXPECT_FALSE(sigismember(&mine, SIGUSR1)) << "the starter's mask is what it was";
  server_.reset();
  EXPECT_EQ(ThreadStatus("vtee-memory"), "");
  EXPECT_FALSE(ReceiveAnswer(peer_.get())) << "closed";
}

TEST_F(MemoryServerTest, EndsWithItsPeer) {
  Start();
  peer_.Reset();
  for (int i = 0; i < 5'000 && !ThreadStatus("vtee-memory").empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(ThreadStatus("vtee-memory"), "");
  EXPECT_FALSE(health_.dead()) << "the control socket tells why vteed is gone";
}

TEST_F(MemoryServerTest, AfterTheRemovalNothingIsTouched) {
  Start();
  std::atomic<std::uint64_t> region{server_->Add(0, memory_.address(), kBytes, false)};
  std::atomic<bool> stop{false};
  std::atomic<int> written{0};
  std::thread writer([&] {
    const std::vector<std::byte> ones(8 * kPage, std::byte{0xff});
    while (!stop.load()) {
      const auto answer = Write({{region.load(), 0, ones.size()}}, ones);
      if (answer && answer->status() == MemoryStatus::kDone) written.fetch_add(1);
    }
  });
  for (int round = 0; round < 50; ++round) {
    const int before = written.load();
    for (int i = 0; i < 5'000 && written.load() == before; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    EXPECT_GT(written.load(), before);
    server_->Remove(0);
    std::memset(memory_.data(), 0, kBytes);
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    EXPECT_TRUE(std::all_of(memory_.data(), memory_.data() + kBytes,
                            [](std::byte byte) { return byte == std::byte{0}; }));
    region.store(server_->Add(0, memory_.address(), kBytes, false));
  }
  stop.store(true);
  writer.join();
}

TEST_F(MemoryServerTest, ARegionThatWrapsIsNone) {
  EXPECT_EQ(server_->Add(0, ~std::uint64_t{0} - kPage, 2 * kPage, false), 0u);
}

}  // namespace
}  // namespace vtee::vmm
