// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the page-list walker and the buffers made of its result.
//
// Input: a Header, then the guest's memory (up to 16 pages) at kRam. What must hold: the walk
// ends, its result has the right count and alignment and is the same when walked again, and a
// buffer made of it reads through copies what it reads through a window and page by page.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "fuzz_input.h"
#include "guest/guest_buffer.h"
#include "guest/page_list.h"
#include "guest/test_memory.h"

namespace vtee::guest {
namespace {

constexpr std::uint64_t kRam = 0x10000;
constexpr std::uint64_t kRamBytes = 16 * kPageSize;
constexpr std::uint64_t kMaxPages = 2048;

struct Header {
  std::uint64_t list;
  std::uint64_t offset;
  std::uint64_t size;
};

// Memory is made once. A second slot, adjacent, is read-only; a third has no memory.
TestMemory& Memory() {
  static TestMemory& test = []() -> TestMemory& {
    static TestMemory memory(kRam, kRamBytes);
    const SlotSpec rom{SlotId(1), GuestPhysAddr(kRam + kRamBytes), 2 * kPageSize, 0, true};
    const SlotSpec device{SlotId(2), GuestPhysAddr(kRam + kRamBytes + 2 * kPageSize), kPageSize, 0,
                          false};
    Require(memory.memory().SetSlot(rom, MakeTestFile(2 * kPageSize)).ok());
    Require(memory.memory().SetSlot(device, UniqueFd()).ok());
    return memory;
  }();
  return test;
}

void CheckBuffer(const GuestMemory& memory, const std::vector<GuestPhysAddr>& pages,
                 const Header& header) {
  std::shared_ptr<const GuestBuffer> buffer;
  if (GuestBuffer::FromPages(memory, pages, header.offset, header.size, buffer) !=
      MemFault::kNone) {
    Require(buffer == nullptr);
    return;
  }
  Require(buffer->size() == header.size && buffer->pieces() <= pages.size());
  std::vector<std::byte> copied(header.size);
  Require(buffer->Read(0, copied));
  Require(!buffer->Read(1, copied) && !buffer->Write(1, copied));
  std::vector<std::byte> by_page(pages.size() * kPageSize);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const auto place = std::span(by_page).subspan(i * kPageSize, kPageSize);
    Require(memory.Snapshot(pages[i], place) == MemFault::kNone);
  }
  Require(std::memcmp(copied.data(), by_page.data() + header.offset, header.size) == 0);
  // A window costs system calls for each run: only small ones.
  if (buffer->pieces() > 32) return;
  const auto window = buffer->Map();
  Require(window.ok() && window.value()->bytes().size() == header.size);
  Require(std::memcmp(window.value()->bytes().data(), copied.data(), header.size) == 0);
}

void RunOne(const std::uint8_t* data, std::size_t size) {
  Header header{};
  if (size < sizeof header) return;
  std::memcpy(&header, data, sizeof header);
  data += sizeof header;
  size = std::min<std::size_t>(size - sizeof header, kRamBytes);
  TestMemory& test = Memory();
  std::vector<std::byte> ram(kRamBytes);
  if (size != 0) std::memcpy(ram.data(), data, size);
  test.Put(kRam, ram);

  std::vector<GuestPhysAddr> pages;
  const MemFault fault = WalkPageList(test.memory(), GuestPhysAddr(header.list), header.offset,
                                      header.size, kMaxPages, pages);
  if (fault != MemFault::kNone) {
    Require(pages.empty() && fault != MemFault::kReadOnly && fault != MemFault::kVanished);
    return;
  }
  Require(header.offset < kPageSize && header.size != 0);
  Require(pages.size() == (header.offset + header.size + kPageSize - 1) / kPageSize);
  Require(pages.size() <= kMaxPages);
  for (const GuestPhysAddr page : pages) Require(page.value() % kPageSize == 0);
  std::vector<GuestPhysAddr> again;
  Require(WalkPageList(test.memory(), GuestPhysAddr(header.list), header.offset, header.size,
                       kMaxPages, again) == MemFault::kNone);
  Require(again == pages);
  CheckBuffer(test.memory(), pages, header);
}

}  // namespace
}  // namespace vtee::guest

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::guest::RunOne(data, size);
  return 0;
}
