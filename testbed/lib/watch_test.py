# SPDX-License-Identifier: BSD-3-Clause
"""How a run's end is read from what host and guests wrote."""

import tempfile
import types
import unittest
from pathlib import Path

from lib.trouble import TimedOut, Trouble
from lib.stages import Stage
from lib.watch import Watch


class Emulator:
    """An emulator that has ended, or not."""

    def __init__(self, status):
        self._status = status

    def status(self):
        return self._status


class WatchTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.logs = Path(folder.name)
        (self.logs / "state").mkdir()

    def watch(self, vms=1, in_host=None, vm_may_die=False, running=False):
        options = types.SimpleNamespace(vms=vms, in_host=in_host, vm_may_die=vm_may_die,
                                        shell=False)
        paths = types.SimpleNamespace(logs=self.logs, state=self.logs / "state")
        return Watch(options, paths, Emulator(None if running else 0))

    def state(self, **files):
        for name, text in files.items():
            (self.logs / "state" / name.replace("_", "-")).write_text(text)

    def test_first_failure_wins(self):
        self.state(guest_1="up 1\nstatus 0\n", guest_2="up 1\nstatus 3\n", vm_1="0\n",
                   vm_2="0\n", host_command="5\n")
        self.assertEqual(self.watch(2, "true").outcome(), 3)

    def test_the_hosts_command_counts(self):
        self.state(guest_1="up 1\nstatus 0\n", vm_1="0\n", host_command="5\n")
        self.assertEqual(self.watch(1, "false").outcome(), 5)

    def test_unfinished_line_is_not_read(self):
        self.state(guest_1="up 1\nstatus 1")
        with self.assertRaises(Trouble):
            self.watch().outcome()

    def test_dead_vm(self):
        self.state(guest_1="up 1\n", vm_1="137\n")
        with self.assertRaisesRegex(Trouble, "VM 1 ended .with status 137"):
            self.watch().outcome()
        self.assertEqual(self.watch(vm_may_die=True).outcome(), 0)

    def test_machine_that_stops_early(self):
        with self.assertRaisesRegex(Trouble, "ended by itself"):
            self.watch().host_up(Stage("host", 60, self.logs / "log"))

    def test_deadline(self):
        with self.assertRaises(TimedOut):
            self.watch(running=True).host_up(Stage("host", 0, self.logs / "log"))


if __name__ == "__main__":
    unittest.main()
