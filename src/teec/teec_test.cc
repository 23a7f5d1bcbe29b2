// SPDX-License-Identifier: BSD-3-Clause
// The TEE Client API as programs use it, against a vteed with the fake TEE in this process.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <thread>

#include "daemon/test_program_server.h"
#include "program/protocol.h"
#include "teec/tee_client_api.h"

namespace vtee::teec {
namespace {

namespace fake = backend::fake;

// OP-TEE's libteec 2, on machines of 64 bits: programs allocate these.
static_assert(sizeof(TEEC_Context) == 8 && sizeof(TEEC_Session) == 16 && sizeof(TEEC_UUID) == 16);
static_assert(sizeof(TEEC_SharedMemory) == 56 && offsetof(TEEC_SharedMemory, imp) == 24);
static_assert(sizeof(TEEC_Operation) == 112 && offsetof(TEEC_Operation, params) == 8 &&
              offsetof(TEEC_Operation, imp) == 104);

TEEC_UUID ToApi(const tee::Uuid& uuid) {
  const auto& o = uuid.octets;
  TEEC_UUID api{static_cast<std::uint32_t>(o[0] << 24 | o[1] << 16 | o[2] << 8 | o[3]),
                static_cast<std::uint16_t>(o[4] << 8 | o[5]),
                static_cast<std::uint16_t>(o[6] << 8 | o[7]),
                {}};
  std::copy(o.begin() + 8, o.end(), std::begin(api.clockSeqAndNode));
  return api;
}

constexpr std::uint32_t Types(std::uint32_t a, std::uint32_t b = 0) { return a | b << 4; }

class TeecTest : public testing::Test {
 protected:
  TeecTest() {
    setenv(program::kSocketVariable, server_.path().c_str(), 1);
    EXPECT_EQ(TEEC_InitializeContext(nullptr, &context_), TEEC_SUCCESS);
  }
  ~TeecTest() override {
    TEEC_FinalizeContext(&context_);
    EXPECT_TRUE(server_.WaitUntilNothingIsLeft());
    unsetenv(program::kSocketVariable);
  }
  TEEC_Session Open(const tee::Uuid& uuid) {
    TEEC_Session session{};
    const TEEC_UUID api = ToApi(uuid);
    std::uint32_t origin = 0;
    EXPECT_EQ(
        TEEC_OpenSession(&context_, &session, &api, TEEC_LOGIN_PUBLIC, nullptr, nullptr, &origin),
        TEEC_SUCCESS);
    return session;
  }

  daemon::TestProgramServer server_;
  TEEC_Context context_{};
};

TEST_F(TeecTest, ValuesGoThereAndBack) {
  TEEC_Session session = Open(fake::kHelloUuid);
  TEEC_Operation operation{};
  operation.paramTypes = Types(TEEC_VALUE_INOUT);
  operation.params[0].value = {0xFFFFFFFF, 7};
  std::uint32_t origin = 0;
  EXPECT_EQ(TEEC_InvokeCommand(&session, 1, &operation, &origin), TEEC_SUCCESS);
  EXPECT_EQ(operation.params[0].value.a, 0xFFFFFFFEu);
  EXPECT_EQ(origin, static_cast<std::uint32_t>(TEEC_ORIGIN_TRUSTED_APP));
  TEEC_CloseSession(&session);
  EXPECT_EQ(server_.backend().counters().open_sessions, 0u);
}

TEST_F(TeecTest, TemporaryMemory) {
  TEEC_Session session = Open(fake::kEchoUuid);
  char in[] = "text", out[16] = "untouched";
  TEEC_Operation operation{};
  operation.paramTypes = Types(TEEC_MEMREF_TEMP_INPUT, TEEC_MEMREF_TEMP_OUTPUT);
  operation.params[0].tmpref = {in, 4};
  operation.params[1].tmpref = {out, sizeof out};
  EXPECT_EQ(TEEC_InvokeCommand(&session, 0, &operation, nullptr), TEEC_SUCCESS);
  EXPECT_EQ(operation.params[1].tmpref.size, 4u);
  EXPECT_EQ(std::string(out, 9), "textuched");
  // Too short: nothing is written, the size is what it takes.
  operation.params[1].tmpref = {out, 3};
  EXPECT_EQ(TEEC_InvokeCommand(&session, 0, &operation, nullptr), tee::code::kShortBuffer);
  EXPECT_EQ(operation.params[1].tmpref.size, 4u);
  // Where there is no memory that could be read or written.
  auto* nowhere = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  operation.params[0].tmpref = {nowhere, 4};
  operation.params[1].tmpref = {out, sizeof out};
  EXPECT_EQ(TEEC_InvokeCommand(&session, 0, &operation, nullptr), TEEC_ERROR_GENERIC);
  operation.params[0].tmpref = {nullptr, 4};
  EXPECT_EQ(TEEC_InvokeCommand(&session, 0, &operation, nullptr), TEEC_ERROR_BAD_PARAMETERS);
  operation.params[0].tmpref = {in, SIZE_MAX};
  EXPECT_EQ(TEEC_InvokeCommand(&session, 0, &operation, nullptr), TEEC_ERROR_OUT_OF_MEMORY);
  munmap(nowhere, 4096);
}

TEST_F(TeecTest, SharedMemoryWholeAndInParts) {
  TEEC_Session session = Open(fake::kEchoUuid);
  TEEC_SharedMemory shared{};
  shared.size = 100'000;
  shared.flags = TEEC_MEM_INPUT | TEEC_MEM_OUTPUT;
  ASSERT_EQ(TEEC_AllocateSharedMemory(&context_, &shared), TEEC_SUCCESS);
  auto* bytes = static_cast<char*>(shared.buffer);
  std::memcpy(bytes, "begin", 5);
  std::memcpy(bytes + 99'997, "end", 3);
  TEEC_Operation operation{};
  operation.paramTypes = Types(TEEC_MEMREF_PARTIAL_INOUT);
  operation.params[0].memref = {&shared, 5, 0};
  EXPECT_EQ(TEEC_InvokeCommand(&session, 1, &operation, nullptr), TEEC_SUCCESS);
  EXPECT_EQ(std::string(bytes, 5), "nigeb");
  operation.paramTypes = Types(TEEC_MEMREF_WHOLE);
  EXPECT_EQ(TEEC_InvokeCommand(&session, 1, &operation, nullptr), TEEC_SUCCESS);
  EXPECT_EQ(std::string(bytes, 3), "dne");
  EXPECT_EQ(std::string(bytes + 99'995, 5), "begin");
  EXPECT_EQ(operation.params[0].memref.size, 100'000u);
  operation.paramTypes = Types(TEEC_MEMREF_PARTIAL_INOUT);
  operation.params[0].memref = {&shared, 2, 99'999};
  EXPECT_EQ(TEEC_InvokeCommand(&session, 1, &operation, nullptr), TEEC_ERROR_BAD_PARAMETERS);
  operation.params[0].memref = {&shared, 2, SIZE_MAX};
  EXPECT_EQ(TEEC_InvokeCommand(&session, 1, &operation, nullptr), TEEC_ERROR_BAD_PARAMETERS);
  shared.flags = TEEC_MEM_INPUT;
  operation.params[0].memref = {&shared, 2, 0};
  EXPECT_EQ(TEEC_InvokeCommand(&session, 1, &operation, nullptr), TEEC_ERROR_BAD_PARAMETERS);
  TEEC_ReleaseSharedMemory(&shared);
  EXPECT_EQ(shared.buffer, nullptr);
  TEEC_ReleaseSharedMemory(&shared);
}

TEST_F(TeecTest, RegisteringIsChecked) {
  char own[16] = {};
  TEEC_SharedMemory shared{};
  shared.buffer = own;
  shared.size = sizeof own;
  EXPECT_EQ(TEEC_RegisterSharedMemory(&context_, &shared), TEEC_ERROR_BAD_PARAMETERS);
  shared.flags = 4;
  EXPECT_EQ(TEEC_RegisterSharedMemory(&context_, &shared), TEEC_ERROR_BAD_PARAMETERS);
  shared.flags = TEEC_MEM_OUTPUT;
  EXPECT_EQ(TEEC_RegisterSharedMemory(nullptr, &shared), TEEC_ERROR_BAD_PARAMETERS);
  EXPECT_EQ(TEEC_RegisterSharedMemory(&context_, &shared), TEEC_SUCCESS);
  TEEC_ReleaseSharedMemory(&shared);
  shared.buffer = nullptr;
  EXPECT_EQ(TEEC_RegisterSharedMemory(&context_, &shared), TEEC_ERROR_BAD_PARAMETERS);
  TEEC_ReleaseSharedMemory(nullptr);
}

TEST_F(TeecTest, AnotherThreadCancels) {
  TEEC_Session session = Open(fake::kSlowUuid);
  TEEC_Operation operation{};
  operation.paramTypes = Types(TEEC_VALUE_INPUT);
  operation.params[0].value = {60'000, 0};
  std::thread canceller([&] {
    while (server_.backend().counters().calls_in_flight == 0) std::this_thread::yield();
    TEEC_RequestCancellation(&operation);
  });
  EXPECT_EQ(TEEC_InvokeCommand(&session, 0, &operation, nullptr), tee::code::kCancel);
  canceller.join();
  TEEC_RequestCancellation(nullptr);
  TEEC_Operation idle{};
  TEEC_RequestCancellation(&idle);
}

// More threads than lanes: those that find none wait for one.
TEST_F(TeecTest, ManyThreadsShareTheLanes) {
  TEEC_Session session = Open(fake::kHelloUuid);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (std::uint32_t t = 0; t < 40; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint32_t i = 0; i < 20; ++i) {
        TEEC_Operation operation{};
        operation.paramTypes = Types(TEEC_VALUE_INOUT);
        operation.params[0].value = {t * 1000 + i, 0};
        if (TEEC_InvokeCommand(&session, 0, &operation, nullptr) == TEEC_SUCCESS &&
            operation.params[0].value.a == t * 1000 + i + 1) {
          ++right;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 800);
}

TEST_F(TeecTest, MisuseIsACode) {
  TEEC_Session session{};
  const TEEC_UUID hello = ToApi(fake::kHelloUuid);
  std::uint32_t origin = 0;
  EXPECT_EQ(TEEC_OpenSession(nullptr, &session, &hello, 0, nullptr, nullptr, &origin),
            TEEC_ERROR_BAD_PARAMETERS);
  EXPECT_EQ(origin, static_cast<std::uint32_t>(TEEC_ORIGIN_API));
  EXPECT_EQ(TEEC_OpenSession(&context_, nullptr, &hello, 0, nullptr, nullptr, nullptr),
            TEEC_ERROR_BAD_PARAMETERS);
  EXPECT_EQ(
      TEEC_OpenSession(&context_, &session, &hello, TEEC_LOGIN_GROUP, nullptr, nullptr, nullptr),
      TEEC_ERROR_BAD_PARAMETERS);
  EXPECT_EQ(TEEC_InvokeCommand(nullptr, 0, nullptr, nullptr), TEEC_ERROR_BAD_PARAMETERS);
  EXPECT_EQ(TEEC_InvokeCommand(&session, 0, nullptr, nullptr), TEEC_ERROR_BAD_PARAMETERS);
  TEEC_CloseSession(&session);
  TEEC_CloseSession(nullptr);
  TEEC_FinalizeContext(nullptr);
  EXPECT_EQ(TEEC_InitializeContext("another", &context_), TEEC_ERROR_ITEM_NOT_FOUND);
  EXPECT_EQ(TEEC_InitializeContext(nullptr, nullptr), TEEC_ERROR_BAD_PARAMETERS);
  const TEEC_UUID none{};
  EXPECT_EQ(TEEC_OpenSession(&context_, &session, &none, 0, nullptr, nullptr, &origin),
            TEEC_ERROR_ITEM_NOT_FOUND);
  EXPECT_EQ(origin, static_cast<std::uint32_t>(TEEC_ORIGIN_TEE));
  const gid_t own = getgid();
  EXPECT_EQ(TEEC_OpenSession(&context_, &session, &hello, TEEC_LOGIN_GROUP, &own, nullptr, nullptr),
            TEEC_SUCCESS);
  EXPECT_EQ(TEEC_OpenSession(&context_, &session, &hello, TEEC_LOGIN_APPLICATION, nullptr, nullptr,
                             &origin),
            TEEC_ERROR_BAD_PARAMETERS);
  EXPECT_EQ(origin, static_cast<std::uint32_t>(TEEC_ORIGIN_COMMS));
}

TEST(TeecWithoutVteedTest, NobodyThereIsACode) {
  setenv(program::kSocketVariable, "/nonexistent/socket", 1);
  TEEC_Context context{};
  EXPECT_EQ(TEEC_InitializeContext(nullptr, &context), TEEC_ERROR_ITEM_NOT_FOUND);
  unsetenv(program::kSocketVariable);
}

TEST(TeecWithoutVteedTest, CallsFailWhenItIsGone) {
  daemon::TestProgramServer server;
  setenv(program::kSocketVariable, server.path().c_str(), 1);
  TEEC_Context context{};
  ASSERT_EQ(TEEC_InitializeContext("optee-tz", &context), TEEC_SUCCESS);
  const TEEC_UUID hello = ToApi(fake::kHelloUuid);
  TEEC_Session session{};
  ASSERT_EQ(TEEC_OpenSession(&context, &session, &hello, 0, nullptr, nullptr, nullptr),
            TEEC_SUCCESS);
  server.Stop();
  std::uint32_t origin = 0;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(TEEC_InvokeCommand(&session, 0, nullptr, &origin), TEEC_ERROR_COMMUNICATION);
    EXPECT_EQ(origin, static_cast<std::uint32_t>(TEEC_ORIGIN_COMMS));
  }
  TEEC_FinalizeContext(&context);
  unsetenv(program::kSocketVariable);
}

}  // namespace
}  // namespace vtee::teec
