// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/scattered_memfd.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/checked.h"

namespace vtee::backend {
namespace {

std::size_t PageSize() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

class Window final : public tee::MappedWindow {
 public:
  Window(void* address, std::size_t length, std::uint64_t offset, std::uint64_t size)
      : address_(address),
        length_(length),
        bytes_(static_cast<std::byte*>(address) + offset, size) {}
  ~Window() override { ::munmap(address_, length_); }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  std::span<std::byte> bytes() const override { return bytes_; }

 private:
  void* address_;
  std::size_t length_;
  std::span<std::byte> bytes_;
};

}  // namespace

Result<std::shared_ptr<ScatteredMemfd>> ScatteredMemfd::Make(std::vector<std::size_t> order,
                                                             std::uint64_t offset,
                                                             std::uint64_t size) {
  std::shared_ptr<ScatteredMemfd> memory(new ScatteredMemfd);
  const std::size_t pages = order.empty() ? 0 : *std::max_element(order.begin(), order.end()) + 1;
  if (pages == 0 || !RangeInside(offset, size, order.size() * PageSize())) {
    return Error{ErrorCode::kInvalidArgument, "the buffer is larger than its pages"};
  }
  memory->file_size_ = pages * PageSize();
  memory->fd_.Reset(::memfd_create("vtee-probe", MFD_CLOEXEC));
  if (!memory->fd_) return ErrnoError(errno, "memfd_create");
  if (::ftruncate(memory->fd_.get(), static_cast<off_t>(memory->file_size_)) != 0) {
    return ErrnoError(errno, "ftruncate of a memfd");
  }
  void* base =
      ::mmap(nullptr, memory->file_size_, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd_.get(), 0);
  if (base == MAP_FAILED) return ErrnoError(errno, "mmap of a memfd");
  memory->base_ = static_cast<std::byte*>(base);
  memory->order_ = std::move(order);
  memory->offset_ = offset;
  memory->size_ = size;
  return memory;
}

ScatteredMemfd::~ScatteredMemfd() {
  if (base_ != nullptr) ::munmap(base_, file_size_);
}

std::byte* ScatteredMemfd::At(std::uint64_t position) const {
  const std::uint64_t in_pages = offset_ + position;
  return base_ + order_[in_pages / PageSize()] * PageSize() + in_pages % PageSize();
}

bool ScatteredMemfd::Read(std::uint64_t offset, std::span<std::byte> out) const {
  if (vanished_ || !RangeInside(offset, out.size(), size_)) return false;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = *At(offset + i);
  return true;
}

bool ScatteredMemfd::Write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  if (vanished_ || !RangeInside(offset, bytes.size(), size_)) return false;
  for (std::size_t i = 0; i < bytes.size(); ++i) *At(offset + i) = bytes[i];
  return true;
}

Result<std::unique_ptr<tee::MappedWindow>> ScatteredMemfd::Map() const {
  if (!mappable_) return Error{ErrorCode::kUnsupported, "this memory cannot be mapped"};
  const std::size_t length = order_.size() * PageSize();
  void* reserved = ::mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return ErrnoError(errno, "reserving a window");
  auto window = std::make_unique<Window>(reserved, length, offset_, size_);
  for (std::size_t i = 0; i < order_.size(); ++i) {
    void* page = ::mmap(static_cast<std::byte*>(reserved) + i * PageSize(), PageSize(),
                        PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_.get(),
                        static_cast<off_t>(order_[i] * PageSize()));
    if (page == MAP_FAILED) return ErrnoError(errno, "mapping a page into a window");
  }
  return std::unique_ptr<tee::MappedWindow>(std::move(window));
}

}  // namespace vtee::backend
