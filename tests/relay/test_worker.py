# SPDX-License-Identifier: AGPL-3.0-or-later
"""The real Celery worker with its children, from the task to the far end and back to silence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings
from redis import Redis

from config.celery import app
from relay.models import Route
from tests import build
from tests.relay import mail
from tests.testbed.smtp import FarEnd, Script, Silence, threaded

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def worker(port: int, log: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "DATABASE_ROLE": "relay",
        "RELAY_DATABASE_URL": mail.dsn(),
        "REDIS_URL": settings.REDIS_URL,
        "VAULT_URL": settings.VAULT_URL,
        "KEYRING_URL": settings.KEYRING_URL,
        "RELAY_EGRESS_LOOPBACK_PORTS": str(port),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        **more,
    }
    command = [sys.executable, "-m", "celery", "-A", "config.celery", "worker", "-Q", "delivery",
               "--concurrency", "2", "--without-gossip", "--without-mingle"]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=settings.BASE_DIR
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def within(seconds: float, found: Callable[[], object]) -> None:
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def empty_broker() -> Iterator[None]:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()
        yield
        redis.flushdb()


def ask_for_shifts(count: int = 1) -> None:
    with app.connection_for_write(settings.REDIS_URL) as connection:
        for _ in range(count):
            app.send_task("relay.deliver", connection=connection, queue="delivery")


def house_with_route(port: int) -> UUID:
    house = mail.organisation()
    with build.as_owner():
        Route.objects.create(
            organisation=house,
            name="server",
            host="127.0.0.1",
            port=port,
            security=Route.Security.NONE,
            created_at=build.NOW,
        )
    return house.id


def slots_taken() -> int:
    return int(mail.value(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ))  # fmt: skip


def test_worker_carries_mail_and_ends_when_asked(tmp_path: Path) -> None:
    with threaded(FarEnd()) as far_end:
        house = house_with_route(far_end.port)
        with worker(far_end.port, tmp_path / "log") as process:
            ask_for_shifts(3)
            within(20, slots_taken)
            mail.run(mail.keep(mail.message(house)))
            within(10, lambda: far_end.ledger)
            within(5, lambda: mail.value("SELECT count(*) FROM relay_content") == 0)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    assert slots_taken() == 0
    said = (tmp_path / "log").read_text()
    assert "modtager" not in said
    assert "Traceback" not in said


def test_killed_parent_takes_its_children_along(tmp_path: Path) -> None:
    """The kernel ends them; the lease stays, without a dot mark: certainly not delivered."""
    with threaded(FarEnd(Script(data=Silence()))) as far_end:
        house = house_with_route(far_end.port)
        with worker(far_end.port, tmp_path / "log") as process:
            ask_for_shifts()
            within(20, slots_taken)
            mail.run(mail.keep(mail.message(house)))
            within(10, lambda: far_end.used.get("data"))
            process.kill()
            within(15, lambda: not slots_taken())
    assert mail.rows(
        "SELECT dot_at, lease_expires_at < now() + interval '61 seconds' FROM relay_queueddelivery"
    ) == [(None, True)]
