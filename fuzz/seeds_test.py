# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the seeds' text form and of the conversion of recorded calls."""

import random
import struct
import unittest

import convert
import seeds


def message(command, session, params):
    head = struct.pack("<8I", command, 0, session, 0, 0, 0, 0, len(params))
    return (head + b"".join(struct.pack("<4Q", *param) for param in params)).hex()


PAGES = struct.pack("<3Q", 0x40005000, 0x40009000, 0x4000A000).hex()
RECORD = "\n".join([
    "call 0 b2000009 1 0 0 0 0",
    "call 0 32000012 0 40001000 0 0 0 message 40001000 "
    + message(convert.OPEN, 0, [(0x101, 1, 2, 0), (0x101, 0, 0, 0)]),
    "call 1 32000013 0 77 0 0 0 message 0 "
    + message(convert.REGISTER, 0, [(0x20A, 0x40003008, 0x2000, 0xAA)])
    + f" list 40003008 2000 {PAGES}",
    "call 1 32000013 0 77 0 0 0 message 0 "
    + message(convert.INVOKE, 1, [(5, 16, 64, 0xAA)]),
    "another line of a log",
])


class SeedsTest(unittest.TestCase):
    def test_text_form_round_trips(self):
        chance = random.Random(4711)
        for _ in range(200):
            data = b"".join(chance.choice([bytes(chance.randrange(40)), b"abcdefgh" * 5,
                                           chance.randbytes(chance.randrange(90))])
                            for _ in range(chance.randrange(8)))
            self.assertEqual(seeds.from_line(seeds.to_line(data)), data)

    def test_runs_are_short(self):
        self.assertEqual(seeds.to_line(bytes(4096)), "z4096")
        self.assertEqual(seeds.to_line(b"\1" + b"abcdefgh" * 511), "01 511x6162636465666768")


class ConvertTest(unittest.TestCase):
    def test_an_invocation_brings_what_it_needs(self):
        found = convert.inputs(RECORD)
        counts = sorted(data[0] for data in found["secure_call_fuzzer"])
        self.assertEqual(counts, [1, 1, 5])  # register, open, invoke, close, unregister
        steps = sorted(len(data) // 112 for data in found["message_fuzzer"])
        self.assertEqual(steps, [1, 1, 5])

    def test_a_page_list_keeps_its_shape(self):
        (data,) = convert.inputs(RECORD)["page_list_fuzzer"]
        address, offset, size = struct.unpack_from("<3Q", data)
        self.assertEqual((address, offset, size), (convert.RAM, 8, 0x2000))
        entries = struct.unpack_from("<3Q", data, 24)
        self.assertEqual(len(set(entries)), 3)
        self.assertTrue(all(entry % convert.PAGE == 0 for entry in entries))

    def test_nonsense_is_refused(self):
        with self.assertRaises(ValueError):
            convert.parse_line("call 0 1 2 3 4 5 6 poetry")


if __name__ == "__main__":
    unittest.main()
