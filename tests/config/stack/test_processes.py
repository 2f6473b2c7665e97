# SPDX-License-Identifier: AGPL-3.0-or-later
"""The processes of the Procfile: an orderly end, whoever dies first."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from config.stack.children import command_line, wait_until
from config.stack.leftovers import end_leftovers, marked
from config.stack.places import ROOT
from config.stack.processes import MARK, commands, process_environment

RUN = """
import sys
from config.stack import processes
sys.exit(processes.run_processes({"one": sys.argv[1], "two": "sleep 60"}))
"""
# A parent that lets its child finish when asked to end, as celery does.
PARENT = """sh -c '
(trap "" HUP; sleep 1; echo child finished) & child=$!
trap "wait $child; echo parent ends; exit 0" TERM
echo ready
while :; do sleep 0.05; done
'"""


def _start(command):
    return subprocess.Popen(
        [sys.executable, "-u", "-c", RUN, command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def _read_until(runner, words):
    lines = []
    for line in runner.stdout:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"{words!r} not in {lines}")


def test_parent_is_asked_alone_and_may_let_its_children_finish():
    with _start(PARENT) as runner:
        _read_until(runner, "ready")
        runner.terminate()
        _read_until(runner, "child finished")
        _read_until(runner, "parent ends")
        assert runner.wait() == 128 + signal.SIGTERM


def test_one_process_that_ends_by_itself_ends_the_others_and_its_status_counts():
    begun = time.monotonic()
    with _start("sh -c 'exit 7'") as runner:
        assert runner.wait() == 7
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_its_runner(number):
    with _start("sleep 61") as runner:
        lines = _read_until(runner, "one started")
        if not any("two started" in line for line in lines):
            lines += _read_until(runner, "two started")
        pids = [
            int(line.partition("pid=")[2].partition(")")[0]) for line in lines if "pid=" in line
        ]
        runner.send_signal(number)
        assert wait_until(lambda: not any(map(command_line, pids)), seconds=8)
    assert len(pids) == 2


def test_leftovers_of_this_checkout_are_ended_and_no_others(tmp_path):
    ours, theirs = (
        subprocess.Popen(["sleep", "60"], env={MARK: str(root)})
        for root in (tmp_path, tmp_path / "other")
    )
    with ours, theirs:
        assert wait_until(lambda: marked(tmp_path) == [ours.pid], seconds=5)
        assert end_leftovers(tmp_path) == 1
        assert ours.wait() == -signal.SIGTERM
        assert theirs.poll() is None
        theirs.kill()


def test_procfile_names_the_processes_and_development_adds_the_mailbox():
    assert set(commands()) == {"web", "smtp", "delivery", "worker", "beat", "mailbox"}


def test_only_smtp_and_delivery_get_the_hour_keys():
    closed = {name for name, command in commands().items() if "KEYRING_URL= " in command}
    assert closed == {"web", "worker", "beat", "mailbox"}


def test_processes_find_the_programs_of_their_own_environment():
    path = process_environment({"PATH": "/usr/bin"})["PATH"]
    assert path.split(":")[0] == sys.executable.rpartition("/")[0]
