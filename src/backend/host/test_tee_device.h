// SPDX-License-Identifier: BSD-3-Clause
// TestTeeDevice: the kernel's side of /dev/teeN for unit tests: checks arguments as strictly as
// drivers/tee/tee_core.c does, runs a scripted TA, fails a chosen call, and counts what is left.
// Threading: any thread; the script runs without the lock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "backend/host/tee_device.h"
#include "backend/host/tee_uapi.h"

namespace vtee::backend {

class TestTeeDevice final : public TeeDevice {
 public:
  struct Call {
    bool open = false;
    std::array<std::uint8_t, 16> uuid{};
    std::array<std::uint8_t, 16> client{};
    std::uint32_t login = 0;
    std::uint32_t session = 0;
    std::uint32_t function = 0;
    std::uint32_t cancel_id = 0;
    std::vector<tee_ioctl_param> params;
    std::uint32_t ret = 0;
    std::uint32_t origin = 3;
  };

  ~TestTeeDevice() override;

  int Ioctl(unsigned long request, void* argument) override;
  void* MapBuffer(int fd, std::size_t size) override;
  void UnmapBuffer(void* address, std::size_t size) override;
  void Close(int fd) override;

  // The next `skip`+1-th call of `request` answers -err, `times` times in a row.
  void Fail(unsigned long request, int err, int skip = 0, int times = 1);
  void set_fail_map(bool fail) { fail_map_ = fail; }

  // The bytes behind shm `id`, as a TA sees them. Registered memory: as it was when registered.
  std::vector<std::uint8_t>& Registered(std::int32_t id) { return shm_.at(id).snapshot; }
  std::uint8_t* Allocated(std::int32_t id) { return shm_.at(id).map; }

  tee_ioctl_version_data version{1, 1, 1 | kGenCapRegisterMemory | kGenCapNullMemref};
  std::function<void(Call&)> script;  // the TA: opens and invocations

  int Count(unsigned long request);
  std::size_t sessions();
  std::size_t descriptors();
  std::size_t mappings();
  std::vector<tee_ioctl_cancel_arg> cancels();
  // Address ranges given to SHM_REGISTER.
  std::vector<tee_ioctl_shm_register_data> registered;

 private:
  struct Shm {
    int fd = -1;
    std::uint64_t size = 0;
    std::uint8_t* map = nullptr;
    std::vector<std::uint8_t> snapshot;
  };
  struct Failure {
    int skip = 0;
    int times = 0;
    int err = 0;
  };

  int InjectedFailure(unsigned long request);
  int Register(tee_ioctl_shm_register_data& data);
  int Allocate(tee_ioctl_shm_alloc_data& data);
  int Open(tee_ioctl_buf_data& buffer);
  int Invoke(tee_ioctl_buf_data& buffer);
  int CheckParams(const tee_ioctl_param* params, std::uint32_t count);
  static void WriteBack(const Call& call, tee_ioctl_param* params);

  std::mutex mutex_;
  std::map<unsigned long, Failure> failures_;
  std::map<unsigned long, int> counts_;
  std::map<std::int32_t, Shm> shm_;
  std::set<std::uint32_t> sessions_;
  std::set<void*> mappings_;
  std::vector<tee_ioctl_cancel_arg> cancels_;
  std::int32_t next_shm_ = 1;
  std::uint32_t next_session_ = 1;
  bool fail_map_ = false;
};

}  // namespace vtee::backend
