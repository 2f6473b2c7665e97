# SPDX-License-Identifier: AGPL-3.0-or-later
"""A due day of a million messages dropped, beside its twin deleted row by row (log-drop-day)."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from datetime import UTC, date, datetime, timedelta

import psycopg

from tests.bench.lanes import Side
from tests.bench.logs import house
from tests.bench.logseed import TABLES, Log, seed
from tests.bench.rows import Row
from tests.rig.service import Service

MESSAGES = 1_000_000
DROP_SECONDS, RATIO = 1.0, 50.0
PIECE = 5_000  # rows a statement
READER_SECONDS = 2.0
TRIES = 10
DAYS_OF_THE_LOG = "SELECT days FROM relay_logperiod"
# By the primary key and in the order of time: the fastest there is.
DELETE = "DELETE FROM {table} WHERE accepted_at >= %s AND accepted_at < %s"


async def drop_rows(service: Service, _messages: int, _side: Side) -> list[Row]:
    return [await asyncio.to_thread(_measured, service)]


def _measured(service: Service) -> Row:
    url, duty = service.database_url(), service.environment["DUTY_DATABASE_URL"]
    days = _due_days(url)
    for day in days:
        seed(url, Log(messages=MESSAGES, days=(day,), big=house(service), waits=False))
    dropped, waited = _dropped(duty, days[0]), _beside_a_reader(url, duty, days[1])
    deleted = _deleted(url, days[2])
    ratio = deleted / dropped
    return Row(
        name="log-drop-day",
        ours=f"{dropped * 1000:.0f} ms",
        reference=f"DELETE: {deleted:.0f} s",
        ratio=f"{ratio:.0f}x",
        bar=f"< {DROP_SECONDS:.0f} s, >= {RATIO:.0f}x",
        holds=dropped < DROP_SECONDS and ratio >= RATIO,
        details=[
            f"log-drop-day: {MESSAGES} messages; beside a reader of {READER_SECONDS:.0f} s the day"
            f" went after {waited:.1f} s; DELETE {PIECE} rows a statement, without VACUUM"
        ],
        figures={"drop_s": dropped, "delete_s": deleted, "beside_a_reader_s": waited},
    )


def _due_days(url: str) -> list[date]:
    """Return three days whose time has come."""
    with psycopg.connect(url) as superuser:
        ((days,),) = superuser.execute(DAYS_OF_THE_LOG)
    newest = datetime.now(UTC).date() - timedelta(days=days)
    return [newest - timedelta(days=ago) for ago in range(3)]


def _dropped(url: str, day: date) -> float:
    """Drop it as the hourly upkeep does; returns seconds, those of the tries that failed too."""
    begun = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as duty:
        for _ in range(TRIES):
            try:
                duty.execute("SELECT relay_drop_day(%s)", [day])
            except psycopg.errors.LockNotAvailable:
                continue
            return time.perf_counter() - begun
    raise RuntimeError(f"{day} was not dropped in {TRIES} tries")


def _beside_a_reader(url: str, duty: str, day: date) -> float:
    """Drop it while somebody reads it."""
    reads = threading.Event()

    def read() -> None:
        with psycopg.connect(url) as reader:
            reader.execute("SELECT FROM relay_message WHERE accepted_at >= %s LIMIT 1", [day])
            reads.set()
            time.sleep(READER_SECONDS)

    reader = threading.Thread(target=read)
    reader.start()
    reads.wait()
    try:
        return _dropped(duty, day)
    finally:
        reader.join()


def _deleted(url: str, day: date) -> float:
    """Delete every row of a day; returns seconds."""
    midnight, pieces = datetime.combine(day, dt.time(), UTC), MESSAGES // PIECE
    step, gone, begun = timedelta(days=1) / pieces, 0, time.perf_counter()
    with psycopg.connect(url, autocommit=True) as owner:
        for table in TABLES:
            statement = DELETE.format(table=f"relay_{table}_{day:%Y%m%d}")
            for number in range(pieces):
                since = midnight + number * step
                gone += owner.execute(statement, [since, since + step]).rowcount
    assert gone >= 3 * MESSAGES, f"{gone} rows only"
    return time.perf_counter() - begun
