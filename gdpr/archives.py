# SPDX-License-Identifier: AGPL-3.0-or-later
"""A ZIP that is written from front to end, and the manifest that says what is in it.

Nothing is held in memory but the page that is being written; the manifest comes last because it
has the digest of every other file.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import IO, Any, cast

from accounts import spreadsheets
from gdpr.extracts import Row
from gdpr.redaction import Value

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
# Called with the parts that are done and how many there are.
Told = Callable[[int, int], None]


@dataclass(slots=True)
class Archive:
    """An open ZIP; `files` grows into the manifest's list."""

    made_at: datetime
    zip: zipfile.ZipFile
    files: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, content: bytes, *, rows: int | None = None) -> None:
        """Write one file and note its digest, and the rows of data that it has."""
        info = zipfile.ZipInfo(name, self.made_at.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        self.zip.writestr(info, content)
        told: dict[str, Any] = {
            "path": name,
            "sha256": sha256(content).hexdigest(),
            "octets": len(content),
        }
        self.files.append(told if rows is None else told | {"rows": rows})

    def add_json(self, name: str, content: object, *, rows: int | None = None) -> None:
        text = json.dumps(content, ensure_ascii=False, indent=1)
        self.add(name, text.encode() + b"\n", rows=rows)

    def add_manifest(self, manifest: dict[str, Any]) -> None:
        """Write what is in the archive; the last file of it."""
        whole = {"schema_version": SCHEMA_VERSION, **manifest, "files": list(self.files)}
        self.add_json(MANIFEST, whole)


@contextmanager
def archive(out: io.RawIOBase, made_at: datetime) -> Iterator[Archive]:
    """Open an archive that is written to `out`, which need not be able to go back."""
    with zipfile.ZipFile(cast(IO[bytes], out), "w", zipfile.ZIP_DEFLATED) as book:
        yield Archive(made_at, book)


def csv_table(names: Sequence[str], rows: Iterable[Row]) -> bytes:
    """Return rows as CSV (RFC 4180) that every spreadsheet opens, and takes for text alone."""
    cells = ([csv_cell(row.get(name)) for name in names] for row in rows)
    return spreadsheets.MARK + spreadsheets.lines([names, *cells])


def csv_cell(value: Value) -> str:
    """Return a value as a cell that no spreadsheet carries out."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return spreadsheets.cell(value)
