// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <thread>

#include "base/file_bytes.h"
#include "ta/storage/state_paths.h"

namespace vtee::ta {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr std::size_t kMostName = 64;
// A look at the folder (`vtee state list`) is over by then.
constexpr int kTries = 20;
constexpr std::chrono::milliseconds kPause{10};

// Root may look at a user's folder, and must not leave a file there that the user cannot open.
void GiveToOwnerOf(const std::string& dir, int fd) {
  struct stat status {};
  if (::geteuid() != 0 || ::stat(dir.c_str(), &status) != 0) return;
  static_cast<void>(!::fchown(fd, status.st_uid, status.st_gid));
}

// For people only, so that it does not matter when it fails.
void WriteNote(int fd, const std::string& vm_name) {
  const std::string note =
      std::to_string(::getpid()) + " " + vm_name.substr(0, vm_name.find('\n')).substr(0, kMostName);
  if (::ftruncate(fd, 0) != 0) return;
  static_cast<void>(!::pwrite(fd, note.data(), note.size(), 0));
}

std::string InUse(const std::string& dir) {
  const LockNote note = ReadLockNote(dir);
  std::string who = "another process";
  if (note.process != 0) {
    who += " (" + std::to_string(note.process) + (note.vm_name.empty() ? "" : ", ") + note.vm_name +
           ")";
  }
  return who + " uses " + dir + ": a VM's storage can be open only once; stop the other one first";
}

}  // namespace

Result<UniqueFd> LockState(const std::string& dir, const std::string* holder) {
  const std::string path = StatePaths(dir).lock();
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
  UniqueFd lock(::open(path.c_str(), kFlags));
  if (!lock && errno == ENOENT) {
    lock.Reset(::open(path.c_str(), kFlags | O_CREAT, kFileMode));
    if (lock) GiveToOwnerOf(dir, lock.get());
  }
  if (!lock) return ErrnoError(errno, "cannot open " + path);
  for (int left = kTries;; --left) {
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) break;
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoError(errno, "cannot lock " + path);
    if (left == 0) return Error{ErrorCode::kUnavailable, InUse(dir)};
    std::this_thread::sleep_for(kPause);
  }
  if (holder != nullptr) WriteNote(lock.get(), *holder);
  return lock;
}

LockNote ReadLockNote(const std::string& dir) {
  LockNote note;
  const UniqueFd fd(::open(StatePaths(dir).lock().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::array<char, kMostName + 24> text{};
  const auto size = ReadFully(fd.get(), std::as_writable_bytes(std::span(text)));
  if (!fd || !size) return note;
  const char* end = text.data() + *size;
  const auto [stop, wrong] = std::from_chars(text.data(), end, note.process);
  if (wrong != std::errc() || note.process <= 0 || (stop != end && *stop != ' ')) return {};
  if (stop != end) note.vm_name.assign(stop + 1, end);
  // It goes to a terminal.
  std::ranges::replace_if(
      note.vm_name, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7F'; }, '?');
  return note;
}

}  // namespace vtee::ta
