// SPDX-License-Identifier: BSD-3-Clause
// DeviceTree: owns one flattened device tree and edits it through libfdt.
//
// The tree may come from a person's file, so it is checked as a whole when loaded; later
// operations may rely on its structure, not on the meaning of any property.
// Threading: as a value. Node handles are libfdt offsets: an edit makes them all invalid.
// Not supported: overlays, trees above kMaxBytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vtee::cli {

class DeviceTree {
 public:
  static constexpr std::size_t kMaxBytes = 8u << 20;
  static constexpr int kNone = -1;

  static Result<DeviceTree> Load(const std::string& path);
  // `origin` names the tree in sentences.
  static Result<DeviceTree> FromBytes(std::span<const std::byte> bytes, std::string origin);
  Status Save(const std::string& path);  // packed; created 0600, must not exist

  // Nodes; kNone when there is none. The root is node 0.
  int Find(const std::string& path) const;
  int FindCompatible(const std::string& compatible) const;
  int FindPhandle(std::uint32_t phandle) const;
  int Parent(int node) const;
  // Depth-first, beginning with the root; kNone after the last.
  int Next(int node) const;
  std::string Path(int node) const;

  // The property as big-endian cells; nothing if it is absent or not made of whole cells.
  std::optional<std::vector<std::uint32_t>> Cells(int node, const char* property) const;
  std::optional<std::uint32_t> Cell(int node, const char* property) const;
  std::optional<std::string> Text(int node, const char* property) const;
  bool Has(int node, const char* property) const;

  // Edits, by path.
  Status AddNode(const std::string& parent, const std::string& name);
  Status SetText(const std::string& path, const char* property, const std::string& value);
  Status SetCells(const std::string& path, const char* property,
                  std::span<const std::uint32_t> cells);
  // The node's phandle; one is made when it has none.
  Result<std::uint32_t> PhandleOf(const std::string& path);

  const std::string& origin() const { return origin_; }

 private:
  DeviceTree(std::vector<std::byte> blob, std::string origin)
      : blob_(std::move(blob)), origin_(std::move(origin)) {}
  Error Trouble(int fdt_error, const std::string& doing) const;

  std::vector<std::byte> blob_;
  std::string origin_;
};

}  // namespace vtee::cli
