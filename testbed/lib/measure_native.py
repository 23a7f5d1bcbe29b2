# SPDX-License-Identifier: BSD-3-Clause
"""What `make bench` measures on this machine itself, without the emulated one."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import programs
from .times import Output

_REPO = Path(__file__).resolve().parents[2]
_BENCH = _REPO / "build" / "bench" / "src"
_OPTEE = "4.5"
_SESSIONS = 20


def mediator():
    """What vteed's own code costs on this machine, from build/bench (Google Benchmark)."""
    program = _BENCH / "daemon" / "invoke_bench"
    if not program.is_file():
        sys.exit(f"bench: {program.relative_to(_REPO)} is not built; run make bench")
    output = subprocess.run([program, "--benchmark_format=json", "--benchmark_min_time=1"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    rows = {row["name"]: row for row in json.loads(output)["benchmarks"]}
    return {
        "native_invoke_path_ns": round(rows["BM_InvokeFourParameters"]["real_time"], 1),
        "native_ring_round_trip_ns_p50": rows["BM_RingRoundTrip"]["p50_ns"],
        "native_ring_round_trip_ns_p99": rows["BM_RingRoundTrip"]["p99_ns"],
    }


def user_tee(client, tas):
    """The userspace TEE without a VM: `client` (teec_times) as a program of this machine's.

    Elsewhere than on arm64 both it and the TA run under qemu-user.
    """
    with tempfile.TemporaryDirectory() as folder:
        parts = programs.prepare(_OPTEE, Path(folder, "build.log"))

        def start(options, *words):
            command = [_BENCH / "cli" / "vtee", "ta-run", "--backend",
                       f"user,keys=development{options}", "--ta-dir", tas, "--log-file",
                       Path(folder, "log"), "--", client, *words]
            return subprocess.Popen([str(word) for word in command], text=True,
                                    env={**os.environ, "QEMU_LD_PREFIX": str(parts.root)},
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

        def times(what, *words, options=""):
            with start(options, *words) as process:
                return Output(process.stdout.read()).times(what)[0]
        invoke = times("teec_invoke_us", "invoke", 2000)
        pool = times("start_us", "start", 30, 300)
        cold = times("start_us", "start", 30, 300, options=",pool=0")
        with start("", "sessions", _SESSIONS, 3) as process:
            while process.stdout.readline() not in ("held\n", ""):
                pass
            time.sleep(1)
            private = [_ta_private_kib(pid) for pid in _descendants(process.pid)]
    sizes = sorted(size for size in private if size is not None)
    return {
        "native_user_invoke_us_p50": invoke[0],
        "native_user_invoke_us_p99": invoke[1],
        "native_ta_start_pool_ms": pool[0] / 1000,
        "native_ta_start_cold_ms": cold[0] / 1000,
        "native_ta_private_kib": sizes[len(sizes) // 2],
    }


def _descendants(pid):
    """Process ids below `pid`."""
    children = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, wanted = [], [pid]
    while wanted:
        below = children.get(wanted.pop(), [])
        found += below
        wanted += below
    return found


def _ta_private_kib(pid):
    """What a TA's process shares with nobody, without its TA's memory; None: it is none."""
    try:
        text = Path(f"/proc/{pid}/smaps").read_text()
    except OSError:
        return None
    if "memfd:vtee-ta" not in text or "vtee-ta\n" not in text.replace("memfd:vtee-ta", ""):
        return None
    total, own = 0, False
    for line in text.splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            own = "memfd:vtee-ta" in line
        elif not own and line.startswith("Private_"):
            total += int(line.split()[1])
    return total
