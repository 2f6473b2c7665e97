# SPDX-License-Identifier: AGPL-3.0-or-later
"""A statement of the hot path, and the lists that it takes: each one array, of a type known before.

psycopg would look for the placeholders of a long statement each time, and for the type of a list
in what is in it; a list of nothing but NULL would even be another type, and so another plan.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from struct import Struct
from typing import Any, ClassVar
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import AsyncRowFactory, tuple_row

from relay.queue.connection import Connection

_PLACE = re.compile(r"%\((\w+)\)[sb](?:::(\w+)\[\])?")

# PostgreSQL's binary form of an array of one dimension (array_recv): dimensions, whether NULL may
# be in it, the element's type, how many, the first one's number; then each with its length.
_HEAD = Struct("!IIIII")
_EMPTY = Struct("!III")
_NULL = b"\xff\xff\xff\xff"
_length = Struct("!I").pack
_bigint = partial(Struct("!Iq").pack, 8)
_BOOLEANS = {False: _length(1) + b"\0", True: _length(1) + b"\1"}
_SIXTEEN = _length(16)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _instant(value: datetime) -> bytes:
    """Microseconds since PostgreSQL's epoch."""
    since = value - _EPOCH
    return _bigint((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _uuid(value: UUID) -> bytes:
    return _SIXTEEN + value.bytes


def _text(value: str) -> bytes:
    octets = value.encode()
    return _length(len(octets)) + octets


class Column(list[Any]):
    """Values of one column, None for NULL; `oid` and `element` number types of PostgreSQL."""

    __slots__ = ()
    oid: ClassVar[int]
    element: ClassVar[int]

    @staticmethod
    def write(value: Any, /) -> bytes:
        """Return one value in binary, its length before it."""
        raise NotImplementedError

    def octets(self) -> bytes:
        """Return the array's binary form."""
        if not self:
            return _EMPTY.pack(0, 0, self.element)
        written = [_NULL if value is None else self.write(value) for value in self]
        return b"".join([_HEAD.pack(1, 1, self.element, len(self), 1), *written])


class _Bigints(Column):
    __slots__ = ()
    oid, element, write = 1016, 20, staticmethod(_bigint)


class _Booleans(Column):
    __slots__ = ()
    oid, element, write = 1000, 16, staticmethod(_BOOLEANS.__getitem__)


class _Instants(Column):
    __slots__ = ()
    oid, element, write = 1185, 1184, staticmethod(_instant)


class _Texts(Column):
    __slots__ = ()
    oid, element, write = 1009, 25, staticmethod(_text)


class _Uuids(Column):
    __slots__ = ()
    oid, element, write = 2951, 2950, staticmethod(_uuid)


class _Contents(Column):
    """Large values, each copied once only."""

    __slots__ = ()
    oid, element = 1001, 17

    def octets(self) -> bytes:
        """Return the array's binary form."""
        pieces = [_HEAD.pack(1, 1, self.element, len(self), 1)]
        for value in self:
            pieces += (_NULL,) if value is None else (_length(len(value)), value)
        return b"".join(pieces) if self else _EMPTY.pack(0, 0, self.element)


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        return obj.octets()


_KINDS: dict[str, type[Column]] = {
    "bigint": _Bigints,
    "boolean": _Booleans,
    "bytea": _Contents,
    "text": _Texts,
    "timestamptz": _Instants,
    "uuid": _Uuids,
}
for _kind in _KINDS.values():
    _dumper = type(f"{_kind.__name__}Dumper", (_ColumnDumper,), {"oid": _kind.oid})
    psycopg.adapters.register_dumper(_kind, _dumper)


class Statement:
    """SQL with named places; a place with the type of an array takes a list."""

    def __init__(self, sql: str) -> None:
        self._kinds: dict[str, type[Column] | None] = {}
        self._sql = _PLACE.sub(self._number, sql).replace("%%", "%").encode()

    def _number(self, place: re.Match[str]) -> str:
        name, element = place.groups()
        self._kinds.setdefault(name, _KINDS[element] if element else None)
        number = list(self._kinds).index(name) + 1
        return f"${number}::{element}[]" if element else f"${number}"

    async def execute(
        self,
        connection: Connection,
        values: Mapping[str, Any],
        row_factory: AsyncRowFactory[Any] = tuple_row,
    ) -> psycopg.AsyncCursor[Any]:
        """Run it, prepared; in a pipeline the rows come later."""
        cursor = psycopg.AsyncRawCursor(connection, row_factory=row_factory)
        given = [kind(values[name]) if kind else values[name] for name, kind in self._kinds.items()]
        return await cursor.execute(self._sql, given, prepare=True, binary=True)
