# SPDX-License-Identifier: AGPL-3.0-or-later
"""A leftover planted in each kind of store is found, in whatever form it was written."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from django.apps import apps
from django.conf import settings as configured
from django.db import connection
from pytest_django.fixtures import Settings
from redis import Redis

from gdpr import scan
from gdpr.inventory import STORES
from gdpr.scan import Kind, Sought, everywhere, needles
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

NUMBER = UUID("5b0f3a36-7ab5-4a42-8f1a-6b0b7f6a2f11")
GONE = Sought(
    person_id=NUMBER,
    address="Sørine.gået+x@borte.example",
    phone="+45 12 34 56 78",
    name="Sørine Gået",
)


@pytest.fixture(autouse=True)
def _places(settings: Settings, tmp_path: Path) -> Iterator[None]:
    settings.PACKAGES = str(tmp_path / "packages")
    for name in ("journal", "anchors", "logs", "packages"):
        (tmp_path / name).mkdir()
    settings.ERASURE_JOURNAL = str(tmp_path / "journal")
    settings.AUDIT_ANCHORS = str(tmp_path / "anchors")
    settings.LOG_DIRECTORIES = [str(tmp_path / "logs")]
    with Redis.from_url(configured.REDIS_URL) as redis:
        redis.flushdb()
        yield
        redis.flushdb()


def found() -> list[tuple[str, Kind, int]]:
    made = scan.scan(GONE, build.NOW)
    return [(item.place, item.kind, item.count) for item in made.findings]


def run(sql: str, *values: Any) -> None:
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute(sql, values)


@pytest.fixture
def table() -> str:
    """A table that no model and no inventory knows of, with a column of every kind."""
    run(
        "CREATE TABLE leftover (id int, word text, code varchar(200), loose json, packed jsonb,"
        " raw bytea, raws bytea[], words text[], person uuid, people uuid[], number bigint)"
    )
    run("GRANT SELECT ON leftover TO duty")
    return "leftover"


TEXTS = {
    "plain": f"<{GONE.address}>",
    "upper case": GONE.address.upper(),
    "in a URL": f"/x?to={quote(GONE.address)}",
    "in a URL, as one part": f"/x/{quote(GONE.address, safe='')}/",
    "in JSON": json.dumps({"to": GONE.address}),
    "in base64": base64.b64encode(b"[" + GONE.address.encode() + b"]").decode(),
    "in base64 at another place": base64.b64encode(b"[{" + GONE.address.encode()).decode(),
    "in base64 at a third place": base64.urlsafe_b64encode(b"abc" + GONE.address.encode()).decode(),
}


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("column", ["word", "code", "words", "raw", "raws"])
def test_address_is_found_in_every_form(table: str, column: str, form: str) -> None:
    value: object = TEXTS[form]
    if column.startswith("raw"):
        value = str(value).encode()
    run(f"INSERT INTO leftover ({column}) VALUES (%s)", [value] if column[-1] == "s" else value)
    assert (f"leftover.{column}", Kind.ADDRESS, 1) in found()


@pytest.mark.parametrize("column", ["loose", "packed"])
def test_address_is_found_inside_json(table: str, column: str) -> None:
    run(f"INSERT INTO leftover ({column}) VALUES (%s)", json.dumps([{"a": {"b": GONE.address}}]))
    assert found() == [(f"leftover.{column}", Kind.ADDRESS, 1)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("person", NUMBER),
        ("people", [NUMBER]),
        ("word", f"user {NUMBER.hex.upper()}"),
        ("raw", b"\x00\xff" + NUMBER.bytes + b"\\"),
        ("packed", json.dumps({"user": str(NUMBER)})),
    ],
)
def test_id_is_found_in_every_form(table: str, column: str, value: object) -> None:
    run(f"INSERT INTO leftover ({column}) VALUES (%s)", value)
    assert found() == [(f"leftover.{column}", Kind.PERSON, 1)]


@pytest.mark.parametrize("phone", ["+45 12 34 56 78", "+4512345678"])
def test_phone_is_found_with_and_without_spaces(table: str, phone: str) -> None:
    run("INSERT INTO leftover (word) VALUES (%s)", phone)
    assert found() == [("leftover.word", Kind.PHONE, 1)]


def test_name_alone_proves_nothing(table: str) -> None:
    run("INSERT INTO leftover (word) VALUES ('hilsen SØRINE GÅET'), ('Sørine'), ('Gået')")
    assert found() == [("leftover.word", Kind.NAME, 1)]
    assert {kind for kind in Kind if kind.is_conclusive} == {Kind.PERSON, Kind.ADDRESS}


def test_rows_keys_and_files_are_mentions_once_and_only_without_proof(
    table: str, tmp_path: Path
) -> None:
    both = f"{GONE.name} {GONE.phone}"
    proof = f"{both} {GONE.address}"
    run(
        "INSERT INTO leftover (word, code, packed) VALUES"
        " (%s, %s, to_jsonb(%s::text)), (%s, '', '1'), (%s, %s, '1'), ('', '', '1')",
        *(both, both, both, GONE.phone, both, GONE.address),
    )
    for name, text in {"a": both, "b": proof, "c": ""}.items():
        (tmp_path / "logs" / name).write_text(text)
        with Redis.from_url(configured.REDIS_URL) as redis:
            redis.hset(name, text, text)
    made = scan.scan(GONE, build.NOW)
    assert made.mentions == {"rows": 2, "keys": 1, "files": 1}


# Around an address of this one's own, and of somebody else whose address only contains it.
OWN = [
    "{}",
    "<{}>",
    "to={}&x=1",
    '"{}"',
    "til\\n{}\\r\\n",
    "skriv til {}.",
    "hej%20{}%0A",
    "hej=20{}=0D=0A",
    "limit:{}:5",
]
OTHERS = ["j{}", "bo.{}", "bo-{}", "bo_{}", "7{}", "{}k", "{}.example", "{}-post.example"]


def _in_each_place(text: str, tmp_path: Path) -> list[tuple[str, Kind, int]]:
    run("INSERT INTO leftover (word, raw) VALUES (%s, %s)", text, text.encode())
    (tmp_path / "logs" / "a").write_text(text)
    with Redis.from_url(configured.REDIS_URL) as redis:
        redis.set("a", text)
    return found()


@pytest.mark.parametrize("around", OWN)
def test_address_is_found_whatever_stands_around_it(
    table: str, around: str, tmp_path: Path
) -> None:
    places = {place for place, _, _ in _in_each_place(around.format(GONE.address), tmp_path)}
    assert places == {"leftover.word", "leftover.raw", "logs", "redis:string"}


@pytest.mark.parametrize("around", OTHERS)
def test_longer_address_of_somebody_else_is_not_found(
    table: str, around: str, tmp_path: Path
) -> None:
    assert _in_each_place(around.format(GONE.address), tmp_path) == []


@pytest.mark.parametrize("around", ["9{}", "{}0", "a{}", "{}f"])
def test_digits_inside_a_longer_number_are_no_phone(
    table: str, around: str, tmp_path: Path
) -> None:
    assert _in_each_place(around.format("4512345678"), tmp_path) == []


def test_nobody_else_is_found(table: str) -> None:
    run(
        "INSERT INTO leftover (word, person, raw) VALUES (%s, gen_random_uuid(), %s)",
        "sørine.gåe@borte.example +45 12 34 56 7",
        NUMBER.bytes[:15],
    )
    assert found() == []


def test_rows_are_counted_also_in_partitions(table: str) -> None:
    run("CREATE TABLE parted (at int, word text) PARTITION BY RANGE (at)")
    run("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (9)")
    run("GRANT SELECT ON parted TO duty")
    run("INSERT INTO parted VALUES (1, %s), (2, %s)", GONE.address, GONE.address)
    assert found() == [("parted.word", Kind.ADDRESS, 2)]


def test_table_that_cannot_be_read_is_an_incomplete_scan() -> None:
    run("CREATE TABLE closed (word text)")
    with pytest.raises(scan.ScanIncomplete, match="closed"):
        found()


def test_table_whose_rows_are_hidden_is_an_incomplete_scan(table: str) -> None:
    run("ALTER TABLE leftover ENABLE ROW LEVEL SECURITY")
    run("CREATE POLICY seldom ON leftover TO duty USING (id > 0)")
    run("INSERT INTO leftover (id, word) VALUES (0, %s)", GONE.address)
    with pytest.raises(scan.ScanIncomplete, match="leftover"):
        found()


def test_every_table_of_the_service_is_searched() -> None:
    made = scan.scan(GONE, build.NOW)
    models = apps.get_models(include_auto_created=True)
    assert made.tables >= len({model._meta.db_table for model in models}) > 25
    assert made.columns > 100
    assert made.at == build.NOW


IN_REDIS = {
    "string": lambda redis: redis.set("a", GONE.address),
    "key's name": lambda redis: redis.set(f"limit:{GONE.address}", 1),
    "list": lambda redis: redis.rpush("a", *range(1500), GONE.address),
    "hash": lambda redis: redis.hset("a", "b", GONE.address),
    "hash's name": lambda redis: redis.hset("a", GONE.address, "b"),
    "set": lambda redis: redis.sadd("a", GONE.address),
    "zset": lambda redis: redis.zadd("a", {GONE.address: 1}),
    "stream": lambda redis: redis.xadd("a", {"b": GONE.address}),
    "task": lambda redis: redis.rpush("a", json.dumps({"body": TEXTS["in base64"]})),
}


@pytest.mark.parametrize("form", IN_REDIS)
def test_leftover_in_redis_is_found(form: str) -> None:
    with Redis.from_url(configured.REDIS_URL) as redis:
        IN_REDIS[form](redis)
    ((place, kind, count),) = found()
    assert place.startswith("redis:")
    assert GONE.address not in place
    assert (kind, count) == (Kind.ADDRESS, 1)


def test_redis_that_is_away_is_an_incomplete_scan(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(scan.ScanIncomplete, match="Redis"):
        found()


@pytest.mark.parametrize(
    ("place", "directory"),
    [
        ("logs", "logs"),
        ("erasure journal", "journal"),
        ("audit anchors", "anchors"),
    ],
)
def test_leftover_in_a_file_is_found(place: str, directory: str, tmp_path: Path) -> None:
    below = tmp_path / directory / "deeper"
    below.mkdir()
    (below / "a").write_bytes(b"\xff" * 10 + NUMBER.bytes)
    assert found() == [(place, Kind.PERSON, 1)]


def test_of_a_sealed_package_only_the_name_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "packages" / "a").write_bytes(b"\x1f\x8b, by chance" + NUMBER.bytes)
    assert found() == []
    (tmp_path / "packages" / NUMBER.hex).touch()
    assert found() == [("packages", Kind.PERSON, 1)]


@pytest.mark.parametrize("packer", [gzip, bz2, lzma])
def test_leftover_in_a_packed_log_or_in_its_name_is_found(packer: Any, tmp_path: Path) -> None:
    with packer.open(tmp_path / "logs" / "old", "wb") as file:
        file.write(b" " * 3_000_000 + GONE.address.encode())
    (tmp_path / "logs" / f"{NUMBER}.log").touch()
    assert found() == [("logs", Kind.ADDRESS, 1), ("logs", Kind.PERSON, 1)]


def test_leftover_across_two_chunks_is_found(tmp_path: Path) -> None:
    at = 1 << 20
    text = b" " * (at - 7) + GONE.address.encode() + b" " * 100
    (tmp_path / "logs" / "a").write_bytes(text)
    assert found() == [("logs", Kind.ADDRESS, 1)]


def test_damaged_file_is_an_incomplete_scan(tmp_path: Path) -> None:
    (tmp_path / "logs" / "a.gz").write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(scan.ScanIncomplete, match="logs"):
        found()


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c"])
def test_packed_file_that_nothing_opens_is_an_incomplete_scan(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "logs" / "a").write_bytes(start + b"x" * 100)
    with pytest.raises(scan.ScanIncomplete, match="logs"):
        found()


def test_missing_directory_of_logs_is_an_incomplete_scan(
    settings: Settings, tmp_path: Path
) -> None:
    settings.LOG_DIRECTORIES = [str(tmp_path / "unmounted")]
    with pytest.raises(scan.ScanIncomplete, match="logs: FileNotFoundError"):
        found()


@pytest.mark.parametrize("closed", ["logs", "logs/deeper"])
def test_closed_directory_is_an_incomplete_scan(
    closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a process without the right to list it; the tests may run as root, who has it."""
    (tmp_path / "logs" / "deeper").mkdir()
    listed = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path == tmp_path / closed:
            raise PermissionError
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(scan.ScanIncomplete, match="logs: PermissionError"):
        found()


def test_links_are_followed_once(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a").write_text(GONE.address)
    (tmp_path / "logs" / "link").symlink_to(elsewhere)
    (tmp_path / "logs" / "circle").symlink_to(tmp_path / "logs")
    (tmp_path / "logs" / "nowhere").symlink_to(tmp_path / "gone")
    assert found() == [("logs", Kind.ADDRESS, 1)]


def test_certificate_can_say_that_no_logs_were_searched(settings: Settings) -> None:
    assert "logs" in everywhere.scan(GONE, build.NOW).files
    settings.LOG_DIRECTORIES = []
    assert "logs" not in everywhere.scan(GONE, build.NOW).files


# Where a leftover in each store of the inventory would be found.
SEARCHED = {
    "packages": "packages",
    "sign-in-counters": "redis",
    "smtp-counters": "redis",
    "broker": "redis",
    "process-logs": "logs",
    "audit-anchors": "audit anchors",
    "erasure-journal": "erasure journal",
    "migrations": "every table of the catalogue",
}
NOT_SEARCHED = {
    "backups": "age out; replay_erasures erases again after a restore",
    "vault": "random keys",
    "keyring": "random keys",
    "seal-keys": "keys of the service",
    "own-mail-server": "another's machine",
    "customers-servers": "another's machine",
    "customers-providers": "another's machine",
    "links": "nowhere but in the mail itself",
}


def test_every_store_is_searched_or_it_is_said_why_not() -> None:
    """The kinds of places that are named here are those that leftovers are planted in above."""
    assert {store.key for store in STORES} == SEARCHED.keys() | NOT_SEARCHED.keys()
    places = {place.name for place in everywhere._file_places()}
    assert places | {"redis", "every table of the catalogue"} == set(SEARCHED.values())


def test_too_short_a_phone_and_a_single_name_are_not_sought() -> None:
    some = Sought(person_id=NUMBER, address="a@b.example", phone="12 34", name="Bo")
    assert [needle.kind for needle in needles.needles(some)] == [Kind.PERSON, Kind.ADDRESS]


def test_certificate_can_say_how_much_was_searched(tmp_path: Path) -> None:
    (tmp_path / "logs" / "a").touch()
    with Redis.from_url(configured.REDIS_URL) as redis:
        redis.mset({"a": 1, "b": 2})
    made = everywhere.scan(GONE, build.NOW)
    files = {"logs": 1, "packages": 0, "erasure journal": 0, "audit anchors": 0}
    assert (made.keys, made.files, made.findings) == (2, files, ())
