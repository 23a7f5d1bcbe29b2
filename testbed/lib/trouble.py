# SPDX-License-Identifier: BSD-3-Clause
"""The ways a run can end other than with its commands' own status."""

TIMED_OUT = 124
TROUBLE = 125
INTERRUPTED = 130


class Trouble(Exception):
    """The test bed itself failed. The message is one sentence for the person who ran it."""

    status = TROUBLE

    def __init__(self, message, logs=()):
        super().__init__(message)
        self.logs = list(logs)


class TimedOut(Trouble):
    """A stage ran past its deadline."""

    status = TIMED_OUT
