# SPDX-License-Identifier: BSD-3-Clause
"""The machine that the test bed runs on: the Debian packages it needs there."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from .trouble import Trouble

# What each purpose needs: Debian package -> a file that shows it is there (a program's name, or
# a path).
TO_RUN = {
    "util-linux": "setpriv",
    "erofs-utils": "mkfs.erofs",
}
TO_FETCH = {
    "apt": "apt-get",
    "dpkg": "dpkg-deb",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
}
TO_BUILD_IMAGES = {
    "erofs-utils": "mkfs.erofs",
    "kmod": "depmod",
}
TO_BUILD_FIRMWARE = {
    "dpkg-dev": "dpkg-source",
    "make": "make",
    "gcc": "gcc",
    "gcc-aarch64-linux-gnu": "aarch64-linux-gnu-gcc",
    "device-tree-compiler": "dtc",
    "libssl-dev": "/usr/include/openssl/sha.h",
    "xz-utils": "xz",
}
TO_BUILD_TAS = {
    "make": "make",
    "gcc-aarch64-linux-gnu": "aarch64-linux-gnu-gcc",
    "python3-cryptography": "/usr/lib/python3/dist-packages/cryptography",
}

# Debian's names for the machine: architecture, and the folder of its libraries.
ARCHITECTURES = {"x86_64": ("amd64", "x86_64-linux-gnu"), "aarch64": ("arm64", "aarch64-linux-gnu")}

_PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def program(name):
    """The full path of a program, also of those in the folders that only root has in PATH."""
    return shutil.which(name, path=_PLACES)


def architecture():
    """This machine's architecture as Debian calls it, and its libraries' folder."""
    if platform.machine() not in ARCHITECTURES:
        raise Trouble(f"the test bed does not know machines of the kind {platform.machine()}")
    return ARCHITECTURES[platform.machine()]


def lacking(packages):
    """The packages of a table above that are not installed here."""
    return [package for package, sign in packages.items()
            if not (Path(sign).exists() if sign.startswith("/") else program(sign))]


def install_lacking(packages, say):
    """Installs what is lacking through apt-get, or says in one sentence what to do."""
    missing = lacking(packages)
    if not missing:
        return
    advice = f"install the Debian packages {' '.join(missing)} and run this again"
    apt_get = program("apt-get")
    if not apt_get:
        raise Trouble(f"this machine has no apt-get; {advice}")
    prefix = []
    if os.geteuid() != 0:
        sudo = program("sudo")
        if not sudo:
            raise Trouble(f"you are not root and there is no sudo; {advice}")
        prefix = [sudo] if sys.stdin.isatty() else [sudo, "-n"]
    say(f"installing {' '.join(missing)}")
    command = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", apt_get, "install", "-y", "-q",
               "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *missing]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if result.returncode != 0:
        # Package lists may simply be old or absent.
        subprocess.run([*prefix, apt_get, "update", "-q"], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                check=False)
    if result.returncode != 0 or lacking(packages):
        lines = result.stdout.decode(errors="replace").strip().splitlines()
        last = next((line for line in reversed(lines) if line.startswith("E:")), "")
        raise Trouble(f"apt-get could not install {' '.join(missing)} ({last}); {advice}")
