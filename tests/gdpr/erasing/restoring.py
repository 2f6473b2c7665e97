# SPDX-License-Identifier: AGPL-3.0-or-later
"""A dump of the test's database, restored beside it, and the service's own processes there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import psycopg
from django.conf import settings

from config.stack.binaries import postgresql_programs
from config.stack.children import end, spawn, wait_until
from tests.gdpr.processes import at, environment, here

# Seconds for a process to start or to end, and for its connections after it.
PATIENCE = 120
# What a worker says when it takes tasks.
READY = " ready."


def dump(to: Path) -> Path:
    """Write what the test's database has, as the operator's backup does."""
    _postgresql("pg_dump", "--no-owner", f"--file={to}", at("backup", here()))
    return to


@contextmanager
def restored(dump: Path) -> Iterator[str]:
    """Give the name of a database of its own with what the dump has."""
    name = f"{here()}_restored"
    with psycopg.connect(at("owner", here()), autocommit=True) as owner:
        # One may be left of a run that was killed.
        owner.execute(f'DROP DATABASE IF EXISTS "{name}"')
        owner.execute(f'CREATE DATABASE "{name}"')
        try:
            _postgresql("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), at("owner", name))
            yield name
        finally:
            # The owner may end nobody else's connection: each is waited for.
            assert wait_until(lambda: _connected(owner, name) == [], PATIENCE)
            owner.execute(f'DROP DATABASE "{name}"')


def _connected(owner: psycopg.Connection, database: str) -> list[tuple[Any, ...]]:
    """Return the roles that are connected to a database, as clients."""
    return owner.execute(
        "SELECT usename FROM pg_stat_activity"
        " WHERE datname = %s AND backend_type = 'client backend'",
        [database],
    ).fetchall()


def _postgresql(program: str, *arguments: str) -> None:
    command = [str(postgresql_programs() / program), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def replay(database: str) -> subprocess.CompletedProcess[str]:
    return _run(database, "manage.py", "replay_erasures")


def worker(database: str) -> str:
    """Start the worker as the Procfile does; return what it said until it was ready, or ended.

    A ready one is ended as an operator does.
    """
    # fmt: off
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "config.celery", "worker",
               "-Q", "drill", "--pool", "solo", "--without-gossip", "--without-mingle"]
    # fmt: on
    with NamedTemporaryFile() as log:
        process = spawn(
            command,
            ending=signal.SIGTERM,
            log=log.file,
            environment={**environment(database), "LOG_LEVEL": "INFO"},
            cwd=settings.BASE_DIR,
        )
        wait_until(lambda: process.poll() is not None or _is_ready(log.name), PATIENCE)
        end(process, signal.SIGTERM, signal.SIGKILL, patience=PATIENCE)
        return Path(log.name).read_text()


def _is_ready(log: str) -> bool:
    return READY in Path(log).read_text()


def search(database: str, sought: Mapping[str, Any], kept: Mapping[str, Any]) -> list[Any]:
    """Return what the independent search finds there: places, kinds, counts, and how many kept."""
    answer = _run(database, "-m", "tests.gdpr.erasing.searcher", json.dumps([sought, kept]))
    assert answer.returncode == 0, answer.stderr
    found: list[Any] = json.loads(answer.stdout)
    return found


def read(database: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(at("backup", database)) as reader:
        return reader.execute(sql, values).fetchall()


def _run(database: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env=environment(database),
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
    )
