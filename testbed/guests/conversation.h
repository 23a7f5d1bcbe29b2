// SPDX-License-Identifier: BSD-3-Clause
// What guests of every profile do alike: ask who the TEE is, call what is not there, and have a
// trusted application hash something.
// Threading: one vCPU.
#pragma once

#include "optee.h"

namespace guest::optee {

void CheckIdentity(Client& client);

// SMC64 twins of all ids, and ids of nothing: unknown functions, and nothing happens.
void CheckTwins(Client& client);

// Opens xtest's crypt TA, hashes by contiguous temporary memory, and closes; all in `message`.
void Converse(Client& client, const char* name, Message message);

}  // namespace guest::optee
