// SPDX-License-Identifier: BSD-3-Clause
// A file's bytes, however many system calls they take. Any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace vtee {

// From the file's position on, until `out` is full or the file ends: how many bytes that were.
// Interrupted reads go on. nullopt: one failed, errno says why.
std::optional<std::size_t> ReadFully(int fd, std::span<std::byte> out);

// All of `bytes`, at the file's position. false: a write failed, errno says why.
bool WriteFully(int fd, std::span<const std::byte> bytes);

}  // namespace vtee
