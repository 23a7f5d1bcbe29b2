// SPDX-License-Identifier: BSD-3-Clause
// The machine that a bare-metal guest runs on: QEMU's `virt` with KVM and a GICv3.
//
// A guest is one program without any library below it. It defines GuestMain(), which gets the
// machine ready to use; when it returns the machine is turned off. Output goes to the serial port.
// Threading: each vCPU runs what StartCpu() gave it. Print() keeps lines whole; pages may be taken
// by any vCPU; the rest belongs to the vCPU that calls it. Not supported: more than 1 GiB to
// 511 GiB of addresses, floating point, nested interrupts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace guest {

inline constexpr std::uint64_t kPage = 4096;
inline constexpr unsigned kMaxCpus = 8;

// ---- what the device tree says ----
struct Machine {
  char arguments[256];     // the command line (QEMU's -append)
  std::uint64_t ram;       // where memory begins
  std::uint64_t ram_size;  // bytes of it
  unsigned cpus;
  bool tee;  // there is a node for OP-TEE
  bool hvc;  // its conduit is HVC, not SMC
  bool has_interrupt;
  std::uint32_t interrupt;  // its SPI
};
const Machine& TheMachine();

// The number behind `name=` on the command line, decimal or with 0x.
std::uint64_t Argument(const char* name, std::uint64_t otherwise);
// Whether `word` stands on the command line.
bool HasArgument(const char* word);

// ---- output ----
// %s %c %d %u %x with l and a zero-padded width; one call is one piece of output.
[[gnu::format(printf, 1, 2)]] void Print(const char* format, ...);

// ---- secure calls ----
struct Registers {
  std::uint64_t x[18];
};
// SMC or HVC with x0 to x17 in and out.
void Call(Registers& registers, bool hvc);

// ---- power and vCPUs, by PSCI ----
[[noreturn]] void PowerOff();
[[noreturn]] void Reset();
// Runs `entry(argument)` on vCPU `cpu`, which is off; when it returns the vCPU turns itself off.
// PSCI's answer, 0 for success.
std::int32_t StartCpu(unsigned cpu, void (*entry)(void*), void* argument);
bool CpuIsOff(unsigned cpu);
unsigned ThisCpu();

// ---- time and interrupts ----
std::uint64_t Microseconds();
void Delay(std::uint64_t microseconds);
// From now on this vCPU takes interrupts; one of the timer each `tick_us` microseconds.
void EnableInterrupts(std::uint64_t tick_us);
void DisableInterrupts();
std::uint64_t Ticks(unsigned cpu);  // of the timer, that this vCPU took
// Sleeps until the next interrupt (EnableInterrupts() first).
void WaitForInterrupt();
// Lets vCPU 0 take this SPI, which is edge-triggered; then counts how often it came.
void EnableSpi(std::uint32_t spi);
std::uint64_t SpisTaken();

// ---- memory ----
// Zeroed pages that follow each other; ends the guest with a FAIL line when there are no more.
std::uint8_t* TakePages(std::uint64_t count);
std::uint64_t PagesLeft();
// From now on TakePages() gives out this memory: the window of a TEE with reserved memory.
void TakePagesFrom(std::uint64_t address, std::uint64_t size);
// Makes this range of the first GiB, in steps of 2 MiB, normal memory; once.
void MapAsMemory(std::uint64_t address, std::uint64_t size);
// What TakePages() gives next; ReturnPages() makes all that came since free again.
std::uint8_t* NextPage();
void ReturnPages(std::uint8_t* next_page);
inline std::uint64_t AddressOf(const volatile void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

// A lock between vCPUs.
class Lock {
 public:
  void Take() {
    while (__atomic_exchange_n(&taken_, 1, __ATOMIC_ACQUIRE) != 0) {
    }
  }
  void Release() { __atomic_store_n(&taken_, 0, __ATOMIC_RELEASE); }

 private:
  int taken_ = 0;
};

// xorshift64*: the same numbers for the same seed, everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 1) {
    if (state_ == 0) state_ = 1;
  }
  std::uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1D;
  }
  std::uint64_t Below(std::uint64_t bound) { return Next() % bound; }
  bool OneIn(std::uint64_t n) { return Below(n) == 0; }

 private:
  std::uint64_t state_;
};

// Registers with these words in the low halves of x0 to x5 and random bits in all the rest, where
// nobody may look for anything.
Registers CallRegisters(Random& random, const std::uint32_t (&low)[6]);

// ---- verdicts ----
// What the names of the verdicts from now on begin with; lasts as long as the guest.
void Chapter(const char* name);
// Prints `PASS name`, or `FAIL name: why` with `format` saying why. Returns `good`.
[[gnu::format(printf, 3, 4)]] bool Check(const char* name, bool good, const char* format, ...);

}  // namespace guest

// What the program does. Runs on vCPU 0.
void GuestMain();
