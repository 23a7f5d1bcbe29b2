# SPDX-License-Identifier: BSD-3-Clause
"""What changes from run to run, as small archives: commands, settings, files, vtee itself.

The host's initramfs holds them under /overlay, which becomes the upper layer of its root.
"""

import shutil
from pathlib import Path

from . import elf
from .cpio import Cpio, merged
from .options import DEFAULT_GUEST_COMMAND, quoted
from .trouble import Trouble

_INIT = Path(__file__).resolve().parents[1] / "init"
_LAYER = "overlay"
_CROSS_ROOT = Path("/")


def check_vtee(options):
    """Says in one sentence what is wrong when there is no vtee to start VMs with."""
    if options.no_vm and not options.vtee.is_dir():
        return
    if not options.no_vm and options.backend == "none":
        return
    if not (options.vtee / "usr/bin/vtee").is_file():
        raise Trouble(f"there is no usr/bin/vtee under {options.vtee}: build vtee for arm64 and "
                      "install it there, name another folder with --vtee, or use --backend none")


def write_initramfs(path, options, kernel, userland, guest_release):
    """The host's initramfs."""
    with open(path, "wb") as out:
        cpio = Cpio(out)
        cpio.character_device("dev/console", 5, 1)
        cpio.file("bin/busybox", userland.busybox.read_bytes(), 0o755)
        cpio.file("init", (_INIT / "initramfs").read_bytes(), 0o755)
        early = kernel.early_modules()
        cpio.file("modules/order", "".join(f"{Path(name).name}\n" for name in early))
        for name in early:
            cpio.file(f"modules/{Path(name).name}", (kernel.modules / name).read_bytes())
        cpio.tree(kernel.modules, f"{_LAYER}/usr/lib/modules/{kernel.release}")
        for name in ("host", "start-vm"):
            cpio.file(f"{_LAYER}/usr/lib/testbed/{name}", (_INIT / name).read_bytes(), 0o755)
        for name in ("guest", "wait-guests"):
            cpio.file(f"{_LAYER}/usr/bin/{name}", (_INIT / f"host-{name}").read_bytes(), 0o755)
        cpio.file(f"{_LAYER}/etc/testbed/settings", _settings(options, guest_release))
        cpio.file(f"{_LAYER}/etc/testbed/command", (options.in_host or "true") + "\n")
        sources = [spec.source for spec in options.host_file]
        if _wants_vtee(options):
            for child in sorted(options.vtee.iterdir()):
                cpio.tree(child, f"{_LAYER}/{merged(child.name)}")
            sources.append(options.vtee)
        for spec in options.host_file:
            cpio.tree(spec.source, f"{_LAYER}/{merged(spec.path)}")
        _add_libraries(cpio, _LAYER, sources, userland.host_libraries)
        cpio.close()


def write_guest_initramfs(path, options, kernel, userland):
    """The guests' initramfs: the cached root, then what belongs to this run."""
    with open(path, "wb") as out:
        with open(userland.guest_root, "rb") as root:
            shutil.copyfileobj(root, out)
        cpio = Cpio(out)
        cpio.tree(kernel.modules, f"usr/lib/modules/{kernel.release}")
        cpio.file("init", (_INIT / "guest").read_bytes(), 0o755)
        cpio.file("etc/testbed/command", (options.in_guest or DEFAULT_GUEST_COMMAND) + "\n")
        for spec in options.guest_file:
            cpio.tree(spec.source, merged(spec.path))
        _add_libraries(cpio, "", [spec.source for spec in options.guest_file],
                       userland.guest_libraries)
        cpio.close()


def _wants_vtee(options):
    return options.vtee.is_dir() and (options.no_vm or options.backend != "none")


def _settings(options, guest_release):
    values = {
        "HOST": options.host,
        "SHELL_WANTED": "yes" if options.shell else "no",
        "VMS": options.vms,
        "VCPUS": options.vcpus,
        "MEM": options.mem,
        "BACKEND": options.backend,
        "GUEST_RELEASE": guest_release,
        "GUEST_APPEND": options.guest_append,
        "PRIVATE_MEM": " ".join(str(number) for number in options.private_mem),
        "VMM_ARGS": quoted(options.vmm_args),
    }
    for vm in range(1, options.vms + 1):
        values[f"VTEE_ARGS_{vm}"] = quoted(word for number, word in options.vtee_arg
                                           if number in (0, vm))
    return "".join(f"{name}={quoted([str(value)])}\n" for name, value in values.items())


def _add_libraries(cpio, layer, sources, present):
    """Adds the libraries that files of ours need and the root lacks.

    They come from beside the files, else from this machine's own arm64 libraries, which the files
    were linked with.
    """
    files = []
    for source in sources:
        files += [path for path in ([source] if source.is_file() else source.rglob("*"))
                  if path.is_file()]
    names = {path.name for path in files}
    for name, path in sorted(elf.closure(files, [_CROSS_ROOT]).items()):
        if name in present or name in names:
            continue
        if path is None:
            raise Trouble(f"the library {name}, which a file for the emulated machine needs, is "
                          "neither in its root nor among this machine's arm64 libraries")
        cpio.file(f"{layer}/{elf.LIBRARY_FOLDERS[0]}/{name}", path.resolve().read_bytes(), 0o755)
