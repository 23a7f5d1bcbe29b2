// SPDX-License-Identifier: BSD-3-Clause
// RPCs: what the TEE asks of the guest during a call, and every way the guest can answer.
#include <gtest/gtest.h>

#include <functional>

#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

using backend::FakeCall;
using tee::UpcallParam;

constexpr tee::Uuid kAsker{{0xA5, 0x4E}};
constexpr tee::Outcome kFine{tee::code::kSuccess, tee::Origin::kTrustedApp};

std::vector<std::byte> Bytes(std::string_view text) {
  std::vector<std::byte> bytes;
  for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

// A TA that makes one upcall per invocation.
class RpcTest : public ::testing::Test {
 protected:
  RpcTest() {
    backend::FakeApplication asker;
    asker.name = "asker";
    asker.invoke = [this](FakeCall& call) {
      outcome_ = call.Upcall(upcall_);
      return kFine;
    };
    guest_.tee().SetApplication(kAsker, std::move(asker));
    session_ = guest_.Open(kAsker);
    AskForTime();
  }

  void AskForTime() {
    upcall_ = {};
    upcall_.kind = tee::UpcallKind::kGetTime;
    upcall_.params[0].kind = UpcallParam::Kind::kValueOut;
  }
  // Value, bytes in, bytes out: the shape of a file read.
  void AskForFile(std::size_t room) {
    upcall_ = {};
    upcall_.kind = tee::UpcallKind::kFileSystem;
    name_ = Bytes("/a/name/13");
    data_.assign(room, std::byte{0x5A});
    upcall_.params[0] = {UpcallParam::Kind::kValueIn, 3, 1, 0, {}, 0};
    upcall_.params[1] = {UpcallParam::Kind::kBytesIn, 0, 0, 0, name_, name_.size()};
    upcall_.params[2] = {UpcallParam::Kind::kBytesOut, 0, 0, 0, data_, data_.size()};
  }
  // The guest's end of AskForFile: checks the name and writes `content`.
  bool AnswerFile(TestRpc& rpc, std::string_view content) {
    if (rpc.header.cmd != static_cast<std::uint32_t>(tee::UpcallKind::kFileSystem)) return false;
    rpc.header.ret = tee::code::kSuccess;
    EXPECT_EQ(guest_.lent.size(), 1u);
    const auto& [cookie, lent] = *guest_.lent.begin();
    EXPECT_EQ(lent.type, rpc::kShmTypeApplication);
    EXPECT_EQ(rpc.header.num_params, 3u);
    for (const std::size_t i : {1u, 2u}) EXPECT_EQ(rpc.params[i].u[2], cookie);
    EXPECT_EQ(rpc.params[1].u[1], name_.size());
    EXPECT_EQ(guest_.ram().GetBytes(lent.pages, Offset(rpc.params[1], lent), name_.size()), name_);
    guest_.ram().PutBytes(lent.pages, Offset(rpc.params[2], lent), Bytes(content));
    rpc.params[2].u[1] = content.size();
    return true;
  }
  std::uint64_t Offset(const MsgParam& param, const TestGuest::Lent& lent) const {
    const std::uint64_t type = param.attr & attr::kTypeMask;
    if (guest_.contiguous_payloads) {
      EXPECT_GE(type, attr::kTmemIn);
      return param.u[0] - lent.pages[0];
    }
    EXPECT_LE(type, attr::kRmemInOut);
    return param.u[0];
  }

  TestMessage Ask() const { return InvokeMessage(session_, 0); }

  TestGuest guest_;
  std::uint32_t session_ = 0;
  tee::Upcall upcall_;
  tee::Outcome outcome_{0x4711, tee::Origin::kApi};
  std::vector<std::byte> name_;
  std::vector<std::byte> data_;
};

TEST_F(RpcTest, InlineRpcArgumentNeedsNoMemory) {
  TestCall call(guest_, Ask());
  EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kSuccess);
  EXPECT_EQ(upcall_.params[0].a, 1'700'000'000u);
  EXPECT_EQ(upcall_.params[0].b, 42u);
  EXPECT_EQ(call.returns, (std::map<std::uint64_t, int>{{5, 1}}));
}

TEST_F(RpcTest, WithoutInlineArgumentOneIsAllocatedAndFreed) {
  TestCall call(guest_, Ask(), smc::kCallWithArg);
  EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kSuccess);
  EXPECT_EQ(upcall_.params[0].a, 1'700'000'000u);
  EXPECT_EQ(call.returns, (std::map<std::uint64_t, int>{{0, 1}, {2, 1}, {5, 1}}));
  EXPECT_EQ(guest_.rpc_args_lent, 0);
}

TEST_F(RpcTest, TheAllocatedArgumentsCookieComesBack) {
  TestCall call(guest_, Ask(), smc::kCallWithArg);
  call.Start();
  auto reply = call.Wait();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->x[0], ret::kRpcAlloc);
  EXPECT_EQ(reply->x[1], MsgSize(kRpcParams));
  const std::uint64_t page = guest_.ram().Page();
  constexpr std::uint64_t kTop = 0xDEADBEEF'00000000;
  call.Return(kTop | page >> 32, kTop | (page & 0xFFFFFFFF), kTop | 0x1234, kTop | 0x5678);
  reply = call.Wait();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->x[0], ret::kRpcCommand);
  EXPECT_EQ(reply->x[1], 0x1234u);
  EXPECT_EQ(reply->x[2], 0x5678u);
  const auto header = guest_.ram().Get<MsgHeader>(page);
  EXPECT_EQ(header.cmd, rpc::kGetTime);
  EXPECT_EQ(header.ret, tee::code::kGeneric);
  EXPECT_EQ(header.num_params, 1u);
  call.Return(0, 0, 0xA4, 0xA5);  // without having answered
  reply = call.Wait();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->x[0], ret::kRpcFree);
  EXPECT_EQ(reply->x[1], 0x1234u);
  EXPECT_EQ(reply->x[2], 0x5678u);
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kGeneric);
}

struct PayloadCase {
  const char* name;
  bool contiguous;
  std::size_t room;
};

const PayloadCase kPayloads[] = {
    {"ScatteredSmall", false, 16},         {"ScatteredTwoPages", false, 5000},
    {"ScatteredManyPages", false, 100000}, {"ContiguousSmall", true, 16},
    {"ContiguousTwoPages", true, 5000},    {"ContiguousManyPages", true, 100000},
};

class PayloadTest : public RpcTest, public ::testing::WithParamInterface<PayloadCase> {};

TEST_P(PayloadTest, BytesTravelThroughLentMemory) {
  guest_.contiguous_payloads = GetParam().contiguous;
  AskForFile(GetParam().room);
  for (const std::uint32_t function : {smc::kCallWithRpcArg, smc::kCallWithArg}) {
    TestCall call(guest_, Ask(), function);
    call.on_rpc = [&](TestRpc& rpc) { return AnswerFile(rpc, "thirteen byte"); };
    EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
    EXPECT_EQ(outcome_.code, tee::code::kSuccess);
    EXPECT_EQ(upcall_.params[2].size, 13u);
    EXPECT_TRUE(std::equal(data_.begin(), data_.begin() + 13, Bytes("thirteen byte").begin()));
    EXPECT_EQ(data_[13], std::byte{0x5A});
    EXPECT_TRUE(guest_.lent.empty());
    EXPECT_EQ(guest_.rpc_args_lent, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, PayloadTest, ::testing::ValuesIn(kPayloads), RowName());

// A TA is loaded by asking for its size first.
TEST_F(RpcTest, ASizeQueryLendsNoMemory) {
  upcall_ = {};
  upcall_.kind = tee::UpcallKind::kLoadTa;
  upcall_.params[0] = {UpcallParam::Kind::kValueIn, 1, 2, 0, {}, 0};
  upcall_.params[1] = {UpcallParam::Kind::kBytesOut, 0, 0, 0, {}, 0};
  TestCall call(guest_, Ask());
  call.on_rpc = [&](TestRpc& rpc) {
    EXPECT_EQ(rpc.header.cmd, rpc::kLoadTa);
    EXPECT_EQ(rpc.params[1].attr, attr::kTmemOut);
    EXPECT_EQ(rpc.params[1].u[0], 0u);
    EXPECT_EQ(rpc.params[1].u[1], 0u);
    rpc.params[1].u[1] = 1 << 20;
    rpc.header.ret = tee::code::kShortBuffer;
    return true;
  };
  EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kShortBuffer);
  EXPECT_EQ(upcall_.params[1].size, 1u << 20);
  EXPECT_EQ(call.returns[5], 1);
}

TEST_F(RpcTest, AnUpcallForMoreThanAnybodyNeedsIsOutOfMemory) {
  AskForFile((64 << 20) + 1);
  EXPECT_EQ(guest_.Run(Ask()).code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kOutOfMemory);
}

// ---- what a guest can answer to ALLOC -------------------------------------------------------

struct AllocCase {
  const char* name;
  std::uint64_t address;
};

const AllocCase kBadAllocs[] = {
    {"Nothing", 0},
    {"Misaligned", 0x4000'0004},
    {"Hole", TestRam::kHole},
    {"RunsIntoAHole", TestRam::kSecondEnd - 8},
    {"ReadOnly", TestRam::kRom},
    {"NotShareable", TestRam::kUnshared},
    {"AllOnesAligned", 0xFFFFFFFF'FFFFFFF8},
    {"AllOnes", ~std::uint64_t{0}},
};

class BadAllocTest : public RpcTest, public ::testing::WithParamInterface<AllocCase> {};

TEST_P(BadAllocTest, EndsTheUpcallAndNotTheCall) {
  TestCall call(guest_, Ask(), smc::kCallWithArg);
  call.Start();
  auto reply = call.Wait();
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->x[0], ret::kRpcAlloc);
  call.Return(GetParam().address >> 32, GetParam().address & 0xFFFFFFFF, 1, 2);
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kCommunication);
  EXPECT_EQ(outcome_.origin, tee::Origin::kComms);
  EXPECT_EQ(call.returns[5], 0);  // no command was sent into the blue
}

INSTANTIATE_TEST_SUITE_P(Table, BadAllocTest, ::testing::ValuesIn(kBadAllocs), RowName());

// ---- what a guest can answer to SHM_ALLOC ---------------------------------------------------

struct ShmAllocCase {
  const char* name;
  std::function<void(TestRam&, TestRpc&)> answer;
  std::uint32_t code;
  int frees;  // the buffer is given back if one was named
};

MsgParam GoodList(TestRam& ram, std::uint64_t size) {
  return Memory(attr::kTmemOut | attr::kNonContiguous, ram.List(ram.Scattered(3)), size, 0x99);
}

const ShmAllocCase kBadShmAllocs[] = {
    {"SaysNo", [](TestRam&, TestRpc& rpc) { rpc.header.ret = tee::code::kOutOfMemory; },
     tee::code::kOutOfMemory, 0},
    {"DoesNotAnswer", [](TestRam&, TestRpc& rpc) { rpc.header.ret = tee::code::kGeneric; },
     tee::code::kGeneric, 0},
    {"SaysYesWithoutMemory", [](TestRam&, TestRpc&) {}, tee::code::kCommunication, 0},
    {"AttributeNone", [](TestRam&, TestRpc& rpc) { rpc.params[0] = {}; }, tee::code::kCommunication,
     0},
    {"AttributeInput",
     [](TestRam& ram, TestRpc& rpc) {
       rpc.params[0] = GoodList(ram, 5024);
       rpc.params[0].attr = attr::kTmemIn | attr::kNonContiguous;
     },
     tee::code::kCommunication, 0},
    {"AttributeRmem",
     [](TestRam& ram, TestRpc& rpc) {
       rpc.params[0] = GoodList(ram, 5024);
       rpc.params[0].attr = attr::kRmemOut;
     },
     tee::code::kCommunication, 0},
    {"AttributeAllOnes",
     [](TestRam& ram, TestRpc& rpc) {
       rpc.params[0] = GoodList(ram, 5024);
       rpc.params[0].attr = ~std::uint64_t{0};
     },
     tee::code::kCommunication, 0},
    {"ShortSize",
     [](TestRam& ram, TestRpc& rpc) { rpc.params[0] = GoodList(ram, rpc.params[0].u[1] - 1); },
     tee::code::kCommunication, 1},
    {"NoSize", [](TestRam& ram, TestRpc& rpc) { rpc.params[0] = GoodList(ram, 0); },
     tee::code::kCommunication, 1},
    {"ListInAHole",
     [](TestRam&, TestRpc& rpc) {
       rpc.params[0] = Memory(attr::kTmemOut | attr::kNonContiguous, TestRam::kHole, 1 << 20, 0x99);
     },
     tee::code::kCommunication, 1},
    {"EntryInAHole",
     [](TestRam& ram, TestRpc& rpc) {
       const std::vector<std::uint64_t> pages = {ram.Page(), TestRam::kHole};
       rpc.params[0] =
           Memory(attr::kTmemOut | attr::kNonContiguous, ram.List(pages), 1 << 20, 0x99);
     },
     tee::code::kCommunication, 1},
    {"EntryMisaligned",
     [](TestRam& ram, TestRpc& rpc) {
       const std::vector<std::uint64_t> pages = {ram.Page() + 4, ram.Page()};
       rpc.params[0] =
           Memory(attr::kTmemOut | attr::kNonContiguous, ram.List(pages), 1 << 20, 0x99);
     },
     tee::code::kCommunication, 1},
    {"ContiguousInAHole",
     [](TestRam&, TestRpc& rpc) {
       rpc.params[0] = Memory(attr::kTmemOut, TestRam::kHole, 1 << 20, 0x99);
     },
     tee::code::kCommunication, 1},
    {"ContiguousWraps",
     [](TestRam&, TestRpc& rpc) {
       rpc.params[0] = Memory(attr::kTmemOut, ~std::uint64_t{0} - 7, 1 << 20, 0x99);
     },
     tee::code::kCommunication, 1},
    {"ReadOnlyMemory",
     [](TestRam&, TestRpc& rpc) {
       rpc.params[0] = Memory(attr::kTmemOut, TestRam::kRom, 1 << 20, 0x99);
     },
     tee::code::kCommunication, 1},
};

class BadShmAllocTest : public RpcTest, public ::testing::WithParamInterface<ShmAllocCase> {};

TEST_P(BadShmAllocTest, EndsTheUpcallAndNotTheCall) {
  AskForFile(5000);
  TestCall call(guest_, Ask());
  int frees = 0;
  call.on_rpc = [&](TestRpc& rpc) {
    rpc.header.ret = tee::code::kSuccess;
    if (rpc.header.cmd == rpc::kShmAlloc) {
      EXPECT_EQ(rpc.params[0].attr, attr::kValueIn);
      GetParam().answer(guest_.ram(), rpc);
    } else if (rpc.header.cmd == rpc::kShmFree) {
      ++frees;
      EXPECT_EQ(rpc.params[0].u[1], 0x99u);
    } else {
      ADD_FAILURE() << "a command without memory for it";
    }
    return true;
  };
  EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, GetParam().code);
  EXPECT_EQ(outcome_.origin, tee::Origin::kComms);
  EXPECT_EQ(frees, GetParam().frees);
  // The same TA works the next time.
  TestCall again(guest_, Ask());
  again.on_rpc = [&](TestRpc& rpc) { return AnswerFile(rpc, "x"); };
  EXPECT_EQ(again.Run().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kSuccess);
}

INSTANTIATE_TEST_SUITE_P(Table, BadShmAllocTest, ::testing::ValuesIn(kBadShmAllocs), RowName());

// ---- what a guest can answer to a command ---------------------------------------------------

struct ReportedCase {
  const char* name;
  std::uint64_t size;
};

const ReportedCase kReported[] = {
    {"OneMore", 5001}, {"Huge", std::uint64_t{1} << 60}, {"AllOnes", ~std::uint64_t{0}}};

class ReportedSizeTest : public RpcTest, public ::testing::WithParamInterface<ReportedCase> {};

TEST_P(ReportedSizeTest, BeyondTheBufferIsTakenAsASizeOnly) {
  AskForFile(5000);
  TestCall call(guest_, Ask());
  call.on_rpc = [&](TestRpc& rpc) {
    const bool mine = AnswerFile(rpc, "abc");
    if (mine) rpc.params[2].u[1] = GetParam().size;
    return mine;
  };
  EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kSuccess);
  EXPECT_EQ(upcall_.params[2].size, GetParam().size);
  EXPECT_EQ(upcall_.params[2].bytes.size(), 5000u);
  EXPECT_EQ(data_[0], std::byte{'a'});
}

INSTANTIATE_TEST_SUITE_P(Table, ReportedSizeTest, ::testing::ValuesIn(kReported), RowName());

TEST_F(RpcTest, ARewrittenMessageChangesNothingButItsValues) {
  AskForFile(64);
  TestCall call(guest_, Ask());
  call.on_rpc = [&](TestRpc& rpc) {
    if (!AnswerFile(rpc, "abc")) return false;
    rpc.header.num_params = 0xFFFFFFFF;
    rpc.header.cmd = 0xFFFFFFFF;
    for (MsgParam& param : rpc.params) {
      param.attr = ~std::uint64_t{0};
      param.u[0] = ~std::uint64_t{0};
      param.u[2] = ~std::uint64_t{0};
    }
    guest_.ram().Put(call.rpc_at() + MsgSize(2), rpc.params[2]);
    return true;
  };
  EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kSuccess);
  EXPECT_EQ(upcall_.params[2].size, 3u);
  EXPECT_EQ(data_[0], std::byte{'a'});
  EXPECT_EQ(data_[2], std::byte{'c'});
}

TEST_F(RpcTest, TheGuestsErrorReachesTheTee) {
  TestCall call(guest_, Ask());
  call.on_rpc = [](TestRpc& rpc) {
    rpc.header.ret = tee::code::kItemNotFound;
    return true;
  };
  EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kItemNotFound);
}

TEST_F(RpcTest, MemoryThatVanishesDuringAnRpcEndsTheUpcall) {
  TestCall call(guest_, Ask(), smc::kCallWithArg);
  call.Start();
  auto reply = call.Wait();
  ASSERT_TRUE(reply);
  const std::uint64_t page = TestRam::kAreas[1].base;
  call.Return(page >> 32, page & 0xFFFFFFFF, 0, 7);
  reply = call.Wait();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->x[0], ret::kRpcCommand);
  guest_.ram().RemoveSlot(1);
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kCommunication);
}

// ---- guests that do not come back -----------------------------------------------------------

TEST_F(RpcTest, AGuestThatNeverAnswersIsForgottenAtReset) {
  for (const std::uint32_t function : {smc::kCallWithRpcArg, smc::kCallWithArg}) {
    TestCall call(guest_, Ask(), function);
    call.Start();
    ASSERT_TRUE(call.Wait());
    guest_.dialect().Reset();
    guest_.JoinThreads();
    EXPECT_EQ(outcome_.code, tee::code::kCommunication);
    call.Return();
    const auto late = call.Wait();
    ASSERT_TRUE(late);
    EXPECT_EQ(late->x[0], ret::kResume);
    EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
    session_ = guest_.Open(kAsker);
  }
}

TEST_F(RpcTest, ResumeOfACallThatDoesNotWaitIsRefused) {
  TestCall call(guest_, Ask());
  call.Start();
  ASSERT_TRUE(call.Wait());
  for (const std::uint64_t token : {1u, 15u, 16u, 17u, 255u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
    EXPECT_EQ(guest_.Smc0({smc::kReturnFromRpc, 0, 0, token}), ret::kResume) << token;
  }
  call.Answer(*call.port().WaitReply());
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
  for (const std::uint64_t token : {0u, 1u}) {
    EXPECT_EQ(guest_.Smc0({smc::kReturnFromRpc, 0, 0, token}), ret::kResume);
  }
}

TEST_F(RpcTest, TheTokensTopHalfMeansNothing) {
  TestCall call(guest_, Ask());
  call.Start();
  ASSERT_TRUE(call.Wait());
  mediator::SecureCall back;
  back.x = {0xFFFFFFFF'00000000 | smc::kReturnFromRpc, 0, 0, 0xDEADBEEF'00000000 | call.token()};
  guest_.dialect().Handle(back, call.port().NewRequest());
  const auto reply = call.Wait();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->x[0], ret::kOk);
}

TEST_F(RpcTest, AnotherVcpuMayBringTheAnswer) {
  TestCall call(guest_, Ask());
  call.Start();
  const auto reply = call.Wait();
  ASSERT_TRUE(reply);
  mediator::TestReplyPort other;
  call.UseVcpu(other);
  call.Answer(*reply);
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(outcome_.code, tee::code::kSuccess);
  EXPECT_EQ(other.protocol_errors(), 0);
}

}  // namespace
}  // namespace vtee::optee
