# SPDX-License-Identifier: AGPL-3.0-or-later
"""A due day of a million messages dropped, beside its twin deleted row by row (log-drop-day).

Both days are written alike and lie on the disk alone, as what was written a month ago does. Two
times of each: until nobody finds a row any more, which are compared, and until the room is given
back, for which DELETE needs a VACUUM.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import threading
import time
from datetime import UTC, date, datetime, timedelta

import psycopg

from tests.bench.lanes import Side
from tests.bench.logs import SMALLER, house, no_room
from tests.bench.logseed import TABLES, Log, seed
from tests.bench.rows import Row
from tests.rig.service import Service

LANE = "log-drop-day"
MESSAGES = 1_000_000
DROP_SECONDS, RATIO = 1.0, 50.0
BAR = f"< {DROP_SECONDS:.0f} s, >= {RATIO:.0f}x"
DAYS = 3
PIECE = 5_000  # rows a statement
READER_SECONDS = 2.0
TRIES = 10
DAYS_OF_THE_LOG = "SELECT days FROM relay_logperiod"
LEFT = "SELECT to_regclass(%s) IS NOT NULL"
# A reader waits where the day's lock is in its way.
ANY_ROW = "SELECT 1 FROM relay_message WHERE accepted_at >= %s AND accepted_at < %s LIMIT 1"
# By the primary key and in the order of time: the fastest there is.
DELETE = "DELETE FROM {table} WHERE accepted_at >= %s AND accepted_at < %s"


async def drop_rows(service: Service, logged: int, _side: Side) -> list[Row]:
    return [await asyncio.to_thread(_row, service, logged or MESSAGES)]


def _row(service: Service, messages: int) -> Row:
    if why := no_room(service, DAYS * messages):
        return Row(name=LANE, ours="-", reference=f"not run: {why}", bar=BAR, holds=None)
    found = _measured(service, messages)
    gone, dropped, deleted = found["gone_s"], found["drop_s"], found["delete_s"]
    ratio, smaller = deleted / gone, f", {SMALLER}" * (messages < MESSAGES)
    room_back = (deleted + found["vacuum_s"]) / dropped
    return Row(
        name=LANE,
        ours=f"{gone * 1000:.0f} ms",
        reference=f"DELETE: {deleted:.1f} s{smaller}",
        ratio=f"{ratio:.0f}x",
        bar=BAR,
        holds=None if smaller else dropped < DROP_SECONDS and ratio >= RATIO,
        details=[
            f"{LANE}: {messages} messages, {found['rows']} rows; room given back after"
            f" {dropped * 1000:.0f} ms, by VACUUM {found['vacuum_s']:.1f} s after DELETE"
            f" ({room_back:.0f}x); beside a reader of {READER_SECONDS:.0f} s the day went after"
            f" {found['beside_a_reader_s']:.1f} s; DELETE {PIECE} messages' rows a statement"
        ],
        figures=found,
    )


def _measured(service: Service, messages: int) -> dict[str, float]:
    """Return seconds, and how many rows a day has."""
    url, duty = service.database_url(), service.environment["DUTY_DATABASE_URL"]
    days = _due_days(url)
    # What is deleted is written first: what comes after it takes its place in shared buffers.
    for day in reversed(days):
        seed(url, Log(messages=messages, days=(day,), big=house(service), waits=False))
    _out_of_memory(service)
    found = {
        **_dropped_and_gone(url, duty, days[0]),
        "beside_a_reader_s": _beside_a_reader(url, duty, days[1]),
    }
    return found | _deleted(url, days[2], messages)


def _out_of_memory(service: Service) -> None:
    """Write everything to disk, and let the system forget what it holds of the files."""
    with psycopg.connect(service.database_url(), autocommit=True) as superuser:
        superuser.execute("CHECKPOINT")
    assert service.engines.postgresql is not None
    for path in (service.engines.postgresql.data / "base").glob("*/*"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _due_days(url: str) -> list[date]:
    """Return days whose time has come."""
    with psycopg.connect(url) as superuser:
        ((days,),) = superuser.execute(DAYS_OF_THE_LOG).fetchall()
    newest = datetime.now(UTC).date() - timedelta(days=days)
    return [newest - timedelta(days=ago) for ago in range(DAYS)]


def _dropped(url: str, day: date) -> float:
    """Drop it as the hourly upkeep does; returns seconds, those of the tries that failed too."""
    begun = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as duty:
        for _ in range(TRIES):
            try:
                duty.execute("SELECT relay_drop_day(%s)", [day])
            except psycopg.errors.LockNotAvailable:
                continue
            took = time.perf_counter() - begun
            ((left,),) = duty.execute(LEFT, [f"relay_message_{day:%Y%m%d}"]).fetchall()
            assert not left, f"{day} is still there"
            return took
    raise RuntimeError(f"{day} was not dropped in {TRIES} tries")


def _dropped_and_gone(url: str, duty: str, day: date) -> dict[str, float]:
    """Drop it; returns the seconds until it is done, and until no reader found a row of it."""
    midnight = datetime.combine(day, dt.time(), UTC)
    gone: list[float] = []
    reads = threading.Event()

    def read() -> None:
        with psycopg.connect(url, autocommit=True) as reader:
            while reader.execute(ANY_ROW, [midnight, midnight + timedelta(days=1)]).fetchone():
                reads.set()
        gone.append(time.perf_counter())

    reader = threading.Thread(target=read)
    reader.start()
    reads.wait()
    begun = time.perf_counter()
    took = _dropped(duty, day)
    reader.join()
    return {"drop_s": took, "gone_s": gone[0] - begun}


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


def _deleted(url: str, day: date, messages: int) -> dict[str, float]:
    """Delete every row of a day; returns the rows, the seconds, and those to give back the room."""
    midnight, pieces = datetime.combine(day, dt.time(), UTC), -(-messages // PIECE)
    step, gone, begun = timedelta(days=1) / pieces, 0, time.perf_counter()
    with psycopg.connect(url, autocommit=True) as owner:
        for table in TABLES:
            statement = DELETE.format(table=f"relay_{table}_{day:%Y%m%d}")
            for number in range(pieces):
                since = midnight + number * step
                gone += owner.execute(statement, [since, since + step]).rowcount
        took = time.perf_counter() - begun
        for table in TABLES:
            owner.execute(f"VACUUM relay_{table}_{day:%Y%m%d}")
    assert gone >= 3 * messages, f"{gone} rows only"
    return {"rows": gone, "delete_s": took, "vacuum_s": time.perf_counter() - begun - took}
