// SPDX-License-Identifier: BSD-3-Clause
// What drivers in a guest's kernel ask of the userspace TEE, by the login that only they have: the
// list of devices, the clock, SCMI, and trusted keys (OP-TEE's TA, from a folder of the host).
//
//     (no word)            makes a trusted key, prints it and its blob, sets the clock
//     key=HEX blob=HEX     the same VM later: the blob gives the key back, the clock goes on
//     blob=HEX foreign     another VM: it gets nothing
#include "optee.h"
#include "text.h"

using namespace guest;         // NOLINT(google-build-using-namespace)
using namespace guest::optee;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint32_t kLoginKernel = 0x80000000;
constexpr std::uint32_t kNotSupported = 0xFFFF000A;

constexpr Uuid kRng{0xab7a617c, 0xb8e7, 0x4d8f, {0x83, 0x01, 0xd0, 0x9b, 0x61, 0x03, 0x6b, 0x64}};
constexpr Uuid kRtc{0xf389f8c8, 0x845f, 0x496c, {0x8b, 0xbe, 0xd6, 0x4b, 0xd2, 0x4c, 0x92, 0xfd}};
constexpr Uuid kScmi{0xa8cfe406, 0xd4f5, 0x4a2e, {0x9f, 0x8d, 0xa2, 0x5d, 0xc7, 0x54, 0xc0, 0x99}};
constexpr Uuid kTrustedKeys{
    0xf04a0fe7, 0x1f5d, 0x4b9b, {0xab, 0xf7, 0x61, 0x9b, 0x85, 0xb4, 0xce, 0x8c}};

constexpr std::uint64_t kKeySize = 16;
constexpr std::uint64_t kBlobSize = kKeySize + 33;  // a byte, an IV, a tag
constexpr std::uint64_t kMostBlob = 512;            // what Linux has room for

struct RtcTime {
  std::uint32_t second, minute, hour, day, month, year, weekday;
};

std::uint32_t OpenAsKernel(Client& client, const Uuid& uuid, std::uint32_t& session) {
  Message message;
  BeginOpen(message, uuid);
  message.parameter(1).c = kLoginKernel;
  const std::uint32_t result = client.Do(message);
  session = message.header().session;
  return result;
}

// Opens for the kernel alone.
std::uint32_t OpenChecked(Client& client, const char* name, const Uuid& uuid) {
  std::uint32_t session = 0;
  Check("a program is refused", Open(client, uuid, session) == kAccessDenied, "%s", name);
  const std::uint32_t opened = OpenAsKernel(client, uuid, session);
  Check("the kernel may open", opened == kSuccess, "%s: %x", name, opened);
  return session;
}

// ---- the list of devices ----
bool IsListed(const std::uint8_t* list, std::uint64_t size, const Uuid& uuid) {
  Message message;
  BeginOpen(message, uuid);  // has the UUID's octets in the first two values
  for (std::uint64_t at = 0; at + 16 <= size; at += 16) {
    if (std::memcmp(list + at, &message.parameter(0).a, 16) == 0) return true;
  }
  return false;
}

void CheckDevices(Client& client) {
  std::uint32_t session = 0;
  Open(client, kEnumeration, session);
  std::uint8_t* list = TakePages(1);
  Message message;
  message.Begin(kInvoke, session, 0);
  message.Add(kTemporaryOut, AddressOf(list), kPage);
  const std::uint32_t result = client.Do(message);
  const std::uint64_t size = message.parameter(0).b;
  Check("the devices are listed", result == kSuccess, "%x", result);
  Check("random numbers are one", IsListed(list, size, kRng), "of %lu bytes", size);
  Check("the clock is one", IsListed(list, size, kRtc), "of %lu bytes", size);
  Check("SCMI is one", IsListed(list, size, kScmi), "of %lu bytes", size);
  Check("trusted keys are one", IsListed(list, size, kTrustedKeys), "of %lu bytes", size);
  Close(client, session);
}

// ---- the clock ----
void CheckClock(Client& client, bool first) {
  const std::uint32_t session = OpenChecked(client, "clock", kRtc);
  auto* time = reinterpret_cast<RtcTime*>(TakePages(1));
  Message message;
  const auto get = [&] {
    message.Begin(kInvoke, session, 1);
    message.Add(kTemporaryOut, AddressOf(time), sizeof *time);
    return client.Do(message);
  };
  const std::uint32_t told = get();
  if (first) {
    Check("the clock tells a time", told == kSuccess && time->year >= 2024 && time->year < 2090,
          "%x, year %u", told, time->year);
    *time = RtcTime{1, 2, 3, 28, 1, 2091, 0};
    message.Begin(kInvoke, session, 2);
    message.Add(kTemporaryIn, AddressOf(time), sizeof *time);
    const std::uint32_t set = client.Do(message);
    Check("the clock is set", set == kSuccess, "%x", set);
    get();
  }
  Check("it goes on from what was set", time->year == 2091 && time->month == 1 && time->day == 28,
        "%u-%u-%u", time->year, time->month, time->day);
  Close(client, session);
}

// ---- SCMI ----
constexpr std::uint32_t kBaseVersion = 0x10u << 10;
constexpr std::uint32_t kBaseVendor = kBaseVersion | 3;

bool IsVendor(const std::uint32_t* answer) {
  return answer[0] == 0 && std::memcmp(answer + 1, "vtee", 5) == 0;
}

void CheckScmi(Client& client) {
  const std::uint32_t session = OpenChecked(client, "SCMI", kScmi);
  Message message;
  message.Begin(kInvoke, session, 0);
  message.Add(kValueOut);
  const std::uint32_t asked = client.Do(message);
  Check("SCMI has MSG and SMT headers", asked == kSuccess && message.parameter(0).a == 3, "%x, %lx",
        asked, message.parameter(0).a);
  message.Begin(kInvoke, session, 3);
  message.Add(kValueInOut, 0, 2);
  const std::uint32_t channel = client.Do(message);
  Check("channel 0 is there", channel == kSuccess && message.parameter(0).a == 0, "%x", channel);

  // Linux' way: the answer goes where the message was.
  auto* words = reinterpret_cast<std::uint32_t*>(TakePages(1));
  words[0] = kBaseVersion;
  message.Begin(kInvoke, session, 4);
  message.Add(kValueIn, 0).Add(kTemporaryIn, AddressOf(words), 4);
  message.Add(kTemporaryOut, AddressOf(words), 128);
  std::uint32_t result = client.Do(message);
  Check("an MSG message gets the base protocol's version",
        result == kSuccess && message.parameter(2).b == 12 && words[0] == kBaseVersion &&
            words[1] == 0 && words[2] == 0x20000,
        "%x, %lu bytes, %x %x %x", result, message.parameter(2).b, words[0], words[1], words[2]);
  std::memset(words, 0, 128);
  words[5] = 4;
  words[6] = kBaseVendor;
  message.Begin(kInvoke, session, 2);
  message.Add(kValueIn, 0).Add(kTemporaryInOut, AddressOf(words), 128);
  result = client.Do(message);
  Check("an SMT message gets the vendor",
        result == kSuccess && words[1] == 1 && words[5] == 24 && IsVendor(words + 7),
        "%x, status %x, length %u", result, words[1], words[5]);
  message.Begin(kInvoke, session, 1);
  message.Add(kValueIn, 0);
  result = client.Do(message);
  Check("there are no buffers at fixed places", result == kNotSupported, "%x", result);
  Close(client, session);
}

// ---- trusted keys ----
// The octets behind `name=` on the command line; how many.
std::uint64_t HexArgument(const char* name, std::uint8_t* out, std::uint64_t most) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  const char* at = TheMachine().arguments;
  for (; *at != 0 && !StartsWith(at, name); ++at) {
  }
  if (*at == 0) return 0;
  at += std::strlen(name);
  std::uint64_t count = 0;
  for (; count < most && digit(at[0]) >= 0 && digit(at[1]) >= 0; at += 2) {
    out[count++] = static_cast<std::uint8_t>(digit(at[0]) * 16 + digit(at[1]));
  }
  return count;
}

void PrintHex(const char* name, const std::uint8_t* bytes, std::uint64_t count) {
  Print("%s=", name);
  for (std::uint64_t i = 0; i < count; ++i) Print("%02x", bytes[i]);
  Print("\n");
}

class TrustedKeys {
 public:
  TrustedKeys(Client& client, std::uint32_t session) : client_(client), session_(session) {}

  std::uint32_t MakeRandom(std::uint8_t* out) {
    message_.Begin(kInvoke, session_, 0);
    message_.Add(kTemporaryOut, AddressOf(out), kKeySize);
    return client_.Do(message_);
  }
  std::uint32_t Seal(const std::uint8_t* key, std::uint8_t* blob, std::uint64_t& size) {
    return Convert(1, key, kKeySize, blob, kMostBlob, size);
  }
  std::uint32_t Unseal(const std::uint8_t* blob, std::uint8_t* key, std::uint64_t& size) {
    return Convert(2, blob, kBlobSize, key, 129, size);  // Linux' room for a key
  }

 private:
  std::uint32_t Convert(std::uint32_t command, const std::uint8_t* in, std::uint64_t in_size,
                        std::uint8_t* out, std::uint64_t room, std::uint64_t& size) {
    message_.Begin(kInvoke, session_, command);
    message_.Add(kTemporaryIn, AddressOf(in), in_size);
    message_.Add(kTemporaryOut, AddressOf(out), room);
    const std::uint32_t result = client_.Do(message_);
    size = message_.parameter(1).b;
    return result;
  }

  Client& client_;
  std::uint32_t session_;
  Message message_;
};

void MakeKey(TrustedKeys& keys, std::uint8_t* key, std::uint8_t* blob, std::uint8_t* back) {
  const std::uint32_t random = keys.MakeRandom(key);
  static const std::uint8_t kZeros[kKeySize] = {};
  Check("a key is made", random == kSuccess && std::memcmp(key, kZeros, kKeySize) != 0, "%x",
        random);
  std::uint64_t size = 0;
  const std::uint32_t sealed = keys.Seal(key, blob, size);
  Check("it is sealed", sealed == kSuccess && size == kBlobSize, "%x, %lu bytes", sealed, size);
  const std::uint32_t opened = keys.Unseal(blob, back, size);
  Check("its blob gives it back",
        opened == kSuccess && size == kKeySize && std::memcmp(key, back, kKeySize) == 0,
        "%x, %lu bytes", opened, size);
  PrintHex("key", key, kKeySize);
  PrintHex("blob", blob, kBlobSize);
  blob[kBlobSize - 1] ^= 1;
  const std::uint32_t changed = keys.Unseal(blob, back, size);
  Check("a changed blob is refused", changed == kSecurity, "%x", changed);
}

void CheckTrustedKeys(Client& client, bool first) {
  const std::uint32_t session = OpenChecked(client, "trusted keys", kTrustedKeys);
  TrustedKeys keys(client, session);
  std::uint8_t* key = TakePages(1);
  std::uint8_t* blob = TakePages(1);
  std::uint8_t* back = TakePages(1);
  if (first) {
    MakeKey(keys, key, blob, back);
  } else {
    const std::uint64_t count = HexArgument("blob=", blob, kMostBlob);
    Check("the blob is on the command line", count == kBlobSize, "%lu bytes", count);
    std::uint64_t size = 0;
    const std::uint32_t opened = keys.Unseal(blob, back, size);
    if (HasArgument("foreign")) {
      Check("another VM's blob is refused", opened == kSecurity, "%x", opened);
    } else {
      const std::uint64_t known = HexArgument("key=", key, kKeySize);
      Check("the blob of before gives the key back",
            opened == kSuccess && size == kKeySize && known == kKeySize &&
                std::memcmp(key, back, kKeySize) == 0,
            "%x, %lu bytes", opened, size);
    }
  }
  Close(client, session);
}

}  // namespace

void GuestMain() {
  Client client(45);
  const bool foreign = HasArgument("foreign");
  std::uint8_t some = 0;
  const bool first = HexArgument("blob=", &some, 1) == 0;
  // The list before anything else, as Linux does.
  CheckDevices(client);
  if (!foreign) CheckClock(client, first);
  CheckScmi(client);
  CheckTrustedKeys(client, first);
}
