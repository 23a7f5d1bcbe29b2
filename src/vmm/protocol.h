// SPDX-License-Identifier: BSD-3-Clause
// The VMM protocol, version 1: what the VMM side (the shim, or a VMM through include/vtee/vmm.h)
// and vteed share. docs/vmm-protocol.md is the prose; this header is the layout.
//
// Three channels:
//  - a Unix SOCK_SEQPACKET control socket: set-up, memory slots, life events, descriptors. One
//    ControlMessage per packet; the receiver of anything malformed closes the connection.
//  - shared memory with one mailbox per vCPU for the secure calls themselves. A vCPU has at most
//    one call outstanding, so the "ring" of a vCPU has one entry.
//  - for guest memory that vteed cannot map, a SOCK_SEQPACKET socket on which vteed asks the VMM
//    side to copy. It is there only when a slot needs it.
//
// Both sides run on one machine and share its byte order (little-endian hosts only).
// Neither side trusts the other's words: vteed fetches each request field once, and the VMM side
// checks counts before it copies registers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vtee::vmm {

inline constexpr std::uint32_t kProtocolMagic = 0x65657476;  // "vtee"
inline constexpr std::uint16_t kProtocolMajor = 1;           // must match
inline constexpr std::uint16_t kProtocolMinor = 1;           // the smaller one's features are used
inline constexpr std::uint16_t kMinorWithWindow = 1;         // shared-memory window in kHelloReply
inline constexpr std::uint16_t kMinorWithMemory = 1;         // has kMemoryChannel

inline constexpr std::size_t kMaxVcpus = 512;
inline constexpr std::size_t kMaxFilterRanges = 16;
inline constexpr std::size_t kCallRegisters = 18;  // x0..x17, SMCCC 1.2

// ---- shared memory -------------------------------------------------------------------------

// Page 0 of the shared memory.
struct RingHeader {
  std::uint32_t magic;
  std::uint16_t major;
  std::uint16_t minor;
  std::uint32_t vcpu_capacity;  // mailboxes that follow, from byte 4096 on
  std::uint32_t mailbox_size;   // bytes, sizeof(Mailbox)
  // Filled by vteed at set-up: how many threads of the VMM side should spin at once.
  std::uint32_t spinners;
  // The VMM side rings this (increment, then futex wake) when it wants a call parked. vteed's
  // park thread sleeps on it.
  alignas(64) std::atomic<std::uint32_t> park_doorbell;
};
static_assert(sizeof(RingHeader) <= 4096);

// Sleep flags: the side that is about to sleep sets its flag, re-checks, then sleeps; the other
// side makes the futex system call only when it sees the flag. That keeps the spinning path free
// of system calls. Stores to and loads of request, reply and the flags are sequentially
// consistent: with release and acquire alone both sides could miss each other.
struct alignas(512) Mailbox {
  // VMM side writes x (what it does not know: 0) and conduit, then request.
  alignas(64) std::atomic<std::uint32_t> request;  // sequence number; vteed waits on it
  std::atomic<std::uint32_t> vteed_sleeping;
  std::uint32_t conduit;        // kConduitSmc or kConduitHvc
  std::uint32_t park_after_us;  // filled by vteed at set-up: how long the vCPU may be held
  std::uint64_t x[kCallRegisters];
  std::uint32_t spin_us;  // filled by vteed at set-up: the longest spin that pays on this machine

  // vteed writes reply_x and reply_count, then reply = request.
  alignas(64) std::atomic<std::uint32_t> reply;  // VMM side waits on it
  std::atomic<std::uint32_t> vmm_sleeping;
  std::uint32_t reply_count;  // registers x0..x(count-1) to set, <= 18
  // vteed sets it once a thread serves this mailbox. While it is 0 the VMM side rings
  // RingHeader::park_doorbell right after it publishes a request, and vteed starts the thread.
  std::atomic<std::uint32_t> served;
  std::uint64_t reply_x[kCallRegisters];

  // VMM side: sequence number of the request it wants parked (then it rings park_doorbell).
  alignas(64) std::atomic<std::uint32_t> park;
};
static_assert(sizeof(Mailbox) == 512);
static_assert(offsetof(Mailbox, x) == 16);
static_assert(offsetof(Mailbox, reply) == 192);
static_assert(offsetof(Mailbox, park) == 384);

inline constexpr std::uint32_t kConduitHvc = 0;
inline constexpr std::uint32_t kConduitSmc = 1;

inline constexpr std::size_t RingBytes(std::size_t vcpus) {
  return 4096 + (vcpus * sizeof(Mailbox) + 4095) / 4096 * 4096;
}

// ---- control socket ------------------------------------------------------------------------

enum class ControlType : std::uint32_t {
  kHello = 1,       // VMM -> vteed: fds: [0] ring memfd. First message of a connection.
  kHelloReply = 2,  // vteed -> VMM
  kSetSlot = 3,     // VMM -> vteed, answered by kAck. fds: [0] the slot's file, or none
  kRemoveSlot = 4,  // VMM -> vteed, answered by kAck
  kInterrupt = 5,   // VMM -> vteed. fds: [0] eventfd that raises the guest's interrupt
  kLife = 6,        // VMM -> vteed, answered by kAck
  kAck = 7,         // vteed -> VMM
  kNewVm = 8,       // VMM -> broker (`vtee run`): fds: [0] the control socket of a new VM
  // VMM -> vteed, at most once, before the first slot with a region. fds: [0] the memory channel.
  kMemoryChannel = 9,
};

enum class LifeKind : std::uint32_t { kReset = 1, kPaused = 2, kResumed = 3 };

struct HelloBody {
  std::uint32_t vcpu_capacity;
  std::uint32_t vmm_pid;
};

struct FilterRange {
  std::uint32_t base;  // SMCCC function id
  std::uint32_t count;
  std::uint32_t registers;  // x0..x(registers-1) matter to these calls; 1 to kCallRegisters
  std::uint32_t reserved;
};

// status 0: welcome. Otherwise `text` is a sentence for the person and vteed ends.
struct HelloReplyBody {
  std::uint32_t status;
  std::uint32_t range_count;             // <= kMaxFilterRanges
  FilterRange ranges[kMaxFilterRanges];  // function ids to route to userspace
  std::int32_t interrupt_gsi;            // SPI number (INTID - 32) to raise, -1: none
  std::uint32_t vteed_pid;
  char text[240];  // NUL-terminated
  // From 1.1 on: the one memory slot that vteed wants, which the VMM side makes outside of the
  // guest's RAM. Size 0: none; vteed is told all slots.
  std::uint64_t window_base;
  std::uint64_t window_size;
};
static_assert(offsetof(HelloReplyBody, window_base) == 512);

inline constexpr std::uint32_t kSlotReadOnly = 1;

struct SlotBody {
  std::uint32_t slot;         // address space << 16 | KVM slot
  std::uint32_t flags;        // kSlotReadOnly
  std::uint64_t guest_phys;   // IPA of the first byte
  std::uint64_t size;         // bytes
  std::uint64_t file_offset;  // of the first byte in the file
  // Without a file: its number on the memory channel, never used again; 0: not to be reached.
  std::uint64_t region;
};

struct LifeBody {
  LifeKind kind;
  std::uint32_t reserved;
};

struct AckBody {
  std::uint32_t of;      // ControlType acknowledged
  std::uint32_t status;  // 0: done
};

struct ControlMessage {
  std::uint32_t magic;
  std::uint16_t major;
  std::uint16_t minor;
  ControlType type;
  std::uint32_t reserved;
  union {
    HelloBody hello;
    HelloReplyBody hello_reply;
    SlotBody slot;
    LifeBody life;
    AckBody ack;
  };
};
static_assert(sizeof(ControlMessage) == 544);
static_assert(offsetof(ControlMessage, hello) == 16);

// ---- memory channel ------------------------------------------------------------------------

// One request and one answer per packet, in any order of requests from vteed's threads; answers
// come in the order of the requests. Header, then (request) `count` pieces, then the bytes: of a
// write in the request, of a read in the answer. The pieces' sizes add up to `bytes`.
enum class MemoryOp : std::uint32_t { kRead = 1, kWrite = 2 };

enum class MemoryStatus : std::uint32_t {
  kDone = 0,
  kNoRegion = 1,  // a region is gone, or a piece does not lie in it
  kReadOnly = 2,  // a write to a read-only region; nothing was written
  kFault = 3,     // its memory is not there; a part may have been copied
};

struct MemoryHeader {
  std::uint32_t magic;  // kProtocolMagic
  std::uint32_t op;     // MemoryOp; the answer repeats it
  std::uint64_t id;     // vteed's; the answer repeats it
  std::uint32_t count;  // pieces in a request, MemoryStatus in an answer
  std::uint32_t bytes;  // of all pieces in a request; that follow in an answer
};
static_assert(sizeof(MemoryHeader) == 24);

struct MemoryPiece {
  std::uint64_t region;
  std::uint64_t offset;  // bytes from the slot's start
  std::uint64_t size;
};
static_assert(sizeof(MemoryPiece) == 24);

inline constexpr std::size_t kMaxMemoryPieces = 32;
inline constexpr std::size_t kMaxMemoryBytes = std::size_t{64} * 1024;
inline constexpr std::size_t kMaxMemoryPacket =
    sizeof(MemoryHeader) + kMaxMemoryPieces * sizeof(MemoryPiece) + kMaxMemoryBytes;

}  // namespace vtee::vmm
