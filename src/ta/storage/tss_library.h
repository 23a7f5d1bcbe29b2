// SPDX-License-Identifier: BSD-3-Clause
// TssLibrary: the functions of tpm2-tss (ESAPI) that vtee calls, looked up when they are needed, so
// that hosts without the library or without a TPM run the same program.
//
// Threading: immutable once found; any thread.
#pragma once

#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#include "base/result.h"

namespace vtee::ta {

#define VTEE_TSS_ESYS(X)       \
  X(Esys_Initialize)           \
  X(Esys_Finalize)             \
  X(Esys_Free)                 \
  X(Esys_CreatePrimary)        \
  X(Esys_Create)               \
  X(Esys_Load)                 \
  X(Esys_Unseal)               \
  X(Esys_FlushContext)         \
  X(Esys_StartAuthSession)     \
  X(Esys_TRSess_SetAttributes) \
  X(Esys_TR_SetAuth)           \
  X(Esys_TR_FromTPMPublic)     \
  X(Esys_TR_Close)             \
  X(Esys_NV_DefineSpace)       \
  X(Esys_NV_UndefineSpace)     \
  X(Esys_NV_Increment)         \
  X(Esys_NV_Read)              \
  X(Esys_NV_ReadPublic)
#define VTEE_TSS_MU(X)              \
  X(Tss2_MU_TPM2B_PUBLIC_Marshal)   \
  X(Tss2_MU_TPM2B_PUBLIC_Unmarshal) \
  X(Tss2_MU_TPM2B_PRIVATE_Marshal)  \
  X(Tss2_MU_TPM2B_PRIVATE_Unmarshal)
#define VTEE_TSS_LOADER(X)   \
  X(Tss2_TctiLdr_Initialize) \
  X(Tss2_TctiLdr_Finalize)

struct TssLibrary {
  // The same one each time.
  static Result<const TssLibrary*> Find();

#define VTEE_TSS_MEMBER(name) decltype(&::name) name = nullptr;
  VTEE_TSS_ESYS(VTEE_TSS_MEMBER)
  VTEE_TSS_MU(VTEE_TSS_MEMBER)
  VTEE_TSS_LOADER(VTEE_TSS_MEMBER)
#undef VTEE_TSS_MEMBER
};

}  // namespace vtee::ta
