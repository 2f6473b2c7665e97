# SPDX-License-Identifier: AGPL-3.0-or-later
"""One psycopg connection of the mail path: opened when needed, dropped on any fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

Connection = psycopg.AsyncConnection[Any]
Now = Callable[[], datetime]

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 30

# Every look-up is by key, and a day's partition is found while the statement runs: plans made
# once stay right, while planning 35 partitions for each batch would cost more than the batch. A
# plan made on an empty queue must still be right on a full one, so it walks the index in order.
_SESSION = """
SET jit = off;
SET plan_cache_mode = force_generic_plan;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET statement_timeout = '25s';
SET idle_in_transaction_session_timeout = '30s';
"""


def conninfo() -> str:
    """Return how this process reaches its database, from the settings of its role."""
    parameters = DatabaseWrapper(settings.DATABASES["default"], "default").get_connection_params()
    for name in ("client_encoding", "cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    return psycopg.conninfo.make_conninfo(**parameters)


class HotConnection:
    """A connection for one task at a time. After a fault the next use opens a new one."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """Lend the open connection for at most STATEMENT_SECONDS.

        Raises psycopg.Error, OSError or TimeoutError; after any of them nothing is known of what
        the statement did, and the connection is closed.
        """
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                yield await self._open()
        except (psycopg.DataError, psycopg.IntegrityError):
            # The statement's own fault: it did nothing, and the connection is well.
            raise
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, connect_timeout=CONNECT_SECONDS
            )
            self._connection = connection
            # One width for every integer, so that a statement has one plan.
            connection.adapters.register_dumper(int, Int8Dumper)
            connection.adapters.register_dumper(int, Int8BinaryDumper)
            await connection.execute(_SESSION)
        return self._connection

    async def close(self) -> None:
        """Drop the connection, without waiting for the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
