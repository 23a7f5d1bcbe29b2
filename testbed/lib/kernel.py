# SPDX-License-Identifier: BSD-3-Clause
"""Debian kernels made ready to boot: an uncompressed Image and the few modules used here."""

import gzip
import lzma
from pathlib import Path

from . import archive
from .cache import files_key, key
from .machine import TO_BUILD_IMAGES, install_lacking
from .trouble import Trouble

# The modules that host and guests may use, each with what it depends on; those that a kernel has
# built in or does not know are passed over.
MODULES = (
    "virtio_mmio", "virtio_blk", "virtio_net", "virtio-rng",
    "crc32c_generic", "erofs", "overlay", "9p", "9pnet_virtio",
    "tee", "optee", "optee-rng", "qcomtee", "tstee", "ffa-core", "ffa-module", "arm_ffa",
    "scmi_transport_optee", "tpm_crb_ffa", "tpm_crb",
    "vsock", "vsock_loopback", "vhost_vsock", "vmw_vsock_virtio_transport", "tun",
)

# Modules the host needs before it has its root, in this order (erofs asks for crc32c by alias).
EARLY = ("virtio_mmio", "virtio_blk", "crc32c_generic", "erofs", "overlay")

_FOLDER = "lib/modules"


class Kernel:
    """A folder with `Image` and `lib/modules/RELEASE`, modules uncompressed."""

    def __init__(self, folder):
        self.image = folder / "Image"
        self.modules = next((folder / _FOLDER).iterdir())
        self.release = self.modules.name

    def early_modules(self):
        """Paths (in the modules folder) of the modules in EARLY, in the order to load them."""
        needs = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, _, words = line.partition(":")
            needs[path] = words.split()
        order = []
        for name in EARLY:
            path = next((path for path in needs if Path(path).stem == name), None)
            if path:
                order += [one for one in [*reversed(needs[path]), path] if one not in order]
        return order


def fetch(debian, series, stage):
    """The package set of the newest kernel of a series."""
    suite = archive.MAIN_SUITE if series.partition("-")[0] == "6.12" else archive.NEW_SUITE
    return debian.alone(f"kernel-{series}", suite, archive.choose_kernel(series), stage)


def prepare(cache, packages, series, say, stage):
    """The Kernel of a package set."""
    def build(folder):
        install_lacking(TO_BUILD_IMAGES, say)
        root = folder / "unpacked"
        root.mkdir()
        archive.unpack(packages, root, stage)
        _build(root, folder, stage)
        stage.run(["rm", "-rf", root])
    return Kernel(cache.entry("kernel", f"{series}-{key(files_key(packages), MODULES)}", build))


def _build(root, folder, stage):
    source = next((root / "usr/lib/modules").iterdir())
    image = next((path for path in (root / "boot" / f"vmlinuz-{source.name}", source / "vmlinuz")
                  if path.is_file()), None)
    if image is None:
        raise Trouble(f"the kernel package of {source.name} has no vmlinuz where Debian puts it")
    data = image.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data[56:60] != b"ARM\x64":
        raise Trouble(f"the kernel {source.name} is not an arm64 Image that the test bed can read")
    (folder / "Image").write_bytes(data)
    target = folder / _FOLDER / source.name
    by_name = {}
    for path in (source / "kernel").rglob("*.ko*"):
        by_name[path.name.partition(".")[0].replace("_", "-")] = path
    todo, done = [name.replace("_", "-") for name in MODULES], set()
    while todo:
        name = todo.pop()
        if name in done or name not in by_name:
            continue
        done.add(name)
        data = by_name[name].read_bytes()
        if by_name[name].suffix == ".xz":
            data = lzma.decompress(data)
        elif by_name[name].suffix != ".ko":
            raise Trouble(f"the module {by_name[name].name} is compressed in an unknown way")
        place = (target / by_name[name].relative_to(source)).with_name(
            by_name[name].name.partition(".")[0] + ".ko")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        todo += [other.replace("_", "-") for other in _depends(data)]
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if (source / name).is_file():
            (target / name).write_bytes((source / name).read_bytes())
    stage.run(["depmod", "-b", folder, source.name])


def _depends(module):
    """The names in a module's `depends=` line."""
    begin = module.find(b"\0depends=")
    if begin < 0:
        return []
    begin += len(b"\0depends=")
    text = module[begin:module.index(b"\0", begin)].decode()
    return [name for name in text.split(",") if name]
