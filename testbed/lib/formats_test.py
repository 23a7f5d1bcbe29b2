# SPDX-License-Identifier: BSD-3-Clause
"""Files that the test bed reads or writes: apt sources, cpio archives, ELF files, the cache."""

import io
import shutil
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

from lib import archive, cache, cpio, elf, sources
from lib.trouble import Trouble

LIST = """
# deb http://a.example/debian stable main
deb-src http://b.example/debian stable main
deb [arch=amd64 signed-by=/k.gpg] http://c.example/other thing main
deb http://d.example/debian-security bookworm-security main
deb [ signed-by=/k.gpg trusted=yes ] http://e.example/debian bookworm main contrib # comment
"""

DEB822 = """
Types: deb
# a comment
URIs: http://f.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://g.example/debian
Suites: trixie
Components: main
"""


class SourcesTest(unittest.TestCase):
    def test_one_line_style(self):
        source = sources.main_archive(sources.parse_list(LIST))
        self.assertEqual(source.uri, "http://e.example/debian")
        self.assertEqual(
            sources.lines_for(source, "sid"),
            f"deb [signed-by=/k.gpg,{sources.KEYRING} trusted=yes] http://e.example/debian sid "
            "main\n")

    def test_deb822_style(self):
        found = sources.parse_deb822(DEB822)
        self.assertEqual([source.uri for source in found], ["http://f.example/debian"])
        self.assertEqual(
            sources.lines_for(sources.main_archive(found), "sid", ("deb", "deb-src")),
            f"deb [signed-by={sources.KEYRING}] http://f.example/debian sid main\n"
            f"deb-src [signed-by={sources.KEYRING}] http://f.example/debian sid main\n")

    def test_no_archive(self):
        with self.assertRaises(Trouble):
            sources.main_archive([])


class KernelChoiceTest(unittest.TestCase):
    NAMES = ["linux-image-6.12.9+deb13-arm64", "linux-image-6.12.107+deb13-arm64",
             "linux-image-6.12.107+deb13-arm64-16k", "linux-image-6.12.107+deb13-rt-arm64",
             "linux-image-7.2.13+deb14-arm64", "linux-binary-7.2.13+deb14-arm64",
             "linux-modules-7.2.13+deb14-arm64"]

    def test_newest_with_its_parts(self):
        self.assertEqual(archive.choose_kernel("6.12")(self.NAMES),
                         ["linux-image-6.12.107+deb13-arm64"])
        self.assertEqual(len(archive.choose_kernel("7.2")(self.NAMES)), 3)
        self.assertEqual(archive.choose_kernel("6.12-16k")(self.NAMES),
                         ["linux-image-6.12.107+deb13-arm64-16k"])

    def test_gone(self):
        with self.assertRaisesRegex(Trouble, "6.12, 7.2"):
            archive.choose_kernel("6.1")(self.NAMES)
        with self.assertRaisesRegex(Trouble, "7.2-16k"):
            archive.choose_kernel("7.2-16k")(self.NAMES)


class CpioTest(unittest.TestCase):
    def test_merged_usr(self):
        self.assertEqual(cpio.merged("/lib/optee_armtz/x.ta"), "usr/lib/optee_armtz/x.ta")
        self.assertEqual([cpio.merged(path) for path in ("bin", "/etc/x", "/library")],
                         ["usr/bin", "etc/x", "library"])

    def test_sizes_and_parents(self):
        out = io.BytesIO()
        writer = cpio.Cpio(out)
        writer.file("a/b/c", "12345", 0o755)
        writer.link("a/l", "b/c")
        writer.close()
        data = out.getvalue()
        self.assertEqual(len(data) % 512, 0)
        self.assertEqual(data.count(b"070701"), 5)  # a, a/b, a/b/c, a/l, the trailer

    @unittest.skipUnless(shutil.which("cpio"), "no cpio here")
    def test_cpio_reads_it(self):
        out = io.BytesIO()
        writer = cpio.Cpio(out)
        writer.file("a/b", b"text\n")
        writer.close()
        listing = subprocess.run(["cpio", "-t", "--quiet"], input=out.getvalue(),
                                 stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(listing.split(), [b"a", b"a/b"])


class ElfTest(unittest.TestCase):
    @staticmethod
    def write(path, *names):
        """A minimal AArch64 ELF file with a dynamic section that asks for `names`."""
        strings, offsets = b"\0", []
        for name in names:
            offsets.append(len(strings))
            strings += name.encode() + b"\0"
        dynamic = b"".join(struct.pack("<QQ", 1, offset) for offset in offsets)
        begin = 64 + 2 * 56
        size = len(dynamic) + 32
        dynamic += struct.pack("<QQQQ", 5, 0x1000 + begin + size, 0, 0)
        header = (b"\x7fELF\x02\x01\x01" + bytes(9)
                  + struct.pack("<HHIQQQIHHHHHH", 3, 183, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0))
        load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0, 0x1000, 0x1000, 4096)
        segment = struct.pack("<IIQQQQQQ", 2, 6, begin, 0x1000 + begin, 0, size, size, 8)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(header + load + segment + dynamic + strings)

    def test_closure(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            self.write(root / "prog", "libone.so", "libnone.so")
            self.write(root / "usr/lib/libone.so", "libtwo.so")
            self.write(root / "usr/lib/libtwo.so", "libone.so")
            self.assertEqual(elf.needs(root / "prog"), ["libone.so", "libnone.so"])
            found = elf.closure([root / "prog"], [root])
            self.assertEqual(set(found), {"libone.so", "libtwo.so", "libnone.so"})
            self.assertIsNone(found["libnone.so"])

    def test_other_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "script")
            path.write_text("#!/bin/sh\n")
            self.assertEqual(elf.needs(path), [])


class CacheTest(unittest.TestCase):
    def test_entries_are_built_once_and_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            store = cache.Cache(folder)
            built = []

            def build(place):
                built.append(place)
                (place / "file").touch()

            def fail(place):
                (place / "half").touch()
                raise Trouble("no")

            with self.assertRaises(Trouble):
                store.entry("kind", "name", fail)
            self.assertFalse(store.has("kind", "name"))
            for _ in range(2):
                place = store.entry("kind", "name", build)
            self.assertEqual(len(built), 1)
            self.assertEqual([path.name for path in place.iterdir()], ["file"])


if __name__ == "__main__":
    unittest.main()
