// SPDX-License-Identifier: BSD-3-Clause
// MemoryChannel: vteed's end of the memory channel (vmm/protocol.h): guest memory that this process
// cannot map, copied by the VMM's process.
//
// Threading: any thread, several at once; requests go one after the other. A request waits for as
// long as the VMM is there: a VMM that is stopped (SIGSTOP, a debugger) makes its guest's calls
// wait with it, and they go on when it goes on. Close(), or the VMM's end, ends every wait.
// Ownership: owns the socket. The VMM side is not trusted: an answer counts only if it is exactly
// the one to the request; anything else closes the channel, and all later requests fail at once.
// Not supported: opening it again.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>

#include "base/unique_fd.h"
#include "guest/remote_memory.h"
#include "vmm/protocol.h"

namespace vtee::daemon {

class MemoryChannel final : public guest::RemoteMemory {
 public:
  // `say_after_ms`: how long an answer may take before the log says so.
  explicit MemoryChannel(UniqueFd socket, std::uint32_t say_after_ms = 5'000);
  MemoryChannel(const MemoryChannel&) = delete;
  MemoryChannel& operator=(const MemoryChannel&) = delete;

  bool Read(std::span<const guest::RemotePiece> pieces, std::span<std::byte> out) override;
  bool Write(std::span<const guest::RemotePiece> pieces, std::span<const std::byte> bytes) override;

  // Ends what waits, for good. Any thread; async-signal-safe.
  void Close();

 private:
  bool Request(vmm::MemoryOp op, std::span<const guest::RemotePiece> pieces,
               std::span<const std::byte> sent, std::span<std::byte> received, std::size_t bytes);
  bool Send(const vmm::MemoryHeader& header, std::span<const guest::RemotePiece> pieces,
            std::span<const std::byte> bytes);
  bool Receive(vmm::MemoryHeader& answer, std::span<std::byte> bytes, std::size_t& size);
  bool Lost(const char* why);

  const UniqueFd socket_;
  std::mutex mutex_;  // one request at a time; guards last_id_
  std::uint64_t last_id_ = 0;
  std::atomic<bool> closed_{false};
};

}  // namespace vtee::daemon
