# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is in a portability package: read from a ZIP of anybody, believing nothing that it says.

No size in a header counts, only octets that came out. Nothing is written to a disk.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any, NoReturn

KIND, FORMAT = "portability", "brevdue-portability"
# The newest manifest and format that are understood.
SCHEMA_VERSION, VERSION = 1, 1

MOST_FILES = 500
MOST_OCTETS = 8 * 1024 * 1024
MOST_RECORDS = 10_000
CHUNK = 64 * 1024

MANIFEST, SCHEMA = "manifest.json", "portability.schema.json"
PART = re.compile(r"data/[a-z]+-[a-z_]+-[0-9]{1,6}\.json", re.ASCII)
KNOWN_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
PART_NAMES = {"format", "version", "table", "rows"}


class Fault(StrEnum):
    """Why a file is refused."""

    DAMAGED = "damaged"
    TOO_LARGE = "too-large"
    FOREIGN_FILE = "foreign-file"
    OTHER_KIND = "other-kind"
    NEWER = "newer"
    ALTERED = "altered"
    JSON = "json"
    SHAPE = "shape"


class Unfit(Exception):
    """The file is no package that can be taken over."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def unpack(package: bytes) -> dict[str, Any]:
    """Return {"made_at", "records"}, each record {"table", "row"}. Raises Unfit."""
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as book:
            return _read(book)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError):
        raise Unfit(Fault.DAMAGED) from None


def _read(book: zipfile.ZipFile) -> dict[str, Any]:
    files = book.infolist()
    if len(files) > MOST_FILES:
        raise Unfit(Fault.TOO_LARGE)
    _demand_own_files(files)
    contents = _contents(book, files)
    manifest = _object(contents.pop(MANIFEST, b"null"))
    _demand_kind(manifest)
    _demand_unaltered(manifest, contents)
    contents.pop(SCHEMA, None)
    records = [record for content in contents.values() for record in _records(_object(content))]
    if len(records) > MOST_RECORDS:
        raise Unfit(Fault.TOO_LARGE)
    return {"made_at": manifest.get("made_at"), "records": records}


def _demand_own_files(files: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse a file whose name is not one of a package: no path leads anywhere but into it."""
    seen = set()
    for info in files:
        # What the name was before zipfile cut it at a NUL or turned its slashes.
        name = info.orig_filename
        if name in seen or not (name in (MANIFEST, SCHEMA) or PART.fullmatch(name)):
            raise Unfit(Fault.FOREIGN_FILE)
        if info.flag_bits & ENCRYPTED or info.compress_type not in KNOWN_WAYS:
            raise Unfit(Fault.FOREIGN_FILE)
        seen.add(name)


def _contents(book: zipfile.ZipFile, files: Iterable[zipfile.ZipInfo]) -> dict[str, bytes]:
    contents, left = {}, MOST_OCTETS
    for info in files:
        content = bytearray()
        with book.open(info) as file:
            while chunk := file.read(CHUNK):
                content += chunk
                left -= len(chunk)
                if left < 0:
                    raise Unfit(Fault.TOO_LARGE)
        contents[info.filename] = bytes(content)
    return contents


def _demand_kind(manifest: Mapping[str, Any]) -> None:
    if manifest.get("kind") != KIND or manifest.get("format") != FORMAT:
        raise Unfit(Fault.OTHER_KIND)
    versions = (manifest.get("schema_version"), manifest.get("version"))
    if not all(type(version) is int and version > 0 for version in versions):
        raise Unfit(Fault.SHAPE)
    if versions > (SCHEMA_VERSION, VERSION):
        raise Unfit(Fault.NEWER)


def _demand_unaltered(manifest: Mapping[str, Any], contents: Mapping[str, bytes]) -> None:
    """Hold every file against the manifest: what was cut off or changed on the way is seen."""
    files = manifest.get("files")
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise Unfit(Fault.SHAPE)
    told = [(file.get("path"), file.get("sha256")) for file in files]
    found = [(name, sha256(content).hexdigest()) for name, content in contents.items()]
    if sorted(map(str, told)) != sorted(map(str, found)):
        raise Unfit(Fault.ALTERED)


def _records(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    if part.keys() != PART_NAMES or part["format"] != FORMAT or part["version"] != VERSION:
        raise Unfit(Fault.SHAPE)
    if not isinstance(part["table"], str) or not isinstance(part["rows"], list):
        raise Unfit(Fault.SHAPE)
    return [{"table": part["table"], "row": row} for row in part["rows"]]


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(
            content.decode(),
            parse_constant=_refuse,
            parse_float=_refuse,
            object_pairs_hook=_once,
        )
        # Half a character, as \ud800 alone, is no text that can be kept.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Unfit(Fault.JSON) from None
    if not isinstance(found, dict):
        raise Unfit(Fault.OTHER_KIND)
    return found


def _refuse(_: str) -> NoReturn:
    """No figure of a package has a fraction, and none is without end."""
    raise Unfit(Fault.JSON)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unfit(Fault.JSON)
    return found
