// SPDX-License-Identifier: BSD-3-Clause
// vtee_host_probe [device [xtest]]: shows that the host backend works on this machine's TEE.
//
// Opens the backend twice (zero copy, copying) and each time lists the TEE's devices through the
// device-enumeration pseudo TA, once to learn the size (NULL memref, short buffer) and once into
// scattered memfd pages with guard bytes around the output. That needs neither TA files nor
// tee-supplicant. "xtest" adds what needs both and OP-TEE's test TAs (optee_test): the SHA-256 of
// scattered pages, a panic, a cancelled wait, and leaving while a TA waits.
// Exit status 0: all as expected.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <future>
#include <string_view>
#include <thread>
#include <vector>

#include "backend/host/host_backend.h"
#include "backend/host/scattered_memfd.h"

namespace vtee::backend {
namespace {

using tee::Direction;
using tee::Param;

// optee_os lib/libutee/include/pta_device.h
constexpr tee::Uuid kEnumeration{{0x70, 0x11, 0xa6, 0x88, 0xdd, 0xde, 0x40, 0x53, 0xa5, 0xa9, 0x7b,
                                  0x3c, 0x4d, 0xdf, 0x13, 0xb8}};
// optee_test ta/include/ta_crypt.h, ta_os_test.h
constexpr tee::Uuid kCryptTa{{0xcb, 0x3e, 0x5b, 0xa0, 0xad, 0xf1, 0x11, 0xe0, 0x99, 0x8b, 0x00,
                              0x02, 0xa5, 0xd5, 0xc5, 0x1b}};
constexpr tee::Uuid kOsTestTa{{0x5b, 0x9e, 0x0e, 0x40, 0x26, 0x36, 0x11, 0xe1, 0xad, 0x9e, 0x00,
                               0x02, 0xa5, 0xd5, 0xc5, 0x1b}};
constexpr std::uint32_t kCryptSha256 = 2;
constexpr std::uint32_t kOsTestPanic = 6;
constexpr std::uint32_t kOsTestWait = 9;

// SHA-256 of the 20000 bytes (7 i + i / 251) mod 256.
constexpr std::uint64_t kHashedSize = 20000;
constexpr std::array<std::uint8_t, 32> kDigest{
    0xc3, 0x3e, 0x27, 0x1d, 0x1d, 0x90, 0xb8, 0xd5, 0x61, 0x5d, 0x10, 0x0e, 0xa4, 0xa9, 0x0d, 0x2f,
    0x83, 0xad, 0xf7, 0x2f, 0x08, 0x05, 0x93, 0x51, 0x42, 0xf1, 0x79, 0xb8, 0xc3, 0x83, 0x8a, 0x73};
constexpr std::byte kGuard{0xC7};

bool Fail(const char* what, const tee::Outcome& outcome) {
  std::printf("FAIL %s: code %08x origin %u\n", what, outcome.code,
              static_cast<unsigned>(outcome.origin));
  return false;
}

// Lists into the `size` bytes in the middle of shuffled pages.
bool ListInto(HostBackend& tee, tee::SessionId session, std::uint64_t size) {
  const std::uint64_t offset = 4096 - 16;  // with the 8 below: the first entry crosses a page
  const std::uint64_t whole = offset + size + 64;
  const std::size_t pages = static_cast<std::size_t>(whole / 4096 + 2);
  std::vector<std::size_t> order;
  for (std::size_t i = pages; i-- > 0;) order.push_back(2 * i);
  auto guest = ScatteredMemfd::Make(order, 8, whole);
  if (!guest.ok()) return std::printf("FAIL memfd: %s\n", guest.error().message.c_str()), false;
  std::vector<std::byte> bytes(static_cast<std::size_t>(whole), kGuard);
  if (!guest.value()->Write(0, bytes)) return false;
  auto memory = tee.RegisterMemory(guest.value());
  if (!memory.ok()) {
    return std::printf("FAIL register: %s\n", memory.error().message.c_str()), false;
  }
  tee::CallContext context{.upcalls = nullptr, .operation = tee::OperationId(2)};
  tee::Params params{};
  params[0] = Param{.kind = Param::Kind::kMemory, .direction = Direction::kOut};
  params[0].memory = memory.value().get();
  params[0].offset = offset;
  params[0].size = size;
  const tee::Outcome outcome = tee.Invoke(context, session, 0, params);
  if (!outcome.ok() || params[0].size != size) return Fail("enumeration", outcome);
  if (!guest.value()->Read(0, bytes)) return false;
  for (std::uint64_t i = 0; i < whole; ++i) {
    const bool inside = i >= offset && i < offset + size;
    if (!inside && bytes[i] != kGuard) return std::printf("FAIL guard byte %lu\n", i), false;
  }
  for (std::uint64_t at = 0; at + 16 <= size; at += 16) {
    tee::Uuid uuid;
    std::memcpy(uuid.octets.data(), bytes.data() + offset + at, 16);
    std::printf("  device %s\n", ToString(uuid).c_str());
  }
  return true;
}

bool Enumerate(HostBackend& tee) {
  tee::CallContext context{.upcalls = nullptr, .operation = tee::OperationId(1)};
  tee::Params params{};
  tee::SessionId session;
  tee::Outcome outcome =
      tee.OpenSession(context, {.application = kEnumeration, .client = {}}, params, session);
  if (!outcome.ok()) return Fail("open of the device enumeration", outcome);
  params[0] = Param{.kind = Param::Kind::kMemory, .direction = Direction::kOut};
  outcome = tee.Invoke(context, session, 0, params);
  const std::uint64_t size = params[0].size;
  bool good = true;
  if (outcome.code == tee::code::kShortBuffer) {
    good = ListInto(tee, session, size);
  } else if (!outcome.ok() || size != 0) {
    good = Fail("size of the device list", outcome);
  } else {
    std::printf("  no devices\n");
  }
  outcome = tee.CloseSession(context, session);
  return outcome.ok() ? good : Fail("close", outcome);
}

bool OpenTa(HostBackend& tee, const tee::Uuid& application, tee::SessionId& session) {
  tee::CallContext context{.upcalls = nullptr, .operation = tee::OperationId(3)};
  tee::Params params{};
  const tee::Outcome outcome =
      tee.OpenSession(context, {.application = application, .client = {}}, params, session);
  return outcome.ok() ? true : Fail("open of a test TA", outcome);
}

bool Hash(HostBackend& tee) {
  // Input and digest share one buffer, in scattered order; the digest crosses a page.
  const std::uint64_t digest_at = 5 * 4096 - 10;
  auto guest = ScatteredMemfd::Make({9, 2, 7, 0, 4, 11, 1}, 3, digest_at + kDigest.size());
  if (!guest.ok()) return std::printf("FAIL memfd: %s\n", guest.error().message.c_str()), false;
  std::vector<std::byte> bytes(kHashedSize);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(7 * i + i / 251);
  if (!guest.value()->Write(0, bytes)) return false;
  auto memory = tee.RegisterMemory(guest.value());
  if (!memory.ok()) {
    return std::printf("FAIL register: %s\n", memory.error().message.c_str()), false;
  }
  tee::SessionId session;
  if (!OpenTa(tee, kCryptTa, session)) return false;
  tee::CallContext context{.upcalls = nullptr, .operation = tee::OperationId(4)};
  tee::Params params{};
  for (Param& param : std::span(params).first(2)) {
    param.kind = Param::Kind::kMemory;
    param.memory = memory.value().get();
  }
  params[0].size = kHashedSize;
  params[1].direction = Direction::kOut;
  params[1].offset = digest_at;
  params[1].size = kDigest.size();
  const tee::Outcome outcome = tee.Invoke(context, session, kCryptSha256, params);
  tee.CloseSession(context, session);
  if (!outcome.ok()) return Fail("SHA-256", outcome);
  std::array<std::byte, kDigest.size()> digest{};
  if (!guest.value()->Read(digest_at, digest)) return false;
  const bool same = std::memcmp(digest.data(), kDigest.data(), digest.size()) == 0;
  std::printf("  SHA-256 of scattered pages: %s\n", same ? "right" : "WRONG");
  return same;
}

bool Panic(HostBackend& tee) {
  tee::SessionId session;
  if (!OpenTa(tee, kOsTestTa, session)) return false;
  tee::CallContext context{.upcalls = nullptr, .operation = tee::OperationId(5)};
  tee::Params params{};
  const tee::Outcome outcome = tee.Invoke(context, session, kOsTestPanic, params);
  tee.CloseSession(context, session);
  std::printf("  panic: code %08x origin %u\n", outcome.code,
              static_cast<unsigned>(outcome.origin));
  return outcome.code == tee::code::kTargetDead;
}

// A TA that waits two seconds, cancelled after a moment: by one request, or by leaving. OP-TEE
// looks for a cancellation when the wait is over, not sooner.
bool CancelledWait(HostBackend& tee, bool leave) {
  tee::SessionId session;
  if (!OpenTa(tee, kOsTestTa, session)) return false;
  const tee::OperationId operation(6);
  const auto start = std::chrono::steady_clock::now();
  auto call = std::async(std::launch::async, [&] {
    tee::CallContext context{.upcalls = nullptr, .operation = operation};
    tee::Params params{};
    params[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kIn, .a = 2'000};
    return tee.Invoke(context, session, kOsTestWait, params);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  if (leave) {
    tee.CancelAll();
  } else {
    tee.RequestCancel(session, operation);
  }
  const tee::Outcome outcome = call.get();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  std::printf("  wait cancelled by %s: code %08x after %ld ms\n", leave ? "leaving" : "request",
              outcome.code, static_cast<long>(took.count()));
  tee::CallContext context{};
  tee.CloseSession(context, session);
  return outcome.code == tee::code::kCancel;
}

bool Run(const HostBackendOptions& options, bool xtest) {
  auto opened = HostBackend::Open(options);
  if (!opened.ok()) return std::printf("FAIL %s\n", opened.error().message.c_str()), false;
  HostBackend& tee = *opened.value();
  const tee::BackendCapabilities& capabilities = tee.capabilities();
  std::printf("%s, %s, null memref %d, revision %u.%u\n", capabilities.description.c_str(),
              options.always_copy ? "copying" : "zero copy", capabilities.null_memref,
              capabilities.os_revision_major, capabilities.os_revision_minor);
  bool good = Enumerate(tee);
  if (xtest) {
    good &= Hash(tee);
    good &= Panic(tee);
    good &= CancelledWait(tee, /*leave=*/false);
    good &= CancelledWait(tee, /*leave=*/true);
  }
  if (tee.open_sessions() != 0 || tee.registered_memories() != 0) {
    std::printf("FAIL something is left: %zu sessions, %zu memories\n", tee.open_sessions(),
                tee.registered_memories());
    good = false;
  }
  return good;
}

}  // namespace
}  // namespace vtee::backend

int main(int argc, char** argv) {
  vtee::backend::HostBackendOptions options;
  if (argc > 1) options.device = argv[1];
  const bool xtest = argc > 2 && std::string_view(argv[2]) == "xtest";
  if (argc > 3 || (argc > 2 && !xtest)) {
    std::fprintf(stderr, "usage: vtee_host_probe [device [xtest]]\n");
    return 2;
  }
  bool good = vtee::backend::Run(options, xtest);
  options.always_copy = true;
  good &= vtee::backend::Run(options, xtest);
  std::puts(good ? "PROBE-OK" : "PROBE-FAILED");
  return good ? 0 : 1;
}
