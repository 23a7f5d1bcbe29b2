// SPDX-License-Identifier: BSD-3-Clause
#include "cli/qemu_arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace vtee::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Words separated by blanks.
std::vector<std::string> Words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

QemuCommand Parse(const std::string& line, const std::string& program = "qemu-system-aarch64") {
  return ParseQemu(program, Words(line));
}

std::string Line(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  return line;
}

const std::string kMemory = " -object memory-backend-memfd,id=m,size=1G,share=on ";
const std::string kGood = "-M virt,accel=kvm,memory-backend=m -m 1G -kernel Image" + kMemory;

TEST(KeyValuesTest, ReadsAndWritesQemusForms) {
  const KeyValues values = ParseKeyValues("virt,accel=kvm,dumpdtb=/a,,b,usb", "type");
  EXPECT_THAT(values, ElementsAre(KeyValue{"type", "virt"}, KeyValue{"accel", "kvm"},
                                  KeyValue{"dumpdtb", "/a,b"}, KeyValue{"usb", "on"}));
  EXPECT_EQ(FormatKeyValues(values, "type"), "virt,accel=kvm,dumpdtb=/a,,b,usb=on");
  EXPECT_THAT(
      ParseKeyValues(R"({"qom-type":"x","share":true,"size":5})", "qom-type"),
      ElementsAre(KeyValue{"qom-type", "x"}, KeyValue{"share", "on"}, KeyValue{"size", "5"}));
  EXPECT_THAT(ParseKeyValues("{broken", "x"), IsEmpty());
  EXPECT_THAT(ParseKeyValues("", "x"), ElementsAre(KeyValue{"x", ""}));
}

TEST(QemuArgumentsTest, KnowsQemuByName) {
  for (const char* name : {"qemu-system-aarch64", "/opt/bin/qemu-system-aarch64", "qemu-kvm",
                           "/usr/libexec/qemu-kvm", "./qemu-system-arm64"}) {
    EXPECT_TRUE(LooksLikeQemu(name)) << name;
  }
  for (const char* name : {"crosvm", "lkvm", "/usr/bin/cloud-hypervisor", "qemu-img"}) {
    EXPECT_FALSE(LooksLikeQemu(name)) << name;
  }
}

TEST(QemuArgumentsTest, AcceptsTheManySpellings) {
  const std::vector<std::string> lines = {
      kGood,
      "-machine virt -machine accel=kvm -machine memory-backend=m -kernel I" + kMemory,
      "--machine type=virt-9.1,memory-backend=m --accel kvm --kernel I" + kMemory,
      "-M virt,memory-backend=m -enable-kvm -kernel I" + kMemory,
      "-M virt,memory-backend=m,kernel=I,accel=kvm:tcg" + kMemory,
      "-accel kvm,dirty-ring-size=4096 -accel tcg -M virt,memory-backend=m -kernel I" + kMemory,
      "-M virt,accel=kvm,memory-backend=m -kernel I "
      "-object memory-backend-file,id=m,size=1G,mem-path=/dev/shm/a,share=on",
      "-M virt,accel=kvm,memory-backend=m -kernel I "
      "-object memory-backend-file,share=yes,mem-path=/x,id=m,size=1G",
      // memfd shares unless told otherwise, and -object may be JSON.
      "-M virt,accel=kvm,memory-backend=m -kernel I -object memory-backend-memfd,id=m,size=1G",
      "-M virt,accel=kvm,memory-backend=m -kernel I -object "
      R"({"qom-type":"memory-backend-memfd","id":"m","size":1073741824,"share":true})",
      "-M virt,accel=kvm -m 2G -kernel I -numa node,memdev=a -numa node,nodeid=1,memdev=b "
      "-object memory-backend-memfd,id=a,size=1G -object memory-backend-memfd,id=b,size=1G",
      // An option's argument may look like an option or an image.
      "-append -M -nographic disk.img -S " + kGood,
  };
  for (const std::string& line : lines)
    EXPECT_THAT(CheckQemu(Parse(line), true), IsEmpty()) << line;
  EXPECT_THAT(CheckQemu(Parse("-M virt,memory-backend=m -kernel I" + kMemory, "qemu-kvm"), true),
              IsEmpty());
}

struct Refusal {
  std::string line;
  std::string sentence;
};

TEST(QemuArgumentsTest, RefusesWithTheRemedy) {
  const std::string with_memory = " -m 2G -kernel I" + kMemory;
  const std::vector<Refusal> refusals = {
      {"-accel kvm" + with_memory, "no machine type; add -machine virt"},
      {"-M pc -accel kvm" + with_memory, "machine 'pc' is not supported"},
      {"-M virtual -accel kvm" + with_memory, "machine 'virtual'"},
      {"-M virt,memory-backend=m" + with_memory, "use emulation"},
      {"-M virt,memory-backend=m,accel=tcg" + with_memory, "use 'tcg'"},
      {"-M virt,memory-backend=m,accel=tcg:kvm" + with_memory, "use 'tcg'"},
      {"-M virt,accel=kvm,memory-backend=x -m 1G -kernel I", "memory 'x' is not defined"},
      {kGood + " -daemonize", "leave it out"},
      {kGood + " -readconfig f", "-readconfig"},
      {kGood + " -device tpm-tis-device,tpmdev=t", "-device tpm-tis-device needs"},
      {kGood + " -device virtio-iommu-pci", "add addr="},
  };
  for (const Refusal& refusal : refusals) {
    EXPECT_THAT(CheckQemu(Parse(refusal.line), true), ElementsAre(HasSubstr(refusal.sentence)))
        << refusal.line;
  }
}

TEST(QemuArgumentsTest, PrivateMemoryIsAdvisedAgainstAndNotRefused) {
  const std::vector<Refusal> cases = {
      {"-M virt,accel=kvm -m 3072 -kernel I",
       "add -object memory-backend-memfd,id=mem,size=3072M,share=on -machine "
       "memory-backend=mem"},
      {"-M virt,accel=kvm -m size=4G,slots=2 -kernel I", "size=4G,"},
      {"-M virt,accel=kvm -kernel I", "size=128M,"},
      {"-M virt,accel=kvm -m 1G -numa node,mem=1G -kernel I", "-numa node,memdev=mem"},
      {"-M virt,accel=kvm,memory-backend=x -object memory-backend-ram,id=x,size=5G -kernel I",
       "memory-backend-memfd,id=x,size=5G,share=on instead of memory-backend-ram"},
      {"-M virt,accel=kvm,memory-backend=x -kernel I "
       "-object memory-backend-file,id=x,size=5G,mem-path=/x",
       "add share=on to -object memory-backend-file,id=x"},
      {"-M virt,accel=kvm,memory-backend=x -kernel I "
       "-object memory-backend-memfd,id=x,size=5G,share=off",
       "add share=on"},
  };
  for (const Refusal& one : cases) {
    EXPECT_THAT(CheckQemu(Parse(one.line), true), IsEmpty()) << one.line;
    EXPECT_THAT(MemoryAdvice(Parse(one.line)),
                AllOf(HasSubstr("copied by QEMU"), HasSubstr(one.sentence)))
        << one.line;
  }
  EXPECT_EQ(MemoryAdvice(Parse(kGood)), "");
}

TEST(QemuArgumentsTest, FirmwareIsFine) {
  const std::string base = "-M virt,accel=kvm,memory-backend=m" + kMemory;
  for (const char* firmware :
       {"-bios fw", "-M firmware=fw", "-pflash code", "-drive if=pflash,format=raw,file=code",
        "-drive file=code,if=pflash", "-blockdev node-name=code -M pflash0=code"}) {
    const QemuCommand command = Parse(base + firmware);
    EXPECT_TRUE(command.HasFirmware()) << firmware;
    EXPECT_TRUE(command.UsesAcpi()) << firmware;
    EXPECT_THAT(CheckQemu(command, true), IsEmpty()) << firmware;
    EXPECT_THAT(CheckQemu(command, false), IsEmpty()) << firmware;
    EXPECT_THAT(CheckQemu(Parse(base + firmware + " -dtb my.dtb"), true), IsEmpty()) << firmware;
  }
}

TEST(QemuArgumentsTest, KnowsWhetherTheGuestSeesAcpi) {
  EXPECT_FALSE(Parse("-M virt -kernel I").UsesAcpi()) << "nothing would hand the tables on";
  EXPECT_FALSE(Parse("-M virt,acpi=off -bios fw").UsesAcpi());
  EXPECT_FALSE(Parse("-M virt -bios fw -no-acpi").UsesAcpi());
  EXPECT_FALSE(Parse("-M virt -machine acpi=off -bios fw -kernel I").UsesAcpi());
  EXPECT_TRUE(Parse("-M virt,acpi=on -bios fw").UsesAcpi());
  EXPECT_TRUE(Parse("-M virt,acpi=auto -bios fw -kernel I").UsesAcpi());
  EXPECT_TRUE(Parse("-M virt,acpi=off -M acpi=on -bios fw").UsesAcpi());
}

std::string Dump(const std::string& line, bool emulate = false) {
  return Line(DumpArguments(Parse(line), {"/t/q.dtb", "/t/fw", emulate}));
}

TEST(QemuArgumentsTest, DumpKeepsWhatShapesTheTree) {
  EXPECT_EQ(Dump(kGood + " -cpu host -smp 4,maxcpus=8 -global a.b=c -numa node,memdev=m"),
            "-nodefaults -display none -machine virt,accel=kvm,memory-backend=m,dumpdtb=/t/q.dtb "
            "-object memory-backend-ram,id=m,size=1G -m 1G -cpu host -smp 4,maxcpus=8 "
            "-global a.b=c -numa node,memdev=m");
}

TEST(QemuArgumentsTest, DumpDropsWhatHasEffects) {
  const std::string dump =
      Dump(kGood +
           " -initrd i -append x -drive file=d.img,if=virtio -netdev tap,id=n -device "
           "virtio-net,netdev=n"
           " -chardev socket,id=c,path=/s,server=on -qmp unix:/q,server -monitor stdio -pidfile p"
           " -sandbox on -serial mon:stdio -serial chardev:c -serial none -nographic -gdb tcp::1 -S"
           " -object rng-random,id=r -blockdev node-name=b -incoming defer -trace x disk.img");
  EXPECT_EQ(dump,
            "-nodefaults -display none -machine virt,accel=kvm,memory-backend=m,dumpdtb=/t/q.dtb "
            "-object memory-backend-ram,id=m,size=1G -m 1G -serial null -serial null -serial none");
}

TEST(QemuArgumentsTest, DumpStandsInForFirmwareAndFiles) {
  EXPECT_THAT(Dump(kGood + " -drive if=pflash,file=vars.fd"), HasSubstr("-bios /t/fw"));
  EXPECT_THAT(Dump(kGood + " -pflash code.fd"), HasSubstr("-bios /t/fw"));
  EXPECT_THAT(Dump(kGood + " -bios code.fd"), HasSubstr("-bios /t/fw"));
  EXPECT_THAT(Dump("-M virt,pflash0=node,accel=kvm,memory-backend=m -kernel I" + kMemory),
              Not(HasSubstr("pflash0")));
  EXPECT_THAT(Dump(kGood + " -device virtio-iommu-pci,addr=5 -device virtio-gpu-pci"),
              HasSubstr(" -device virtio-iommu-pci,addr=5"));
  EXPECT_THAT(Dump(kGood), Not(HasSubstr("memfd")));
}

TEST(QemuArgumentsTest, DumpHasTheDeviceOfTheOptionRom) {
  EXPECT_THAT(Dump(kGood + " -bios fw"), HasSubstr("-bios /t/fw -device pci-testdev,bus=pcie.0"));
  EXPECT_THAT(Dump(kGood + " -bios fw -M acpi=off"), Not(HasSubstr("-device")));
  EXPECT_THAT(Dump(kGood), Not(HasSubstr("-device")));
}

TEST(QemuArgumentsTest, AddsTheOptionRom) {
  std::vector<std::string> arguments = {"-M", "virt"};
  AddOptionRom(arguments, "/a,b/acpi.rom");
  EXPECT_EQ(Line(arguments), "-M virt -device pci-testdev,bus=pcie.0,romfile=/a,,b/acpi.rom");
}

TEST(QemuArgumentsTest, DumpWithoutKvm) {
  const std::string dump =
      Dump("-M virt,gic-version=host,kernel-irqchip=on -accel kvm -cpu host,pmu=off -m 1G", true);
  EXPECT_EQ(dump,
            "-nodefaults -display none -machine virt,gic-version=max,dumpdtb=/t/q.dtb -accel tcg "
            "-cpu max -m 1G");
}

TEST(QemuArgumentsTest, ReplacesTheDeviceTree) {
  EXPECT_EQ(Line(WithDeviceTree(Parse("-M virt -dtb a.dtb -S disk.img --kernel I"), "/t/g.dtb")),
            "-M virt -S disk.img -kernel I -dtb /t/g.dtb");
  EXPECT_EQ(Line(WithDeviceTree(Parse("-machine virt,dtb=a -M dtb=b -kernel I"), "/t/g.dtb")),
            "-machine virt -kernel I -dtb /t/g.dtb");
  EXPECT_EQ(Parse("-M virt,dtb=a").device_tree, "a");
}

TEST(QemuArgumentsTest, TakesTheName) {
  EXPECT_EQ(Parse("-name web,debug-threads=on").name, "web");
  EXPECT_EQ(Parse("-name guest=web").name, "web");
}

TEST(QemuArgumentsTest, SurvivesOddLines) {
  for (const char* line : {"", "-", "--", "-M", "-object", "-machine ,", "-m =", "-numa ,,,",
                           "-device {", "-object {}", "-M virt,=,=="}) {
    CheckQemu(Parse(line), true);
    DumpArguments(Parse(line), {"a", "b", false});
    WithDeviceTree(Parse(line), "x");
  }
}

}  // namespace
}  // namespace vtee::cli
