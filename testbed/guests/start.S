// SPDX-License-Identifier: BSD-3-Clause
// What runs before C++: the header by which QEMU knows an arm64 Linux image, memory translation,
// exception vectors, and the way in for further vCPUs.
//
// The map is flat: the first GiB (flash and devices) is device memory, all above it is normal
// memory. So C++ may access memory unaligned, and what it writes is coherent with the host.
#define STACK_SHIFT 15  // 32 KiB a vCPU; machine.h: kStackBytes

  .section .head, "ax"
  b first_cpu
  .long 0
  .quad 0x200000            // where the image wants to be, from the start of memory
  .quad _image_size
  .quad 0xa                 // little-endian, 4 KiB pages, anywhere in memory
  .quad 0, 0, 0
  .ascii "ARM\x64"
  .long 0

first_cpu:
  mov x19, x0               // the device tree
  adr x1, _bss
  ldr x2, =_end
1:
  stp xzr, xzr, [x1], #16
  cmp x1, x2
  b.lo 1b
  bl prepare_cpu
  ldr x1, =_stacks + (1 << STACK_SHIFT)
  mov sp, x1
  mov x0, x19
  bl GuestStart
  b .

// PSCI CPU_ON comes here with the vCPU's number.
  .global next_cpu
next_cpu:
  mov x19, x0
  bl prepare_cpu
  ldr x1, =_stacks
  add x2, x19, #1
  lsl x2, x2, #STACK_SHIFT
  add x1, x1, x2
  mov sp, x1
  mov x0, x19
  bl NextCpuStart
  b .

prepare_cpu:
  ldr x1, =vectors
  msr vbar_el1, x1
  ldr x1, =0xff00           // attribute 0: device, 1: normal, write-back
  msr mair_el1, x1
  ldr x1, =0x200803519      // 39 bits of addresses, 4 KiB granule, no upper half
  msr tcr_el1, x1
  ldr x1, =translation
  msr ttbr0_el1, x1
  isb
  tlbi vmalle1
  dsb nsh
  isb
  mrs x1, sctlr_el1
  ldr x2, =0x1005           // M, C, I
  orr x1, x1, x2
  bic x1, x1, #2            // A: no faults for unaligned accesses
  msr sctlr_el1, x1
  isb
  ret

// void CallSecure(Registers* registers, bool hvc)
  .global CallSecure
CallSecure:
  stp x29, x30, [sp, #-32]!
  stp x0, x19, [sp, #16]
  mov x19, x0
  mov x30, x1
  ldp x2, x3, [x19, #16]
  ldp x4, x5, [x19, #32]
  ldp x6, x7, [x19, #48]
  ldp x8, x9, [x19, #64]
  ldp x10, x11, [x19, #80]
  ldp x12, x13, [x19, #96]
  ldp x14, x15, [x19, #112]
  ldp x16, x17, [x19, #128]
  ldp x0, x1, [x19]
  cbnz x30, 1f
  smc #0
  b 2f
1:
  hvc #0
2:
  stp x0, x1, [x19]
  stp x2, x3, [x19, #16]
  stp x4, x5, [x19, #32]
  stp x6, x7, [x19, #48]
  stp x8, x9, [x19, #64]
  stp x10, x11, [x19, #80]
  stp x12, x13, [x19, #96]
  stp x14, x15, [x19, #112]
  stp x16, x17, [x19, #128]
  ldp x0, x19, [sp, #16]
  ldp x29, x30, [sp], #32
  ret

  .macro vector target
  .balign 128
  b \target
  .endm

  .balign 2048
vectors:
  .rept 4                   // with SP_EL0: never
  vector unexpected
  .endr
  vector unexpected         // synchronous
  vector interrupt
  vector unexpected
  vector unexpected
  .rept 8                   // from EL0: never
  vector unexpected
  .endr

unexpected:
  mrs x0, esr_el1
  mrs x1, elr_el1
  mrs x2, far_el1
  bl UnexpectedException
  b .

interrupt:
  stp x0, x1, [sp, #-176]!
  stp x2, x3, [sp, #16]
  stp x4, x5, [sp, #32]
  stp x6, x7, [sp, #48]
  stp x8, x9, [sp, #64]
  stp x10, x11, [sp, #80]
  stp x12, x13, [sp, #96]
  stp x14, x15, [sp, #112]
  stp x16, x17, [sp, #128]
  stp x18, x30, [sp, #144]
  bl HandleInterrupt
  ldp x2, x3, [sp, #16]
  ldp x4, x5, [sp, #32]
  ldp x6, x7, [sp, #48]
  ldp x8, x9, [sp, #64]
  ldp x10, x11, [sp, #80]
  ldp x12, x13, [sp, #96]
  ldp x14, x15, [sp, #112]
  ldp x16, x17, [sp, #128]
  ldp x18, x30, [sp, #144]
  ldp x0, x1, [sp], #176
  eret

// Blocks of 1 GiB: accessed, inner shareable, no execution from devices.
  .data
  .balign 4096
  .global translation
translation:
  .quad 0x0060000000000401
  .set gib, 1
  .rept 511
  .quad (gib << 30) + 0x705
  .set gib, gib + 1
  .endr
