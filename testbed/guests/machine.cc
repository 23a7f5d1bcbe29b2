// SPDX-License-Identifier: BSD-3-Clause
#include "machine.h"

#include "device_tree.h"
#include "interrupts.h"
#include "text.h"

extern "C" {
extern std::uint8_t _end;
extern std::uint64_t translation[512];
void next_cpu();
void CallSecure(guest::Registers* registers, std::uint64_t hvc);
void GuestStart(const void* tree);
void NextCpuStart(std::uint64_t cpu);
void UnexpectedException(std::uint64_t syndrome, std::uint64_t link, std::uint64_t fault);
}

namespace guest {
namespace {

constexpr std::uint64_t kPsciCpuOff = 0x84000002;
constexpr std::uint64_t kPsciCpuOn = 0xC4000003;
constexpr std::uint64_t kPsciAffinityInfo = 0xC4000004;
constexpr std::uint64_t kPsciSystemOff = 0x84000008;
constexpr std::uint64_t kPsciSystemReset = 0x84000009;

struct CpuWork {
  void (*entry)(void*);
  void* argument;
};

Machine g_machine;
CpuWork g_work[kMaxCpus];
Lock g_pages_lock;
std::uint8_t* g_next_page;
std::uint8_t* g_pages_end;
alignas(kPage) std::uint64_t g_first_gib[512];
bool g_failed;
const char* g_chapter = "";

// KVM answers PSCI itself, by HVC.
std::uint64_t Psci(std::uint64_t function, std::uint64_t a = 0, std::uint64_t b = 0,
                   std::uint64_t c = 0) {
  Registers registers{};
  registers.x[0] = function;
  registers.x[1] = a;
  registers.x[2] = b;
  registers.x[3] = c;
  Call(registers, true);
  return registers.x[0];
}

std::uint64_t Counter() {
  std::uint64_t count = 0;
  asm volatile("isb; mrs %0, cntvct_el0" : "=r"(count)::"memory");
  return count;
}

}  // namespace

const Machine& TheMachine() { return g_machine; }

void Call(Registers& registers, bool hvc) { CallSecure(&registers, hvc ? 1 : 0); }

Registers CallRegisters(Random& random, const std::uint32_t (&low)[6]) {
  Registers registers;
  for (std::uint64_t& x : registers.x) x = random.Next();
  for (unsigned i = 0; i < 6; ++i) {
    registers.x[i] = (registers.x[i] & 0xFFFFFFFF00000000) | low[i];
  }
  return registers;
}

void PowerOff() {
  if (!g_failed) Print("DONE\n");
  for (;;) Psci(kPsciSystemOff);
}

void Reset() {
  for (;;) Psci(kPsciSystemReset);
}

unsigned ThisCpu() {
  std::uint64_t affinity = 0;
  asm volatile("mrs %0, mpidr_el1" : "=r"(affinity));
  return affinity & 0xFF;
}

std::int32_t StartCpu(unsigned cpu, void (*entry)(void*), void* argument) {
  g_work[cpu] = {entry, argument};
  return static_cast<std::int32_t>(
      Psci(kPsciCpuOn, cpu, reinterpret_cast<std::uint64_t>(&next_cpu), cpu));
}

bool CpuIsOff(unsigned cpu) { return (Psci(kPsciAffinityInfo, cpu, 0) & 0xFFFFFFFF) == 1; }

std::uint64_t Microseconds() {
  std::uint64_t frequency = 0;
  asm volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
  return Counter() / (frequency / 1000000);
}

void Delay(std::uint64_t microseconds) {
  const std::uint64_t end = Microseconds() + microseconds;
  while (Microseconds() < end) {
  }
}

std::uint8_t* TakePages(std::uint64_t count) {
  g_pages_lock.Take();
  std::uint8_t* pages = g_next_page;
  const bool enough = count <= static_cast<std::uint64_t>(g_pages_end - pages) / kPage;
  if (enough) g_next_page += count * kPage;
  g_pages_lock.Release();
  if (!enough) {
    Check("memory of the guest", false, "no %lu pages are left", count);
    PowerOff();
  }
  std::memset(pages, 0, count * kPage);
  return pages;
}

std::uint64_t PagesLeft() { return static_cast<std::uint64_t>(g_pages_end - g_next_page) / kPage; }
std::uint8_t* NextPage() { return g_next_page; }

void TakePagesFrom(std::uint64_t address, std::uint64_t size) {
  g_next_page = reinterpret_cast<std::uint8_t*>(address);
  g_pages_end = g_next_page + size;
}

void MapAsMemory(std::uint64_t address, std::uint64_t size) {
  constexpr std::uint64_t kBlock = 2 * 1024 * 1024;
  constexpr std::uint64_t kDevice = 0x0060000000000401;  // as start.S maps it
  constexpr std::uint64_t kNormal = 0x0060000000000705;
  constexpr std::uint64_t kTable = 3;
  for (std::uint64_t i = 0; i < 512; ++i) {
    const std::uint64_t at = i * kBlock;
    const bool memory = at + kBlock > address && at < address + size;
    g_first_gib[i] = at | (memory ? kNormal : kDevice);
  }
  // Nothing that runs here lies in that GiB, so it may be away for a moment.
  translation[0] = 0;
  asm volatile("dsb ishst; tlbi vmalle1is; dsb ish; isb" ::: "memory");
  translation[0] = AddressOf(g_first_gib) | kTable;
  asm volatile("dsb ishst; isb" ::: "memory");
}

void ReturnPages(std::uint8_t* next_page) { g_next_page = next_page; }

void Chapter(const char* name) { g_chapter = name; }

bool Check(const char* name, bool good, const char* format, ...) {
  if (good) {
    Print("PASS %s%s%s\n", g_chapter, *g_chapter != '\0' ? ", " : "", name);
    return true;
  }
  va_list values;
  va_start(values, format);
  char why[160];
  Format(why, sizeof why, format, values);
  va_end(values);
  Print("FAIL %s%s%s: %s\n", g_chapter, *g_chapter != '\0' ? ", " : "", name, why);
  return false;
}

}  // namespace guest

void GuestStart(const void* tree) {
  guest::ReadMachine(tree, guest::g_machine);
  guest::g_next_page = reinterpret_cast<std::uint8_t*>(
      (guest::AddressOf(&_end) + guest::kPage - 1) / guest::kPage * guest::kPage);
  guest::g_pages_end =
      reinterpret_cast<std::uint8_t*>(guest::g_machine.ram + guest::g_machine.ram_size);
  GuestMain();
  guest::PowerOff();
}

void NextCpuStart(std::uint64_t cpu) {
  const guest::CpuWork work = guest::g_work[cpu];
  work.entry(work.argument);
  guest::DisableInterrupts();
  for (;;) guest::Psci(guest::kPsciCpuOff);
}

void UnexpectedException(std::uint64_t syndrome, std::uint64_t link, std::uint64_t fault) {
  guest::g_failed = true;
  guest::Print("FAIL exception: vCPU %u, syndrome 0x%lx at 0x%lx, address 0x%lx\n",
               guest::ThisCpu(), syndrome, link, fault);
  guest::PowerOff();
}
