// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/key_generation.h"

#include <openssl/err.h>
#include <openssl/rand.h>

#include "ta/crypto/big_number.h"
#include "ta/crypto/curves.h"
#include "ta/crypto/montgomery.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

std::uint32_t GenerateSecret(CryptoObject& object, std::uint32_t bits) {
  std::uint32_t with_parity = bits;
  if (IsLegacyDesSize(object.type(), bits)) with_parity += bits / 7;
  SecretBytes key(with_parity / 8);
  if (RAND_priv_bytes(Out(key), static_cast<int>(key.size())) != 1) return code::kGeneric;
  object.SetSecret(key);
  return code::kSuccess;
}

// NIST SP 800-56B: odd, 65537 or more, below 2^256.
bool IsGoodExponent(const BIGNUM* e) {
  const int bits = BN_num_bits(e);
  return BN_is_odd(e) && bits <= 256 && (bits > 17 || BN_get_word(e) >= 65537);
}

// OpenSSL makes keys of 512 bits and more only: this makes all, in its way.
class RsaGenerator {
 public:
  RsaGenerator(std::uint32_t bits, BnPtr e) : bits_(bits), e_(std::move(e)) {}

  bool Run(CryptoObject& object) {
    constexpr int kTries = 1000;
    for (int i = 0; i < kTries; ++i) {
      if (!Prime(p_.get(), static_cast<int>((bits_ + 1) / 2)) ||
          !Prime(q_.get(), static_cast<int>(bits_ / 2))) {
        return false;
      }
      if (BN_cmp(p_.get(), q_.get()) == 0) continue;
      if (BN_cmp(p_.get(), q_.get()) < 0) std::swap(p_, q_);
      if (BN_mul(n_.get(), p_.get(), q_.get(), context_.get()) != 1) return false;
      if (BN_num_bits(n_.get()) != static_cast<int>(bits_)) continue;
      return Finish(object);
    }
    return false;
  }

 private:
  // A prime whose predecessor has no factor in common with e.
  bool Prime(BIGNUM* prime, int bits) {
    const BnPtr one_less = NewNumber();
    const BnPtr factor = NewNumber();
    for (;;) {
      if (BN_generate_prime_ex2(prime, bits, 0, nullptr, nullptr, nullptr, context_.get()) != 1) {
        return false;
      }
      // Both factors with their two top bits set make a modulus of full length more often.
      if (bits > 2 && BN_is_bit_set(prime, bits - 2) == 0) continue;
      if (BN_sub(one_less.get(), prime, BN_value_one()) != 1 ||
          BN_gcd(factor.get(), one_less.get(), e_.get(), context_.get()) != 1) {
        return false;
      }
      if (BN_is_one(factor.get())) return true;
    }
  }

  bool Finish(CryptoObject& object) {
    const BnPtr p1 = NewNumber();
    const BnPtr q1 = NewNumber();
    const BnPtr phi = NewNumber();
    const BnPtr d = NewNumber();
    const BnPtr dp = NewNumber();
    const BnPtr dq = NewNumber();
    const BnPtr qp = NewNumber();
    // OpenSSL then inverts and divides without looking at them.
    for (BIGNUM* secret : {p_.get(), q_.get(), p1.get(), q1.get(), phi.get(), d.get()}) {
      BN_set_flags(secret, BN_FLG_CONSTTIME);
    }
    const bool ok = BN_sub(p1.get(), p_.get(), BN_value_one()) == 1 &&
                    BN_sub(q1.get(), q_.get(), BN_value_one()) == 1 &&
                    BN_mul(phi.get(), p1.get(), q1.get(), context_.get()) == 1 &&
                    BN_mod_inverse(d.get(), e_.get(), phi.get(), context_.get()) != nullptr &&
                    BN_mod(dp.get(), d.get(), p1.get(), context_.get()) == 1 &&
                    BN_mod(dq.get(), d.get(), q1.get(), context_.get()) == 1 &&
                    BN_mod_inverse(qp.get(), q_.get(), p_.get(), context_.get()) != nullptr;
    if (!ok) return false;
    object.SetBytes(attr::kRsaModulus, FromNumber(n_.get()));
    object.SetBytes(attr::kRsaPublicExponent, FromNumber(e_.get()));
    object.SetBytes(attr::kRsaPrivateExponent, FromNumber(d.get()));
    object.SetBytes(attr::kRsaPrime1, FromNumber(p_.get()));
    object.SetBytes(attr::kRsaPrime2, FromNumber(q_.get()));
    object.SetBytes(attr::kRsaExponent1, FromNumber(dp.get()));
    object.SetBytes(attr::kRsaExponent2, FromNumber(dq.get()));
    object.SetBytes(attr::kRsaCoefficient, FromNumber(qp.get()));
    return true;
  }

  std::uint32_t bits_;
  BnPtr e_;
  BnContextPtr context_ = NewNumberContext();
  BnPtr p_ = NewNumber();
  BnPtr q_ = NewNumber();
  BnPtr n_ = NewNumber();
};

std::uint32_t GenerateRsa(CryptoObject& object, std::uint32_t bits, Attributes attributes) {
  BnPtr e = NewNumber();
  if (const Attribute* given = FindAttribute(attributes, attr::kRsaPublicExponent)) {
    e = ToNumber(given->bytes);
    if (!IsGoodExponent(e.get())) return code::kBadParameters;
  } else if (BN_set_word(e.get(), 65537) != 1) {
    return code::kOutOfMemory;
  }
  return RsaGenerator(bits, std::move(e)).Run(object) ? code::kSuccess : code::kBadParameters;
}

// y = g^x mod p, with a random x of [1, limit). False: there is none, or no y.
bool RandomPower(CryptoObject& object, const BIGNUM* p, const BIGNUM* g, const BIGNUM* limit,
                 std::uint32_t private_id, std::uint32_t public_id) {
  if (BN_cmp(limit, BN_value_one()) <= 0) return false;
  const BnContextPtr context = NewNumberContext();
  const BnPtr x = NewNumber();
  const BnPtr y = NewNumber();
  BN_set_flags(x.get(), BN_FLG_CONSTTIME);
  do {
    if (BN_priv_rand_range_ex(x.get(), limit, 0, context.get()) != 1) return false;
  } while (BN_is_zero(x.get()));
  if (BN_mod_exp(y.get(), g, x.get(), p, context.get()) != 1) return false;
  object.SetBytes(private_id, FromNumber(x.get()));
  object.SetBytes(public_id, FromNumber(y.get()));
  return true;
}

std::uint32_t GenerateDsa(CryptoObject& object, std::uint32_t bits, Attributes attributes) {
  for (const Attribute& attribute : attributes) object.SetBytes(attribute.id, attribute.bytes);
  const BnPtr p = ToNumber(object.Bytes(attr::kDsaPrime));
  const BnPtr q = ToNumber(object.Bytes(attr::kDsaSubprime));
  const BnPtr g = ToNumber(object.Bytes(attr::kDsaBase));
  const bool plausible = BN_num_bits(p.get()) <= static_cast<int>(bits) && BN_is_odd(p.get()) &&
                         BN_num_bits(q.get()) >= 128 && BN_cmp(q.get(), p.get()) < 0 &&
                         BN_cmp(g.get(), p.get()) < 0 && !BN_is_zero(g.get());
  if (!plausible) return code::kBadParameters;
  return RandomPower(object, p.get(), g.get(), q.get(), attr::kDsaPrivate, attr::kDsaPublic)
             ? code::kSuccess
             : code::kBadParameters;
}

std::uint32_t GenerateDh(CryptoObject& object, std::uint32_t bits, Attributes attributes) {
  std::uint32_t x_bits = 0;
  for (const Attribute& attribute : attributes) {
    if (attribute.id == attr::kDhXBits) {
      x_bits = attribute.a;
    } else {
      object.SetBytes(attribute.id, attribute.bytes);
    }
  }
  const BnPtr p = ToNumber(object.Bytes(attr::kDhPrime));
  const BnPtr g = ToNumber(object.Bytes(attr::kDhBase));
  const int p_bits = BN_num_bits(p.get());
  if (p_bits > static_cast<int>(bits) || !BN_is_odd(p.get()) || p_bits < 2 ||
      x_bits > static_cast<std::uint32_t>(p_bits)) {
    return code::kBadParameters;
  }
  // Below the subprime if there is one, of the length asked for if one is.
  BnPtr limit = NewNumber();
  const ConstBytes q = object.Bytes(attr::kDhSubprime);
  if (!q.empty()) {
    limit = ToNumber(q);
  } else if (x_bits != 0 && x_bits < static_cast<std::uint32_t>(p_bits)) {
    if (BN_set_bit(limit.get(), static_cast<int>(x_bits)) != 1) return code::kOutOfMemory;
  } else if (BN_sub(limit.get(), p.get(), BN_value_one()) != 1) {
    return code::kOutOfMemory;
  }
  if (!RandomPower(object, p.get(), g.get(), limit.get(), attr::kDhPrivate, attr::kDhPublic)) {
    return code::kBadParameters;
  }
  object.SetValue(attr::kDhXBits, x_bits);
  return code::kSuccess;
}

std::uint32_t GenerateEcc(CryptoObject& object, std::uint32_t bits, Attributes attributes) {
  const Attribute* given = FindAttribute(attributes, attr::kEccCurve);
  const Curve* curve = FindCurve(given != nullptr ? given->a : kCurveSm2);
  if (curve == nullptr) return code::kNotSupported;
  if (curve->bits != bits) return code::kBadParameters;
  const std::unique_ptr<EC_GROUP, Deleter<EC_GROUP_free>> group(
      EC_GROUP_new_by_curve_name(curve->nid));
  if (!group) return code::kNotSupported;
  const BnContextPtr context = NewNumberContext();
  const std::unique_ptr<EC_POINT, Deleter<EC_POINT_clear_free>> point(EC_POINT_new(group.get()));
  if (!point) throw std::bad_alloc();
  const BnPtr d = NewNumber();
  const BnPtr x = NewNumber();
  const BnPtr y = NewNumber();
  do {
    if (BN_priv_rand_range_ex(d.get(), EC_GROUP_get0_order(group.get()), 0, context.get()) != 1) {
      return code::kGeneric;
    }
  } while (BN_is_zero(d.get()));
  if (EC_POINT_mul(group.get(), point.get(), d.get(), nullptr, nullptr, context.get()) != 1 ||
      EC_POINT_get_affine_coordinates(group.get(), point.get(), x.get(), y.get(), context.get()) !=
          1) {
    return code::kGeneric;
  }
  object.SetBytes(attr::kEccPrivate, FromNumber(d.get()));
  object.SetBytes(attr::kEccX, FromNumber(x.get()));
  object.SetBytes(attr::kEccY, FromNumber(y.get()));
  if (given != nullptr) object.SetValue(attr::kEccCurve, given->a, given->b);
  return code::kSuccess;
}

std::uint32_t GenerateByType(CryptoObject& object, std::uint32_t bits, Attributes attributes) {
  switch (object.type()) {
    case objtype::kRsaKeypair:
      return GenerateRsa(object, bits, attributes);
    case objtype::kDsaKeypair:
      return GenerateDsa(object, bits, attributes);
    case objtype::kDhKeypair:
      return GenerateDh(object, bits, attributes);
    case objtype::kEcdsaKeypair:
    case objtype::kEcdhKeypair:
    case objtype::kSm2DsaKeypair:
    case objtype::kSm2KepKeypair:
    case objtype::kSm2PkeKeypair:
      return GenerateEcc(object, bits, attributes);
    case objtype::kEd25519Keypair:
    case objtype::kX25519Keypair:
    case objtype::kX448Keypair:
      return GenerateRawKey(object);
    case objtype::kHkdfIkm:
    case objtype::kConcatKdfZ:
    case objtype::kPbkdf2Password:
      return code::kBadFormat;  // inputs of derivations are not generated
    default: {
      const ObjectType* type = FindObjectType(object.type());
      if (type != nullptr && type->is_secret()) return GenerateSecret(object, bits);
      return code::kBadFormat;
    }
  }
}

}  // namespace

std::uint32_t GenerateKey(CryptoObject& object, std::uint32_t bits, Attributes attributes) {
  const std::uint32_t result = GenerateByType(object, bits, attributes);
  ERR_clear_error();
  if (result == code::kSuccess) {
    object.Fill(bits);
  } else {
    object.Reset();
  }
  return result;
}

}  // namespace vtee::ta
