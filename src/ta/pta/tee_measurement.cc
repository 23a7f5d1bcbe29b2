// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/tee_measurement.h"

#include <link.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <memory>
#include <vector>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/digest.h"
#include "ta/loader/svc_patch.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

class Sha256 {
 public:
  Sha256() : state_(DigestState::Create(alg::kSha256)) {
    ok_ = state_ && state_->Init() == tee::code::kSuccess;
  }
  void Add(ConstBytes bytes) { ok_ = ok_ && state_->Update(bytes) == tee::code::kSuccess; }
  std::optional<Digest> Finish() {
    Digest digest{};
    std::size_t size = digest.size();
    if (!ok_ || state_->Final(digest, size) != tee::code::kSuccess || size != digest.size()) {
      return std::nullopt;
    }
    return digest;
  }

 private:
  std::unique_ptr<DigestState> state_;
  bool ok_ = false;
};

// Hashed under the loader's lock, so that nothing is unloaded meanwhile.
int AddObject(dl_phdr_info* object, std::size_t, void* data) {
  auto& hash = *static_cast<Sha256*>(data);
  const std::uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
  for (const ElfW(Phdr) & segment : std::span(object->dlpi_phdr, object->dlpi_phnum)) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_R) == 0 ||
        (segment.p_flags & PF_W) != 0) {
      continue;
    }
    const std::uintptr_t start = object->dlpi_addr + segment.p_vaddr;
    // The kernel's own code is in none of our files.
    if (vdso != 0 && start <= vdso && vdso - start < segment.p_memsz) return 0;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader names places by number
    hash.Add({reinterpret_cast<const std::byte*>(start), segment.p_filesz});
  }
  return 0;
}

}  // namespace

std::optional<Digest> MeasureTee() {
  Sha256 hash;
  dl_iterate_phdr(AddObject, &hash);
  return hash.Finish();
}

std::optional<Digest> MeasureRegions(std::vector<ConstBytes> regions) {
  std::ranges::sort(regions, [](ConstBytes a, ConstBytes b) {
    if (a.size() != b.size()) return a.size() < b.size();
    return !a.empty() && std::memcmp(a.data(), b.data(), a.size()) < 0;
  });
  Sha256 hash;
  for (const ConstBytes region : regions) hash.Add(region);
  return hash.Finish();
}

std::optional<Digest> MeasureTa(const TaSpace& space, const Modules& modules) {
  std::vector<ConstBytes> regions;
  std::list<std::vector<std::byte>> code;  // as the files have it
  for (const runner::Region& region : space.regions()) {
    constexpr std::uint32_t kLooksAt =
        runner::kRegionRead | runner::kRegionWrite | runner::kRegionPrivate;
    if ((region.flags & kLooksAt) != (runner::kRegionRead | runner::kRegionPrivate)) continue;
    if (region.start == modules.description()) continue;
    const auto bytes = space.Raw(region.start, region.end - region.start);
    if ((region.flags & runner::kRegionExecute) == 0) {
      regions.emplace_back(bytes);
      continue;
    }
    auto& copy = code.emplace_back(bytes.begin(), bytes.end());
    RestoreSvcWrappers(copy, region.start, runner::kThunkAddress);
    regions.emplace_back(copy);
  }
  return MeasureRegions(std::move(regions));
}

}  // namespace vtee::ta
