/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kit's user_ta_header.c makes the head of the TA from. */
#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

#include "stopwatch.h"

#define TA_UUID STOPWATCH_UUID
/* An instance for each session. */
#define TA_FLAGS 0
#define TA_STACK_SIZE (4 * 1024)
#define TA_DATA_SIZE (32 * 1024)

#endif
