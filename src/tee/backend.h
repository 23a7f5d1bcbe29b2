// SPDX-License-Identifier: BSD-3-Clause
// Backend: where a VM's TEE is. One object per VM, made and wired in main().
//
// A backend offers the models its TEE has (null: not offered) and hears the VM's life events,
// so that a TEE that knows about VMs can be told and one that does not is cleaned up for.
// Threading: capabilities() and the model accessors never change and may be called from any
// thread; life events come one at a time, from one thread, with no call of that VM in flight for
// kReset and kDestroyed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tee/channel_tee.h"
#include "tee/object_tee.h"
#include "tee/session_tee.h"

namespace vtee::tee {

struct VmIdentity {
  std::string name;  // the operator's name for the VM
  Uuid uuid;         // stable across restarts of the same VM
};

enum class LifeEvent : std::uint8_t { kCreated, kReset, kPaused, kResumed, kDestroyed };

struct BackendCapabilities {
  std::string name;                     // "host", "fake", ...
  std::string description;              // for people: which TEE, which device
  bool null_memref = false;             // NULL memrefs reach the TA as NULL
  bool cancel_open = false;             // RequestCancelOpen works
  std::uint32_t os_revision_major = 0;  // 0.0: unknown
  std::uint32_t os_revision_minor = 0;
  std::uint32_t max_concurrent_calls = 0;  // 0: no limit of its own
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const BackendCapabilities& capabilities() const = 0;
  virtual SessionTee* sessions() { return nullptr; }
  virtual ObjectTee* objects() { return nullptr; }
  virtual ChannelTee* channels() { return nullptr; }
  virtual void OnLifeEvent(LifeEvent event, const VmIdentity& vm) = 0;
};

}  // namespace vtee::tee
