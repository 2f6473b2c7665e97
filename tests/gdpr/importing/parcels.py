# SPDX-License-Identifier: AGPL-3.0-or-later
"""Portability packages by hand: right ones, and ones that somebody has been at."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

ANNA = {
    "email": "anna@due.example",
    "title": "Direktør",
    "first_name": "Anna",
    "last_name": "Due",
    "phone": "+45 11 22 33 44",
    "language": "en",
    "time_zone": "Europe/London",
    "last_login": "2026-01-02T03:04:05Z",
    "created_at": "2025-01-02T03:04:05Z",
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "accounts.User": [ANNA],
    "accounts.Membership": [
        {"organisation": "Duehuset ApS", "role": "owner", "created_at": "2025-01-02T03:04:05Z"}
    ],
    "gdpr.RequestedRight": [{"details": "Mit navn"}, {"details": ""}],
}


def part(table: str, rows: Any, /, **more: Any) -> bytes:
    whole = {"format": "brevdue-portability", "version": 1, "table": table, "rows": rows}
    return json.dumps(whole | more).encode()


def parts(tables: Mapping[str, Any]) -> dict[str, bytes]:
    return {
        f"data/{table.replace('.', '-').lower()}-1.json": part(table, rows)
        for table, rows in tables.items()
    }


def manifest(files: Mapping[str, bytes], /, **more: Any) -> dict[str, Any]:
    told = [{"path": name, "sha256": sha256(data).hexdigest()} for name, data in files.items()]
    return {
        "schema_version": 1,
        "kind": "portability",
        "format": "brevdue-portability",
        "version": 1,
        "made_at": "2026-11-20T12:00:00Z",
        "files": told,
    } | more


def zipped(files: Mapping[str, bytes], *, way: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", way) as book:
        for name, data in files.items():
            book.writestr(name, data)
    return out.getvalue()


def parcel(files: Mapping[str, bytes] | None = None, /, **told: Any) -> bytes:
    """A package of these files, with a manifest that says so and has `told` besides."""
    files = parts(ROWS) if files is None else files
    return zipped({**files, "manifest.json": json.dumps(manifest(files, **told)).encode()})


def of(tables: Mapping[str, Any]) -> bytes:
    return parcel(parts(tables))
