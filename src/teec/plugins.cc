// SPDX-License-Identifier: BSD-3-Clause
#include "teec/plugins.h"

#include <dirent.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "teec/uuid.h"

namespace vtee::teec {
namespace {

constexpr std::uint64_t kInvoke = 0;  // OPTEE_INVOKE_PLUGIN
constexpr const char* kFolder = "/usr/lib/tee-supplicant/plugins";

}  // namespace

Plugins& Plugins::OfProcess() {
  static Plugins plugins;
  return plugins;
}

void Plugins::Load(const std::string& folder) {
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) return;
  while (const dirent* entry = readdir(open)) {
    if (entry->d_name[0] != '.') LoadOne(folder + "/" + entry->d_name);
  }
  closedir(open);
}

void Plugins::LoadOne(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_LAZY);
  const auto* method = library == nullptr
                           ? nullptr
                           : static_cast<const PluginMethod*>(dlsym(library, "plugin_method"));
  if (method == nullptr || method->invoke == nullptr) {
    const char* why = dlerror();
    std::fprintf(stderr, "libteec: %s is no plugin: %s\n", path.c_str(),
                 why != nullptr ? why : "it has no way to invoke it");
    return;
  }
  if (method->init != nullptr && method->init() != TEEC_SUCCESS) {
    std::fprintf(stderr, "libteec: the plugin %s does not start\n", path.c_str());
    return;
  }
  methods_.push_back(method);
}

TEEC_Result Plugins::Serve(Upcall& upcall) {
  if (!upcall.Is(Kind::kValueIn, Kind::kValueIn, Kind::kValueInOut, Kind::kBytesInOut)) {
    return TEEC_ERROR_BAD_PARAMETERS;
  }
  if (upcall.value(0).a != kInvoke) return TEEC_ERROR_NOT_SUPPORTED;
  std::array<std::uint32_t, 4> words = {
      static_cast<std::uint32_t>(upcall.value(0).b), static_cast<std::uint32_t>(upcall.value(0).c),
      static_cast<std::uint32_t>(upcall.value(1).a), static_cast<std::uint32_t>(upcall.value(1).b)};
  std::array<std::uint8_t, 16> octets{};
  std::memcpy(octets.data(), words.data(), octets.size());
  const std::lock_guard lock(mutex_);
  if (!loaded_) {
    const char* folder = std::getenv("VTEE_PLUGIN_DIR");
    Load(folder != nullptr ? folder : kFolder);
    loaded_ = true;
  }
  const auto found = std::find_if(methods_.begin(), methods_.end(), [&](const PluginMethod* each) {
    return ToOctets(each->uuid) == octets;
  });
  if (found == methods_.end()) return TEEC_ERROR_ITEM_NOT_FOUND;
  std::vector<std::byte>& data = upcall.bytes(3);
  std::size_t out_size = 0;
  const TEEC_Result result = (*found)->invoke(static_cast<unsigned>(upcall.value(1).c),
                                              static_cast<unsigned>(upcall.value(2).a), data.data(),
                                              data.size(), &out_size);
  upcall.value(2).b = out_size;
  return result;
}

}  // namespace vtee::teec
