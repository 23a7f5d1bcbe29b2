// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/tss_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>

namespace vtee::ta {
namespace {

Error Missing(const char* file) {
  const char* why = ::dlerror();
  return Error{ErrorCode::kUnsupported,
               std::string("the library for TPMs is missing (") + (why != nullptr ? why : file) +
                   "): install tpm2-tss (Debian: libtss2-esys-3.0.2-0, libtss2-tctildr0)"};
}

template <typename Function>
bool Get(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Status Fill(TssLibrary& tss) {
  // Refusals are answers here; the library would print each as an error of its own.
  ::setenv("TSS2_LOG", "all+NONE", 0);
  void* library = nullptr;
#define VTEE_TSS_GET(name) \
  if (!Get(library, #name, tss.name)) return Missing(#name);
  library = ::dlopen("libtss2-mu.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Missing("libtss2-mu.so.0");
  VTEE_TSS_MU(VTEE_TSS_GET)
  library = ::dlopen("libtss2-esys.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Missing("libtss2-esys.so.0");
  VTEE_TSS_ESYS(VTEE_TSS_GET)
  library = ::dlopen("libtss2-tctildr.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Missing("libtss2-tctildr.so.0");
  VTEE_TSS_LOADER(VTEE_TSS_GET)
#undef VTEE_TSS_GET
  return {};
}

}  // namespace

Result<const TssLibrary*> TssLibrary::Find() {
  static TssLibrary tss;
  static const Status filled = Fill(tss);
  if (!filled.ok()) return filled.error();
  return &tss;
}

}  // namespace vtee::ta
