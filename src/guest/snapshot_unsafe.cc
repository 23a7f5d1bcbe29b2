// SPDX-License-Identifier: BSD-3-Clause
#include "guest/snapshot_unsafe.h"

#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <mutex>

#include "guest/guest_memory.h"

// int vtee_guest_copy(void* to, const void* from, size_t size,
//                     uintptr_t guest_begin, uintptr_t guest_end)
//
// 1: done. 0: a fault in [guest_begin, guest_end). A leaf that touches neither the stack nor the
// registers of its last two arguments: a signal handler that finds the program counter inside
// it can read the guest range from those registers and go on at vtee_guest_copy_fault.
//
// The steps align the guest's side (whichever that is): 1, 2, 4 bytes up to a multiple of 8, then
// words of 8, then 4, 2, 1. A step that would pass the end goes to the tail, where the rest
// (then smaller than the skipped step) is still naturally aligned.
#if defined(__x86_64__)
asm(R"(
        .pushsection .text.vtee_guest_copy, "ax", @progbits
        .balign 64
        .globl  vtee_guest_copy
        .hidden vtee_guest_copy
        .globl  vtee_guest_copy_end
        .hidden vtee_guest_copy_end
        .globl  vtee_guest_copy_fault
        .hidden vtee_guest_copy_fault
        .type   vtee_guest_copy, @function
vtee_guest_copy:
        .cfi_startproc
        endbr64
        movl    %ecx, %eax
        negl    %eax                    # low three bits: bytes to the next multiple of 8
        testb   $1, %al
        jz      1f
        cmpq    $1, %rdx
        jb      7f
        movzbl  (%rsi), %r9d
        movb    %r9b, (%rdi)
        addq    $1, %rsi
        addq    $1, %rdi
        subq    $1, %rdx
1:      testb   $2, %al
        jz      2f
        cmpq    $2, %rdx
        jb      7f
        movzwl  (%rsi), %r9d
        movw    %r9w, (%rdi)
        addq    $2, %rsi
        addq    $2, %rdi
        subq    $2, %rdx
2:      testb   $4, %al
        jz      3f
        cmpq    $4, %rdx
        jb      7f
        movl    (%rsi), %r9d
        movl    %r9d, (%rdi)
        addq    $4, %rsi
        addq    $4, %rdi
        subq    $4, %rdx
3:      cmpq    $64, %rdx
        jb      5f
        .balign 16
4:      movq    (%rsi), %rax
        movq    8(%rsi), %r9
        movq    16(%rsi), %r10
        movq    24(%rsi), %r11
        movq    %rax, (%rdi)
        movq    %r9, 8(%rdi)
        movq    %r10, 16(%rdi)
        movq    %r11, 24(%rdi)
        movq    32(%rsi), %rax
        movq    40(%rsi), %r9
        movq    48(%rsi), %r10
        movq    56(%rsi), %r11
        movq    %rax, 32(%rdi)
        movq    %r9, 40(%rdi)
        movq    %r10, 48(%rdi)
        movq    %r11, 56(%rdi)
        addq    $64, %rsi
        addq    $64, %rdi
        subq    $64, %rdx
        cmpq    $64, %rdx
        jae     4b
5:      cmpq    $8, %rdx
        jb      7f
6:      movq    (%rsi), %rax
        movq    %rax, (%rdi)
        addq    $8, %rsi
        addq    $8, %rdi
        subq    $8, %rdx
        cmpq    $8, %rdx
        jae     6b
7:      testb   $4, %dl
        jz      8f
        movl    (%rsi), %eax
        movl    %eax, (%rdi)
        addq    $4, %rsi
        addq    $4, %rdi
8:      testb   $2, %dl
        jz      9f
        movzwl  (%rsi), %eax
        movw    %ax, (%rdi)
        addq    $2, %rsi
        addq    $2, %rdi
9:      testb   $1, %dl
        jz      10f
        movzbl  (%rsi), %eax
        movb    %al, (%rdi)
10:     movl    $1, %eax
        ret
vtee_guest_copy_end:
vtee_guest_copy_fault:
        xorl    %eax, %eax
        ret
        .cfi_endproc
        .size   vtee_guest_copy, . - vtee_guest_copy
        .popsection
)");
#elif defined(__aarch64__)
// A 16-byte ldp or stp of two x registers is two accesses of 8 bytes, each single-copy atomic.
asm(R"(
        .pushsection .text.vtee_guest_copy, "ax", %progbits
        .balign 64
        .globl  vtee_guest_copy
        .hidden vtee_guest_copy
        .globl  vtee_guest_copy_end
        .hidden vtee_guest_copy_end
        .globl  vtee_guest_copy_fault
        .hidden vtee_guest_copy_fault
        .type   vtee_guest_copy, %function
vtee_guest_copy:
        .cfi_startproc
        hint    #34                     // bti c
        neg     w5, w3                  // low three bits: bytes to the next multiple of 8
        tbz     w5, #0, 1f
        cbz     x2, 7f
        ldrb    w6, [x1], #1
        strb    w6, [x0], #1
        sub     x2, x2, #1
1:      tbz     w5, #1, 2f
        cmp     x2, #2
        b.lo    7f
        ldrh    w6, [x1], #2
        strh    w6, [x0], #2
        sub     x2, x2, #2
2:      tbz     w5, #2, 3f
        cmp     x2, #4
        b.lo    7f
        ldr     w6, [x1], #4
        str     w6, [x0], #4
        sub     x2, x2, #4
3:      cmp     x2, #64
        b.lo    5f
4:      ldp     x6, x7, [x1]
        ldp     x8, x9, [x1, #16]
        ldp     x10, x11, [x1, #32]
        ldp     x12, x13, [x1, #48]
        stp     x6, x7, [x0]
        stp     x8, x9, [x0, #16]
        stp     x10, x11, [x0, #32]
        stp     x12, x13, [x0, #48]
        add     x1, x1, #64
        add     x0, x0, #64
        sub     x2, x2, #64
        cmp     x2, #64
        b.hs    4b
5:      cmp     x2, #8
        b.lo    7f
6:      ldr     x6, [x1], #8
        str     x6, [x0], #8
        sub     x2, x2, #8
        cmp     x2, #8
        b.hs    6b
7:      tbz     w2, #2, 8f
        ldr     w6, [x1], #4
        str     w6, [x0], #4
8:      tbz     w2, #1, 9f
        ldrh    w6, [x1], #2
        strh    w6, [x0], #2
9:      tbz     w2, #0, 10f
        ldrb    w6, [x1]
        strb    w6, [x0]
10:     mov     w0, #1
        ret
vtee_guest_copy_end:
vtee_guest_copy_fault:
        mov     w0, #0
        ret
        .cfi_endproc
        .size   vtee_guest_copy, . - vtee_guest_copy
        .popsection
)");
#else
#error "guest memory copies exist for x86-64 and AArch64 only"
#endif

extern "C" {
int vtee_guest_copy(void* to, const void* from, std::size_t size, std::uintptr_t guest_begin,
                    std::uintptr_t guest_end);
extern const char vtee_guest_copy_end[];
extern const char vtee_guest_copy_fault[];
}

namespace vtee::guest {
namespace {

struct PreviousActions {
  struct sigaction bus;
  struct sigaction segv;
};

// Signal dispositions belong to the process, and so do the ones this handler has replaced.
PreviousActions& Previous() {
  static PreviousActions previous{};
  return previous;
}

struct CopyState {
  std::uintptr_t program_counter;
  std::uintptr_t guest_begin;
  std::uintptr_t guest_end;
};

CopyState StateOf(const ucontext_t& context) {
#if defined(__x86_64__)
  const auto& regs = context.uc_mcontext.gregs;
  return {static_cast<std::uintptr_t>(regs[REG_RIP]), static_cast<std::uintptr_t>(regs[REG_RCX]),
          static_cast<std::uintptr_t>(regs[REG_R8])};
#else
  const auto& machine = context.uc_mcontext;
  return {machine.pc, machine.regs[3], machine.regs[4]};
#endif
}

void ContinueAt(ucontext_t& context, const char* address) {
  const auto target = reinterpret_cast<std::uintptr_t>(address);
#if defined(__x86_64__)
  context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(target);
#else
  context.uc_mcontext.pc = target;
#endif
}

// Is this fault one of a guest copy, on the guest's side? A fault on the private side is a bug
// of the caller and must not look like a vanished page.
bool IsGuestFault(const siginfo_t& info, const ucontext_t& context) {
  if (info.si_code <= 0) return false;  // sent by a process, not by the processor
  const CopyState state = StateOf(context);
  if (state.program_counter < reinterpret_cast<std::uintptr_t>(&vtee_guest_copy) ||
      state.program_counter >= reinterpret_cast<std::uintptr_t>(vtee_guest_copy_end)) {
    return false;
  }
  // The kernel may report only the start of the page, or of the poisoned huge page.
  std::uintptr_t unit = kPageSize;
  if (info.si_code == BUS_MCEERR_AR && info.si_signo == SIGBUS && info.si_addr_lsb > 12 &&
      info.si_addr_lsb < 48) {
    unit = std::uintptr_t{1} << info.si_addr_lsb;
  }
  const auto address = reinterpret_cast<std::uintptr_t>(info.si_addr);
  return address >= (state.guest_begin & ~(unit - 1)) && address < state.guest_end;
}

// Gives a foreign signal to whoever had it before.
void Chain(int signal_number, siginfo_t* info, void* context) {
  const struct sigaction& previous = signal_number == SIGBUS ? Previous().bus : Previous().segv;
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal_number, info, context);
    return;
  }
  if (previous.sa_handler == SIG_IGN && info->si_code <= 0) return;
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal_number);
    return;
  }
  // The default action, with the kernel's own core dump: restored, the faulting instruction
  // runs again and faults for good. A signal that a process sent has to be sent again. (The
  // kernel does not honour SIG_IGN for real faults either.)
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal_number, &action, nullptr);
  if (info->si_code <= 0) syscall(SYS_tgkill, getpid(), gettid(), signal_number);
}

void OnFault(int signal_number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  auto& machine = *static_cast<ucontext_t*>(context);
  if (IsGuestFault(*info, machine)) {
    ContinueAt(machine, vtee_guest_copy_fault);
  } else {
    Chain(signal_number, info, context);
  }
  errno = saved_errno;
}

Status Install() {
  struct sigaction action {};
  action.sa_sigaction = OnFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  // Read the old actions first: a fault may come between installing ours and storing theirs.
  if (sigaction(SIGBUS, nullptr, &Previous().bus) != 0 ||
      sigaction(SIGSEGV, nullptr, &Previous().segv) != 0 ||
      sigaction(SIGBUS, &action, nullptr) != 0 || sigaction(SIGSEGV, &action, nullptr) != 0) {
    return ErrnoError(errno, "cannot install the handler for vanishing guest memory");
  }
  return {};
}

}  // namespace

bool CopyFromGuest(void* out, const void* guest, std::size_t size) {
  const auto begin = reinterpret_cast<std::uintptr_t>(guest);
  return vtee_guest_copy(out, guest, size, begin, begin + size) != 0;
}

bool CopyToGuest(void* guest, const void* bytes, std::size_t size) {
  const auto begin = reinterpret_cast<std::uintptr_t>(guest);
  return vtee_guest_copy(guest, bytes, size, begin, begin + size) != 0;
}

Status InstallFaultHandler() {
  static std::mutex mutex;
  static bool installed = false;
  const std::lock_guard lock(mutex);
  if (installed) return {};
  Status status = Install();
  installed = status.ok();
  return status;
}

}  // namespace vtee::guest
