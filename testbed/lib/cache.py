# SPDX-License-Identifier: BSD-3-Clause
"""The cache: entries named by the content they were made from, built once, never changed.

An entry is a folder. It is built beside its place under a lock and moved there when complete, so
a reader needs no lock and an interrupted build leaves nothing behind.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from pathlib import Path

from .trouble import Trouble

_KEPT_SECONDS = 30 * 24 * 3600


def default_root():
    """The test bed's folder in the user's cache."""
    base = os.environ.get("VTEE_CACHE")
    if not base:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        base = os.path.join(home, "vtee")
    return Path(base).absolute() / "testbed"


def key(*parts):
    """A short name for what `parts` (strings, or lists of them) say."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def files_key(folder):
    """The same for a folder of packages: their names (with versions) and sizes."""
    return key(sorted((path.name, path.stat().st_size) for path in Path(folder).iterdir()))


class Cache:
    """A folder of entries, `root/kind/name`."""

    def __init__(self, root):
        self.root = Path(root)
        self.say = lambda text: None
        self._locked = 0
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Trouble(f"cannot make the cache folder {self.root}: {error.strerror}; "
                          "set VTEE_CACHE to a folder that you can write to") from error

    @contextlib.contextmanager
    def locked(self):
        """Holds the cache's lock, which other runs respect; may be nested."""
        if self._locked:
            yield
            return
        with open(self.root / "lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("waiting for another run that is filling the cache")
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._locked += 1
            try:
                yield
            finally:
                self._locked -= 1

    def path(self, kind, name):
        return self.root / kind / name

    def has(self, kind, name):
        return self.path(kind, name).is_dir()

    def entry(self, kind, name, build, renew=False):
        """The entry's folder; `build(folder)` fills a new one if there is none (or to renew)."""
        place = self.path(kind, name)
        if place.is_dir() and not renew:
            os.utime(place)
            return place
        with self.locked():
            if place.is_dir() and not renew:
                return place
            self._forget_unused(kind)
            draft = place.with_name(place.name + ".new")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            build(draft)
            shutil.rmtree(place, ignore_errors=True)
            draft.rename(place)
        return place

    def _forget_unused(self, kind):
        """Removes the entries of a kind that no run has wanted for long."""
        for path in self.path(kind, ".").glob("*"):
            if path.stat().st_mtime < time.time() - _KEPT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
