// SPDX-License-Identifier: BSD-3-Clause
// Where vtee's other parts are, relative to the vtee program: installed (bin/vteed,
// lib/vtee/libvtee-kvm.so) or in a build tree. Any thread.
#pragma once

#include <string>

#include "base/result.h"

namespace vtee::cli {

// `folder` holds the vtee program. An empty member of `given` is looked for; the others are only
// checked to exist. The result's paths are absolute.
Result<std::string> LocateVteed(const std::string& given, const std::string& folder);
Result<std::string> LocateShim(const std::string& given, const std::string& folder);

// The folders with libteec.so.2, for this machine and, on another than arm64, for arm64 programs:
// a value for LD_LIBRARY_PATH, since the loader passes over libraries for another machine.
Result<std::string> LocateTeec(const std::string& folder);

// The folder of the running program.
std::string OwnFolder();

}  // namespace vtee::cli
