# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import os
import pty
import subprocess
import sys

WATCH = """
import sys, time
from config.stack.terminal import Terminal
terminal = Terminal()
print("there" if not terminal.is_gone() else "gone", flush=True)
for _ in range(4000):
    if terminal.is_gone():
        open(sys.argv[1], "w").write("gone")
        break
    time.sleep(0.02)
"""


def test_hang_up_of_the_terminal_is_seen(tmp_path):
    master, slave = pty.openpty()
    # In a session of its own without the terminal as its own: nobody sends it a signal.
    child = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(tmp_path / "seen")],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    with open(master, "rb", buffering=0) as terminal:
        # The whole line: its end is a write of its own, which would fail once the terminal is gone.
        assert terminal.readline().strip() == b"there"
    assert child.wait(timeout=20) == 0
    assert (tmp_path / "seen").read_text() == "gone"


def test_without_a_terminal_nothing_is_ever_gone(tmp_path):
    program = "from config.stack.terminal import Terminal; print(Terminal().is_gone())"
    told = subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert told.stdout.strip() == b"False"
