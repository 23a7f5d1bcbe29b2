# SPDX-License-Identifier: BSD-3-Clause
"""The secure world of the machine with EL3: TF-A (built here) and OP-TEE (Debian's binary)."""

import os
import shutil

from .cache import files_key, key
from .machine import TO_BUILD_FIRMWARE, install_lacking
from .trouble import Trouble

_OPTEE = "usr/lib/optee/vexpress-qemu_armv8a"
_FLASH_SIZE = 64 << 20
_FIP_OFFSET = 256 << 10
_MAKE = ("PLAT=qemu", "SPD=opteed", "QEMU_USE_GIC_DRIVER=QEMU_GICV3", "BL32_RAM_LOCATION=tdram",
         "ARM_LINUX_KERNEL_AS_BL33=1")


def suite_of(optee):
    """The Debian suite that has a version of OP-TEE."""
    return "trixie" if optee == "4.5" else "sid"


def fetch(debian, optee, stage):
    """The package sets (TF-A's source, OP-TEE's binaries)."""
    return (debian.source("tf-a", "arm-trusted-firmware", stage),
            debian.alone(f"optee-os-{optee}", suite_of(optee), lambda names: ["optee-os"], stage))


def prepare(cache, packages, optee, kernel, say, stage):
    """The flash image that boots `kernel` as the normal world of a machine with OP-TEE."""
    source, optee_os = packages

    def build_tf_a(folder):
        install_lacking(TO_BUILD_FIRMWARE, say)
        _build_tf_a(source, folder, stage)

    def build_flash(folder):
        _build_flash(tf_a, optee_os, kernel, folder, stage)

    tf_a = cache.path("tf-a", key(files_key(source), _MAKE))
    name = f"{optee}-{key(tf_a.name, files_key(optee_os), kernel.image.parent.name)}"
    if not cache.has("flash", name):
        cache.entry("tf-a", tf_a.name, build_tf_a)
    return cache.entry("flash", name, build_flash) / "flash.bin"


def _build_tf_a(source, folder, stage):
    tree = folder / "tree"
    descriptions = list(source.glob("*.dsc"))
    if not descriptions:
        raise Trouble("the archive has no source package arm-trusted-firmware")
    stage.run(["dpkg-source", "--no-check", "-x", descriptions[0], tree])
    stage.run(["make", f"-j{os.cpu_count()}", "CROSS_COMPILE=aarch64-linux-gnu-", *_MAKE,
               "bl1", "bl2", "bl31", "fiptool"], cwd=tree)
    output = tree / "build/qemu/release"
    for path in (output / "bl1.bin", output / "bl2.bin", output / "bl31.bin",
                 tree / "tools/fiptool/fiptool"):
        shutil.copy(path, folder)
    shutil.rmtree(tree)


def _build_flash(tf_a, optee_os, kernel, folder, stage):
    root = folder / "optee"
    root.mkdir()
    for package in optee_os.glob("*.deb"):
        stage.run(["dpkg-deb", "--extract", package, root])
    tee = root / _OPTEE
    fip = folder / "fip.bin"
    stage.run([tf_a / "fiptool", "create", "--tb-fw", tf_a / "bl2.bin",
               "--soc-fw", tf_a / "bl31.bin", "--tos-fw", tee / "tee-header_v2.bin",
               "--tos-fw-extra1", tee / "tee-pager_v2.bin",
               "--tos-fw-extra2", tee / "tee-pageable_v2.bin", "--nt-fw", kernel.image, fip])
    with open(folder / "flash.bin", "wb") as flash:
        flash.write((tf_a / "bl1.bin").read_bytes())
        flash.seek(_FIP_OFFSET)
        flash.write(fip.read_bytes())
        if flash.tell() > _FLASH_SIZE:
            raise Trouble(f"firmware and kernel need {flash.tell() >> 20} MiB, more than the "
                          "64 MiB of flash that the machine has")
        flash.truncate(_FLASH_SIZE)
    fip.unlink()
    shutil.rmtree(root)
