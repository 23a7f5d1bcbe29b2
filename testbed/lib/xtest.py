# SPDX-License-Identifier: BSD-3-Clause
"""Reads what xtest (OP-TEE's test suite) prints, and what docs/compatibility.md says of it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

_COMPATIBILITY = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"


@dataclass
class Results:
    """Cases by name ("OK", "FAILED", "SKIPPED") and the counts of xtest's own summary."""

    cases: dict = field(default_factory=dict)
    subtests: int = 0
    subtests_failed: int = 0
    total: int = 0
    failed: int = 0
    finished: bool = False

    @property
    def all_passed(self):
        return self.finished and self.total > 0 and self.failed == self.subtests_failed == 0

    def failures(self):
        """The cases that failed; the parts of a case ("regression_2001.2") are not named."""
        return [name for name, result in self.cases.items()
                if result == "FAILED" and "." not in name]

    def summary(self):
        if not self.finished:
            return f"did not finish ({len(self.cases)} cases begun)"
        return (f"{self.total} cases, {self.failed} failed; {self.subtests:,} subtests, "
                f"{self.subtests_failed} failed")


def parse(text):
    """The results in xtest's output; lines between its own (kernel, time) do no harm."""
    results = Results()
    for line in text.splitlines():
        case = re.match(r"\s*(?:[\w-]+\| )?\s*((?:regression|pkcs11)_\S+) (OK|FAILED|SKIPPED)\b",
                        line)
        if case:
            # The list at the end repeats each case; a failure stays one.
            if results.cases.get(case[1]) != "FAILED":
                results.cases[case[1]] = case[2]
        count = re.search(r"\b(\d+) (subtest|test case)s? of which (\d+) failed", line)
        if count and count[2] == "subtest":
            results.subtests, results.subtests_failed = int(count[1]), int(count[3])
        elif count:
            results.total, results.failed = int(count[1]), int(count[3])
            results.finished = True
    return results


def impossible_cases(text=None):
    """Cases that docs/compatibility.md proves impossible over /dev/teeN (section "xtest")."""
    text = _COMPATIBILITY.read_text() if text is None else text
    section = re.search(r"^### xtest$(.*?)(?=^##|\Z)", text, re.M | re.S)
    return set(re.findall(r"^\| `(regression_\d+)` \|", section[1], re.M)) if section else set()
