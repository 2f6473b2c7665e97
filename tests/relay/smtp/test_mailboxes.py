# SPDX-License-Identifier: AGPL-3.0-or-later
"""From and Sender: what RFC 5322 allows is read, what mail programs disagree about is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.addresses import AddressError
from relay.smtp.mailboxes import parse_list

ACCEPTED = [
    (b" anna@firma.example", ["anna@firma.example"]),
    (b"<anna@firma.example>", ["anna@firma.example"]),
    (b" Anna Hansen <anna@firma.example>", ["anna@firma.example"]),
    (b' "Hansen, Anna" <anna@firma.example>', ["anna@firma.example"]),
    (b' "anna@home" <anna@firma.example>', ["anna@firma.example"]),
    (b' "a\\"b" <anna@firma.example>', ["anna@firma.example"]),
    (b" J. Q. Public <anna@firma.example>", ["anna@firma.example"]),
    (b" Anna\r\n <anna@firma.example>", ["anna@firma.example"]),
    (b" anna@firma.example (Anna (at work))", ["anna@firma.example"]),
    (b" (Anna) Hansen <anna@firma.example>", ["anna@firma.example"]),
    (b" =?utf-8?q?J=C3=B8rgen?= <anna@firma.example>", ["anna@firma.example"]),
    (b' "=?utf-8?q?J=C3=B8rgen?=" <anna@firma.example>', ["anna@firma.example"]),
    (
        b" =?utf-8?b?SsO4cmdlbg==?=\r\n =?utf-8?q?_Hansen?= <anna@firma.example>",
        ["anna@firma.example"],
    ),
    ("Jørgen <anna@firma.example>".encode(), ["anna@firma.example"]),
    (b' "anna hansen"@firma.example', ['"anna hansen"@firma.example']),
    (b' A <"anna hansen"@firma.example>', ['"anna hansen"@firma.example']),
    (
        b" a@firma.example, B <b@two.example>,\r\n\tc@three.example",
        ["a@firma.example", "b@two.example", "c@three.example"],
    ),
    (b" <Anna@FIRMA.example>", ["Anna@firma.example"]),
]

REFUSED = {
    "empty": b"",
    "white": b"  ",
    "name only": b" Anna",
    "group": b" Staff: anna@firma.example;",
    "empty group": b" undisclosed-recipients:;",
    "route": b" <@one.example:anna@firma.example>",
    "literal": b" <anna@[192.0.2.1]>",
    "no domain": b" <anna>",
    "null": b" <>",
    "address as name": b" boss@bank.example <anna@firma.example>",
    "two in brackets": b" <anna@firma.example> <boss@bank.example>",
    "address after brackets": b" <anna@firma.example> boss@bank.example",
    "two without comma": b" boss@bank.example anna@firma.example",
    "brackets in brackets": b" <<anna@firma.example>>",
    "at twice": b" <boss@bank.example@firma.example>",
    "comment in brackets": b" <anna@firma.example(x)>",
    "space in brackets": b" < anna@firma.example>",
    "space around at": b" anna @ firma.example",
    "open quote": b' "Anna <anna@firma.example>',
    "open comment": b" (Anna <anna@firma.example>",
    "open bracket": b" Anna <anna@firma.example",
    "trailing comma": b" anna@firma.example,",
    "leading comma": b" ,anna@firma.example",
    "semicolon": b" anna@firma.example; boss@bank.example",
    "encoded word in a comment": b" anna@firma.example (=?utf-8?q?boss=40bank.example?=)",
    "encoded word in front": b" (=?utf-8?q?boss=40bank.example?=) <anna@firma.example>",
    "encoded word in a comment behind": b" <anna@firma.example> (=?utf-8?q?boss=40bank.example?=)",
    "full-width at-sign": b" =?utf-8?q?boss=EF=BC=A0bank.example?= <anna@firma.example>",
    "encoded word as address": b" =?utf-8?q?boss=40bank.example?=",
    "encoded local part": b" <=?utf-8?q?boss=40bank.example?=@firma.example>",
    "encoded word then address": b" =?utf-8?q?=3Cboss=40bank.example=3E?= <anna@firma.example>",
    "hidden address": b" =?utf-8?b?Ym9zc0BiYW5rLmV4YW1wbGU=?= <anna@firma.example>",
    "hidden in two words": b" =?utf-8?q?boss=40?= =?utf-8?q?bank.example?= <anna@firma.example>",
    "hidden line break": b" =?utf-8?q?Anna=0D=0ABcc:_x?= <anna@firma.example>",
    "hidden NUL": b" =?utf-8?q?Anna=00?= <anna@firma.example>",
    "unknown charset": b" =?x-none?q?Anna?= <anna@firma.example>",
    "latin bytes": b" J\xf8rgen <anna@firma.example>",
    "address beyond ASCII": "<jørgen@firma.example>".encode(),
    "control character": b" An\x07na <anna@firma.example>",
    "backslash": b" An\\na <anna@firma.example>",
    "too many": b",".join([b"a@firma.example"] * 51),
    "too long": b'"' + b"a" * 20_000 + b'" <anna@firma.example>',
}


@pytest.mark.parametrize(("value", "addresses"), ACCEPTED)
def test_mailbox_list_is_read(value, addresses):
    assert [str(found) for found in parse_list(value)] == addresses


@pytest.mark.parametrize("name", REFUSED)
def test_mailbox_list_is_refused(name):
    with pytest.raises(AddressError):
        parse_list(REFUSED[name])


def test_smtputf8_reads_addresses_beyond_ascii():
    (found,) = parse_list("Jørgen <jørgen@blåbær.example>".encode(), utf8=True)
    assert str(found) == "jørgen@blåbær.example"


_PIECES = st.sampled_from(
    ["anna@firma.example", "<", ">", '"', "\\", "(", ")", ",", ";", ":", "@", " ", "\r\n ", ".",
     "=?utf-8?q?=40?=", "boss@bank.example", "Anna", "\x00", "æ"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_every_address_shown_is_checked(text):
    """Whatever the spelling: no address stands unread outside quotes and comments."""
    try:
        found = parse_list(text.encode())
    except AddressError:
        return
    assert found
    bare = text if not set(text) & set('"()') else ""
    assert bare.count("@") in (0, len(found))
