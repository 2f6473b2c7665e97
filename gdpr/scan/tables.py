# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every column of every table that can hold text, JSON, octets or an id, by the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from gdpr.scan.needles import Finding, Needle, ScanIncomplete

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
SELECT quote_ident(a.attname), coalesce(e.typname, t.typname) = 'bytea', t.typcategory = 'A'
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


@dataclass(frozen=True, slots=True)
class Column:
    """`name` comes quoted from the catalogue."""

    name: str
    is_octets: bool
    is_array: bool

    @property
    def as_text(self) -> str:
        if not self.is_octets:
            # An array's own text form would escape what its elements hold.
            as_array = f"array_to_string({self.name}::text[], ' ')"
            return as_array if self.is_array else f"{self.name}::text"
        # The escape format leaves ASCII as it is, so that text inside octets is found as text.
        if self.is_array:
            return f"(SELECT string_agg(encode(o, 'escape'), ' ') FROM unnest({self.name}) o)"  # noqa: S608
        return f"encode({self.name}, 'escape')"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table: the column of its primary key, and their keys as text."""

    column: str
    keys: tuple[str, ...]


NO_ROWS = Rows("", ())


def search(needles: Sequence[Needle], kept: Mapping[str, Rows]) -> Searched:
    """Look through every table; of `kept`, by table, findings tell apart what is in these rows.

    Raises ScanIncomplete.
    """
    findings: list[Finding] = []
    names, columns = _tables(), 0
    for table in names:
        searched = _columns(table)
        columns += len(searched)
        if searched:
            findings += _found_in(table, searched, needles, kept.get(table, NO_ROWS))
    return Searched(findings, len(names), columns)


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


def _found_in(
    table: str, columns: Sequence[Column], needles: Sequence[Needle], kept: Rows
) -> Iterator[Finding]:
    pairs = [(column, needle) for column in columns for needle in needles]
    counts = ", ".join(f"count(*) FILTER (WHERE {_condition(column)})" for column, _ in pairs)
    values = [part for column, needle in pairs for part in _values(column, needle)]
    quoted = connection.ops.quote_name(kept.column)
    # One statement, so that kept rows and others are counted at the same instant.
    is_kept = f"{quoted}::text = ANY(%s)" if kept.keys else "cardinality(%s::text[]) > 0"
    with connection.cursor() as cursor:
        # Names come quoted from the catalogue; everything sought is a parameter.
        cursor.execute(
            f"SELECT {is_kept}, {counts} FROM {table} GROUP BY 1",  # noqa: S608
            [list(kept.keys), *values],
        )
        counted = {in_kept: row for in_kept, *row in cursor.fetchall()}
    none = [0] * len(pairs)
    inside, outside = counted.get(True, none), counted.get(False, none)
    for (column, needle), own, others in zip(pairs, inside, outside, strict=True):
        if own + others:
            place = f"{table}.{column.name}"
            yield Finding(place=place, kind=needle.kind, count=own + others, kept=own)


def _condition(column: Column) -> str:
    text = column.as_text
    return (
        f"EXISTS (SELECT FROM unnest(%s::text[]) f WHERE strpos(lower({text}), f) > 0)"  # noqa: S608
        f" AND lower({text}) ~ %s"
        f" OR EXISTS (SELECT FROM unnest(%s::text[]) f WHERE strpos({text}, f) > 0)"
    )


def _values(column: Column, needle: Needle) -> tuple[list[str], str, list[str]]:
    folded, exact = list(needle.folded), list(needle.exact)
    if column.is_octets:
        folded = [_escaped(form.encode()) for form in needle.folded]
        exact = [_escaped(form) for form in needle.forms_as_octets]
    return folded, needle.pattern(folded), exact


def _escaped(octets: bytes) -> str:
    r"""Return octets as PostgreSQL's escape format writes them: \000, \\ and octal from \200."""
    return "".join(_ESCAPES.get(octet) or chr(octet) for octet in octets)


_ESCAPES = {0: "\\000", ord("\\"): "\\\\"} | {octet: f"\\{octet:03o}" for octet in range(128, 256)}
