// SPDX-License-Identifier: BSD-3-Clause
// ProgramUpcalls: what a TEE asks of a program while one of its calls runs: sockets and plugins
// go to the program, whose rights they need; the time is this host's and needs no asking. TAs come
// from the host's folders (ta_dir), never from programs.
//
// Threading: the lane's.
#pragma once

#include "tee/upcalls.h"

namespace vtee::daemon {

class ProgramUpcalls final : public tee::Upcalls {
 public:
  explicit ProgramUpcalls(int lane) : lane_(lane) {}
  tee::Outcome Call(tee::Upcall& upcall) override;

 private:
  tee::Outcome AskProgram(tee::Upcall& upcall) const;
  int lane_;
};

}  // namespace vtee::daemon
