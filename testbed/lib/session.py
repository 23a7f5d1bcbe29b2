# SPDX-License-Identifier: BSD-3-Clause
"""One run from command line to exit status."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

from . import cache as caches
from . import devkit, emulator, firmware, kernel, payload, userland
from .archive import Archive
from .options import parse
from .stages import Progress
from .trouble import INTERRUPTED, Trouble
from .watch import Watch

_TAIL_LINES = 30
_KEPT_RUNS = 20


class Parts:
    """What a machine is made of, from the cache."""

    def __init__(self, options, cache, progress):
        debian = Archive(cache, progress.say, options.update)
        say = progress.say
        series = dict.fromkeys([options.host_kernel] + ([] if options.no_vm else [options.guest]))
        with progress.stage("fetch", "packages") as stage:
            kernels = {name: kernel.fetch(debian, name, stage) for name in series}
            qemu = emulator.fetch(debian, stage)
            userland_packages = userland.fetch(debian, options.optee, options.pkcs11, stage)
            kit_packages = options.pkcs11 and devkit.fetch(debian, options.optee, stage)
            secure = options.host == "el3" and firmware.fetch(debian, options.optee, stage)
        with progress.stage("images", "emulator, kernels and userland") as stage:
            self.qemu = emulator.prepare(cache, qemu, stage)
            for name, packages in kernels.items():
                kernels[name] = kernel.prepare(cache, packages, name, say, stage)
            kit = None
            if options.pkcs11:
                kit = devkit.prepare(cache, kit_packages, options.optee, stage)
            self.userland = userland.prepare(cache, userland_packages, options.optee, kit, say,
                                             stage)
        self.host_kernel = kernels[options.host_kernel]
        self.guest_kernel = kernels.get(options.guest)
        self.flash = None
        if secure:
            with progress.stage("firmware", f"TF-A with OP-TEE {options.optee}") as stage:
                self.flash = firmware.prepare(cache, secure, options.optee, self.host_kernel, say,
                                              stage)


def _new_run(cache, options):
    """A fresh folder for a run, and its folder for logs; forgets the oldest runs."""
    runs = cache.root / "runs"
    runs.mkdir(exist_ok=True)
    ended = sorted(path for path in runs.iterdir()
                   if not Path("/proc", path.name.rpartition("-")[2]).exists())
    for path in ended[:-_KEPT_RUNS]:
        shutil.rmtree(path, ignore_errors=True)
    folder = runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder.mkdir()
    logs = (options.logs or folder / "logs").absolute()
    shutil.rmtree(logs / "state", ignore_errors=True)
    return emulator.Paths(folder, logs)


def _write_payload(options, parts, paths, stage):
    release = ""
    if not options.no_vm:
        release = parts.guest_kernel.release
        payload.write_guest_initramfs(paths.guest_initramfs, options, parts.guest_kernel,
                                      parts.userland)
        try:
            os.link(parts.guest_kernel.image, paths.guest_image)
        except OSError:
            shutil.copy(parts.guest_kernel.image, paths.guest_image)
        stage.run(["mkfs.erofs", "--quiet", "-T0", paths.boot_disk, paths.boot])
    payload.write_initramfs(paths.initramfs, options, parts.host_kernel, parts.userland, release)


def _boot(options, parts, paths, progress):
    """Boots and follows the machine; returns the run's exit status."""
    words = emulator.command(options, paths, parts)
    restore_terminal = emulator.keep_terminal()
    try:
        with emulator.Emulator(words, paths, options.shell, progress.say) as machine:
            watch = Watch(options, paths, machine)
            try:
                with progress.stage("host", f"host booted ({options.host})") as stage:
                    watch.host_up(stage)
                if options.vms:
                    what = f"{options.vms} guest{'s' * (options.vms > 1)} up"
                    with progress.stage("guest", what, endless=options.shell) as stage:
                        watch.guests_up(stage)
                with progress.stage("command", "commands, shutdown",
                                    endless=options.shell) as stage:
                    watch.finished(stage)
            finally:
                watch.copy(final=True)
        return 0 if options.shell else watch.outcome()
    finally:
        restore_terminal()


def _show(logs):
    """The ends of logs, for a person to see what went wrong."""
    for log in logs:
        if not Path(log).is_file():
            continue
        lines = Path(log).read_text(errors="replace").splitlines()
        if lines:
            print(f"--- last lines of {log}", file=sys.stderr)
            print("\n".join(lines[-_TAIL_LINES:]), file=sys.stderr)


def _run(options, progress, cache, paths):
    parts = Parts(options, cache, progress)
    if options.prepare_only:
        return 0
    payload.check_vtee(options)
    with progress.stage("images", "this run's files") as stage:
        _write_payload(options, parts, paths, stage)
    return _boot(options, parts, paths, progress)


def _stop(_signal, _frame):
    raise KeyboardInterrupt


def main(arguments):
    """Runs the test bed; returns its exit status."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    paths = None
    try:
        if not options.prepare_only:
            payload.check_vtee(options)
        cache = caches.Cache(caches.default_root())
        paths = _new_run(cache, options)
        progress = Progress(paths.logs / "build.log", options.deadlines, options.quiet)
        cache.say = progress.say
        status = _run(options, progress, cache, paths)
    except Trouble as trouble:
        _show(trouble.logs)
        print(f"testbed: {trouble}", file=sys.stderr)
        status = trouble.status
    except KeyboardInterrupt:
        print("testbed: interrupted", file=sys.stderr)
        status = INTERRUPTED
    finally:
        if paths:
            paths.discard()
    if paths:
        sys.stderr.flush()
        print(f"logs: {paths.logs}", flush=True)
    return status
