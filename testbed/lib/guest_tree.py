# SPDX-License-Identifier: BSD-3-Clause
"""The device tree of the test bed's guests with more in it, for the VMM's -dtb."""

from pathlib import Path

from . import emulator
from .archive import Archive
from .cache import Cache, default_root
from .machine import TO_BUILD_FIRMWARE, install_lacking
from .stages import Progress


def write(folder, more, vcpus=1, mem=512):
    """The tree of a guest with so many CPUs and MB, laid over by `more` (source text): its path.

    QEMU itself writes the tree, the same version as the guests'; its content does not depend on KVM.
    """
    folder = Path(folder)
    progress = Progress(folder / "tree.log", quiet=True)
    install_lacking({"device-tree-compiler": TO_BUILD_FIRMWARE["device-tree-compiler"]},
                    progress.say)
    cache = Cache(default_root())
    plain, source, tree = (folder / f"guest.{end}" for end in ("plain", "dts", "dtb"))
    with progress.stage("fetch", "emulator") as stage:
        packages = emulator.fetch(Archive(cache, progress.say), stage)
    with progress.stage("images", "device tree") as stage:
        stage.run([*emulator.prepare(cache, packages, stage), "-nodefaults", "-display", "none",
                   "-machine", f"virt,gic-version=3,acpi=off,dumpdtb={plain}", "-cpu", "max",
                   "-smp", str(vcpus), "-m", str(mem)])
        text = stage.run(["dtc", "-q", "-I", "dtb", "-O", "dts", plain])
        source.write_text(text + more)
        stage.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", tree, source])
    return tree
