// SPDX-License-Identifier: BSD-3-Clause
#include "cli/executable.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/unique_fd.h"

namespace vtee::cli {
namespace {

#if defined(__aarch64__)
constexpr Elf64_Half kOwnMachine = EM_AARCH64;
#elif defined(__x86_64__)
constexpr Elf64_Half kOwnMachine = EM_X86_64;
#else
#error "vtee runs on little-endian 64-bit machines; name this one's ELF number here"
#endif

constexpr Elf64_Half kMaxProgramHeaders = 256;

bool ReadAt(int fd, std::uint64_t offset, void* into, std::size_t size) {
  return pread(fd, into, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
}

Error Unusable(const std::string& program, const char* why) {
  return Error{ErrorCode::kUnsupported, fmt::format("{} {}", program, why)};
}

bool ReadElf64(int fd, Elf64_Ehdr& header) {
  return ReadAt(fd, 0, &header, sizeof header) &&
         std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
         header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB;
}

Status CheckElf(const std::string& program, int fd) {
  Elf64_Ehdr header{};
  if (!ReadElf64(fd, header) || header.e_machine != kOwnMachine) {
    return Unusable(program,
                    "is built for another architecture than vtee; use a build for this machine");
  }
  const bool readable =
      header.e_phentsize == sizeof(Elf64_Phdr) && header.e_phnum <= kMaxProgramHeaders;
  for (Elf64_Half i = 0; readable && i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    if (header.e_phoff > INT64_MAX / 2 ||
        !ReadAt(fd, header.e_phoff + i * sizeof segment, &segment, sizeof segment)) {
      break;
    }
    if (segment.p_type == PT_INTERP) return {};
  }
  return Unusable(program,
                  "is statically linked, so vtee's shim cannot be preloaded into it; use a "
                  "dynamically linked build (for Firecracker and the like: a gnu target)");
}

// Programs that gain rights are started in secure-execution mode, without LD_PRELOAD.
Status CheckPrivileges(const std::string& program, const struct stat& status, int fd) {
  const bool sets_id = ((status.st_mode & S_ISUID) != 0 && status.st_uid != geteuid()) ||
                       ((status.st_mode & S_ISGID) != 0 && status.st_gid != getegid());
  if (sets_id) {
    return Unusable(program,
                    "is setuid or setgid, so vtee's shim cannot be preloaded into it; start it "
                    "with the rights it needs instead (for /dev/kvm: membership of group kvm)");
  }
  if (geteuid() != 0 && fgetxattr(fd, "security.capability", nullptr, 0) > 0) {
    return Unusable(program,
                    "has file capabilities, so vtee's shim cannot be preloaded into it; remove "
                    "them (setcap -r) and grant the rights otherwise");
  }
  return {};
}

}  // namespace

Result<std::string> FindProgram(const std::string& program, const std::string& path) {
  if (program.find('/') != std::string::npos) {
    if (access(program.c_str(), X_OK) == 0) return program;
    return Error{ErrorCode::kNotFound,
                 fmt::format("cannot run {}: {}", program, std::strerror(errno))};
  }
  std::istringstream folders(path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + program;
    struct stat status {};
    if (stat(candidate.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
        access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return Error{
      ErrorCode::kNotFound,
      fmt::format("there is no program '{}' in PATH; install it or give its full path", program)};
}

Status CheckPreloadable(const std::string& program) {
  const UniqueFd fd(open(program.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0) return ErrnoError(errno, "cannot read " + program);
  if (!S_ISREG(status.st_mode)) return Unusable(program, "is not a program");
  VTEE_TRY(CheckPrivileges(program, status, fd.get()));
  std::array<char, SELFMAG> magic{};
  const ssize_t size = pread(fd.get(), magic.data(), magic.size(), 0);
  if (size >= 2 && magic[0] == '#' && magic[1] == '!') return {};
  if (size == SELFMAG && std::memcmp(magic.data(), ELFMAG, SELFMAG) == 0) {
    return CheckElf(program, fd.get());
  }
  return Unusable(program, "is neither an ELF program nor a script");
}

bool NeedsArm64Emulator(const std::string& program) {
  const UniqueFd fd(open(program.c_str(), O_RDONLY | O_CLOEXEC));
  Elf64_Ehdr header{};
  return fd && ReadElf64(fd.get(), header) && header.e_machine == EM_AARCH64 &&
         kOwnMachine != EM_AARCH64;
}

}  // namespace vtee::cli
