// SPDX-License-Identifier: BSD-3-Clause
// Device trees for tests, built with libfdt: the parts of QEMU's virt machine that matter here.
#pragma once

#include <libfdt.h>

#include <cstddef>
#include <fstream>
#include <initializer_list>
#include <string>
#include <vector>

namespace vtee::cli {

inline constexpr std::uint32_t kTestGicPhandle = 0x8003;

// Builds in order; errors show as a tree that does not load.
class TestTree {
 public:
  TestTree() : blob_(16384) { fdt_create_empty_tree(blob_.data(), static_cast<int>(blob_.size())); }

  TestTree& Node(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string parent = slash == 0 ? "/" : path.substr(0, slash);
    fdt_add_subnode(blob_.data(), At(parent), path.substr(slash + 1).c_str());
    return *this;
  }
  TestTree& Cells(const std::string& path, const char* name,
                  std::initializer_list<std::uint32_t> cells) {
    std::vector<std::uint32_t> raw;
    for (const std::uint32_t cell : cells) raw.push_back(cpu_to_fdt32(cell));
    return Bytes(path, name, raw.data(), raw.size() * 4);
  }
  TestTree& Text(const std::string& path, const char* name, const std::string& text) {
    return Bytes(path, name, text.c_str(), text.size() + 1);
  }
  TestTree& Bytes(const std::string& path, const char* name, const void* data, std::size_t size) {
    fdt_setprop(blob_.data(), At(path), name, data, static_cast<int>(size));
    return *this;
  }
  // What the virt machine has; `root_parent` as QEMU does it.
  TestTree& Virt(bool root_parent = true) {
    Cells("/", "#address-cells", {2}).Cells("/", "#size-cells", {2});
    if (root_parent) Cells("/", "interrupt-parent", {kTestGicPhandle});
    Node("/intc@8000000").Text("/intc@8000000", "compatible", "arm,gic-v3");
    Cells("/intc@8000000", "#interrupt-cells", {3}).Cells("/intc@8000000", "#address-cells", {2});
    Bytes("/intc@8000000", "interrupt-controller", "", 0);
    Cells("/intc@8000000", "phandle", {kTestGicPhandle});
    Node("/intc@8000000/its").Cells("/intc@8000000/its", "reg", {0, 1});  // one level deeper
    Node("/pl011@9000000").Cells("/pl011@9000000", "interrupts", {0, 1, 4});
    Node("/timer").Cells("/timer", "interrupts", {1, 13, 4, 1, 14, 4});
    Node("/pcie").Cells("/pcie", "#interrupt-cells", {1}).Cells("/pcie", "#address-cells", {3});
    Cells("/pcie", "interrupt-map",
          {0, 0, 0, 1, kTestGicPhandle, 0, 0, 0, 3, 4, 0, 0, 0, 2, kTestGicPhandle, 0, 0, 0, 4, 4});
    return *this;
  }
  std::vector<std::byte> Finish() {
    fdt_pack(blob_.data());
    blob_.resize(fdt_totalsize(blob_.data()));
    return blob_;
  }
  void Write(const std::string& path) {
    const std::vector<std::byte> bytes = Finish();
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }

 private:
  int At(const std::string& path) { return fdt_path_offset(blob_.data(), path.c_str()); }
  std::vector<std::byte> blob_;
};

}  // namespace vtee::cli
