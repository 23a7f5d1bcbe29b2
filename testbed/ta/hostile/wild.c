/* SPDX-License-Identifier: BSD-3-Clause */
#include "wild.h"

#include <tee_internal_api.h>
#include <tee_syscall_numbers.h>

#include "raw_calls.h"

enum { kRounds = 120, kBufferBytes = 8192 };

static uint64_t state;

static uint64_t random64(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/* Addresses and sizes around everything that there is, and handles, which are small numbers. */
static uint64_t wild_word(uint8_t* buffer, uint64_t* handle) {
  const uint64_t here = (uint64_t)(uintptr_t)buffer;
  switch (random64() % 24) {
    case 0:
      return 0;
    case 1:
      return ~0ull;
    case 2:
      return 0x40000000; /* the thunk */
    case 3:
      return 0x40001000; /* what it shares with vteed */
    case 4:
      return 0x3fffffff;
    case 5:
      return 0x80000000;
    case 6:
      return 1ull << 63;
    case 7:
      return 0x7fffffff;
    case 8:
      return 0xffffffff;
    case 9:
      return (uint64_t)(uintptr_t)raw_calls;
    case 10:
      return here + kBufferBytes - random64() % 64;
    case 11:
      return (uint64_t)(uintptr_t)handle;
    case 12:
      return random64();
    case 13:
      return here | 1;
    case 14:
      return ~0ull - random64() % 8192;
    case 15:
      return random64() % 5000;
    case 16:
    case 17:
    case 18:
      return here;
    case 19:
      return 0xA0000010 + random64() % 64; /* types of objects, roughly */
    case 20:
      return 0x10000010 + (random64() % 16 << 8);
    default:
      return random64() % 40;
  }
}

/* What the calls may find by a small number. */
static void make_handles(void) {
  TEE_ObjectHandle object = TEE_HANDLE_NULL;
  TEE_OperationHandle operation = TEE_HANDLE_NULL;
  TEE_ObjectEnumHandle enumeration = TEE_HANDLE_NULL;
  TEE_AllocateTransientObject(TEE_TYPE_AES, 256, &object);
  TEE_GenerateKey(object, 256, NULL, 0);
  TEE_AllocateTransientObject(TEE_TYPE_ECDSA_KEYPAIR, 256, &object);
  TEE_AllocateTransientObject(TEE_TYPE_GENERIC_SECRET, 2048, &object);
  TEE_AllocateOperation(&operation, TEE_ALG_SHA256, TEE_MODE_DIGEST, 0);
  TEE_AllocateOperation(&operation, TEE_ALG_AES_GCM, TEE_MODE_ENCRYPT, 256);
  TEE_AllocateOperation(&operation, TEE_ALG_AES_CTR, TEE_MODE_ENCRYPT, 256);
  TEE_AllocateOperation(&operation, TEE_ALG_HMAC_SHA256, TEE_MODE_MAC, 512);
  TEE_AllocatePersistentObjectEnumerator(&enumeration);
  TEE_CreatePersistentObject(TEE_STORAGE_PRIVATE, "wild", 4,
                             TEE_DATA_FLAG_ACCESS_READ | TEE_DATA_FLAG_ACCESS_WRITE |
                                 TEE_DATA_FLAG_ACCESS_WRITE_META | TEE_DATA_FLAG_OVERWRITE,
                             TEE_HANDLE_NULL, "data", 4, &object);
}

uint32_t wild_calls(uint32_t seed) {
  uint8_t* buffer = TEE_Malloc(kBufferBytes, 0);
  uint64_t handle = 0;
  uint32_t made = 0;
  uint64_t a[8];
  state = 0x9e3779b97f4a7c15ull ^ seed;
  make_handles();
  for (unsigned round = 0; round < kRounds; ++round) {
    for (unsigned number = 0; number < kRawCalls; ++number) {
      /* These end the call or the TA, or take as long as they are told. */
      if (number == TEE_SCN_RETURN || number == TEE_SCN_PANIC || number == TEE_SCN_WAIT) continue;
      for (unsigned i = 0; i < 8; ++i) a[i] = wild_word(buffer, &handle);
      /* Their wild sizes are time, and no error: a key of 4096 bits, a file of 4 GiB. */
      if (number == TEE_SCN_CRYP_OBJ_GENERATE_KEY && a[1] > 600) a[1] %= 600;
      handle = random64() % 16;
      raw_call(number)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
      ++made;
    }
  }
  return made;
}
