// SPDX-License-Identifier: BSD-3-Clause
// The Linux TEE subsystem's UAPI (linux/tee.h), plus what Debian 12's copy of it lacks, and the
// layout that vtee relies on. Numbers after Documentation/userspace-api/tee.rst and
// include/uapi/linux/tee.h of Linux 7.2.
#pragma once

#include <linux/tee.h>

#include <cstddef>
#include <cstdint>

namespace vtee::backend {

// impl_id values of struct tee_ioctl_version_data.
enum class TeeImplementation : std::uint32_t {
  kOpTee = 1,
  kAmdTee = 2,
  kTsTee = 3,  // Linux 6.10
  kQTee = 4,   // Linux 6.18
};

inline constexpr std::uint32_t kGenCapPrivileged = 1u << 1;
inline constexpr std::uint32_t kGenCapRegisterMemory = 1u << 2;
inline constexpr std::uint32_t kGenCapNullMemref = 1u << 3;

// The shm id of a NULL memref: -1 in 64 bits.
inline constexpr std::uint64_t kNullMemrefId = ~std::uint64_t{0};

// ENOTSUPP: an errno of the kernel's own that tee_shm_register() lets out to userspace.
inline constexpr int kKernelNotSupported = 524;

static_assert(sizeof(tee_ioctl_version_data) == 12);
static_assert(sizeof(tee_ioctl_param) == 32);
static_assert(offsetof(tee_ioctl_param, c) == 24);
static_assert(sizeof(tee_ioctl_open_session_arg) == 56);
static_assert(offsetof(tee_ioctl_open_session_arg, clnt_login) == 32);
static_assert(offsetof(tee_ioctl_open_session_arg, num_params) == 52);
static_assert(sizeof(tee_ioctl_invoke_arg) == 24);
static_assert(offsetof(tee_ioctl_invoke_arg, num_params) == 20);
static_assert(sizeof(tee_ioctl_shm_register_data) == 24);
static_assert(sizeof(tee_ioctl_shm_alloc_data) == 16);

}  // namespace vtee::backend
