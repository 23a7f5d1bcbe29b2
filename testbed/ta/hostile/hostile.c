/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TA that means harm. A real one, built with OP-TEE's kit and signed with the key that vteed was
 * told to trust: nothing but its process keeps it from its host. attacks.h says what it does.
 */
#include <pta_system.h>
#include <tee_internal_api.h>
#include <tee_internal_api_extensions.h>

#include "../calm/calm.h"
#include "attacks.h"
#include "raw_calls.h"
#include "wild.h"

enum { kPage = 4096 };
/* vtee's: the thunk, what it shares with vteed (turn and event at 0 and 20), the TA's memory. */
static const uintptr_t kArena = 0x40000000;
static const uintptr_t kShared = 0x40001000;
static const uintptr_t kArenaBytes = 0x10000000;
/* Where the program lies that runs the TA. */
static const uintptr_t kRunner = 0x400000;

enum { kLinuxMprotect = 226 };

static const char kLine[] = "a line of no interest\n\x1b[2J and another";

TEE_Result TA_CreateEntryPoint(void) { return TEE_SUCCESS; }
void TA_DestroyEntryPoint(void) {}
TEE_Result TA_OpenSessionEntryPoint(uint32_t types, TEE_Param params[4], void** session) {
  (void)types;
  (void)params;
  (void)session;
  return TEE_SUCCESS;
}
void TA_CloseSessionEntryPoint(void* session) { (void)session; }

static uint32_t exhaust(void) {
  uint32_t kib = 0;
  TEE_TASessionHandle system = TEE_HANDLE_NULL;
  const TEE_UUID uuid = PTA_SYSTEM_UUID;
  uint32_t origin = 0;
  for (size_t size = 1 << 20; size >= 16; size /= 2) {
    while (TEE_Malloc(size, 0) != NULL) kib += size / 1024;
  }
  if (TEE_OpenTASession(&uuid, TEE_TIMEOUT_INFINITE, 0, NULL, &system, &origin) != TEE_SUCCESS) {
    return 0;
  }
  for (uint32_t size = 64 << 20; size >= kPage; size /= 2) {
    for (;;) {
      TEE_Param map[4] = {{.value = {size, 0}}, {.value = {0, 0}}, {.value = {0, 0}}};
      const uint32_t types = TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT, TEE_PARAM_TYPE_VALUE_INOUT,
                                             TEE_PARAM_TYPE_VALUE_INPUT, TEE_PARAM_TYPE_NONE);
      if (TEE_InvokeTACommand(system, TEE_TIMEOUT_INFINITE, PTA_SYSTEM_MAP_ZI, types, map,
                              &origin) != TEE_SUCCESS) {
        break;
      }
      uint8_t* memory = (uint8_t*)(((uintptr_t)map[1].value.a << 32) | map[1].value.b);
      for (uint32_t at = 0; at < size; at += kPage) memory[at] = 1;
      kib += size / 1024;
    }
  }
  return kib;
}

static unsigned recurse(unsigned depth) {
  volatile uint8_t here[1024];
  here[0] = (uint8_t)depth;
  return recurse(depth + 1) + here[0];
}

static void scribble_over(uintptr_t start, uintptr_t bytes) {
  for (uintptr_t at = start; at < start + bytes; at += kPage) {
    volatile uint64_t* page = (volatile uint64_t*)at;
    for (unsigned i = 0; i < kPage / sizeof(*page); ++i) page[i] = 0xDEADBEEF00000000ull + i;
  }
}

static void scribble(uint32_t how) {
  /* All of these are calls that the filter lets pass: they change only this process. */
  if (how >= 1) linux_call(kLinuxMprotect, (long)kArena, (long)kArenaBytes, 7, 0, 0, 0);
  if (how >= 2) {
    linux_call(kLinuxMprotect, (long)kRunner, 0x1000, 7, 0, 0, 0);
    scribble_over(kRunner, 0x1000);
  }
  scribble_over(kShared, kArenaBytes - kPage);
}

static void forge(uint32_t what) {
  volatile uint32_t* shared = (volatile uint32_t*)kShared;
  for (;;) {
    for (unsigned i = 6; i < 0x3000 / 4; i += 7) shared[i] = 0xFFFFFFFF - i;
    shared[5] = what & 0xFFFF;
    shared[0] = what >> 16;
  }
}

static uint32_t take_handles(void) {
  uint32_t taken = 0;
  uint32_t handle = 0;
  static const TEE_UUID kSystem = PTA_SYSTEM_UUID;
  /* The library has memory for few; the calls have not. Each may say no, or go on for a while. */
  for (unsigned i = 0; i < 4200; ++i) {
    taken += raw_call(27)(TEE_TYPE_AES, 256, (uintptr_t)&handle, 0, 0, 0, 0, 0) == 0;
    taken += raw_call(15)(TEE_ALG_SHA256, TEE_MODE_DIGEST, 0, 0, (uintptr_t)&handle, 0, 0, 0) == 0;
    taken += raw_call(45)((uintptr_t)&handle, 0, 0, 0, 0, 0, 0, 0) == 0;
    uint32_t origin = 0;
    taken += raw_call(5)((uintptr_t)&kSystem, ~0u, 0, (uintptr_t)&handle, (uintptr_t)&origin, 0, 0,
                         0) == 0;
  }
  return taken;
}

static uint32_t spawn(void) {
  static const TEE_UUID kCalm = CALM_UUID;
  uint32_t opened = 0;
  uint32_t session = 0;
  uint32_t origin = 0;
  while (opened < 5000 && raw_call(5)((uintptr_t)&kCalm, ~0u, 0, (uintptr_t)&session,
                                      (uintptr_t)&origin, 0, 0, 0) == 0) {
    ++opened;
  }
  return opened;
}

TEE_Result TA_InvokeCommandEntryPoint(void* session, uint32_t command, uint32_t types,
                                      TEE_Param params[4]) {
  (void)session;
  if (TEE_PARAM_TYPE_GET(types, 0) != TEE_PARAM_TYPE_VALUE_INOUT) return TEE_ERROR_BAD_PARAMETERS;
  const uint32_t how = params[0].value.a;
  uint32_t* const said = &params[0].value.b;
  switch ((enum Attack)command) {
    case kAttackJump: {
      ((void (*)(void))(uintptr_t)(((uint64_t)params[0].value.b << 32) | how))();
      return TEE_SUCCESS;
    }
    case kAttackLoop:
      for (;;) asm volatile("");
    case kAttackExhaust:
      *said = exhaust();
      return TEE_SUCCESS;
    case kAttackRecurse:
      return recurse(0);
    case kAttackScribble:
      scribble(how);
      return TEE_SUCCESS;
    case kAttackLinux:
      *said = (uint32_t)linux_call((long)how, 0, 0, 0, 0, 0, 0);
      return TEE_SUCCESS;
    case kAttackWild:
      *said = wild_calls(how);
      return TEE_SUCCESS;
    case kAttackPanic:
      TEE_Panic(how);
      return TEE_SUCCESS;
    case kAttackHandles:
      *said = take_handles();
      return TEE_SUCCESS;
    case kAttackBigOutput:
      params[1].memref.size = ~0u;
      return TEE_SUCCESS;
    case kAttackForge:
      forge(how);
      return TEE_SUCCESS;
    case kAttackLog:
      for (unsigned i = 0; i < 10000; ++i)
        raw_call(1)((uintptr_t)kLine, sizeof(kLine) - 1, 0, 0, 0, 0, 0, 0);
      return TEE_SUCCESS;
    case kAttackSpawn:
      *said = spawn();
      return TEE_SUCCESS;
    case kAttackNone:
      return TEE_SUCCESS;
  }
  return TEE_ERROR_BAD_PARAMETERS;
}
