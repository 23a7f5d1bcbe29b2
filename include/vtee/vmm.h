/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vtee for VMM authors: give a VM's guest a TEE without preloading anything.
 *
 * What the VMM does: attach the VM to its vteed; route the function ids of
 * vtee_vm_filter_ranges() to userspace (KVM: the SMCCC filter); tell vtee the memory slots; and on
 * an exit for one of those ids hand the vCPU's registers to vtee_vm_call() and set the registers
 * it returns. docs/vmm-protocol.md has the walk-through and the failure rules.
 *
 * Threading: every function may be called from any thread, except that vtee_vm_call(),
 * vtee_vm_resume(), vtee_vm_abandon() and vtee_vm_pending() of one vCPU are for one thread at a
 * time, and vtee_vm_detach() must be the last call of all. vtee_vm_call() and vtee_vm_resume()
 * may block, within the bounds below; the others wait for vteed's acknowledgement, at most 30 s.
 *
 * Ownership: descriptors passed in are borrowed for the length of the call, except
 * vtee_attach.control_fd, which is taken over when the attach succeeds and left alone when it
 * fails. Nothing here raises SIGPIPE, touches signal handlers or starts threads.
 *
 * Return values: 0, or a negative errno. Structs begin with their size, so that programs built
 * against an older header keep working: set it to sizeof the struct.
 *
 * Not supported: several VMs on one vteed; use after fork() in the child; big-endian hosts.
 */
#ifndef VTEE_VMM_H
#define VTEE_VMM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VTEE_CALL_REGISTERS 18 /* x0..x17, SMCCC 1.2 */
#define VTEE_MAX_VCPUS 512
#define VTEE_MAX_FILTER_RANGES 16

typedef struct vtee_vm vtee_vm;

struct vtee_attach {
  uint32_t size;
  uint32_t vcpus;          /* vCPU numbers below this may call; 1 to VTEE_MAX_VCPUS */
  const char* socket_path; /* of `vteed --socket-path`, or NULL: use control_fd */
  int control_fd;          /* a connected SOCK_SEQPACKET socket to vteed, or -1 */
  uint32_t timeout_ms;     /* to connect, and for vteed's answer; 0: 30 s */
  /* Gets one sentence for the person when vteed is lost later on. NULL: it goes to stderr. May be
   * called from any thread that is inside a function of this header; may itself call them all, but
   * vtee_vm_detach(). */
  void (*message)(void* context, const char* sentence);
  void* message_context;
  char* error; /* on failure: a sentence, NUL-terminated; may be NULL */
  size_t error_size;
};

/* Attaches a VM, before any of its vCPUs runs. -ECONNREFUSED: vteed cannot be reached or refused;
 * -EINVAL: bad argument. In both cases `error` says more. */
int vtee_vm_attach(const struct vtee_attach* attach, vtee_vm** vm);
/* Ends the connection: vteed drops everything the guest had in the TEE. NULL is ignored. */
void vtee_vm_detach(vtee_vm* vm);

struct vtee_filter_range {
  uint32_t base; /* SMCCC function id */
  uint32_t count;
  uint32_t registers; /* x0..x(registers-1) matter to these calls; 1 to VTEE_CALL_REGISTERS */
};
/* Fills in up to `capacity` ranges and returns how many there are. */
uint32_t vtee_vm_filter_ranges(const vtee_vm* vm, struct vtee_filter_range* ranges,
                               uint32_t capacity);
/* How many registers, from x0 on, the call with this function id looks at. 0: it lies in none of
 * the ranges, and is not for vtee. */
uint32_t vtee_vm_call_registers(const vtee_vm* vm, uint32_t function_id);
/* The SPI (interrupt id - 32) that vteed wants to raise, edge-triggered, or -1: none. */
int32_t vtee_vm_interrupt(const vtee_vm* vm);
/* The eventfd that raises it. Before the first slot; leave it out if the VMM has none. */
int vtee_vm_set_interrupt(vtee_vm* vm, int eventfd);

/* vteed may want to see nothing of the guest's memory but one window that guest and TEE share, made
 * by the VMM for this purpose: memory from a memfd, zeroed, at this guest-physical address, outside
 * of the guest's RAM. Then that is the one slot to be told by vtee_vm_set_slot(), after
 * vtee_vm_set_interrupt() and before a vCPU runs; it stays for the VM's life, other slots are
 * refused, and the guest's RAM need not be shareable. The VMM zeroes it after VTEE_EVENT_RESET.
 * Returns 1 if vteed wants a window, 0 if it is to be told the guest's slots. `window->size` is in,
 * the rest out. */
struct vtee_window {
  uint32_t size;
  uint64_t guest_phys;
  uint64_t bytes;
};
int vtee_vm_window(const vtee_vm* vm, struct vtee_window* window);

#define VTEE_SLOT_READ_ONLY 1u

struct vtee_slot {
  uint32_t size;
  uint32_t slot;        /* the VMM's number for it */
  uint64_t guest_phys;  /* first byte, guest physical */
  uint64_t bytes;       /* a multiple of 4096, not 0 */
  uint64_t file_offset; /* of the first byte in the file */
  int fd;               /* the file (a memfd) mapped shared there, or -1: cannot be shared */
  uint32_t flags;       /* VTEE_SLOT_READ_ONLY */
  /* With fd -1: where the first byte is in this process. vteed then has the bytes copied, which is
   * slower than a file; see vtee_vm_serve_memory(). NULL: the TEE cannot reach them. */
  void* host_address;
};
/* Adds the slot or replaces the one with its number. When it returns, vteed uses the new one.
 * -EINVAL: vteed refused it (overlap, unusable file). -EOPNOTSUPP: it has a host address only, and
 * this vteed is too old for that or there are no descriptors left. -EPIPE, here and below: vteed is
 * gone; the VM can go on, and its guest's calls are refused. */
int vtee_vm_set_slot(vtee_vm* vm, const struct vtee_slot* slot);
/* When it returns, no new access to the slot begins, and none to its host address goes on. Remove
 * before reusing the address. */
int vtee_vm_remove_slot(vtee_vm* vm, uint32_t slot);

/* For slots with a host address. Poll this descriptor for reading (-1 until the first such slot has
 * been set; then always the same) and call vtee_vm_serve_memory() when it is readable, in a thread
 * that is in none of these functions meanwhile: they may wait for vteed, and vteed for this. */
int vtee_vm_memory_fd(const vtee_vm* vm);
/* Copies for vteed what one request asks for, from or to the slots there are and nothing else.
 * Never blocks. 1: it did; 0: there was no request; -EPIPE: no more will come. */
int vtee_vm_serve_memory(vtee_vm* vm);

enum vtee_event {
  VTEE_EVENT_RESET = 1, /* the machine was reset; send before any vCPU runs again */
  VTEE_EVENT_PAUSED = 2,
  VTEE_EVENT_RESUMED = 3
};
int vtee_vm_event(vtee_vm* vm, enum vtee_event event);

#define VTEE_CONDUIT_HVC 0u
#define VTEE_CONDUIT_SMC 1u

struct vtee_call {
  uint32_t size;
  uint32_t conduit; /* VTEE_CONDUIT_*; read by vtee_vm_call() */
  /* In for vtee_vm_call(): the guest's registers, as many as the call's filter range says, the
   * rest 0. Out: x[0]..x[reply_count-1] are to be set in the vCPU. */
  uint64_t x[VTEE_CALL_REGISTERS];
  uint32_t reply_count;
  /* Optional. Not 0: stop waiting, because the VMM wants its vCPU thread back. Asked often while
   * the call waits; `interrupted` says that a signal handler just ran in this thread. */
  int (*should_stop)(void* context, int interrupted);
  void* stop_context;
};

/* One secure call of vCPU `vcpu`. 0: answered, set the registers and run the vCPU on. That is also
 * so when vteed is gone: then x0 is SMCCC NOT_SUPPORTED. -EINTR: should_stop said so; the call is
 * pending, finish it with vtee_vm_resume() before the vCPU runs again. -EBUSY: one is pending.
 * Unless stopped, it returns within the time vteed may hold a vCPU (some milliseconds) plus the
 * time vteed takes to park the call. */
int vtee_vm_call(vtee_vm* vm, uint32_t vcpu, struct vtee_call* call);
/* Waits on for the pending call. As vtee_vm_call(); -ENOENT: none is pending. */
int vtee_vm_resume(vtee_vm* vm, uint32_t vcpu, struct vtee_call* call);
/* The vCPU was reset: nobody wants the reply of its pending call any more. */
void vtee_vm_abandon(vtee_vm* vm, uint32_t vcpu);
int vtee_vm_pending(const vtee_vm* vm, uint32_t vcpu);

/* 1 while vteed is there. Asks the kernel; does not block. When vteed is found lost, here or
 * elsewhere, the message is said, once. */
int vtee_vm_alive(vtee_vm* vm);
/* For an event loop, so that a lost vteed is noticed before the guest's next call: poll() it for
 * POLLRDHUP and nothing else, then call vtee_vm_alive(). Valid until detach, and not to be read,
 * written or closed. */
int vtee_vm_hangup_fd(const vtee_vm* vm);
/* The sentence that says why vteed is gone, "" while it is there. Valid until detach. */
const char* vtee_vm_error(const vtee_vm* vm);

#ifdef __cplusplus
}
#endif

#endif /* VTEE_VMM_H */
