# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reading what a domain publishes for MTA-STS (RFC 8461)."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp import sts
from relay.smtp.sts import Malformed, Mode, Policy

LINES = ["version: STSv1", "mode: enforce", "mx: *.modtager.example", "max_age: 86400"]
POLICY = Policy(Mode.ENFORCE, ("*.modtager.example",), timedelta(days=1))


def document(*lines: str, end: str = "\r\n") -> bytes:
    return "".join(line + end for line in lines).encode()


@pytest.mark.behaviour(34)
@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([b"v=STSv1; id=20260101T000000;"], "20260101T000000"),
        ([b"v=STSv1;id=a"], "a"),
        ([b"v=STSv1; x-new=1; id=7 ; "], "7"),
        ([b"v=spf1 -all", b"v=STSv1; id=7"], "7"),
        ([], ""),
        ([b"v=spf1 -all"], ""),
        ([b"v=STSv1; id=7", b"v=STSv1; id=8"], ""),
        ([b"v=STSv1; id=7", b"v=STSv1; id=7"], ""),
        ([b"v=STSv2; id=7"], ""),
        ([b"v=STSv1"], ""),
        ([b"v=STSv1; "], ""),
        ([b"v=STSv1; id="], ""),
        ([b"v=STSv1; id=with-hyphen"], ""),
        ([b"v=STSv1; id=" + b"a" * 33], ""),
        ([b"v=STSv1; id=7 8"], ""),
        ([b"v=STSv1; \xff=1; id=7"], ""),
        ([b" v=STSv1; id=7"], ""),
        ([b"v=STSv1; ; id=7"], ""),
    ],
)
def test_id_of_the_one_record(texts, found):
    assert sts.policy_id(texts) == found


@pytest.mark.parametrize("end", ["\r\n", "\n", " \r\n", "\r\n\r\n"])
def test_policy_is_read_with_any_line_end(end):
    assert sts.parse(document(*LINES, end=end)) == POLICY


def test_last_line_may_be_open():
    assert sts.parse(document(*LINES).removesuffix(b"\r\n")) == POLICY


def test_fields_that_nobody_knows_are_ignored_and_the_first_of_several_counts():
    lines = [*LINES, "mode: none", "x-new: y", "max_age: 1", "version: STSv2"]
    assert sts.parse(document(*lines)) == POLICY


def test_several_hosts_and_no_encryption_asked_for():
    lines = ["version: STSv1", "mode: testing", "mx: A.example", "mx: b.example.", "max_age:60"]
    assert sts.parse(document(*lines)).mx == ("a.example", "b.example")
    off = document("version: STSv1", "mode: none", "max_age: 60")
    assert sts.parse(off) == Policy(Mode.NONE, (), timedelta(minutes=1))


def test_age_has_an_upper_bound():
    lines = [*LINES[:3], "max_age: 9999999999"]
    assert sts.parse(document(*lines)).max_age == sts.LONGEST


@pytest.mark.parametrize(
    "lines",
    [
        [],
        LINES[1:],
        ["version: STSv2", *LINES[1:]],
        [LINES[0], *LINES[2:]],
        [LINES[0], "mode: Enforce", *LINES[2:]],
        [*LINES[:2], LINES[3]],
        LINES[:3],
        [*LINES[:3], "max_age: -1"],
        [*LINES[:3], "max_age: 12345678901"],
        [*LINES[:3], "max_age: ten"],
        [*LINES, "no colon"],
        [*LINES, "mx: *"],
        [*LINES, "mx: *.*.example"],
        [*LINES, "mx: a*.example"],
        [*LINES, "mx: a..example"],
        [*LINES, "mx: two words.example"],
        [*LINES, *["mx: a.example"] * 100],
        ["<!DOCTYPE html>", "<title>404</title>"],
    ],
)
def test_anything_else_is_no_policy(lines):
    with pytest.raises(Malformed):
        sts.parse(document(*lines))


def test_what_is_too_long_or_no_text_is_no_policy():
    for octets in (document(*LINES, f"x: {'y' * sts.MAX_OCTETS}"), document(*LINES) + b"\xff"):
        with pytest.raises(Malformed):
            sts.parse(octets)


@pytest.mark.behaviour(34)
@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("mx1.modtager.example", True),
        ("MX1.Modtager.Example", True),
        ("modtager.example", False),
        (".modtager.example", False),
        ("a.b.modtager.example", False),
        ("mx1.modtager.example.evil.example", False),
        ("evilmodtager.example", False),
        ("exact.example", True),
        ("not.exact.example", False),
        ("", False),
    ],
)
def test_asterisk_stands_for_one_label(host, allowed):
    assert sts.allows(("*.modtager.example", "exact.example"), host) is allowed


@given(st.binary(max_size=300))
def test_octets_of_any_kind_are_a_policy_or_malformed(octets):
    for data in (octets, document(*LINES) + octets):
        with suppress(Malformed):
            assert sts.parse(data).mode in Mode
    assert len(sts.policy_id([b"v=STSv1; id=" + octets])) <= 32
