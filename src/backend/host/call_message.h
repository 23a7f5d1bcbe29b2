// SPDX-License-Identifier: BSD-3-Clause
// CallMessage: the variable-sized argument of TEE_IOC_OPEN_SESSION and TEE_IOC_INVOKE, and the
// translation of neutral parameters into it and back.
//
// Encode() checks every memory range against its memory itself (older kernels do not), decides how
// each reaches the TEE (host_memory.h) and copies the inputs of what is copied. Decode() takes over
// values and sizes of output parameters; a size above what was offered is a short buffer and passes
// through, copying never exceeds what was offered. Threading: on one call's stack. No heap.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "backend/host/host_memory.h"
#include "backend/host/tee_uapi.h"
#include "tee/session_tee.h"
#include "tee/types.h"

namespace vtee::backend {

// The parameters of one call, in both forms.
class ParamTranslation {
 public:
  // `out` must hold tee::kMaxParams entries; it is written up to count(). Not ok: nothing has
  // happened, the outcome is the guest's answer.
  tee::Outcome Encode(const tee::Params& params, bool null_memref, tee_ioctl_param* out);
  // False: outputs could not be copied to the guest.
  bool Decode(const tee_ioctl_param* in, tee::Params& params) const;
  // How many parameters the kernel is told of: up to the last one in use.
  std::uint32_t count() const { return count_; }

 private:
  tee::Outcome EncodeMemory(const tee::Param& param, bool null_memref, std::size_t index,
                            tee_ioctl_param& out);

  std::uint32_t count_ = 0;
  CopySlots slots_;
  std::array<Placement, tee::kMaxParams> places_{};
};

template <typename Header>
class CallMessage {
 public:
  Header& header() { return *reinterpret_cast<Header*>(bytes_.data()); }
  tee_ioctl_param* params() {
    return reinterpret_cast<tee_ioctl_param*>(bytes_.data() + sizeof(Header));
  }
  // What the ioctl takes; valid while the message lives.
  tee_ioctl_buf_data Buffer() {
    tee_ioctl_buf_data data{};
    data.buf_ptr = reinterpret_cast<std::uintptr_t>(bytes_.data());
    data.buf_len = sizeof(Header) + header().num_params * sizeof(tee_ioctl_param);
    return data;
  }

 private:
  static_assert(sizeof(Header) % alignof(tee_ioctl_param) == 0);
  alignas(8) std::array<unsigned char,
                        sizeof(Header) + tee::kMaxParams * sizeof(tee_ioctl_param)> bytes_{};
};

}  // namespace vtee::backend
