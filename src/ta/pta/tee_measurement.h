// SPDX-License-Identifier: BSD-3-Clause
// What attestation says about code: hashes of what cannot be written, as it is in memory now.
//
// Threading: any thread; of a TA, the thread that runs it, while it waits in a call.
#pragma once

#include <cstdint>
#include <optional>

#include "ta/loader/modules.h"
#include "ta/process/ta_space.h"
#include "ta/storage/seal.h"

namespace vtee::ta {

// SHA-256 of this process' code and constants: the segments that are never writable, of the program
// and its libraries, in the order they were loaded. Not the programs of the TAs' processes.
std::optional<Digest> MeasureTee();

// SHA-256 of a TA's pages that it cannot write, smaller regions first and those of one size by
// their contents, so that it does not matter where they are (optee_os core/pta/attestation.c). For
// that reason system calls count as the file has them (loader/svc_patch.h), and the loader's list
// of where modules are does not count.
std::optional<Digest> MeasureTa(const TaSpace& space, const Modules& modules);

// The same for regions that have been collected.
std::optional<Digest> MeasureRegions(std::vector<ConstBytes> regions);

}  // namespace vtee::ta
