/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TEE Client API 1.0 (GlobalPlatform GPD_SPE_007), binary compatible with OP-TEE's libteec 2.
 *
 * Programs are compiled against the header of their distribution; this one says the same for the
 * library itself. What the specification leaves to implementations (imp) has OP-TEE's size and
 * place, since programs allocate these structures.
 */
#ifndef VTEE_TEE_CLIENT_API_H
#define VTEE_TEE_CLIENT_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TEEC_CONFIG_PAYLOAD_REF_COUNT 4

enum {
  TEEC_NONE = 0x0,
  TEEC_VALUE_INPUT = 0x1,
  TEEC_VALUE_OUTPUT = 0x2,
  TEEC_VALUE_INOUT = 0x3,
  TEEC_MEMREF_TEMP_INPUT = 0x5,
  TEEC_MEMREF_TEMP_OUTPUT = 0x6,
  TEEC_MEMREF_TEMP_INOUT = 0x7,
  TEEC_MEMREF_WHOLE = 0xC,
  TEEC_MEMREF_PARTIAL_INPUT = 0xD,
  TEEC_MEMREF_PARTIAL_OUTPUT = 0xE,
  TEEC_MEMREF_PARTIAL_INOUT = 0xF
};

enum { TEEC_MEM_INPUT = 0x1, TEEC_MEM_OUTPUT = 0x2 };

#define TEEC_SUCCESS ((TEEC_Result)0x00000000)
#define TEEC_ERROR_GENERIC ((TEEC_Result)0xFFFF0000)
#define TEEC_ERROR_BAD_PARAMETERS ((TEEC_Result)0xFFFF0006)
#define TEEC_ERROR_BAD_STATE ((TEEC_Result)0xFFFF0007)
#define TEEC_ERROR_ITEM_NOT_FOUND ((TEEC_Result)0xFFFF0008)
#define TEEC_ERROR_NOT_SUPPORTED ((TEEC_Result)0xFFFF000A)
#define TEEC_ERROR_OUT_OF_MEMORY ((TEEC_Result)0xFFFF000C)
#define TEEC_ERROR_COMMUNICATION ((TEEC_Result)0xFFFF000E)

enum {
  TEEC_ORIGIN_API = 1,
  TEEC_ORIGIN_COMMS = 2,
  TEEC_ORIGIN_TEE = 3,
  TEEC_ORIGIN_TRUSTED_APP = 4
};

enum {
  TEEC_LOGIN_PUBLIC = 0,
  TEEC_LOGIN_USER = 1,
  TEEC_LOGIN_GROUP = 2,
  TEEC_LOGIN_APPLICATION = 4,
  TEEC_LOGIN_USER_APPLICATION = 5,
  TEEC_LOGIN_GROUP_APPLICATION = 6
};

typedef uint32_t TEEC_Result;

typedef struct {
  struct {
    int fd;
    bool reg_mem;
    bool memref_null;
  } imp;
} TEEC_Context;

typedef struct {
  uint32_t timeLow;
  uint16_t timeMid;
  uint16_t timeHiAndVersion;
  uint8_t clockSeqAndNode[8];
} TEEC_UUID;

typedef struct {
  void* buffer;
  size_t size;
  uint32_t flags;
  struct {
    int id;
    size_t alloced_size;
    void* shadow_buffer;
    int registered_fd;
    uint32_t flags;
  } imp;
} TEEC_SharedMemory;

typedef struct {
  void* buffer;
  size_t size;
} TEEC_TempMemoryReference;

typedef struct {
  TEEC_SharedMemory* parent;
  size_t size;
  size_t offset;
} TEEC_RegisteredMemoryReference;

typedef struct {
  uint32_t a;
  uint32_t b;
} TEEC_Value;

typedef union {
  TEEC_TempMemoryReference tmpref;
  TEEC_RegisteredMemoryReference memref;
  TEEC_Value value;
} TEEC_Parameter;

typedef struct {
  struct {
    TEEC_Context* ctx;
    uint32_t session_id;
  } imp;
} TEEC_Session;

typedef struct {
  uint32_t started;
  uint32_t paramTypes;
  TEEC_Parameter params[TEEC_CONFIG_PAYLOAD_REF_COUNT];
  struct {
    TEEC_Session* session;
  } imp;
} TEEC_Operation;

TEEC_Result TEEC_InitializeContext(const char* name, TEEC_Context* context);
void TEEC_FinalizeContext(TEEC_Context* context);
TEEC_Result TEEC_OpenSession(TEEC_Context* context, TEEC_Session* session,
                             const TEEC_UUID* destination, uint32_t connection_method,
                             const void* connection_data, TEEC_Operation* operation,
                             uint32_t* return_origin);
void TEEC_CloseSession(TEEC_Session* session);
TEEC_Result TEEC_InvokeCommand(TEEC_Session* session, uint32_t command, TEEC_Operation* operation,
                               uint32_t* return_origin);
TEEC_Result TEEC_RegisterSharedMemory(TEEC_Context* context, TEEC_SharedMemory* memory);
TEEC_Result TEEC_AllocateSharedMemory(TEEC_Context* context, TEEC_SharedMemory* memory);
void TEEC_ReleaseSharedMemory(TEEC_SharedMemory* memory);
void TEEC_RequestCancellation(TEEC_Operation* operation);
/* OP-TEE's extension for dma-bufs, which programs without a device have no use for. */
TEEC_Result TEEC_RegisterSharedMemoryFileDescriptor(TEEC_Context* context,
                                                    TEEC_SharedMemory* memory, int fd);

#ifdef __cplusplus
}
#endif

#endif
