// SPDX-License-Identifier: BSD-3-Clause
// Buffers of every kind and size that a guest may pass, hashed and enciphered by the host's TAs:
// what the TA sees are the guest's bytes in the guest's order, and nothing else is written.
#include <initializer_list>

#include "optee.h"
#include "sha256.h"
#include "text.h"

using namespace guest;         // NOLINT(google-build-using-namespace)
using namespace guest::optee;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint64_t kKib = 1024;
constexpr std::uint64_t kMib = 1024 * kKib;
constexpr std::uint64_t kGib = 1024 * kMib;
constexpr std::uint64_t kEntriesOfAList = 511;

// Pages in an order in which no two neighbours follow each other.
class Scattered {
 public:
  Scattered(std::uint64_t base, std::uint64_t pages) : base_(base), pages_(pages) {}
  std::uint64_t page(std::uint64_t i) const {
    const std::uint64_t half = (pages_ + 1) / 2;
    return base_ + (i % 2 == 0 ? half - 1 - i / 2 : pages_ - 1 - i / 2) * kPage;
  }
  std::uint64_t pages() const { return pages_; }
  std::uint8_t* at(std::uint64_t offset) const {
    return reinterpret_cast<std::uint8_t*>(page(offset / kPage) + offset % kPage);
  }

 private:
  std::uint64_t base_;
  std::uint64_t pages_;
};

void FillWords(const Scattered& pages, std::uint64_t seed) {
  Random random(seed);
  for (std::uint64_t i = 0; i < pages.pages(); ++i) {
    auto* words = reinterpret_cast<std::uint64_t*>(pages.page(i));
    for (unsigned k = 0; k < kPage / 8; ++k) words[k] = random.Next();
  }
}

void HashOf(const Scattered& pages, std::uint64_t offset, std::uint64_t size,
            std::uint8_t out[32]) {
  Sha256 sha;
  while (size > 0) {
    const std::uint64_t rest = kPage - offset % kPage;
    const std::uint64_t part = rest < size ? rest : size;
    sha.Update(pages.at(offset), part);
    offset += part;
    size -= part;
  }
  sha.Finish(out);
}

class Memory {
 public:
  Memory() : client_(7), result_(TakePages(1)) {
    opened_ = Check("TA opens", Open(client_, kCrypt, session_) == kSuccess, "no");
  }
  bool opened() const { return opened_; }
  Client& client() { return client_; }

  // The TA hashes a memory parameter.
  std::uint32_t Hash(std::uint64_t attribute, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    std::memset(result_, 0, kPage);
    message_.Begin(kInvoke, session_, kCryptSha256);
    message_.Add(attribute, a, b, c);
    message_.Add(kTemporaryOut, AddressOf(result_) + 64, 32);
    return client_.Do(message_);
  }
  // Whether the TA's hash is this one, with nothing written beside it.
  bool HashIs(const std::uint8_t expected[32]) const {
    for (unsigned i = 0; i < 160; ++i) {
      const std::uint8_t wanted = i >= 64 && i < 96 ? expected[i - 64] : 0;
      if (result_[i] != wanted) return false;
    }
    return true;
  }

  void CheckHash(const char* name, std::uint64_t attribute, std::uint64_t a, std::uint64_t b,
                 std::uint64_t c, const Scattered& pages, std::uint64_t offset) {
    std::uint8_t expected[32];
    HashOf(pages, offset, b, expected);
    const std::uint32_t result = Hash(attribute, a, b, c);
    Check(name, result == kSuccess && HashIs(expected), "%x, hash is %s, a0 %x", result,
          HashIs(expected) ? "right" : "wrong", client_.last());
  }
  void CheckRefused(const char* name, std::uint64_t attribute, std::uint64_t a, std::uint64_t b,
                    std::uint32_t wanted) {
    const std::uint32_t result = Hash(attribute, a, b, 0);
    Check(name, result == wanted && message_.header().origin == 3, "%x, origin %u", result,
          message_.header().origin);
  }
  std::uint32_t Encipher(std::uint32_t command, std::uint64_t from, std::uint64_t to,
                         std::uint64_t size) {
    message_.Begin(kInvoke, session_, command);
    message_.Add(kTemporaryIn | kPageList, from, size);
    message_.Add(kTemporaryOut | kPageList, to, size);
    return client_.Do(message_);
  }

 private:
  Client client_;
  std::uint8_t* result_;
  Message message_;
  std::uint32_t session_ = 0;
  bool opened_ = false;
};

std::uint64_t ListOf(const Scattered& pages) {
  return MakePageList(pages.pages(), [&](std::uint64_t i) { return pages.page(i); });
}

void CheckSmall(Memory& memory) {
  const Scattered pages(AddressOf(TakePages(4)), 4);
  FillWords(pages, 1);
  const std::uint64_t list = ListOf(pages);
  memory.CheckHash("1 byte, contiguous", kTemporaryIn, pages.page(0) + 17, 1, 0, pages, 17);
  memory.CheckHash("4 KiB, contiguous", kTemporaryIn, pages.page(0), kPage, 0, pages, 0);
  memory.CheckHash("1 byte, listed", kTemporaryIn | kPageList, list + 0xFFF, 1, 0, pages, 0xFFF);
  memory.CheckHash("2 bytes over two pages", kTemporaryIn | kPageList, list + 0xFFF, 2, 0, pages,
                   0xFFF);
  memory.CheckHash("odd size at an odd offset", kTemporaryIn | kPageList, list + 0xABC, 9001, 0,
                   pages, 0xABC);
}

void CheckContiguous(Memory& memory) {
  const std::uint64_t count = 2 * kMib / kPage + 1;
  std::uint8_t* data = TakePages(count);
  Random random(2);
  for (std::uint64_t i = 0; i < count * kPage; ++i)
    data[i] = static_cast<std::uint8_t>(random.Next());
  std::uint8_t expected[32];
  Sha256 sha;
  sha.Update(data + 5, 2 * kMib);
  sha.Finish(expected);
  const std::uint32_t result = memory.Hash(kTemporaryIn, AddressOf(data) + 5, 2 * kMib, 0);
  Check("2 MiB, contiguous, misaligned", result == kSuccess && memory.HashIs(expected), "%x",
        result);
}

// Around the ends of list pages, then what needs several of them.
void CheckLists(Memory& memory) {
  for (const std::uint64_t count : {kEntriesOfAList - 1, kEntriesOfAList, kEntriesOfAList + 1,
                                    2 * kEntriesOfAList, 2 * kEntriesOfAList + 1}) {
    std::uint8_t* next = NextPage();
    const Scattered pages(AddressOf(TakePages(count)), count);
    FillWords(pages, count);
    const std::uint64_t list = ListOf(pages);
    char name[] = "a list of 0000 entries";
    for (std::uint64_t value = count, digit = 13; value > 0; value /= 10, --digit) {
      name[digit] = static_cast<char>('0' + value % 10);
    }
    memory.CheckHash(name, kTemporaryIn | kPageList, list, count * kPage, 0, pages, 0);
    ReturnPages(next);
  }
}

void CheckRegistered(Memory& memory, const char* name, std::uint64_t size) {
  std::uint8_t* next = NextPage();
  const std::uint64_t cookie = 0xC0FFEE0000000000 + size;
  const Scattered pages(AddressOf(TakePages(size / kPage)), size / kPage);
  FillWords(pages, size);
  const std::uint32_t registered = Register(memory.client(), ListOf(pages), size, cookie);
  Check(name, registered == kSuccess, "register: %x", registered);
  memory.CheckHash(name, kRegisteredIn, 0, size, cookie, pages, 0);
  memory.CheckHash("the end of it", kRegisteredIn, size - 5000, 4999, cookie, pages, size - 5000);
  Check("beyond its end", memory.Hash(kRegisteredIn, size - 5000, 5001, cookie) == kSecurity, "no");
  Check("its offset overflows",
        memory.Hash(kRegisteredIn, ~std::uint64_t{0} - 4095, 8192, cookie) == kSecurity, "no");
  Check("given back", Unregister(memory.client(), cookie) == kSuccess, "no");
  Check("gone then", memory.Hash(kRegisteredIn, 0, 16, cookie) == kBadParameters, "no");
  ReturnPages(next);
}

// More than OP-TEE itself takes in one buffer (its own memory has room for the addresses of some
// 40 MiB of pages). The pages are not touched but where it is looked at.
void CheckHuge(Memory& memory, std::uint64_t size) {
  if (PagesLeft() * kPage < size + 16 * kMib) {
    Check("memory of the guest", false, "%lu MiB are left", PagesLeft() * kPage / kMib);
    return;
  }
  std::uint8_t* next = NextPage();
  const std::uint64_t cookie = 0x61B;
  ReturnPages(next + size);
  const Scattered pages(AddressOf(next), size / kPage);
  for (const std::uint64_t offset : {std::uint64_t{0}, size / 2, size - 2 * kPage}) {
    std::memset(pages.at(offset), 0x5A, kPage);
    std::memset(pages.at(offset + kPage), 0xA5, kPage);
  }
  const std::uint64_t list = ListOf(pages);
  const std::uint32_t registered = Register(memory.client(), list, size, cookie);
  Check("in scattered pages", registered == kSuccess, "%x", registered);
  memory.CheckHash("its beginning", kRegisteredIn, 0, 8000, cookie, pages, 0);
  memory.CheckHash("its middle", kRegisteredIn, size / 2 + 1, 8000, cookie, pages, size / 2 + 1);
  memory.CheckHash("its end", kRegisteredIn, size - 8000, 8000, cookie, pages, size - 8000);
  const std::uint32_t whole = memory.Hash(kRegisteredIn, 0, size, cookie);
  Check("all of it is too much for OP-TEE, and told so", whole == kOutOfMemory, "%x", whole);
  memory.CheckHash("the TEE goes on", kRegisteredIn, 0, 8000, cookie, pages, 0);
  Check("given back", Unregister(memory.client(), cookie) == kSuccess, "no");
  ReturnPages(next);
}

// What a TA writes comes where it belongs.
void CheckOutput(Memory& memory) {
  constexpr std::uint64_t kSize = 40 * kPage;
  const Scattered plain(AddressOf(TakePages(42)), 42);
  const Scattered cipher(AddressOf(TakePages(42)), 42);
  const Scattered again(AddressOf(TakePages(42)), 42);
  FillWords(plain, 3);
  FillWords(cipher, 4);
  FillWords(again, 5);
  const std::uint64_t offset = 0x230;
  const std::uint8_t before = *cipher.at(offset - 1);
  const std::uint8_t after = *cipher.at(offset + kSize);
  const std::uint32_t first =
      memory.Encipher(kCryptAesEncrypt, ListOf(plain) + offset, ListOf(cipher) + offset, kSize);
  const std::uint32_t second =
      memory.Encipher(kCryptAesEncrypt + 1, ListOf(cipher) + offset, ListOf(again) + offset, kSize);
  std::uint8_t hash[3][32];
  HashOf(plain, offset, kSize, hash[0]);
  HashOf(cipher, offset, kSize, hash[1]);
  HashOf(again, offset, kSize, hash[2]);
  Check("enciphered into scattered pages and back",
        first == kSuccess && second == kSuccess && std::memcmp(hash[0], hash[1], 32) != 0 &&
            std::memcmp(hash[0], hash[2], 32) == 0,
        "%x %x", first, second);
  Check("nothing beside the output is written",
        *cipher.at(offset - 1) == before && *cipher.at(offset + kSize) == after, "no");
}

void CheckNull(Memory& memory) {
  const std::uint8_t* nothing = nullptr;
  std::uint8_t expected[32];
  Sha256 sha;
  sha.Update(nothing, 0);
  sha.Finish(expected);
  Check("NULL temporary reference",
        memory.Hash(kTemporaryIn, 0, 0, 0) == kSuccess && memory.HashIs(expected), "no");
  Check("NULL registered reference",
        memory.Hash(kRegisteredIn, 0, 0, 0) == kSuccess && memory.HashIs(expected), "no");
}

// Addresses behind which there is no memory of the guest: as buffer, page of a list, list, page of
// a registered buffer, and message.
void CheckNoMemory(Memory& memory) {
  struct {
    const char* name;
    std::uint64_t address;
  } const kPlaces[] = {
      {"the interrupt controller", 0x08000000},
      {"the serial port", 0x09000000},
      {"virtio's registers", 0x0A000000},
      {"a hole", 0x30000000},
      {"behind the end of memory", TheMachine().ram + TheMachine().ram_size},
      {"far beyond", 0x0000100000000000},
      {"the end of all addresses", 0xFFFFFFFFFFFFF000},
  };
  NormalWorld world;
  for (const auto& place : kPlaces) {
    const std::uint64_t list = MakePageList(1, [&](std::uint64_t) { return place.address; });
    const std::uint32_t buffer = memory.Hash(kTemporaryIn, place.address, 64, 0);
    const std::uint32_t listed = memory.Hash(kTemporaryIn | kPageList, list, 64, 0);
    const std::uint32_t as_list = memory.Hash(kTemporaryIn | kPageList, place.address, 64, 0);
    const std::uint32_t registered = Register(memory.client(), list, kPage, 0xBAD);
    Message nowhere(reinterpret_cast<std::uint8_t*>(place.address));
    const std::uint32_t a0 = memory.client().Pass(nowhere, world);
    Check(place.name,
          buffer == kBadParameters && listed == kBadParameters && as_list == kBadParameters &&
              registered == kBadParameters && a0 == kBadAddress,
          "buffer %x, page %x, list %x, registered %x, message a0 %x", buffer, listed, as_list,
          registered, a0);
  }
  memory.CheckRefused("the end of memory and beyond", kTemporaryIn,
                      TheMachine().ram + TheMachine().ram_size - 16, 64, kBadParameters);
  memory.CheckRefused("an endless buffer", kTemporaryIn, TheMachine().ram, ~std::uint64_t{0},
                      kOutOfMemory);
}

// QEMU's flash: memory that the guest reads and cannot write. It is no shared file of the VMM's.
void CheckFlash(Memory& memory) {
  constexpr std::uint64_t kFlash = 0x1000;
  const Scattered pages(kFlash, 1);
  std::uint8_t expected[32];
  HashOf(pages, 0, 64, expected);
  const std::uint32_t input = memory.Hash(kTemporaryIn, kFlash, 64, 0);
  Check("flash as input is hashed or refused",
        input == kBadParameters || (input == kSuccess && memory.HashIs(expected)), "%x", input);
  const std::uint64_t flash_list = MakePageList(1, [](std::uint64_t) { return kFlash; });
  const std::uint64_t plain = MakePageList(1, [](std::uint64_t) { return TheMachine().ram; });
  const std::uint32_t output = memory.Encipher(kCryptAesEncrypt, plain, flash_list, 64);
  std::uint8_t now[32];
  HashOf(pages, 0, 64, now);
  Check("flash as output is refused, and stays",
        output != kSuccess && std::memcmp(now, expected, 32) == 0, "%x", output);
}

}  // namespace

void GuestMain() {
  Memory memory;
  if (!memory.opened()) return;
  CheckSmall(memory);
  CheckContiguous(memory);
  CheckLists(memory);
  CheckNull(memory);
  CheckOutput(memory);
  Chapter("2 MiB registered");
  CheckRegistered(memory, "hashed", 2 * kMib);
  Chapter("no memory");
  CheckNoMemory(memory);
  Chapter("flash");
  CheckFlash(memory);
  if (HasArgument("large")) {
    Chapter("8 MiB registered");
    CheckRegistered(memory, "hashed", 8 * kMib);
    Chapter("64 MiB registered");
    CheckHuge(memory, 64 * kMib);
    Chapter("1 GiB registered");
    CheckHuge(memory, kGib);
  }
}
