# SPDX-License-Identifier: AGPL-3.0-or-later
"""A dump of the test's database, restored beside it, and the service's own processes there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

from config.stack.binaries import postgresql_programs
from tests.gdpr.processes import at, environment, here


def dump(to: Path) -> Path:
    """Write what the test's database has, as the operator's backup does."""
    _postgresql("pg_dump", "--no-owner", f"--file={to}", at("backup", here()))
    return to


@contextmanager
def restored(dump: Path) -> Iterator[str]:
    """Give the name of a database of its own with what the dump has."""
    name = f"{here()}_restored"
    with psycopg.connect(at("owner", here()), autocommit=True) as owner:
        owner.execute(f'CREATE DATABASE "{name}"')
        try:
            _postgresql("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), at("owner", name))
            yield name
        finally:
            owner.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _postgresql(program: str, *arguments: str) -> None:
    command = [str(postgresql_programs() / program), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def replay(database: str) -> subprocess.CompletedProcess[str]:
    return _run(database, "manage.py", "replay_erasures")


def worker(database: str, seconds: float) -> subprocess.CompletedProcess[str] | None:
    """Start the worker as the Procfile does; None when it still runs after so many seconds."""
    # fmt: off
    command = ["-m", "celery", "--quiet", "-A", "config.celery", "worker", "-Q", "drill",
               "--pool", "solo", "--without-gossip", "--without-mingle"]
    # fmt: on
    try:
        return _run(database, *command, timeout=seconds)
    except subprocess.TimeoutExpired:
        return None


def search(database: str, sought: Mapping[str, Any], kept: Mapping[str, Any]) -> list[Any]:
    """Return what the independent search finds there: places, kinds, counts, and how many kept."""
    answer = _run(database, "-m", "tests.gdpr.erasing.searcher", json.dumps([sought, kept]))
    assert answer.returncode == 0, answer.stderr
    found: list[Any] = json.loads(answer.stdout)
    return found


def read(database: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(at("backup", database)) as reader:
        return reader.execute(sql, values).fetchall()


def _run(
    database: str, *command: str, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env=environment(database),
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
