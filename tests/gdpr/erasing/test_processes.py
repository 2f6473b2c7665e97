# SPDX-License-Identifier: AGPL-3.0-or-later
"""Erasure by real processes, killed at every step."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from zlib import crc32

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from accounts.models import User
from accounts.turns import LOCK_CLASS
from gdpr.erasing import repeat, run, steps
from gdpr.models import Erasure
from gdpr.scan import tables
from gdpr.scan.needles import Needle
from tests import build
from tests.gdpr.erasing import seeds
from tests.gdpr.erasing.conftest import later
from tests.gdpr.processes import at, environment, here

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.as_role("duty"),
    pytest.mark.timeout(900),
]


ENDS = ("scan", "certificate", "farewell")


def _run_worker(erasure: Erasure, name: str, moment: str) -> int:
    command = [sys.executable, "-m", "tests.gdpr.erasing.worker", str(erasure.pk)]
    command += [later().isoformat(), name, moment]
    return subprocess.run(command, env=environment(here()), cwd=settings.BASE_DIR).returncode


def test_worker_killed_again_and_again_leaves_a_whole_erasure(
    asked: Erasure, gone: User, stays: User
) -> None:
    hers, before = seeds.rows_of(gone), seeds.contents()
    with build.as_owner():
        names = _names(asked)
    ends = len(names) - len(ENDS)
    # Every step is tried in test_run.py, by an error; here are its kinds, by SIGKILL.
    for number in (0, 1, 2, ends // 2, *range(ends, len(names))):
        moment = ("before", "after")[number % 2]
        assert _run_worker(asked, names[number], moment) == -signal.SIGKILL
        done = asked.steps.filter(done_at__isnull=False).count()
        assert done == number + (moment == "after")
        repeat.refuse_older_database(later())
    assert run.carry_out(asked.pk, later())
    assert not User.objects.filter(pk=gone.pk).exists()
    after = seeds.contents()
    stayed = before["accounts_user"] - hers["accounts_user"]
    assert stayed <= after["accounts_user"]


def test_search_holds_no_transaction_and_there_is_one_at_a_time(
    asked: Erasure, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, search = [], tables.search

    def look(
        needles: Sequence[Needle],
        kept: Mapping[str, tables.Rows],
        within: tables.Within | None = None,
    ) -> tables.Searched:
        seen.append(connection.in_atomic_block)
        return search(needles, kept, within)

    monkeypatch.setattr(tables, "search", look)
    with psycopg.connect(at("duty", here()), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s, %s)", _lock("erasure-scan"))
        assert not run.carry_out(asked.pk, later())
        # The lock would otherwise end with its server process, which may take a moment.
        other.execute("SELECT pg_advisory_unlock(%s, %s)", _lock("erasure-scan"))
    assert seen == []
    asked.refresh_from_db()
    assert asked.fault == Erasure.Fault.NONE
    assert run.carry_out(asked.pk, later())
    assert seen == [False]


def _lock(act: str) -> list[int]:
    return [LOCK_CLASS, crc32(act.encode()) & 0x7FFFFFFF]


def _names(asked: Erasure) -> list[str]:
    """The names of the steps, as they will be laid out."""
    trial = Erasure(language="da", asked_at=asked.asked_at, due_at=asked.due_at)
    trial.save()
    steps.lay_out(trial)
    names = [step.name for step in trial.steps.all()]
    trial.delete()
    return names
