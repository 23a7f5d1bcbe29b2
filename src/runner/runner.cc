// SPDX-License-Identifier: BSD-3-Clause
// vtee-ta: runs the code of one TA instance for vteed, in an arena that both map.
//
//   vtee-ta ARENA-SIZE native|emulated      with the arena as descriptor 3
//
// Started by vteed, never by hand. An AArch64 program without C library: native on arm64, under
// qemu-user elsewhere. It holds no keys and decides nothing; see channel.h.
// One thread. Ends with status 1 when it cannot start.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

#include "runner/access_check.h"
#include "runner/channel.h"
#include "runner/linux_calls.h"

extern "C" {
std::uint64_t EnterTa(const std::uint64_t args[6]);
[[noreturn]] void LeaveTa(std::uint64_t result);
void SyscallEntry();

// GCC makes calls to these out of loops and assignments.
void* memcpy(void* to, const void* from, std::size_t size) {
  auto* out = static_cast<volatile char*>(to);
  const auto* in = static_cast<const char*>(from);
  while (size-- != 0) *out++ = *in++;
  return to;
}
void* memset(void* to, int value, std::size_t size) {
  auto* out = static_cast<volatile char*>(to);
  while (size-- != 0) *out++ = static_cast<char>(value);
  return to;
}
}

namespace vtee::runner {
namespace {

// What SyscallEntry stores.
struct CallFrame {
  std::uint64_t x[9];
  std::uint64_t sp;
  std::uint64_t fp;
  std::uint64_t lr;
  // Of a panic only.
  std::uint64_t x9_to_x15[7];
  std::uint64_t x18_to_x28[11];
  std::uint64_t flags;
  std::uint64_t padding;
};
static_assert(offsetof(CallFrame, x9_to_x15) == 96 && offsetof(CallFrame, flags) == 240);
static_assert(sizeof(CallFrame) == 256);

constexpr std::uint64_t kReturn = 0;       // utee_return
constexpr std::uint64_t kPanic = 2;        // utee_panic
constexpr std::uint64_t kCheckAccess = 8;  // utee_check_access_rights

// struct ucontext of arm64: the mcontext follows 128 bytes of signal mask.
struct UserContext {
  std::uint64_t flags;
  std::uint64_t link;
  std::uint64_t stack[3];
  std::uint8_t mask[136];  // and padding to 16 bytes
  std::uint64_t fault_address;
  std::uint64_t regs[34];
};
static_assert(offsetof(UserContext, fault_address) == 176);

alignas(16) std::uint8_t signal_stack[16384];

Channel& channel() { return *reinterpret_cast<Channel*>(kChannelAddress); }

void HandOver(Event event) {
  Channel& shared = channel();
  shared.event = static_cast<std::uint32_t>(event);
  shared.turn.store(static_cast<std::uint32_t>(Turn::kCore), std::memory_order_seq_cst);
  if (shared.core_sleeps.load(std::memory_order_seq_cst) != 0) {
    LinuxCall(__NR_futex, reinterpret_cast<std::uint64_t>(&shared.turn), FUTEX_WAKE, 1);
  }
}

void AwaitTurn(std::uint32_t looks) {
  constexpr auto kCore = static_cast<std::uint32_t>(Turn::kCore);
  Channel& shared = channel();
  for (; looks != 0; --looks) {
    if (shared.turn.load(std::memory_order_acquire) != kCore) return;
    asm volatile("yield");
  }
  shared.runner_sleeps.store(1, std::memory_order_seq_cst);
  while (shared.turn.load(std::memory_order_seq_cst) == kCore) {
    LinuxCall(__NR_futex, reinterpret_cast<std::uint64_t>(&shared.turn), FUTEX_WAIT, kCore, 0);
  }
  shared.runner_sleeps.store(0, std::memory_order_seq_cst);
}

void FlushInstructions(std::uint64_t start, std::uint64_t size) {
  std::uint64_t type = 0;  // CTR_EL0: sizes of lines, as logarithms of words
  asm volatile("mrs %0, ctr_el0" : "=r"(type));
  const std::uint64_t data_line = std::uint64_t{4} << (type >> 16 & 15);
  const std::uint64_t code_line = std::uint64_t{4} << (type & 15);
  for (std::uint64_t at = start; at < start + size; at += data_line) {
    asm volatile("dc cvau, %0" ::"r"(at) : "memory");
  }
  asm volatile("dsb ish" ::: "memory");
  for (std::uint64_t at = start; at < start + size; at += code_line) {
    asm volatile("ic ivau, %0" ::"r"(at) : "memory");
  }
  asm volatile("dsb ish\n\tisb" ::: "memory");
}

long Protect(const Protection& pages) {
  if ((pages.protection & PROT_EXEC) != 0) {
    // The instructions are made visible through a mapping that can be read.
    const long result = LinuxCall(__NR_mprotect, pages.start, pages.size, PROT_READ);
    if (result != 0) return result;
    FlushInstructions(pages.start, pages.size);
  }
  return LinuxCall(__NR_mprotect, pages.start, pages.size, pages.protection);
}

void ProtectAll(Channel& shared) {
  long result = 0;
  for (std::uint64_t i = 0; i < shared.args[0] && i < kMaxProtections && result == 0; ++i) {
    result = Protect(shared.protections[i]);
  }
  shared.args[0] = static_cast<std::uint64_t>(-result);
}

// Does what the core wants until it is something for the caller.
Request NextRequest(std::uint32_t looks) {
  for (;;) {
    AwaitTurn(looks);
    Channel& shared = channel();
    const auto request = static_cast<Request>(shared.request);
    if (request != Request::kProtect) return request;
    ProtectAll(shared);
    HandOver(Event::kDone);
  }
}

void ShowRegisters(const CallFrame& frame, std::uint64_t* regs) {
  for (int i = 0; i < 9; ++i) regs[i] = frame.x[i];
  for (int i = 0; i < 7; ++i) regs[9 + i] = frame.x9_to_x15[i];
  regs[16] = regs[17] = 0;
  for (int i = 0; i < 11; ++i) regs[18 + i] = frame.x18_to_x28[i];
  regs[29] = frame.fp;
  regs[30] = frame.lr;
  regs[31] = frame.sp;
  regs[32] = frame.lr;
  regs[33] = frame.flags;
}

extern "C" std::uint64_t HandleSyscall(const CallFrame* frame) {
  if (frame->x[8] == kReturn) LeaveTa(frame->x[0]);
  Channel& shared = channel();
  if (frame->x[8] == kCheckAccess) {
    return CheckAccess(shared.regions, shared.region_count, frame->x[0], frame->x[1], frame->x[2]);
  }
  for (int i = 0; i < 9; ++i) shared.regs[i] = frame->x[i];
  shared.ta_sp = frame->sp;
  shared.ta_fp = frame->fp;
  shared.ta_lr = frame->lr;
  if (frame->x[8] == kPanic) ShowRegisters(*frame, shared.stop_regs);
  HandOver(Event::kSyscall);
  if (NextRequest(shared.answer_looks) != Request::kResult) Exit(1);
  return channel().args[0];
}

// A TA that faults is not run any more: the core ends this process.
void OnSignal(int signal, const void*, const UserContext* context) {
  Channel& shared = channel();
  shared.signal = static_cast<std::uint32_t>(signal);
  shared.fault_address = context->fault_address;
  for (int i = 0; i < 34; ++i) shared.stop_regs[i] = context->regs[i];
  HandOver(Event::kFault);
  NextRequest(0);
  Exit(1);
}

bool CatchSignals() {
  struct {
    void* base;
    int flags;
    std::uint64_t size;
  } stack{signal_stack, 0, sizeof(signal_stack)};
  if (LinuxCall(__NR_sigaltstack, reinterpret_cast<std::uint64_t>(&stack), 0) != 0) return false;
  struct {
    void (*handler)(int, const void*, const UserContext*);
    std::uint64_t flags;
    void* restorer;
    std::uint64_t mask;
  } action{OnSignal, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, nullptr, 0};
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) {
    if (LinuxCall(__NR_rt_sigaction, static_cast<std::uint64_t>(signal),
                  reinterpret_cast<std::uint64_t>(&action), 0, sizeof(action.mask)) != 0) {
      return false;
    }
  }
  return true;
}

std::uint64_t ParseSize(const char* text) {
  std::uint64_t value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) {
    value = value * 10 + static_cast<std::uint64_t>(*text - '0');
    if (value > kMaxArenaSize) return 0;
  }
  return *text == '\0' ? value : 0;
}

bool MapArena(std::uint64_t size) {
  const long base =
      LinuxCall(__NR_mmap, kArenaBase, size, PROT_NONE, MAP_SHARED | MAP_FIXED, kArenaFd, 0);
  if (base != static_cast<long>(kArenaBase)) return false;
  if (LinuxCall(__NR_mprotect, kThunkAddress, kPage * (1 + kChannelPages),
                PROT_READ | PROT_WRITE) != 0) {
    return false;
  }
  auto* thunk = reinterpret_cast<std::uint32_t*>(kThunkAddress);
  thunk[0] = 0x58000050;  // ldr x16, .+8
  thunk[1] = 0xD61F0200;  // br x16
  *reinterpret_cast<std::uint64_t*>(thunk + 2) = reinterpret_cast<std::uint64_t>(&SyscallEntry);
  FlushInstructions(kThunkAddress, 16);
  return LinuxCall(__NR_mprotect, kThunkAddress, kPage, PROT_READ | PROT_EXEC) == 0;
}

// From here on: wait and wake, change what the TA may do with its memory, end. Anything else ends
// the process, whoever asks for it.
bool ConfineSystemCalls() {
  constexpr auto kLoad = static_cast<std::uint16_t>(BPF_LD | BPF_W | BPF_ABS);
  constexpr auto kIfEqual = static_cast<std::uint16_t>(BPF_JMP | BPF_JEQ | BPF_K);
  constexpr auto kAnswer = static_cast<std::uint16_t>(BPF_RET | BPF_K);
  static const sock_filter program[] = {
      {kLoad, 0, 0, offsetof(seccomp_data, arch)},
      {kIfEqual, 1, 0, AUDIT_ARCH_AARCH64},
      {kAnswer, 0, 0, SECCOMP_RET_KILL_PROCESS},
      {kLoad, 0, 0, offsetof(seccomp_data, nr)},
      {kIfEqual, 3, 0, __NR_futex},
      {kIfEqual, 2, 0, __NR_mprotect},
      {kIfEqual, 1, 0, __NR_exit_group},
      {kAnswer, 0, 0, SECCOMP_RET_KILL_PROCESS},
      {kAnswer, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog filter{sizeof(program) / sizeof(program[0]), const_cast<sock_filter*>(program)};
  return LinuxCall(__NR_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                   reinterpret_cast<std::uint64_t>(&filter)) == 0;
}

bool Is(const char* text, const char* word) {
  while (*text != '\0' && *text == *word) ++text, ++word;
  return *text == *word;
}

}  // namespace

extern "C" [[noreturn]] void RunnerMain(long argc, const char* const* argv) {
  const std::uint64_t size = argc == 3 ? ParseSize(argv[1]) : 0;
  if (size < kPage * (1 + kChannelPages) || size % kPage != 0) Exit(1);
  LinuxCall(__NR_prctl, PR_SET_DUMPABLE, 0);
  LinuxCall(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1);
  if (!MapArena(size) || !CatchSignals()) Exit(1);
  const bool emulated = Is(argv[2], "emulated");
  if (!emulated && !(Is(argv[2], "native") && ConfineSystemCalls())) Exit(1);
  HandOver(Event::kReady);
  for (;;) {
    if (NextRequest(channel().entry_looks) != Request::kEnter) Exit(1);
    std::uint64_t args[6];
    for (int i = 0; i < 6; ++i) args[i] = channel().args[i];
    const std::uint64_t result = EnterTa(args);
    channel().regs[0] = result;
    HandOver(Event::kReturn);
  }
}

}  // namespace vtee::runner
