// SPDX-License-Identifier: BSD-3-Clause
// Can this host give a VM a TEE? Each failure is one sentence with its remedy.
//
// Only read-only probes: a VM is created and closed again to ask the kernel about its SMCCC
// filter, no vCPU ever runs. Any thread. Not supported: asking about the TEE device, which is
// vteed's business (`vteed --check`).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace vtee::cli {

struct HostReport {
  std::vector<std::string> facts;     // "name: value" lines for --dry-run
  std::vector<std::string> problems;  // sentences
};

HostReport CheckHost(const std::string& kvm_path = "/dev/kvm");

// One of the probes, for tests: opens the device and asks for the filter.
Status CheckKvm(const std::string& kvm_path);

}  // namespace vtee::cli
