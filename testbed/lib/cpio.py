# SPDX-License-Identifier: BSD-3-Clause
"""Writes cpio archives (newc) for initramfs, owned by root, without needing to be root.

The kernel unpacks archives that follow each other in one file, a later one over an earlier one.
"""

import os
import stat
from pathlib import Path

ALIGNMENT = 4


def merged(path):
    """A path as it is where /bin, /sbin and /lib are links into /usr.

    Both the kernel's unpacking and an overlay would otherwise put a folder in the link's place.
    """
    first, _, rest = path.strip("/").partition("/")
    return f"usr/{first}/{rest}".rstrip("/") if first in ("bin", "sbin", "lib") else path.strip("/")


class Cpio:
    """An archive being written to a binary file. Parents of an entry are added as needed."""

    def __init__(self, out):
        self._out = out
        self._size = 0
        self._inode = 0
        self._folders = set()

    def _write(self, data):
        self._out.write(data)
        self._size += len(data)

    def _pad(self):
        self._write(b"\0" * (-self._size % ALIGNMENT))

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        name = name.strip("/")
        self._inode += 1
        encoded = name.encode() + b"\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._write(b"070701" + b"".join(b"%08x" % number for number in numbers) + encoded)
        self._pad()
        self._write(data)
        self._pad()

    def _parents(self, name):
        parent = os.path.dirname(name.strip("/"))
        if parent:
            self.folder(parent)

    def folder(self, name, mode=0o755):
        name = name.strip("/")
        if name and name not in self._folders:
            self._parents(name)
            self._folders.add(name)
            self._entry(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        self._parents(name)
        self._entry(name, stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data)

    def link(self, name, target):
        self._parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, os.fsencode(target))

    def character_device(self, name, major, minor, mode=0o600):
        self._parents(name)
        self._entry(name, stat.S_IFCHR | mode, device=(major, minor))

    def tree(self, path, name):
        """A file, link or whole folder of this machine under `name`."""
        path = Path(path)
        if path.is_symlink():
            self.link(name, os.readlink(path))
        elif path.is_dir():
            self.folder(name)
            for child in sorted(path.iterdir()):
                self.tree(child, f"{name}/{child.name}")
        elif path.is_file():
            self.file(name, path.read_bytes(), stat.S_IMODE(path.stat().st_mode) | 0o400)

    def close(self):
        self._entry("TRAILER!!!", 0)
        self._write(b"\0" * (-self._size % 512))
