# SPDX-License-Identifier: BSD-3-Clause
"""What the tests under testbed/tests share: one run of the test bed, and verdicts on it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
RUN = REPO / "testbed" / "run"
LOGS = REPO / "build" / "testbed"


def _condensed(line, seen):
    """Of a command's output only xtest's progress: one dot a case."""
    if not re.match(r"(guest|host)\| ", line):
        return line
    case = re.match(r"guest\| +((?:regression|pkcs11)_\d+) (OK|FAILED)\b", line)
    if not case or case[1] in seen:
        return ""
    seen.add(case[1])
    return line if case[2] == "FAILED" else f"         {len(seen):4d} {case[1]}\n"


class Run:
    """Runs testbed/run and keeps its status and logs; `condense` shows less of the commands."""

    def __init__(self, name, *arguments, condense=False):
        self.logs = LOGS / name
        shutil.rmtree(self.logs, ignore_errors=True)  # nothing of an earlier run may count
        self.logs.mkdir(parents=True)
        words = [RUN, "--logs", self.logs, *arguments]
        self.output = ""
        seen = set()
        with subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace") as process:
            for line in process.stdout:
                self.output += line
                sys.stdout.write(_condensed(line, seen) if condense else line)
                sys.stdout.flush()
        self.status = process.returncode

    def log(self, name):
        path = self.logs / name
        return path.read_text(errors="replace") if path.is_file() else ""


class Verdicts:
    """Collects named verdicts, prints PASS or FAIL for each; the exit status at the end."""

    def __init__(self):
        self.failed = 0

    def check(self, name, good, why=""):
        print(f"{'PASS' if good else 'FAIL'} {name}{'' if good or not why else ': ' + why}",
              flush=True)
        self.failed += not good
        return good

    def exit(self):
        sys.exit(1 if self.failed else 0)
