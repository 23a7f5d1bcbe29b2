// SPDX-License-Identifier: BSD-3-Clause
// One secure call of a vCPU (SMC or HVC), and the one-shot right to answer it.
//
// A vCPU stands still from its call to the reply. The thread that serves a vCPU handles its call
// itself, which is fastest, and may block in it; when the guest must have its vCPU back earlier,
// the call is *parked*: somebody replies "not done yet" through the Responder, another thread
// takes over serving the vCPU (Detach), and the blocked thread goes on in peace.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

namespace vtee::mediator {

inline constexpr std::size_t kMaxCallRegisters = 18;  // x0..x17, SMCCC 1.2

struct SecureCall {
  std::uint32_t vcpu = 0;
  bool is_smc = true;  // false: HVC
  std::array<std::uint64_t, kMaxCallRegisters> x{};
};

struct RegisterReply {
  std::uint32_t count = 0;  // registers x0..x(count-1) change
  std::array<std::uint64_t, kMaxCallRegisters> x{};
};

class ReplyPort;

// What is asked to park a call that has held its vCPU for too long. Any thread.
class ParkTarget {
 public:
  virtual ~ParkTarget() = default;
  virtual void Park(const ReplyPort& port, std::uint32_t sequence) = 0;
};

// The transport's side of a vCPU. Any thread; `sequence` names the outstanding request.
class ReplyPort {
 public:
  virtual ~ReplyPort() = default;
  virtual void Reply(std::uint32_t sequence, const RegisterReply& reply) = 0;
  // From now on another thread serves this vCPU; the calling one may block.
  virtual void Detach() = 0;
  // Who is to be asked when this request takes too long. Kept weakly.
  virtual void SetParkTarget(std::uint32_t sequence, std::weak_ptr<ParkTarget> target) = 0;
};

// The right to answer one call once. Move-only; the holder must use it before it goes away.
class Responder {
 public:
  Responder() = default;
  Responder(ReplyPort* port, std::uint32_t sequence) : port_(port), sequence_(sequence) {}
  Responder(Responder&& other) noexcept
      : port_(std::exchange(other.port_, nullptr)),
        sequence_(other.sequence_),
        on_server_thread_(other.on_server_thread_) {}
  Responder& operator=(Responder&& other) noexcept {
    port_ = std::exchange(other.port_, nullptr);
    sequence_ = other.sequence_;
    on_server_thread_ = other.on_server_thread_;
    return *this;
  }
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;
  ~Responder() = default;

  bool armed() const { return port_ != nullptr; }
  bool Answers(const ReplyPort& port, std::uint32_t sequence) const {
    return port_ == &port && sequence_ == sequence;
  }

  void Reply(const RegisterReply& reply) { std::exchange(port_, nullptr)->Reply(sequence_, reply); }
  // Call before the thread that serves the vCPU blocks, or before somebody else replies in its
  // stead. Does nothing when the serving thread is not tied up in this call.
  void Detach() {
    if (std::exchange(on_server_thread_, false)) port_->Detach();
  }
  // The serving thread has handed the call to another thread and goes back to its vCPU.
  void LeaveServerThread() { on_server_thread_ = false; }
  void SetParkTarget(std::weak_ptr<ParkTarget> target) {
    port_->SetParkTarget(sequence_, std::move(target));
  }

 private:
  ReplyPort* port_ = nullptr;
  std::uint32_t sequence_ = 0;
  bool on_server_thread_ = true;
};

}  // namespace vtee::mediator
