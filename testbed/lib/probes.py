# SPDX-License-Identifier: BSD-3-Clause
"""Builds the programs under testbed/probes for the emulated machine."""

import os
import subprocess
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "probes"


def build(folder, *names):
    """Static arm64 programs, which run in hosts and guests alike: their paths."""
    compiler = os.environ.get("VTEE_CROSS_CXX", "aarch64-linux-gnu-g++")
    paths = []
    for name in names:
        paths.append(Path(folder, name))
        subprocess.run([compiler, "-std=c++20", "-O2", "-static", "-Wall", "-Wextra", "-Werror",
                        _FOLDER / f"{name}.cc", "-o", paths[-1]], check=True)
    return paths


def guest(paths):
    """Words for testbed/run that put programs into the guests."""
    return [word for path in paths for word in ("--guest-file", path)]
