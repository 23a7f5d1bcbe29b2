// SPDX-License-Identifier: BSD-3-Clause
#include "cli/tee_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "cli/interrupts.h"
#include "cli/qemu_arguments.h"
#include "cli/temp_dir.h"
#include "cli/test_tree.h"

namespace vtee::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Kind = InterruptChoice::Kind;

DeviceTree Load(TestTree& source) {
  auto tree = DeviceTree::FromBytes(source.Finish(), "test.dtb");
  EXPECT_TRUE(tree.ok()) << tree.error().message;
  return std::move(tree).value();
}

std::set<std::uint32_t> Used(const DeviceTree& tree) {
  const auto gic = FindGic(tree);
  EXPECT_TRUE(gic.ok());
  const auto used = UsedSpis(tree, gic.value());
  EXPECT_TRUE(used.ok()) << used.error().message;
  return used.value();
}

TEST(DeviceTreeTest, RefusesGarbageWithASentence) {
  const std::vector<std::byte> garbage(100, std::byte{0x5a});
  const auto tree = DeviceTree::FromBytes(garbage, "my.dtb");
  ASSERT_FALSE(tree.ok());
  EXPECT_THAT(tree.error().message, HasSubstr("my.dtb is not a usable device tree"));
  EXPECT_FALSE(DeviceTree::FromBytes({}, "empty").ok());
}

TEST(DeviceTreeTest, SurvivesEveryTruncationAndBitFlip) {
  TestTree source;
  const std::vector<std::byte> good = source.Virt().Finish();
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DeviceTree::FromBytes(std::span(good).first(size), "cut").ok()) << size;
  }
  for (std::size_t i = 0; i < good.size() * 8; ++i) {
    std::vector<std::byte> bad = good;
    bad[i / 8] ^= std::byte{1} << (i % 8);
    auto tree = DeviceTree::FromBytes(bad, "flipped");
    if (tree.ok()) static_cast<void>(AddTeeNode(tree.value(), Conduit::kSmc, {}));
  }
}

TEST(DeviceTreeTest, RefusesOldFormats) {
  TestTree source;
  std::vector<std::byte> old = source.Virt().Finish();
  for (const int version : {2, 3, 16}) {
    old[23] = static_cast<std::byte>(version);  // last byte of the header's version
    old[27] = std::byte{2};                     // and of the oldest version it is compatible with
    const auto tree = DeviceTree::FromBytes(old, "old.dtb");
    ASSERT_FALSE(tree.ok()) << version;
    EXPECT_THAT(tree.error().message, HasSubstr("old.dtb"));
  }
}

TEST(DeviceTreeTest, RefusesPropertiesThatLeadBack) {
  for (const std::int32_t length : {-4, -8, -11, -12, -16, -64, INT32_MIN, INT32_MAX}) {
    std::vector<std::byte> circle = TestTree().Virt().Finish();
    struct fdt_property* property = fdt_get_property_w(
        circle.data(), fdt_path_offset(circle.data(), "/timer"), "interrupts", nullptr);
    ASSERT_NE(property, nullptr);
    property->len = cpu_to_fdt32(static_cast<std::uint32_t>(length));
    const auto tree = DeviceTree::FromBytes(circle, "circle.dtb");
    ASSERT_FALSE(tree.ok()) << length;
    EXPECT_THAT(tree.error().message, HasSubstr("circle.dtb is not a usable"));
  }
}

TEST(DeviceTreeTest, MissingFileIsASentence) {
  const auto tree = DeviceTree::Load("/nonexistent/x.dtb");
  ASSERT_FALSE(tree.ok());
  EXPECT_THAT(tree.error().message, HasSubstr("/nonexistent/x.dtb"));
  EXPECT_FALSE(DeviceTree::Load("/").ok());
}

TEST(InterruptsTest, ReadsEveryWayOfNamingThem) {
  TestTree source;
  source.Virt()
      .Node("/ext")
      .Cells("/ext", "interrupts-extended", {kTestGicPhandle, 0, 100, 4, kTestGicPhandle, 1, 7, 4})
      .Node("/v2m")
      .Cells("/v2m", "arm,msi-base-spi", {80 + 32})
      .Cells("/v2m", "arm,msi-num-spis", {2})
      .Cells("/intc@8000000", "mbi-ranges", {160 + 32, 2});
  EXPECT_THAT(Used(Load(source)), ElementsAre(1, 3, 4, 80, 81, 100, 160, 161));
}

TEST(InterruptsTest, IgnoresOtherControllers) {
  TestTree source;
  source.Virt()
      .Node("/gpio")
      .Bytes("/gpio", "interrupt-controller", "", 0)
      .Cells("/gpio", "#interrupt-cells", {2})
      .Cells("/gpio", "phandle", {9})
      .Node("/key")
      .Cells("/key", "interrupt-parent", {9})
      .Cells("/key", "interrupts", {0, 77});
  EXPECT_THAT(Used(Load(source)), ElementsAre(1, 3, 4));
}

TEST(InterruptsTest, UnclearPropertiesAreSentences) {
  const auto failure = [](TestTree& source) {
    DeviceTree tree = Load(source);
    const auto added = AddTeeNode(tree, Conduit::kSmc, {});
    return added.ok() ? std::string("none") : added.error().message;
  };
  TestTree odd, map, unknown, no_gic;
  EXPECT_THAT(failure(odd.Virt().Node("/x").Cells("/x", "interrupts", {0, 1})),
              HasSubstr("cannot understand interrupts of /x"));
  EXPECT_THAT(failure(map.Virt().Cells("/pcie", "interrupt-map", {0, 0, 0, 1, kTestGicPhandle})),
              HasSubstr("interrupt-map of /pcie"));
  EXPECT_THAT(failure(unknown.Virt().Node("/y").Cells("/y", "interrupts-extended", {1234, 0})),
              HasSubstr("interrupts-extended of /y"));
  EXPECT_THAT(failure(no_gic.Node("/z")), HasSubstr("no GIC"));
}

TEST(InterruptsTest, ChoosesFreeOnesInOrder) {
  std::set<std::uint32_t> taken = VirtReservedSpis();
  EXPECT_EQ(ChooseSpi(taken).value(), 15u);
  taken.insert({15, 14});
  EXPECT_EQ(ChooseSpi(taken).value(), 13u);
  taken.insert({10, 11, 12, 13});
  EXPECT_EQ(ChooseSpi(taken).value(), 255u);
  for (std::uint32_t spi = 177; spi < 256; ++spi) taken.insert(spi);
  EXPECT_EQ(ChooseSpi(taken).value(), 176u);
  taken.insert(176);
  EXPECT_FALSE(ChooseSpi(taken).ok());
}

TEST(InterruptsTest, ParsesTheOption) {
  EXPECT_EQ(ParseInterrupt("auto").value().kind, Kind::kAuto);
  EXPECT_EQ(ParseInterrupt("none").value().kind, Kind::kNone);
  EXPECT_EQ(ParseInterrupt("12").value().spi, 12u);
  for (const char* wrong : {"", "-1", "960", "1x", "0x10", "99999999999"}) {
    EXPECT_FALSE(ParseInterrupt(wrong).ok()) << wrong;
  }
}

TEST(TeeNodeTest, AddsNodeWithFreeInterrupt) {
  TestTree source;
  DeviceTree tree = Load(source.Virt());
  const auto spi = AddTeeNode(tree, Conduit::kHvc, {});
  ASSERT_TRUE(spi.ok()) << spi.error().message;
  EXPECT_EQ(spi.value(), 15u);
  const int node = tree.Find("/firmware/optee");
  ASSERT_GE(node, 0);
  EXPECT_EQ(tree.Text(node, "compatible"), "linaro,optee-tz");
  EXPECT_EQ(tree.Text(node, "method"), "hvc");
  EXPECT_THAT(tree.Cells(node, "interrupts").value(), ElementsAre(0, 15, 1));
  EXPECT_FALSE(tree.Has(node, "interrupt-parent"));
}

TEST(TeeNodeTest, NamesTheGicWhenTheRootDoesNot) {
  TestTree source;
  source.Virt(/*root_parent=*/false).Cells("/pl011@9000000", "interrupt-parent", {kTestGicPhandle});
  DeviceTree tree = Load(source);
  ASSERT_TRUE(AddTeeNode(tree, Conduit::kSmc, {}).ok());
  EXPECT_EQ(tree.Cell(tree.Find("/firmware/optee"), "interrupt-parent"), kTestGicPhandle);
}

TEST(TeeNodeTest, KeepsExistingFirmwareNode) {
  TestTree source;
  source.Virt().Node("/firmware").Node("/firmware/other").Text("/firmware/other", "a", "b");
  DeviceTree tree = Load(source);
  const auto spi = AddTeeNode(tree, Conduit::kSmc, {Kind::kNone, 0});
  ASSERT_TRUE(spi.ok());
  EXPECT_FALSE(spi.value().has_value());
  EXPECT_EQ(tree.Text(tree.Find("/firmware/other"), "a"), "b");
  EXPECT_FALSE(tree.Has(tree.Find("/firmware/optee"), "interrupts"));
}

TEST(TeeNodeTest, RefusesExistingTeeAndTakenInterrupt) {
  TestTree with_tee, elsewhere, plain;
  with_tee.Virt().Node("/firmware").Node("/firmware/optee");
  elsewhere.Virt().Node("/tee").Text("/tee", "compatible", "linaro,optee-tz");
  for (TestTree* source : {&with_tee, &elsewhere}) {
    DeviceTree tree = Load(*source);
    const auto added = AddTeeNode(tree, Conduit::kSmc, {});
    ASSERT_FALSE(added.ok());
    EXPECT_THAT(added.error().message, HasSubstr("describes a TEE already"));
  }
  DeviceTree tree = Load(plain.Virt());
  for (const std::uint32_t spi : {1u, 3u, 9u, 40u, 112u, 256u}) {
    EXPECT_FALSE(AddTeeNode(tree, Conduit::kSmc, {Kind::kNumber, spi}).ok()) << spi;
  }
  EXPECT_TRUE(AddTeeNode(tree, Conduit::kSmc, {Kind::kNumber, 200}).ok());
}

// The real thing, where it is installed: emulated, so KVM is not needed.
class RealQemuTest : public testing::TestWithParam<const char*> {};

TEST_P(RealQemuTest, ItsTreeTakesTheNode) {
  if (std::system("command -v qemu-system-aarch64 >/dev/null") != 0) GTEST_SKIP() << "no QEMU";
  auto folder = TempDir::Create();
  ASSERT_TRUE(folder.ok());
  const std::string machine = GetParam();
  std::vector<std::string> arguments = {"-M",      "virt,memory-backend=m0," + machine,
                                        "-accel",  "kvm",
                                        "-cpu",    "host",
                                        "-smp",    "2",
                                        "-m",      "256",
                                        "-object", "memory-backend-memfd,id=m0,size=256M,share=on",
                                        "-serial", "mon:stdio",
                                        "-bios",   "QEMU_EFI.fd"};
  if (machine.find("iommu") == std::string::npos) {  // QEMU wants one at most
    arguments.insert(arguments.end(), {"-device", "virtio-iommu-pci,addr=5"});
  }
  const QemuCommand qemu = ParseQemu("qemu-system-aarch64", arguments);
  EXPECT_THAT(CheckQemu(qemu, true), testing::IsEmpty());
  DumpOptions dump{folder->File("a.dtb"), folder->File("fw"), /*emulate=*/true};
  std::ofstream(dump.firmware_path) << std::string(4096, '\0');
  std::string command = "qemu-system-aarch64";
  for (const std::string& word : DumpArguments(qemu, dump)) command += " '" + word + "'";
  ASSERT_EQ(std::system((command + " >/dev/null 2>&1").c_str()), 0) << command;

  auto tree = DeviceTree::Load(dump.tree_path);
  ASSERT_TRUE(tree.ok()) << tree.error().message;
  const auto used = Used(tree.value());
  EXPECT_THAT(used, testing::IsSupersetOf({1u, 2u, 3u, 6u, 16u, 47u}));
  EXPECT_FALSE(used.contains(15));
  EXPECT_EQ(AddTeeNode(tree.value(), Conduit::kSmc, {}).value(), 15u);
  const std::string edited = folder->File("b.dtb");
  ASSERT_TRUE(tree->Save(edited).ok());
  EXPECT_GE(DeviceTree::Load(edited).value().Find("/firmware/optee"), 0);
  EXPECT_FALSE(tree->Save(edited).ok()) << "must not overwrite";
}

// Machines whose interrupt controllers, memory maps or tables differ.
INSTANTIATE_TEST_SUITE_P(Machines, RealQemuTest,
                         testing::Values("gic-version=host", "gic-version=2", "gic-version=3",
                                         "gic-version=3,its=off", "gic-version=2,highmem=off",
                                         "gic-version=3,highmem=off", "gic-version=3,iommu=smmuv3",
                                         "gic-version=3,acpi=off", "gic-version=3,mte=on"));

}  // namespace
}  // namespace vtee::cli
