// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the memory channel, each end against one that sends what it likes: the VMM's server
// against a hostile vteed, and vteed's channel against a hostile VMM.
//
// Input: which end is attacked, then steps. A packet is random bytes, or a well-formed one with
// pieces near the regions' edges, cut or lengthened.
// What must hold: the server touches nothing but its regions, writes to none that is read-only and
// answers only in the form of docs/vmm-protocol.md; the channel reports success only for exactly
// the answer to its request, and every request ends.
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <vector>

#include "base/log.h"
#include "base/unique_fd.h"
#include "daemon/memory_channel.h"
#include "fuzz_input.h"
#include "vmm/memory_server.h"
#include "vmm/peer_health.h"

namespace vtee {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMaxSteps = 32;
constexpr auto kCanary = std::byte{0xC5};
constexpr auto kPattern = std::byte{0x3A};

// An input says sizes of up to 64 KiB in one word; the bytes themselves need not be in it.
std::vector<std::byte> Bytes(Input& input, std::size_t size) {
  std::vector<std::byte> bytes(size, kPattern);
  const std::span<const std::byte> given = input.TakeBytes(std::min<std::size_t>(size, 64));
  std::copy(given.begin(), given.end(), bytes.begin());
  return bytes;
}

// Three pages for each slot, of which the region is the middle one; the other two, and all of a
// read-only slot, must stay as they are.
class Slots {
 public:
  static constexpr std::uint32_t kCount = 3;
  static constexpr std::uint32_t kReadOnly = 2;

  Slots() {
    void* const memory =
        mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Require(memory != MAP_FAILED);
    bytes_ = {static_cast<std::byte*>(memory), kBytes};
    std::fill(bytes_.begin(), bytes_.end(), kCanary);
  }
  ~Slots() { munmap(bytes_.data(), bytes_.size()); }
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;

  std::uint64_t address(std::uint32_t slot) const {
    return reinterpret_cast<std::uint64_t>(bytes_.data()) + (3 * slot + 1) * kPage;
  }
  void RequireUntouchedOutside() const {
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      const std::size_t page = i / kPage;
      if (page % 3 == 1 && page / 3 != kReadOnly) continue;
      Require(bytes_[i] == kCanary);
    }
  }

 private:
  static constexpr std::size_t kBytes = 3 * kCount * kPage;
  std::span<std::byte> bytes_;
};

vmm::MemoryPiece TakePiece(Input& input) {
  vmm::MemoryPiece piece{};
  piece.region = input.Take<std::uint8_t>() % 8;
  const auto near = static_cast<std::uint64_t>(input.Take<std::int8_t>());
  piece.offset = (input.Take<std::uint8_t>() % 2 == 0 ? 0 : kPage) + near;
  piece.size = input.Take<std::uint16_t>() % (2 * kPage);
  return piece;
}

std::vector<std::byte> TakeRequest(Input& input) {
  std::vector<vmm::MemoryPiece> pieces(input.Take<std::uint8_t>() % (vmm::kMaxMemoryPieces + 2));
  std::uint64_t sum = 0;
  for (vmm::MemoryPiece& piece : pieces) {
    piece = TakePiece(input);
    sum += piece.size;
  }
  const auto op = static_cast<std::uint32_t>(input.Take<std::uint8_t>() % 4);
  vmm::MemoryHeader header{vmm::kProtocolMagic, op, input.Take<std::uint8_t>(),
                           static_cast<std::uint32_t>(pieces.size()),
                           static_cast<std::uint32_t>(sum)};
  // Each word may be off by one: one bit of `lie` for each.
  const auto lie = input.Take<std::uint8_t>();
  header.magic += lie & 1;
  header.count += lie >> 1 & 1;
  header.bytes += lie >> 2 & 1;
  const std::size_t data = op == static_cast<std::uint32_t>(vmm::MemoryOp::kWrite) ? sum : 0;
  std::vector<std::byte> packet(sizeof header + pieces.size() * sizeof pieces[0]);
  std::memcpy(packet.data(), &header, sizeof header);
  if (!pieces.empty()) {
    std::memcpy(packet.data() + sizeof header, pieces.data(), packet.size() - sizeof header);
  }
  packet.resize(std::min(packet.size() + data + (lie >> 3 & 1), vmm::kMaxMemoryPacket + 64),
                kPattern);
  if ((lie >> 4 & 1) != 0) packet.resize(input.Take<std::uint16_t>() % (packet.size() + 1));
  return packet;
}

std::size_t SendPacket(int fd, std::span<const std::byte> packet) {
  const ssize_t sent = send(fd, packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? 0 : static_cast<std::size_t>(sent);
}

// The answer to the request, if the server gave one, is of the form that the protocol has.
void RequireAnswer(int fd, std::span<const std::byte> packet) {
  static std::array<std::byte, vmm::kMaxMemoryPacket> bytes;
  const ssize_t got = recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (got <= 0) return;
  vmm::MemoryHeader request{};
  vmm::MemoryHeader answer{};
  Require(packet.size() >= sizeof request && static_cast<std::size_t>(got) >= sizeof answer);
  std::memcpy(&request, packet.data(), sizeof request);
  std::memcpy(&answer, bytes.data(), sizeof answer);
  Require(answer.magic == vmm::kProtocolMagic && answer.op == request.op &&
          answer.id == request.id);
  const bool read_done = answer.op == static_cast<std::uint32_t>(vmm::MemoryOp::kRead) &&
                         answer.count == static_cast<std::uint32_t>(vmm::MemoryStatus::kDone);
  Require(answer.count <= static_cast<std::uint32_t>(vmm::MemoryStatus::kFault));
  Require(answer.bytes == (read_done ? request.bytes : 0));
  Require(static_cast<std::size_t>(got) == sizeof answer + answer.bytes);
}

void AttackServer(Input& input) {
  enum class Step : std::uint8_t { kAdd, kRemove, kRequest, kBytes, kSteps };
  Slots slots;
  const vmm::MessageSink sink{[](void*, const char* sentence) { Require(sentence[0] != '\0'); },
                              nullptr};
  vmm::PeerHealth health(sink);
  vmm::MemoryServer server(health);
  vmm::OwnFd peer;
  Require(server.Open(peer));
  for (std::size_t i = 0; i < kMaxSteps && !input.empty(); ++i) {
    const auto step =
        static_cast<Step>(input.Take<std::uint8_t>() % static_cast<std::uint8_t>(Step::kSteps));
    const std::uint32_t slot = input.Take<std::uint8_t>() % Slots::kCount;
    std::vector<std::byte> packet;
    switch (step) {
      case Step::kAdd:
        Require(server.Add(slot, slots.address(slot), kPage, slot == Slots::kReadOnly) != 0);
        continue;
      case Step::kRemove:
        server.Remove(slot);
        continue;
      case Step::kRequest:
        packet = TakeRequest(input);
        break;
      default:
        packet = Bytes(input, input.Take<std::uint16_t>());
        break;
    }
    if (SendPacket(peer.get(), packet) == 0) break;
    const bool ended = server.Serve() == vmm::MemoryServer::Served::kEnded;
    RequireAnswer(peer.get(), packet);
    slots.RequireUntouchedOutside();
    if (ended) break;
  }
  peer.Reset();
  while (server.Serve() == vmm::MemoryServer::Served::kOne) continue;
  Require(server.Serve() == vmm::MemoryServer::Served::kEnded);
}

// What the VMM has sent before vteed asks: packets that may be the answer.
struct Answer {
  vmm::MemoryHeader header{};
  std::vector<std::byte> packet;
};

Answer TakeAnswer(Input& input, vmm::MemoryOp op, std::uint64_t id, std::size_t asked) {
  Answer answer;
  const auto lie = input.Take<std::uint8_t>();
  answer.header = {vmm::kProtocolMagic + (lie & 1), static_cast<std::uint32_t>(op) + (lie >> 1 & 1),
                   id + (lie >> 2 & 1), (lie & 0x18u) == 0x18u ? input.Take<std::uint8_t>() : 0u,
                   static_cast<std::uint32_t>(op == vmm::MemoryOp::kRead ? asked : 0)};
  if ((lie >> 5 & 1) != 0) answer.header.bytes = input.Take<std::uint32_t>();
  std::size_t follow = answer.header.count == 0 && op == vmm::MemoryOp::kRead ? asked : 0;
  if ((lie >> 6 & 1) != 0) follow = input.Take<std::uint16_t>();
  const std::vector<std::byte> data = Bytes(input, follow);
  answer.packet.resize(sizeof answer.header);
  std::memcpy(answer.packet.data(), &answer.header, sizeof answer.header);
  answer.packet.insert(answer.packet.end(), data.begin(), data.end());
  if ((lie >> 7) != 0) {
    answer.packet.resize(input.Take<std::uint8_t>() % (sizeof answer.header + 1));
  }
  return answer;
}

void AttackChannel(Input& input) {
  int ends[2];
  Require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  UniqueFd vmm_end(ends[1]);
  daemon::MemoryChannel channel{UniqueFd(ends[0])};
  bool lost = false;
  for (std::uint64_t id = 1; id <= kMaxSteps && !input.empty(); ++id) {
    const auto op =
        input.Take<std::uint8_t>() % 2 == 0 ? vmm::MemoryOp::kRead : vmm::MemoryOp::kWrite;
    const std::size_t size = 1 + input.Take<std::uint16_t>() % vmm::kMaxMemoryBytes;
    const std::array<guest::RemotePiece, 2> pieces{{{1, 0, size - size / 2}, {2, 8, size / 2}}};
    const Answer answer = TakeAnswer(input, op, id, size);
    // A VMM that goes away instead: whoever waits for it is told.
    const bool answers = SendPacket(vmm_end.get(), answer.packet) > 0;
    if (!answers) shutdown(vmm_end.get(), SHUT_WR);
    std::vector<std::byte> bytes(size, kPattern);
    const bool done =
        op == vmm::MemoryOp::kRead ? channel.Read(pieces, bytes) : channel.Write(pieces, bytes);
    if (done) {
      const std::size_t follow = op == vmm::MemoryOp::kRead ? size : 0;
      Require(answers && !lost && answer.packet.size() == sizeof answer.header + follow);
      Require(answer.header.magic == vmm::kProtocolMagic && answer.header.id == id &&
              answer.header.op == static_cast<std::uint32_t>(op) && answer.header.count == 0 &&
              answer.header.bytes == follow);
      if (follow > 0) {
        Require(std::memcmp(bytes.data(), answer.packet.data() + sizeof answer.header, size) == 0);
      }
    }
    static std::array<std::byte, vmm::kMaxMemoryPacket> request;
    const ssize_t got = recv(vmm_end.get(), request.data(), request.size(), MSG_DONTWAIT);
    lost = got <= 0;
  }
}

}  // namespace
}  // namespace vtee

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::SetLogLevel(vtee::LogLevel::kError);
  vtee::Input input(data, size);
  if (input.Take<std::uint8_t>() % 2 == 0) {
    vtee::AttackServer(input);
  } else {
    vtee::AttackChannel(input);
  }
  return 0;
}
