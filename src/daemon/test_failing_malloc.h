/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a test and test_failing_malloc.c share.
 */
#ifndef VTEE_DAEMON_TEST_FAILING_MALLOC_H
#define VTEE_DAEMON_TEST_FAILING_MALLOC_H

struct failing_malloc {
  unsigned count; /* allocations so far */
  unsigned first; /* the first one that fails, from 1; 0: none */
  unsigned many;  /* how many in a row fail */
};

#endif /* VTEE_DAEMON_TEST_FAILING_MALLOC_H */
