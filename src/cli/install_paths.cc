// SPDX-License-Identifier: BSD-3-Clause
#include "cli/install_paths.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <span>
#include <system_error>
#include <vector>

#ifndef VTEE_LIBDIR
#error "VTEE_LIBDIR, the installed library folder relative to bin, comes from CMake"
#endif

namespace vtee::cli {
namespace {

namespace fs = std::filesystem;

Result<std::string> FirstOf(std::span<const std::string> candidates, int access_mode,
                            const std::string& missing) {
  for (const std::string& candidate : candidates) {
    std::error_code wrong;
    if (!fs::is_regular_file(candidate, wrong) || access(candidate.c_str(), access_mode) != 0) {
      continue;
    }
    const fs::path absolute = fs::canonical(candidate, wrong);
    if (!wrong) return absolute.string();
  }
  return Error{ErrorCode::kNotFound, missing};
}

}  // namespace

Result<std::string> LocateVteed(const std::string& given, const std::string& folder) {
  if (!given.empty()) {
    return FirstOf(std::span(&given, 1), X_OK, fmt::format("--vteed {} is no program", given));
  }
  const std::vector<std::string> candidates = {folder + "/vteed", folder + "/../daemon/vteed"};
  return FirstOf(candidates, X_OK,
                 fmt::format("vteed is not in {}; give its place with --vteed", folder));
}

Result<std::string> LocateShim(const std::string& given, const std::string& folder) {
  std::vector<std::string> candidates = {folder + "/" VTEE_LIBDIR "/vtee/libvtee-kvm.so",
                                         folder + "/../lib/vtee/libvtee-kvm.so",
                                         folder + "/../vmm/libvtee-kvm.so"};
  if (!given.empty()) candidates = {given};
  auto shim = FirstOf(candidates, R_OK,
                      given.empty()
                          ? fmt::format("the shim libvtee-kvm.so is not in {}; give its place with "
                                        "--shim",
                                        candidates.front())
                          : fmt::format("--shim {} cannot be read", given));
  // The dynamic loader splits LD_PRELOAD at both characters and knows no quoting.
  if (shim.ok() && shim->find_first_of(": ") != std::string::npos) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("the dynamic loader cannot preload {} because of the space or colon in "
                    "its path; put it elsewhere and give --shim",
                    shim.value())};
  }
  return shim;
}

Result<std::string> LocateTeec(const std::string& folder) {
  const std::vector<std::string> places = {folder + "/" VTEE_LIBDIR "/vtee",
                                           folder + "/../lib/vtee", folder + "/../teec"};
  std::string found;
  for (const char* machine : {"", "/aarch64"}) {
    std::vector<std::string> candidates;
    candidates.reserve(places.size());
    for (const std::string& place : places) candidates.push_back(place + machine + "/libteec.so.2");
    const auto library = FirstOf(candidates, R_OK, "");
    if (!library.ok()) continue;
    if (!found.empty()) found += ":";
    found += fs::path(library.value()).parent_path().string();
  }
  if (!found.empty()) return found;
  return Error{ErrorCode::kNotFound,
               fmt::format("libteec.so.2 is not in {}; install vtee whole", places.front())};
}

std::string OwnFolder() {
  std::error_code wrong;
  const fs::path self = fs::read_symlink("/proc/self/exe", wrong);
  return wrong ? "." : self.parent_path().string();
}

}  // namespace vtee::cli
