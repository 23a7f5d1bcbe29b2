# SPDX-License-Identifier: BSD-3-Clause
srcs-y += hostile.c wild.c raw_calls.S
