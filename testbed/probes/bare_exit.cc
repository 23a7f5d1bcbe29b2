// SPDX-License-Identifier: BSD-3-Clause
// bare_exit: times a KVM_EXIT_HYPERCALL round trip with nothing behind it.
//
// A VM of one vCPU and one page whose code is "hvc #0; b ." in a loop with a function id that the
// SMCCC filter forwards; the VMM does nothing but enter again. That is the floor under every
// secure call that userspace answers. Prints "bare_exit_us p50 P p99 Q mean M count N".
// With -m the guest reads from an address where nothing is instead: an exit that is no TEE's
// business; "mmio_exit_us ...". Run with and without vtee's shim it shows what others pay for it.
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "times.h"

#if !defined(__aarch64__)
#error "this program is for arm64"
#endif

namespace {

constexpr std::uint64_t kCode = 0x40000000;
constexpr std::uint32_t kFunction = 0xB2000000;
constexpr std::uint64_t kNothing = 0x1000'0000;
constexpr int kCount = 2000;
constexpr int kWarmup = 100;

// Linux Documentation/virt/kvm/devices/vm.rst, section 6; absent from older headers.
constexpr std::uint32_t kSmcccGroup = 0;
struct SmcccFilter {
  std::uint32_t base;
  std::uint32_t count;
  std::uint8_t action;
  std::uint8_t pad[15];
};
constexpr std::uint8_t kForwardToUser = 2;

int Check(int value, const char* what) {
  if (value >= 0) return value;
  std::perror(what);
  std::exit(1);
}

void SetRegister(int vcpu, std::uint64_t index, std::uint64_t value) {
  // KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE, counted in 32-bit words.
  kvm_one_reg reg{0x6030000000100000ull | index * 2, reinterpret_cast<std::uint64_t>(&value)};
  Check(ioctl(vcpu, KVM_SET_ONE_REG, &reg), "KVM_SET_ONE_REG");
}

}  // namespace

int main(int argc, char** argv) {
  const bool mmio = argc > 1 && std::strcmp(argv[1], "-m") == 0;
  const int kvm = Check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  const int vm = Check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  if (!mmio) {  // else the filter is the shim's
    SmcccFilter filter{kFunction, 1, kForwardToUser, {}};
    kvm_device_attr attribute{0, kSmcccGroup, 0, reinterpret_cast<std::uint64_t>(&filter)};
    Check(ioctl(vm, KVM_SET_DEVICE_ATTR, &attribute), "SMCCC filter");
  }
  const int file = Check(memfd_create("code", MFD_CLOEXEC), "memfd_create");
  Check(ftruncate(file, 4096), "ftruncate");
  auto* code =
      static_cast<std::uint32_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  code[0] = mmio ? 0xF9400022   // ldr x2, [x1]
                 : 0xD4000002;  // hvc #0
  code[1] = 0xAA0103E0;         // mov x0, x1: the function id again
  code[2] = 0x17FFFFFE;         // b to the hvc
  __builtin___clear_cache(reinterpret_cast<char*>(code), reinterpret_cast<char*>(code + 3));
  kvm_userspace_memory_region region{0, 0, kCode, 4096, reinterpret_cast<std::uint64_t>(code)};
  Check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  const int vcpu = Check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  kvm_vcpu_init init{};
  Check(ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init), "KVM_ARM_PREFERRED_TARGET");
  Check(ioctl(vcpu, KVM_ARM_VCPU_INIT, &init), "KVM_ARM_VCPU_INIT");
  SetRegister(vcpu, 0, kFunction);
  SetRegister(vcpu, 1, mmio ? kNothing : kFunction);
  SetRegister(vcpu, 32, kCode);  // pc
  const int size = Check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  auto* run = static_cast<kvm_run*>(
      mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0));
  std::vector<double> times;
  for (int i = -kWarmup; i < kCount; ++i) {
    const double start = Micros();
    Check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    if (i >= 0) times.push_back(Micros() - start);
    if (run->exit_reason != (mmio ? KVM_EXIT_MMIO : KVM_EXIT_HYPERCALL)) {
      std::fprintf(stderr, "exit reason %u\n", run->exit_reason);
      return 1;
    }
  }
  PrintTimes(mmio ? "mmio_exit_us" : "bare_exit_us", std::move(times));
  return 0;
}
