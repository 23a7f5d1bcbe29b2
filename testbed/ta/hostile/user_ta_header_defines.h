/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kit's user_ta_header.c makes the head of the TA from. */
#ifndef USER_TA_HEADER_DEFINES_H
#define USER_TA_HEADER_DEFINES_H

#include "attacks.h"

#define TA_UUID HOSTILE_UUID
/* One instance for all sessions: what it does to itself concerns all of them. */
#define TA_FLAGS (TA_FLAG_SINGLE_INSTANCE | TA_FLAG_MULTI_SESSION)
#define TA_STACK_SIZE (16 * 1024)
#define TA_DATA_SIZE (256 * 1024)

#endif
