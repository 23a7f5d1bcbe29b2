// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/tpm.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "ta/storage/seal.h"
#include "ta/storage/tss_library.h"

namespace vtee::ta {
namespace {

constexpr std::string_view kTpmMagic = "vteetpm1";
constexpr TPMA_SESSION kSessionUse =
    TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
// TPMs that protect their memory from wear ask for a pause.
constexpr int kRateTries = 20;
constexpr std::chrono::milliseconds kRatePause{250};

// Of an error in format one: without the number of the handle, parameter or session.
TSS2_RC Plain(TSS2_RC code) {
  if ((code & TSS2_RC_LAYER_MASK) != TSS2_TPM_RC_LAYER) return code;
  return (code & TPM2_RC_FMT1) != 0 ? code & (TPM2_RC_FMT1 | 0x3F) : code;
}

// Key Storage primary, ECC P-256: TCG EK Credential Profile and Provisioning Guidance, template
// H-3 for storage.
TPM2B_PUBLIC StorageTemplate() {
  TPM2B_PUBLIC out{};
  TPMT_PUBLIC& area = out.publicArea;
  area.type = TPM2_ALG_ECC;
  area.nameAlg = TPM2_ALG_SHA256;
  area.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                          TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                          TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
  TPMS_ECC_PARMS& ecc = area.parameters.eccDetail;
  ecc.symmetric.algorithm = TPM2_ALG_AES;
  ecc.symmetric.keyBits.aes = 128;
  ecc.symmetric.mode.aes = TPM2_ALG_CFB;
  ecc.scheme.scheme = TPM2_ALG_NULL;
  ecc.curveID = TPM2_ECC_NIST_P256;
  ecc.kdf.scheme = TPM2_ALG_NULL;
  return out;
}

TPM2B_PUBLIC SealedTemplate() {
  TPM2B_PUBLIC out{};
  out.publicArea.type = TPM2_ALG_KEYEDHASH;
  out.publicArea.nameAlg = TPM2_ALG_SHA256;
  out.publicArea.objectAttributes =
      TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
  out.publicArea.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL;
  return out;
}

TPM2B_AUTH AuthOf(ConstBytes authorization) {
  TPM2B_AUTH auth{};
  auth.size = static_cast<UINT16>(std::min(authorization.size(), sizeof auth.buffer));
  std::memcpy(auth.buffer, authorization.data(), auth.size);
  return auth;
}

// One connection: the primary key, and a session that encrypts to it. All of it goes with it.
class Link {
 public:
  static Result<std::unique_ptr<Link>> Open(const std::string& tcti) {
    VTEE_ASSIGN_OR_RETURN(const TssLibrary* tss, TssLibrary::Find());
    std::unique_ptr<Link> link(new Link(*tss, tcti));
    VTEE_TRY(link->Start());
    return link;
  }
  ~Link() {
    for (const ESYS_TR handle : {object_, session_, primary_}) {
      if (handle != ESYS_TR_NONE) tss_.Esys_FlushContext(esys_, handle);
    }
    if (esys_ != nullptr) tss_.Esys_Finalize(&esys_);
    if (loader_ != nullptr) tss_.Tss2_TctiLdr_Finalize(&loader_);
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  Result<SecretBytes> Seal(ConstBytes secret);
  Result<SecretBytes> Unseal(ConstBytes sealed);
  Result<std::uint64_t> Make(std::uint32_t index, ConstBytes authorization);
  Status Find(std::uint32_t index, ConstBytes authorization);
  Result<std::uint64_t> Read();
  Status Count();
  Status Remove();

 private:
  Link(const TssLibrary& tss, const std::string& tcti) : tss_(tss), tcti_(tcti) {}
  Status Start();
  Error Failed(const std::string& what, TSS2_RC code) const {
    return Error{ErrorCode::kSystem,
                 fmt::format("the TPM ({}) {} (TSS error {:#x})", tcti_, what, code)};
  }
  Error NoCounter() const {
    return Error{ErrorCode::kNotFound, "the TPM (" + tcti_ + ") has no such counter"};
  }

  const TssLibrary& tss_;
  const std::string& tcti_;
  TSS2_TCTI_CONTEXT* loader_ = nullptr;
  ESYS_CONTEXT* esys_ = nullptr;
  ESYS_TR primary_ = ESYS_TR_NONE;
  ESYS_TR session_ = ESYS_TR_NONE;
  ESYS_TR object_ = ESYS_TR_NONE;
  ESYS_TR counter_ = ESYS_TR_NONE;
};

Status Link::Start() {
  TSS2_RC code = tss_.Tss2_TctiLdr_Initialize(tcti_.c_str(), &loader_);
  if (code == TSS2_RC_SUCCESS) code = tss_.Esys_Initialize(&esys_, loader_, nullptr);
  if (code != TSS2_RC_SUCCESS) {
    Error error = Failed("cannot be reached", code);
    error.message += ": may this user open it (group tss)?";
    error.code = ErrorCode::kUnavailable;
    return error;
  }
  const TPM2B_SENSITIVE_CREATE nothing{};
  const TPM2B_PUBLIC storage = StorageTemplate();
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION pcrs{};
  code = tss_.Esys_CreatePrimary(esys_, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                 ESYS_TR_NONE, &nothing, &storage, &outside, &pcrs, &primary_,
                                 nullptr, nullptr, nullptr, nullptr);
  if (code != TSS2_RC_SUCCESS) {
    primary_ = ESYS_TR_NONE;
    return Failed("makes no storage key: its owner hierarchy must be enabled, without a password",
                  code);
  }
  TPMT_SYM_DEF cipher{};
  cipher.algorithm = TPM2_ALG_AES;
  cipher.keyBits.aes = 128;
  cipher.mode.aes = TPM2_ALG_CFB;
  code = tss_.Esys_StartAuthSession(esys_, primary_, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                    ESYS_TR_NONE, nullptr, TPM2_SE_HMAC, &cipher, TPM2_ALG_SHA256,
                                    &session_);
  if (code != TSS2_RC_SUCCESS) {
    session_ = ESYS_TR_NONE;
    return Failed("starts no session", code);
  }
  code = tss_.Esys_TRSess_SetAttributes(esys_, session_, kSessionUse, 0xFF);
  return code == TSS2_RC_SUCCESS ? Status() : Failed("starts no session", code);
}

Result<SecretBytes> Link::Seal(ConstBytes secret) {
  TPM2B_SENSITIVE_CREATE sensitive{};
  if (secret.size() > sizeof sensitive.sensitive.data.buffer) {
    return Error{ErrorCode::kInvalidArgument, "a TPM seals no more than 128 bytes"};
  }
  sensitive.sensitive.data.size = static_cast<UINT16>(secret.size());
  std::memcpy(sensitive.sensitive.data.buffer, secret.data(), secret.size());
  const TPM2B_PUBLIC shape = SealedTemplate();
  const TPM2B_DATA outside{};
  const TPML_PCR_SELECTION pcrs{};
  TPM2B_PRIVATE* private_part = nullptr;
  TPM2B_PUBLIC* public_part = nullptr;
  const TSS2_RC code =
      tss_.Esys_Create(esys_, primary_, session_, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &shape,
                       &outside, &pcrs, &private_part, &public_part, nullptr, nullptr, nullptr);
  OPENSSL_cleanse(&sensitive, sizeof sensitive);
  if (code != TSS2_RC_SUCCESS) return Failed("seals nothing", code);
  SecretBytes bytes(sizeof(TPM2B_PRIVATE) + sizeof(TPM2B_PUBLIC));
  std::size_t size = 0;
  const bool packed = tss_.Tss2_MU_TPM2B_PUBLIC_Marshal(public_part, Out(bytes), bytes.size(),
                                                        &size) == TSS2_RC_SUCCESS &&
                      tss_.Tss2_MU_TPM2B_PRIVATE_Marshal(private_part, Out(bytes), bytes.size(),
                                                         &size) == TSS2_RC_SUCCESS;
  tss_.Esys_Free(private_part);
  tss_.Esys_Free(public_part);
  if (!packed) return Failed("gave a sealed secret that cannot be packed", 0);
  bytes.resize(size);
  return Encoder().Bytes(std::as_bytes(std::span(kTpmMagic))).Bytes(bytes).bytes();
}

Result<SecretBytes> Link::Unseal(ConstBytes sealed) {
  const Error refused{ErrorCode::kInvalidArgument,
                      "the TPM (" + tcti_ +
                          ") cannot open it: it was sealed by another TPM, this one was cleared "
                          "since, or it is damaged"};
  Decoder decoder(sealed);
  const ConstBytes magic = decoder.Bytes(kTpmMagic.size());
  const ConstBytes rest = decoder.rest();
  TPM2B_PUBLIC public_part{};
  TPM2B_PRIVATE private_part{};
  std::size_t at = 0;
  if (!decoder.ok() || !std::ranges::equal(magic, std::as_bytes(std::span(kTpmMagic))) ||
      tss_.Tss2_MU_TPM2B_PUBLIC_Unmarshal(In(rest), rest.size(), &at, &public_part) !=
          TSS2_RC_SUCCESS ||
      tss_.Tss2_MU_TPM2B_PRIVATE_Unmarshal(In(rest), rest.size(), &at, &private_part) !=
          TSS2_RC_SUCCESS ||
      at != rest.size()) {
    return refused;
  }
  TSS2_RC code = tss_.Esys_Load(esys_, primary_, session_, ESYS_TR_NONE, ESYS_TR_NONE,
                                &private_part, &public_part, &object_);
  if (code != TSS2_RC_SUCCESS) {
    object_ = ESYS_TR_NONE;
    return (code & TPM2_RC_FMT1) != 0 ? refused : Failed("loads nothing", code);
  }
  TPM2B_SENSITIVE_DATA* data = nullptr;
  code = tss_.Esys_Unseal(esys_, object_, session_, ESYS_TR_NONE, ESYS_TR_NONE, &data);
  if (code != TSS2_RC_SUCCESS) return Failed("unseals nothing", code);
  SecretBytes secret = Secret(std::as_bytes(std::span(data->buffer, data->size)));
  OPENSSL_cleanse(data, sizeof *data);
  tss_.Esys_Free(data);
  return secret;
}

Result<std::uint64_t> Link::Make(std::uint32_t index, ConstBytes authorization) {
  TPM2B_NV_PUBLIC shape{};
  shape.nvPublic.nvIndex = index;
  shape.nvPublic.nameAlg = TPM2_ALG_SHA256;
  shape.nvPublic.attributes = (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) | TPMA_NV_AUTHREAD |
                              TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA;
  shape.nvPublic.dataSize = sizeof(std::uint64_t);
  const TPM2B_AUTH auth = AuthOf(authorization);
  const TSS2_RC code = tss_.Esys_NV_DefineSpace(esys_, ESYS_TR_RH_OWNER, session_, ESYS_TR_NONE,
                                                ESYS_TR_NONE, &auth, &shape, &counter_);
  if (code == TPM2_RC_NV_DEFINED) {
    return Error{ErrorCode::kResourceExhausted, "the TPM's index is taken"};
  }
  if (code == TPM2_RC_NV_SPACE) {
    return Error{ErrorCode::kUnavailable,
                 "the TPM (" + tcti_ +
                     ") has no room for one more counter: remove those of states that are gone "
                     "(tpm2_nvundefine)"};
  }
  if (code != TSS2_RC_SUCCESS) return Failed("makes no counter", code);
  VTEE_TRY(Count());  // until then it cannot be read
  return Read();
}

Status Link::Find(std::uint32_t index, ConstBytes authorization) {
  TSS2_RC code =
      tss_.Esys_TR_FromTPMPublic(esys_, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &counter_);
  if (Plain(code) == TPM2_RC_HANDLE) return NoCounter();
  if (code != TSS2_RC_SUCCESS) return Failed("does not find its counter", code);
  const TPM2B_AUTH auth = AuthOf(authorization);
  code = tss_.Esys_TR_SetAuth(esys_, counter_, &auth);
  return code == TSS2_RC_SUCCESS ? Status() : Failed("does not find its counter", code);
}

Result<std::uint64_t> Link::Read() {
  TPM2B_MAX_NV_BUFFER* data = nullptr;
  const TSS2_RC code = tss_.Esys_NV_Read(esys_, counter_, counter_, session_, ESYS_TR_NONE,
                                         ESYS_TR_NONE, sizeof(std::uint64_t), 0, &data);
  // Of another kind or with another authorization: somebody else's.
  if (Plain(code) == TPM2_RC_BAD_AUTH || Plain(code) == TPM2_RC_AUTH_FAIL) return NoCounter();
  if (code != TSS2_RC_SUCCESS) return Failed("does not read its counter", code);
  std::uint64_t value = 0;
  const bool whole = data->size == sizeof value;
  for (std::size_t i = 0; whole && i < sizeof value; ++i) value = value << 8 | data->buffer[i];
  tss_.Esys_Free(data);
  if (!whole) return NoCounter();
  return value;
}

Status Link::Count() {
  TSS2_RC code = TSS2_RC_SUCCESS;
  for (int left = kRateTries; left > 0; --left) {
    code = tss_.Esys_NV_Increment(esys_, counter_, counter_, session_, ESYS_TR_NONE, ESYS_TR_NONE);
    if (Plain(code) != TPM2_RC_NV_RATE) break;
    std::this_thread::sleep_for(kRatePause);
  }
  if (Plain(code) == TPM2_RC_BAD_AUTH || Plain(code) == TPM2_RC_AUTH_FAIL) return NoCounter();
  return code == TSS2_RC_SUCCESS ? Status() : Failed("does not count", code);
}

Status Link::Remove() {
  const TSS2_RC code = tss_.Esys_NV_UndefineSpace(esys_, ESYS_TR_RH_OWNER, counter_,
                                                  ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE);
  return code == TSS2_RC_SUCCESS ? Status() : Failed("does not remove its counter", code);
}

}  // namespace

Result<SecretBytes> Tpm::Seal(ConstBytes secret) const {
  VTEE_ASSIGN_OR_RETURN(const auto link, Link::Open(tcti_));
  return link->Seal(secret);
}

Result<SecretBytes> Tpm::Unseal(ConstBytes sealed) const {
  VTEE_ASSIGN_OR_RETURN(const auto link, Link::Open(tcti_));
  return link->Unseal(sealed);
}

Result<std::uint64_t> Tpm::MakeCounter(std::uint32_t index, ConstBytes authorization) const {
  VTEE_ASSIGN_OR_RETURN(const auto link, Link::Open(tcti_));
  return link->Make(index, authorization);
}

Result<std::uint64_t> Tpm::ReadCounter(std::uint32_t index, ConstBytes authorization) const {
  VTEE_ASSIGN_OR_RETURN(const auto link, Link::Open(tcti_));
  VTEE_TRY(link->Find(index, authorization));
  return link->Read();
}

Result<std::uint64_t> Tpm::Increment(std::uint32_t index, ConstBytes authorization) const {
  VTEE_ASSIGN_OR_RETURN(const auto link, Link::Open(tcti_));
  VTEE_TRY(link->Find(index, authorization));
  VTEE_TRY(link->Count());
  return link->Read();
}

Status Tpm::RemoveCounter(std::uint32_t index, ConstBytes authorization) const {
  VTEE_ASSIGN_OR_RETURN(const auto link, Link::Open(tcti_));
  VTEE_TRY(link->Find(index, authorization));
  VTEE_TRY(link->Read());  // ours?
  return link->Remove();
}

}  // namespace vtee::ta
