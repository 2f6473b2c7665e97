# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is read of a pasted header: who sent the mail, and nothing that it could break."""

from __future__ import annotations

import time

import pytest

from gdpr.enquiries.headers import LONGEST, Named, of_header, of_sender

HEADER = """\
Return-Path: <x7=y@bounce.butik.example>
Received: from evil.example (evil.example [192.0.2.1])
DKIM-Signature: v=1; a=rsa-sha256; q=dns/txt;
\td=butik.example; s=bd1; h=From:To;
\tbh=d=fake.example; b=abc
From: "Butik, nyheder" <nyt@butik.example>
To: erik@modtager.example
Message-ID: <4711@butik.example>
Subject: From: x@subject.example
"""


def test_sender_of_a_mail_is_read() -> None:
    assert of_header(HEADER) == Named(
        ("butik.example", "bounce.butik.example"), "4711@butik.example"
    )


def test_lines_that_end_with_crlf_are_read_alike() -> None:
    assert of_header(HEADER.replace("\n", "\r\n")) == of_header(HEADER)


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("butik.example", "butik.example"),
        (" NYT@Butik.Example. ", "butik.example"),
        ("kød.example", "xn--kd-lka.example"),
        ("xn--kd-lka.example", "xn--kd-lka.example"),
    ],
)
def test_sender_as_typed(text: str, domain: str) -> None:
    assert of_sender(text).domains == (domain,)


@pytest.mark.parametrize(
    "text",
    ["", "butik", "a b.example", "<script>.example", "[192.0.2.1]", "192.0.2.1", "a@b@", "x" * 300],
)
def test_what_names_no_domain_names_nobody(text: str) -> None:
    assert not of_sender(text)


def test_field_that_stands_there_twice_is_not_believed() -> None:
    doubled = "From: a@first.example\nFrom: b@second.example\n"
    assert of_header(doubled) == Named()
    numbers = "Message-ID: <1@a.example>\nMessage-ID: <2@b.example>\n"
    assert of_header(numbers) == Named()


def test_folded_and_oddly_written_fields_are_read() -> None:
    assert of_header("fRoM :\r\n\tErik <a@first.example>").domains == ("first.example",)


@pytest.mark.parametrize(
    "text",
    [
        "From: " + "<" * LONGEST,
        "From: " + "a@" * LONGEST,
        "From: " + "a" * LONGEST,
        "DKIM-Signature: " + "; d = " * LONGEST,
        "\n ".join(["From: x"] * LONGEST),
        "Message-ID: " + "<" * LONGEST + "x" * LONGEST,
        "From:" + " " * LONGEST,
        "DKIM-Signature:" + " \t" * LONGEST,
    ],
)
def test_hostile_header_is_read_quickly(text: str) -> None:
    begun = time.process_time()
    of_header(text)
    assert time.process_time() - begun < 0.5


def test_what_stands_beyond_the_bound_is_not_looked_at() -> None:
    assert not of_header("X: " + "a" * LONGEST + "\nFrom: a@first.example")
