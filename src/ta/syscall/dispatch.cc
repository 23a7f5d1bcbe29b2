// SPDX-License-Identifier: BSD-3-Clause
#include "ta/syscall/dispatch.h"

#include "base/memory.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

SyscallTable MakeTable() {
  SyscallTable table{};
  AddCoreCalls(table);
  AddTimeCalls(table);
  AddSessionCalls(table);
  AddOperationCalls(table);
  AddAuthenticatedCalls(table);
  AddAsymmetricCalls(table);
  AddObjectCalls(table);
  AddStorageCalls(table);
  return table;
}

}  // namespace

std::uint32_t DispatchSyscall(TaInstance& ta, std::uint64_t number, const SyscallArgs& args) {
  static const SyscallTable table = MakeTable();
  if (number >= table.size() || table[number] == nullptr) return tee::code::kNotSupported;
  std::uint32_t result = tee::code::kOutOfMemory;
  if (!WithinMemory([&] { result = table[number](ta, args); })) return tee::code::kOutOfMemory;
  return result;
}

}  // namespace vtee::ta
