// SPDX-License-Identifier: BSD-3-Clause
#include "hostile_program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/fake/fake_application.h"
#include "base/clock.h"
#include "base/socket.h"
#include "program/memory_file.h"
#include "program/packet.h"

namespace vtee::daemon {
namespace {

namespace fake = backend::fake;
using program::Message;
using program::MessageType;
using program::ParamBody;

constexpr std::uint64_t kMemoryBytes = 16384;
constexpr std::uint64_t kPatienceNanos = 20'000'000'000;

// vteed must never make this side wait: what does not fit is not sent.
void DoNotWait(int fd) { Require(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0); }

UniqueFd Again(int fd, int flags) {
  return UniqueFd(open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags | O_CLOEXEC));
}

UniqueFd SocketOf(int type) {
  std::array<int, 2> ends{};
  Require(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) == 0);
  const UniqueFd other(ends[1]);
  return UniqueFd(ends[0]);
}

Message Of(MessageType type) {
  Message message;
  message.type = type;
  return message;
}

// What every message of vteed's looks like.
void CheckHead(const Message& message) {
  Require(message.magic == program::kMagic && message.major == program::kMajor);
  Require(message.minor == program::kMinor);
}

}  // namespace

ProgramDescriptors::ProgramDescriptors() {
  for (UniqueFd& file : memory_) {
    file = UniqueFd(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    Require(file.valid() && ftruncate(file.get(), kMemoryBytes) == 0);
  }
  Require(fcntl(memory_[1].get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  Require(fcntl(memory_[2].get(), F_ADD_SEALS, F_SEAL_WRITE) == 0);
  Require(ftruncate(memory_[3].get(), 100) == 0);
  Require(ftruncate(memory_[4].get(), 0) == 0);
  others_.push_back(Again(memory_[0].get(), O_RDONLY));
  others_.push_back(Again(memory_[0].get(), O_WRONLY));
  others_.push_back(Again(memory_[0].get(), O_PATH));
  others_.push_back(program::MakeMemoryFile(std::uint64_t{1} << 40));
  others_.emplace_back(open("/dev/zero", O_RDWR | O_CLOEXEC));
  others_.emplace_back(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  others_.emplace_back(eventfd(0, EFD_CLOEXEC));
  for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    others_.push_back(SocketOf(type));
  }
  for (const UniqueFd& other : others_) Require(other.valid());
}

int ProgramDescriptors::Get(std::uint8_t number, int self) const {
  const std::size_t which = number % (memory_.size() + others_.size() + 1);
  if (which < memory_.size()) return memory_[which].get();
  const std::size_t other = which - memory_.size();
  return other < others_.size() ? others_[other].get() : self;
}

void ProgramDescriptors::Spoil(Input& input) const {
  const int file = memory_[input.Take<std::uint8_t>() % memory_.size()].get();
  const auto how = input.Take<std::uint8_t>();
  if (how < 0xE0) {
    static_cast<void>(ftruncate(file, how * 128) == 0);  // unless it is sealed
  } else {
    static_cast<void>(fcntl(file, F_ADD_SEALS, how & 0x1F));
  }
}

HostileProgram::HostileProgram(const std::string& path, const ProgramDescriptors& descriptors)
    : descriptors_(descriptors) {
  auto connected = ConnectUnix(path);
  Require(connected.ok());
  socket_ = std::move(connected).value();
}

void HostileProgram::Hello(Input& input) {
  if (!socket_ || greeted_ || !clean_) return;
  const auto how = input.Take<std::uint8_t>();
  Message hello = Of(MessageType::kHello);
  const bool other_version = (how & 0x0F) == 0x0F;
  if (other_version) hello.major = static_cast<std::uint16_t>(hello.major ^ (1U << (how >> 4)));
  Require(program::Send(socket_.get(), hello).ok());
  const auto reply = program::Receive(socket_.get());
  Require(reply.ok());
  CheckHead(reply->message);
  Require(reply->message.type == MessageType::kHelloReply && !reply->fd.valid());
  Require((reply->message.code != 0) == other_version);
  const std::size_t words = strnlen(reply->message.text, sizeof reply->message.text);
  Require(words < sizeof reply->message.text && (words != 0) == other_version);
  DoNotWait(socket_.get());
  greeted_ = true;
  clean_ = !other_version;
}

void HostileProgram::SendOnFirst(Input& input) {
  if (!socket_) return;
  DoNotWait(socket_.get());
  clean_ = false;
  Message message = Of(static_cast<MessageType>(input.Take<std::uint8_t>() % 24));
  message.session = input.Take<std::uint8_t>();
  const auto fd = input.Take<std::uint8_t>();
  static_cast<void>(program::Send(
      socket_.get(), message, (fd & 0x80) != 0 ? descriptors_.Get(fd & 0x7F, socket_.get()) : -1));
}

void HostileProgram::AddLane(Input& input) {
  if (!socket_ || lanes_.size() >= kMaxLanes) return;
  ++lanes_made_;
  const auto how = input.Take<std::uint8_t>();
  if ((how & 0xC0) == 0xC0) {  // something else than a fresh socket, or nothing at all
    clean_ = false;
    const int fd = how == 0xFF ? -1 : descriptors_.Get(how & 0x3F, socket_.get());
    // Its own end as a lane would be let go at once if reading it did not wait.
    if (fd == socket_.get()) Require(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
    static_cast<void>(program::Send(socket_.get(), Of(MessageType::kLane), fd));
    return;
  }
  auto pair = MakeSocketPair();
  Require(pair.ok());
  DoNotWait(pair->first.get());
  Lane lane;
  lane.socket = std::move(pair->first);
  const int times = (how & 0x20) != 0 ? 2 : 1;  // twice: two threads serve it
  clean_ &= greeted_;
  bool sent = clean_ && lanes_made_ <= kLanesGranted;
  for (int i = 0; i < times; ++i) {
    sent &= program::Send(socket_.get(), Of(MessageType::kLane), pair->second.get()).ok();
  }
  lane.clean = sent && times == 1;
  lanes_.push_back(std::move(lane));
}

HostileProgram::Lane* HostileProgram::Choose(Input& input) {
  const auto number = input.Take<std::uint8_t>();
  return lanes_.empty() ? nullptr : &lanes_[number % lanes_.size()];
}

// Its own, the n-th; beyond them any number, such as another program's.
std::uint32_t HostileProgram::SessionOf(std::uint8_t number, Input& input) const {
  if (number < sessions_.size()) return sessions_[number];
  return number < 0xF0 ? number : input.Take<std::uint32_t>();
}

void HostileProgram::FillRequest(Input& input, Message& message) const {
  const std::array applications = {fake::kHelloUuid, fake::kEchoUuid, fake::kSlowUuid,
                                   fake::kRngUuid, fake::kEnumerationUuid};
  constexpr std::array<std::uint32_t, 6> kLogins = {0, 1, 2, 4, 0x80000000, ~0U};
  const auto application = input.Take<std::uint8_t>();
  if (application < applications.size()) {
    std::ranges::copy(applications[application].octets, std::begin(message.application));
  }
  message.session = SessionOf(input.Take<std::uint8_t>(), input);
  message.command = input.Take<std::uint8_t>();
  const auto login = input.Take<std::uint8_t>();
  if (login < kLogins.size()) message.login = kLogins[login];
  if (message.login == 2) message.group = input.Take<std::uint8_t>();
  const auto used = input.Take<std::uint8_t>();
  for (std::size_t i = 0; i < std::size(message.params); ++i) {
    if ((used >> i & 1) == 0) continue;
    ParamBody& body = message.params[i];
    const auto shape = input.Take<std::uint8_t>();
    body.kind = shape & 0x03;
    body.direction = shape >> 2 & 0x03;
    body.c = shape >> 4 & 0x01;
    const bool wide = (used >> (i + 4) & 1) != 0;
    body.a = wide ? input.Take<std::uint64_t>() : input.Take<std::uint16_t>();
    body.b = wide ? input.Take<std::uint64_t>() : input.Take<std::uint16_t>();
    if ((shape & 0xE0) == 0xE0) body.kind = body.direction = input.Take<std::uint32_t>();
  }
}

void HostileProgram::Request(Input& input) {
  Lane* lane = Choose(input);
  if (lane == nullptr) return;
  constexpr std::array kRequests = {MessageType::kOpenSession, MessageType::kInvoke,
                                    MessageType::kInvoke,      MessageType::kCloseSession,
                                    MessageType::kUpcallReply, MessageType::kResult};
  const auto which = input.Take<std::uint8_t>() % kRequests.size();
  Message message = Of(kRequests[which]);
  FillRequest(input, message);
  int fd = -1;
  const auto memory = input.Take<std::uint8_t>();
  if (memory != 0) {
    fd = descriptors_.Get(memory - 1, -1);
    const auto size = input.Take<std::uint16_t>();
    message.memory = size == 0xFFFF ? input.Take<std::uint64_t>() : size;
  }
  // Who closes a session while it is used cannot stop what runs in it any more.
  if (message.type == MessageType::kCloseSession) {
    for (Lane& each : lanes_) each.clean &= !each.pending;
  }
  // Two at a time: what the second becomes depends on the first.
  if (which > 3 || lane->pending) lane->clean = false;
  lane->pending = true;
  if (!program::Send(lane->socket.get(), message, fd).ok()) lane->clean = false;
}

void HostileProgram::SendRaw(Input& input) {
  const auto where = input.Take<std::uint8_t>();
  Lane* lane = (where & 1) != 0 ? Choose(input) : nullptr;
  if (lane == nullptr && !socket_) return;
  std::vector<std::byte> bytes(1 + input.Take<std::uint16_t>() % (2 * sizeof(Message)));
  const auto given = input.TakeBytes(input.Take<std::uint8_t>());
  std::copy_n(given.begin(), std::min(given.size(), bytes.size()), bytes.begin());
  std::array<int, kMaxPacketFds> fds{};
  const std::size_t count = input.Take<std::uint8_t>() % (fds.size() + 1);
  for (std::size_t i = 0; i < count; ++i) {
    // Its own end, waiting on a lane that is busy, would keep its connection alive.
    fds[i] = descriptors_.Get(input.Take<std::uint8_t>(), lane != nullptr ? -1 : socket_.get());
    if (fds[i] < 0) return;
  }
  (lane != nullptr ? lane->clean : clean_) = false;
  const int to = lane != nullptr ? lane->socket.get() : socket_.get();
  DoNotWait(to);
  static_cast<void>(SendPacket(to, bytes, std::span(fds).first(count)));
}

void HostileProgram::Cancel(Input& input) {
  Message cancel = Of(MessageType::kCancel);
  cancel.session = SessionOf(input.Take<std::uint8_t>(), input);
  if (!socket_ || !greeted_) return;
  static_cast<void>(program::Send(socket_.get(), cancel));
}

void HostileProgram::AskToStop() const {
  for (const std::uint32_t session : sessions_) {
    Message cancel = Of(MessageType::kCancel);
    cancel.session = session;
    if (socket_) static_cast<void>(program::Send(socket_.get(), cancel));
  }
}

void HostileProgram::Await(Input& input) {
  Lane* lane = Choose(input);
  if (lane == nullptr) return;
  const bool owed = clean_ && socket_.valid() && lane->clean && lane->pending;
  const std::uint64_t start = MonotonicNanos();
  pollfd ready{lane->socket.get(), POLLIN, 0};
  // A cancel that comes before its call has begun is none: it is repeated.
  while (poll(&ready, 1, 1) <= 0) {  // the fuzzer's own timer interrupts it, too
    if (!owed) return;
    AskToStop();
    Require(MonotonicNanos() - start < kPatienceNanos);
  }
  const auto received = program::Receive(lane->socket.get());
  if (!received.ok()) {
    Require(!owed);
    lane->clean = false;
    return;
  }
  Take(*lane, received->message, received->fd.get(), input);
}

void HostileProgram::Take(Lane& lane, const Message& message, int file, Input& input) {
  CheckHead(message);
  if (message.type == MessageType::kUpcall) return AnswerUpcall(lane, message, file, input);
  Require(message.type == MessageType::kResult && file < 0);
  Require(message.origin >= 1 && message.origin <= 4);
  Require(message.session == 0 || message.code == 0);
  lane.pending = false;
  if (message.session != 0) sessions_.push_back(message.session);
}

void HostileProgram::AnswerUpcall(Lane& lane, Message message, int file, Input& input) {
  Require(message.command == static_cast<std::uint32_t>(tee::UpcallKind::kSocket));
  const auto how = input.Take<std::uint8_t>();
  if ((how & 0x01) != 0) static_cast<void>(ftruncate(file, how & 0x1E) == 0);
  if ((how & 0x20) != 0) message.params[how & 3].b = input.Take<std::uint64_t>();
  if ((how & 0x40) == 0) message.type = MessageType::kUpcallReply;
  message.code = input.Take<std::uint32_t>();
  if (!program::Send(lane.socket.get(), message).ok()) lane.clean = false;
}

void HostileProgram::CloseLane(Input& input) {
  Lane* lane = Choose(input);
  if (lane != nullptr) lanes_.erase(lanes_.begin() + (lane - lanes_.data()));
}

void HostileProgram::Leave() {
  socket_.Reset();
  lanes_.clear();
}

}  // namespace vtee::daemon
