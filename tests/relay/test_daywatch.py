# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from relay.daywatch import watch_tomorrow
from tests.relay import mail
from tests.relay.stage import becomes, until

pytestmark = pytest.mark.django_db(transaction=True)

OPEN = "SELECT count(*) FROM accounts_alert WHERE kind = 'log-day-missing' AND resolved_at IS NULL"


def watch(ahead: timedelta, dsn: str = "", wanted: int = 0) -> int:
    looks = []

    def now() -> datetime:
        looks.append(1)
        return mail.now() + ahead

    async def scenario() -> None:
        task = asyncio.create_task(watch_tomorrow(dsn or mail.dsn(), now, seconds=0.5))
        # The first look is over when the next one begins; on a busy machine it may be cut short.
        await until(lambda: len(looks) > 1)
        await becomes(OPEN, wanted)
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
    assert watch(timedelta(days=60), wanted=1) == 1


def test_absent_database_is_outlived() -> None:
    assert watch(timedelta(days=60), "postgresql://relay@127.0.0.1:1/nothing") == 0


def test_alert_that_cannot_be_sealed_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "VAULT_URL", f"file://{tmp_path}")
    monkeypatch.setattr(settings, "VAULT_MAKE_KEYS", False)
    assert watch(timedelta(days=60)) == 0
