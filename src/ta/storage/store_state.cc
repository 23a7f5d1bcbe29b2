// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/store_state.h"

#include <algorithm>

namespace vtee::ta {
namespace {

SecretBytes KeyFrom(Digest digest) {
  SecretBytes key = Secret(digest);
  OPENSSL_cleanse(digest.data(), digest.size());
  return key;
}

}  // namespace

void StoreState::Add(const Digest& row) {
  unsigned int carry = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    carry += std::to_integer<unsigned int>(sum[i]) + std::to_integer<unsigned int>(row[i]);
    sum[i] = static_cast<std::byte>(carry & 0xFF);
    carry >>= 8;
  }
}

void StoreState::Subtract(const Digest& row) {
  // a - b is the complement of (the complement of a) + b.
  for (std::byte& byte : sum) byte = ~byte;
  Add(row);
  for (std::byte& byte : sum) byte = ~byte;
}

SecretBytes StoreState::Encode() const {
  return Encoder('S').U64(epoch).Bytes(sum).U64(next_object).U64(bytes).Bytes(predecessor).bytes();
}

bool StoreState::Decode(ConstBytes encoded) {
  Decoder decoder(encoded);
  decoder.Bytes(1);
  epoch = decoder.U64();
  const ConstBytes new_sum = decoder.Bytes(sum.size());
  next_object = decoder.U64();
  bytes = decoder.U64();
  const ConstBytes before = decoder.Bytes(predecessor.size());
  if (!decoder.ok() || !decoder.rest().empty()) return false;
  std::copy(new_sum.begin(), new_sum.end(), sum.begin());
  std::copy(before.begin(), before.end(), predecessor.begin());
  return true;
}

AnchorValue StoreState::Anchored(ConstBytes key) const { return {epoch, Hmac(key, Encode())}; }

StoreKeys::StoreKeys(ConstBytes root, const tee::Uuid& vm) {
  const ConstBytes salt = std::as_bytes(std::span(vm.octets));
  index = Hkdf(root, salt, "store index", kSealKeyBytes);
  row = Hkdf(root, salt, "store row", kSealKeyBytes);
  state = Hkdf(root, salt, "store state", kSealKeyBytes);
  data = Hkdf(root, salt, "store data", kSealKeyBytes);
  anchor = Hkdf(root, salt, "store anchor", kSealKeyBytes);
}

SecretBytes StoreKeys::DataKey(std::uint64_t object, std::uint64_t epoch) const {
  return KeyFrom(Hmac(data, Encoder('D').U64(object).U64(epoch).bytes()));
}

SecretBytes StoreKeys::StateKeyOf(std::uint64_t epoch) const {
  return KeyFrom(Hmac(state, Encoder('E').U64(epoch).bytes()));
}

}  // namespace vtee::ta
