# SPDX-License-Identifier: BSD-3-Clause
"""Figures in what the probes print (testbed/probes)."""

import re


class Output:
    """What the commands of one machine printed."""

    def __init__(self, text):
        self.text = text

    def times(self, what):
        """(p50, p99) of each line that begins with `what`, in order."""
        return [(float(p50), float(p99)) for p50, p99 in
                re.findall(rf"^{what} p50 ([\d.]+) p99 ([\d.]+)", self.text, re.M)]

    def numbers(self, pattern):
        """The number in each line that matches, in order."""
        return [float(n) for n in re.findall(pattern, self.text, re.M)]

    def perf_ms(self):
        """Mean of each run of xtest --hash-perf and the like, in order."""
        return [float(mean) / 1000 for mean in re.findall(r"^min=.* mean=([\d.e+]+)us", self.text,
                                                          re.M)]

    def xtest_seconds(self):
        (began, ended), = re.findall(r"^xtest from ([\d.]+) to ([\d.]+)$", self.text, re.M)
        return float(ended) - float(began)
