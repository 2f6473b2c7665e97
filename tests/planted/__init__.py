# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults planted in a copy of this tree, one at a time: does the behaviour's test notice?

The tables are in receiving.py, queue.py and traps.py; `python -m tests.planted` runs them.
"""
