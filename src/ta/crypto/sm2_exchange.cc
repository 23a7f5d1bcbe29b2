// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/sm2_exchange.h"

#include <openssl/obj_mac.h>

#include <optional>

#include "ta/crypto/big_number.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::size_t kBytes = 32;  // of a coordinate, and of an SM3 digest

using GroupPtr = std::unique_ptr<EC_GROUP, Deleter<EC_GROUP_free>>;
using PointPtr = std::unique_ptr<EC_POINT, Deleter<EC_POINT_clear_free>>;

SecretBytes Sm3(std::initializer_list<ConstBytes> parts) {
  const std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  SecretBytes digest(kBytes);
  bool ok = context && EVP_DigestInit_ex(context.get(), EVP_sm3(), nullptr) == 1;
  for (const ConstBytes part : parts) {
    ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  }
  if (!ok || EVP_DigestFinal_ex(context.get(), Out(digest), nullptr) != 1) throw std::bad_alloc();
  return digest;
}

// A point as coordinates of full length.
struct Coordinates {
  SecretBytes x;
  SecretBytes y;
  Coordinates(ConstBytes from_x, ConstBytes from_y)
      : x(FromNumberPadded(ToNumber(from_x).get(), kBytes)),
        y(FromNumberPadded(ToNumber(from_y).get(), kBytes)) {}
  bool valid() const { return x.size() == kBytes && y.size() == kBytes; }
};

struct ExchangeParams {
  bool initiator = false;
  ConstBytes peer_x, peer_y, ephemeral_x, ephemeral_y;
  ConstBytes initiator_id, responder_id;
  ConstBytes check;
  bool confirm = false;
  std::uint32_t found = 0;

  bool Take(Attributes params) {
    constexpr std::uint32_t kAll = 0x7F;
    for (const Attribute& param : params) {
      switch (param.id) {
        case 0xF0000646:
          initiator = param.a == 0;
          found |= 0x01;
          break;
        case attr::kEccX:
          peer_x = param.bytes;
          found |= 0x02;
          break;
        case attr::kEccY:
          peer_y = param.bytes;
          found |= 0x04;
          break;
        case 0xD0000146:  // GlobalPlatform's number and OP-TEE's
        case 0xD0000946:
          ephemeral_x = param.bytes;
          found |= 0x08;
          break;
        case 0xD0000246:
        case 0xD0000A46:
          ephemeral_y = param.bytes;
          found |= 0x10;
          break;
        case 0xD0000446:
          initiator_id = param.bytes;
          found |= 0x20;
          break;
        case 0xD0000546:
          responder_id = param.bytes;
          found |= 0x40;
          break;
        case 0xD0000746:
          check = param.bytes;
          if (check.size() < kBytes) return false;
          break;
        case 0xD0000846:
          confirm = true;
          if (param.bytes.size() < kBytes) return false;
          break;
        default:
          return false;
      }
    }
    constexpr std::size_t kMostId = 0xFFFF / 8;
    return found == kAll && initiator_id.size() <= kMostId && responder_id.size() <= kMostId;
  }
};

class Exchange {
 public:
  Exchange() : group_(EC_GROUP_new_by_curve_name(NID_sm2)) {
    if (!group_) throw std::bad_alloc();
  }

  // The digest of an identity and its public key.
  SecretBytes Identity(ConstBytes id, const Coordinates& key) {
    const BnPtr p = NewNumber();
    const BnPtr a = NewNumber();
    const BnPtr b = NewNumber();
    const BnPtr x = NewNumber();
    const BnPtr y = NewNumber();
    if (EC_GROUP_get_curve(group_.get(), p.get(), a.get(), b.get(), context_.get()) != 1 ||
        EC_POINT_get_affine_coordinates(group_.get(), EC_GROUP_get0_generator(group_.get()),
                                        x.get(), y.get(), context_.get()) != 1) {
      throw std::bad_alloc();
    }
    const std::size_t bits = id.size() * 8;
    const std::byte length[] = {static_cast<std::byte>(bits >> 8), static_cast<std::byte>(bits)};
    return Sm3({length, id, FromNumberPadded(a.get(), kBytes), FromNumberPadded(b.get(), kBytes),
                FromNumberPadded(x.get(), kBytes), FromNumberPadded(y.get(), kBytes), key.x,
                key.y});
  }

  // [t] (P + [x2'] R) with t = d + x1' r; nothing: no points, or infinity.
  std::optional<Coordinates> Shared(const CryptoObject& key, const CryptoObject& ephemeral,
                                    const Coordinates& own, const Coordinates& peer,
                                    const Coordinates& peer_ephemeral) {
    const PointPtr p = Point(peer);
    const PointPtr r = Point(peer_ephemeral);
    const PointPtr u(EC_POINT_new(group_.get()));
    if (!p || !r || !u) return std::nullopt;
    const BIGNUM* order = EC_GROUP_get0_order(group_.get());
    const BnPtr t = NewNumber();
    const BnPtr x = NewNumber();
    const BnPtr y = NewNumber();
    const bool ok =
        BN_mod_mul(t.get(), Half(own.x).get(), ToNumber(ephemeral.Bytes(attr::kEccPrivate)).get(),
                   order, context_.get()) == 1 &&
        BN_mod_add(t.get(), t.get(), ToNumber(key.Bytes(attr::kEccPrivate)).get(), order,
                   context_.get()) == 1 &&
        EC_POINT_mul(group_.get(), u.get(), nullptr, r.get(), Half(peer_ephemeral.x).get(),
                     context_.get()) == 1 &&
        EC_POINT_add(group_.get(), u.get(), u.get(), p.get(), context_.get()) == 1 &&
        EC_POINT_mul(group_.get(), u.get(), nullptr, u.get(), t.get(), context_.get()) == 1 &&
        EC_POINT_is_at_infinity(group_.get(), u.get()) == 0 &&
        EC_POINT_get_affine_coordinates(group_.get(), u.get(), x.get(), y.get(), context_.get()) ==
            1;
    if (!ok) return std::nullopt;
    return Coordinates(FromNumber(x.get()), FromNumber(y.get()));
  }

 private:
  // 2^127 + the lower 127 bits.
  static BnPtr Half(ConstBytes x) {
    SecretBytes half = Secret(x.subspan(kBytes / 2));
    half[0] |= std::byte{0x80};
    return ToNumber(half);
  }
  // Null: not on the curve.
  PointPtr Point(const Coordinates& from) {
    PointPtr point(EC_POINT_new(group_.get()));
    if (!point || EC_POINT_set_affine_coordinates(group_.get(), point.get(), ToNumber(from.x).get(),
                                                  ToNumber(from.y).get(), context_.get()) != 1) {
      return nullptr;
    }
    return point;
  }
  GroupPtr group_;
  BnContextPtr context_ = NewNumberContext();
};

SecretBytes Stretch(std::initializer_list<ConstBytes> seed, std::size_t size) {
  SecretBytes whole;
  for (const ConstBytes part : seed) whole.insert(whole.end(), part.begin(), part.end());
  SecretBytes out;
  for (std::uint32_t i = 1; out.size() < size; ++i) {
    const std::uint32_t counter = __builtin_bswap32(i);
    const SecretBytes block = Sm3({whole, std::as_bytes(std::span(&counter, 1))});
    out.insert(out.end(), block.begin(), block.end());
  }
  out.resize(size);
  return out;
}

}  // namespace

std::uint32_t Sm2Exchange(const CryptoObject& key, const CryptoObject& ephemeral, Attributes params,
                          std::size_t size, SecretBytes& secret, SecretBytes& confirmation) {
  ExchangeParams with;
  if (!with.Take(params) || !key.Has(attr::kEccPrivate) || !ephemeral.Has(attr::kEccPrivate)) {
    return code::kBadParameters;
  }
  const Coordinates own(key.Bytes(attr::kEccX), key.Bytes(attr::kEccY));
  const Coordinates own_ephemeral(ephemeral.Bytes(attr::kEccX), ephemeral.Bytes(attr::kEccY));
  const Coordinates peer(with.peer_x, with.peer_y);
  const Coordinates peer_ephemeral(with.ephemeral_x, with.ephemeral_y);
  if (!own.valid() || !own_ephemeral.valid() || !peer.valid() || !peer_ephemeral.valid()) {
    return code::kBadParameters;
  }
  Exchange exchange;
  const auto shared = exchange.Shared(key, ephemeral, own_ephemeral, peer, peer_ephemeral);
  if (!shared) return code::kBadState;
  const SecretBytes a = exchange.Identity(with.initiator_id, with.initiator ? own : peer);
  const SecretBytes b = exchange.Identity(with.responder_id, with.initiator ? peer : own);
  const Coordinates& first = with.initiator ? own_ephemeral : peer_ephemeral;
  const Coordinates& second = with.initiator ? peer_ephemeral : own_ephemeral;
  const SecretBytes inner = Sm3({shared->x, a, b, first.x, first.y, second.x, second.y});
  const auto check = [&](std::byte flag) { return Sm3({ConstBytes(&flag, 1), shared->y, inner}); };
  constexpr std::byte kOfResponder{2};
  constexpr std::byte kOfInitiator{3};
  if (!with.check.empty()) {
    const SecretBytes expected = check(with.initiator ? kOfResponder : kOfInitiator);
    if (CRYPTO_memcmp(expected.data(), with.check.data(), kBytes) != 0) return code::kBadState;
  }
  if (with.confirm) confirmation = check(with.initiator ? kOfInitiator : kOfResponder);
  secret = Stretch({shared->x, shared->y, a, b}, size);
  return code::kSuccess;
}

}  // namespace vtee::ta
