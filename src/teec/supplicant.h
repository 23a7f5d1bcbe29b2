// SPDX-License-Identifier: BSD-3-Clause
// What the TEE asks of this process while one of its calls runs: sockets and plugins, as OP-TEE's
// tee-supplicant serves them for a whole machine (optee_client tee-supplicant/src).
//
// Threading: any thread; the answer is given on the thread whose call it is.
#pragma once

#include "program/protocol.h"

namespace vtee::teec {

// `memory`: the memfd with the buffers of `asked`, or -1. The answer's params are those of `asked`
// with what comes out.
program::Message ServeUpcall(const program::Message& asked, int memory);

}  // namespace vtee::teec
