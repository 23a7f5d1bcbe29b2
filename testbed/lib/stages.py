# SPDX-License-Identifier: BSD-3-Clause
"""Stages: each has a deadline, and says in one line how long it took.

Commands that a stage runs write to one log; it is shown when one of them fails.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

from .machine import program
from .trouble import TimedOut, Trouble

DEADLINES = {
    "fetch": 1800,
    "firmware": 600,
    "images": 600,
    "host": 180,
    "guest": 240,
    "command": 1800,
}


_WORTH_SAYING = 0.05  # seconds; a stage that found all it wanted in the cache says nothing


class Stage:
    """One named stage under way."""

    def __init__(self, name, seconds, log_path):
        self.name = name
        self.log_path = log_path
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self):
        """Seconds left, or None when the stage may take for ever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def check(self, logs=()):
        if self._end is not None and time.monotonic() >= self._end:
            raise TimedOut(f"stage '{self.name}' took longer than its {self._seconds} seconds",
                           logs or [self.log_path])

    def run(self, command, cwd=None, env=None, need=True):
        """Runs a command to its end and returns what it wrote to its standard output.

        Standard error goes to the log. Fails unless the command succeeds, or `need` is false
        (then a failure returns None).
        """
        command = [str(word) for word in command]
        command[0] = program(command[0]) or command[0]
        with open(self.log_path, "ab") as log:
            log.write(("+ " + " ".join(command) + "\n").encode())
            log.flush()
            process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=log,
                                       start_new_session=True)
            try:
                out, _ = process.communicate(timeout=self.left())
            except subprocess.TimeoutExpired:
                self.check()
                raise
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            log.write(out)
        if process.returncode == 0:
            return out.decode(errors="replace")
        if need:
            raise Trouble(f"'{os.path.basename(command[0])}' failed with status "
                          f"{process.returncode} in stage '{self.name}'", [self.log_path])
        return None


class Progress:
    """Opens stages and prints their lines (to standard error, unless quiet)."""

    def __init__(self, log_path, deadlines=None, quiet=False):
        self._log_path = log_path
        self._deadlines = {**DEADLINES, **(deadlines or {})}
        self._quiet = quiet

    def say(self, text):
        if not self._quiet:
            print(f"testbed: {text}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def stage(self, name, what, endless=False):
        """`what` says what was done, in the words of the line printed when it is."""
        begin = time.monotonic()
        stage = Stage(name, None if endless else self._deadlines[name], self._log_path)
        yield stage
        took = time.monotonic() - begin
        if took >= _WORTH_SAYING:
            self.say(f"{name:<9} {took:7.1f} s  {what}")
