# SPDX-License-Identifier: AGPL-3.0-or-later
"""Programs that must not outlive the launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from config.stack.children import command_line, end, open_log, spawn, tail, wait_until

PARENT = """
import signal, sys
from config.stack.children import spawn
child = spawn(["sleep", "60"], ending=signal.SIGTERM)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_child_dies_when_its_parent_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert "sleep" in command_line(pid)
        parent.kill()
    assert wait_until(lambda: not command_line(pid), seconds=5)


def test_end_goes_on_to_the_next_signal_when_the_first_is_ignored():
    deaf = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    child = subprocess.Popen(["sh", "-c", deaf], stdout=subprocess.PIPE)
    with child:
        assert child.stdout
        child.stdout.readline()
        end(child, signal.SIGTERM, signal.SIGKILL, patience=0.3)
        assert child.returncode == -signal.SIGKILL


def test_spawn_stands_outside_the_terminals_process_group():
    child = spawn(["sleep", "60"], ending=signal.SIGTERM)
    with child:
        assert os.getpgid(child.pid) == child.pid
        end(child, signal.SIGTERM, patience=5)


def test_log_is_appended_to_and_starts_over_when_long(tmp_path, monkeypatch):
    log = tmp_path / "log"
    for line in (b"one\n", b"two\n"):
        with open_log(log) as file:
            file.write(line)
    assert tail(log, 1) == "two"

    monkeypatch.setattr("config.stack.children.LARGEST_LOG", 1)
    with open_log(log) as file:
        file.write(b"three\n")
    assert log.read_text() == "three\n"
