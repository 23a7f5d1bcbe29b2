# SPDX-License-Identifier: BSD-3-Clause
"""What is read from the consoles of bare-metal guests, and how they are started."""

import shlex
import unittest

from lib import guests

OUTPUT = (
    "boot one: --backend host -- memory\n"
    "end one 0\n"
    "one| PASS small, 1 byte\r\n"
    "one| FAIL small, 2 bytes: ffff0006, a0 0\r\n"
    "one| DONE\r\n"
    "boot two: --backend host -- memory\n"
    "end two 137\n"
    "two| PASS small, 1 byte\r\n"
    "two vmm| Killed\n"
    "end three 0\n"
    "three| DONE\r\n")


class Collected:
    """As Verdicts, without printing."""

    def __init__(self):
        self.seen = {}

    def check(self, name, good, why=""):
        self.seen[name] = (good, why)
        return good


class GuestsTest(unittest.TestCase):
    def judged(self, name):
        verdicts = Collected()
        guests.judge(verdicts, name, OUTPUT)
        return verdicts.seen

    def test_each_line_is_a_verdict(self):
        seen = self.judged("one")
        self.assertEqual(seen["one: small, 1 byte"], (True, ""))
        self.assertEqual(seen["one: small, 2 bytes"], (False, "ffff0006, a0 0"))
        self.assertTrue(seen["one: ran to its end"][0])

    def test_a_guest_that_was_killed_fails(self):
        good, why = self.judged("two")["two: ran to its end"]
        self.assertFalse(good)
        self.assertIn("Killed", why)

    def test_a_guest_that_checked_nothing_fails(self):
        self.assertFalse(self.judged("three")["three: ran to its end"][0])
        self.assertFalse(self.judged("four")["four: ran to its end"][0])

    def test_words_stay_together(self):
        boot = guests.Boot("memory", "--backend host --interrupt none", "a b", 9, 2, 64)
        self.assertEqual(shlex.split(boot.arguments("x")),
                         ["x", "memory", "9", "2", "64", "--backend host --interrupt none", "a b"])
