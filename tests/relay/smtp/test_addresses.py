# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses: the decisions named in the module, and that no line break ever gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.addresses import (
    Address,
    AddressError,
    Fault,
    host_name,
    parse_address,
    parse_path,
    within,
)

ACCEPTED = [
    # path, address, what follows it
    ("<anna@firma.example>", "anna@firma.example", ""),
    ("<Anna.Hansen@FIRMA.Example>", "Anna.Hansen@firma.example", ""),
    ("<anna@firma.example> SIZE=10 BODY=8BITMIME", "anna@firma.example", "SIZE=10 BODY=8BITMIME"),
    ("<a+tag@x-y.example>", "a+tag@x-y.example", ""),
    ("<!#$%&'*+-/=?^_`{|}~@firma.example>", "!#$%&'*+-/=?^_`{|}~@firma.example", ""),
    ('<"anna hansen"@firma.example>', '"anna hansen"@firma.example', ""),
    ('<"a>b@c"@firma.example> SIZE=1', '"a>b@c"@firma.example', "SIZE=1"),
    (r'<"a\"b\\c"@firma.example>', r'"a\"b\\c"@firma.example', ""),
    ('<""@firma.example>', '""@firma.example', ""),
    ("<user%other.example@firma.example>", "user%other.example@firma.example", ""),
    ("<other!user@firma.example>", "other!user@firma.example", ""),
    ("<a@xn--blbr-roah.example>", "a@xn--blbr-roah.example", ""),
    ("<" + "a" * 64 + "@firma.example>", "a" * 64 + "@firma.example", ""),
]

REFUSED = [
    ("anna@firma.example", Fault.BRACKETS),
    ("", Fault.BRACKETS),
    ("<anna@firma.example", Fault.BRACKETS),
    ("<<anna@firma.example>", Fault.SYNTAX),
    ("<anna@firma.example>x", Fault.SYNTAX),
    ("<anna>", Fault.DOMAIN_MISSING),
    ("<anna@>", Fault.DOMAIN_MISSING),
    ("<Postmaster>", Fault.DOMAIN_MISSING),
    ("<@firma.example>", Fault.ROUTE),
    ("<@one.example,@two.example:anna@firma.example>", Fault.ROUTE),
    ("<anna@[192.0.2.1]>", Fault.LITERAL),
    ("<anna@[IPv6:2001:db8::1]>", Fault.LITERAL),
    ("<anna@192.0.2.1>", Fault.DOMAIN),
    ("<anna@localhost>", Fault.DOMAIN),
    ("<anna@firma.example.>", Fault.DOMAIN),
    ("<anna@.firma.example>", Fault.DOMAIN),
    ("<anna@firma..example>", Fault.DOMAIN),
    ("<anna@-firma.example>", Fault.DOMAIN),
    ("<anna@firma-.example>", Fault.DOMAIN),
    ("<anna@fir_ma.example>", Fault.DOMAIN),
    ("<anna@firma.example >", Fault.DOMAIN),
    ("<anna@b@firma.example>", Fault.DOMAIN),
    ("<anna@" + "b" * 64 + ".example>", Fault.DOMAIN),
    ("<anna@xn--a.example>", Fault.DOMAIN),  # no valid A-label
    ("< anna@firma.example>", Fault.SYNTAX),
    ("<anna hansen@firma.example>", Fault.SYNTAX),
    ("<anna(work)@firma.example>", Fault.SYNTAX),
    ("<.anna@firma.example>", Fault.SYNTAX),
    ("<anna.@firma.example>", Fault.SYNTAX),
    ("<an..na@firma.example>", Fault.SYNTAX),
    ('<"anna@firma.example>', Fault.SYNTAX),
    ('<"an"na@firma.example>', Fault.SYNTAX),
    ("<a\x00b@firma.example>", Fault.SYNTAX),
    ("<a\rb@firma.example>", Fault.SYNTAX),
    ('<"a\nb"@firma.example>', Fault.SYNTAX),
    ("<a@firma.example\r\n>", Fault.DOMAIN),
    ("<" + "a" * 65 + "@firma.example>", Fault.LENGTH),
    ("<" + "a" * 60 + "@" + "b." * 100 + "example>", Fault.LENGTH),
    ("<a@" + "b" * 3000 + ">", Fault.BRACKETS),
    ("<æ@firma.example>", Fault.UTF8),
    ("<a@blåbær.example>", Fault.UTF8),
]


@pytest.mark.parametrize(("path", "address", "rest"), ACCEPTED)
@pytest.mark.behaviour(15)
def test_path_is_read(path, address, rest):
    found, following = parse_path(path)
    assert (str(found), following) == (address, rest)


@pytest.mark.parametrize(("path", "fault"), REFUSED)
@pytest.mark.behaviour(15)
def test_path_is_refused(path, fault):
    with pytest.raises(AddressError) as caught:
        parse_path(path)
    assert caught.value.fault is fault


def test_refusal_never_quotes_the_address():
    with pytest.raises(AddressError) as caught:
        parse_path("<secret name@firma.example>")
    assert "secret" not in str(caught.value)


def test_null_path_is_none():
    assert parse_path("<> SIZE=3") == (None, "SIZE=3")


def test_smtputf8_keeps_u_labels_and_local_part():
    found, _ = parse_path("<jørgen@BLÅBÆR.example>", utf8=True)
    assert found == Address("jørgen", "blåbær.example")


@pytest.mark.parametrize(
    "path", ["<a\u200bb@x.example>", "<a\u202eb@x.example>", "<a\ud800b@x.example>"]
)
def test_smtputf8_refuses_invisible_characters(path):
    with pytest.raises(AddressError):
        parse_path(path, utf8=True)


def test_host_name_is_the_a_label():
    assert host_name("blåbær.example") == "xn--blbr-roah.example"


@pytest.mark.parametrize(
    ("domain", "inside"),
    [
        ("firma.example", True),
        ("FIRMA.example", True),
        ("mail.firma.example", True),
        ("a.b.firma.example", True),
        ("notfirma.example", False),  # the label boundary
        ("firma.example.other.test", False),
        ("example", False),
        ("firma.test", False),
        ("blåbær.example", True),
        ("post.xn--blbr-roah.example", True),
        ("fіrma.example", False),  # a Cyrillic look-alike
        ("", False),
        ("not a name", False),
    ],
)
def test_within_compares_labels(domain, inside):
    assert within(domain, frozenset({"firma.example", "xn--blbr-roah.example"})) is inside


@given(st.text(max_size=80), st.booleans())
def test_nothing_accepted_holds_a_line_break(text, utf8):
    for candidate in (text, f"{text}@firma.example", f"anna@{text}", f'"{text}"@firma.example'):
        try:
            address = str(parse_address(candidate, utf8=utf8))
        except AddressError:
            continue
        assert not set(address) & {"\r", "\n", "\0"}
        assert len(address.encode()) <= 254
        assert address.isascii() or utf8


_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)


@given(st.lists(_LABELS, min_size=1, max_size=4), _LABELS)
@pytest.mark.behaviour(14)
def test_within_never_matches_part_of_a_label(labels, other):
    verified = ".".join([*labels, "example"])
    assert within(verified, {verified})
    assert within(f"{other}.{verified}", {verified})
    assert not within(f"{other}{verified}", {verified})


@given(
    st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,2}", fullmatch=True),
    st.lists(_LABELS, min_size=1, max_size=3),
)
def test_what_is_accepted_reads_back_the_same(local, labels):
    address = parse_address(f"{local}@{'.'.join(labels)}.example")
    assert parse_path(f"<{address}>") == (address, "")
