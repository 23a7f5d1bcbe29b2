// SPDX-License-Identifier: BSD-3-Clause
// Speed of guest memory: what a call pays for a message, and what a copied buffer costs.
#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <vector>

#include "guest/guest_buffer.h"
#include "guest/page_list.h"
#include "guest/test_memory.h"

namespace vtee::guest {
namespace {

constexpr std::uint64_t kRam = 0x4000'0000;

void BM_Snapshot(benchmark::State& state) {
  TestMemory test(kRam, 16u << 20);
  std::vector<std::byte> out(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    if (test.memory().Snapshot(GuestPhysAddr(kRam), out) != MemFault::kNone) std::abort();
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Snapshot)->Arg(8)->Arg(256)->Arg(4096)->Arg(1 << 20);

void BM_Publish(benchmark::State& state) {
  TestMemory test(kRam, 16u << 20);
  const std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    if (test.memory().Publish(GuestPhysAddr(kRam), bytes) != MemFault::kNone) std::abort();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Publish)->Arg(256)->Arg(1 << 20);

std::shared_ptr<const GuestBuffer> Scattered(TestMemory& test, std::uint64_t count) {
  std::vector<GuestPhysAddr> pages;
  for (std::uint64_t n = 0; n < count; ++n) pages.emplace_back(kRam + 2 * n * kPageSize);
  std::shared_ptr<const GuestBuffer> buffer;
  if (GuestBuffer::FromPages(test.memory(), pages, 0, count * kPageSize, buffer) !=
      MemFault::kNone) {
    std::abort();
  }
  return buffer;
}

void BM_BufferReadScattered(benchmark::State& state) {
  TestMemory test(kRam, 16u << 20);
  const auto buffer = Scattered(test, 256);
  std::vector<std::byte> out(buffer->size());
  for (auto _ : state) {
    if (!buffer->Read(0, out)) std::abort();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(out.size()));
}
BENCHMARK(BM_BufferReadScattered);

void BM_BufferMapScattered(benchmark::State& state) {
  TestMemory test(kRam, 16u << 20);
  const auto buffer = Scattered(test, static_cast<std::uint64_t>(state.range(0)));
  for (auto _ : state) {
    auto window = buffer->Map();
    if (!window.ok()) std::abort();
  }
}
BENCHMARK(BM_BufferMapScattered)->Arg(1)->Arg(16)->Arg(512);

void BM_WalkAndResolve(benchmark::State& state) {
  TestMemory test(kRam, 16u << 20);
  for (std::uint64_t n = 0; n < 500; ++n) test.Put64(kRam + n * 8, kRam + 2 * n * kPageSize);
  std::vector<GuestPhysAddr> pages;
  std::shared_ptr<const GuestBuffer> buffer;
  for (auto _ : state) {
    if (WalkPageList(test.memory(), GuestPhysAddr(kRam), 0, 500 * kPageSize, 512, pages) !=
            MemFault::kNone ||
        GuestBuffer::FromPages(test.memory(), pages, 0, 500 * kPageSize, buffer) !=
            MemFault::kNone) {
      std::abort();
    }
  }
}
BENCHMARK(BM_WalkAndResolve);

}  // namespace
}  // namespace vtee::guest

BENCHMARK_MAIN();
