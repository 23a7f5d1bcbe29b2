// SPDX-License-Identifier: BSD-3-Clause
// Context: the connection of one TEEC_Context to vteed, and its lanes.
//
// TEEC_Context has room for a descriptor only; that names its Context. Threading: any thread. A
// call for which there is no lane waits for one, as a Linux client waits for a thread of OP-TEE's.
// Not supported: use in a forked child (its calls would mix with the parent's): BAD_STATE.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "teec/lane.h"

namespace vtee::teec {

class Context {
 public:
  // ITEM_NOT_FOUND: nobody serves the socket.
  static TEEC_Result Connect(const char* path, std::shared_ptr<Context>& context);
  // The one that this descriptor names; null: none.
  static std::shared_ptr<Context> Find(const TEEC_Context* context);
  static void Keep(const std::shared_ptr<Context>& context);
  static void Forget(const TEEC_Context* context);

  int fd() const { return socket_.get(); }
  bool InThisProcess() const;
  void Cancel(std::uint32_t session);

  // A lane for one call, given back at the end.
  class Lease {
   public:
    explicit Lease(Context& context) : context_(context), lane_(context.Take()) {}
    ~Lease() { context_.GiveBack(std::move(lane_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    // Null: vteed is gone.
    Lane* lane() const { return lane_.get(); }

   private:
    Context& context_;
    std::unique_ptr<Lane> lane_;
  };

 private:
  explicit Context(UniqueFd socket);
  std::unique_ptr<Lane> Take();
  void GiveBack(std::unique_ptr<Lane> lane);
  std::unique_ptr<Lane> NewLane();

  const UniqueFd socket_;
  const pid_t process_;
  std::uint32_t max_lanes_ = 1;
  std::mutex mutex_;
  std::condition_variable given_back_;
  std::vector<std::unique_ptr<Lane>> idle_;
  std::uint32_t lanes_ = 0;
};

}  // namespace vtee::teec
