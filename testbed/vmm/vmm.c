/* SPDX-License-Identifier: BSD-3-Clause
 * The machine: memory, GIC and vCPUs as KVM has them, and its life. */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define INTERRUPTS 992u /* the most that KVM takes */

int Must(int result, const char* what) {
  if (result < 0) err(2, "%s", what);
  return result;
}

static void SetGic(struct machine* m, uint32_t group, uint64_t attribute, uint64_t value) {
  struct kvm_device_attr attr = {.group = group, .attr = attribute, .addr = (uintptr_t)&value};
  Must(ioctl(m->gic, KVM_SET_DEVICE_ATTR, &attr), "KVM_SET_DEVICE_ATTR of the GIC");
}

static void CreateGic(struct machine* m) {
  struct kvm_create_device device = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};
  Must(ioctl(m->vm, KVM_CREATE_DEVICE, &device), "making a GICv3");
  m->gic = (int)device.fd;
  SetGic(m, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, GIC_DIST);
  SetGic(m, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, GIC_REDIST);
  SetGic(m, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, INTERRUPTS);
  SetGic(m, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
}

/* 32 interrupts as after power-on: disabled, not pending, not active. */
static void ResetBank(struct machine* m, uint32_t group, uint64_t bank) {
  SetGic(m, group, bank + 0x180, ~0u); /* ICENABLER */
  SetGic(m, group, bank + 0x200, 0);   /* ISPENDR: KVM takes it as the new state */
  SetGic(m, group, bank + 0x380, ~0u); /* ICACTIVER */
}

static void ResetGic(struct machine* m) {
  SetGic(m, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, 0); /* GICD_CTLR */
  uint32_t shared = KVM_DEV_ARM_VGIC_GRP_DIST_REGS, own = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS;
  for (uint64_t n = 1; n < INTERRUPTS / 32; n++) ResetBank(m, shared, 4 * n);
  for (uint64_t n = 0; n < m->vcpu_count; n++) ResetBank(m, own, n << 32 | 0x10000);
}

static void* Map(int fd, uint64_t bytes) {
  void* mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return mapped != MAP_FAILED ? mapped : (err(2, "mmap"), NULL);
}

static void CreateMachine(struct machine* m) {
  int kvm = Must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  m->vm = Must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  m->wake = Must(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  /* From a memfd and shared, so that vteed can map the same pages. */
  m->ram_fd = Must(memfd_create("guest-ram", MFD_CLOEXEC), "memfd_create");
  Must(ftruncate(m->ram_fd, (off_t)m->ram_bytes), "making the guest's memory");
  m->ram = Map(m->ram_fd, m->ram_bytes);
  struct kvm_userspace_memory_region ram = {0, 0, RAM_BASE, m->ram_bytes, (uintptr_t)m->ram};
  Must(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &ram), "KVM_SET_USER_MEMORY_REGION");
  int run_bytes = Must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  for (uint32_t i = 0; i < m->vcpu_count; i++) {
    int fd = Must(ioctl(m->vm, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");
    m->vcpus[i] = (struct vcpu){.machine = m, .index = i, .fd = fd};
    m->vcpus[i].run = Map(fd, (uint64_t)run_bytes);
  }
  CreateGic(m); /* after the vCPUs, for which it has redistributors */
}

void Register(struct vcpu* v, unsigned long request, uint64_t n, uint64_t* value) {
  uint64_t id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | 2 * n;
  struct kvm_one_reg reg = {id, (uintptr_t)value};
  Must(ioctl(v->fd, request, &reg), "KVM_GET_ONE_REG or KVM_SET_ONE_REG");
}

static void ResetMachine(struct machine* m) {
  uint64_t device_tree = RAM_BASE, kernel = KERNEL_BASE;
  Must(madvise(m->ram, m->ram_bytes, MADV_REMOVE), "emptying the guest's memory");
  LoadGuest(m);
  for (uint32_t i = 0; i < m->vcpu_count; i++) {
    struct kvm_vcpu_init init;
    Must(ioctl(m->vm, KVM_ARM_PREFERRED_TARGET, &init), "KVM_ARM_PREFERRED_TARGET");
    init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2 | (i > 0) << KVM_ARM_VCPU_POWER_OFF;
    Must(ioctl(m->vcpus[i].fd, KVM_ARM_VCPU_INIT, &init), "KVM_ARM_VCPU_INIT");
  }
  ResetGic(m);
  UartReset(m);
  Register(&m->vcpus[0], KVM_SET_ONE_REG, 0, &device_tree);
  Register(&m->vcpus[0], KVM_SET_ONE_REG, 32, &kernel); /* pc */
}

void SetLine(struct machine* m, uint32_t spi, bool level) {
  uint32_t irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | (32 + spi);
  struct kvm_irq_level line = {{irq}, level};
  Must(ioctl(m->vm, KVM_IRQ_LINE, &line), "KVM_IRQ_LINE");
}

/* The guest has asked for a reset, or to be turned off. */
static void StopMachine(struct vcpu* v) {
  struct machine* m = v->machine;
  pthread_mutex_lock(&m->lock);
  m->event = v->run->system_event.type;
  m->stopped = true;
  v->run->immediate_exit = 1;
  pthread_mutex_unlock(&m->lock);
  eventfd_write(m->wake, 1);
}

/* An access to the console, or to where there is nothing: reads 0, writes are lost. */
static void AnswerAccess(struct vcpu* v) {
  struct kvm_run* run = v->run;
  uint64_t offset = run->mmio.phys_addr - UART_BASE;
  if (!run->mmio.is_write) memset(run->mmio.data, 0, sizeof run->mmio.data);
  if (offset < UART_BYTES) UartAccess(v->machine, offset, run->mmio.is_write, run->mmio.data);
}

static void WaitWhileStopped(struct vcpu* v) {
  struct machine* m = v->machine;
  if (!__atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED)) return;
  pthread_mutex_lock(&m->lock);
  m->waiting++;
  pthread_cond_broadcast(&m->changed);
  while (m->stopped) pthread_cond_wait(&m->changed, &m->lock);
  m->waiting--;
  v->run->immediate_exit = 0;
  pthread_mutex_unlock(&m->lock);
}

static void* RunVcpu(void* argument) {
  struct vcpu* v = argument;
  for (;;) {
    WaitWhileStopped(v);
    if (!TeeReady(v)) continue;
    int result = ioctl(v->fd, KVM_RUN, 0);
    /* KVM completes an access when it is entered again, even if only to leave at once: so a vCPU
     * never stops, and is never reset, in the middle of one. */
    while (result == 0 && v->run->exit_reason == KVM_EXIT_MMIO) {
      AnswerAccess(v);
      result = ioctl(v->fd, KVM_RUN, 0);
    }
    if (result == 0 && v->run->exit_reason == KVM_EXIT_HYPERCALL) {
      TeeCall(v);
    } else if (result == 0 && v->run->exit_reason == KVM_EXIT_SYSTEM_EVENT) {
      StopMachine(v);
    } else if (result == 0 || errno != EINTR) {
      err(2, "KVM_RUN of vCPU %u (%d, exit %u)", v->index, result, v->run->exit_reason);
    }
  }
  return NULL;
}

static void SetStopped(struct machine* m, bool stopped) {
  pthread_mutex_lock(&m->lock);
  m->stopped = stopped;
  pthread_cond_broadcast(&m->changed);
  for (uint32_t i = 0; stopped && i < m->vcpu_count; i++) {
    __atomic_store_n(&m->vcpus[i].run->immediate_exit, 1, __ATOMIC_RELAXED);
    pthread_kill(m->vcpus[i].thread, SIGRTMIN);
  }
  while (stopped && m->waiting < m->vcpu_count) pthread_cond_wait(&m->changed, &m->lock);
  pthread_mutex_unlock(&m->lock);
}

static void Ignore(int number) { (void)number; }
static void ParseOptions(int argc, char** argv, struct machine* m) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (strcmp(name, "--kernel") == 0) m->kernel = value;
    if (strcmp(name, "--initrd") == 0) m->initrd = value;
    if (strcmp(name, "--append") == 0) m->append = value;
    if (strcmp(name, "--memory") == 0) m->ram_bytes = strtoul(value, NULL, 10) << 20;
    if (strcmp(name, "--vcpus") == 0) m->vcpu_count = (uint32_t)strtoul(value, NULL, 10);
    if (strcmp(name, "--vteed-socket") == 0) m->vteed_socket = value;
  }
  if (!m->kernel || !m->initrd || !m->vteed_socket || m->vcpu_count - 1 >= MAX_VCPUS) {
    errx(2, "--kernel --initrd --vteed-socket FILE, [--append WORDS --memory MIB --vcpus 1..8]");
  }
}

/* Returns when the machine has ended. */
static void Serve(struct machine* m, int signals) {
  bool paused = false;
  struct pollfd polls[] = {{m->wake, POLLIN, 0},
                           {signals, POLLIN, 0},
                           {STDIN_FILENO, POLLIN, 0},
                           {vtee_vm_hangup_fd(m->tee), POLLRDHUP, 0}};
  for (;;) {
    if (poll(polls, sizeof polls / sizeof polls[0], -1) < 0) continue;
    struct signalfd_siginfo signal = {.ssi_signo = 0};
    uint8_t input[64];
    eventfd_t wishes;
    if (polls[0].revents != 0 && eventfd_read(m->wake, &wishes) == 0) {
      SetStopped(m, true);
      if (m->event != KVM_SYSTEM_EVENT_RESET) return;
      TeeReset(m);
      ResetMachine(m);
      SetStopped(m, paused);
    }
    if (polls[1].revents != 0 && read(signals, &signal, sizeof signal) == sizeof signal) {
      SetStopped(m, true);
      paused = signal.ssi_signo == SIGUSR1;
      vtee_vm_event(m->tee, paused ? VTEE_EVENT_PAUSED : VTEE_EVENT_RESUMED);
      SetStopped(m, paused);
    }
    if (polls[2].revents != 0) {
      ssize_t got = read(STDIN_FILENO, input, sizeof input);
      if (got > 0) UartInput(m, input, (uint64_t)got);
      if (got <= 0) polls[2].fd = -1;
    }
    if (polls[3].revents != 0 && !vtee_vm_alive(m->tee)) polls[3].fd = -1; /* vtee has said so */
  }
}

int main(int argc, char** argv) {
  /* Static: the stopped vCPUs' threads wait on it until the process has ended. */
  static struct machine m = {.append = "", .ram_bytes = 512ull << 20, .vcpu_count = 1};
  pthread_mutex_init(&m.lock, NULL);
  pthread_mutex_init(&m.uart.lock, NULL);
  pthread_cond_init(&m.changed, NULL);
  ParseOptions(argc, argv, &m);
  signal(SIGRTMIN, Ignore); /* it is sent to vCPU threads to make KVM_RUN return */
  sigset_t mine;
  sigemptyset(&mine);
  sigaddset(&mine, SIGUSR1);
  sigaddset(&mine, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &mine, NULL);
  CreateMachine(&m);
  TeeAttach(&m);
  ResetMachine(&m);
  for (struct vcpu* v = m.vcpus; v < m.vcpus + m.vcpu_count; v++) {
    if (pthread_create(&v->thread, NULL, RunVcpu, v) != 0) errx(2, "cannot start a thread");
  }
  Serve(&m, Must(signalfd(-1, &mine, SFD_CLOEXEC), "signalfd"));
  vtee_vm_detach(m.tee); /* no vCPU is inside vtee: all are stopped for good */
  return 0;
}
