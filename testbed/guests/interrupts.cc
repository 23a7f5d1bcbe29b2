// SPDX-License-Identifier: BSD-3-Clause
#include "interrupts.h"

namespace guest {
namespace {

constexpr std::uint64_t kDistributor = 0x08000000;
constexpr std::uint64_t kRedistributors = 0x080A0000;
constexpr std::uint64_t kRedistributorBytes = 0x20000;
constexpr std::uint64_t kSgiFrame = 0x10000;
constexpr std::uint32_t kTimer = 27;  // the virtual timer's PPI
constexpr std::uint32_t kFirstSpi = 32;
constexpr std::uint32_t kNone = 1020;  // from here on no interrupt

struct PerCpu {
  std::uint64_t ticks;
  std::uint64_t period;
};
PerCpu g_cpu[kMaxCpus];
std::uint64_t g_spis;
Lock g_distributor_lock;

volatile std::uint32_t& Register(std::uint64_t address) {
  return *reinterpret_cast<volatile std::uint32_t*>(address);
}

void SetTimer(std::uint64_t counts) {
  asm volatile("msr cntv_tval_el0, %0; msr cntv_ctl_el0, %1; isb" ::"r"(counts),
               "r"(std::uint64_t{1}));
}

void PrepareDistributor() {
  g_distributor_lock.Take();
  Register(kDistributor) = 1u << 4 | 1u << 1;  // affinity routing, group 1
  g_distributor_lock.Release();
}

void PrepareCpu(unsigned cpu) {
  const std::uint64_t redistributor = kRedistributors + cpu * kRedistributorBytes;
  Register(redistributor + 0x14) = Register(redistributor + 0x14) & ~2u;  // GICR_WAKER
  while ((Register(redistributor + 0x14) & 4u) != 0) {
  }
  const std::uint64_t frame = redistributor + kSgiFrame;
  Register(frame + 0x80) = ~0u;            // GICR_IGROUPR0
  Register(frame + 0x100) = 1u << kTimer;  // GICR_ISENABLER0
  asm volatile(
      "msr S3_0_C12_C12_5, %0\n"  // ICC_SRE_EL1
      "isb\n"
      "msr S3_0_C4_C6_0, %1\n"    // ICC_PMR_EL1
      "msr S3_0_C12_C12_7, %0\n"  // ICC_IGRPEN1_EL1
      "isb" ::"r"(std::uint64_t{7}),
      "r"(std::uint64_t{0xFF}));
}

}  // namespace

void EnableInterrupts(std::uint64_t tick_us) {
  const unsigned cpu = ThisCpu();
  std::uint64_t frequency = 0;
  asm volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
  g_cpu[cpu].period = frequency / 1000000 * tick_us;
  PrepareDistributor();
  PrepareCpu(cpu);
  SetTimer(g_cpu[cpu].period);
  asm volatile("msr daifclr, #2" ::: "memory");
}

void DisableInterrupts() {
  asm volatile("msr daifset, #2; msr cntv_ctl_el0, xzr; isb" ::: "memory");
}

std::uint64_t Ticks(unsigned cpu) { return __atomic_load_n(&g_cpu[cpu].ticks, __ATOMIC_RELAXED); }

void WaitForInterrupt() { asm volatile("dsb sy; wfi" ::: "memory"); }

void EnableSpi(std::uint32_t spi) {
  const std::uint32_t id = spi + kFirstSpi;
  g_distributor_lock.Take();
  const std::uint64_t bit = id / 32 * 4;
  Register(kDistributor + 0x80 + bit) = Register(kDistributor + 0x80 + bit) | 1u << (id % 32);
  const std::uint64_t config = kDistributor + 0xC00 + id / 16 * 4;  // GICD_ICFGR: edge
  Register(config) = Register(config) | 2u << (id % 16 * 2);
  *reinterpret_cast<volatile std::uint64_t*>(kDistributor + 0x6000 + id * 8) = 0;  // to vCPU 0
  Register(kDistributor + 0x100 + bit) = 1u << (id % 32);                          // enable
  g_distributor_lock.Release();
}

std::uint64_t SpisTaken() { return __atomic_load_n(&g_spis, __ATOMIC_RELAXED); }

}  // namespace guest

void HandleInterrupt() {
  std::uint64_t id = 0;
  asm volatile("mrs %0, S3_0_C12_C12_0" : "=r"(id));  // ICC_IAR1_EL1
  id &= 0xFFFFFF;
  if (id >= guest::kNone) return;
  guest::PerCpu& cpu = guest::g_cpu[guest::ThisCpu()];
  if (id == guest::kTimer) {
    guest::SetTimer(cpu.period);
    __atomic_fetch_add(&cpu.ticks, 1, __ATOMIC_RELAXED);
  } else if (id >= guest::kFirstSpi) {
    __atomic_fetch_add(&guest::g_spis, 1, __ATOMIC_RELAXED);
  }
  asm volatile("msr S3_0_C12_C12_1, %0; isb" ::"r"(id));  // ICC_EOIR1_EL1
}
