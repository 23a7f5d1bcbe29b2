# SPDX-License-Identifier: BSD-3-Clause
"""What is read from xtest's output and from the list of cases that cannot pass."""

import unittest

from lib import xtest

OUTPUT = """
guest| * regression_1001 Core self tests
guest| o regression_1001.1 Core self tests
guest|   regression_1001.1 OK
guest|   regression_1001 OK
guest| * regression_2001 Testing TCP
guest|   regression_2001.2 FAILED
guest|   regression_2001 FAILED
guest| Result of testsuite regression:
guest| regression_1001 OK
guest| regression_2001.2 FAILED first error at ./host/xtest/regression_2000.c:293
guest| regression_2001 FAILED
guest| 33 subtests of which 2 failed
guest| 2 test cases of which 1 failed
guest| 0 test cases were skipped
"""

TABLE = """
### xtest

| case | in the guest | proof |
|---|---|---|
| `regression_2001` | no | no |
| `regression_2002` | no | no |

## Profile
| `regression_1001` | not of this section | |
"""


class XtestTest(unittest.TestCase):
    def test_results(self):
        results = xtest.parse(OUTPUT)
        self.assertTrue(results.finished)
        self.assertFalse(results.all_passed)
        self.assertEqual(results.failures(), ["regression_2001"])
        self.assertEqual((results.total, results.failed), (2, 1))
        self.assertEqual((results.subtests, results.subtests_failed), (33, 2))
        self.assertEqual(results.cases["regression_1001"], "OK")

    def test_a_run_that_stops_has_not_passed(self):
        results = xtest.parse(OUTPUT.split("guest| Result")[0])
        self.assertFalse(results.finished)
        self.assertFalse(results.all_passed)

    def test_impossible_cases(self):
        self.assertEqual(xtest.impossible_cases(TABLE), {"regression_2001", "regression_2002"})
        self.assertEqual(xtest.impossible_cases("nothing"), set())
        self.assertIn("regression_2004", xtest.impossible_cases())
