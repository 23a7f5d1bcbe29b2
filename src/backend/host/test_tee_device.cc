// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/test_tee_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vtee::backend {
namespace {

bool IsMemref(std::uint64_t attr) { return attr >= 5 && attr <= 7; }
bool IsOutput(std::uint64_t attr) { return attr == 2 || attr == 3 || attr == 6 || attr == 7; }

}  // namespace

TestTeeDevice::~TestTeeDevice() {
  for (auto& [id, shm] : shm_) {
    if (shm.map != nullptr) ::munmap(shm.map, shm.size);
    ::close(shm.fd);
  }
}

void TestTeeDevice::Fail(unsigned long request, int err, int skip, int times) {
  failures_[request] = Failure{skip, times, err};
}

int TestTeeDevice::InjectedFailure(unsigned long request) {
  const std::lock_guard lock(mutex_);
  ++counts_[request];
  const auto found = failures_.find(request);
  if (found == failures_.end() || found->second.times == 0) return 0;
  if (found->second.skip-- > 0) return 0;
  found->second.skip = 0;
  --found->second.times;
  return -found->second.err;
}

int TestTeeDevice::Ioctl(unsigned long request, void* argument) {
  if (const int failure = InjectedFailure(request); failure != 0) return failure;
  switch (request) {
    case TEE_IOC_VERSION:
      *static_cast<tee_ioctl_version_data*>(argument) = version;
      return 0;
    case TEE_IOC_SHM_REGISTER:
      return Register(*static_cast<tee_ioctl_shm_register_data*>(argument));
    case TEE_IOC_SHM_ALLOC:
      return Allocate(*static_cast<tee_ioctl_shm_alloc_data*>(argument));
    case TEE_IOC_OPEN_SESSION:
      return Open(*static_cast<tee_ioctl_buf_data*>(argument));
    case TEE_IOC_INVOKE:
      return Invoke(*static_cast<tee_ioctl_buf_data*>(argument));
    case TEE_IOC_CANCEL: {
      const auto& cancel = *static_cast<tee_ioctl_cancel_arg*>(argument);
      const std::lock_guard lock(mutex_);
      if (!sessions_.contains(cancel.session)) return -EINVAL;
      cancels_.push_back(cancel);
      return 0;
    }
    case TEE_IOC_CLOSE_SESSION: {
      const std::lock_guard lock(mutex_);
      const auto session = static_cast<tee_ioctl_close_session_arg*>(argument)->session;
      return sessions_.erase(session) == 1 ? 0 : -EINVAL;
    }
    default:
      return -EINVAL;
  }
}

int TestTeeDevice::Register(tee_ioctl_shm_register_data& data) {
  const std::lock_guard lock(mutex_);
  if (data.flags != 0 || data.length == 0) return -EINVAL;
  registered.push_back(data);
  Shm shm;
  shm.fd = ::memfd_create("test-shm", MFD_CLOEXEC);
  shm.size = data.length;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(data.addr);
  shm.snapshot.assign(bytes, bytes + data.length);
  data.id = next_shm_++;
  return (shm_[data.id] = std::move(shm)).fd;
}

int TestTeeDevice::Allocate(tee_ioctl_shm_alloc_data& data) {
  const std::lock_guard lock(mutex_);
  if (data.flags != 0 || data.size == 0) return -EINVAL;
  Shm shm;
  shm.fd = ::memfd_create("test-shm", MFD_CLOEXEC);
  shm.size = data.size;
  if (::ftruncate(shm.fd, static_cast<off_t>(data.size)) != 0) return -ENOMEM;
  shm.map = static_cast<std::uint8_t*>(
      ::mmap(nullptr, data.size, PROT_READ | PROT_WRITE, MAP_SHARED, shm.fd, 0));
  data.id = next_shm_++;
  return (shm_[data.id] = std::move(shm)).fd;
}

void* TestTeeDevice::MapBuffer(int fd, std::size_t size) {
  if (fail_map_) return nullptr;
  const int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (address == MAP_FAILED) return nullptr;
  const std::lock_guard lock(mutex_);
  mappings_.insert(address);
  return address;
}

void TestTeeDevice::UnmapBuffer(void* address, std::size_t size) {
  ::munmap(address, size);
  const std::lock_guard lock(mutex_);
  mappings_.erase(address);
}

void TestTeeDevice::Close(int fd) {
  const std::lock_guard lock(mutex_);
  for (auto it = shm_.begin(); it != shm_.end(); ++it) {
    if (it->second.fd != fd) continue;
    if (it->second.map != nullptr) ::munmap(it->second.map, it->second.size);
    shm_.erase(it);
    break;
  }
  ::close(fd);
}

int TestTeeDevice::CheckParams(const tee_ioctl_param* params, std::uint32_t count) {
  const std::lock_guard lock(mutex_);
  for (std::uint32_t i = 0; i < count; ++i) {
    const tee_ioctl_param& param = params[i];
    if (param.attr == 4 || param.attr > 7) return -EINVAL;
    if (!IsMemref(param.attr)) continue;
    if (param.c == kNullMemrefId) {
      if ((version.gen_caps & kGenCapNullMemref) == 0) return -EINVAL;
      continue;
    }
    const auto shm = shm_.find(static_cast<std::int32_t>(param.c));
    if (shm == shm_.end() || param.a + param.b > shm->second.size) return -EINVAL;
  }
  return 0;
}

void TestTeeDevice::WriteBack(const Call& call, tee_ioctl_param* params) {
  for (std::size_t i = 0; i < call.params.size(); ++i) {
    if (!IsOutput(params[i].attr)) continue;
    params[i].b = call.params[i].b;
    if (IsMemref(params[i].attr)) continue;
    params[i].a = call.params[i].a;
    params[i].c = call.params[i].c;
  }
}

int TestTeeDevice::Open(tee_ioctl_buf_data& buffer) {
  auto* arg = reinterpret_cast<tee_ioctl_open_session_arg*>(buffer.buf_ptr);
  if (buffer.buf_len != sizeof *arg + arg->num_params * sizeof(tee_ioctl_param)) return -EINVAL;
  auto* params = reinterpret_cast<tee_ioctl_param*>(arg + 1);
  if (const int bad = CheckParams(params, arg->num_params); bad != 0) return bad;
  if (arg->clnt_login >= 0x80000000 && arg->clnt_login <= 0xBFFFFFFF) return -EPERM;
  if (arg->clnt_login > 2) return -EINVAL;
  Call call;
  call.open = true;
  std::memcpy(call.uuid.data(), arg->uuid, 16);
  std::memcpy(call.client.data(), arg->clnt_uuid, 16);
  call.login = arg->clnt_login;
  call.cancel_id = arg->cancel_id;
  call.params.assign(params, params + arg->num_params);
  if (script) script(call);
  arg->ret = call.ret;
  arg->ret_origin = call.origin;
  WriteBack(call, params);
  if (call.ret != 0) return 0;
  const std::lock_guard lock(mutex_);
  arg->session = next_session_++;
  sessions_.insert(arg->session);
  return 0;
}

int TestTeeDevice::Invoke(tee_ioctl_buf_data& buffer) {
  auto* arg = reinterpret_cast<tee_ioctl_invoke_arg*>(buffer.buf_ptr);
  if (buffer.buf_len != sizeof *arg + arg->num_params * sizeof(tee_ioctl_param)) return -EINVAL;
  auto* params = reinterpret_cast<tee_ioctl_param*>(arg + 1);
  if (const int bad = CheckParams(params, arg->num_params); bad != 0) return bad;
  {
    const std::lock_guard lock(mutex_);
    if (!sessions_.contains(arg->session)) return -EINVAL;
  }
  Call call;
  call.session = arg->session;
  call.function = arg->func;
  call.cancel_id = arg->cancel_id;
  call.params.assign(params, params + arg->num_params);
  if (script) script(call);
  arg->ret = call.ret;
  arg->ret_origin = call.origin;
  WriteBack(call, params);
  return 0;
}

int TestTeeDevice::Count(unsigned long request) {
  const std::lock_guard lock(mutex_);
  return counts_[request];
}
std::size_t TestTeeDevice::sessions() {
  const std::lock_guard lock(mutex_);
  return sessions_.size();
}
std::size_t TestTeeDevice::descriptors() {
  const std::lock_guard lock(mutex_);
  return shm_.size();
}
std::size_t TestTeeDevice::mappings() {
  const std::lock_guard lock(mutex_);
  return mappings_.size();
}
std::vector<tee_ioctl_cancel_arg> TestTeeDevice::cancels() {
  const std::lock_guard lock(mutex_);
  return cancels_;
}

}  // namespace vtee::backend
