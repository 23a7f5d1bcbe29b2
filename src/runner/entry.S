// SPDX-License-Identifier: BSD-3-Clause
// Into the TA and out of it. The runner has no C library and no thread pointer, so tpidr_el0 is
// the TA's; it is compiled without floating point, so that v0 to v31 are, too.

	.section .bss
	.balign 16
host_sp:
	.skip 8

	.text
	.globl _start
	.type _start, %function
_start:
	mov	x29, #0
	mov	x30, #0
	ldr	x0, [sp]		// argc
	add	x1, sp, #8		// argv
	and	sp, x1, #-16
	bl	RunnerMain
1:	b	1b

// std::uint64_t EnterTa(const std::uint64_t args[6]): pc, sp, x0, x1, x2, x3. Returns what the TA
// has returned with.
	.globl EnterTa
	.type EnterTa, %function
EnterTa:
	stp	x29, x30, [sp, #-160]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	mov	x9, sp
	ldr	x10, =host_sp
	str	x9, [x10]

	ldp	x16, x17, [x0]
	mov	sp, x17
	mov	x17, x0
	ldp	x0, x1, [x17, #16]
	ldp	x2, x3, [x17, #32]
	// Nothing of the runner, and nothing of the entry before.
	.irp n, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
	mov	x\n, #0
	.endr
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	movi	v\n\().2d, #0
	.endr
	msr	fpsr, xzr
	msr	fpcr, xzr
	br	x16

// void LeaveTa(std::uint64_t result): returns from EnterTa().
	.globl LeaveTa
	.type LeaveTa, %function
LeaveTa:
	ldr	x10, =host_sp
	ldr	x9, [x10]
	mov	sp, x9
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x30, [sp], #160
	ret

// Where the TA's system calls go: from a wrapper `movz x8, #n; svc #0; ret` whose svc has become a
// branch to the thunk. A wrapper is called as a function, so only what a C function keeps needs to
// be kept, and returning is what the wrapper would do next. Of a panic (2) the log shows all that
// the TA still has: x16 and x17 are the thunk's and the linker's, and the svc's place is not known.
	.globl SyscallEntry
	.type SyscallEntry, %function
SyscallEntry:
	ldr	x16, =call_frame
	stp	x0, x1, [x16]
	stp	x2, x3, [x16, #16]
	stp	x4, x5, [x16, #32]
	stp	x6, x7, [x16, #48]
	mov	x17, sp
	stp	x8, x17, [x16, #64]
	stp	x29, x30, [x16, #80]
	sub	x17, x8, #2
	cbnz	x17, 1f			// without a look at the flags, which are the TA's
	stp	x9, x10, [x16, #96]
	stp	x11, x12, [x16, #112]
	stp	x13, x14, [x16, #128]
	stp	x15, x18, [x16, #144]
	stp	x19, x20, [x16, #160]
	stp	x21, x22, [x16, #176]
	stp	x23, x24, [x16, #192]
	stp	x25, x26, [x16, #208]
	stp	x27, x28, [x16, #224]
	mrs	x17, nzcv
	str	x17, [x16, #240]
1:
	ldr	x17, =host_sp
	ldr	x17, [x17]
	mov	sp, x17
	mov	x0, x16
	bl	HandleSyscall
	ldr	x16, =call_frame
	ldr	x17, [x16, #72]
	mov	sp, x17
	ldp	x29, x30, [x16, #80]
	.irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18
	mov	x\n, #0
	.endr
	ret

// The handler runs on the runner's stack below what EnterTa() keeps there.
	.section .bss
	.balign 16
call_frame:
	.skip 256

	.section .note.GNU-stack, "", %progbits
