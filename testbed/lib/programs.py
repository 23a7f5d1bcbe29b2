# SPDX-License-Identifier: BSD-3-Clause
"""Debian's arm64 programs that use a TEE, as a folder to run them from without a VM.

On arm64 they run as they are, elsewhere under qemu-user, which looks for libraries there first.
"""

import shutil

from . import archive, elf, userland
from .archive import Archive
from .cache import Cache, default_root, files_key, key
from .stages import Progress

_PROGRAMS = ("usr/bin/xtest",)
_FOLDERS = ("usr/lib/optee_armtz", "usr/lib/tee-supplicant")


class Programs:
    """A folder with `xtest`, its libraries, the TAs and the supplicant's plugins."""

    def __init__(self, root):
        self.root = root
        self.xtest = root / "usr/bin/xtest"
        self.tas = root / "usr/lib/optee_armtz"
        self.plugins = root / "usr/lib/tee-supplicant/plugins"


def prepare(optee, log_path):
    """The Programs of a version of OP-TEE, from the cache or Debian."""
    cache = Cache(default_root())
    progress = Progress(log_path, quiet=True)
    debian = Archive(cache, progress.say)
    with cache.locked(), progress.stage("fetch", "packages") as stage:
        packages = userland.fetch(debian, optee, False, stage)

        def build(folder):
            whole = folder / "whole"
            whole.mkdir()
            archive.unpack(packages, whole, stage)
            _take(whole, folder)
            shutil.rmtree(whole)
        name = f"{optee}-{key(files_key(packages), _PROGRAMS, _FOLDERS)}"
        return Programs(cache.entry("programs", name, build))


def _take(whole, root):
    """Copies what is wanted, with the libraries it needs, into a merged /usr."""
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    for name in _FOLDERS:
        shutil.copytree(whole / name, root / name)
    programs = [whole / name for name in _PROGRAMS]
    plugins = [path for path in (whole / "usr/lib/tee-supplicant").rglob("*") if path.is_file()]
    libraries = [place for place in elf.closure([*programs, *plugins], [whole]).values() if place]
    for path in (*programs, *libraries):
        target = root / path.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path.resolve(), target)
    loader = next(path for path in libraries if path.name.startswith("ld-linux-aarch64"))
    if loader.parent != whole / "usr/lib":
        (root / "usr/lib" / loader.name).symlink_to(loader.relative_to(whole / "usr/lib"))
