# SPDX-License-Identifier: BSD-3-Clause
"""The command line of testbed/run."""

import argparse
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from .stages import DEADLINES

REPO = Path(__file__).resolve().parents[2]
DEFAULT_GUEST_COMMAND = (
    "uname -a; dmesg | grep -i -E 'optee|qcomtee|qcom_scm|arm_ffa| tee' || "
    "echo 'no TEE driver said anything'; ls -l /dev/tee* 2>/dev/null || echo 'no /dev/tee0'"
)
_KERNELS = ("6.12 (Debian trixie) or 7.2 (sid); another series of sid's kernel works too; 6.12-16k "
            "has pages of 16 KiB")


@dataclass(frozen=True)
class FileSpec:
    """A file or folder of this machine and the path it gets in host or guest."""

    source: Path
    path: str


def file_spec(text):
    """FILE[:PATH]; PATH defaults to /root/NAME, and one that ends in / is a folder for it."""
    name, _, path = text.partition(":")
    source = Path(name)
    if not source.exists():
        raise argparse.ArgumentTypeError(f"there is no file {name}")
    if not path:
        path = "/root/"
    if not path.startswith("/"):
        raise argparse.ArgumentTypeError(f"'{path}' is not an absolute path")
    return FileSpec(source.absolute(), path + source.name if path.endswith("/") else path)


def deadline(text):
    """STAGE=SECONDS; 0 seconds means no deadline."""
    name, _, seconds = text.partition("=")
    if name not in DEADLINES or not re.fullmatch(r"\d+(\.\d+)?", seconds):
        raise argparse.ArgumentTypeError(
            f"want STAGE=SECONDS with a stage of {', '.join(DEADLINES)}")
    return name, float(seconds)


def vm_word(text):
    """[N:]WORD as (N, WORD); N is 0 for a word that is for all VMs."""
    number, colon, word = text.partition(":")
    return (int(number), word) if colon and number.isdigit() else (0, text)


def kernel_series(text):
    if not re.fullmatch(r"\d+\.\d+(-\w+)?", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a kernel series like 6.12 or 6.12-16k")
    return text


def _count(least, most):
    def parse(text):
        if not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"want a number from {least} to {most}")
        return int(text)
    return parse


def _parser():
    parser = argparse.ArgumentParser(
        prog="testbed/run", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Boots an emulated arm64 machine with KVM (and, with --host el3, OP-TEE) on "
        "this x86 one,\nVMs on it, and runs commands there. See testbed/README.md.",
        epilog="Exit status: the guest's command's (the first failed one's with several VMs), "
        "else the host's\ncommand's; 124 after a time-out, 125 for trouble with the test bed, 2 "
        "for a wrong command line.\nWords after -- go to the VMM's command line.")
    add = parser.add_argument
    add("--host", choices=("el3", "no-el3"), default="el3",
        help="machine with TF-A, OP-TEE and /dev/tee0 (default), or without a secure world")
    add("--no-vm", action="store_true", help="no VM; --in-host is the command")
    add("--guest", type=kernel_series, default="6.12", metavar="SERIES",
        help=f"the guests' kernel: {_KERNELS} (default 6.12)")
    add("--host-kernel", type=kernel_series, default="6.12", metavar="SERIES",
        help="the host's kernel, likewise (default 6.12)")
    add("--optee", choices=("4.5", "4.10"), default="4.5",
        help="version of OP-TEE and of xtest in host and guests (default 4.5)")
    add("--pkcs11", action="store_true",
        help="host and guests have OP-TEE's PKCS#11 TA and pkcs11-tool")
    add("--backend", metavar="B",
        help="vtee's backend (default: host with el3, user,keys=development with no-el3); "
        "none: plain QEMU, guests have no TEE")
    add("--vtee", type=Path, default=REPO / "build/arm64-root", metavar="DIR",
        help="install tree of the arm64 build of vtee (default build/arm64-root)")
    add("--vtee-arg", action="append", type=vm_word, default=[], metavar="[N:]ARG",
        help="a word for 'vtee run', with N: for that VM's only (repeatable)")
    add("--private-mem", action="append", type=_count(1, 16), default=[], metavar="N",
        help="memory of VM N is QEMU's own, not a shared file (repeatable)")
    add("--vcpus", type=_count(1, 8), default=1, metavar="N", help="CPUs of a guest (default 1)")
    add("--vms", type=_count(0, 16), default=1, metavar="N",
        help="VMs at once (default 1); 0: none, but /boot has what they would boot")
    add("--mem", type=_count(128, 8192), default=512, metavar="MB",
        help="memory of a guest (default 512)")
    add("--host-mem", type=_count(512, 65536), metavar="MB",
        help="memory of the host (default: 2048 and what the guests have)")
    add("--host-cpus", type=_count(1, 4), default=2, metavar="N",
        help="CPUs of the host, at most 4 (default 2)")
    add("--host-append", default="", metavar="WORDS", help="more for the host's kernel line")
    add("--guest-append", default="", metavar="WORDS", help="more for the guests' kernel line")
    add("--host-file", action="append", type=file_spec, default=[], metavar="F[:PATH]",
        help="a file or folder for the host (default PATH /root/NAME)")
    add("--guest-file", action="append", type=file_spec, default=[], metavar="F[:PATH]",
        help="a file or folder for the guests")
    add("--in-host", metavar="CMD", help="command for the host; with VMs it runs beside them, "
        "from when they have been started")
    add("--in-guest", metavar="CMD", help="command for each guest (default: say what the TEE "
        "driver found)")
    add("--vm-may-die", action="store_true",
        help="a VM that ends before its command did is no failure")
    add("--shell", action="store_true", help="an interactive shell in the host; guests stay up")
    add("--logs", type=Path, metavar="DIR", help="folder for the logs (default: one in the cache)")
    add("--deadline", action="append", type=deadline, default=[], metavar="STAGE=SECONDS",
        help=f"deadline of a stage ({', '.join(DEADLINES)}); 0 for none")
    add("--quiet", action="store_true", help="print what the commands print, and no progress")
    add("--prepare-only", action="store_true", help="fetch and build what this run would need")
    add("--update", action="store_true", help="ask the archive for newer packages")
    return parser


def parse(arguments):
    """The options of a command line, with defaults that depend on others filled in."""
    extra = []
    if "--" in arguments:
        split = arguments.index("--")
        arguments, extra = arguments[:split], arguments[split + 1:]
    parser = _parser()
    options = parser.parse_args(arguments)
    options.vmm_args = extra
    options.deadlines = {name: seconds or None for name, seconds in options.deadline}
    if options.backend is None:
        options.backend = "host" if options.host == "el3" else "user,keys=development"
    if options.no_vm:
        if options.in_guest or extra or options.guest_file:
            parser.error("--no-vm leaves no VM for --in-guest, --guest-file or VMM arguments")
        if not options.in_host and not options.shell and not options.prepare_only:
            parser.error("--no-vm needs --in-host CMD or --shell")
        options.vms = 0
    if options.host_mem is None:
        options.host_mem = 2048 + options.vms * (options.mem + 128)
    return options


def quoted(words):
    """Words as a shell would read them."""
    return " ".join(shlex.quote(word) for word in words)
