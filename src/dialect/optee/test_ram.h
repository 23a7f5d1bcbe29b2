// SPDX-License-Identifier: BSD-3-Clause
// TestRam: a guest's physical memory for tests and fuzzers: several slots with holes between them,
// a page allocator, and page lists. No GoogleTest here: fuzzers use it too.
//
// Threading: the allocator from any thread; bytes as the guest's own, races included.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "guest/guest_memory.h"
#include "guest/test_memory.h"

namespace vtee::optee {

inline constexpr std::uint64_t kPage = guest::kPageSize;

class TestRam {
 public:
  struct Area {
    std::uint64_t base;
    std::uint64_t pages;
    bool read_only;
    bool shared;  // false: a slot whose bytes vteed cannot see
  };
  // Two slots that touch, one far away, ROM, and one that is not shareable; holes elsewhere.
  static constexpr std::array<Area, 5> kAreas = {{
      {0x4000'0000, 4096, false, true},
      {0x4100'0000, 256, false, true},
      {0x1'0000'0000, 4096, false, true},
      {0x0800'0000, 16, true, true},
      {0xC000'0000, 16, false, false},
  }};
  static constexpr std::uint64_t kRom = 0x0800'0000;
  static constexpr std::uint64_t kUnshared = 0xC000'0000;
  static constexpr std::uint64_t kHole = 0x2000'0000;
  static constexpr std::uint64_t kFirstEnd = 0x4100'0000;   // where the first two slots touch
  static constexpr std::uint64_t kSecondEnd = 0x4110'0000;  // a hole follows

  TestRam() {
    if (!guest::InstallFaultHandler().ok()) std::abort();
    for (std::uint32_t i = 0; i < kAreas.size(); ++i) {
      const std::uint64_t size = kAreas[i].pages * kPage;
      files_[i] = guest::MakeTestFile(size);
      void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, files_[i].get(), 0);
      if (base == MAP_FAILED) std::abort();
      bytes_[i] = static_cast<std::byte*>(base);
      SetSlot(i);
    }
  }
  ~TestRam() {
    for (std::uint32_t i = 0; i < kAreas.size(); ++i) munmap(bytes_[i], kAreas[i].pages * kPage);
  }
  TestRam(const TestRam&) = delete;
  TestRam& operator=(const TestRam&) = delete;

  guest::GuestMemory& memory() { return memory_; }
  void SetSlot(std::uint32_t index) {
    const Area& area = kAreas[index];
    guest::SlotSpec spec;
    spec.id = guest::SlotId(index);
    spec.base = guest::GuestPhysAddr(area.base);
    spec.size = area.pages * kPage;
    spec.read_only = area.read_only;
    UniqueFd file = area.shared ? guest::DupTestFile(files_[index]) : UniqueFd();
    if (!memory_.SetSlot(spec, std::move(file)).ok()) std::abort();
  }
  void RemoveSlot(std::uint32_t index) { memory_.RemoveSlot(guest::SlotId(index)); }

  // Where the guest itself sees `address`; within one slot.
  std::byte* At(std::uint64_t address) const {
    for (std::size_t i = 0; i < kAreas.size(); ++i) {
      const std::uint64_t offset = address - kAreas[i].base;
      if (offset < kAreas[i].pages * kPage) return bytes_[i] + offset;
    }
    std::abort();
  }
  template <typename T>
  T Get(std::uint64_t address) const {
    T value;
    std::memcpy(&value, At(address), sizeof value);
    return value;
  }
  template <typename T>
  void Put(std::uint64_t address, const T& value) const {
    std::memcpy(At(address), &value, sizeof value);
  }
  // The same over scattered pages: byte `offset` into the pages' concatenation.
  void PutBytes(std::span<const std::uint64_t> pages, std::uint64_t offset,
                std::span<const std::byte> bytes) const {
    ForEachPiece(pages, offset, bytes.size(), [&](std::byte* at, std::size_t done, std::size_t n) {
      std::memcpy(at, bytes.data() + done, n);
    });
  }
  std::vector<std::byte> GetBytes(std::span<const std::uint64_t> pages, std::uint64_t offset,
                                  std::size_t size) const {
    std::vector<std::byte> bytes(size);
    ForEachPiece(pages, offset, size, [&](const std::byte* at, std::size_t done, std::size_t n) {
      std::memcpy(bytes.data() + done, at, n);
    });
    return bytes;
  }

  // One zeroed page, or `count` of them in a row.
  std::uint64_t Page() { return Pages(1); }
  std::uint64_t Pages(std::uint64_t count) {
    const std::lock_guard lock(mutex_);
    if (count == 1 && !free_.empty()) {
      const std::uint64_t page = free_.back();
      free_.pop_back();
      std::memset(At(page), 0, kPage);
      return page;
    }
    const std::uint64_t first = next_;
    next_ += count * kPage;
    if (next_ > backs_[0]) std::abort();
    return first;
  }
  void FreePage(std::uint64_t page) {
    const std::lock_guard lock(mutex_);
    free_.push_back(page);
  }
  // Pages that are nowhere neighbours, alternating between two slots, in falling order.
  std::vector<std::uint64_t> Scattered(std::size_t count) {
    std::vector<std::uint64_t> pages;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t area = i % 2 == 0 ? 2 : 0;
      const std::lock_guard lock(mutex_);
      std::uint64_t& back = backs_[area / 2];
      back -= 2 * kPage;
      if (back < kAreas[area].base || (area == 0 && back < next_)) std::abort();
      pages.push_back(back);
    }
    return pages;
  }

  // A page list (OPTEE_MSG_ATTR_NONCONTIG); returns the address of its first page.
  std::uint64_t List(std::span<const std::uint64_t> pages) {
    constexpr std::size_t kEntries = 511;
    const std::size_t lists = pages.empty() ? 1 : (pages.size() + kEntries - 1) / kEntries;
    std::vector<std::uint64_t> list_pages;
    for (std::size_t i = 0; i < lists; ++i) list_pages.push_back(Page());
    for (std::size_t i = 0; i < pages.size(); ++i) {
      Put(list_pages[i / kEntries] + i % kEntries * 8, pages[i]);
    }
    for (std::size_t i = 0; i + 1 < lists; ++i) {
      Put(list_pages[i] + kEntries * 8, list_pages[i + 1]);
    }
    return list_pages.front();
  }

  const UniqueFd& file(std::uint32_t index) const { return files_[index]; }

 private:
  template <typename Visit>
  void ForEachPiece(std::span<const std::uint64_t> pages, std::uint64_t offset, std::size_t size,
                    Visit visit) const {
    for (std::size_t done = 0; done < size;) {
      const std::uint64_t at = offset + done;
      const std::size_t piece = std::min<std::size_t>(size - done, kPage - at % kPage);
      visit(At(pages[at / kPage] + at % kPage), done, piece);
      done += piece;
    }
  }

  guest::GuestMemory memory_;
  std::array<UniqueFd, kAreas.size()> files_;
  std::array<std::byte*, kAreas.size()> bytes_{};
  std::mutex mutex_;
  std::uint64_t next_ = kAreas[0].base;
  std::vector<std::uint64_t> free_;
  std::array<std::uint64_t, 2> backs_ = {kAreas[0].base + kAreas[0].pages * kPage,
                                         kAreas[2].base + kAreas[2].pages* kPage};
};

}  // namespace vtee::optee
