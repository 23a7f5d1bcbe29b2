// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/ed25519_variants.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "ta/crypto/big_number.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::size_t kBytes = 32;
constexpr std::size_t kHash = 64;

void Check(int ok) {
  if (ok != 1) throw std::bad_alloc();
}

BnPtr Hex(const char* digits) {
  BIGNUM* number = nullptr;
  if (BN_hex2bn(&number, digits) == 0) throw std::bad_alloc();
  return BnPtr(number);
}

BnPtr LittleEndian(ConstBytes bytes) {
  BnPtr number = NewNumber();
  if (BN_lebin2bn(In(bytes), static_cast<int>(bytes.size()), number.get()) == nullptr) {
    throw std::bad_alloc();
  }
  return number;
}

// x, y, z and t = x y / z (RFC 8032, 5.1.4).
struct Point {
  BnPtr x = NewNumber();
  BnPtr y = NewNumber();
  BnPtr z = NewNumber();
  BnPtr t = NewNumber();
};

class Edwards {
 public:
  Edwards() {
    Check(BN_one(zero_one_.z.get()));
    Check(BN_one(zero_one_.y.get()));
    base_.x = Hex("216936D3CD6E53FEC0A4E231FDD6DC5C692CC7609525A7B2C9562D608F25D51A");
    base_.y = Hex("6666666666666666666666666666666666666666666666666666666666666658");
    Check(BN_one(base_.z.get()));
    Mul(base_.t, base_.x, base_.y);
  }

  const BIGNUM* order() const { return order_.get(); }
  BN_CTX* context() { return context_.get(); }
  const Point& base() const { return base_; }

  void Add(Point& sum, const Point& p, const Point& q) {
    BnPtr a = NewNumber();
    BnPtr b = NewNumber();
    BnPtr c = NewNumber();
    BnPtr d = NewNumber();
    BnPtr e = NewNumber();
    BnPtr f = NewNumber();
    Sub(a, p.y, p.x);
    Sub(b, q.y, q.x);
    Mul(a, a, b);
    Sum(b, p.y, p.x);
    Sum(c, q.y, q.x);
    Mul(b, b, c);
    Mul(c, p.t, q.t);
    Mul(c, c, d_);
    Sum(c, c, c);
    Mul(d, p.z, q.z);
    Sum(d, d, d);
    Sub(e, b, a);
    Sub(f, d, c);
    Sum(d, d, c);  // g
    Sum(b, b, a);  // h
    Mul(sum.x, e, f);
    Mul(sum.y, d, b);
    Mul(sum.t, e, b);
    Mul(sum.z, f, d);
  }

  // A ladder: for each bit one addition and one doubling, whatever the bit is.
  Point Multiply(const BIGNUM* scalar, const Point& point) {
    Point low = Copy(zero_one_);
    Point high = Copy(point);
    for (int bit = 255; bit >= 0; --bit) {
      const auto set = static_cast<BN_ULONG>(BN_is_bit_set(scalar, bit));
      Swap(set, low, high);
      Point sum;
      Add(sum, low, high);
      Point twice;
      Add(twice, low, low);
      std::swap(high, sum);
      std::swap(low, twice);
      Swap(set, low, high);
    }
    return low;
  }

  SecretBytes Encode(const Point& point) {
    const BnPtr inverse = NewNumber();
    BnPtr x = NewNumber();
    BnPtr y = NewNumber();
    if (BN_mod_inverse(inverse.get(), point.z.get(), prime_.get(), context_.get()) == nullptr) {
      return {};
    }
    Mul(x, point.x, inverse);
    Mul(y, point.y, inverse);
    SecretBytes bytes(kBytes);
    BN_bn2lebinpad(y.get(), Out(bytes), kBytes);
    if (BN_is_odd(x.get())) bytes[kBytes - 1] |= std::byte{0x80};
    return bytes;
  }

  // False: no point.
  bool Decode(ConstBytes bytes, Point& point) {
    SecretBytes copy = Secret(bytes);
    const bool odd = (copy[kBytes - 1] & std::byte{0x80}) != std::byte{0};
    copy[kBytes - 1] &= std::byte{0x7F};
    point.y = LittleEndian(copy);
    if (BN_cmp(point.y.get(), prime_.get()) >= 0) return false;
    // x^2 = (y^2 - 1) / (d y^2 + 1)
    BnPtr u = NewNumber();
    BnPtr v = NewNumber();
    Mul(u, point.y, point.y);
    Mul(v, u, d_);
    Check(BN_mod_sub(u.get(), u.get(), BN_value_one(), prime_.get(), context_.get()));
    Check(BN_mod_add(v.get(), v.get(), BN_value_one(), prime_.get(), context_.get()));
    const BnPtr inverse = NewNumber();
    if (BN_mod_inverse(inverse.get(), v.get(), prime_.get(), context_.get()) == nullptr) {
      return false;
    }
    Mul(u, u, inverse);
    if (BN_is_zero(u.get())) {
      if (odd) return false;
      BN_zero(point.x.get());
    } else {
      if (BN_mod_sqrt(point.x.get(), u.get(), prime_.get(), context_.get()) == nullptr)
        return false;
      if ((BN_is_odd(point.x.get()) != 0) != odd) {
        Check(BN_sub(point.x.get(), prime_.get(), point.x.get()));
      }
    }
    Check(BN_one(point.z.get()));
    Mul(point.t, point.x, point.y);
    return true;
  }

  void Negate(Point& point) {
    Sub(point.x, zero_one_.x, point.x);
    Sub(point.t, zero_one_.x, point.t);
  }

 private:
  static Point Copy(const Point& from) {
    Point to;
    if (BN_copy(to.x.get(), from.x.get()) == nullptr ||
        BN_copy(to.y.get(), from.y.get()) == nullptr ||
        BN_copy(to.z.get(), from.z.get()) == nullptr ||
        BN_copy(to.t.get(), from.t.get()) == nullptr) {
      throw std::bad_alloc();
    }
    return to;
  }
  static void Swap(BN_ULONG condition, Point& a, Point& b) {
    constexpr int kWords = 256 / BN_BITS2;
    for (BnPtr Point::*part : {&Point::x, &Point::y, &Point::z, &Point::t}) {
      for (BIGNUM* number : {(a.*part).get(), (b.*part).get()}) {
        // Makes room for the words that are exchanged.
        if (BN_num_bits(number) <= 192) {
          Check(BN_set_bit(number, 255));
          Check(BN_clear_bit(number, 255));
        }
      }
      BN_consttime_swap(condition, (a.*part).get(), (b.*part).get(), kWords);
    }
  }
  void Mul(BnPtr& r, const BnPtr& a, const BnPtr& b) {
    Check(BN_mod_mul(r.get(), a.get(), b.get(), prime_.get(), context_.get()));
  }
  void Sum(BnPtr& r, const BnPtr& a, const BnPtr& b) {
    Check(BN_mod_add_quick(r.get(), a.get(), b.get(), prime_.get()));
  }
  void Sub(BnPtr& r, const BnPtr& a, const BnPtr& b) {
    Check(BN_mod_sub_quick(r.get(), a.get(), b.get(), prime_.get()));
  }

  BnContextPtr context_ = NewNumberContext();
  BnPtr prime_ = Hex("7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFED");
  BnPtr order_ = Hex("1000000000000000000000000000000014DEF9DEA2F79CD65812631A5CF5D3ED");
  BnPtr d_ = Hex("52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3");
  Point zero_one_;
  Point base_;
};

// SHA-512 of the parts, one after the other.
SecretBytes Hash(std::initializer_list<ConstBytes> parts) {
  const std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  if (!context) throw std::bad_alloc();
  Check(EVP_DigestInit_ex(context.get(), EVP_sha512(), nullptr));
  for (const ConstBytes part : parts) {
    Check(EVP_DigestUpdate(context.get(), part.data(), part.size()));
  }
  SecretBytes digest(kHash);
  Check(EVP_DigestFinal_ex(context.get(), Out(digest), nullptr));
  return digest;
}

// dom2(phflag, context)
SecretBytes Prefix(const EdVariant& variant) {
  constexpr std::string_view kText = "SigEd25519 no Ed25519 collisions";
  SecretBytes prefix = Secret(std::as_bytes(std::span(kText)));
  prefix.push_back(variant.prehash ? std::byte{1} : std::byte{0});
  prefix.push_back(static_cast<std::byte>(variant.context.size()));
  prefix.insert(prefix.end(), variant.context.begin(), variant.context.end());
  return prefix;
}

BnPtr ModOrder(Edwards& curve, ConstBytes hash) {
  BnPtr number = LittleEndian(hash);
  Check(BN_nnmod(number.get(), number.get(), curve.order(), curve.context()));
  return number;
}

}  // namespace

std::uint32_t SignEd25519Variant(ConstBytes private_key, ConstBytes public_key,
                                 const EdVariant& variant, ConstBytes message,
                                 SecretBytes& signature) {
  if (private_key.size() != kBytes || public_key.size() != kBytes || variant.context.size() > 255) {
    return code::kBadParameters;
  }
  Edwards curve;
  const SecretBytes prefix = Prefix(variant);
  const SecretBytes hashed = variant.prehash ? Hash({message}) : SecretBytes();
  const ConstBytes text = variant.prehash ? ConstBytes(hashed) : message;
  const SecretBytes expanded = Hash({private_key});
  SecretBytes clamped(expanded.begin(), expanded.begin() + kBytes);
  clamped[0] &= std::byte{0xF8};
  clamped[kBytes - 1] &= std::byte{0x7F};
  clamped[kBytes - 1] |= std::byte{0x40};
  const BnPtr scalar = LittleEndian(clamped);
  const ConstBytes nonce_key = ConstBytes(expanded).subspan(kBytes);

  const BnPtr r = ModOrder(curve, Hash({prefix, nonce_key, text}));
  const SecretBytes encoded = curve.Encode(curve.Multiply(r.get(), curve.base()));
  const BnPtr k = ModOrder(curve, Hash({prefix, encoded, public_key, text}));
  const BnPtr s = NewNumber();
  Check(BN_mod_mul(s.get(), k.get(), scalar.get(), curve.order(), curve.context()));
  Check(BN_mod_add(s.get(), s.get(), r.get(), curve.order(), curve.context()));
  signature = encoded;
  signature.resize(2 * kBytes);
  BN_bn2lebinpad(s.get(), Out(MutableBytes(signature).subspan(kBytes)), kBytes);
  return code::kSuccess;
}

bool VerifyEd25519Variant(ConstBytes public_key, const EdVariant& variant, ConstBytes message,
                          ConstBytes signature) {
  if (public_key.size() != kBytes || signature.size() != 2 * kBytes ||
      variant.context.size() > 255) {
    return false;
  }
  Edwards curve;
  Point key;
  if (!curve.Decode(public_key, key)) return false;
  const BnPtr s = LittleEndian(signature.subspan(kBytes));
  if (BN_cmp(s.get(), curve.order()) >= 0) return false;
  const SecretBytes prefix = Prefix(variant);
  const SecretBytes hashed = variant.prehash ? Hash({message}) : SecretBytes();
  const ConstBytes text = variant.prehash ? ConstBytes(hashed) : message;
  const ConstBytes encoded = signature.first(kBytes);
  const BnPtr k = ModOrder(curve, Hash({prefix, encoded, public_key, text}));
  // R = s B - k A
  curve.Negate(key);
  Point sum;
  curve.Add(sum, curve.Multiply(s.get(), curve.base()), curve.Multiply(k.get(), key));
  const SecretBytes expected = curve.Encode(sum);
  return std::equal(expected.begin(), expected.end(), encoded.begin(), encoded.end());
}

}  // namespace vtee::ta
