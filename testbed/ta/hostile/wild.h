/* SPDX-License-Identifier: BSD-3-Clause */
/* Every system call of OP-TEE with arguments that make no sense, or nearly do. */
#ifndef WILD_H
#define WILD_H

#include <stdint.h>

/* Returns how many calls were made; all of them came back. */
uint32_t wild_calls(uint32_t seed);

#endif
