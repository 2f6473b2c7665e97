# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the log takes of a header: read as well as it goes, bounded, never a reason to refuse."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import pytest

from relay import logfields
from relay.logfields import header_hash, header_text, names, subject, tighter
from relay.smtp import controls, headers

HOUSE = UUID(int=7)


@pytest.mark.parametrize(
    ("chosen", "asked", "logged"),
    [
        ("headers", "", "headers"),
        ("headers", "subject", "subject"),
        ("headers", "minimal", "minimal"),
        ("subject", "headers", "subject"),
        ("minimal", "headers", "minimal"),
        ("minimal", "", "minimal"),
    ],
)
def test_message_can_only_ask_for_less(chosen: str, asked: str, logged: str) -> None:
    assert tighter(chosen, asked) == logged


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b" Hej", "Hej"),
        (b" Rundstykker\r\n og kaffe", "Rundstykker og kaffe"),
        (" Æblegrød".encode(), "Æblegrød"),
        (b" =?utf-8?B?w4ZibGU=?=\r\n =?utf-8?B?Z3LDuGQ=?=", "Æblegrød"),
        (b" =?iso-8859-1?Q?Gr=F8d?= til alle", "Grød til alle"),
        # What is broken stands there as it came.
        (b" =?utf-8?B?w4?=", "=?utf-8?B?w4?="),
        (b" =?unknown-9?Q?a?=", "=?unknown-9?Q?a?="),
        (" =?ø?Q?a?=".encode(), "=?ø?Q?a?="),
        (b" Gr\xf8d", "Gr\ufffdd"),
        # No NUL, no line end, no mark that turns the line round; a joiner of emoji stays.
        (b" =?utf-8?Q?a=00b=0Ac=E2=80=AEd?=", "ab cd"),
        ("\u200fa\u2066b\U0001f469\u200d\U0001f680".encode(), "ab\U0001f469\u200d\U0001f680"),
        (b" =?raw-unicode-escape?Q?=5Cud800x?=", "x"),
        (b"", ""),
    ],
)
def test_subject_is_read_as_people_read_it(value: bytes, shown: str) -> None:
    assert subject(value) == shown


def test_subject_is_bounded() -> None:
    assert len(subject(b"a" * 60_000)) == logfields.SUBJECT_MOST
    assert len(subject(b"=?utf-8?Q?a?= " * 4_000)) <= logfields.SUBJECT_MOST


def test_names_are_those_of_the_envelopes_recipients() -> None:
    to = (
        b' "Holm, Erik \\"E\\"" <Erik@modtager.example>, ida@modtager.example,\r\n'
        b"\t=?utf-8?B?U8O4cmVu?= Lind (ude) <soren@modtager.example>, Gruppe: <bo@x.example>;"
    )
    wanted = {"erik@modtager.example", "ida@modtager.example", "soren@modtager.example"}
    assert names([to, b"Andet navn <kopi@modtager.example>"], wanted) == {
        "erik@modtager.example": 'Holm, Erik "E"',
        "soren@modtager.example": "Søren Lind",
    }
    assert names([], wanted) == {}


@pytest.mark.parametrize(
    "piece", [b'"', b"(", b"<", b">", b'"a\\', b",", b"a <b@c.example> ", b"=?"]
)
def test_names_of_anything_take_no_time(piece: bytes) -> None:
    begun = time.process_time()
    names([piece * 60_000], {"b@c.example"})
    # Linear in what is looked at; a square of it would be minutes.
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("piece", [b"=?a?q?x ", b"=?a?b?", b"=?", b"=?utf-8?q?=20?= "])
def test_subject_of_anything_takes_no_time(piece: bytes) -> None:
    begun = time.process_time()
    subject(piece * 30_000)
    assert time.process_time() - begun < 5


CONTENT = (
    b"From: Post <post@due.example>\r\nBcc: hemmelig@modtager.example\r\n"
    b"To: Erik\r\n\t<erik@modtager.example>\r\nRELAY-Log: headers\r\nresent-bcc: x@y.example\r\n"
    b"Subject: Hej\r\nMessage-ID: <1@due.example>\r\n\r\nGrus og guld.\r\n"
)


def test_header_has_all_that_travels_on_and_nothing_below_it() -> None:
    header = headers.scan(CONTENT)
    assert header_text(CONTENT, header) == (
        "From: Post <post@due.example>\nTo: Erik\n\t<erik@modtager.example>\n"
        "Subject: Hej\nMessage-ID: <1@due.example>\n"
    )


def test_long_header_ends_with_a_whole_line() -> None:
    content = b"X-A: " + b"a" * 60_000 + b"\r\n" + b"X-B: b\r\n" * 900 + CONTENT
    text = header_text(content, headers.scan(content))
    assert len(text.encode()) <= logfields.HEADER_MOST
    assert text.endswith("X-B: b\n")


def test_fields_of_a_header_are_found_whatever_their_case() -> None:
    content = CONTENT.replace(b"Subject", b"sUBJECT")
    found = logfields.fields_of(content, headers.scan(content))
    assert found[b"subject"] == [b" Hej"]
    assert found[b"to"] == [b" Erik\r\n\t<erik@modtager.example>"]
    assert found[b"cc"] == []


@pytest.mark.parametrize("written", ["1@due.example", "<1@due.example>", "  <1@due.example> \t"])
def test_message_id_is_found_with_its_brackets_and_without(written: str) -> None:
    assert header_hash(HOUSE, written) == header_hash(HOUSE, "<1@due.example>")
    assert len(header_hash(HOUSE, written)) == logfields.HASH_OCTETS


def test_message_id_is_another_hash_in_another_organisation() -> None:
    assert header_hash(HOUSE, "1@due.example") != header_hash(uuid4(), "1@due.example")
    assert header_hash(HOUSE, "1@due.example") != header_hash(HOUSE, "1@Due.example")


def test_scan_finds_the_message_id() -> None:
    assert headers.scan(CONTENT).message_id == b" <1@due.example>"


def test_profiles_are_in_order() -> None:
    assert controls.PROFILES == (logfields.MINIMAL, logfields.SUBJECT, logfields.HEADERS)
