/* SPDX-License-Identifier: BSD-3-Clause
 * An example VMM: boots an arm64 Linux kernel under KVM and gives it a TEE through vtee/vmm.h.
 * tee.c is all that a VMM adds for the TEE; the rest is the machine around it.
 *
 * Threading: a thread for each vCPU, and the main thread, which alone pauses, resets and ends the
 * machine. Who wants a vCPU back sets its kvm_run.immediate_exit and sends its thread a signal.
 * Errors end it with a sentence. Not supported: disks, networks, GICv2, a window, host_address. */
#pragma once

#include <err.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vtee/vmm.h"

#define MAX_VCPUS 8
#define GIC_DIST 0x08000000ull
#define GIC_REDIST 0x080a0000ull
#define UART_BASE 0x09000000ull
#define UART_BYTES 8ull
#define UART_SPI 1
#define RAM_BASE 0x40000000ull /* the device tree lies there */
#define KERNEL_BASE 0x40200000ull

struct vcpu {
  struct machine* machine;
  uint32_t index;
  int fd;
  struct kvm_run* run;
  pthread_t thread;
  struct vtee_call call; /* the secure call that it is in */
};

struct uart {
  pthread_mutex_t lock;
  uint8_t registers[UART_BYTES], input[256];
  uint32_t begin, count;  /* of the input */
  bool transmitted, line; /* "transmitter empty" is still to be told; the interrupt line */
};

struct machine {
  const char *kernel, *initrd, *append, *vteed_socket;
  uint64_t ram_bytes;
  uint32_t vcpu_count;
  int vm, gic, ram_fd, wake; /* wake: an eventfd for `event` */
  uint8_t* ram;
  struct vcpu vcpus[MAX_VCPUS];
  struct uart uart;
  vtee_vm* tee;
  pthread_mutex_t lock; /* of all below */
  pthread_cond_t changed;
  bool stopped;
  uint32_t event;   /* KVM_SYSTEM_EVENT_*, for which a vCPU has stopped the machine */
  uint32_t waiting; /* vCPU threads that have stopped */
};

/* vmm.c */
int Must(int result, const char* what); /* a negative result is an error, with errno */
/* KVM_GET_ONE_REG or KVM_SET_ONE_REG of x0..x30, sp, pc, which are numbers 0..32. */
void Register(struct vcpu* v, unsigned long request, uint64_t n, uint64_t* value);
void SetLine(struct machine* m, uint32_t spi, bool level);

/* boot.c: fills the RAM, which is empty. */
void LoadGuest(struct machine* m);

/* uart.c: a 16550A on standard input and output. */
void UartReset(struct machine* m);
void UartAccess(struct machine* m, uint64_t offset, bool is_write, uint8_t* data);
void UartInput(struct machine* m, const uint8_t* bytes, uint64_t count);

/* tee.c */
void TeeAttach(struct machine* m);
void TeeCall(struct vcpu* v);  /* on KVM_EXIT_HYPERCALL */
bool TeeReady(struct vcpu* v); /* before KVM_RUN; false: not now, the vCPU is wanted */
void TeeReset(struct machine* m);
