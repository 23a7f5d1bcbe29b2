// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/call_port.h"

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "base/futex.h"

namespace vtee::vmm {
namespace {

constexpr std::uint64_t kMicrosecond = 1'000;
constexpr std::uint64_t kMillisecond = 1'000'000;

constexpr std::uint64_t kMaxSpin = 2'000 * kMicrosecond;
constexpr int kLooksPerStopCheck = 16;

// A signal that arrives just before the futex call does not interrupt it, and a blocked signal
// never does, so sleeps are short: first while a kick must be seen soon, later less so.
constexpr std::uint64_t kShortSleep = 1 * kMillisecond;
constexpr std::uint64_t kLongSleep = 10 * kMillisecond;
constexpr std::uint64_t kLongSleepAfter = 200 * kMillisecond;
constexpr std::uint64_t kHealthCheckEvery = 100 * kMillisecond;
constexpr std::uint64_t kMaxParkAfter = 1'000 * kMillisecond;

}  // namespace

void CallPort::Init(RingHeader* header, Mailbox* mailbox, PeerHealth* health, SpinLimit* spinners) {
  header_ = header;
  mailbox_ = mailbox;
  health_ = health;
  spinners_ = spinners;
}

bool CallPort::Submit(std::uint32_t conduit, const std::uint64_t* x, unsigned count) {
  if (pending()) return false;
  conduit_ = conduit;
  const std::size_t used = std::min<std::size_t>(count, kCallRegisters);
  std::memcpy(call_, x, used * sizeof call_[0]);
  std::memset(call_ + used, 0, (kCallRegisters - used) * sizeof call_[0]);
  queued_ = true;
  // At once, so that vteed starts while the caller gets ready to wait.
  if (!posted_ && !health_->dead()) Post();
  return true;
}

void CallPort::Post() {
  queued_ = false;
  posted_ = true;
  draining_ = false;
  park_asked_ = false;
  // vteed has filled in the mailbox by now: it answered the hello.
  if (sequence_ == 0) spin_ = AdaptiveSpin(std::min(mailbox_->spin_us * kMicrosecond, kMaxSpin));
  if (++sequence_ == 0) sequence_ = 1;  // 0 means "nothing yet"
  mailbox_->conduit = conduit_;
  std::memcpy(mailbox_->x, call_, sizeof call_);
  posted_at_ = MonotonicNanos();
  next_check_ = posted_at_ + kHealthCheckEvery;
  // Sequentially consistent on both sides: either vteed sees the request before it sleeps, or
  // this side sees its sleep flag.
  mailbox_->request.store(sequence_, std::memory_order_seq_cst);
  if (mailbox_->vteed_sleeping.load(std::memory_order_seq_cst) != 0) {
    FutexWakeShared(mailbox_->request, 1);
  }
  if (mailbox_->served.load(std::memory_order_acquire) == 0) RingDoorbell();
}

void CallPort::RingDoorbell() {
  header_->park_doorbell.fetch_add(1, std::memory_order_seq_cst);
  FutexWakeShared(header_->park_doorbell, 1);
}

// Asked again for as long as there is no reply: vteed may not have taken the request yet when the
// first ring comes, and then has nothing to park.
void CallPort::AskToPark() {
  park_asked_ = true;
  mailbox_->park.store(sequence_, std::memory_order_seq_cst);
  RingDoorbell();
}

void CallPort::Abandon() {
  queued_ = false;
  if (!posted_) return;
  draining_ = true;
  if (!health_->dead()) AskToPark();
}

bool CallPort::Answered() const {
  return mailbox_->reply.load(std::memory_order_seq_cst) == sequence_;
}

bool CallPort::SpinForReply(const StopCheck& stop, std::uint64_t at_most_ns, bool& stopped) {
  int looks = 0;
  stopped = false;
  const SpinLimit::Turn turn(*spinners_);
  if (!turn.granted()) return Answered();
  SpinUntil(posted_at_ + std::min(spin_.budget_ns(), at_most_ns), [&] {
    if (Answered()) return true;
    stopped = ++looks % kLooksPerStopCheck == 0 && stop.Stop(false);
    return stopped;
  });
  const bool answered = Answered();
  stopped = stopped && !answered;
  return answered;
}

// Asks the kernel, now and then, whether vteed still is there. A VMM may want its thread back more
// often than that: so the time counts from one wait of the call to the next.
bool CallPort::LostPeer() {
  const std::uint64_t now = MonotonicNanos();
  if (now < next_check_) return false;
  next_check_ = now + kHealthCheckEvery;
  return !health_->Check() && !Answered();
}

CallPort::Await CallPort::AwaitReply(const StopCheck& stop) {
  const std::uint64_t park_after =
      std::min<std::uint64_t>(mailbox_->park_after_us * kMicrosecond, kMaxParkAfter);
  bool stopped = false;
  if (SpinForReply(stop, park_after, stopped)) {
    spin_.Waited(MonotonicNanos() - posted_at_);
    return Await::kAnswered;
  }
  if (stopped) return LostPeer() ? Await::kDead : Await::kStopped;
  const std::uint64_t started = MonotonicNanos();
  bool interrupted = false;
  for (;;) {
    const std::uint32_t seen = mailbox_->reply.load(std::memory_order_seq_cst);
    if (seen == sequence_) break;
    if (health_->dead()) return Await::kDead;
    if (LostPeer()) return Await::kDead;
    if (stop.Stop(interrupted)) return Await::kStopped;
    const std::uint64_t now = MonotonicNanos();
    if (now - posted_at_ >= park_after) AskToPark();
    std::uint64_t sleep = now - started < kLongSleepAfter ? kShortSleep : kLongSleep;
    if (!park_asked_) sleep = std::min(sleep, posted_at_ + park_after - now);
    mailbox_->vmm_sleeping.store(1, std::memory_order_seq_cst);
    interrupted =
        !Answered() && FutexWaitShared(mailbox_->reply, seen, sleep) == FutexResult::kInterrupted;
    mailbox_->vmm_sleeping.store(0, std::memory_order_relaxed);
  }
  spin_.Waited(MonotonicNanos() - posted_at_);
  return Await::kAnswered;
}

CallPort::Outcome CallPort::Wait(const StopCheck& stop, CallRegisters& reply) {
  if (!posted_ && !queued_) return Outcome::kIdle;
  for (;;) {
    if (health_->dead() && !(posted_ && Answered())) {
      const bool wanted = pending();
      queued_ = posted_ = draining_ = false;
      reply = CallRegisters{};
      reply.x[0] = kSmcccNotSupported;
      reply.count = 1;
      return wanted ? Outcome::kReplied : Outcome::kIdle;
    }
    if (!posted_) Post();
    switch (AwaitReply(stop)) {
      case Await::kStopped:
        return Outcome::kStopped;
      case Await::kDead:
        continue;
      case Await::kAnswered:
        break;
    }
    posted_ = false;
    if (!draining_) {
      TakeReply(reply);
      return Outcome::kReplied;
    }
    draining_ = false;
    if (!queued_) return Outcome::kIdle;
  }
}

void CallPort::TakeReply(CallRegisters& reply) {
  // vteed could change the word between a check and a use; read it once.
  const std::uint32_t count = __atomic_load_n(&mailbox_->reply_count, __ATOMIC_RELAXED);
  reply = CallRegisters{};
  if (count > kCallRegisters) {
    health_->Fail("sent a malformed reply");
    reply.x[0] = kSmcccNotSupported;
    reply.count = 1;
    return;
  }
  std::memcpy(reply.x, mailbox_->reply_x, count * sizeof reply.x[0]);
  reply.count = count;
}

}  // namespace vtee::vmm
