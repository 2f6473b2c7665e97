# SPDX-License-Identifier: AGPL-3.0-or-later
"""`manage.py purge` as a process of its own: killed in the middle, and carried on by the next."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psycopg
import pytest
from django.conf import settings

from accounts.models import Alert
from gdpr import retention
from gdpr.models import RetentionRun
from tests.gdpr.processes import at, environment, here

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.as_role("duty"),
    pytest.mark.timeout(600),
]

TOTAL = 2 * retention.BATCH + 100
OLD = """
INSERT INTO accounts_alert (id, kind, subject, count, first_at, last_at, resolved_at)
SELECT gen_random_uuid(), 'x', n::text, 1, t, t, t
FROM generate_series(1, %s) n, LATERAL (SELECT now() - interval '999 days' + n * interval '1 s' t) x
"""
# The newest of the old is in the third and last batch.
HOLD = "SELECT id FROM accounts_alert ORDER BY resolved_at DESC LIMIT 1 FOR UPDATE"


def _purge() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "purge"],
        env=environment(here()), cwd=settings.BASE_DIR, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _wait_for(left: int, process: subprocess.Popen[str]) -> None:
    while Alert.objects.count() > left:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


def test_purge_that_is_killed_is_completed_by_the_next() -> None:
    with psycopg.connect(at("owner", here())) as owner:
        owner.execute(OLD, [TOTAL])
    with psycopg.connect(at("owner", here())) as holder:
        holder.execute(HOLD)
        process = _purge()
        _wait_for(100, process)
        process.kill()
        process.communicate()
        holder.rollback()
    assert process.returncode == -signal.SIGKILL
    run = RetentionRun.objects.get(what="accounts.Alert")
    assert (run.rows, run.finished_at, Alert.objects.count()) == (2 * retention.BATCH, None, 100)
    again = _purge()
    assert "100  accounts.Alert" in again.communicate()[0]
    assert (again.returncode, Alert.objects.count()) == (0, 0)
    run.refresh_from_db()
    assert run.rows == TOTAL
    assert run.finished_at is not None
