# SPDX-License-Identifier: AGPL-3.0-or-later
"""One scan over all places, with the figures that a certificate states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from django.conf import settings

from gdpr.scan import files, keys, tables
from gdpr.scan.files import Place
from gdpr.scan.needles import Finding, Sought, needles

NOTHING_KEPT: Mapping[str, tables.Rows] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How much was searched, and what was found in it."""

    at: datetime
    tables: int
    columns: int
    keys: int
    # How many in each place; without "logs" where no directory of logs is named to the service.
    files: dict[str, int]
    findings: tuple[Finding, ...]
    # How many "rows" (but those that are kept), "keys" and "files" hold a name or a phone number
    # alone: each counted once, wherever in it and however often.
    mentions: dict[str, int]


def scan(
    sought: Sought,
    now: datetime,
    kept: Mapping[str, tables.Rows] = NOTHING_KEPT,
    within: tables.Within | None = None,
) -> Scan:
    """Search the database, Redis, and every place with files. Raises ScanIncomplete.

    `kept` names rows by their table; findings say how many of them they are. `within` leaves out
    what other organisations have, and what came later.
    """
    forms = needles(sought)
    in_tables = tables.search(forms, kept, within)
    in_keys = keys.search(forms)
    in_files = files.search(_file_places(), forms)
    return Scan(
        at=now,
        tables=in_tables.tables,
        columns=in_tables.columns,
        keys=in_keys.keys,
        files=in_files.files,
        findings=(*in_tables.findings, *in_keys.findings, *in_files.findings),
        mentions={
            "rows": in_tables.mentions,
            "keys": in_keys.mentions,
            "files": in_files.mentions,
        },
    )


def _file_places() -> list[Place]:
    logs = tuple(map(Path, settings.LOG_DIRECTORIES))
    return ([Place("logs", logs)] if logs else []) + [
        Place("packages", _there(settings.PACKAGES), sealed=True),
        Place("erasure journal", _there(settings.ERASURE_JOURNAL)),
        Place("audit anchors", _there(settings.AUDIT_ANCHORS)),
    ]


def _there(directory: str) -> tuple[Path, ...]:
    """Return a directory of the service's own, which it makes when it first writes to it."""
    path = Path(directory)
    return (path,) if path.exists() else ()
