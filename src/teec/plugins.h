// SPDX-License-Identifier: BSD-3-Clause
// Plugins: shared objects of the normal world that TAs may call by UUID, as OP-TEE's tee-supplicant
// loads them (UUID.plugin, symbol plugin_method; optee_client libteec/include/tee_plugin_method.h).
//
// Loaded at the first request, from $VTEE_PLUGIN_DIR or OP-TEE's folder, and kept.
// Threading: any thread, one request at a time.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "teec/tee_client_api.h"
#include "teec/upcall.h"

namespace vtee::teec {

struct PluginMethod {
  const char* name;
  TEEC_UUID uuid;
  TEEC_Result (*init)();
  TEEC_Result (*invoke)(unsigned command, unsigned sub_command, void* data, std::size_t size,
                        std::size_t* out_size);
};

class Plugins {
 public:
  static Plugins& OfProcess();
  // value in {request, UUID words 0 and 1}, value in {UUID words 2 and 3, command}, value inout
  // {sub-command, length out}, bytes inout.
  TEEC_Result Serve(Upcall& upcall);

 private:
  void Load(const std::string& folder);
  void LoadOne(const std::string& path);
  std::mutex mutex_;
  bool loaded_ = false;
  std::vector<const PluginMethod*> methods_;
};

}  // namespace vtee::teec
