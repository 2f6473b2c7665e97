# SPDX-License-Identifier: AGPL-3.0-or-later
"""Engines for one command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.stack.children import command_line, wait_until
from config.stack.places import ROOT, engine_account, engine_home
from config.stack.throwaway import forget_dead_runs

EXEC = [sys.executable, "-m", "config.stack", "exec", "--"]


def _environment():
    """Without the addresses of the engines this test itself runs on."""
    return {n: v for n, v in os.environ.items() if not n.endswith(("DATABASE_URL", "REDIS_URL"))}


def _run(*command):
    return subprocess.run(
        [*EXEC, *command], cwd=ROOT, env=_environment(), capture_output=True, text=True
    )


PROBE = """
import os, psycopg, redis
for role in ("", "WEB_", "RELAY_", "DUTY_", "BACKUP_"):
    with psycopg.connect(os.environ[role + "DATABASE_URL"]) as connection:
        print(connection.execute("select current_user").fetchone()[0])
print(redis.Redis.from_url(os.environ["REDIS_URL"]).config_get("databases"))
"""


def test_exec_gives_every_role_a_login_and_sixteen_redis_databases():
    answer = _run(sys.executable, "-c", PROBE)
    *roles, databases = answer.stdout.splitlines()
    assert roles == ["owner", "web", "relay", "duty", "backup"], answer.stderr
    assert databases == "{'databases': '32'}"


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -9 $$", 128 + 9)])
def test_exec_returns_the_status_of_the_command(script, status):
    assert _run("sh", "-c", script).returncode == status


def test_exec_says_which_program_is_missing():
    answer = _run("/nowhere/brevdue")
    assert answer.returncode == 1
    assert answer.stderr.strip() == "/nowhere/brevdue cannot be started: No such file or directory."


def test_exec_leaves_nothing_after_sigkill_of_the_launcher():
    show = "echo ready; cat"
    launcher = subprocess.Popen(
        [*EXEC, "sh", "-c", show],
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with launcher:
        assert launcher.stdout
        launcher.stdout.readline()
        assert wait_until(lambda: len(_children(launcher.pid)) >= 3, seconds=5)
        pids = _children(launcher.pid)
        launcher.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not any(map(command_line, pids)), seconds=10)
    tests = engine_home("test", engine_account())
    before = set(tests.glob("run-*"))
    forget_dead_runs(tests, engine_account())
    assert len(before - set(tests.glob("run-*"))) >= 1


def _children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
