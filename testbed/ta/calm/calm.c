/* SPDX-License-Identifier: BSD-3-Clause */
#include "calm.h"

#include <tee_internal_api.h>

TEE_Result TA_CreateEntryPoint(void) { return TEE_SUCCESS; }
void TA_DestroyEntryPoint(void) {}

TEE_Result TA_OpenSessionEntryPoint(uint32_t types, TEE_Param params[4], void** session) {
  (void)types;
  (void)params;
  *session = TEE_Malloc(sizeof(uint32_t), 0);
  return *session != NULL ? TEE_SUCCESS : TEE_ERROR_OUT_OF_MEMORY;
}

void TA_CloseSessionEntryPoint(void* session) { TEE_Free(session); }

/* One more in storage; its object is made by the first. */
static TEE_Result count_stored(uint32_t* count) {
  static const char kId[] = "count";
  const uint32_t flags = TEE_DATA_FLAG_ACCESS_READ | TEE_DATA_FLAG_ACCESS_WRITE;
  TEE_ObjectHandle object = TEE_HANDLE_NULL;
  size_t got = 0;
  *count = 0;
  TEE_Result result =
      TEE_OpenPersistentObject(TEE_STORAGE_PRIVATE, kId, sizeof(kId), flags, &object);
  if (result == TEE_ERROR_ITEM_NOT_FOUND) {
    result = TEE_CreatePersistentObject(TEE_STORAGE_PRIVATE, kId, sizeof(kId), flags,
                                        TEE_HANDLE_NULL, count, sizeof(*count), &object);
  }
  if (result != TEE_SUCCESS) return result;
  result = TEE_ReadObjectData(object, count, sizeof(*count), &got);
  ++*count;
  if (result == TEE_SUCCESS) result = TEE_SeekObjectData(object, 0, TEE_DATA_SEEK_SET);
  if (result == TEE_SUCCESS) result = TEE_WriteObjectData(object, count, sizeof(*count));
  TEE_CloseObject(object);
  return result;
}

TEE_Result TA_InvokeCommandEntryPoint(void* session, uint32_t command, uint32_t types,
                                      TEE_Param params[4]) {
  if (command != kCalmCount || TEE_PARAM_TYPE_GET(types, 0) != TEE_PARAM_TYPE_VALUE_INOUT) {
    return TEE_ERROR_BAD_PARAMETERS;
  }
  uint32_t* const count = session;
  params[0].value.a = ++*count;
  return count_stored(&params[0].value.b);
}
