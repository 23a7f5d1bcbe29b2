// SPDX-License-Identifier: BSD-3-Clause
// The channel model: connect to a service by name or UUID, exchange messages, share memory.
//
// The verbs of Trusty's TIPC and of FF-A Trusted Services. No backend offers it yet; see
// object_tee.h for why it is here. Threading: Send and Close from any thread; events arrive on
// a thread of the backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>

#include "base/strong_id.h"
#include "tee/shared_memory.h"
#include "tee/types.h"

namespace vtee::tee {

using ChannelId = StrongId<struct TeeChannelIdTag, std::uint32_t>;
using ServiceName = std::variant<std::string, Uuid>;

class ChannelEvents {
 public:
  virtual ~ChannelEvents() = default;
  virtual void OnMessage(ChannelId channel, std::span<const std::byte> message,
                         std::span<const std::shared_ptr<const SharedMemory>> memory) = 0;
  virtual void OnWritable(ChannelId channel) = 0;
  virtual void OnClosed(ChannelId channel) = 0;
};

class ChannelTee {
 public:
  virtual ~ChannelTee() = default;
  virtual Outcome Connect(const ServiceName& service, ChannelEvents& events,
                          ChannelId& channel) = 0;
  // kBusy: the peer's queue is full; OnWritable tells when to try again.
  virtual Outcome Send(ChannelId channel, std::span<const std::byte> message,
                       std::span<const std::shared_ptr<const SharedMemory>> memory) = 0;
  virtual void Close(ChannelId channel) = 0;
};

}  // namespace vtee::tee
