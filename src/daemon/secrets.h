// SPDX-License-Identifier: BSD-3-Clause
// Keeps the keys of a userspace TEE inside of this process.
//
// The process's memory is neither dumped nor open to others of its user (the VMM runs as the same
// one): PR_SET_DUMPABLE. Keys and all secrets of up to 4 KiB are locked, too (ta/crypto/secret.h).
// What the system does not allow is left out, with one line in the log.
// Threading: before there are other threads. Not supported: hiding anything from root.
#pragma once

namespace vtee::daemon {

void HideSecrets();

}  // namespace vtee::daemon
