#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Seeds of the fuzzers, kept as text.

    fuzz/seeds.py unpack FOLDER NAME...  corpus/NAME.hex (and corpus/NAME/*) into FOLDER/NAME/
    fuzz/seeds.py pack FOLDER NAME       FOLDER/* into corpus/NAME.hex

A line of a .hex file is one seed: words of hexadecimal bytes, zN for N zero bytes, and NxBYTES for
N times the same. Lines that begin with # say what they like.
"""

import hashlib
import re
import sys
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
WORD = 64  # bytes a word of a line


PIECES = re.compile(rb"(?P<zeros>\0{8,})|(?P<run>(?P<unit>.{8})(?P=unit){2,})|(?P<byte>.)", re.S)


def to_line(data):
    """A seed's text."""
    words, plain = [], b""
    for piece in PIECES.finditer(data):
        if piece["byte"]:
            plain += piece["byte"]
            continue
        words += [plain[i:i + WORD].hex() for i in range(0, len(plain), WORD)]
        plain = b""
        words.append(f"z{len(piece['zeros'])}" if piece["zeros"] else
                     f"{len(piece['run']) // 8}x{piece['unit'].hex()}")
    return " ".join(words + [plain[i:i + WORD].hex() for i in range(0, len(plain), WORD)])


def from_word(word):
    """The bytes that a word of a line stands for."""
    if word[0] == "z":
        return bytes(int(word[1:]))
    times, times_sign, unit = word.rpartition("x")
    return bytes.fromhex(unit) * (int(times) if times_sign else 1)


def from_line(line):
    """The seed that a line stands for."""
    return b"".join(from_word(word) for word in line.split())


def read(path):
    """The seeds of one .hex file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [from_line(line) for line in lines if line.strip() and not line.startswith("#")]


def of(name):
    """All seeds of a fuzzer: the .hex file's, and files that are text themselves."""
    folder = CORPUS / name
    texts = [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []
    return texts + read(CORPUS / f"{name}.hex")


def write(folder, seeds):
    """One file for each seed, named by its contents."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in seeds:
        path = folder / hashlib.sha1(data).hexdigest()
        if not path.exists():
            path.write_bytes(data)


def pack(folder, name):
    """Replaces corpus/NAME.hex, but for its first lines that begin with #."""
    path = CORPUS / f"{name}.hex"
    lines = path.read_text().splitlines() if path.exists() else []
    seeds = sorted({file.read_bytes() for file in Path(folder).iterdir()},
                   key=lambda data: (len(data), data))
    head = [line for line in lines if line.startswith("#")]
    path.write_text("\n".join(head + [to_line(data) for data in seeds if data]) + "\n")


def main():
    words = sys.argv[1:]
    if len(words) >= 3 and words[0] == "unpack":
        for name in words[2:]:
            write(Path(words[1]) / name, of(name))
    elif len(words) == 3 and words[0] == "pack":
        pack(words[1], words[2])
    else:
        sys.exit(__doc__.strip())


if __name__ == "__main__":
    main()
