// SPDX-License-Identifier: BSD-3-Clause
// HostileProgram: one program of the program socket that says what the fuzzer's input says: packets
// of any kind, descriptors of any kind, at any place and time.
//
// It never waits for vteed, but in Await(), and never stops reading for good. Threading: one
// thread. Ownership: borrows the descriptors it passes on.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "fuzz_input.h"
#include "program/protocol.h"

namespace vtee::daemon {

// What a program may pass with a message, by the number that the input gives. The first are good
// memory; they are made anew for each input, as seals and sizes stay.
class ProgramDescriptors {
 public:
  ProgramDescriptors();
  // `self`: the program's own end of its connection.
  int Get(std::uint8_t number, int self) const;
  // Cuts or lengthens a file, or seals it.
  void Spoil(Input& input) const;

 private:
  std::array<UniqueFd, 5> memory_;
  std::vector<UniqueFd> others_;
};

class HostileProgram {
 public:
  static constexpr std::size_t kLanesGranted = 4;  // what vteed is to take

  HostileProgram(const std::string& path, const ProgramDescriptors& descriptors);

  // A hello as it should be or nearly so; its answer is checked.
  void Hello(Input& input);
  void SendOnFirst(Input& input);
  void AddLane(Input& input);
  void Request(Input& input);
  void SendRaw(Input& input);
  void Cancel(Input& input);
  // One packet of a lane: a result, or an upcall, which is answered. A lane that kept to the
  // protocol must get it, after the calls of its program were asked to stop.
  void Await(Input& input);
  void CloseLane(Input& input);
  // All of it, as a process that ends.
  void Leave();

 private:
  struct Lane {
    UniqueFd socket;
    bool clean = true;  // never said anything that is not of the protocol, and vteed has taken it
    bool pending = false;  // a request has no answer yet
  };
  Lane* Choose(Input& input);
  std::uint32_t SessionOf(std::uint8_t number, Input& input) const;
  void FillRequest(Input& input, program::Message& message) const;
  void Take(Lane& lane, const program::Message& message, int file, Input& input);
  void AnswerUpcall(Lane& lane, program::Message message, int file, Input& input);
  void AskToStop() const;

  const ProgramDescriptors& descriptors_;
  UniqueFd socket_;
  static constexpr std::size_t kMaxLanes = kLanesGranted + 2;
  bool greeted_ = false;
  bool clean_ = true;
  std::size_t lanes_made_ = 0;
  std::vector<Lane> lanes_;
  std::vector<std::uint32_t> sessions_;  // numbers that vteed has given
};

}  // namespace vtee::daemon
