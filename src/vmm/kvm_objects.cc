// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_objects.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace vtee::vmm {

// What recycled objects leave to clean up, outside the store's mutex. One close can end at most
// one vCPU and its VM.
struct KvmObjects::Garbage {
  VmLink* link = nullptr;
  OwnFd interrupt;
  Window window;
  void* run = nullptr;
  std::uint32_t run_size = 0;

  ~Garbage() {
    VmLink::Destroy(link);
    if (run != nullptr) munmap(run, run_size);
  }
};

namespace {

template <typename T>
T* MakeObject(KvmObject* recycled) {
  // A recycled object keeps its atomics alive: a late Pin() may still be counting on them.
  if (recycled != nullptr) return static_cast<T*>(recycled);
  void* memory = std::malloc(sizeof(T));
  return memory == nullptr ? nullptr : new (memory) T;
}

}  // namespace

KvmObject* KvmObjects::TakeFree(KvmObject*& list) {
  KvmObject* object = list;
  if (object != nullptr) list = object->next_free;
  return object;
}

KvmObject* KvmObjects::Pin(int fd) {
  for (;;) {
    KvmObject* object = table_.Get(fd);
    if (object == nullptr) return nullptr;
    object->users.fetch_add(1);
    if (table_.Get(fd) == object) return object;
    Unpin(object);
  }
}

void KvmObjects::Unpin(KvmObject* object) {
  if (object->users.fetch_sub(1) != 1 || !object->dying.load()) return;
  Garbage garbage;
  const MutexLock lock(mutex_);
  if (object->dying.load()) RecycleIfUnused(object, garbage);
}

bool KvmObjects::AddVm(int fd, std::uint32_t vcpu_mmap_size) {
  OnClosing(fd);  // a number that was closed behind our back
  const MutexLock lock(mutex_);
  auto* vm = MakeObject<KvmVm>(TakeFree(free_vms_));
  if (vm == nullptr) return false;
  vm->kind = KvmObject::Kind::kVm;
  vm->holds = 1;
  vm->fd.store(fd);
  vm->vcpu_mmap_size = vcpu_mmap_size;
  vm->state.store(AttachState::kNew);
  vm->reset_by.store(nullptr);
  vm->resets.store(0);
  vm->slots.Clear();
  vm->range_count = 0;
  vm->warned_unshareable = false;
  vm->warned_window = false;
  vm->failed_at = 0;
  if (table_.Set(fd, vm)) return true;
  vm->next_free = free_vms_;
  free_vms_ = vm;
  return false;
}

bool KvmObjects::AddVcpu(int fd, KvmVm* vm, std::uint32_t index, kvm::RunPage* run) {
  OnClosing(fd);
  const MutexLock lock(mutex_);
  auto* vcpu = MakeObject<KvmVcpu>(TakeFree(free_vcpus_));
  if (vcpu == nullptr) return false;
  vcpu->kind = KvmObject::Kind::kVcpu;
  vcpu->holds = 1;
  vcpu->vm = vm;
  vcpu->index = index;
  vcpu->run = run;
  vcpu->mmap_size = vm->vcpu_mmap_size;
  vcpu->port = nullptr;
  vcpu->ran_epoch = 0;
  vcpu->has_parked_pc = false;
  vcpu->has_signal_mask.store(false);
  if (!table_.Set(fd, vcpu)) {
    vcpu->next_free = free_vcpus_;
    free_vcpus_ = vcpu;
    return false;
  }
  ++vm->holds;
  return true;
}

void KvmObjects::OnDuplicated(int from, int to) {
  OnClosing(to);
  const MutexLock lock(mutex_);
  KvmObject* object = table_.Get(from);
  if (object != nullptr && table_.Set(to, object)) ++object->holds;
}

void KvmObjects::OnClosing(int fd) {
  if (table_.Get(fd) == nullptr) return;
  Garbage garbage;  // destroyed after the lock is gone
  const MutexLock lock(mutex_);
  KvmObject* object = table_.Get(fd);
  if (object == nullptr) return;
  table_.Set(fd, nullptr);
  if (object->kind == KvmObject::Kind::kVm) {
    auto* vm = static_cast<KvmVm*>(object);
    if (vm->fd.load() == fd) vm->fd.store(table_.Find(vm, fd));
  }
  Drop(object, garbage);
}

void KvmObjects::Drop(KvmObject* object, Garbage& garbage) {
  if (--object->holds != 0) return;
  object->dying.store(true);
  RecycleIfUnused(object, garbage);
}

void KvmObjects::RecycleIfUnused(KvmObject* object, Garbage& garbage) {
  if (object->users.load() != 0) return;
  object->dying.store(false);
  if (object->kind == KvmObject::Kind::kVm) {
    auto* vm = static_cast<KvmVm*>(object);
    garbage.link = std::exchange(vm->link, nullptr);
    garbage.interrupt = std::move(vm->interrupt);
    garbage.window = std::move(vm->window);
    vm->next_free = free_vms_;
    free_vms_ = vm;
    return;
  }
  auto* vcpu = static_cast<KvmVcpu*>(object);
  KvmVm* vm = std::exchange(vcpu->vm, nullptr);
  garbage.run = std::exchange(vcpu->run, nullptr);
  garbage.run_size = vcpu->mmap_size;
  vcpu->next_free = free_vcpus_;
  free_vcpus_ = vcpu;
  Drop(vm, garbage);
}

void KvmObjects::ForgetAllInChild() {
  mutex_.Reinitialize();
  table_.Clear();
  // Objects the parent was using are leaked here: their state may be half changed.
  free_vms_ = nullptr;
  free_vcpus_ = nullptr;
}

}  // namespace vtee::vmm
