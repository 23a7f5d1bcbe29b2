// SPDX-License-Identifier: BSD-3-Clause
// SessionTable: the session ids a guest holds, and what they stand for.
//
// A guest's id is never the backend's: ids count up from 1 and are not reused until they wrap, so
// a stale id of a buggy or hostile guest names nothing. Room is taken before a session is opened,
// so that one that is open can always be kept; nothing but Reserve() allocates.
// Threading: any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

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
  struct Forgotten {
    GuestSessionId id;
    Session session;
  };

  explicit SessionTable(std::uint32_t limit) : limit_(limit) {}

  // Room for one session; given back unless a session is put there.
  class Place {
   public:
    Place() = default;
    Place(SessionTable* table, GuestSessionId id) : table_(table), id_(id) {}
    Place(Place&& other) noexcept : table_(std::exchange(other.table_, nullptr)), id_(other.id_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (table_ != nullptr) table_->GiveBack(id_);
    }
    explicit operator bool() const { return table_ != nullptr; }
    GuestSessionId Keep(const Session& session) {
      std::exchange(table_, nullptr)->Fill(id_, session);
      return id_;
    }

   private:
    SessionTable* table_ = nullptr;
    GuestSessionId id_{};
  };

  // Empty: there are as many as there may be.
  Place Reserve() {
    const std::lock_guard lock(mutex_);
    if (places_.size() >= limit_) return {};
    do {
      ++last_;
    } while (last_ == 0 || places_.contains(GuestSessionId(last_)));
    places_.emplace(GuestSessionId(last_), Entry{});
    return Place(this, GuestSessionId(last_));
  }
  std::optional<Session> Find(GuestSessionId id) const {
    const std::lock_guard lock(mutex_);
    const auto it = places_.find(id);
    if (it == places_.end() || it->second.state != State::kOpen) return std::nullopt;
    return it->second.session;
  }
  std::optional<Session> Remove(GuestSessionId id) {
    const std::lock_guard lock(mutex_);
    const auto it = places_.find(id);
    if (it == places_.end() || it->second.state != State::kOpen) return std::nullopt;
    const Session session = it->second.session;
    places_.erase(it);
    --sessions_;
    return session;
  }
  // The driver is gone: nothing finds its sessions any more, but they count until they are closed.
  // Returns how many there were.
  std::size_t Forget() {
    const std::lock_guard lock(mutex_);
    for (auto& [id, entry] : places_) {
      if (entry.state == State::kOpen) entry.state = State::kForgotten;
    }
    return std::exchange(sessions_, 0);
  }
  // A forgotten session for which may(session), for the caller to close, and then to call
  // Closed(); nothing: there is none that is not taken yet.
  template <typename May>
  std::optional<Forgotten> TakeForgotten(May may) {
    const std::lock_guard lock(mutex_);
    for (auto& [id, entry] : places_) {
      if (entry.state != State::kForgotten || !may(entry.session)) continue;
      entry.state = State::kClosing;
      return Forgotten{id, entry.session};
    }
    return std::nullopt;
  }
  // The same for one session.
  bool TakeForgotten(GuestSessionId id) {
    const std::lock_guard lock(mutex_);
    const auto it = places_.find(id);
    if (it == places_.end() || it->second.state != State::kForgotten) return false;
    it->second.state = State::kClosing;
    return true;
  }
  void Closed(GuestSessionId id) {
    const std::lock_guard lock(mutex_);
    places_.erase(id);
  }
  std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return sessions_;
  }

 private:
  enum class State : std::uint8_t { kReserved, kOpen, kForgotten, kClosing };
  struct Entry {
    State state = State::kReserved;
    Session session;
  };
  using Places = std::unordered_map<GuestSessionId, Entry>;

  void Fill(GuestSessionId id, const Session& session) {
    const std::lock_guard lock(mutex_);
    places_.at(id) = {State::kOpen, session};
    ++sessions_;
  }
  void GiveBack(GuestSessionId id) {
    const std::lock_guard lock(mutex_);
    places_.erase(id);
  }

  const std::uint32_t limit_;
  mutable std::mutex mutex_;
  Places places_;
  std::size_t sessions_ = 0;  // open
  std::uint32_t last_ = 0;
};

}  // namespace vtee::optee
