// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/memory_server.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/checked.h"

namespace vtee::vmm {
namespace {

// The thread's own needs are a few hundred bytes, but glibc takes the thread-local variables of all
// libraries of the process out of it, too.
constexpr std::size_t kStackBytes = std::size_t{256} * 1024;

bool Disconnected(int err) { return err == ECONNRESET || err == EPIPE || err == ENOTCONN; }

}  // namespace

struct MemoryServer::Packet {
  MemoryHeader header;
  char rest[kMaxMemoryPacket - sizeof(MemoryHeader)];
};

MemoryServer::~MemoryServer() {
  if (has_thread_) {
    shutdown(channel_.get(), SHUT_RDWR);  // ends its wait
    pthread_join(thread_, nullptr);
  }
  std::free(static_cast<void*>(packet_));
}

bool MemoryServer::Open(OwnFd& peer) {
  packet_ = static_cast<Packet*>(std::malloc(sizeof(Packet)));
  int ends[2] = {-1, -1};
  if (packet_ == nullptr || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return false;
  }
  channel_.Reset(ends[0]);
  peer.Reset(ends[1]);
  return true;
}

std::uint64_t MemoryServer::Add(std::uint32_t slot, std::uint64_t address, std::uint64_t size,
                                bool read_only) {
  const MutexLock lock(mutex_);
  const Region region{last_id_ + 1, address, size, slot, read_only};
  if (!CheckedAdd(address, size) || !regions_.Push(region)) return 0;
  return ++last_id_;
}

void MemoryServer::RemoveAllBut(std::uint64_t region, std::uint32_t slot) {
  const MutexLock lock(mutex_);
  for (std::size_t i = regions_.size(); i-- > 0;) {
    if (regions_[i].slot == slot && regions_[i].id != region) regions_.RemoveAt(i);
  }
}

bool MemoryServer::StartThread() {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  const long least = sysconf(_SC_THREAD_STACK_MIN);
  const auto minimum = least > 0 ? static_cast<std::size_t>(least) : kStackBytes;
  pthread_attr_setstacksize(&attributes, minimum > kStackBytes ? minimum : kStackBytes);
  // The VMM's signals are for the VMM's threads. None can be caused here: copies fault in the
  // kernel.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  has_thread_ = pthread_create(&thread_, &attributes, ThreadMain, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return has_thread_;
}

void* MemoryServer::ThreadMain(void* server) {
  pthread_setname_np(pthread_self(), "vtee-memory");
  static_cast<MemoryServer*>(server)->Loop();
  return nullptr;
}

void MemoryServer::Loop() {
  for (;;) {
    pollfd wait{channel_.get(), POLLIN, 0};
    if (poll(&wait, 1, -1) < 0 && errno != EINTR) return;
    if (Serve() == Served::kEnded) return;
  }
}

MemoryServer::Served MemoryServer::Serve() {
  const MutexLock lock(mutex_);
  if (ended_ || !channel_.valid()) return Served::kEnded;
  std::size_t size = 0;
  const Served received = Receive(size);
  if (received != Served::kOne) return received;
  if (!WellFormed(size) || !Reply()) return End(/*misbehaved=*/true);
  return Served::kOne;
}

MemoryServer::Served MemoryServer::End(bool misbehaved) {
  ended_ = true;
  shutdown(channel_.get(), SHUT_RDWR);
  if (misbehaved) health_.Fail("broke the protocol");
  return Served::kEnded;
}

MemoryServer::Served MemoryServer::Receive(std::size_t& size) {
  // No control buffer: descriptors that come along are dropped by the kernel.
  const ssize_t got =
      // NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection): it does not wait
      recv(channel_.get(), static_cast<void*>(packet_), sizeof *packet_, MSG_DONTWAIT | MSG_TRUNC);
  if (got == 0 || (got < 0 && Disconnected(errno))) return End(/*misbehaved=*/false);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? Served::kNone : End(false);
  size = static_cast<std::size_t>(got);
  return Served::kOne;
}

bool MemoryServer::WellFormed(std::size_t size) const {
  const MemoryHeader& header = packet_->header;
  if (size < sizeof header || size > sizeof *packet_ || header.magic != kProtocolMagic ||
      header.count == 0 || header.count > kMaxMemoryPieces || header.bytes > kMaxMemoryBytes) {
    return false;
  }
  const bool write = header.op == static_cast<std::uint32_t>(MemoryOp::kWrite);
  if (!write && header.op != static_cast<std::uint32_t>(MemoryOp::kRead)) return false;
  const std::size_t expected =
      sizeof header + header.count * sizeof(MemoryPiece) + (write ? header.bytes : 0);
  if (size != expected) return false;
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < header.count; ++i) {
    MemoryPiece piece;
    std::memcpy(&piece, packet_->rest + i * sizeof piece, sizeof piece);
    if (piece.size == 0 || piece.size > kMaxMemoryBytes) return false;
    sum += piece.size;
  }
  return sum == header.bytes;
}

const MemoryServer::Region* MemoryServer::Find(const MemoryPiece& piece) const {
  for (const Region& region : regions_) {
    if (region.id != piece.region) continue;
    return RangeInside(piece.offset, piece.size, region.size) ? &region : nullptr;
  }
  return nullptr;
}

// Copies between the guest and `bytes`, all pieces at once. The caller holds the lock, so no region
// goes away meanwhile.
MemoryStatus MemoryServer::Copy(char* bytes) {
  const MemoryHeader& header = packet_->header;
  const bool write = header.op == static_cast<std::uint32_t>(MemoryOp::kWrite);
  iovec guest[kMaxMemoryPieces];
  for (std::uint32_t i = 0; i < header.count; ++i) {
    MemoryPiece piece;
    std::memcpy(&piece, packet_->rest + i * sizeof piece, sizeof piece);
    const Region* region = Find(piece);
    if (region == nullptr) return MemoryStatus::kNoRegion;
    if (write && region->read_only) return MemoryStatus::kReadOnly;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): KVM and the VMM name memory by numbers
    guest[i] = {reinterpret_cast<void*>(region->address + piece.offset), piece.size};
  }
  const iovec own{bytes, header.bytes};
  const ssize_t done = write ? process_vm_writev(getpid(), &own, 1, guest, header.count, 0)
                             : process_vm_readv(getpid(), &own, 1, guest, header.count, 0);
  return done == static_cast<ssize_t>(header.bytes) ? MemoryStatus::kDone : MemoryStatus::kFault;
}

// False: vteed does not take its answers.
bool MemoryServer::Reply() {
  const bool read = packet_->header.op == static_cast<std::uint32_t>(MemoryOp::kRead);
  char* const bytes = packet_->rest + packet_->header.count * sizeof(MemoryPiece);
  MemoryHeader answer = packet_->header;
  const MemoryStatus status = Copy(bytes);
  answer.count = static_cast<std::uint32_t>(status);
  if (!read || status != MemoryStatus::kDone) answer.bytes = 0;
  iovec parts[2] = {{&answer, sizeof answer}, {bytes, answer.bytes}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  for (;;) {
    if (sendmsg(channel_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    if (errno != EINTR) return Disconnected(errno);  // its end is noticed by the next receive
  }
}

}  // namespace vtee::vmm
