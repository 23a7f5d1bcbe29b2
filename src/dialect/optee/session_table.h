// SPDX-License-Identifier: BSD-3-Clause
// SessionTable: the session ids a guest holds, and what they stand for.
//
// A guest's id is never the backend's: ids count up from 1 and are not reused until they wrap, so
// a stale id of a buggy or hostile guest names nothing. Threading: any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/strong_id.h"
#include "tee/session_tee.h"

namespace vtee::optee {

class InternalApplication;

using GuestSessionId = StrongId<struct GuestSessionIdTag, std::uint32_t>;

struct Session {
  tee::Uuid application;
  // Not null: the mediator answers this session itself, and `backend` means nothing.
  InternalApplication* internal = nullptr;
  tee::SessionId backend{};
};

class SessionTable {
 public:
  explicit SessionTable(std::uint32_t limit) : limit_(limit) {}

  // Reserves room before a session is opened, so that an opened one can always be kept.
  bool Reserve() {
    const std::lock_guard lock(mutex_);
    if (sessions_.size() + reserved_ >= limit_) return false;
    ++reserved_;
    return true;
  }
  void Unreserve() {
    const std::lock_guard lock(mutex_);
    --reserved_;
  }
  // Turns a reservation into a session.
  GuestSessionId Add(const Session& session) {
    const std::lock_guard lock(mutex_);
    --reserved_;
    do {
      ++last_;
    } while (last_ == 0 || sessions_.contains(GuestSessionId(last_)));
    sessions_.emplace(GuestSessionId(last_), session);
    return GuestSessionId(last_);
  }
  std::optional<Session> Find(GuestSessionId id) const {
    const std::lock_guard lock(mutex_);
    const auto it = sessions_.find(id);
    if (it == sessions_.end()) return std::nullopt;
    return it->second;
  }
  std::optional<Session> Remove(GuestSessionId id) {
    const std::lock_guard lock(mutex_);
    const auto it = sessions_.find(id);
    if (it == sessions_.end()) return std::nullopt;
    const Session session = it->second;
    sessions_.erase(it);
    return session;
  }
  // Empties the table and returns what was in it.
  std::vector<Session> TakeAll() {
    const std::lock_guard lock(mutex_);
    std::vector<Session> all;
    all.reserve(sessions_.size());
    for (const auto& [id, session] : sessions_) all.push_back(session);
    sessions_.clear();
    return all;
  }
  std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return sessions_.size();
  }

 private:
  const std::uint32_t limit_;
  mutable std::mutex mutex_;
  std::unordered_map<GuestSessionId, Session> sessions_;
  std::uint32_t reserved_ = 0;
  std::uint32_t last_ = 0;
};

}  // namespace vtee::optee
