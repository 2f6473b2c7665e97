# SPDX-License-Identifier: AGPL-3.0-or-later
"""One scan over all places, with the figures that a certificate states."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings

from gdpr.scan import files, keys, tables
from gdpr.scan.needles import Finding, Sought, needles


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How much was searched, and what was found in it."""

    at: datetime
    tables: int
    columns: int
    keys: int
    files: int
    findings: tuple[Finding, ...]


def scan(sought: Sought, now: datetime) -> Scan:
    """Search the database, Redis, and the files of `_file_places`. Raises ScanIncomplete."""
    forms = needles(sought)
    in_tables = tables.search(forms)
    in_keys = keys.search(forms)
    in_files = files.search(_file_places(), forms)
    return Scan(
        at=now,
        tables=in_tables.tables,
        columns=in_tables.columns,
        keys=in_keys.keys,
        files=in_files.files,
        findings=(*in_tables.findings, *in_keys.findings, *in_files.findings),
    )


def _file_places() -> dict[str, list[Path]]:
    return {
        "logs": [Path(path) for path in settings.LOG_DIRECTORIES],
        "packages": [Path(settings.PACKAGES)],
        "erasure journal": [Path(settings.ERASURE_JOURNAL)],
        "audit anchors": [Path(settings.AUDIT_ANCHORS)],
    }
