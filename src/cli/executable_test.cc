// SPDX-License-Identifier: BSD-3-Clause
#include "cli/executable.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "cli/host_check.h"
#include "cli/install_paths.h"
#include "cli/temp_dir.h"

namespace vtee::cli {
namespace {

using testing::HasSubstr;

#if defined(__aarch64__)
constexpr Elf64_Half kOwn = EM_AARCH64;
#else
constexpr Elf64_Half kOwn = EM_X86_64;
#endif

class ExecutableTest : public testing::Test {
 protected:
  void SetUp() override {
    auto folder = TempDir::Create();
    ASSERT_TRUE(folder.ok());
    folder_.emplace(std::move(folder).value());
  }
  std::string Write(const std::string& name, const std::string& content, mode_t mode = 0755) {
    const std::string path = folder_->File(name);
    std::ofstream(path, std::ios::binary) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  static std::string Elf(Elf64_Half machine, bool interpreter, unsigned char elf_class = 2) {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = elf_class;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_machine = machine;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    Elf64_Phdr segments[2] = {};
    segments[0].p_type = PT_LOAD;
    segments[1].p_type = interpreter ? PT_INTERP : PT_NOTE;
    return std::string(reinterpret_cast<const char*>(&header), sizeof header) +
           std::string(reinterpret_cast<const char*>(segments), sizeof segments);
  }
  static std::string Check(const std::string& path) {
    const Status status = CheckPreloadable(path);
    return status.ok() ? "" : status.error().message;
  }
  std::optional<TempDir> folder_;
};

TEST_F(ExecutableTest, TellsWhatCanBePreloaded) {
  EXPECT_EQ(Check(Write("dynamic", Elf(kOwn, true))), "");
  EXPECT_EQ(Check(Write("script", "#!/bin/sh\n")), "");
  EXPECT_THAT(Check(Write("static", Elf(kOwn, false))), HasSubstr("statically linked"));
  EXPECT_THAT(Check(Write("foreign", Elf(EM_RISCV, true))), HasSubstr("another architecture"));
  EXPECT_THAT(Check(Write("elf32", Elf(kOwn, true, ELFCLASS32))),
              HasSubstr("another architecture"));
  EXPECT_THAT(Check(Write("text", "hello")), HasSubstr("neither an ELF program nor a script"));
  EXPECT_THAT(Check(Write("empty", "")), HasSubstr("neither"));
  EXPECT_THAT(Check(folder_->path()), HasSubstr("is not a program"));
}

TEST_F(ExecutableTest, SurvivesBrokenElf) {
  const std::string good = Elf(kOwn, true);
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(Check(Write("cut", good.substr(0, size))), "") << size;
  }
  Elf64_Ehdr header{};
  std::memcpy(&header, good.data(), sizeof header);
  header.e_phoff = UINT64_MAX - 3;
  EXPECT_THAT(Check(Write("far", std::string(reinterpret_cast<char*>(&header), sizeof header))),
              HasSubstr("statically linked"));
  header.e_phnum = 0xffff;
  EXPECT_NE(Check(Write("many", std::string(reinterpret_cast<char*>(&header), sizeof header))), "");
}

TEST_F(ExecutableTest, RefusesSetuid) {
  const std::string path = Write("setuid", Elf(kOwn, true));
  if (geteuid() != 0) GTEST_SKIP() << "a file of another user is needed";
  ASSERT_EQ(chown(path.c_str(), 1, 1), 0);
  chmod(path.c_str(), 04755);
  EXPECT_THAT(Check(path), HasSubstr("setuid"));
}

TEST_F(ExecutableTest, FollowsPath) {
  const std::string tool = Write("tool", "#!/bin/sh\n");
  Write("data", "x", 0644);
  const std::string path = "/nonexistent:" + folder_->path() + ":/bin";
  EXPECT_EQ(FindProgram("tool", path).value(), tool);
  EXPECT_EQ(FindProgram(tool, "").value(), tool);
  EXPECT_THAT(FindProgram("absent", path).error().message, HasSubstr("no program 'absent'"));
  EXPECT_FALSE(FindProgram(folder_->File("absent"), path).ok());
  if (geteuid() != 0) {
    EXPECT_FALSE(FindProgram("data", path).ok());
  }
}

TEST_F(ExecutableTest, FindsVteesOtherParts) {
  const std::string vteed = Write("vteed", "#!/bin/sh\n");
  EXPECT_EQ(LocateVteed("", folder_->path()).value(), vteed);
  EXPECT_THAT(LocateVteed("/absent", folder_->path()).error().message, HasSubstr("/absent"));
  EXPECT_THAT(LocateShim("", folder_->path()).error().message, HasSubstr("give its place"));
  EXPECT_THAT(LocateShim(Write("a b.so", ""), "").error().message, HasSubstr("space or colon"));
  EXPECT_EQ(LocateShim(Write("s.so", ""), "").value(), folder_->File("s.so"));
}

TEST_F(ExecutableTest, KvmProblemsAreSentences) {
  EXPECT_THAT(CheckKvm("/nonexistent/kvm").error().message, HasSubstr("is missing"));
  EXPECT_THAT(CheckKvm(Write("kvm", "")).error().message, HasSubstr("cannot create a VM"));
  if (geteuid() != 0) {
    EXPECT_THAT(CheckKvm(Write("locked", "", 0)).error().message, HasSubstr("no permission"));
  }
}

}  // namespace
}  // namespace vtee::cli
