/* SPDX-License-Identifier: BSD-3-Clause
 * What a VMM does for its guest's TEE; docs/vmm-protocol.md has the rules behind it. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "vmm.h"

#ifndef KVM_ARM_VM_SMCCC_CTRL /* kernel headers before 6.4 */
#define KVM_ARM_VM_SMCCC_CTRL 0
#define KVM_ARM_VM_SMCCC_FILTER 0
#define KVM_SMCCC_FILTER_FWD_TO_USER 2
#define KVM_HYPERCALL_EXIT_SMC 1u
struct kvm_smccc_filter {
  uint32_t base, nr_functions;
  uint8_t action, pad[15];
};
#endif

static void ForwardCalls(struct machine* m) {
  struct vtee_filter_range ranges[VTEE_MAX_FILTER_RANGES];
  uint32_t count = vtee_vm_filter_ranges(m->tee, ranges, VTEE_MAX_FILTER_RANGES);
  for (uint32_t i = 0; i < count; i++) {
    struct kvm_smccc_filter filter = {.base = ranges[i].base, .nr_functions = ranges[i].count};
    filter.action = KVM_SMCCC_FILTER_FWD_TO_USER;
    struct kvm_device_attr attr = {0, KVM_ARM_VM_SMCCC_CTRL, KVM_ARM_VM_SMCCC_FILTER,
                                   (uintptr_t)&filter};
    Must(ioctl(m->vm, KVM_SET_DEVICE_ATTR, &attr), "forwarding secure calls (Linux 6.4 can)");
  }
}

/* It goes from vteed to KVM without passing through this process. */
static void ConnectInterrupt(struct machine* m) {
  int32_t spi = vtee_vm_interrupt(m->tee);
  if (spi < 0) return; /* the guest gets no notifications, and its long calls cost it more */
  if (spi == UART_SPI) errx(2, "SPI %d is the console's; give vteed another --interrupt", spi);
  int event = Must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"); /* stays open */
  struct kvm_irqfd irqfd = {.fd = (uint32_t)event, .gsi = (uint32_t)spi};
  Must(ioctl(m->vm, KVM_IRQFD, &irqfd), "KVM_IRQFD");
  vtee_vm_set_interrupt(m->tee, event);
}

/* Before the first KVM_RUN, since KVM takes no filter later, and after the GIC is made. A vteed
 * that is lost from here on is no reason to end: vtee says so and refuses the guest's calls. */
void TeeAttach(struct machine* m) {
  char error[256] = "";
  struct vtee_attach attach = {.size = sizeof attach, .vcpus = m->vcpu_count, .control_fd = -1};
  attach.socket_path = m->vteed_socket;
  attach.error = error;
  attach.error_size = sizeof error;
  if (vtee_vm_attach(&attach, &m->tee) != 0) errx(2, "%s", error);
  ForwardCalls(m);
  ConnectInterrupt(m);
  /* All memory there is. A VMM that changes it later tells vtee when KVM has accepted a change. */
  struct vtee_slot ram = {.size = sizeof ram, .guest_phys = RAM_BASE, .bytes = m->ram_bytes};
  ram.fd = m->ram_fd;
  if (vtee_vm_set_slot(m->tee, &ram) == -EINVAL) errx(2, "vteed refuses the guest's memory");
}

static int IsWanted(void* vcpu, int interrupted) {
  (void)interrupted; /* by the signal that comes with immediate_exit */
  return __atomic_load_n(&((struct vcpu*)vcpu)->run->immediate_exit, __ATOMIC_RELAXED);
}

/* The program counter is past the instruction already: setting registers is all there is. */
static bool Finish(struct vcpu* v, int result) {
  if (result == -EINTR) return false; /* wanted; the call is pending */
  if (result != 0) errx(2, "a secure call: %s", strerror(-result));
  struct vtee_call* call = &v->call;
  for (uint32_t i = 0; i < call->reply_count; i++) Register(v, KVM_SET_ONE_REG, i, &call->x[i]);
  return true;
}

void TeeCall(struct vcpu* v) {
  vtee_vm* tee = v->machine->tee;
  uint32_t function = (uint32_t)v->run->hypercall.nr;
  /* Newer headers call it `flags`; `longmode` is its low half in all. */
  bool smc = (v->run->hypercall.longmode & KVM_HYPERCALL_EXIT_SMC) != 0;
  v->call = (struct vtee_call){.size = sizeof v->call, .x = {function}};
  v->call.conduit = smc ? VTEE_CONDUIT_SMC : VTEE_CONDUIT_HVC;
  v->call.should_stop = IsWanted;
  v->call.stop_context = v;
  uint32_t registers = vtee_vm_call_registers(tee, function);
  for (uint32_t i = 1; i < registers; i++) Register(v, KVM_GET_ONE_REG, i, &v->call.x[i]);
  Finish(v, vtee_vm_call(tee, v->index, &v->call));
}

bool TeeReady(struct vcpu* v) {
  vtee_vm* tee = v->machine->tee;
  return !vtee_vm_pending(tee, v->index) || Finish(v, vtee_vm_resume(tee, v->index, &v->call));
}

/* All vCPUs have stopped, and the guest's memory is as it was. */
void TeeReset(struct machine* m) {
  for (uint32_t i = 0; i < m->vcpu_count; i++) vtee_vm_abandon(m->tee, i);
  vtee_vm_event(m->tee, VTEE_EVENT_RESET);
}
