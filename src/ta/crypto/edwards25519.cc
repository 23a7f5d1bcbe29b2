// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/edwards25519.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace vtee::ta::edwards25519 {
namespace {

__extension__ using Wide = unsigned __int128;
using Words = std::array<std::uint64_t, 4>;  // the lowest first

static_assert(std::endian::native == std::endian::little);

Words Load(In32 bytes) {
  Words words;
  std::memcpy(words.data(), bytes.data(), kBytes);
  return words;
}

// All ones if `bit` is 1, nothing if it is 0. The compiler must not see that it is one of two
// values, or it may make a branch of it.
std::uint64_t MaskOf(std::uint64_t bit) {
  std::uint64_t mask = 0 - bit;
  __asm__("" : "+r"(mask));
  return mask;
}

std::uint64_t BitOf(const Words& words, unsigned bit) { return words[bit / 64] >> bit % 64 & 1; }

// Wiped at the end of its scope.
template <typename T>
struct Wiping {
  T value{};
  Wiping() = default;
  explicit Wiping(const T& from) : value(from) {}
  Wiping(const Wiping&) = delete;
  Wiping& operator=(const Wiping&) = delete;
  ~Wiping() { OPENSSL_cleanse(&value, sizeof(value)); }
};

// A number modulo 2^255 - 19 in five limbs of 51 bits. Products leave limbs below 2^52; sums and
// differences of products may be multiplied, and sums may be subtracted, without more care.
struct Field {
  std::array<std::uint64_t, 5> limb;
};
constexpr std::uint64_t kLimb = (std::uint64_t{1} << 51) - 1;
constexpr Field kZero{{0, 0, 0, 0, 0}};
constexpr Field kOne{{1, 0, 0, 0, 0}};

constexpr Field FromWords(const Words& w) {
  return {{w[0] & kLimb, (w[0] >> 51 | w[1] << 13) & kLimb, (w[1] >> 38 | w[2] << 26) & kLimb,
           (w[2] >> 25 | w[3] << 39) & kLimb, w[3] >> 12 & kLimb}};
}

constexpr Field kD =
    FromWords({0x75EB4DCA135978A3, 0x00700A4D4141D8AB, 0x8CC740797779E898, 0x52036CEE2B6FFE73});
constexpr Field kRootOfMinusOne =
    FromWords({0xC4EE1B274A0EA0B0, 0x2F431806AD2FE478, 0x2B4D00993DFBD7A7, 0x2B8324804FC1DF0B});
constexpr Words kPrime = {0xFFFFFFFFFFFFFFED, ~0ull, ~0ull, ~0ull >> 1};
constexpr Words kOrder = {0x5812631A5CF5D3ED, 0x14DEF9DEA2F79CD6, 0, 0x1000000000000000};

Field Add(const Field& a, const Field& b) {
  Field sum;
  for (unsigned i = 0; i < 5; ++i) sum.limb[i] = a.limb[i] + b.limb[i];
  return sum;
}

// Eight times the prime comes on top, so that no limb goes below zero.
Field Sub(const Field& a, const Field& b) {
  Field difference;
  for (unsigned i = 0; i < 5; ++i) {
    difference.limb[i] = a.limb[i] + 8 * (i == 0 ? kLimb - 18 : kLimb) - b.limb[i];
  }
  return difference;
}

Field Mul(const Field& a, const Field& b) {
  std::array<Wide, 5> sum{};
  for (unsigned i = 0; i < 5; ++i) {
    for (unsigned j = 0; j < 5; ++j) {
      // 2^255 is 19.
      const std::uint64_t factor = i + j < 5 ? b.limb[j] : 19 * b.limb[j];
      sum[(i + j) % 5] += static_cast<Wide>(a.limb[i]) * factor;
    }
  }
  Field product;
  Wide carry = 0;
  for (unsigned i = 0; i < 5; ++i) {
    sum[i] += carry;
    product.limb[i] = static_cast<std::uint64_t>(sum[i]) & kLimb;
    carry = sum[i] >> 51;
  }
  const Wide first = product.limb[0] + 19 * carry;
  product.limb[0] = static_cast<std::uint64_t>(first) & kLimb;
  product.limb[1] += static_cast<std::uint64_t>(first >> 51);
  return product;
}

// The exponent is a constant of the curve: 2^bits - 1 - `minus`.
Field Power(const Field& base, unsigned bits, std::uint64_t minus) {
  Field power = kOne;
  for (unsigned bit = bits; bit-- > 0;) {
    power = Mul(power, power);
    if (bit >= 64 || (minus >> bit & 1) == 0) power = Mul(power, base);
  }
  return power;
}

Field Select(std::uint64_t mask, const Field& yes, const Field& no) {
  Field chosen;
  for (unsigned i = 0; i < 5; ++i) {
    chosen.limb[i] = no.limb[i] ^ (mask & (yes.limb[i] ^ no.limb[i]));
  }
  return chosen;
}

// a - b in `difference`; 1: it is negative, and 2^256 was added.
std::uint64_t Subtract(const Words& a, const Words& b, Words& difference) {
  std::uint64_t borrow = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const Wide word = static_cast<Wide>(a[i]) - b[i] - borrow;
    difference[i] = static_cast<std::uint64_t>(word);
    borrow = static_cast<std::uint64_t>(word >> 64) & 1;
  }
  return borrow;
}

// `number` less `modulus` if it is not below it.
void SubtractOnce(Words& number, const Words& modulus) {
  Words less;
  const std::uint64_t keep = MaskOf(Subtract(number, modulus, less));
  for (unsigned i = 0; i < 4; ++i) number[i] = less[i] ^ (keep & (number[i] ^ less[i]));
}

// The one representation below the prime.
Words ToWords(const Field& number) {
  // A product is below 2^255 + 2^68: the second round has nothing left to carry to the front.
  Field f = Mul(number, kOne);
  for (unsigned round = 0; round < 2; ++round) {
    std::uint64_t carry = 0;
    for (std::uint64_t& limb : f.limb) {
      limb += carry;
      carry = limb >> 51;
      limb &= kLimb;
    }
    f.limb[0] += 19 * carry;
  }
  const auto& l = f.limb;
  Words words = {l[0] | l[1] << 51, l[1] >> 13 | l[2] << 38, l[2] >> 26 | l[3] << 25,
                 l[3] >> 39 | l[4] << 12};
  SubtractOnce(words, kPrime);
  return words;
}

bool IsZero(const Field& number) { return ToWords(number) == Words{}; }

// x, y, z and t = x y / z (RFC 8032, 5.1.4).
struct Point {
  Field x, y, z, t;
};
constexpr Point kNeutral{kZero, kOne, kOne, kZero};

// For any two points, equal ones too.
Point Add(const Point& p, const Point& q) {
  const Field a = Mul(Sub(p.y, p.x), Sub(q.y, q.x));
  const Field b = Mul(Add(p.y, p.x), Add(q.y, q.x));
  const Field c = Mul(Mul(p.t, q.t), Add(kD, kD));
  const Field zz = Mul(p.z, q.z);
  const Field d = Add(zz, zz);
  const Field e = Sub(b, a);
  const Field f = Sub(d, c);
  const Field g = Add(d, c);
  const Field h = Add(b, a);
  return {Mul(e, f), Mul(g, h), Mul(f, g), Mul(e, h)};
}

// Every bit costs a doubling and an addition, whatever it is.
void Multiply(const Words& scalar, const Point& point, Point& product) {
  product = kNeutral;
  Wiping<Point> more;
  for (unsigned bit = 256; bit-- > 0;) {
    product = Add(product, product);
    more.value = Add(product, point);
    const std::uint64_t mask = MaskOf(BitOf(scalar, bit));
    product.x = Select(mask, more.value.x, product.x);
    product.y = Select(mask, more.value.y, product.y);
    product.z = Select(mask, more.value.z, product.z);
    product.t = Select(mask, more.value.t, product.t);
  }
}

void Encode(const Point& point, Out32 bytes) {
  const Field inverse = Power(point.z, 255, 20);  // z^(p - 2)
  const Words x = ToWords(Mul(point.x, inverse));
  Words y = ToWords(Mul(point.y, inverse));
  y[3] |= x[0] << 63;
  std::memcpy(bytes.data(), y.data(), kBytes);
}

// RFC 8032, 5.1.3. Public values only; false: no point.
bool Decode(In32 bytes, Point& point) {
  Words words = Load(bytes);
  const std::uint64_t odd = words[3] >> 63;
  words[3] &= ~0ull >> 1;
  Words less;
  if (Subtract(words, kPrime, less) == 0) return false;
  const Field y = FromWords(words);
  const Field yy = Mul(y, y);
  const Field u = Mul(Sub(yy, kOne), kOne);
  const Field v = Add(Mul(yy, kD), kOne);
  // The root of u / v is u v^3 (u v^7)^((p - 5) / 8), or that times the root of -1.
  const Field v3 = Mul(Mul(v, v), v);
  const Field uv7 = Mul(Mul(u, v), Mul(v3, v3));
  Field x = Mul(Mul(u, v3), Power(uv7, 252, 2));
  const Field vxx = Mul(v, Mul(x, x));
  if (!IsZero(Sub(vxx, u))) {
    if (!IsZero(Add(vxx, u))) return false;
    x = Mul(x, kRootOfMinusOne);
  }
  if (IsZero(x) && odd != 0) return false;
  if ((ToWords(x)[0] & 1) != odd) x = Mul(Sub(kZero, x), kOne);
  point = {x, y, kOne, Mul(x, y)};
  return true;
}

// The point with y = 4/5 and an even x.
Point Base() {
  std::array<std::byte, kBytes> encoded;
  encoded.fill(std::byte{0x66});
  encoded[0] = std::byte{0x58};
  Point base = kNeutral;
  Decode(encoded, base);
  return base;
}

using WideWords = std::array<std::uint64_t, 8>;

// One bit after the other: slower than what others do, and plain.
void ReduceWords(const WideWords& wide, Out32 scalar) {
  Wiping<Words> rest;
  for (unsigned bit = 512; bit-- > 0;) {
    std::uint64_t next = wide[bit / 64] >> bit % 64 & 1;
    for (std::uint64_t& word : rest.value) {
      const std::uint64_t top = word >> 63;
      word = word << 1 | next;
      next = top;
    }
    SubtractOnce(rest.value, kOrder);
  }
  std::memcpy(scalar.data(), rest.value.data(), kBytes);
}

}  // namespace

void Reduce(std::span<const std::byte, 2 * kBytes> wide, Out32 scalar) {
  Wiping<WideWords> words;
  std::memcpy(words.value.data(), wide.data(), wide.size());
  ReduceWords(words.value, scalar);
}

void MultiplyAdd(In32 a, In32 b, In32 c, Out32 scalar) {
  const Wiping<Words> x(Load(a));
  const Wiping<Words> y(Load(b));
  const Wiping<Words> z(Load(c));
  Wiping<WideWords> sum;
  std::memcpy(sum.value.data(), z.value.data(), kBytes);
  for (unsigned i = 0; i < 4; ++i) {
    std::uint64_t carry = 0;
    for (unsigned j = 0; j < 4; ++j) {
      const Wide word = static_cast<Wide>(x.value[i]) * y.value[j] + sum.value[i + j] + carry;
      sum.value[i + j] = static_cast<std::uint64_t>(word);
      carry = static_cast<std::uint64_t>(word >> 64);
    }
    sum.value[i + 4] = carry;
  }
  ReduceWords(sum.value, scalar);
}

void MultiplyBase(In32 scalar, Out32 point) {
  const Wiping<Words> words(Load(scalar));
  Wiping<Point> product;
  Multiply(words.value, Base(), product.value);
  Encode(product.value, point);
}

bool IsReduced(In32 scalar) {
  Words less;
  return Subtract(Load(scalar), kOrder, less) != 0;
}

bool VerificationPoint(In32 s, In32 k, In32 a, Out32 point) {
  Point key = kNeutral;
  if (!Decode(a, key)) return false;
  key.x = Mul(Sub(kZero, key.x), kOne);
  key.t = Mul(Sub(kZero, key.t), kOne);
  Point of_base = kNeutral;
  Point of_key = kNeutral;
  Multiply(Load(s), Base(), of_base);
  Multiply(Load(k), key, of_key);
  Encode(Add(of_base, of_key), point);
  return true;
}

}  // namespace vtee::ta::edwards25519
