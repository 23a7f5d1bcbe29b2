// SPDX-License-Identifier: BSD-3-Clause
// The parameters of a TEEC_Operation, to the TEE and back.
//
// Every memory reference is copied into the lane's memory before a call and what comes out is
// copied back after it, so that registering shared memory costs nothing and the TEE sees no other
// byte of this process. Threading: one thread.
#pragma once

#include "teec/lane.h"

namespace vtee::teec {

// BAD_PARAMETERS as OP-TEE's libteec; GENERIC for a buffer that is no memory, OUT_OF_MEMORY.
TEEC_Result ToMessage(const TEEC_Operation* operation, Lane& lane, program::Message& message);
// `sent`: what ToMessage() made. GENERIC for a buffer that cannot be written.
TEEC_Result FromMessage(const program::Message& result, const program::Message& sent,
                        const Lane& lane, TEEC_Operation* operation);

}  // namespace vtee::teec
