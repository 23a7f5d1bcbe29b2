// SPDX-License-Identifier: BSD-3-Clause
#include "guest/mapped_window.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "guest/slot_mapping.h"

namespace vtee::guest {
namespace {

constexpr std::uint64_t kDefaultMaxMapCount = 65530;  // the kernel's

std::uint64_t ReadMaxMapCount() {
  const UniqueFd fd(open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC));
  std::array<char, 32> text{};
  const ssize_t length = fd ? read(fd.get(), text.data(), text.size()) : -1;
  std::uint64_t value = 0;
  if (length <= 0 || std::from_chars(text.data(), text.data() + length, value).ec != std::errc{} ||
      value == 0) {
    return kDefaultMaxMapCount;
  }
  return value;
}

// vm.max_map_count bounds the process, so its share for windows is counted process-wide.
std::atomic<std::uint64_t>& InUse() {
  static std::atomic<std::uint64_t> in_use{0};
  return in_use;
}

std::atomic<std::uint64_t>& Limit() {
  static std::atomic<std::uint64_t> limit{ReadMaxMapCount() / 2};
  return limit;
}

// A number of kernel mappings taken from the process's budget, given back on destruction.
class Share {
 public:
  explicit Share(std::uint64_t count) {
    std::uint64_t used = InUse().load(std::memory_order_relaxed);
    do {
      if (!RangeInside(used, count, WindowMappingLimit())) return;
    } while (!InUse().compare_exchange_weak(used, used + count, std::memory_order_relaxed));
    count_ = count;
  }
  ~Share() { InUse().fetch_sub(count_, std::memory_order_relaxed); }
  Share(Share&& other) noexcept : count_(std::exchange(other.count_, 0)) {}
  Share& operator=(Share&&) = delete;
  bool taken() const { return count_ != 0; }

 private:
  std::uint64_t count_ = 0;
};

// One mmap call: a part of a file at a place in the window. Whole host pages.
struct Segment {
  std::shared_ptr<const SlotMapping> slot;
  std::uint64_t file_offset = 0;
  std::uint64_t window_offset = 0;
  std::uint64_t size = 0;
};

class Window final : public tee::MappedWindow {
 public:
  explicit Window(Share share) : share_(std::move(share)) {}
  ~Window() override {
    if (base_ != nullptr) munmap(base_, reserved_);
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  std::span<std::byte> bytes() const override { return bytes_; }
  std::byte* base() const { return base_; }
  // Takes addresses; false: there are none, see errno.
  bool Reserve(std::uint64_t bytes) {
    void* const base =
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return false;
    base_ = static_cast<std::byte*>(base);
    reserved_ = bytes;
    return true;
  }
  void SetBytes(std::span<std::byte> bytes) { bytes_ = bytes; }

 private:
  std::byte* base_ = nullptr;
  std::uint64_t reserved_ = 0;
  Share share_;
  std::span<std::byte> bytes_;
};

Error Unsupported() {
  return Error{ErrorCode::kUnsupported,
               "this buffer's pages are smaller than the pages of the host or of the guest's "
               "memory file, so they cannot be mapped one by one; its bytes are copied instead"};
}

bool AnyRemote(std::span<const FileRun> runs) {
  return std::any_of(runs.begin(), runs.end(),
                     [](const FileRun& run) { return run.slot->remote() != nullptr; });
}

bool Continues(const Segment& last, const Segment& next) {
  return last.slot->SameFile(*next.slot) && last.slot->read_only() == next.slot->read_only() &&
         last.file_offset + last.size == next.file_offset;
}

// Cuts the runs into segments. False: a run's edge inside the window is not a host page's.
bool Plan(std::span<const FileRun> runs, std::uint64_t host_page, std::uint64_t& lead,
          std::vector<Segment>& segments) {
  std::uint64_t place = 0;  // in the window
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const FileRun& run = runs[i];
    const std::uint64_t in_file = run.slot->file_offset() + run.slot_offset;
    const std::uint64_t in_page = in_file % host_page;
    if (i == 0) {
      lead = in_page;
    } else if (in_page != 0 || place % host_page != 0) {
      return false;
    }
    const std::uint64_t before = i == 0 ? lead : 0;
    Segment segment{run.slot, in_file - before, place, before + run.size};
    place += segment.size;
    if (!segments.empty() && Continues(segments.back(), segment)) {
      segments.back().size += segment.size;
    } else {
      segments.push_back(std::move(segment));
    }
  }
  return true;
}

Status MapSegment(std::byte* base, const Segment& segment) {
  const int protection = segment.slot->read_only() ? PROT_READ : PROT_READ | PROT_WRITE;
  void* const place = base + segment.window_offset;
  if (mmap(place, segment.size, protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
           segment.slot->fd(), static_cast<off_t>(segment.file_offset)) != MAP_FAILED) {
    return {};
  }
  const int error = errno;
  if (error == EINVAL) return Unsupported();  // hugetlbfs: its pages cannot be split
  if (error == ENOMEM) {
    return Error{ErrorCode::kResourceExhausted,
                 "out of memory mappings for a shared buffer; raise the sysctl vm.max_map_count"};
  }
  return ErrnoError(error, "cannot map guest memory into a window");
}

Error OverBudget(std::uint64_t wanted) {
  return Error{ErrorCode::kResourceExhausted,
               fmt::format("a shared buffer of {} scattered pieces does not fit beside the {} of "
                           "{} memory mappings in use; raise the sysctl vm.max_map_count (half "
                           "of it is for shared buffers)",
                           wanted, WindowMappingsInUse(), WindowMappingLimit())};
}

}  // namespace

std::uint64_t WindowMappingLimit() { return Limit().load(std::memory_order_relaxed); }

void SetWindowMappingLimit(std::uint64_t limit) { Limit().store(limit, std::memory_order_relaxed); }

std::uint64_t WindowMappingsInUse() { return InUse().load(std::memory_order_relaxed); }

Result<std::unique_ptr<tee::MappedWindow>> MapRuns(std::span<const FileRun> runs,
                                                   std::uint64_t size) {
  if (AnyRemote(runs)) {
    return Error{ErrorCode::kUnsupported,
                 "the guest's memory is private to the VMM, so its bytes are copied"};
  }
  const auto host_page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::uint64_t lead = 0;
  std::vector<Segment> segments;
  segments.reserve(runs.size());
  if (!Plan(runs, host_page, lead, segments)) return Unsupported();
  const auto end = CheckedAdd(lead, size);
  const auto reserved = end ? CheckedRoundUp(*end, host_page) : std::nullopt;
  if (segments.empty() || !reserved) {
    return Error{ErrorCode::kInvalidArgument, "a shared buffer without bytes cannot be mapped"};
  }
  Share share(segments.size());
  if (!share.taken()) return OverBudget(segments.size());
  // From here on the window's destructor undoes everything.
  auto window = std::make_unique<Window>(std::move(share));
  if (!window->Reserve(*reserved)) {
    const int error = errno;
    return ErrnoError(error, fmt::format("cannot reserve {} bytes of addresses", *reserved));
  }
  for (const Segment& segment : segments) VTEE_TRY(MapSegment(window->base(), segment));
  madvise(window->base(), *reserved, MADV_DONTDUMP);
  window->SetBytes({window->base() + lead, size});
  return std::unique_ptr<tee::MappedWindow>(std::move(window));
}

}  // namespace vtee::guest
