// SPDX-License-Identifier: BSD-3-Clause
// HostileVteed: a vteed, as one vCPU's call port sees it, that writes what the fuzzer's input says.
//
// It takes a step each time the waiting VMM side asks whether it should stop, in the VMM's own
// thread: that is how a concurrent peer looks, but the same each time. Between steps the reply
// word changes, so that the VMM side does not really go to sleep (two sleeps per input are let
// happen). Threading: one thread. Ownership: borrows everything.
#pragma once

#include <atomic>
#include <cstdint>

#include "fuzz_input.h"
#include "vmm/call_port.h"
#include "vmm/protocol.h"

namespace vtee::vmm {

class HostileVteed {
 public:
  HostileVteed(RingHeader& header, Mailbox& mailbox, Input& input)
      : header_(header), mailbox_(mailbox), input_(input) {}

  StopCheck stop_check() {
    return {[](void* self, bool) { return static_cast<HostileVteed*>(self)->Step(); }, this};
  }

  // True: the VMM wants its thread back.
  bool Step() {
    if (input_.empty()) return true;
    switch (input_.Take<std::uint8_t>() % 8) {
      case 0:
        StoreWord(&mailbox_, sizeof mailbox_);
        break;
      case 1:
        StoreWord(&header_, sizeof header_);
        break;
      case 2:
        Answer(input_.Take<std::uint8_t>() % (kCallRegisters + 1));
        return false;
      case 3:
        Answer(input_.Take<std::uint32_t>());
        return false;
      case 4:
        return true;
      case 5:
        if (sleeps_++ < 2) return false;
        break;
      case 6: {
        const std::uint32_t value = input_.Take<std::uint8_t>();
        mailbox_.park_after_us = value * 1000;
        mailbox_.spin_us = value;
        break;
      }
      default:
        mailbox_.served.store(input_.Take<std::uint8_t>() & 1);
        break;
    }
    // Anything but the answer: the futex returns at once.
    mailbox_.reply.store(mailbox_.request.load() + 0x40000000u + ++changes_);
    return false;
  }

 private:
  void StoreWord(void* base, std::size_t bytes) {
    auto* words = static_cast<std::uint32_t*>(base);
    const std::size_t index = input_.Take<std::uint8_t>() % (bytes / sizeof *words);
    std::atomic_ref(words[index]).store(input_.Take<std::uint32_t>());
  }
  void Answer(std::uint32_t count) {
    mailbox_.reply_count = count;
    for (std::uint64_t& x : mailbox_.reply_x) x = input_.Take<std::uint8_t>();
    mailbox_.reply.store(mailbox_.request.load());
  }

  RingHeader& header_;
  Mailbox& mailbox_;
  Input& input_;
  std::uint32_t changes_ = 0;
  int sleeps_ = 0;
};

}  // namespace vtee::vmm
