// SPDX-License-Identifier: BSD-3-Clause
#include "ta/loader/modules.h"

#include <gtest/gtest.h>

#include <map>

#include "ta/loader/svc_patch.h"
#include "ta/loader/test_elf.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

tee::Uuid Uuid(std::uint8_t last) {
  tee::Uuid uuid;
  uuid.octets[0] = 0xAB;
  uuid.octets[15] = last;
  return uuid;
}

class Load : public ::testing::Test {
 protected:
  void SetUp() override {
    auto arena = Arena::Create(160u << 20);
    ASSERT_TRUE(arena.ok());
    process = RunnerProcess::NotStarted(std::move(arena).value());
    space = std::make_unique<TaSpace>(*process, 32u << 20);
    modules = std::make_unique<Modules>(*space);
  }

  Modules::Fetch Files() {
    return [this](const tee::Uuid& uuid) -> std::variant<std::vector<std::byte>, LoadFailure> {
      const auto found = files.find(uuid);
      if (found == files.end()) return LoadFailure{code::kItemNotFound, "none"};
      return found->second;
    };
  }
  // 0: loaded.
  std::uint32_t LoadMain(const TestElf& elf) {
    files[Uuid(1)] = elf.bytes;
    const auto failure = modules->LoadTa(Uuid(1), Files());
    EXPECT_TRUE(!failure || !failure->message.empty());
    return failure ? failure->code : 0;
  }
  std::uint64_t load() const { return modules->placed().front().load; }
  std::uint64_t WordAt(std::uint64_t address) const {
    std::uint64_t word = 0;
    std::memcpy(&word, space->Raw(address, sizeof(word)).data(), sizeof(word));
    return word;
  }
  std::uint32_t FlagsAt(std::uint64_t address) const {
    for (const runner::Region& region : space->regions()) {
      if (address >= region.start && address < region.end) return region.flags;
    }
    return 0;
  }

  std::unique_ptr<RunnerProcess> process;
  std::unique_ptr<TaSpace> space;
  std::unique_ptr<Modules> modules;
  std::map<tee::Uuid, std::vector<std::byte>> files;
};

TEST_F(Load, ReadsTheHeadAndSetsRights) {
  ASSERT_EQ(LoadMain(TestElf(Uuid(1))), 0u);
  EXPECT_EQ(modules->head().stack_size, 0x2000u);
  EXPECT_EQ(modules->entry(), load() + TestElf::kCode);
  constexpr std::uint32_t kOwn = runner::kRegionRead | runner::kRegionPrivate;
  EXPECT_EQ(FlagsAt(load()), kOwn);
  EXPECT_EQ(FlagsAt(load() + TestElf::kCode), kOwn | runner::kRegionExecute);
  EXPECT_EQ(FlagsAt(load() + TestElf::kData), kOwn | runner::kRegionWrite);
  EXPECT_EQ(FlagsAt(load() + 0x5000), kOwn | runner::kRegionWrite);
  EXPECT_EQ(FlagsAt(load() + 0x6000), 0u);
}

TEST_F(Load, PutsItElsewhereEachTime) {
  ASSERT_EQ(LoadMain(TestElf(Uuid(1))), 0u);
  const std::uint64_t first = load();
  bool moved = false;
  for (int i = 0; i < 20 && !moved; ++i) {
    SetUp();
    ASSERT_EQ(LoadMain(TestElf(Uuid(1))), 0u);
    moved = load() != first;
  }
  EXPECT_TRUE(moved);
}

TEST_F(Load, PatchesWrappersAndNothingElse) {
  TestElf elf(Uuid(1));
  const std::uint32_t data_like_an_svc = 0xD4000001;
  elf.Put(TestElf::kCode + 0x100, data_like_an_svc);
  ASSERT_EQ(LoadMain(elf), 0u);
  const auto word = [&](std::uint64_t at) {
    return static_cast<std::uint32_t>(WordAt(load() + at));
  };
  const std::uint32_t branch = word(TestElf::kCode + 8);
  EXPECT_EQ(branch >> 26, 0x05u);
  const auto offset = static_cast<std::int32_t>(branch << 6) >> 4;
  EXPECT_EQ(load() + TestElf::kCode + 8 + static_cast<std::uint64_t>(std::int64_t{offset}),
            runner::kThunkAddress);
  EXPECT_EQ(word(TestElf::kCode + 0x100), data_like_an_svc);
}

TEST_F(Load, Relocates) {
  TestElf elf(Uuid(1));
  elf.Relocation(TestElf::kWord, R_AARCH64_RELATIVE, 0, 0x123);
  elf.Relocation(TestElf::kWord + 8, R_AARCH64_ABS64, 3, 4);
  elf.Relocation(TestElf::kWord + 16, R_AARCH64_GLOB_DAT, 1, 0);
  ASSERT_EQ(LoadMain(elf), 0u);
  EXPECT_EQ(WordAt(load() + TestElf::kWord), load() + 0x123);
  EXPECT_EQ(WordAt(load() + TestElf::kWord + 8), load() + TestElf::kCode + 4);
  EXPECT_EQ(WordAt(load() + TestElf::kWord + 16), load() + TestElf::kData);
}

TEST_F(Load, FindsSymbolsInLibraries) {
  TestElf elf(Uuid(1));
  elf.Relocation(TestElf::kWord, R_AARCH64_JUMP_SLOT, 4, 0);
  elf.Needs(Uuid(2));
  TestElf library(Uuid(2));
  library.Symbol(4, "elsewhere", 0x1004, STB_GLOBAL);
  files[Uuid(2)] = library.bytes;
  ASSERT_EQ(LoadMain(elf), 0u);
  ASSERT_EQ(modules->placed().size(), 2u);
  const std::uint64_t library_load = modules->placed()[1].load;
  EXPECT_EQ(WordAt(load() + TestElf::kWord), library_load + 0x1004);
  EXPECT_EQ(modules->Symbol(Uuid(2), "elsewhere"), library_load + 0x1004);
  EXPECT_EQ(modules->Symbol(tee::Uuid{}, "ta_head"), load() + TestElf::kData);
  EXPECT_EQ(modules->Symbol(Uuid(2), "nothing"), std::nullopt);
  // The list of modules for dl_iterate_phdr().
  EXPECT_EQ(WordAt(load() + TestElf::kInfo) >> 32 & 0xFFFF, 2u);
}

TEST_F(Load, PrefersStrongSymbolsToWeakOnes) {
  TestElf elf(Uuid(1));
  elf.Symbol(3, "twice", 0x1000, STB_WEAK);
  elf.Symbol(4, "twice", 0x1008, STB_GLOBAL);
  ASSERT_EQ(LoadMain(elf), 0u);
  EXPECT_EQ(modules->Symbol(Uuid(1), "twice"), load() + 0x1008);
}

TEST_F(Load, ANeededLibraryThatIsNotThereIsItemNotFound) {
  TestElf elf(Uuid(1));
  elf.Needs(Uuid(2));
  EXPECT_EQ(LoadMain(elf), code::kItemNotFound);
}

TEST_F(Load, LibrariesThatNeedEachOtherEnd) {
  TestElf elf(Uuid(1));
  elf.Needs(Uuid(2));
  TestElf library(Uuid(2));
  library.Needs(Uuid(1));
  files[Uuid(2)] = library.bytes;
  EXPECT_EQ(LoadMain(elf), 0u);
  EXPECT_EQ(modules->placed().size(), 2u);
}

TEST_F(Load, UndefinedSymbolsAreRefusedAndWeakOnesAreZero) {
  TestElf strong(Uuid(1));
  strong.Relocation(TestElf::kWord, R_AARCH64_ABS64, 4, 0);
  EXPECT_EQ(LoadMain(strong), code::kItemNotFound);
  SetUp();
  TestElf weak(Uuid(1));
  weak.Symbol(4, "maybe", 0, STB_WEAK);
  weak.Relocation(TestElf::kWord, R_AARCH64_ABS64, 4, 8);
  ASSERT_EQ(LoadMain(weak), 0u);
  EXPECT_EQ(WordAt(load() + TestElf::kWord), 0u);
}

TEST_F(Load, RelocationsOutsideAreRefused) {
  for (const std::uint64_t offset : {0x5ff9ull, 0x6000ull, ~0ull - 7, 0x40000000ull}) {
    SetUp();
    TestElf elf(Uuid(1));
    elf.Relocation(offset, R_AARCH64_RELATIVE, 0, 0);
    EXPECT_EQ(LoadMain(elf), code::kBadFormat) << std::hex << offset;
  }
  SetUp();
  TestElf pair(Uuid(1));
  pair.Relocation(0x5ff8, R_AARCH64_TLSDESC, 0, 0);
  EXPECT_EQ(LoadMain(pair), code::kBadFormat);
}

TEST_F(Load, RelocationsOfUnknownTypesOrSymbolsAreRefused) {
  TestElf type(Uuid(1));
  type.Relocation(TestElf::kWord, 999, 0, 0);
  EXPECT_EQ(LoadMain(type), code::kBadFormat);
  SetUp();
  TestElf symbol(Uuid(1));
  symbol.Relocation(TestElf::kWord, R_AARCH64_ABS64, 77, 0);
  EXPECT_EQ(LoadMain(symbol), code::kBadFormat);
}

TEST_F(Load, AnotherTasHeadIsRefused) { EXPECT_EQ(LoadMain(TestElf(Uuid(9))), code::kSecurity); }

TEST_F(Load, WritableCodeIsRefused) {
  TestElf elf(Uuid(1));
  elf.Segment(1, TestElf::kCode, PF_R | PF_W | PF_X, 0x1000, 0x1000);
  EXPECT_EQ(LoadMain(elf), code::kBadFormat);
}

TEST_F(Load, OverlappingOrHugeSegmentsAreRefused) {
  TestElf overlap(Uuid(1));
  overlap.Segment(2, TestElf::kCode + 0x800, PF_R | PF_W, 0x800, 0x800);
  EXPECT_EQ(LoadMain(overlap), code::kBadFormat);
  SetUp();
  TestElf huge(Uuid(1));
  huge.Segment(2, TestElf::kData, PF_R | PF_W, 0x1000, 1ull << 40);
  EXPECT_EQ(LoadMain(huge), code::kBadFormat);
  SetUp();
  TestElf wraps(Uuid(1));
  wraps.Segment(2, ~0ull - 0xfff, PF_R | PF_W, 0x1000, 0x1000);
  EXPECT_EQ(LoadMain(wraps), code::kBadFormat);
}

TEST_F(Load, EachLengthThatIsCutOffIsRefused) {
  const TestElf whole(Uuid(1));
  for (std::size_t size = 0; size < whole.bytes.size(); size += 61) {
    SetUp();
    TestElf cut = whole;
    cut.bytes.resize(size);
    EXPECT_NE(LoadMain(cut), 0u) << size;
  }
}

TEST_F(Load, OtherMachinesFilesAreRefused) {
  TestElf elf(Uuid(1));
  auto header = elf.Get<Elf64_Ehdr>(0);
  header.e_machine = EM_ARM;
  elf.Put(0, header);
  EXPECT_EQ(LoadMain(elf), code::kBadFormat);
}

TEST_F(Load, WhatDoesNotFitIsOutOfMemory) {
  TestElf elf(Uuid(1));
  elf.Segment(2, TestElf::kData, PF_R | PF_W, 0x1000, 40u << 20);
  EXPECT_EQ(LoadMain(elf), code::kOutOfMemory);
}

TEST(SvcPatch, LeavesWhatTheThunkIsTooFarFrom) {
  const std::uint32_t words[] = {0xD2800428, 0xD4000001, 0xD65F03C0};
  std::vector<std::byte> code(sizeof(words));
  std::memcpy(code.data(), words, sizeof(words));
  EXPECT_EQ(PatchSvcWrappers(code, 0x50000000, 0x40000000), 0u);
  EXPECT_EQ(std::memcmp(code.data(), words, sizeof(words)), 0);
  EXPECT_EQ(PatchSvcWrappers(code, 0x40001000, 0x40000000), 1u);
}

TEST(SvcPatch, IsUndoneWhereverTheCodeWas) {
  constexpr std::uint64_t kThunk = 0x40000000;
  // A wrapper, and a branch of the code's own to what follows it.
  const std::uint32_t words[] = {0xD2800428, 0xD4000001, 0xD65F03C0,
                                 0xD2800428, 0x14000001, 0xD65F03C0};
  std::vector<std::byte> original(sizeof(words));
  std::memcpy(original.data(), words, sizeof(words));
  std::vector<std::byte> here = original;
  std::vector<std::byte> there = original;
  EXPECT_EQ(PatchSvcWrappers(here, 0x40001000, kThunk), 1u);
  EXPECT_EQ(PatchSvcWrappers(there, 0x40005000, kThunk), 1u);
  EXPECT_NE(here, there);
  RestoreSvcWrappers(here, 0x40001000, kThunk);
  RestoreSvcWrappers(there, 0x40005000, kThunk);
  EXPECT_EQ(here, original);
  EXPECT_EQ(there, original);
}

}  // namespace
}  // namespace vtee::ta
