# SPDX-License-Identifier: BSD-3-Clause
"""OP-TEE's kit for trusted applications (TAs), Debian's optee-os-dev: makefiles, libraries, the key
that signs development builds, and the TAs that OP-TEE itself has (PKCS#11 among them)."""

import os
import shutil
from pathlib import Path

from .archive import Archive
from .cache import Cache, default_root, files_key
from .firmware import suite_of
from .machine import TO_BUILD_TAS, install_lacking
from .stages import Progress

PKCS11_TA = "fd02c9da-306c-48c7-a49c-bbd827ae86ee.ta"
TRUSTED_KEYS_TA = "f04a0fe7-1f5d-4b9b-abf7-619b85b4ce8c.ta"

_PLATFORM = "usr/lib/optee-os-dev/vexpress-qemu_armv8a"
_SOURCES = Path(__file__).resolve().parents[1] / "ta"


def fetch(debian, optee, stage):
    """The package set: the kit alone (it depends on Python, of this machine's architecture)."""
    return debian.alone(f"optee-os-dev-{optee}", suite_of(optee), lambda names: ["optee-os-dev"],
                        stage)


def prepare(cache, packages, optee, stage):
    """The kit's folder: include, lib, mk, keys, scripts, src, ta."""
    def unpack(folder):
        root = folder / "root"
        for package in packages.glob("*.deb"):
            stage.run(["dpkg-deb", "--extract", package, root])
        for path in (root / _PLATFORM).iterdir():
            path.rename(folder / path.name)
        shutil.rmtree(root)
    return cache.entry("devkit", f"{optee}-{files_key(packages)}", unpack)


def _kit(progress, optee):
    """The kit's folder, fetched if need be."""
    cache = Cache(default_root())
    with progress.stage("fetch", "kit for TAs") as stage:
        packages = fetch(Archive(cache, progress.say), optee, stage)
    with progress.stage("images", "kit for TAs") as stage:
        return prepare(cache, packages, optee, stage)


def copy(folder, *names, optee="4.5"):
    """Takes TAs that OP-TEE itself has, as Debian built and signed them: the folder with them."""
    folder = Path(folder)
    kit = _kit(Progress(folder / "kit.log", quiet=True), optee)
    out = folder / "optee-ta"
    out.mkdir()
    for name in names:
        shutil.copy(kit / "ta" / name, out)
    return out


def build(folder, *names, optee="4.10"):
    """Builds and signs TAs of testbed/ta, as a TA's author does: the folder with the .ta files."""
    folder = Path(folder)
    progress = Progress(folder / "build.log", quiet=True)
    install_lacking(TO_BUILD_TAS, progress.say)
    kit = _kit(progress, optee)
    out = folder / "ta"
    out.mkdir()
    with progress.stage("images", "TAs") as stage:
        prefix = os.environ.get("VTEE_CROSS_PREFIX", "aarch64-linux-gnu-")
        for name in names:
            objects = folder / name
            stage.run(["make", "-C", _SOURCES / name, f"TA_DEV_KIT_DIR={kit}", f"O={objects}",
                       f"CROSS_COMPILE={prefix}", "PYTHON3=/usr/bin/python3"])
            for path in objects.glob("*.ta"):
                shutil.copy(path, out)
    return out
