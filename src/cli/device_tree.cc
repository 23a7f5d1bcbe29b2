// SPDX-License-Identifier: BSD-3-Clause
#include "cli/device_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libfdt.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/file_bytes.h"
#include "base/unique_fd.h"

namespace vtee::cli {
namespace {

// Room for the few properties that vtee adds.
constexpr std::size_t kSlack = 4096;

constexpr std::uint32_t kFdtVersion = 17;  // what dtc and QEMU have written since 2007

Result<std::vector<std::byte>> ReadFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0) {
    return ErrnoError(errno, "cannot read the device tree " + path);
  }
  if (!S_ISREG(status.st_mode) || status.st_size > static_cast<off_t>(DeviceTree::kMaxBytes)) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{} is not a device tree: it is no file, or larger than {} MiB", path,
                             DeviceTree::kMaxBytes >> 20)};
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  const auto size = ReadFully(fd.get(), bytes);
  if (!size) return ErrnoError(errno, "cannot read the device tree " + path);
  bytes.resize(*size);
  return bytes;
}

// libfdt 1.6 adds a property's length to its place unchecked, and so turns in a circle in a tree
// where that sum goes back: fdt_check_full() would not return.
int CheckWalkEnds(const void* tree) {
  for (int offset = 0, next = 0;; offset = next) {
    const std::uint32_t tag = fdt_next_tag(tree, offset, &next);
    if (tag == FDT_END || next < 0) return 0;  // fdt_check_full() says whether that is right
    if (next <= offset) return -FDT_ERR_BADSTRUCTURE;
  }
}

int CheckTree(std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(fdt_header)) return -FDT_ERR_TRUNCATED;
  if (const int wrong = fdt_check_header(bytes.data()); wrong != 0) return wrong;
  if (bytes.size() < fdt_totalsize(bytes.data())) return -FDT_ERR_TRUNCATED;
  if (const int wrong = CheckWalkEnds(bytes.data()); wrong != 0) return wrong;
  return fdt_check_full(bytes.data(), bytes.size());
}

}  // namespace

Error DeviceTree::Trouble(int fdt_error, const std::string& doing) const {
  return Error{ErrorCode::kInvalidArgument, fmt::format("cannot {} in the device tree {}: {}",
                                                        doing, origin_, fdt_strerror(fdt_error))};
}

Result<DeviceTree> DeviceTree::Load(const std::string& path) {
  VTEE_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, ReadFile(path));
  return FromBytes(bytes, path);
}

Result<DeviceTree> DeviceTree::FromBytes(std::span<const std::byte> bytes, std::string origin) {
  const bool whole_header = bytes.size() >= sizeof(fdt_header);
  // First of all: libfdt follows a null pointer while it checks some trees of older formats.
  if (whole_header && fdt_magic(bytes.data()) == FDT_MAGIC &&
      fdt_version(bytes.data()) < kFdtVersion) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("{} has version {} of the device-tree format, and {} is wanted; convert "
                    "it with dtc",
                    origin, fdt_version(bytes.data()), kFdtVersion)};
  }
  if (const int wrong = CheckTree(bytes); wrong != 0) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{} is not a usable device tree ({}); make it with dtc", origin,
                             fdt_strerror(wrong))};
  }
  std::vector<std::byte> blob(bytes.size() + kSlack);
  const int opened = fdt_open_into(bytes.data(), blob.data(), static_cast<int>(blob.size()));
  DeviceTree tree(std::move(blob), std::move(origin));
  if (opened != 0) return tree.Trouble(opened, "make room");
  return tree;
}

Status DeviceTree::Save(const std::string& path) {
  fdt_pack(blob_.data());
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return ErrnoError(errno, "cannot create " + path);
  const std::size_t size = fdt_totalsize(blob_.data());
  if (!WriteFully(fd.get(), std::span(blob_).first(size))) {
    return ErrnoError(errno, "cannot write " + path);
  }
  return {};
}

int DeviceTree::Find(const std::string& path) const {
  return std::max(fdt_path_offset(blob_.data(), path.c_str()), kNone);
}

int DeviceTree::FindCompatible(const std::string& compatible) const {
  return std::max(fdt_node_offset_by_compatible(blob_.data(), -1, compatible.c_str()), kNone);
}

int DeviceTree::FindPhandle(std::uint32_t phandle) const {
  return std::max(fdt_node_offset_by_phandle(blob_.data(), phandle), kNone);
}

int DeviceTree::Parent(int node) const {
  return std::max(fdt_parent_offset(blob_.data(), node), kNone);
}

int DeviceTree::Next(int node) const {
  // Without a depth the walk does not stop where a subtree ends.
  return std::max(fdt_next_node(blob_.data(), node, nullptr), kNone);
}

std::string DeviceTree::Path(int node) const {
  std::array<char, 1024> path{};
  const int wrong = fdt_get_path(blob_.data(), node, path.data(), static_cast<int>(path.size()));
  return wrong == 0 ? path.data() : "?";
}

std::optional<std::vector<std::uint32_t>> DeviceTree::Cells(int node, const char* property) const {
  int size = 0;
  const void* data = fdt_getprop(blob_.data(), node, property, &size);
  if (data == nullptr || size % 4 != 0) return std::nullopt;
  std::vector<std::uint32_t> cells(static_cast<std::size_t>(size) / 4);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    std::uint32_t raw = 0;
    std::memcpy(&raw, static_cast<const char*>(data) + i * 4, 4);
    cells[i] = fdt32_to_cpu(raw);
  }
  return cells;
}

std::optional<std::uint32_t> DeviceTree::Cell(int node, const char* property) const {
  const auto cells = Cells(node, property);
  if (!cells || cells->size() != 1) return std::nullopt;
  return cells->front();
}

std::optional<std::string> DeviceTree::Text(int node, const char* property) const {
  int size = 0;
  const void* data = fdt_getprop(blob_.data(), node, property, &size);
  if (data == nullptr || size < 1) return std::nullopt;
  const auto* text = static_cast<const char*>(data);
  return std::string(text, strnlen(text, static_cast<std::size_t>(size)));
}

bool DeviceTree::Has(int node, const char* property) const {
  return fdt_getprop(blob_.data(), node, property, nullptr) != nullptr;
}

Status DeviceTree::AddNode(const std::string& parent, const std::string& name) {
  const int added = fdt_add_subnode(blob_.data(), Find(parent), name.c_str());
  if (added < 0) return Trouble(added, "add " + parent + "/" + name);
  return {};
}

Status DeviceTree::SetText(const std::string& path, const char* property,
                           const std::string& value) {
  const int wrong = fdt_setprop(blob_.data(), Find(path), property, value.c_str(),
                                static_cast<int>(value.size() + 1));
  if (wrong != 0) return Trouble(wrong, fmt::format("set {} of {}", property, path));
  return {};
}

Status DeviceTree::SetCells(const std::string& path, const char* property,
                            std::span<const std::uint32_t> cells) {
  std::vector<std::uint32_t> raw;
  for (const std::uint32_t cell : cells) raw.push_back(cpu_to_fdt32(cell));
  const int wrong = fdt_setprop(blob_.data(), Find(path), property, raw.data(),
                                static_cast<int>(raw.size() * sizeof(std::uint32_t)));
  if (wrong != 0) return Trouble(wrong, fmt::format("set {} of {}", property, path));
  return {};
}

Result<std::uint32_t> DeviceTree::PhandleOf(const std::string& path) {
  const std::uint32_t known = fdt_get_phandle(blob_.data(), Find(path));
  if (known != 0 && known != UINT32_MAX) return known;
  std::uint32_t fresh = 0;
  const int wrong = fdt_generate_phandle(blob_.data(), &fresh);
  if (wrong != 0) return Trouble(wrong, "make a phandle");
  VTEE_TRY(SetCells(path, "phandle", std::span(&fresh, 1)));
  return fresh;
}

}  // namespace vtee::cli
