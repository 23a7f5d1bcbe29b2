/* SPDX-License-Identifier: BSD-3-Clause */
#include "stopwatch.h"

#include <tee_internal_api.h>

TEE_Result TA_CreateEntryPoint(void) { return TEE_SUCCESS; }
void TA_DestroyEntryPoint(void) {}

TEE_Result TA_OpenSessionEntryPoint(uint32_t types, TEE_Param params[4], void** session) {
  (void)types;
  (void)params;
  (void)session;
  return TEE_SUCCESS;
}

void TA_CloseSessionEntryPoint(void* session) { (void)session; }

static uint64_t now(void) {
  uint64_t ticks = 0;
  __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks)::"memory");
  return ticks;
}

static TEE_Result time_system_calls(TEE_Param* memory, TEE_Param* value) {
  uint32_t* const ticks = memory->memref.buffer;
  const size_t count = memory->memref.size / sizeof(*ticks);
  uint64_t frequency = 0;
  for (size_t i = 0; i < count; ++i) {
    TEE_Time time;
    const uint64_t before = now();
    TEE_GetSystemTime(&time);
    ticks[i] = (uint32_t)(now() - before);
  }
  __asm__("mrs %0, cntfrq_el0" : "=r"(frequency));
  value->value.a = (uint32_t)frequency;
  return TEE_SUCCESS;
}

TEE_Result TA_InvokeCommandEntryPoint(void* session, uint32_t command, uint32_t types,
                                      TEE_Param params[4]) {
  (void)session;
  switch (command) {
    case kStopwatchNothing:
      return TEE_SUCCESS;
    case kStopwatchSystemCalls:
      if (types != TEE_PARAM_TYPES(TEE_PARAM_TYPE_MEMREF_OUTPUT, TEE_PARAM_TYPE_VALUE_OUTPUT,
                                   TEE_PARAM_TYPE_NONE, TEE_PARAM_TYPE_NONE)) {
        return TEE_ERROR_BAD_PARAMETERS;
      }
      return time_system_calls(&params[0], &params[1]);
    default:
      return TEE_ERROR_NOT_SUPPORTED;
  }
}
