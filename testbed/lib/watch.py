# SPDX-License-Identifier: BSD-3-Clause
"""Follows a run through the files that host and guests write, and says how it ended."""

import sys
import time

from .trouble import Trouble

_POLL_SECONDS = 0.05


class Follower:
    """Copies what a growing log says to standard output, whole lines, perhaps with a prefix."""

    def __init__(self, path, prefix):
        self._path = path
        self._prefix = prefix.encode()
        self._offset = 0

    def copy(self, final=False):
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        if not final:
            data = data[:data.rfind(b"\n") + 1]
        self._offset += len(data)
        if not data:
            return
        lines = data.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        out = sys.stdout.buffer
        out.write(b"".join(self._prefix + line + b"\n" for line in lines))
        out.flush()


class Watch:
    """One run under way."""

    def __init__(self, options, paths, emulator):
        self._options = options
        self._logs = paths.logs
        self._state = paths.state
        self._emulator = emulator
        self._vms = range(1, options.vms + 1)
        prefixed = options.vms > 1 or (options.vms and options.in_host)
        self._followers = [
            Follower(self._logs / f"guest-{n}.out",
                     f"guest {n}| " if options.vms > 1 else "guest| " if prefixed else "")
            for n in self._vms]
        if options.in_host:
            self._followers.append(Follower(self._logs / "host.out", "host| " if prefixed else ""))
        if options.shell:
            self._followers = []

    def _lines(self, name):
        """The finished lines of a state file, as lists of words."""
        try:
            text = (self._state / name).read_text()
        except FileNotFoundError:
            return []
        return [line.split() for line in text[:text.rfind("\n") + 1].splitlines()]

    def _said(self, name, word=None):
        """The last word of the first line (that begins with `word`), or None."""
        for line in self._lines(name):
            if line and (word is None or line[0] == word):
                return line[-1]
        return None

    def guest_logs(self, n):
        return [self._logs / f"guest-{n}.console", self._logs / f"vm-{n}.log",
                self._logs / f"vteed-{n}.log", self._logs / f"guest-{n}.out"]

    def _logs_of(self, missing):
        return [log for n in missing[:2] for log in self.guest_logs(n)]

    def _until(self, stage, done, logs):
        """Polls until `done()`, the end of the emulator, or the deadline."""
        while not done():
            ended = self._emulator.status() is not None
            self.copy()
            if ended:
                if done():
                    return
                raise Trouble("the emulated machine ended by itself in stage "
                              f"'{stage.name}'", logs())
            stage.check(logs())
            time.sleep(_POLL_SECONDS)

    def copy(self, final=False):
        for follower in self._followers:
            follower.copy(final)

    def host_up(self, stage):
        logs = [self._logs / name for name in ("secure.log", "qemu.log", "host.console")]
        self._until(stage, lambda: self._said("host-up"), lambda: logs)

    def guests_up(self, stage):
        """Waits until each guest is up."""
        def missing():
            waiting = [n for n in self._vms if not self._said(f"guest-{n}", "up")]
            return [n for n in waiting if not self._dead(n)]
        self._until(stage, lambda: not missing(), lambda: self._logs_of(missing()))

    def _dead(self, n):
        """Whether a VM ended before its command did, where that is allowed; trouble elsewhere."""
        ended = self._said(f"vm-{n}")
        if ended is None or self._said(f"guest-{n}", "status") is not None:
            return False
        if not self._options.vm_may_die:
            raise Trouble(f"VM {n} ended (with status {ended}) before its command did",
                          self.guest_logs(n))
        return True

    def finished(self, stage):
        """Waits for the end of the machine, which follows that of the commands."""
        def logs():
            unfinished = [n for n in self._vms if self._said(f"guest-{n}", "status") is None]
            own = [] if self._said("host-command") else [self._logs / "host.out"]
            return self._logs_of(unfinished) + own or [self._logs / "host.console"]
        self._until(stage, lambda: self._emulator.status() is not None, logs)
        self.copy(final=True)

    def outcome(self):
        """The run's exit status."""
        statuses = []
        for n in self._vms:
            status = self._said(f"guest-{n}", "status")
            if status is not None:
                statuses.append(int(status))
            elif not self._dead(n):
                raise Trouble(f"the machine ended before the command of guest {n} did",
                              [self._logs / "host.console", *self.guest_logs(n)])
        if self._options.in_host:
            status = self._said("host-command")
            if status is None and not self._options.shell:
                raise Trouble("the machine ended before the host's command did",
                              [self._logs / "host.console", self._logs / "host.out"])
            statuses.append(int(status or 0))
        return next((status for status in statuses if status), 0)
