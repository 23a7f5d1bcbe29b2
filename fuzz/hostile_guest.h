// SPDX-License-Identifier: BSD-3-Clause
// HostileGuest: a guest's OP-TEE driver as a fuzzer's input has it: a list of steps.
//
// Each step places a message in guest memory and makes the call, answers RPCs, goes on with a call
// left waiting, makes a fast call, or restarts. Memory: see Place. Threading: the fuzzer's thread;
// calls have threads of their own, joined by Reset(). Ownership: borrows the dialect.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "dialect/optee/optee_dialect.h"
#include "dialect/optee/wire.h"
#include "guest/test_memory.h"
#include "mediator/test_reply_port.h"

namespace vtee::optee {

inline constexpr tee::Uuid kAskerUuid{{0xA5}};

// One parameter of a message. Which words of it mean what follows from its type.
struct StepParam {
  std::uint8_t type;    // an attribute, by kAttributes
  std::uint8_t flags;   // top bit: one more bit of the attribute, named by the rest
  std::uint8_t where;   // of a temporary reference: a Place
  std::uint8_t cookie;  // low three bits
  std::uint32_t offset;
  std::uint64_t size;
};
static_assert(sizeof(StepParam) == 16);

struct Step {
  enum class Action : std::uint8_t { kCall, kResume, kFast, kReset, kActions };

  std::uint8_t action;
  std::uint8_t function;   // which SMC
  std::uint8_t command;    // of the message; top bit: as it is, else one of the known ones
  std::uint8_t session;    // id; for an open: which application; for kResume: which call
  std::uint8_t params;     // low three bits: how many; top bit: the header's count is `func`'s
  std::uint8_t cancel_id;  // the first step's top three bits: the profile
  std::uint8_t flip_word;  // top bit: word `flip_word & 127` of the message's page is flipped
  std::uint8_t answer;     // how RPCs are answered: HostileGuest::Spoil
  std::uint32_t func;
  std::uint32_t value;  // what the flipper and Spoil write
  std::array<StepParam, kMaxUsedParams> param;
};
static_assert(sizeof(Step) == 112);

// What a temporary reference may point at, and what a guest may lend.
enum class Place : std::uint8_t {
  kNull,
  kData,         // RAM
  kList,         // a page list: three scattered pages
  kLongList,     // 600 entries on two list pages
  kLoop,         // a list page that links to itself
  kCrookedList,  // an entry that is no page
  kHoleList,     // an entry outside of memory
  kHole,         // outside of memory
  kEnd,          // the last page of RAM
  kMessage,      // the message itself
  kPlaces,
};

// A call in flight, from its SMC to its last return.
struct GuestCall {
  mediator::TestReplyPort port;
  std::optional<mediator::RegisterReply> reply;  // the last one
  std::uint64_t page = 0;                        // of its message
  std::uint64_t rpc_at = 0;                      // where RPC messages lie; 0: nowhere yet
  std::thread thread;
  bool over = false;
};

class HostileGuest {
 public:
  explicit HostileGuest(OpteeDialect& dialect);
  ~HostileGuest();
  HostileGuest(const HostileGuest&) = delete;
  HostileGuest& operator=(const HostileGuest&) = delete;

  static guest::GuestMemory& memory();
  // For profiles that have one: all of it but the last page, where RAM ends.
  static StaticWindow window();

  GuestCall& Start(const Step& step);
  // Answers RPCs until the call is over (true) or the step lets it wait (false).
  bool AnswerRpcs(GuestCall& call, const Step& step);
  bool Resume(GuestCall& call, const Step& step) { return AnswerRpcs(call, step); }
  void FastCall(const Step& step);
  void Reset();

  // Where the guest itself sees its next message.
  std::uint64_t* NextMessage() const;

 private:
  std::uint64_t Address(std::uint8_t where, std::uint64_t page) const;
  std::uint64_t PutMessage(const Step& step);
  void Return(GuestCall& call, const Step& step);
  void AnswerCommand(GuestCall& call, const Step& step);
  void Lend(MsgParam& param, bool scattered) const;
  void AwaitReply(GuestCall& call, bool may_be_identity = false);
  void JoinAll();

  OpteeDialect& dialect_;
  std::list<GuestCall> calls_;
  std::uint32_t next_page_ = 0;
  int rpcs_ = 0;
};

// Flips a word of the message that the step places, for as long as it lives.
class Flipper {
 public:
  Flipper(const HostileGuest& guest, const Step& step);
  ~Flipper();
  Flipper(const Flipper&) = delete;
  Flipper& operator=(const Flipper&) = delete;

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Changes the steps in `data` (of which `size` bytes are used), whole records at a time.
std::size_t MutateSteps(std::span<std::uint8_t> data, std::size_t size, unsigned int seed,
                        std::size_t (*any)(std::uint8_t*, std::size_t, std::size_t));

}  // namespace vtee::optee
