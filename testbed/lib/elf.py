# SPDX-License-Identifier: BSD-3-Clause
"""Which shared libraries an AArch64 program needs, and where they are."""

import struct
from pathlib import Path

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5
_EM_AARCH64 = 183
LIBRARY_FOLDERS = ("usr/lib/aarch64-linux-gnu", "usr/lib", "usr/aarch64-linux-gnu/lib")


def _text(data, offset):
    return data[offset:data.index(b"\0", offset)].decode()


def needs(path):
    """The names a dynamic AArch64 ELF file asks for; none for any other file."""
    with open(path, "rb") as file:
        data = file.read(64)
        if (len(data) < 64 or data[:6] != b"\x7fELF\x02\x01"
                or struct.unpack_from("<H", data, 18)[0] != _EM_AARCH64):
            return []
        data += file.read()
    table, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads, dynamic, names = [], None, []
    for index in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data,
                                                                 table + index * size)
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, length)
        elif kind == _PT_INTERP:
            names.append(Path(_text(data, offset)).name)
    if dynamic is None:
        return []
    strings, wanted = 0, []
    for offset in range(dynamic[0], sum(dynamic), 16):
        tag, value = struct.unpack_from("<QQ", data, offset)
        if tag == _DT_NEEDED:
            wanted.append(value)
        elif tag == _DT_STRTAB:
            strings = next(value - address + offset for address, offset, length in loads
                           if address <= value < address + length)
    return names + [_text(data, strings + value) for value in wanted]


def closure(files, roots):
    """Libraries that `files` need, directly or not: name -> path in one of the `roots`.

    The first root that has a library wins; None where no root has it. Debian's cross compilers
    keep theirs in the last of LIBRARY_FOLDERS.
    """
    found, todo = {}, list(files)
    while todo:
        for name in needs(todo.pop()):
            if name in found:
                continue
            found[name] = next((path for root in roots for folder in LIBRARY_FOLDERS
                                if (path := Path(root, folder, name)).exists()), None)
            if found[name]:
                todo.append(found[name])
    return found
