// SPDX-License-Identifier: BSD-3-Clause
#include "cli/host_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace vtee::cli {
namespace {

// <linux/kvm.h> of older distributions lacks these: Documentation/virt/kvm/devices/vm.rst.
constexpr std::uint32_t kSmcccGroup = 0;
constexpr std::uint64_t kSmcccFilter = 0;
constexpr int kCapArmVmIpaSize = 165;
constexpr int kDefaultIpaBits = 40;

Result<UniqueFd> OpenKvm(const std::string& path) {
  UniqueFd kvm(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (kvm) return kvm;
  switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return Error{ErrorCode::kNotFound,
                   path +
                       " is missing: this kernel has no KVM or did not start at EL2; use a host "
                       "whose firmware gives Linux EL2"};
    case EACCES:
    case EPERM:
      return Error{ErrorCode::kPermissionDenied,
                   "no permission to open " + path +
                       "; add the user to the device's group (usually kvm) and log in again"};
    default:
      return ErrnoError(errno, "cannot open " + path);
  }
}

}  // namespace

Status CheckKvm(const std::string& kvm_path) {
  VTEE_ASSIGN_OR_RETURN(const UniqueFd kvm, OpenKvm(kvm_path));
  // Some machines offer less than the default of 40 address bits; ask for what there is.
  const int bits = ioctl(kvm.get(), KVM_CHECK_EXTENSION, kCapArmVmIpaSize);
  const int type = bits > 0 && bits < kDefaultIpaBits ? bits : 0;
  const UniqueFd vm(ioctl(kvm.get(), KVM_CREATE_VM, type));
  if (!vm) {
    return Error{ErrorCode::kSystem, fmt::format("{} cannot create a VM ({}); is it really KVM?",
                                                 kvm_path, std::strerror(errno))};
  }
  kvm_device_attr attribute{};
  attribute.group = kSmcccGroup;
  attribute.attr = kSmcccFilter;
  if (ioctl(vm.get(), KVM_HAS_DEVICE_ATTR, &attribute) != 0) {
    return Error{ErrorCode::kUnsupported,
                 "this kernel cannot hand secure calls to userspace (KVM's SMCCC filter is "
                 "missing); use Linux 6.4 or newer"};
  }
  return {};
}

HostReport CheckHost(const std::string& kvm_path) {
  HostReport report;
  utsname name{};
  uname(&name);
  report.facts.push_back(fmt::format("kernel: {} {}", name.sysname, name.release));
  report.facts.push_back(fmt::format("machine: {}", name.machine));
  if (std::strcmp(name.machine, "aarch64") != 0) {
    report.problems.push_back(fmt::format(
        "this machine is {}, and VMs with a TEE need an arm64 host with KVM", name.machine));
    report.facts.push_back("kvm: not asked");
    return report;
  }
  const Status kvm = CheckKvm(kvm_path);
  report.facts.push_back(fmt::format("kvm: {}", kvm.ok() ? "has the SMCCC filter" : "unusable"));
  if (!kvm.ok()) report.problems.push_back(kvm.error().message);
  return report;
}

}  // namespace vtee::cli
