# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from relay import heartbeat
from tests.relay import mail
from tests.relay.stage import until

pytestmark = pytest.mark.django_db(transaction=True)

OPEN = "SELECT count(*) FROM accounts_alert WHERE kind = 'beat-silent' AND resolved_at IS NULL"


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.delete(heartbeat.KEY)
        yield
        redis.delete(heartbeat.KEY)


def watch(ahead: timedelta) -> int:
    looks = []

    def now() -> datetime:
        looks.append(1)
        return mail.now() + ahead

    async def scenario() -> None:
        task = asyncio.create_task(heartbeat.watch(mail.dsn(), now, seconds=0.05))
        # With the second look, what the first one found has been told.
        await until(lambda: len(looks) == 2)
        task.cancel()
        await asyncio.wait({task})

    mail.run(scenario())
    return int(mail.value(OPEN))


def test_silent_beat_is_told_within_a_quarter_of_an_hour_and_resolved() -> None:
    heartbeat.mark(mail.now())
    assert watch(timedelta(minutes=9)) == 0
    assert watch(timedelta(minutes=11)) == 1
    assert watch(timedelta()) == 0


def watch_for(minutes: int, away: range = range(0)) -> int:
    """Watch, with a minute from look to look; Redis is away at the looks named.

    Time stands still at the end, however many looks more there are before the watcher is stopped.
    """
    looks: list[int] = []
    begun, here = mail.now(), settings.REDIS_URL

    def now() -> datetime:
        looks.append(1)
        settings.REDIS_URL = "redis://127.0.0.1:1/0" if len(looks) in away else here
        return begun + timedelta(minutes=min(len(looks), minutes + 1))

    async def scenario() -> None:
        task = asyncio.create_task(heartbeat.watch(mail.dsn(), now, seconds=0.01))
        try:
            await until(lambda: len(looks) > minutes)
        finally:
            task.cancel()
            await asyncio.wait({task})

    try:
        mail.run(scenario())
    finally:
        settings.REDIS_URL = here
    return int(mail.value(OPEN))


def test_beat_that_never_writes_is_told_within_a_quarter_of_an_hour() -> None:
    assert watch_for(10) == 0
    assert watch_for(13) == 1
    # Who begins to watch knows no more, and leaves the alert open.
    assert watch_for(2) == 1
    heartbeat.mark(mail.now())
    assert watch_for(2) == 0


def test_beat_gets_its_time_once_redis_is_back() -> None:
    assert watch_for(17, away=range(8, 10)) == 0


def test_alert_that_cannot_be_sealed_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heartbeat.mark(mail.now())
    keys = settings.VAULT_URL
    looks: list[int] = []

    def now() -> datetime:
        looks.append(1)
        if len(looks) == 3:
            monkeypatch.setattr(settings, "VAULT_URL", keys)
        return mail.now() + timedelta(minutes=11)

    monkeypatch.setattr(settings, "VAULT_URL", f"file://{tmp_path}")
    monkeypatch.setattr(settings, "VAULT_MAKE_KEYS", False)

    async def scenario() -> None:
        task = asyncio.create_task(heartbeat.watch(mail.dsn(), now, seconds=0.05))
        await until(lambda: len(looks) > 3)
        task.cancel()
        await asyncio.wait({task})

    mail.run(scenario())
    assert mail.value(OPEN) == 1
    assert "cannot be sealed" in caplog.text


def test_mark_does_not_wait_long_for_a_silent_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BACKGROUND_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        monkeypatch.setattr(settings, "REDIS_URL", url)
        began = time.monotonic()
        with pytest.raises(RedisError):
            heartbeat.mark(mail.now())
    assert time.monotonic() - began < 4


def test_absent_redis_is_outlived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    assert watch(timedelta(days=1)) == 0


def test_heartbeat_from_before_the_clock_was_put_back_hides_no_silence() -> None:
    now = mail.now()
    said = {
        ahead: heartbeat.Pulse().is_late((now + timedelta(minutes=ahead)).isoformat().encode(), now)
        for ahead in (-9, 9, 60)
    }
    assert said == {-9: False, 9: False, 60: True}
