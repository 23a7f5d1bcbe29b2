// SPDX-License-Identifier: BSD-3-Clause
// OperationTable: what of the guest's is inside the TEE right now, so that it can be cancelled.
//
// One entry for each call slot, made with the table: a call neither allocates nor frees. The guest
// names an operation by session and cancel id (OPTEE_MSG_CMD_CANCEL), and several may share both.
// Threading: any thread; an Inside of one slot is of the call that has it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <vector>

#include "tee/session_tee.h"

namespace vtee::optee {

class OperationTable {
 public:
  struct Key {
    std::uint32_t session = 0;  // the guest's
    std::uint32_t cancel_id = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Operation {
    tee::OperationId id{};
    tee::SessionId session{};  // the backend's; of an open: none yet
    bool opening = false;
    bool forsaken = false;  // of a driver that is gone
  };

  explicit OperationTable(std::uint32_t slots) : entries_(slots) {}

  // As long as it lives, the operation of call slot `slot` is inside the TEE.
  class Inside {
   public:
    // An invocation.
    Inside(OperationTable& table, std::uint32_t slot, const Key& key, tee::OperationId id,
           tee::SessionId session)
        : table_(table), slot_(slot) {
      table_.Set(slot_, {true, key, {id, session, false}});
    }
    // An open. No cancellation finds it by its key: the guest does not know the session yet.
    Inside(OperationTable& table, std::uint32_t slot, tee::OperationId id)
        : table_(table), slot_(slot) {
      table_.Set(slot_, {true, {}, {id, {}, true}});
    }
    ~Inside() { table_.Set(slot_, {}); }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    OperationTable& table_;
    const std::uint32_t slot_;
  };

  // visit(operation) for each, without the lock: it may go into the TEE.
  template <typename Visit>
  void ForEachInvocation(const Key& key, Visit visit) const {
    ForEachEntry([&](const Entry& entry) {
      if (!entry.operation.opening && entry.key == key) visit(entry.operation);
    });
  }
  template <typename Visit>
  void ForEach(Visit visit) const {
    ForEachEntry([&](const Entry& entry) { visit(entry.operation); });
  }

  // The driver is gone whose these are.
  void ForsakeAll() {
    const std::lock_guard lock(mutex_);
    for (Entry& entry : entries_) entry.operation.forsaken = true;
  }
  // Is an invocation of the backend's session inside the TEE?
  bool Runs(tee::SessionId session) const {
    const std::lock_guard lock(mutex_);
    return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
      return entry.used && !entry.operation.opening && entry.operation.session == session;
    });
  }

 private:
  struct Entry {
    bool used = false;
    Key key;
    Operation operation;
  };

  void Set(std::uint32_t slot, const Entry& entry) {
    const std::lock_guard lock(mutex_);
    entries_[slot] = entry;
  }
  Entry Get(std::size_t slot) const {
    const std::lock_guard lock(mutex_);
    return entries_[slot];
  }
  template <typename Visit>
  void ForEachEntry(Visit visit) const {
    for (std::size_t slot = 0; slot < entries_.size(); ++slot) {
      const Entry entry = Get(slot);
      if (entry.used) visit(entry);
    }
  }

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // its size never changes
};

}  // namespace vtee::optee
