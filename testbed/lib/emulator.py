# SPDX-License-Identifier: BSD-3-Clause
"""The emulated machine (L0): QEMU itself, its command line, its process, its end.

QEMU is that of the main suite whatever this machine's release, run with its own libraries: newer
ones emulate what KVM needs to be quick (FEAT_EVT saves 100,000 exits when a guest boots), and a
run then means the same everywhere. Features of the CPU that cost much and bring nothing here are
off: sve and sme (state to switch), pauth (slow), lpa2 (a fifth level of page tables).
"""

import shutil
import signal
import subprocess
import sys

from . import archive
from .cache import files_key, key
from .machine import TO_RUN, architecture, install_lacking, program
from .options import quoted

_CPU = "max,sve=off,sme=off,pauth=off,lpa2=off"
_INITRAMFS_ADDRESS = 0x50000000
_KEPT = "qemu-system-aarch64"


def fetch(debian, stage):
    """The package set with QEMU for this machine."""
    return debian.with_dependencies("qemu", archive.MAIN_SUITE, ["qemu-system-arm"], stage,
                                    architecture=architecture()[0])


def prepare(cache, packages, stage):
    """The beginning of QEMU's command line: the program, with its own libraries."""
    libraries = architecture()[1]

    def build(folder):
        archive.unpack(packages, folder, stage)
        for path in (folder / "usr/bin").iterdir():
            if path.name != _KEPT:
                path.unlink()
        for name in ("usr/share", "usr/sbin", f"usr/lib/{libraries}/gconv"):
            shutil.rmtree(folder / name, ignore_errors=True)
    root = cache.entry("qemu", key(files_key(packages), _KEPT), build)
    loader = next((root / "usr/lib" / libraries).glob("ld-linux-*.so.*"))
    return [loader, "--library-path", root / "usr/lib" / libraries, root / "usr/bin" / _KEPT]


class Paths:
    """Where a run keeps its things. The host sees `boot` as a disk and `logs` as a share."""

    def __init__(self, folder, logs):
        self.folder = folder
        self.boot = folder / "boot"
        self.logs = logs
        self.state = logs / "state"
        self.initramfs = folder / "host.cpio"
        self.guest_initramfs = self.boot / "initramfs"
        self.guest_image = self.boot / "Image"
        self.boot_disk = folder / "boot.erofs"
        for path in (self.boot, self.state):
            path.mkdir(parents=True, exist_ok=True)

    def discard(self):
        """Removes all but the logs."""
        shutil.rmtree(self.boot, ignore_errors=True)
        self.initramfs.unlink(missing_ok=True)
        self.boot_disk.unlink(missing_ok=True)


def command(options, paths, parts):
    """QEMU's command line for the parts that session.Parts prepared."""
    line = "console=ttyAMA0 loglevel=4 panic=1 " + options.host_append
    machine = "virt,virtualization=on,gic-version=3,acpi=off"
    if options.host == "el3":
        # TF-A starts the kernel from its flash; QEMU puts only the command line into the device
        # tree, so the initramfs is loaded by hand and named there.
        machine += ",secure=on"
        size = paths.initramfs.stat().st_size
        line += f" initrd={_INITRAMFS_ADDRESS:#x},{size}"
        boot = ["-bios", parts.flash, "-device",
                f"loader,file={paths.initramfs},addr={_INITRAMFS_ADDRESS:#x},force-raw=on"]
    else:
        boot = ["-initrd", paths.initramfs]
    if options.shell:
        console = f"stdio,id=console,signal=off,logfile={paths.logs}/host.console"
    else:
        console = f"file,id=console,path={paths.logs}/host.console"
    words = [
        *parts.qemu, "-nodefaults", "-no-user-config", "-display", "none",
        "-no-reboot", "-accel", "tcg,thread=multi,tb-size=512", "-machine", machine,
        "-cpu", _CPU, "-smp", options.host_cpus, "-m", options.host_mem,
        *boot, "-kernel", parts.host_kernel.image, "-append", line,
        "-chardev", console, "-serial", "chardev:console",
        "-serial", f"file:{paths.logs}/secure.log",
        "-global", "virtio-mmio.force-legacy=false",
        *_disk("boot", paths.boot_disk), *_disk("root", parts.userland.host_root),
        "-fsdev", f"local,id=logs,path={paths.logs},security_model=none",
        "-device", "virtio-9p-device,fsdev=logs,mount_tag=logs",
        "-object", "rng-random,id=rng,filename=/dev/urandom",
        "-device", "virtio-rng-device,rng=rng",
    ]
    return [str(word) for word in words]


def _disk(name, path):
    """A read-only disk, if there is such a file. The last one becomes /dev/vda."""
    if not path.exists():
        return []
    return ["-drive", f"if=none,id={name},file={path},format=raw,readonly=on",
            "-device", f"virtio-blk-device,drive={name}"]


class Emulator:
    """QEMU running; a context that leaves no process behind."""

    def __init__(self, words, paths, interactive, say):
        install_lacking(TO_RUN, say)
        (paths.logs / "qemu.command").write_text(quoted(words) + "\n")
        self._log = open(paths.logs / "qemu.log", "wb")  # pylint: disable=consider-using-with
        # It dies with this process even when that is killed outright, and an interrupt from the
        # keyboard is this process's business (or, in a shell, the emulated machine's).
        self._process = subprocess.Popen(
            [program("setpriv"), "--pdeathsig", "KILL", *words],
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=None if interactive else self._log, stderr=self._log,
            process_group=None if interactive else 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def status(self):
        """QEMU's exit status, or None while it runs."""
        return self._process.poll()


def keep_terminal():
    """Returns a function that gives the terminal back the settings it has now."""
    if not sys.stdin.isatty():
        return lambda: None
    import termios  # pylint: disable=import-outside-toplevel
    settings = termios.tcgetattr(sys.stdin)
    return lambda: termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)
