# SPDX-License-Identifier: AGPL-3.0-or-later
"""One run of an act at a time, across all workers: beat asks again while one still runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from zlib import crc32

from django.db import connection

LOCK_CLASS = 0x5475726E  # the advisory locks of turns, apart from any other


@contextmanager
def turn(act: str) -> Iterator[bool]:
    """Give whether the act is this session's until the block ends; False: somebody else has it.

    A session that ends gives its turn back. Raises django.db.OperationalError.
    """
    lock = [LOCK_CLASS, crc32(act.encode()) & 0x7FFFFFFF]  # PostgreSQL's int4 has a sign
    mine = _ask("SELECT pg_try_advisory_lock(%s, %s)", lock)
    try:
        yield mine
    finally:
        if mine:
            _ask("SELECT pg_advisory_unlock(%s, %s)", lock)


@contextmanager
def place(act: str, places: int) -> Iterator[bool]:
    """Give whether one of so many places at an act is this session's until the block ends."""
    with ExitStack() as stack:
        turns = (turn(f"{act}-{number}") for number in range(places))
        yield any(stack.enter_context(one) for one in turns)


def _ask(sql: str, lock: list[int]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql, lock)
        return bool(cursor.fetchone()[0])
