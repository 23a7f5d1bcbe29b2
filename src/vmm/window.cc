// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/window.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <utility>

namespace vtee::vmm {

Window::Window(Window&& other) noexcept
    : fd_(std::move(other.fd_)),
      memory_(std::exchange(other.memory_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Window& Window::operator=(Window&& other) noexcept {
  fd_ = std::move(other.fd_);
  std::swap(memory_, other.memory_);
  std::swap(size_, other.size_);
  return *this;
}

Window::~Window() {
  if (memory_ != nullptr) munmap(memory_, size_);
}

Window Window::Make(std::uint64_t bytes, Text& error) {
  Window window;
  window.fd_.Reset(memfd_create("vtee-window", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  void* memory = MAP_FAILED;
  // Sealed, so that nobody who gets the file can make the others fault.
  if (window.fd_.valid() && ftruncate(window.fd_.get(), static_cast<off_t>(bytes)) == 0 &&
      fcntl(window.fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, window.fd_.get(), 0);
  }
  if (memory == MAP_FAILED) {
    error.Format("cannot make the TEE's shared-memory window of %" PRIu64 " KiB (%s)", bytes >> 10,
                 strerror(errno));
    return Window();
  }
  madvise(memory, bytes, MADV_DONTFORK);  // a child has no use for it
  window.memory_ = memory;
  window.size_ = bytes;
  return window;
}

void Window::Clear() const {
  if (memory_ != nullptr) std::memset(memory_, 0, size_);
}

}  // namespace vtee::vmm
