# SPDX-License-Identifier: BSD-3-Clause
"""The command line."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

from lib import options


def parse(*words):
    with contextlib.redirect_stderr(io.StringIO()):
        return options.parse(list(words))


class OptionsTest(unittest.TestCase):
    def test_defaults(self):
        found = parse()
        self.assertEqual((found.host, found.guest, found.optee), ("el3", "6.12", "4.5"))
        self.assertEqual((found.vms, found.vcpus, found.backend), (1, 1, "host"))

    def test_backend_follows_the_host(self):
        self.assertEqual(parse("--host", "no-el3").backend, "user,keys=development")
        self.assertEqual(parse("--host", "no-el3", "--backend", "none").backend, "none")

    def test_host_memory_follows_the_guests(self):
        self.assertGreaterEqual(parse("--vms", "4", "--mem", "1024").host_mem, 4 * 1024 + 1024)

    def test_no_vms_leave_what_they_would_boot(self):
        found = parse("--vms", "0", "--in-guest", "true", "--in-host", "true")
        self.assertEqual((found.vms, found.no_vm, found.in_guest), (0, False, "true"))

    def test_words_for_the_vmm(self):
        found = parse("--vms", "2", "--", "-device", "virtio-rng-device", "--", "x")
        self.assertEqual(found.vmm_args, ["-device", "virtio-rng-device", "--", "x"])

    def test_words_for_vtee(self):
        found = parse("--vtee-arg", "2:--conduit=hvc", "--vtee-arg=--log-level=debug",
                      "--vtee-arg", "1:a:b", "--private-mem", "2")
        self.assertEqual(found.vtee_arg,
                         [(2, "--conduit=hvc"), (0, "--log-level=debug"), (1, "a:b")])
        self.assertEqual(found.private_mem, [2])
        with self.assertRaises(SystemExit):
            parse("--private-mem", "0")

    def test_no_vm_needs_a_command(self):
        for words in ((), ("--in-guest", "true"), ("--in-host", "true", "--", "-S")):
            with self.assertRaises(SystemExit):
                parse("--no-vm", *words)
        self.assertEqual(parse("--no-vm", "--in-host", "true").vms, 0)

    def test_kernels(self):
        self.assertEqual(parse("--guest", "6.12-16k").guest, "6.12-16k")
        for text in ("6", "6.12-", "6.12 16k", "16k"):
            with self.assertRaises(SystemExit):
                parse("--guest", text)

    def test_deadlines(self):
        found = parse("--deadline", "host=9", "--deadline", "command=0")
        self.assertEqual(found.deadlines, {"host": 9.0, "command": None})
        for text in ("host", "host=x", "lunch=3"):
            with self.assertRaises(SystemExit):
                parse("--deadline", text)

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "a.ta")
            file.touch()
            paths = [options.file_spec(f"{file}{path}").path
                     for path in ("", ":/lib/optee_armtz/", ":/etc/b")]
            self.assertEqual(paths, ["/root/a.ta", "/lib/optee_armtz/a.ta", "/etc/b"])
            with self.assertRaises(SystemExit):
                parse("--host-file", f"{folder}/none")


if __name__ == "__main__":
    unittest.main()
