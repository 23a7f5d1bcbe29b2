/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Instructions that no library has: a wrapper for each system call of OP-TEE without its checks,
 * and Linux's call instruction.
 */
#include <asm.S>

/* Each entry of the table has 16 bytes; number n begins at raw_calls + 16 n. */
FUNC raw_calls , :
	.set	number, 0
	.rept	72
	mov	x8, #number
	svc	#0
	ret
	nop
	.set	number, number + 1
	.endr
END_FUNC raw_calls

/* long linux_call(long number, long a, long b, long c, long d, long e, long f) */
FUNC linux_call , :
	mov	x8, x0
	mov	x0, x1
	mov	x1, x2
	mov	x2, x3
	mov	x3, x4
	mov	x4, x5
	mov	x5, x6
	svc	#0
	nop
	ret
END_FUNC linux_call
