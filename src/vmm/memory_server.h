// SPDX-License-Identifier: BSD-3-Clause
// MemoryServer: the VMM side of the memory channel: copies guest memory for a vteed that cannot
// map it.
//
// It keeps a table of the VM's regions (slots with an address in this process) and copies between
// a packet and exactly these, by process_vm_readv and process_vm_writev on its own process: memory
// that is not there, or is private to a protected guest, is an error of that call and no signal,
// and, other than with /proc/self/mem, the mappings' protection counts and no /proc is needed.
// vteed is not trusted: whatever is malformed closes the channel.
//
// Threading: any thread. Remove() returns when no copy touches the region any more. Serve() may be
// called by several threads; requests are served one at a time. Ownership: owns its end of the
// channel and, once started, one thread, which takes no lock but this object's own, has all
// signals blocked and ends with the object.
// Not supported: use in the child of a fork; memory that only an MMIO exit can reach.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>

#include "vmm/own_fd.h"
#include "vmm/peer_health.h"
#include "vmm/protocol.h"
#include "vmm/runtime.h"

namespace vtee::vmm {

class MemoryServer {
 public:
  explicit MemoryServer(PeerHealth& health) : health_(health) {}
  MemoryServer(const MemoryServer&) = delete;
  MemoryServer& operator=(const MemoryServer&) = delete;
  ~MemoryServer();

  // Makes the channel; `peer` is the end for vteed. Once. False: no memory, no descriptors.
  [[nodiscard]] bool Open(OwnFd& peer);
  // -1: not open.
  int fd() const { return channel_.get(); }

  // The number of a new region for the slot, never 0; 0: no memory, or it wraps.
  std::uint64_t Add(std::uint32_t slot, std::uint64_t address, std::uint64_t size, bool read_only);
  // Removes the slot's regions but this one.
  void RemoveAllBut(std::uint64_t region, std::uint32_t slot);
  void Remove(std::uint32_t slot) { RemoveAllBut(0, slot); }

  // Serves one request if there is one. kEnded: the channel is closed, by either side.
  enum class Served { kOne, kNone, kEnded };
  Served Serve();
  // Serves all that comes on a thread of its own. False: there is none to be had.
  [[nodiscard]] bool StartThread();

 private:
  struct Region {
    std::uint64_t id;
    std::uint64_t address;
    std::uint64_t size;
    std::uint32_t slot;
    bool read_only;
  };
  struct Packet;

  static void* ThreadMain(void* server);
  void Loop();
  Served Receive(std::size_t& size);
  bool WellFormed(std::size_t size) const;
  bool Reply();
  MemoryStatus Copy(char* bytes);
  const Region* Find(const MemoryPiece& piece) const;
  Served End(bool misbehaved);

  PeerHealth& health_;
  OwnFd channel_;
  Mutex mutex_;  // guards all below
  PodArray<Region> regions_;
  std::uint64_t last_id_ = 0;
  Packet* packet_ = nullptr;  // the one request that is being served, and its answer
  bool ended_ = false;
  bool has_thread_ = false;
  pthread_t thread_ = {};
};

}  // namespace vtee::vmm
