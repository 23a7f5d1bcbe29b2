// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/mailbox_server.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <system_error>

#include "base/adaptive_spin.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/log.h"
#include "base/memory.h"

namespace vtee::daemon {
namespace {

constexpr std::uint64_t kMicrosecond = 1'000;
constexpr std::uint64_t kForeverNanos = 3'600'000'000'000;

// Words of the mailbox that the other process may touch at any time, whatever the protocol says:
// each is read or written once.
template <typename T>
T Load(T& word) {
  return std::atomic_ref(word).load(std::memory_order_relaxed);
}
template <typename T>
void Store(T& word, T value) {
  std::atomic_ref(word).store(value, std::memory_order_relaxed);
}

}  // namespace

// One vCPU's mailbox.
class MailboxServer::Port final : public mediator::ReplyPort {
 public:
  Port(MailboxServer& server, vmm::Mailbox& box, std::uint32_t index)
      : server_(server), box_(box), index_(index) {}

  bool served() const { return has_thread_.load(std::memory_order_relaxed); }

  // Starts (another) thread for this mailbox; the one before stops after its current call. When no
  // thread can be had the vCPU stays unserved until ParkLoop tries again: the VMM side rings.
  void StartServing() {
    const std::uint32_t epoch = epoch_.fetch_add(1, std::memory_order_acq_rel) + 1;
    box_.served.store(1);  // before the thread can answer anything
    bool started = false;
    const bool tried = WithinMemory([&] {
      const Status run = server_.threads_.Run([this, epoch] { Serve(epoch); });
      started = run.ok();
      if (!started) LogUnserved(run.error().message);
    });
    if (!tried) LogUnserved("out of memory");
    has_thread_.store(started, std::memory_order_relaxed);
    if (!started) box_.served.store(0);
  }

  void Reply(std::uint32_t sequence, const mediator::RegisterReply& reply) override {
    const std::uint32_t count = std::min<std::uint32_t>(reply.count, vmm::kCallRegisters);
    for (std::uint32_t i = 0; i < count; ++i) Store(box_.reply_x[i], reply.x[i]);
    Store(box_.reply_count, count);
    // Sequentially consistent, against the VMM side's "set flag, re-check, sleep".
    box_.reply.store(sequence);
    if (box_.vmm_sleeping.load() != 0) FutexWakeShared(box_.reply, 1);
  }

  void Detach() override { StartServing(); }

  void SetParkTarget(std::uint32_t sequence, std::weak_ptr<mediator::ParkTarget> target) override {
    {
      const std::lock_guard lock(park_mutex_);
      park_sequence_ = sequence;
      park_target_ = std::move(target);
    }
    // The VMM side may have asked before this thread got here; answer now, not at its next try.
    if (box_.park.load() == sequence) server_.RingPark();
  }

  // The VMM side wants its vCPU back, if the request it names is still the one outstanding.
  void CheckPark() {
    const std::uint32_t wanted = box_.park.load();
    if (wanted == box_.reply.load()) return;
    std::shared_ptr<mediator::ParkTarget> target;
    {
      const std::lock_guard lock(park_mutex_);
      if (park_sequence_ != wanted) return;
      target = park_target_.lock();
    }
    if (target) target->Park(*this, wanted);
  }

  bool HasUnservedRequest() const { return !served() && box_.request.load() != box_.reply.load(); }

  // Wakes the thread that waits for this vCPU's calls, until it has seen that the server stops. The
  // mailbox's own sleep flag says nothing here: the VMM can write it.
  void WakeUntilGone() {
    while (waiting_.load() != 0) {
      FutexWakeShared(box_.request, 1);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

 private:
  void LogUnserved(std::string_view why) const {
    LogGuest(LogLevel::kError, "vcpu.unserved", {{"vcpu", index_}, {"error", why}});
  }

  bool Mine(std::uint32_t epoch) const {
    return epoch_.load(std::memory_order_acquire) == epoch && !server_.stopping_.load();
  }

  void Serve(std::uint32_t epoch) {
    AdaptiveSpin spin(server_.times_.spin_us * kMicrosecond);
    while (Mine(epoch)) {
      std::uint32_t sequence = 0;
      if (!WaitForRequest(epoch, spin, sequence)) return;
      handled_.store(sequence, std::memory_order_relaxed);
      mediator::SecureCall call;
      call.vcpu = index_;
      call.is_smc = Load(box_.conduit) == vmm::kConduitSmc;
      for (std::size_t i = 0; i < vmm::kCallRegisters; ++i) call.x[i] = Load(box_.x[i]);
      server_.dialect_.Handle(call, mediator::Responder(this, sequence));
    }
  }

  template <typename Done>
  bool SpinForRequest(Done done, std::uint64_t deadline_ns) {
    const SpinLimit::Turn turn(server_.spinners_);
    return turn.granted() ? SpinUntil(deadline_ns, done) : done();
  }

  bool WaitForRequest(std::uint32_t epoch, AdaptiveSpin& spin, std::uint32_t& sequence) {
    const std::uint32_t last = handled_.load(std::memory_order_relaxed);
    const auto arrived = [&] { return (sequence = box_.request.load()) != last; };
    const std::uint64_t start = MonotonicNanos();
    if (SpinForRequest([&] { return arrived() || !Mine(epoch); }, start + spin.budget_ns())) {
      spin.Waited(MonotonicNanos() - start);
      return Mine(epoch);
    }
    while (Mine(epoch)) {
      box_.vteed_sleeping.store(1);
      // Stop() sets its flag and then looks for sleepers; so here both in the other order.
      waiting_.fetch_add(1);
      if (!arrived() && Mine(epoch)) FutexWaitShared(box_.request, last, kForeverNanos);
      waiting_.fetch_sub(1);
      box_.vteed_sleeping.store(0);
      if (arrived()) {
        spin.Waited(MonotonicNanos() - start);
        return Mine(epoch);
      }
    }
    return false;
  }

  MailboxServer& server_;
  vmm::Mailbox& box_;
  const std::uint32_t index_;
  std::atomic<std::uint32_t> epoch_{0};    // which serving thread is the current one
  std::atomic<bool> has_thread_{false};    // there is one
  std::atomic<std::uint32_t> waiting_{0};  // threads that sleep, or are about to
  std::atomic<std::uint32_t> handled_{0};  // sequence number of the last request taken
  std::mutex park_mutex_;
  std::uint32_t park_sequence_ = 0;
  std::weak_ptr<mediator::ParkTarget> park_target_;
};

Result<std::unique_ptr<MailboxServer>> MailboxServer::Create(const UniqueFd& ring,
                                                             std::uint32_t vcpus,
                                                             mediator::Dialect& dialect,
                                                             const WaitTimes& times) {
  if (vcpus == 0 || vcpus > vmm::kMaxVcpus) {
    return Error{ErrorCode::kProtocol,
                 "the VMM asked for " + std::to_string(vcpus) + " vCPUs; 1 to 512 are possible"};
  }
  const std::size_t bytes = vmm::RingBytes(vcpus);
  struct stat info {};
  if (fstat(ring.get(), &info) != 0) return ErrnoError(errno, "ring file");
  // A ring that shrinks under us would raise SIGBUS.
  const int seals = fcntl(ring.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 ||
      static_cast<std::uint64_t>(info.st_size) < bytes) {
    return Error{ErrorCode::kProtocol,
                 "the VMM's ring is too small or not sealed against shrinking"};
  }
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring.get(), 0);
  if (base == MAP_FAILED) return ErrnoError(errno, "cannot map the ring");
  std::unique_ptr<MailboxServer> server(new MailboxServer(base, bytes, vcpus, dialect, times));
  const vmm::RingHeader& header = server->header();
  if (header.magic != vmm::kProtocolMagic || header.major != vmm::kProtocolMajor ||
      header.mailbox_size != sizeof(vmm::Mailbox) || header.vcpu_capacity != vcpus) {
    return Error{ErrorCode::kProtocol, "the VMM's ring has another layout"};
  }
  return server;
}

MailboxServer::MailboxServer(void* base, std::size_t bytes, std::uint32_t vcpus,
                             mediator::Dialect& dialect, const WaitTimes& times)
    : ring_(base, bytes), dialect_(dialect), times_(times), spinners_(times.spinners) {
  header().spinners = times.spinners;
  auto* boxes = reinterpret_cast<vmm::Mailbox*>(static_cast<std::byte*>(base) + 4096);
  for (std::uint32_t i = 0; i < vcpus; ++i) {
    boxes[i].park_after_us = times.park_after_us;
    boxes[i].spin_us = times.spin_us;
    boxes[i].served.store(0);
    ports_.push_back(std::make_unique<Port>(*this, boxes[i], i));
  }
}

MailboxServer::~MailboxServer() { Stop(); }

MailboxServer::Mapping::~Mapping() { munmap(base, bytes); }

Status MailboxServer::Start() {
  try {
    park_thread_ = std::thread([this] { ParkLoop(); });
  } catch (const std::system_error& error) {
    return ThreadError(error);
  }
  return {};
}

void MailboxServer::Stop() {
  if (stopping_.exchange(true) || !park_thread_.joinable()) return;
  RingPark();
  park_thread_.join();
  // The join itself is the destructor of threads_, which cannot wake them.
  for (const auto& port : ports_) port->WakeUntilGone();
}

void MailboxServer::RingPark() {
  header().park_doorbell.fetch_add(1);
  FutexWakeShared(header().park_doorbell, 1);
}

void MailboxServer::ParkLoop() {
  std::uint32_t seen = 0;
  while (!stopping_.load()) {
    const std::uint32_t now = header().park_doorbell.load();
    if (now == seen) {
      FutexWaitShared(header().park_doorbell, seen, kForeverNanos);
      continue;
    }
    seen = now;
    for (const auto& port : ports_) {
      if (port->HasUnservedRequest()) port->StartServing();
      port->CheckPark();
    }
  }
}

}  // namespace vtee::daemon
