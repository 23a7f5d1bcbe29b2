// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/scmi_pta.h"

#include <cstring>

#include "ta/pta/device_pta.h"
#include "ta/pta/pta_test.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

constexpr std::uint32_t kVersion = 0x10u << 10;
constexpr std::uint32_t kVendor = kVersion | 3;
constexpr std::uint32_t kMsgTypes = 0x0651;
constexpr std::uint32_t kSmtTypes = 0x0071;

class Scmi : public PtaTest {
 protected:
  void SetUp() override {
    client.login = static_cast<std::uint32_t>(tee::Login::kReeKernel);
    Open(kScmiPta);
  }
  static void Set(const TestMemory& memory, std::size_t at, std::uint32_t word) {
    std::memcpy(memory.bytes.data() + at, &word, sizeof(word));
  }
  static std::uint32_t Get(const TestMemory& memory, std::size_t at) {
    std::uint32_t word = 0;
    std::memcpy(&word, memory.bytes.data() + at, sizeof(word));
    return word;
  }
  // PROCESS_MSG_CHANNEL; `size` is what the answer has room for, and then its size.
  std::uint32_t Msg(const TestMemory& in, const TestMemory& out, std::uint64_t& size,
                    std::uint64_t channel = 0) {
    EntryParams params = Params(kMsgTypes);
    params[0].a = channel;
    Give(params[1], in);
    Give(params[2], out);
    params[2].size = size;
    const std::uint32_t result = Invoke(4, params);
    size = params[2].size;
    return result;
  }
  // An SMT buffer with a message of this length.
  static TestMemory Smt(std::uint32_t header, std::uint32_t length = 4) {
    TestMemory buffer(128);
    Set(buffer, 20, length);
    Set(buffer, 24, header);
    return buffer;
  }
  std::uint32_t Process(const TestMemory& buffer, std::uint64_t channel = 0) {
    EntryParams params = Params(kSmtTypes);
    params[0].a = channel;
    Give(params[1], buffer);
    return Invoke(2, params);
  }
};

TEST_F(Scmi, CanHaveBothHeaders) {
  EntryParams params = Params(0x0002);
  params[0].a = params[0].b = 77;
  ASSERT_EQ(Invoke(0, params), code::kSuccess);
  EXPECT_EQ(params[0].a, 3u);
  EXPECT_EQ(params[0].b, 0u);
  for (const std::uint32_t types : {0x0000u, 0x0001u, 0x0003u, 0x0022u}) {
    params = Params(types);
    EXPECT_EQ(Invoke(0, params), code::kBadParameters) << types;
  }
}

TEST_F(Scmi, HasOneChannel) {
  EntryParams params = Params(0x0003);
  const auto get = [&](std::uint64_t channel, std::uint64_t capabilities) {
    params[0].a = channel;
    params[0].b = capabilities;
    return Invoke(3, params);
  };
  for (const std::uint64_t capabilities : {1u, 2u, 3u}) {
    EXPECT_EQ(get(0, capabilities), code::kSuccess);
    EXPECT_EQ(params[0].a, 0u);
  }
  EXPECT_EQ(get(0, 0), code::kNotSupported);
  EXPECT_EQ(get(0, 4), code::kBadParameters);
  EXPECT_EQ(get(0, 7), code::kBadParameters);
  EXPECT_EQ(get(1, 2), code::kBadParameters);
  EXPECT_EQ(get(0xFFFFFFFF, 2), code::kBadParameters);
  params = Params(0x0001);
  EXPECT_EQ(get(0, 2), code::kBadParameters);
}

TEST_F(Scmi, AnswersMessagesWithAnMsgHeader) {
  TestMemory in(4);
  Set(in, 0, 0xABC00000 | kVersion);
  TestMemory out(128);
  std::uint64_t size = 128;
  ASSERT_EQ(Msg(in, out, size), code::kSuccess);
  EXPECT_EQ(size, 12u);
  EXPECT_EQ(Get(out, 0), 0xABC00000 | kVersion);  // the header, token and all
  EXPECT_EQ(Get(out, 4), 0u);
  EXPECT_EQ(Get(out, 8), 0x20000u);
}

// Linux passes one buffer for both.
TEST_F(Scmi, TheAnswerMayTakeTheMessagesPlace) {
  TestMemory both(128);
  Set(both, 0, kVersion | 2);
  Set(both, 4, 3);
  EntryParams params = Params(kMsgTypes);
  Give(params[1], both);
  params[1].size = 8;
  Give(params[2], both);
  ASSERT_EQ(Invoke(4, params), code::kSuccess);
  EXPECT_EQ(params[2].size, 12u);
  EXPECT_EQ(Get(both, 0), kVersion | 2);
  EXPECT_EQ(Get(both, 4), 0u);
  EXPECT_EQ(Get(both, 8), 0u);
}

TEST_F(Scmi, AnMsgBufferThatIsTooSmallOrTooLargeIsRefused) {
  TestMemory message(96);
  Set(message, 0, kVendor);
  const TestMemory out(128);
  std::uint64_t size = 128;
  EXPECT_EQ(Msg(message, out, size), code::kSuccess);  // a payload of 92, which is wrong
  EXPECT_EQ(size, 8u);
  EXPECT_EQ(Get(out, 4), 0xFFFFFFF6);
  for (const std::size_t bytes : {0u, 3u, 97u, 4096u}) {
    size = 128;
    EXPECT_EQ(Msg(TestMemory(bytes), out, size), code::kBadParameters) << bytes;
  }
  message.bytes.resize(4);
  for (const std::uint64_t room : {0u, 4u, 7u}) {
    size = room;
    EXPECT_EQ(Msg(message, out, size), code::kBadParameters) << room;
  }
  size = 23;  // one byte less than the answer
  EXPECT_EQ(Msg(message, out, size), code::kSuccess);
  EXPECT_EQ(size, 8u);
  EXPECT_EQ(Get(out, 4), 0xFFFFFFF6);
  size = 128;
  EXPECT_EQ(Msg(message, out, size, 1), code::kBadParameters);
}

TEST_F(Scmi, BuffersThatAreNotThereAreRefused) {
  const TestMemory message = Smt(kVersion);
  EntryParams params = Params(kMsgTypes);
  Give(params[2], message);
  params[1].size = 4;  // at NULL
  EXPECT_EQ(Invoke(4, params), code::kBadParameters);
  params = Params(kMsgTypes);
  Give(params[1], message);
  params[1].size = 4;
  params[2].size = 128;
  EXPECT_EQ(Invoke(4, params), code::kBadParameters);
  Give(params[2], message);
  params[1].offset = 1u << 20;
  EXPECT_EQ(Invoke(4, params), code::kBadParameters);
  params[1].offset = 0;
  params[2].offset = 1u << 20;
  EXPECT_EQ(Invoke(4, params), code::kAccessDenied);
  params = Params(kSmtTypes);
  params[1].size = 128;
  EXPECT_EQ(Invoke(2, params), code::kBadParameters);
  Give(params[1], message);
  params[1].offset = 64;
  EXPECT_EQ(Invoke(2, params), code::kBadParameters);
  params = Params(0x0051);  // memory that nothing may be written to
  Give(params[1], message);
  EXPECT_EQ(Invoke(2, params), code::kBadParameters);
}

TEST_F(Scmi, AnswersMessagesInAnSmtBuffer) {
  const TestMemory buffer = Smt(kVendor);
  Set(buffer, 0, 0x11111111);
  Set(buffer, 16, 0x22222222);
  ASSERT_EQ(Process(buffer), code::kSuccess);
  EXPECT_EQ(Get(buffer, 4), 1u);  // free
  EXPECT_EQ(Get(buffer, 20), 24u);
  EXPECT_EQ(Get(buffer, 24), kVendor);
  EXPECT_EQ(Get(buffer, 28), 0u);
  EXPECT_STREQ(reinterpret_cast<const char*>(buffer.bytes.data() + 32), "vtee");
  EXPECT_EQ(Get(buffer, 0), 0x11111111u);
  EXPECT_EQ(Get(buffer, 16), 0x22222222u);
}

TEST_F(Scmi, WrongMessagesInAnSmtBufferAreMarked) {
  for (const std::uint32_t length : {0u, 3u, 97u, 100u, 0x80000000u, 0xFFFFFFFFu}) {
    const TestMemory buffer = Smt(kVersion, length);
    EXPECT_EQ(Process(buffer), code::kSuccess) << length;
    EXPECT_EQ(Get(buffer, 4), 3u) << length;
    EXPECT_EQ(Get(buffer, 20), length);
  }
  for (const std::uint32_t status : {1u, 2u, 3u}) {
    const TestMemory buffer = Smt(kVersion);
    Set(buffer, 4, status);
    EXPECT_EQ(Process(buffer), code::kSuccess);
    EXPECT_EQ(Get(buffer, 4), 3u);
    EXPECT_EQ(Get(buffer, 20), 4u) << "not answered";
  }
  const TestMemory largest = Smt(kVersion, 96);
  EXPECT_EQ(Process(largest), code::kSuccess);
  EXPECT_EQ(Get(largest, 4), 1u);
  EXPECT_EQ(Get(largest, 28), 0xFFFFFFF6);
}

TEST_F(Scmi, AnSmtBufferHas128BytesAndAChannel) {
  TestMemory buffer = Smt(kVersion);
  EXPECT_EQ(Process(buffer, 1), code::kBadParameters);
  buffer.bytes.resize(127);
  EXPECT_EQ(Process(buffer), code::kBadParameters);
  EXPECT_EQ(Get(buffer, 4), 0u);
}

TEST_F(Scmi, HasNoBuffersAtFixedPlaces) {
  EntryParams params = Params(0x0001);
  EXPECT_EQ(Invoke(1, params), code::kNotSupported);
  params[0].a = 1;
  EXPECT_EQ(Invoke(1, params), code::kBadParameters);
  EXPECT_EQ(Invoke(1), code::kBadParameters);
  EXPECT_EQ(Invoke(5), code::kNotSupported);
}

TEST_F(Scmi, IsADeviceOfTheGuestsKernelAlone) {
  EntryParams none{};
  for (const tee::Login login : {tee::Login::kPublic, tee::Login::kUser}) {
    const ClientIdentity program{static_cast<std::uint32_t>(login), {}};
    EXPECT_EQ(
        core->OpenSession(call, call.cancellation, nullptr, program, kScmiPta, none, session).code,
        code::kAccessDenied);
  }
  Open(kDevicePta);
  const TestMemory memory(64);
  EntryParams params = Params(0x0006);
  Give(params[0], memory);
  ASSERT_EQ(Invoke(0, params), code::kSuccess);
  const auto octets = std::as_bytes(std::span(kScmiPta.octets));
  EXPECT_FALSE(std::ranges::search(memory.bytes, octets).empty());
}

}  // namespace
}  // namespace vtee::ta
