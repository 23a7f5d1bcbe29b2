// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/backing_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/checked.h"

namespace vtee::vmm {
namespace {

// One line of /proc/self/maps: proc_pid_maps(5).
struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  char permissions[5] = {};
  std::uint64_t offset = 0;
  unsigned major = 0;
  unsigned minor = 0;
  std::uint64_t inode = 0;
};

bool ParseMapping(const char* line, Mapping& out) {
  // NOLINTNEXTLINE(cert-err34-c): the kernel wrote the numbers
  return std::sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &out.start,
                     &out.end, out.permissions, &out.offset, &out.major, &out.minor,
                     &out.inode) == 7;
}

bool Usable(const Mapping& mapping, bool writable) {
  const char* permissions = mapping.permissions;
  return mapping.inode != 0 && permissions[0] == 'r' && permissions[3] == 's' &&
         (!writable || permissions[1] == 'w');
}

bool Continues(const Mapping& first, const Mapping& next, std::uint64_t expected_start) {
  return next.start == expected_start && next.major == first.major && next.minor == first.minor &&
         next.inode == first.inode && next.offset == first.offset + (next.start - first.start);
}

// The mapping that holds `address`, provided that it and its successors cover the whole range
// with one file in order. A range is often several mappings, as mbind() and madvise() split them.
bool FindMapping(std::uint64_t address, std::uint64_t end, bool writable, Mapping& first) {
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr) return false;
  char* line = nullptr;
  std::size_t capacity = 0;
  std::uint64_t covered = 0;  // end of what is found so far; 0: nothing
  while (getline(&line, &capacity, maps) > 0) {
    Mapping mapping;
    if (!ParseMapping(line, mapping) || mapping.end <= address) continue;
    if (!Usable(mapping, writable)) break;
    if (covered == 0) {
      if (mapping.start > address) break;
      first = mapping;
    } else if (!Continues(first, mapping, covered)) {
      break;
    }
    covered = mapping.end;
    if (covered >= end) break;
  }
  std::free(line);
  std::fclose(maps);
  return covered >= end;
}

bool SameFile(int fd, const Mapping& mapping) {
  struct stat file {};
  return fstat(fd, &file) == 0 && file.st_ino == mapping.inode &&
         file.st_dev == makedev(mapping.major, mapping.minor);
}

// A descriptor of our own for what `path` leads to, if that is the mapping's file.
OwnFd OpenSame(const char* path, const Mapping& mapping, bool writable) {
  OwnFd fd(open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK));
  return fd.valid() && SameFile(fd.get(), mapping) ? std::move(fd) : OwnFd();
}

bool ModeAllows(int fd, bool writable) {
  const int mode = fcntl(fd, F_GETFL);
  if (mode < 0 || (mode & O_PATH) != 0) return false;
  return (mode & O_ACCMODE) == O_RDWR || (!writable && (mode & O_ACCMODE) == O_RDONLY);
}

OwnFd FindDescriptor(const Mapping& mapping, bool writable) {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return OwnFd();
  OwnFd found;
  while (const dirent* entry = readdir(directory)) {
    char* rest = nullptr;
    const long number = std::strtol(entry->d_name, &rest, 10);
    if (*rest != '\0' || number > INT32_MAX) continue;
    const int fd = static_cast<int>(number);
    if (fd == dirfd(directory) || !SameFile(fd, mapping)) continue;
    if (ModeAllows(fd, writable)) {
      OwnFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
      // The number may have been reused since; look at what we hold.
      if (copy.valid() && SameFile(copy.get(), mapping)) found = std::move(copy);
    } else {
      char path[64];
      std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
      found = OpenSame(path, mapping, writable);
    }
    if (found.valid()) break;
  }
  closedir(directory);
  return found;
}

}  // namespace

BackingFile FindBackingFile(std::uint64_t address, std::uint64_t size, bool writable) {
  BackingFile backing;
  const auto end = CheckedAdd(address, size);
  Mapping mapping;
  if (address == 0 || size == 0 || !end || !FindMapping(address, *end, writable, mapping)) {
    return backing;
  }
  backing.file_offset = mapping.offset + (address - mapping.start);
  backing.fd = FindDescriptor(mapping, writable);
  if (!backing.fd.valid()) {
    // The VMM closed its descriptor. This door needs CAP_CHECKPOINT_RESTORE.
    char path[80];
    std::snprintf(path, sizeof path, "/proc/self/map_files/%" PRIx64 "-%" PRIx64, mapping.start,
                  mapping.end);
    backing.fd = OpenSame(path, mapping, writable);
  }
  return backing;
}

}  // namespace vtee::vmm
