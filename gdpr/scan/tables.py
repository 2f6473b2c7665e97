# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every column of every table that can hold text, JSON, octets or an id, by the catalogue."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from django.db import connection

from gdpr.scan.needles import Finding, Kind, Needle, ScanIncomplete

# Partitions are read through their parent. A table whose rows row-level security may hide from
# this role is one that was not searched, and so is one without the right to read.
TABLES = """
SELECT c.oid::regclass::text,
    has_table_privilege(c.oid, 'SELECT') AND (
        NOT row_security_active(c.oid) OR EXISTS (
            SELECT FROM pg_policies p
            WHERE p.schemaname = n.nspname AND p.tablename = c.relname
            AND current_user = ANY (p.roles) AND p.cmd IN ('ALL', 'SELECT') AND p.qual = 'true'
        )
    )
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1
"""
# Categories of the types that cannot hold an identifier: boolean, date and time, interval,
# numeric, and PostgreSQL's own. A type that is new here is searched.
COLUMNS = """
SELECT quote_ident(a.attname), coalesce(e.typname, t.typname) = 'bytea', t.typcategory = 'A',
    coalesce(e.typname, t.typname) = 'uuid'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
AND coalesce(e.typcategory, t.typcategory) NOT IN ('B', 'D', 'T', 'N', 'G')
ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class Searched:
    findings: list[Finding]
    tables: int
    columns: int
    mentions: int


@dataclass(frozen=True, slots=True)
class Column:
    """`name` comes quoted from the catalogue."""

    name: str
    is_octets: bool
    is_array: bool
    is_number: bool = False

    def may_hold(self, needle: Needle) -> bool:
        """Say whether it can hold what is sought: a UUID is somebody's number or nothing."""
        return not self.is_number or needle.kind is Kind.PERSON

    @property
    def as_text(self) -> str:
        if not self.is_octets:
            # An array's own text form would escape what its elements hold.
            as_array = f"array_to_string({self.name}::text[], ' ')"
            return as_array if self.is_array else f"{self.name}::text"
        # The escape format leaves ASCII as it is, so that text inside octets is found as text.
        if self.is_array:
            # The name comes quoted from the catalogue.
            return f"(SELECT string_agg(encode(o, 'escape'), ' ') FROM unnest({self.name}) o)"  # noqa: S608
        return f"encode({self.name}, 'escape')"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table: the column of its primary key, and their keys as text."""

    column: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """One organisation's rows: by this column in every table that has it, and as old as that.

    `dated` names the column that says how old a row is, in the tables that have it. Tables that
    are nobody's are searched whole.
    """

    organisation_id: UUID
    until: datetime
    owned_by: str = "organisation_id"
    dated: str = "accepted_at"

    def condition(self, columns: Collection[str]) -> tuple[str, list[Any]]:
        """Return which rows of a table with these columns are meant, and the values of that."""
        found: list[tuple[str, Any]] = []
        if self.owned_by in columns:
            found.append((f"{self.owned_by} = %s", self.organisation_id))
            if self.dated in columns:
                found.append((f"{self.dated} <= %s", self.until))
        return " AND ".join(["true", *(sql for sql, _ in found)]), [value for _, value in found]


NO_ROWS = Rows("", ())
ALL_ROWS: tuple[str, list[Any]] = ("true", [])
Pair: TypeAlias = tuple[Column, Needle]


def search(
    needles: Sequence[Needle], kept: Mapping[str, Rows], within: Within | None = None
) -> Searched:
    """Look through every table; of `kept`, by table, findings tell apart what is in these rows.

    Raises ScanIncomplete.
    """
    findings: list[Finding] = []
    names, columns, mentions = _tables(), 0, 0
    for table in names:
        searched = _columns(table)
        columns += len(searched)
        rows = within.condition(_all_columns(table)) if within else ALL_ROWS
        if searched:
            found, alone = _found_in(table, searched, needles, kept.get(table, NO_ROWS), rows)
            findings += found
            mentions += alone
    return Searched(findings, len(names), columns, mentions)


def there(rows: Mapping[str, Rows]) -> dict[str, int]:
    """Return how many of the named rows each table has, without the tables that have none."""
    found = {table: _present(table, named) for table, named in rows.items()}
    return {table: count for table, count in found.items() if count}


def _present(table: str, rows: Rows) -> int:
    name, column = map(connection.ops.quote_name, (table, rows.column))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM {name} WHERE {column}::text = ANY(%s)",  # noqa: S608
            [list(rows.keys)],
        )
        (count,) = cursor.fetchone()
    return int(count)


def _tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        rows = cursor.fetchall()
    closed = [name for name, readable in rows if not readable]
    if closed:
        raise ScanIncomplete(f"not readable: {', '.join(closed)}")
    return [name for name, _ in rows]


def _columns(table: str) -> list[Column]:
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS, [table])
        return [Column(*row) for row in cursor.fetchall()]


def _all_columns(table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [table],
        )
        return {name for (name,) in cursor.fetchall()}


def _found_in(
    table: str,
    columns: Sequence[Column],
    needles: Sequence[Needle],
    kept: Rows,
    rows: tuple[str, list[Any]],
) -> tuple[list[Finding], int]:
    """Return the findings, and how many rows but the kept ones hold a name or a number alone."""
    pairs = [(one, needle) for one in columns for needle in needles if one.may_hold(needle)]
    if not pairs:
        return [], 0
    counted = _counted(table, pairs, kept, rows)
    none = [0] * (len(pairs) + 1)
    (_, *inside), (mentions, *outside) = counted.get(True, none), counted.get(False, none)
    findings = [
        Finding(place=f"{table}.{column.name}", kind=needle.kind, count=own + others, kept=own)
        for (column, needle), own, others in zip(pairs, inside, outside, strict=True)
        if own + others
    ]
    return findings, mentions


def _counted(
    table: str, pairs: Sequence[Pair], kept: Rows, rows: tuple[str, list[Any]]
) -> dict[bool, list[int]]:
    """Return, for kept rows and others, how many are mentions, then how many hold each pair."""
    found = ", ".join(f"{_condition(column)} AS f{at}" for at, (column, _) in enumerate(pairs))
    counts = ", ".join(f"count(*) FILTER (WHERE f{at})" for at in range(len(pairs)))
    quoted = connection.ops.quote_name(kept.column)
    # One statement, so that kept rows and others are counted at the same instant.
    is_kept = f"{quoted}::text = ANY(%s)" if kept.keys else "cardinality(%s::text[]) > 0"
    values = [part for column, needle in pairs for part in _values(column, needle)]
    with connection.cursor() as cursor:
        # Names come quoted from the catalogue; everything sought is a parameter. OFFSET 0 has
        # each condition computed once, however often it is counted.
        cursor.execute(
            f"SELECT is_kept, count(*) FILTER (WHERE {_mention(pairs)}), {counts}"  # noqa: S608
            f" FROM (SELECT {is_kept} AS is_kept, {found} FROM {table}"
            f" WHERE {rows[0]} OFFSET 0) t GROUP BY 1",
            [list(kept.keys), *values, *rows[1]],
        )
        return {in_kept: row for in_kept, *row in cursor.fetchall()}


def _mention(pairs: Sequence[Pair]) -> str:
    """Return the condition that a row has something of a pair, and nothing conclusive."""
    weak = [f"f{at}" for at, (_, needle) in enumerate(pairs) if not needle.kind.is_conclusive]
    strong = [f"f{at}" for at, (_, needle) in enumerate(pairs) if needle.kind.is_conclusive]
    return f"({' OR '.join([*weak, 'false'])}) AND NOT ({' OR '.join([*strong, 'false'])})"


def _condition(column: Column) -> str:
    text = column.as_text
    # Most values are words of a few letters: they are left out before anything is compared. The
    # text is a name quoted from the catalogue; everything sought is a parameter.
    return (
        f"length({text}) >= %s AND ("  # noqa: S608
        f"EXISTS (SELECT FROM unnest(%s::text[]) f WHERE strpos(lower({text}), f) > 0)"
        f" AND lower({text}) ~ %s"
        f" OR EXISTS (SELECT FROM unnest(%s::text[]) f WHERE strpos({text}, f) > 0))"
    )


def _values(column: Column, needle: Needle) -> tuple[int, list[str], str, list[str]]:
    folded, exact = list(needle.folded), list(needle.exact)
    if column.is_octets:
        folded = [_escaped(form.encode()) for form in needle.folded]
        exact = [_escaped(form) for form in needle.forms_as_octets]
    return min(map(len, [*folded, *exact])), folded, needle.pattern(folded), exact


def _escaped(octets: bytes) -> str:
    r"""Return octets as PostgreSQL's escape format writes them: \000, \\ and octal from \200."""
    return "".join(_ESCAPES.get(octet) or chr(octet) for octet in octets)


_ESCAPES = {0: "\\000", ord("\\"): "\\\\"} | {octet: f"\\{octet:03o}" for octet in range(128, 256)}
