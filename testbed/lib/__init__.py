# SPDX-License-Identifier: BSD-3-Clause
"""The test bed's machinery; `testbed/run` is its only user. See testbed/README.md."""
