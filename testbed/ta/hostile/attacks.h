// SPDX-License-Identifier: BSD-3-Clause
// What the hostile TA does, by command; shared with the client that asks for it
// (testbed/probes/tee_hostile.cc). Value a of the first parameter says more, value b of it comes
// back. A header for C and C++.
#pragma once

#define HOSTILE_UUID                                                               \
  {                                                                                \
    0xd2fa5f8a, 0x4879, 0x4b82, { 0xb1, 0x41, 0x65, 0x58, 0xb5, 0x77, 0x7f, 0xf7 } \
  }

enum Attack {
  // a: the low half of an address, b: the high one.
  kAttackJump = 1,
  // Never comes back.
  kAttackLoop = 2,
  // Takes memory of the heap, then mappings, until there is none. b: how many KiB.
  kAttackExhaust = 3,
  kAttackRecurse = 4,
  // a: 0 as the pages are, 1 after making every page of the arena writable, 2 those of the program
  // that runs the TA, too. Writes garbage onto each.
  kAttackScribble = 5,
  // a: a system call of Linux, asked of the kernel by an instruction of the TA's own.
  kAttackLinux = 6,
  // Asks for every system call of OP-TEE with wild arguments. a: the seed. b: how many calls.
  kAttackWild = 7,
  kAttackPanic = 8,
  // Takes handles of all kinds until there are none. b: how many.
  kAttackHandles = 9,
  // Says that it has written more than there is into the second parameter, a memory reference.
  kAttackBigOutput = 10,
  // Writes a's low half as the event, its high half as the turn, into the page it shares with
  // vteed, with garbage around, again and again.
  kAttackForge = 11,
  // Logs 10,000 lines.
  kAttackLog = 12,
  // Behaves.
  kAttackNone = 13,
  // Opens sessions of the calm TA, each with a process of its own, until it is refused. b: how
  // many.
  kAttackSpawn = 14,
};
