# SPDX-License-Identifier: BSD-3-Clause
"""What host and guest run above their kernels: the host's root (EROFS), the guest's (cpio)."""

import shutil

from . import archive, devkit, elf
from .cache import files_key, key
from .cpio import Cpio
from .firmware import suite_of
from .machine import TO_BUILD_IMAGES, install_lacking
from .trouble import Trouble

_OPTEE_PACKAGES = ("tee-supplicant", "libteec2", "libckteec0t64", "optee-test-qemu")
_PACKAGES = ("qemu-system-arm", "qemu-efi-aarch64", "busybox-static", "strace", "socat",
             "libstdc++6", "libsqlite3-0", "libssl3t64", "libseccomp2", "libcap-ng0", "libfdt1",
             "kexec-tools", *_OPTEE_PACKAGES)

# With --pkcs11.
_PKCS11_PACKAGES = ("opensc",)
_PKCS11_PROGRAMS = ("usr/bin/pkcs11-tool",)

# Left out of the host's root: documents, translations, firmware of machines that are not ours.
_UNUSED = (
    "etc/init.d", "usr/include", "usr/lib/systemd", "usr/bin/qemu-system-arm", "usr/share/doc",
    "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man", "usr/share/qemu",
    "usr/share/gdb", "usr/lib/aarch64-linux-gnu/gconv", "usr/share/bug",
    "usr/share/AAVMF",  # flash images of 64 MiB; QEMU_EFI.fd is the same firmware for -bios
)

# The guest's root: these and the libraries they need.
_GUEST_PROGRAMS = ("usr/bin/busybox", "usr/sbin/tee-supplicant", "usr/bin/xtest",
                   "usr/bin/strace", "usr/sbin/kexec")
_GUEST_FILES = ("usr/lib/optee_armtz", "usr/lib/tee-supplicant")
_GUEST_OPTIONAL = ("usr/lib/aarch64-linux-gnu/libckteec.so.0",)

# Where programs look for their loader.
_LOADER = ("usr/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu/ld-linux-aarch64.so.1")

_FOLDERS = ("dev", "etc", "proc", "sys", "run", "root", "tmp", "lib/modules",
            "var/lib/optee-client/data/tee")


class Userland:
    """A folder with `root.erofs`, `guest.cpio` and `busybox` (arm64, static)."""

    def __init__(self, folder):
        self.host_root = folder / "root.erofs"
        self.guest_root = folder / "guest.cpio"
        self.busybox = folder / "busybox"
        self.host_libraries = set((folder / "host-libraries").read_text().split())
        self.guest_libraries = set((folder / "guest-libraries").read_text().split())


def fetch(debian, optee, pkcs11, stage):
    """The package set of the userland with OP-TEE's programs of a version."""
    suite = suite_of(optee)
    newer = _OPTEE_PACKAGES if suite != archive.MAIN_SUITE else ()
    packages = _PACKAGES + (_PKCS11_PACKAGES if pkcs11 else ())
    return debian.with_dependencies(f"userland-{optee}", suite, packages, stage, newer)


def prepare(cache, packages, optee, kit, say, stage):
    """The Userland of a package set; with PKCS#11, whose TA is in the kit, if there is a kit."""
    programs = _GUEST_PROGRAMS + (_PKCS11_PROGRAMS if kit else ())

    def build(folder):
        install_lacking(TO_BUILD_IMAGES, say)
        root = folder / "root"
        root.mkdir()
        archive.unpack(packages, root, stage)
        if kit:
            shutil.copy(kit / "ta" / devkit.PKCS11_TA, root / "usr/lib/optee_armtz")
        _shape(root)
        shutil.copy(root / "usr/bin/busybox", folder)
        folders = [root / name for name in elf.LIBRARY_FOLDERS]
        (folder / "host-libraries").write_text("".join(
            f"{path.name}\n" for place in folders for path in place.glob("*.so*")))
        libraries = _write_guest(root, programs, folder / "guest.cpio")
        (folder / "guest-libraries").write_text("".join(f"{name}\n" for name in libraries))
        stage.run(["mkfs.erofs", "--quiet", "--all-root", "-T0", folder / "root.erofs", root])
        shutil.rmtree(root)
    parts = (files_key(packages), _UNUSED, programs, _GUEST_FILES, _LOADER)
    name = f"{optee}-{key(*parts, kit.name) if kit else key(*parts)}"
    return Userland(cache.entry("userland", name, build))


def _shape(root):
    """Makes an unpacked package set a root that can be booted read-only."""
    for name in _UNUSED:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in _FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    if not (root / "usr/bin/sh").exists():
        (root / "usr/bin/sh").symlink_to("busybox")
    etc = root / "etc"
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n"
                                "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")
    (etc / "group").write_text("root:x:0:\nkvm:x:104:\nnogroup:x:65534:\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")


def _write_guest(root, programs, path):
    """Writes the guest's root and returns the names of the libraries in it."""
    programs = [root / name for name in programs]
    programs += [root / name for name in _GUEST_OPTIONAL if (root / name).exists()]
    plugins = [path for name in _GUEST_FILES for path in (root / name).rglob("*")
               if path.is_file()]
    libraries = elf.closure([*programs, *plugins], [root])
    lost = [name for name, place in libraries.items() if place is None]
    if lost:
        raise Trouble(f"the userland lacks the libraries {' '.join(lost)}")
    with open(path, "wb") as out:
        cpio = Cpio(out)
        for name in ("bin", "sbin", "lib"):
            cpio.folder(f"usr/{name}")
            cpio.link(name, f"usr/{name}")
        for name in _FOLDERS:
            cpio.folder(name if not name.startswith("lib/") else f"usr/{name}")
        cpio.character_device("dev/console", 5, 1)
        for place in (*programs, *libraries.values()):
            cpio.file(str(place.relative_to(root)), place.resolve().read_bytes(), 0o755)
        cpio.link("usr/bin/sh", "busybox")
        cpio.link(*_LOADER)
        for name in _GUEST_FILES:
            cpio.tree(root / name, name)
        for name in ("passwd", "group", "hosts", "nsswitch.conf"):
            cpio.file(f"etc/{name}", (root / "etc" / name).read_bytes())
        cpio.close()
    return sorted(libraries)
