# SPDX-License-Identifier: AGPL-3.0-or-later
"""Packages of strangers: each is read or refused for what it is, and costs little."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from typing import Any

import pytest

from gdpr import archives
from gdpr.importing import unpacking
from gdpr.importing.unpacking import Fault, Unfit, unpack
from gdpr.rights import portability
from tests.gdpr.importing import parcels

PART = "data/accounts-user-1.json"
MANIFEST = "manifest.json"
FILES = parcels.parts(parcels.ROWS)
GOOD = parcels.parcel()


def fault(package: bytes) -> Fault:
    with pytest.raises(Unfit) as found:
        unpack(package)
    return found.value.fault


def in_part(text: str) -> bytes:
    """A package one of whose parts is this text."""
    return parcels.parcel({PART: text.encode("utf-8", "surrogatepass")})


def test_versions_are_those_of_what_is_written() -> None:
    assert unpacking.SCHEMA_VERSION == archives.SCHEMA_VERSION
    assert (unpacking.FORMAT, unpacking.VERSION) == (portability.FORMAT, portability.VERSION)
    assert (unpacking.SCHEMA, unpacking.MANIFEST) == (portability.SCHEMA_FILE, archives.MANIFEST)


def test_package_is_read_whole() -> None:
    found = unpack(GOOD)
    assert found["made_at"] == "2026-11-20T12:00:00Z"
    assert [record["table"] for record in found["records"]] == [
        "accounts.User", "accounts.Membership", "gdpr.RequestedRight", "gdpr.RequestedRight",
    ]  # fmt: skip
    assert found["records"][0]["row"] == parcels.ANNA


@pytest.mark.parametrize(
    "name",
    [
        "../etc/passwd",
        "data/../../x.json",
        "/etc/passwd",
        "C:\\x.json",
        "data\\accounts-user-1.json",
        "data/accounts-more-1.json\0.png",
        "data/accounts-user-1.json/",
        "data/Accounts-user-1.json",
        "data/accounts-user-1.json\n",
        "data/accounts-user-١.json",
        "extra.txt",
        "pages/accounts-user-1.html",
        "MANIFEST.JSON",
    ],
)
def test_file_of_another_name(name: str) -> None:
    content = FILES | {name: b"{}"}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        for one, data in {
            **content,
            MANIFEST: json.dumps(parcels.manifest(content)).encode(),
        }.items():
            info = zipfile.ZipInfo("x")
            # As somebody writes it who does not ask zipfile.
            info.filename = one
            book.writestr(info, data)
    assert fault(out.getvalue()) in (Fault.FOREIGN_FILE, Fault.DAMAGED)


def test_same_name_twice() -> None:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as book:
        warnings.simplefilter("ignore")
        for _ in range(2):
            book.writestr(PART, FILES[PART])
    assert fault(out.getvalue()) is Fault.FOREIGN_FILE


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_way_of_packing_that_takes_much_memory(way: int) -> None:
    content = FILES | {MANIFEST: json.dumps(parcels.manifest(FILES)).encode()}
    assert fault(parcels.zipped(content, way=way)) is Fault.FOREIGN_FILE


def test_encrypted() -> None:
    package = bytearray(GOOD)
    place = package.index(b"PK\x01\x02") + 8
    package[place : place + 2] = struct.pack("<H", 1)
    assert fault(bytes(package)) is Fault.FOREIGN_FILE


def test_bomb_is_put_down_when_it_has_grown_enough() -> None:
    bomb = parcels.parcel({PART: b" " * (unpacking.MOST_OCTETS + 1)})
    assert len(bomb) < 20_000
    assert fault(bomb) is Fault.TOO_LARGE


def test_bomb_in_parts() -> None:
    half = b" " * (unpacking.MOST_OCTETS // 2 + 1)
    assert fault(parcels.parcel({PART: half, "data/a-b-1.json": half})) is Fault.TOO_LARGE


def test_bomb_that_says_it_is_small() -> None:
    """The size in the header is not believed: what is cut off there does not fit its checksum."""
    bomb = parcels.parcel({PART: b" " * 1_000_000})
    package = bytearray(bomb)
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = package.index(mark) + offset
        package[place : place + 4] = struct.pack("<I", 10)
    assert fault(bytes(package)) is Fault.DAMAGED


def test_many_files() -> None:
    many = {f"data/a-b-{number}.json": b"" for number in range(unpacking.MOST_FILES + 1)}
    assert fault(parcels.parcel(many)) is Fault.TOO_LARGE


def test_many_records() -> None:
    rows: list[dict[str, Any]] = [{} for _ in range(unpacking.MOST_RECORDS + 1)]
    assert fault(parcels.of({"accounts.User": rows})) is Fault.TOO_LARGE


@pytest.mark.parametrize("package", [b"", b"PK", b"%PDF-1.7", GOOD[:-30], GOOD[:200]])
def test_damaged(package: bytes) -> None:
    assert fault(package) is Fault.DAMAGED


def test_every_octet_that_is_changed_is_seen_or_changes_nothing() -> None:
    sound = unpack(GOOD)
    for place in range(0, len(GOOD), 7):
        package = bytearray(GOOD)
        package[place] ^= 0x55
        try:
            found = unpack(bytes(package))
        except Unfit:
            continue
        # Such as a time in a header, which nobody reads.
        assert found == sound, place


def test_changed_after_it_was_made() -> None:
    content = dict(FILES)
    told = parcels.manifest(content)
    content[PART] = parcels.part("accounts.User", [parcels.ANNA | {"first_name": "Anne"}])
    whole = parcels.zipped({**content, MANIFEST: json.dumps(told).encode()})
    assert fault(whole) is Fault.ALTERED
    less = {name: data for name, data in FILES.items() if name != PART}
    assert fault(parcels.zipped({**less, MANIFEST: json.dumps(told).encode()})) is Fault.ALTERED


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"kind": "access"}, Fault.OTHER_KIND),
        ({"format": "other"}, Fault.OTHER_KIND),
        ({"schema_version": 2}, Fault.NEWER),
        ({"version": 2}, Fault.NEWER),
        ({"version": "1"}, Fault.SHAPE),
        ({"version": True}, Fault.SHAPE),
        ({"version": 0}, Fault.SHAPE),
        ({"files": None}, Fault.SHAPE),
        ({"files": ["data/x"]}, Fault.SHAPE),
    ],
)
def test_manifest_that_is_another(told: dict[str, Any], expected: Fault) -> None:
    assert fault(parcels.parcel(None, **told)) is expected


def test_without_a_manifest() -> None:
    assert fault(parcels.zipped(FILES)) is Fault.OTHER_KIND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Fault.JSON),
        ("{", Fault.JSON),
        ("[" * 100_000, Fault.JSON),
        ('{"a":' * 100_000, Fault.JSON),
        ('{"rows": NaN}', Fault.JSON),
        ('{"rows": Infinity}', Fault.JSON),
        ('{"rows": 1e999}', Fault.JSON),
        ('{"rows": 1.5}', Fault.JSON),
        ('{"rows": ' + "9" * 10_000 + "}", Fault.JSON),
        ('{"rows": [], "rows": []}', Fault.JSON),
        ('{"rows": "\\ud800"}', Fault.JSON),
        ("\ud800", Fault.JSON),
        ("[]", Fault.OTHER_KIND),
        ("{}", Fault.SHAPE),
        (parcels.part("accounts.User", {}).decode(), Fault.SHAPE),
        (parcels.part("accounts.User", [], more=1).decode(), Fault.SHAPE),
        (parcels.part("accounts.User", [], table=[]).decode(), Fault.SHAPE),
        (parcels.part("accounts.User", [], version=2).decode(), Fault.SHAPE),
    ],
)
def test_part_that_is_another(text: str, expected: Fault) -> None:
    assert fault(in_part(text)) is expected
