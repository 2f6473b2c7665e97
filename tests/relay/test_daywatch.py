# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings

from relay.daywatch import watch_tomorrow
from tests.relay import mail

pytestmark = pytest.mark.django_db(transaction=True)

OPEN = "SELECT count(*) FROM accounts_alert WHERE kind = 'log-day-missing' AND resolved_at IS NULL"


def watch(ahead: timedelta, dsn: str = "") -> int:
    async def scenario() -> None:
        watching = watch_tomorrow(dsn or mail.dsn(), lambda: mail.now() + ahead, seconds=0.2)
        task = asyncio.create_task(watching)
        await asyncio.sleep(1)
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})

    mail.run(scenario())
    return int(mail.value(OPEN))


@pytest.fixture(autouse=True)
def _days() -> None:
    for ahead in range(2):
        mail.execute("SELECT relay_create_day(%s)", (mail.now() + timedelta(days=ahead)).date())


def test_missing_tomorrow_is_told_from_the_mail_path() -> None:
    assert watch(timedelta()) == 0
    assert watch(timedelta(days=60)) == 1


def test_absent_database_is_outlived() -> None:
    assert watch(timedelta(days=60), "postgresql://relay@127.0.0.1:1/nothing") == 0


def test_alert_that_cannot_be_sealed_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "VAULT_URL", f"file://{tmp_path}")
    monkeypatch.setattr(settings, "VAULT_MAKE_KEYS", False)
    assert watch(timedelta(days=60)) == 0
