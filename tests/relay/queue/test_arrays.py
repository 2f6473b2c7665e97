# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lists that a statement takes as arrays: the values arrive, under one type, so with one plan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from relay.models import Delivery
from relay.queue import HotConnection
from relay.queue.arrays import Statement
from tests.relay import mail

pytestmark = pytest.mark.django_db(transaction=True)

LATER = datetime(2026, 11, 22, 18, 30, 1, 999_999, tzinfo=timezone(timedelta(hours=1)))
VALUES: dict[str, list[Any]] = {
    "bigint": [0, -1, 2**63 - 1, -(2**63), None],
    "boolean": [True, None, False],
    "bytea": [b"", None, b"\0\xff" * 70_000],
    "text": ["", "Søren é 🕊", None, Delivery.State.WAITING],
    "timestamptz": [LATER, datetime(1999, 12, 31, tzinfo=UTC), None],
    "uuid": [UUID(int=1), UUID(int=2**128 - 1), None],
}


async def echoed(kind: str, *lists: list[Any]) -> tuple[list[Any], int]:
    """What PostgreSQL makes of each list, and how many statements it has prepared for them."""
    statement = Statement(f"SELECT %(values)b::{kind}[], %(same)s::int")
    hot, found = HotConnection(mail.dsn()), []
    async with hot.use() as connection:
        for values in lists:
            cursor = await statement.execute(connection, {"values": values, "same": 7})
            found += await cursor.fetchall()
        cursor = await connection.execute("SELECT count(*) FROM pg_prepared_statements")
        ((prepared,),) = await cursor.fetchall()
    await hot.close()
    return found, prepared


@pytest.mark.parametrize("kind", VALUES)
def test_values_arrive_and_have_one_plan(kind: str) -> None:
    lists = [VALUES[kind], VALUES[kind][:1], [None, None], []]
    found, prepared = mail.run(echoed(kind, *lists))
    assert found == [(values, 7) for values in lists]
    assert prepared == 1


def test_names_are_numbered_once_and_percent_signs_are_plain() -> None:
    async def scenario() -> list[Any]:
        statement = Statement("SELECT %(a)s::int, %(b)s::int, %(a)s::int, 'x' LIKE '%%x'")
        hot = HotConnection(mail.dsn())
        async with hot.use() as connection:
            cursor = await statement.execute(connection, {"b": 2, "a": 1})
            rows = await cursor.fetchall()
        await hot.close()
        return rows

    assert mail.run(scenario()) == [(1, 2, 1, True)]
