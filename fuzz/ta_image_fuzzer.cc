// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the loader of TAs with images that are signed and yet not to be trusted.
//
// What must hold: an image is loaded, and then all that it may execute cannot be written and lies
// inside the arena, or refused with a code and a sentence; a symbol's address lies in the arena.
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "fuzz_input.h"
#include "ta/loader/modules.h"
#include "ta/loader/tee_uuid.h"

namespace vtee::ta {
namespace {

constexpr std::uint64_t kArena = 160u << 20;

// The image says which TA it is; a loader is asked for that one.
tee::Uuid UuidIn(std::span<const std::byte> image) {
  tee::Uuid uuid;
  TeeUuid raw{};
  constexpr std::size_t kHead = 0x2000;  // where the seeds have it
  if (image.size() >= kHead + raw.size()) std::memcpy(raw.data(), image.data() + kHead, raw.size());
  uuid = FromTeeUuid(raw);
  return uuid;
}

void RunOne(std::vector<std::byte> image) {
  auto arena = Arena::Create(kArena);
  if (!arena.ok()) return;
  const auto process = RunnerProcess::NotStarted(std::move(arena).value());
  TaSpace space(*process, 32u << 20);
  Modules modules(space);
  int fetched = 0;
  const tee::Uuid uuid = UuidIn(image);
  const auto fetch = [&](const tee::Uuid&) -> std::variant<std::vector<std::byte>, LoadFailure> {
    if (++fetched > 3) return LoadFailure{tee::code::kItemNotFound, "no more"};
    return image;
  };
  const auto failure = modules.LoadTa(uuid, fetch);
  if (failure) {
    Require(failure->code != 0 && !failure->message.empty());
    return;
  }
  for (const runner::Region& region : space.regions()) {
    Require(region.start < region.end && region.start >= runner::kFirstFreeAddress);
    Require(region.end <= runner::kArenaBase + kArena);
    constexpr std::uint32_t kBoth = runner::kRegionWrite | runner::kRegionExecute;
    Require((region.flags & kBoth) != kBoth);
  }
  static_cast<void>(modules.Symbol(uuid, "ta_head"));
  static_cast<void>(modules.LoadLibrary(tee::Uuid{}, fetch));
}

}  // namespace
}  // namespace vtee::ta

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  vtee::ta::RunOne({bytes.begin(), bytes.end()});
  return 0;
}
