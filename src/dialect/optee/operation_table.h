// SPDX-License-Identifier: BSD-3-Clause
// OperationTable: what of the guest's is inside the TEE right now, so that it can be cancelled.
//
// One entry for each call slot, made with the table: a call neither allocates nor frees. The guest
// names an operation by session and cancel id (OPTEE_MSG_CMD_CANCEL), and several may share both.
// Threading: any thread; Enter and Leave of one slot by the call that has it.
#pragma once

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
  };

  explicit OperationTable(std::uint32_t slots) : entries_(slots) {}

  // The operation of call slot `slot` is about to enter the TEE. No cancellation finds an open by
  // its key: the guest does not know the session yet.
  void EnterInvoke(std::uint32_t slot, const Key& key, tee::OperationId id,
                   tee::SessionId session) {
    const std::lock_guard lock(mutex_);
    entries_[slot] = {true, key, {id, session, false}};
  }
  void EnterOpen(std::uint32_t slot, tee::OperationId id) {
    const std::lock_guard lock(mutex_);
    entries_[slot] = {true, {}, {id, {}, true}};
  }
  void Leave(std::uint32_t slot) {
    const std::lock_guard lock(mutex_);
    entries_[slot].used = false;
  }

  std::vector<Operation> Invocations(const Key& key) const {
    return Collect(
        [&](const Entry& entry) { return !entry.operation.opening && entry.key == key; });
  }
  std::vector<Operation> All() const {
    return Collect([](const Entry&) { return true; });
  }

 private:
  struct Entry {
    bool used = false;
    Key key;
    Operation operation;
  };

  template <typename Wanted>
  std::vector<Operation> Collect(Wanted wanted) const {
    std::vector<Operation> found;
    const std::lock_guard lock(mutex_);
    for (const Entry& entry : entries_) {
      if (entry.used && wanted(entry)) found.push_back(entry.operation);
    }
    return found;
  }

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
};

}  // namespace vtee::optee
