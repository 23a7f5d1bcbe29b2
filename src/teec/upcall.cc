// SPDX-License-Identifier: BSD-3-Clause
#include "teec/upcall.h"

#include "program/memory_file.h"

namespace vtee::teec {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{16} << 20;

}  // namespace

bool Upcall::Take(const program::Message& asked, int memory) {
  message_ = asked;
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    if (kind(i) < Kind::kBytesIn) continue;
    const program::ParamBody& body = asked.params[i];
    if (body.b > kMostBytes) return false;
    bytes_[i].resize(body.b);
    offsets_[i] = body.a;
    if (kind(i) != Kind::kBytesOut && !bytes_[i].empty() &&
        !program::ReadAt(memory, body.a, bytes_[i].data(), bytes_[i].size())) {
      return false;
    }
  }
  return true;
}

bool Upcall::PutBack(int memory) {
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    if (kind(i) < Kind::kBytesOut || bytes_[i].empty()) continue;
    if (!program::WriteAt(memory, offsets_[i], bytes_[i].data(), bytes_[i].size())) return false;
  }
  return true;
}

bool Upcall::Is(Kind first, Kind second, Kind third, Kind fourth) const {
  return kind(0) == first && kind(1) == second && kind(2) == third && kind(3) == fourth;
}

}  // namespace vtee::teec
