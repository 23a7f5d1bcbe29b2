// SPDX-License-Identifier: BSD-3-Clause
// A TEE with a folder of TAs, and a guest that calls its pseudo-TAs. For tests only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "ta/container/test_signer.h"
#include "ta/core/tee_core.h"
#include "ta/loader/test_elf.h"

namespace vtee::ta {

class TestMemory : public MemorySource {
 public:
  explicit TestMemory(std::size_t size) : bytes(size) {}
  explicit TestMemory(std::vector<std::byte> content) : bytes(std::move(content)) {}
  bool Read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset > bytes.size() || out.size() > bytes.size() - offset) return false;
    std::ranges::copy(std::span(bytes).subspan(offset, out.size()), out.begin());
    return true;
  }
  bool Write(std::uint64_t offset, std::span<const std::byte> in) const override {
    if (offset > bytes.size() || in.size() > bytes.size() - offset) return false;
    std::ranges::copy(in, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    return true;
  }
  mutable std::vector<std::byte> bytes;
};

class PtaTest : public ::testing::Test {
 protected:
  PtaTest() {
    std::string name = testing::TempDir() + "vtee-pta-XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
    EXPECT_TRUE(options.sources.roots.AddPem(signer.PublicPem(), "test").ok());
    options.sources.folders = {folder};
    core = std::make_unique<TeeCore>(options, TeeState::InMemory(1u << 20));
  }
  ~PtaTest() override { std::filesystem::remove_all(folder); }

  static tee::Uuid Uuid(std::uint8_t last) {
    tee::Uuid uuid;
    uuid.octets[15] = last;
    return uuid;
  }
  FileBytes Ta(std::uint8_t last, std::uint32_t flags, std::uint32_t version = 1) const {
    TestElf elf(Uuid(last));
    elf.Put(TestElf::kData + 20, flags);
    return signer.Bootstrap(Uuid(last), version, elf.bytes);
  }
  void AddTa(std::uint8_t last, std::uint32_t flags) const {
    const FileBytes file = Ta(last, flags);
    std::ofstream out(folder + "/" + tee::ToString(Uuid(last)) + ".ta", std::ios::binary);
    out.write(reinterpret_cast<const char*>(file.data()), static_cast<long>(file.size()));
  }
  void Open(const tee::Uuid& uuid) {
    EntryParams none{};
    ASSERT_TRUE(
        core->OpenSession(call, call.cancellation, nullptr, client, uuid, none, session).ok());
  }
  // With the types of all four parameters, TEE_PARAM_TYPES().
  static EntryParams Params(std::uint32_t types) {
    EntryParams params{};
    EXPECT_TRUE(SetParamTypes(types, params));
    return params;
  }
  static void Give(EntryParam& param, const TestMemory& memory) {
    param.memory = &memory;
    param.size = memory.bytes.size();
  }
  std::uint32_t Invoke(std::uint32_t command, EntryParams& params) {
    return core->Invoke(call, call.cancellation, nullptr, session, command, params).code;
  }
  std::uint32_t Invoke(std::uint32_t command) {
    EntryParams none{};
    return Invoke(command, none);
  }

  std::string folder;
  TestSigner signer;
  TeeOptions options;
  ClientIdentity client;
  tee::CallContext context;
  Call call{context, {}, 0, nullptr};
  std::unique_ptr<TeeCore> core;
  std::uint32_t session = 0;
};

}  // namespace vtee::ta
