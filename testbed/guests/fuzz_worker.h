// SPDX-License-Identifier: BSD-3-Clause
// The vCPUs of the fuzzer that call the TEE, and the memory they share for it.
//
// Threading: a Worker runs on its own vCPU; Stop(), Stalled(), last() and counts() may be called
// by another. The Arena is everybody's, on purpose without any lock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "machine.h"
#include "optee.h"

inline void* operator new(std::size_t, void* at) noexcept { return at; }

namespace guest::fuzz {

struct Counts {
  std::uint64_t calls, opened, invoked, registered, parked, resumed, refused;
  void Add(const Counts& other) {
    calls += other.calls;
    opened += other.opened;
    invoked += other.invoked;
    registered += other.registered;
    parked += other.parked;
    resumed += other.resumed;
    refused += other.refused;
  }
};

// Memory for messages, page lists and buffers. It lies high above the image: a TA that writes to
// an address with a bit or two wrong must not hit the program.
class Arena {
 public:
  static constexpr std::uint64_t kPages = 64;

  void Prepare(Random& random);
  std::uint64_t page(std::uint64_t i) const { return base_ + i % kPages * kPage; }
  // Pages behind it that only the worker of this vCPU writes to, and the TEE.
  static constexpr std::uint64_t kOwnPages = 3;
  std::uint8_t* own(unsigned cpu) const {
    return reinterpret_cast<std::uint8_t*>(base_ + (kPages + cpu * kOwnPages) * kPage);
  }
  std::uint64_t* Word(std::uint64_t i) const {
    return reinterpret_cast<std::uint64_t*>(base_ + i % (kPages * kPage / 8) * 8);
  }
  // Of a page of it, or one that is wrong in some way.
  std::uint64_t Address(Random& random) const;
  std::uint64_t Size(Random& random) const;

  // Sessions that some vCPU has opened, and ids that none has.
  void Remember(std::uint32_t session) { sessions_[next_++ % kSessions] = session; }
  std::uint32_t Session(Random& random) const {
    return random.OneIn(16) ? static_cast<std::uint32_t>(random.Next())
                            : sessions_[random.Below(kSessions)];
  }

 private:
  static constexpr unsigned kSessions = 16;
  std::uint64_t base_ = 0;
  std::uint32_t sessions_[kSessions] = {};
  unsigned next_ = 0;
};

class Worker {
 public:
  Worker(Arena& arena, unsigned cpu, std::uint64_t seed)
      : arena_(arena), own_(arena.own(cpu)), random_(seed) {}

  // Calls until stopped, or until chance ends it: then the vCPU is turned off and on again.
  void Run();
  void Stop() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
  bool Stalled(std::uint64_t now, std::uint64_t patience) const;
  std::uint64_t last(unsigned i) const { return last_.x[i]; }
  const Counts& counts() const { return counts_; }

 private:
  Registers Secure(std::uint32_t id, std::uint32_t a1, std::uint32_t a2, std::uint32_t a3,
                   std::uint32_t a4 = 0, std::uint32_t a5 = 0);
  void RandomRegisters();
  void FastCall();
  void PassMessage();
  void PassWait();
  void ResumeSomething();
  void BuildMessage(std::uint8_t* at);
  void BuildOpen(optee::Message& message);
  void BuildInvoke(optee::Message& message);
  void AddParameter(optee::Message& message);
  std::uint64_t PageList();
  void Damage(std::uint8_t* at);
  std::uint32_t Serve(Registers registers, std::uint8_t* rpc);
  void AnswerRpc(std::uint32_t what, std::uint8_t* rpc, std::uint64_t& address,
                 std::uint64_t& cookie);
  void CountResult(std::uint32_t command, const std::uint8_t* at);

  Arena& arena_;
  std::uint8_t* own_;
  std::uint32_t waiter_ = 0;  // a session with a TA that can sleep; nobody else's
  Random random_;
  Counts counts_{};
  Registers last_{};
  std::uint64_t called_at_ = 0;  // when the call that has not come back yet began; 0: none
  bool stop_ = false;
};

}  // namespace guest::fuzz
