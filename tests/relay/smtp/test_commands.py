# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.commands import encode_body, is_mailbox, mail_command, rcpt_command, refusal
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import Features
from tests.testbed.smtp import unstuff

ALL = Features(frozenset({"SIZE", "8BITMIME", "SMTPUTF8", "DSN"}), frozenset(), 0)

pieces = st.lists(st.sampled_from([b"\r\n", b".", b"..", b"x", b"\r\n.\r\n", b"\r\n..", b" "]))
contents = pieces.map(b"".join)


@given(contents)
def test_stuffing_is_undone_by_the_receiver(content):
    body, terminator = encode_body(content)
    wire = body + terminator
    end = 0 if wire.startswith(b".\r\n") else wire.index(b"\r\n.\r\n") + 2
    assert wire[end:] == b".\r\n"
    received = unstuff(wire[:end])
    assert received == (content if content.endswith(b"\r\n") or not content else content + b"\r\n")


@given(contents)
@pytest.mark.behaviour(2)
def test_stuffing_equals_the_rule_line_by_line(content):
    body, terminator = encode_body(content)
    lines = content.split(b"\r\n")
    expected = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    wire = body + terminator
    assert (
        wire
        == (expected if content.endswith(b"\r\n") or not content else expected + b"\r\n") + b".\r\n"
    )


@pytest.mark.parametrize(
    "address",
    [
        "erik@modtager.example",
        '"erik hansen"@modtager.example',
        '"a\\"b<>"@modtager.example',
        "erik+x=y@[192.0.2.1]",
        "erik@[IPv6:2001:db8::1]",
        "søren@ærø.example",
    ],
)
def test_real_addresses_can_be_sent(address):
    assert is_mailbox(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "erik",
        "erik@",
        "@modtager.example",
        "erik@modtager.example>",
        "erik@modtager.example\r\nDATA",
        "erik@modtager.example\n",
        "erik hansen@modtager.example",
        '"erik\r\n"@modtager.example',
        "erik@a@b",
        "erik@[192.0.2.1]x",
        "x" * 400 + "@modtager.example",
        "erik\0@modtager.example",
    ],
)
@pytest.mark.behaviour(37)
def test_addresses_that_could_mean_something_else_cannot(address):
    assert not is_mailbox(address)


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_text_adds_a_line_or_leaves_the_brackets(address, envid, notify, orcpt):
    recipient = Recipient(address, notify, orcpt)
    mail = Envelope(address, (recipient,), envid=envid, ret="FULL", smtputf8=True)
    if address and refusal(mail, b"x\r\n", ALL) is not None:
        return
    for command in (mail_command(mail, b"x\r\n", ALL), rcpt_command(recipient, ALL)):
        assert command.count(b"\r") == command.count(b"\n") == 1
        assert command.endswith(b"\r\n")


@given(st.from_regex(r"[a-z<>@\r\n\" .\\]{1,12}@[a-z<>\r\n. ]{1,8}", fullmatch=True))
def test_a_mailbox_has_one_reading(address):
    if is_mailbox(address):
        assert not set("\r\n\0") & set(address)
        if not address.startswith('"'):
            assert not set("<> ") & set(address)


@pytest.mark.behaviour(37)
def test_text_that_begins_well_and_goes_on_in_another_line_is_left_out():
    features = Features(frozenset({"DSN"}))
    text = "QQ1234\r\nRSET"
    recipient = Recipient("ida@modtager.example", "NEVER\r\nRSET", text)
    mail = Envelope("post@due.example", (recipient,), envid=text)
    assert mail_command(mail, b"", features) == b"MAIL FROM:<post@due.example>\r\n"
    assert rcpt_command(recipient, features) == b"RCPT TO:<ida@modtager.example>\r\n"
