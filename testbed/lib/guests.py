# SPDX-License-Identifier: BSD-3-Clause
"""Builds the bare-metal guests of testbed/guests, boots them under `vtee run`, judges them."""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SOURCES = Path(__file__).resolve().parents[1] / "guests"
_COMMON = ("start.S", "machine.cc", "interrupts.cc", "device_tree.cc", "text.cc", "optee.cc",
           "sha256.cc", "conversation.cc")
_EXTRA = {"fuzzer": ("fuzz_worker.cc",)}
_FLAGS = ("-std=c++20", "-O2", "-g", "-ffreestanding", "-nostdlib", "-static", "-no-pie",
          "-fno-pic", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics",
          "-fno-stack-protector", "-fno-tree-loop-distribute-patterns", "-mgeneral-regs-only",
          "-mno-outline-atomics", "-Wall", "-Wextra", "-Werror",
          "-Wl,--build-id=none,-z,noexecstack,-z,max-page-size=4096,--no-warn-rwx-segments")

# start NAME IMAGE SECONDS CPUS MEM "VTEE OPTIONS" "WORDS": until the VM has ended.
# boot, with the same words: then its console goes to standard output, each line after "NAME| ".
_SHELL = r"""
start() {
    echo "boot $1: $6 -- $2 $7"
    VTEE_LOG_FILE=/run/logs/vteed-$1.log timeout -s KILL "$3" vtee run $6 -- \
        qemu-system-aarch64 -nodefaults -no-user-config -display none -accel kvm -cpu host \
        -smp "$4" -m "$5" -object "memory-backend-memfd,id=mem,size=${5}M,share=on" \
        -machine virt,gic-version=3,acpi=off,memory-backend=mem \
        -kernel "/root/guests/$2" -append "$7" \
        -chardev "file,id=console,path=/tmp/console-$1" -serial chardev:console \
        > "/tmp/vmm-$1" 2>&1 < /dev/null
    echo "end $1 $?"
}
boot() {
    start "$@"
    sed "s/^/$1| /" "/tmp/console-$1"
    sed "s/^/$1 vmm| /" "/tmp/vmm-$1"
}
"""


@dataclass(frozen=True)
class Boot:
    """A VM that boots one of them."""

    image: str
    vtee: str = "--backend host"  # options of `vtee run`
    words: str = ""  # the guest's command line
    seconds: int = 120  # after which it is killed
    cpus: int = 1
    mem: int = 256

    def arguments(self, name):
        """What follows `start` or `boot`."""
        return shlex.join([name, self.image, str(self.seconds), str(self.cpus), str(self.mem),
                           self.vtee, self.words])


def build(folder, *names):
    """Builds these guests into `folder`, each as an image that QEMU's -kernel takes."""
    compiler = os.environ.get("VTEE_CROSS_CXX", "aarch64-linux-gnu-g++")
    objcopy = os.environ.get("VTEE_CROSS_OBJCOPY", "aarch64-linux-gnu-objcopy")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        program = folder / f"{name}.elf"
        sources = (*_COMMON, *_EXTRA.get(name, ()), f"{name}.cc")
        subprocess.run([compiler, *_FLAGS, f"-T{_SOURCES / 'guest.lds'}",
                        *(_SOURCES / source for source in sources), "-o", program], check=True)
        subprocess.run([objcopy, "-O", "binary", program, folder / name], check=True)
        program.unlink()
    return folder


def script(*lines):
    """Shell text for --in-host that can `start` and `boot` them."""
    return _SHELL + "\n".join(lines) + "\n"


def judge(verdicts, name, text):
    """The verdicts of the guest booted as `name`, from the host's output."""
    said = re.findall(rf"^{name}\| (PASS|FAIL) ([^:\r\n]*)(?:: ([^\r\n]*))?\r?$", text, re.M)
    for verdict, case, why in said:
        verdicts.check(f"{name}: {case}", verdict == "PASS", why)
    done = re.search(rf"^{name}\| DONE\r?$", text, re.M)
    ended = re.search(rf"^end {name} 0$", text, re.M)
    trouble = re.findall(rf"^(?:end {name} |{name}(?: vmm| log)?\| ).*$", text, re.M)
    verdicts.check(f"{name}: ran to its end", bool(done and ended and said),
                   "\n".join(trouble[-20:]))
