# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signatures, judged by dkimpy and OpenDKIM, and the forms they are made over by a plain writing
of RFC 6376.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.smtp import dkim, published
from relay.smtp.dkim import SIGNED, SigningKey, signed
from tests.relay.smtp.signatures import (
    ED25519,
    RSA,
    key,
    needs_opendkim,
    opendkim_verifies,
    verifies,
)

HEADER = (
    b"Received: by relay.example with ESMTPSA\r\n\tid 0190-1; Sun, 22 Nov 2026 05:00:00 +0000\r\n"
    b"From: =?utf-8?q?Anna_S=C3=B8e?= <anna@kunde.example>\r\n"
    b"TO:  erik@modtager.example,\r\n\t ida@modtager.example\r\n"
    b"Subject: Faktura\r\n"
    b"Date: Sun, 22 Nov 2026 05:00:00 +0000\r\n"
    b"Message-ID: <1@kunde.example>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain;\r\n charset=utf-8\r\n"
)
MESSAGE = HEADER + b"\r\nHej\r\n.\r\n..\r\n  slut \t \r\n\r\n\r\n"


def sign(content: bytes, *keys: SigningKey, at: datetime | None = None) -> bytes:
    return asyncio.run(signed(content, keys or (key(),), at or datetime.now(UTC)))


def tag(message: bytes, name: str) -> str:
    """One tag of the topmost signature, without its folding."""
    field = re.sub(rb"\s+", b"", message.split(b"\r\n", 1)[0] + _folds(message)).decode()
    return dict(part.split("=", 1) for part in field.partition(":")[2].split(";"))[name]


def _folds(message: bytes) -> bytes:
    found = re.match(rb"[^\r\n]*((?:\r\n[ \t][^\r\n]*)*)\r\n", message)
    assert found
    return found[1]


BODIES = [
    b"",
    b"\r\n",
    b"\r\n\r\n\r\n",
    b" \t\r\n\t\r\n",
    b"Hej\r\n",
    b"Hej\r\n\r\n \r\n",
    b"  a \t b  \r\n\r\n\tc\r\n",
    b".\r\n..\r\n.\r\n",
    "Kære Erik, grød på række\r\n".encode(),
    bytes(range(11, 13)) + b"\x80\xff\xa0 \x1a\r\n",
    b"x" * 70_000 + b"\r\n",
]


@pytest.mark.behaviour(39)
@pytest.mark.parametrize("body", BODIES)
def test_signatures_verify_whatever_the_body(body: bytes) -> None:
    message = sign(HEADER + b"\r\n" + body, key(RSA), key(ED25519))
    assert verifies(message, key(RSA), key(ED25519)) == [True, True]


@pytest.mark.behaviour(39)
@pytest.mark.parametrize(
    "content",
    [
        HEADER,
        b"From: anna@kunde.example\r\n\r\n",
        b"From: anna@kunde.example\r\n\r\nHej",
        b"From:anna@kunde.example\r\nTo: a\r\nTo: b\r\nCc: c\r\n"
        b"Subject: 1\r\nSubject: 2\r\n\r\nx\r\n",
        b"From: anna@kunde.example\r\nSubject:\r\nTo: \r\n\t\r\n\r\nx\r\n",
        "From: Søe <søe@kunde.example>\r\nSubject: grød\r\n\r\nx\r\n".encode(),
        b"From: anna@kunde.example\r\nSubject: \xe6\xf8\xe5 \xff\r\n\r\nx\r\n",
        b"X-A: 1\r\n" * 900 + b"FROM:\tanna@kunde.example \r\nsUbJeCt:  x\t\ty \r\n\r\nx\r\n",
        b"From: anna@kunde.example\r\nReferences: <1@a.example>\r\n"
        b"\t<2@a.example>\r\n List-Unsubscribe: <https://kunde.example>\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nAuto-Submitted: no\r\n\r\nx\r\n",
    ],
)
def test_signatures_verify_whatever_the_header(content: bytes) -> None:
    message = sign(content, key(RSA), key(ED25519))
    assert verifies(message, key(RSA), key(ED25519)) == [True, True]


@needs_opendkim
@pytest.mark.behaviour(39)
def test_a_second_judge_agrees_and_sees_what_was_changed(tmp_path: Path) -> None:
    good = [sign(HEADER + b"\r\n" + body) for body in BODIES]
    bad = [message.replace(b"Faktura", b"Rykker") for message in good]
    assert opendkim_verifies(good + bad[:2], tmp_path, key()) == [True] * len(good) + [False] * 2


@pytest.mark.behaviour(39)
@pytest.mark.parametrize(
    "added",
    [
        b"From: boss@bank.example\r\n", b"Subject: Rykker\r\n", b"To: x@bank.example\r\n",
        b"Cc: x@bank.example\r\n", b"Date: Mon, 23 Nov 2026 05:00:00 +0000\r\n",
        b"Reply-To: x@bank.example\r\n", b"Content-Type: text/html\r\n",
    ],
)  # fmt: skip
def test_no_second_field_can_be_added_on_the_way(added: bytes) -> None:
    assert verifies(added + sign(MESSAGE), key()) == [False]
    message = sign(MESSAGE)
    assert verifies(message.replace(b"MIME-Version", added + b"MIME-Version"), key()) == [False]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"Faktura", b"Rykker"), (b"erik@", b"lars@"), (b"Hej", b"Hov"), (b"slut", b"slut\r\nmere"),
     (b"anna@kunde", b"boss@kunde"), (b"utf-8", b"utf-7"), (b"<1@", b"<2@")],
)  # fmt: skip
def test_what_was_changed_does_not_verify(old: bytes, new: bytes) -> None:
    message = sign(MESSAGE, key(RSA), key(ED25519))
    assert old in message
    assert verifies(message.replace(old, new), key(RSA), key(ED25519)) == [False, False]


def test_what_servers_on_the_way_do_is_no_change() -> None:
    message = b"Received: from us by them\r\nX-Spam: no\r\n" + sign(MESSAGE) + b"\r\n\r\n"
    message = message.replace(b",\r\n\t ida", b",  ida").replace(b"  slut \t ", b" slut")
    assert verifies(message, key()) == [True]


@pytest.mark.behaviour(39)
def test_signature_says_what_it_was_made_of() -> None:
    message = sign(MESSAGE, at=datetime(2026, 11, 22, 5, tzinfo=UTC))
    assert tag(message, "a") == "rsa-sha256"
    assert tag(message, "c") == "relaxed/relaxed"
    assert (tag(message, "d"), tag(message, "s")) == ("kunde.example", "bdr")
    assert int(tag(message, "x")) - int(tag(message, "t")) == 7 * 86_400
    assert tag(message, "t") == "1795323600"
    listed = tag(message, "h").split(":")
    assert {name: listed.count(name) for name in ("from", "to", "cc", "message-id", "sender")} == {
        "from": 2, "to": 2, "cc": 1, "message-id": 1, "sender": 0,
    }  # fmt: skip
    assert not re.search(r"[;:]\s*[liz]=", message.split(b"\r\nReceived")[0].decode())
    assert max(map(len, message.split(b"\r\nReceived")[0].split(b"\r\n"))) <= 100


@pytest.mark.behaviour(40)
def test_the_message_stands_below_the_signature_byte_for_byte() -> None:
    message = sign(MESSAGE)
    assert message.endswith(MESSAGE)
    assert re.fullmatch(
        rb"DKIM-Signature:[^\r\n]+(?:\r\n\t[^\r\n]+)+\r\n", message[: -len(MESSAGE)]
    )


def test_each_key_signs_in_a_field_of_its_own_in_their_order() -> None:
    message = sign(MESSAGE, key(RSA), key(ED25519))
    assert re.findall(rb"a=([a-z0-9]+)-sha256", message) == [b"rsa", b"ed25519"]
    assert sign(MESSAGE).count(b"DKIM-Signature") == 1
    assert asyncio.run(signed(MESSAGE, (), datetime.now(UTC))) == MESSAGE


def test_key_with_another_public_half_does_not_verify() -> None:
    other = SigningKey(domain="kunde.example", selector="bde", secret=Ed25519PrivateKey.generate())
    assert verifies(sign(MESSAGE, key(ED25519)), other) == [False]


def test_stored_key_signs_as_it_did() -> None:
    for kind in (RSA, ED25519):
        octets = dkim.written(key(kind).secret)
        again = dkim.read(octets)
        assert dkim.algorithm_of(again) is kind
        assert dkim.public_text(again) == dkim.public_text(key(kind).secret)
    assert len(b64decode(dkim.public_text(key(ED25519).secret))) == 32
    with pytest.raises(ValueError, match="key"):
        dkim.read(b"no key")


def test_rsa_key_is_long_enough_and_its_record_short_enough() -> None:
    assert getattr(key(RSA).secret, "key_size", 0) == 2048
    record = published.key_record(RSA, dkim.public_text(key(RSA).secret))
    assert published.quoted(record).count('"') == 4  # two strings
    assert len(record) < 420  # RFC 6376 §3.3.3: one answer over UDP


def test_private_key_shows_in_no_text() -> None:
    assert "secret" not in repr(key(RSA))


# --- the forms, written plainly ---


def plain_body(body: bytes) -> bytes:
    """RFC 6376 §3.4.4, line by line."""
    lines = body.split(b"\r\n")
    if lines[-1] == b"":
        lines.pop()
    lines = [re.sub(rb"[ \t]+", b" ", line) for line in lines]
    lines = [re.sub(rb"[ \t]+\Z", b"", line) for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def plain_field(name: bytes, value: bytes) -> bytes:
    """RFC 6376 §3.4.2, step by step."""
    unfolded = re.sub(rb"\r\n(?=[ \t])", b"", value)
    narrow = re.sub(rb"[ \t]+", b" ", unfolded)
    return name.lower() + b":" + re.sub(rb"\A[ \t]+|[ \t]+\Z", b"", narrow) + b"\r\n"


PIECES = st.sampled_from([b" ", b"\t", b"\r\n", b"a", b".", b"\x80", b"  ", b" \r\n", b"\t \t"])
TEXTS = st.lists(PIECES, max_size=40).map(b"".join)


@pytest.mark.behaviour(39)
@settings(deadline=None)
@given(TEXTS, st.integers(1, 30))
def test_body_is_hashed_in_its_relaxed_form_however_it_is_cut(body: bytes, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dkim, "PIECE", piece)
        found = asyncio.run(dkim._body_hash(b"x" + body, 1))
    assert found == hashlib.sha256(plain_body(body)).digest()


FOLDS = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n ", b"\r\n\t", b"a", b":", b"\xe6"]), max_size=25
)


@settings(deadline=None)
@given(FOLDS.map(b"".join))
def test_field_is_signed_in_its_relaxed_form(value: bytes) -> None:
    assert dkim._relaxed_field(b"subject", value) == plain_field(b"Subject", value)


NAMES = st.sampled_from([*SIGNED, b"x-other", b"Subject", b"received", b"dkim-signature"])


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, FOLDS.map(b"".join)), max_size=12))
def test_fields_are_taken_from_the_bottom_and_named_once_more(
    fields: list[tuple[bytes, bytes]],
) -> None:
    header = b"\r\n".join(name + b":" + value for name, value in fields)
    names, text = dkim._chosen(header)
    left = [(name.lower(), value) for name, value in fields]
    expected = b""
    for name in names:
        place = max((at for at, (other, _) in enumerate(left) if other == name), default=None)
        if place is not None:
            expected += plain_field(*left.pop(place))
    assert text == expected
    assert not {name for name, _ in left} & set(SIGNED)
    assert set(names) >= dkim.OVERSIGNED


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.lists(st.tuples(NAMES, FOLDS.map(b"".join)), max_size=6))
def test_any_message_verifies(body: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    # A folded line of spaces alone ends the header for dkimpy, as RFC 5322 §3.2.2 forbids it.
    more = b"".join(name + b": a" + value + b"a\r\n" for name, value in fields if name != b"from")
    more = re.sub(rb"(?:\r\n[ \t]+)+(?=\r\n)", b"", more.replace(b"dkim-signature", b"x-d"))
    # What arrives by SMTP ends with a line end (RFC 5321 §4.1.1.4).
    content = b"From: anna@kunde.example\r\n" + more + b"\r\n" + body + b"\r\n"
    assert verifies(sign(content, key(ED25519)), key(ED25519)) == [True]


# --- cost ---


def test_others_get_their_turn_while_a_large_message_is_signed() -> None:
    content = HEADER + b"\r\n" + b"Grus  og guld \t\r\n" * 400_000

    async def turns() -> int:
        count, done = 0, asyncio.Event()

        async def beside() -> None:
            nonlocal count
            while not done.is_set():
                count += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(beside())
        await signed(content, (key(ED25519),), datetime.now(UTC))
        done.set()
        await task
        return count

    assert asyncio.run(turns()) >= len(content) // dkim.PIECE


def test_runs_of_spaces_cost_little() -> None:
    content = HEADER + b"\r\n" + (b" \t" * 30_000 + b"\r\n") * 40
    before = time.process_time()
    sign(content, key(ED25519))
    assert time.process_time() - before < 2
