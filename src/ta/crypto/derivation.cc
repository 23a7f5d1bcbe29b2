// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/derivation.h"

#include <openssl/err.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <optional>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/big_number.h"
#include "ta/crypto/elliptic.h"
#include "ta/crypto/evp_digest.h"
#include "ta/crypto/montgomery.h"
#include "ta/crypto/sm2_exchange.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

constexpr std::uint32_t kHkdfMain = 0xC0;
constexpr std::uint32_t kConcatMain = 0xC1;
constexpr std::uint32_t kPbkdf2Main = 0xC2;

std::uint32_t Dh(const CryptoObject& key, Attributes params, SecretBytes& secret) {
  if (params.size() != 1 || params[0].id != attr::kDhPublic) return code::kBadParameters;
  const BnPtr p = ToNumber(key.Bytes(attr::kDhPrime));
  const BnPtr peer = ToNumber(params[0].bytes);
  const BnPtr x = ToNumber(key.Bytes(attr::kDhPrivate));
  BN_set_flags(x.get(), BN_FLG_CONSTTIME);
  const BnPtr result = NewNumber();
  const BnContextPtr context = NewNumberContext();
  const BnPtr top = NewNumber();
  // 0, 1 and p - 1 would give the secret away.
  if (BN_sub(top.get(), p.get(), BN_value_one()) != 1 || !BN_is_odd(p.get()) ||
      BN_cmp(peer.get(), BN_value_one()) <= 0 || BN_cmp(peer.get(), top.get()) >= 0 ||
      BN_mod_exp(result.get(), peer.get(), x.get(), p.get(), context.get()) != 1) {
    return code::kBadParameters;
  }
  secret = FromNumber(result.get());
  return code::kSuccess;
}

SecretBytes Hmac(const EVP_MD* md, ConstBytes key, std::initializer_list<ConstBytes> parts) {
  SecretBytes text;
  for (const ConstBytes part : parts) text.insert(text.end(), part.begin(), part.end());
  SecretBytes out(static_cast<std::size_t>(EVP_MD_get_size(md)));
  constexpr unsigned char kNone = 0;
  const unsigned char* bytes = key.empty() ? &kNone : In(key);
  if (HMAC(md, bytes, static_cast<int>(key.size()), In(text), text.size(), Out(out), nullptr) ==
      nullptr) {
    throw std::bad_alloc();
  }
  return out;
}

// The parameters of the derivations that stretch a secret.
struct Stretch {
  const EVP_MD* digest = nullptr;
  ConstBytes salt;
  ConstBytes info;
  std::optional<std::uint32_t> length;
  std::optional<std::uint32_t> iterations;

  // False: an attribute that does not belong there.
  bool Take(std::uint32_t main, Attributes params) {
    for (const Attribute& param : params) {
      switch (param.id) {
        case 0xD00002C0:  // HKDF salt, OP-TEE's number and GlobalPlatform's
        case 0xD0000946:
          if (main != kHkdfMain) return false;
          salt = param.bytes;
          break;
        case 0xD00003C0:  // HKDF info, likewise
        case 0xD0000A46:
          if (main != kHkdfMain) return false;
          info = param.bytes;
          break;
        case 0xF00004C0:  // HKDF length, likewise
        case 0xF0000C46:
          if (main != kHkdfMain) return false;
          length = param.a;
          break;
        case 0xF0000B46:  // HKDF digest
          if (main != kHkdfMain) return false;
          digest = EvpDigestOf(param.a);
          break;
        case 0xD00002C1:  // Concat KDF
          if (main != kConcatMain) return false;
          info = param.bytes;
          break;
        case 0xF00003C1:
          if (main != kConcatMain) return false;
          length = param.a;
          break;
        case 0xD00002C2:  // PBKDF2
          if (main != kPbkdf2Main) return false;
          salt = param.bytes;
          break;
        case 0xF00003C2:
          if (main != kPbkdf2Main) return false;
          iterations = param.a;
          break;
        case 0xF00004C2:
          if (main != kPbkdf2Main) return false;
          length = param.a;
          break;
        default:
          return false;
      }
    }
    return length.has_value() && digest != nullptr && (main != kPbkdf2Main || iterations);
  }
};

// RFC 5869
std::uint32_t Hkdf(const Stretch& with, ConstBytes secret, SecretBytes& out) {
  const auto size = static_cast<std::size_t>(EVP_MD_get_size(with.digest));
  if (*with.length > 255 * size) return code::kBadParameters;
  const SecretBytes zeros(size);
  const SecretBytes key =
      Hmac(with.digest, with.salt.empty() ? ConstBytes(zeros) : with.salt, {secret});
  SecretBytes block;
  out.clear();
  for (unsigned i = 1; out.size() < *with.length; ++i) {
    const std::byte counter{static_cast<unsigned char>(i)};
    block = Hmac(with.digest, key, {block, with.info, ConstBytes(&counter, 1)});
    out.insert(out.end(), block.begin(), block.end());
  }
  out.resize(*with.length);
  return code::kSuccess;
}

// NIST SP 800-56A, 5.8.1, with a digest.
std::uint32_t ConcatKdf(const Stretch& with, ConstBytes secret, SecretBytes& out) {
  const std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  if (!context) throw std::bad_alloc();
  SecretBytes block(static_cast<std::size_t>(EVP_MD_get_size(with.digest)));
  out.clear();
  for (std::uint32_t i = 1; out.size() < *with.length; ++i) {
    const std::uint32_t counter = __builtin_bswap32(i);
    if (EVP_DigestInit_ex(context.get(), with.digest, nullptr) != 1 ||
        EVP_DigestUpdate(context.get(), &counter, sizeof(counter)) != 1 ||
        EVP_DigestUpdate(context.get(), secret.data(), secret.size()) != 1 ||
        EVP_DigestUpdate(context.get(), with.info.data(), with.info.size()) != 1 ||
        EVP_DigestFinal_ex(context.get(), Out(block), nullptr) != 1) {
      return code::kGeneric;
    }
    out.insert(out.end(), block.begin(), block.end());
  }
  out.resize(*with.length);
  return code::kSuccess;
}

std::uint32_t Pbkdf2(const Stretch& with, ConstBytes secret, SecretBytes& out) {
  // A guest must not have the host count for hours: some ten seconds it may. RFC 6070's longest
  // vector has half of this.
  constexpr std::uint64_t kMostRounds = 1u << 25;
  const auto size = static_cast<std::uint64_t>(EVP_MD_get_size(with.digest));
  const std::uint64_t blocks = (*with.length + size - 1) / size;
  if (*with.iterations == 0 ||
      *with.iterations > kMostRounds / std::max<std::uint64_t>(blocks, 1)) {
    return code::kBadParameters;
  }
  out.resize(*with.length);
  if (out.empty()) return code::kSuccess;
  const int ok = PKCS5_PBKDF2_HMAC(
      reinterpret_cast<const char*>(secret.data()), static_cast<int>(secret.size()), In(with.salt),
      static_cast<int>(with.salt.size()), static_cast<int>(*with.iterations), with.digest,
      static_cast<int>(out.size()), Out(out));
  return ok == 1 ? code::kSuccess : code::kGeneric;
}

std::uint32_t Derive(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                     std::size_t room, SecretBytes& secret) {
  switch (algorithm) {
    case alg::kDh:
      return Dh(key, params, secret);
    case alg::kEcdh:
      if (params.size() != 2 || params[0].id != attr::kEccX || params[1].id != attr::kEccY) {
        return code::kBadParameters;
      }
      return EcdhDerive(key, params[0].bytes, params[1].bytes, secret);
    case alg::kX25519:
    case alg::kX448: {
      const auto id = algorithm == alg::kX25519 ? attr::kX25519Public : attr::kX448Public;
      if (params.size() != 1 || params[0].id != id) return code::kBadParameters;
      return DeriveRaw(key, params[0].bytes, secret);
    }
    default:
      break;
  }
  const bool modern = algorithm == alg::kHkdf;
  const std::uint32_t main = modern ? kHkdfMain : MainAlgorithm(algorithm);
  Stretch with;
  with.digest = modern ? EVP_sha256() : EvpDigestByNumber((algorithm >> 12) & 0xF);
  if (!with.Take(main, params) || *with.length > room) return code::kBadParameters;
  if (main == kHkdfMain) return Hkdf(with, key.secret(), secret);
  if (main == kConcatMain) return ConcatKdf(with, key.secret(), secret);
  return Pbkdf2(with, key.secret(), secret);
}

}  // namespace

bool IsDerivationSupported(std::uint32_t algorithm) {
  switch (algorithm) {
    case alg::kDh:
    case alg::kEcdh:
    case alg::kX25519:
    case alg::kX448:
    case alg::kHkdf:
    case alg::kSm2Kep:
      return true;
    default:
      break;
  }
  const std::uint32_t main = MainAlgorithm(algorithm);
  return (algorithm & 0xFFFF0F00) == 0x80000000 && main >= kHkdfMain && main <= kPbkdf2Main &&
         EvpDigestByNumber((algorithm >> 12) & 0xF) != nullptr;
}

std::uint32_t DeriveKey(std::uint32_t algorithm, const DerivationKeys& keys, Attributes params,
                        CryptoObject& into, SecretBytes& confirmation) {
  const ObjectType* type = FindObjectType(into.type());
  if (type == nullptr || !type->is_secret() || type->attributes[0].id != attr::kSecret ||
      !IsDerivationSupported(algorithm)) {
    return code::kNotSupported;
  }
  const std::size_t room = type->most / 8;
  SecretBytes secret;
  std::uint32_t result = code::kBadParameters;
  if (algorithm != alg::kSm2Kep) {
    result = Derive(algorithm, keys.key, params, room, secret);
  } else if (keys.ephemeral != nullptr) {
    // OP-TEE takes the size that the object was made with for bytes here.
    result = Sm2Exchange(keys.key, *keys.ephemeral, params,
                         std::min<std::size_t>(into.max_bits(), room), secret, confirmation);
  }
  ERR_clear_error();
  if (result != code::kSuccess) return result;
  if (secret.size() > room) return code::kBadParameters;
  into.SetSecret(secret);
  into.Fill(static_cast<std::uint32_t>(secret.size() * 8));
  return code::kSuccess;
}

}  // namespace vtee::ta
