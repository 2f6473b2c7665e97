# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.replies import (
    MASK,
    MAX_LINE,
    MAX_LINES,
    MAX_TEXT,
    MAX_UNREAD,
    Outcome,
    Reply,
    ReplyError,
    ReplyReader,
    Scope,
    Stage,
    Verdict,
    bounded_text,
    is_host_refusal,
    judge,
    mask_addresses,
)

RECIPIENT, POLICY, INFRASTRUCTURE, ROUTE = Scope
DELIVERED, RETRY, BOUNCED = Verdict


def read(data: bytes) -> Reply | None:
    reader = ReplyReader()
    reader.feed(data)
    return reader.take()


@pytest.mark.parametrize(
    ("stage", "line", "expected"),
    [
        (Stage.DOT, "250 2.0.0 queued", (DELIVERED, RECIPIENT)),
        (Stage.RCPT, "450 4.2.0 greylisted, try later", (RETRY, RECIPIENT)),
        (Stage.RCPT, "550 5.1.1 no such user", (BOUNCED, RECIPIENT)),
        (Stage.RCPT, "550 no such user", (BOUNCED, RECIPIENT)),
        (Stage.RCPT, "550 4.1.1 class in conflict", (BOUNCED, RECIPIENT)),
        (Stage.RCPT, "450 5.1.1 class in conflict", (RETRY, RECIPIENT)),
        (Stage.RCPT, "556 5.1.10 takes no mail", (BOUNCED, RECIPIENT)),
        (Stage.RCPT, "552 5.2.2 mailbox full", (RETRY, RECIPIENT)),
        (Stage.RCPT, "552 over quota", (RETRY, RECIPIENT)),
        (Stage.RCPT, "452 4.2.2 mailbox full", (RETRY, RECIPIENT)),
        (Stage.DOT, "552 5.2.2 mailbox full", (RETRY, RECIPIENT)),
        (Stage.DOT, "552 storage allocation exceeded", (RETRY, RECIPIENT)),
        (Stage.DOT, "552 5.3.4 message too big", (BOUNCED, POLICY)),
        (Stage.DOT, "552 message size exceeds fixed limit", (BOUNCED, POLICY)),
        (Stage.MAIL, "552 message size exceeds fixed limit", (BOUNCED, POLICY)),
        (Stage.MAIL, "553 5.1.8 sender unknown", (BOUNCED, POLICY)),
        (Stage.MAIL, "451 4.1.8 sender unknown", (RETRY, INFRASTRUCTURE)),
        (Stage.RCPT, "550 5.1.8 sender unknown", (BOUNCED, POLICY)),
        (Stage.DOT, "554 5.7.1 message looks like spam", (BOUNCED, POLICY)),
        (Stage.DOT, "554 5.6.0 link on the blocklist of ip addresses", (BOUNCED, POLICY)),
        (Stage.DATA, "451 4.9.1 a subject nobody knows", (RETRY, INFRASTRUCTURE)),
        (Stage.MAIL, "521 5.3.2 takes no mail", (BOUNCED, INFRASTRUCTURE)),
        (Stage.DOT, "451 4.3.0 local error", (RETRY, INFRASTRUCTURE)),
        (Stage.DATA, "554 no valid recipients", (BOUNCED, POLICY)),
        (
            Stage.RCPT,
            "554 5.7.1 Client host [192.0.2.7] blocked using x.test",
            (RETRY, INFRASTRUCTURE),
        ),
        (Stage.RCPT, "550 5.7.25 no reverse name", (RETRY, INFRASTRUCTURE)),
        (Stage.MAIL, "550 your IP has a poor reputation", (RETRY, INFRASTRUCTURE)),
        (Stage.RCPT, "530 5.7.0 authentication required", (RETRY, ROUTE)),
        (Stage.MAIL, "530 5.7.0 Must issue a STARTTLS command first", (RETRY, INFRASTRUCTURE)),
        (Stage.DOT, "550 5.2.2 over quota", (RETRY, RECIPIENT)),
        (Stage.RCPT, "554 5.2.2 mailbox full", (RETRY, RECIPIENT)),
        (Stage.RCPT, "550 the user's mailbox is full", (RETRY, RECIPIENT)),
        (Stage.RCPT, "552 5.3.1 mail system full", (RETRY, INFRASTRUCTURE)),
        (Stage.DOT, "552 5.7.0 blocked for its content", (BOUNCED, POLICY)),
        (Stage.RCPT, "552 5.2.3 longer than this mailbox allows", (BOUNCED, POLICY)),
        (Stage.RCPT, "554 5.7.1 relay access denied", (BOUNCED, POLICY)),
        (Stage.RCPT, "554 relay access denied", (BOUNCED, POLICY)),
        (Stage.RCPT, "550 5.1.1 relaying is not allowed", (BOUNCED, POLICY)),
        (Stage.RCPT, "550 unable to relay for you", (BOUNCED, POLICY)),
        (Stage.RCPT, "550 authentication required", (BOUNCED, POLICY)),
        (Stage.RCPT, "550 SPF check failed", (BOUNCED, POLICY)),
        (Stage.RCPT, "550 rejected by our DMARC policy", (BOUNCED, POLICY)),
        (Stage.RCPT, "550 sender address unknown", (BOUNCED, POLICY)),
        (Stage.RCPT, "550 5.0.0 this looks like spam", (BOUNCED, POLICY)),
        (Stage.RCPT, "550 5.4.1 access denied", (BOUNCED, INFRASTRUCTURE)),
        (Stage.DATA, "250 out of step", (RETRY, INFRASTRUCTURE)),
        (Stage.RCPT, "354 out of step", (RETRY, INFRASTRUCTURE)),
        (Stage.GREETING, "554 no service for you", (RETRY, INFRASTRUCTURE)),
        (Stage.GREETING, "521 host takes no mail", (RETRY, INFRASTRUCTURE)),
        (Stage.EHLO, "556 5.3.2 host takes no mail", (RETRY, INFRASTRUCTURE)),
        (Stage.GREETING, "521 5.7.1 client host [192.0.2.7] blocked", (RETRY, INFRASTRUCTURE)),
        (Stage.EHLO, "550 bad name", (RETRY, INFRASTRUCTURE)),
        (Stage.STARTTLS, "502 not here", (RETRY, INFRASTRUCTURE)),
        (Stage.AUTH, "535 5.7.8 wrong password", (RETRY, ROUTE)),
        (Stage.AUTH, "504 unknown mechanism", (RETRY, ROUTE)),
        (Stage.AUTH, "454 4.7.0 temporary failure", (RETRY, INFRASTRUCTURE)),
        *((stage, "421 4.3.2 closing", (RETRY, INFRASTRUCTURE)) for stage in Stage),
    ],
)
@pytest.mark.behaviour(31)
def test_judge_names_verdict_and_scope(stage, line, expected):
    reply = read(f"{line}\r\n".encode())
    assert reply is not None
    assert judge(reply, stage)[:2] == expected


@pytest.mark.behaviour(31)
@pytest.mark.parametrize(
    ("stage", "line", "expected"),
    [
        (Stage.GREETING, "521 host takes no mail", (BOUNCED, INFRASTRUCTURE)),
        (Stage.EHLO, "556 5.3.2 host takes no mail", (BOUNCED, INFRASTRUCTURE)),
        (Stage.GREETING, "521 5.7.1 client host [192.0.2.7] blocked", (RETRY, INFRASTRUCTURE)),
        (Stage.GREETING, "554 no service for you", (RETRY, INFRASTRUCTURE)),
        (Stage.MAIL, "530 5.7.0 Must issue a STARTTLS command first", (RETRY, INFRASTRUCTURE)),
        (Stage.RCPT, "530 5.7.0 authentication required", (RETRY, INFRASTRUCTURE)),
        (Stage.RCPT, "535 5.7.8 not you", (RETRY, INFRASTRUCTURE)),
        (Stage.DOT, "538 encryption required", (RETRY, INFRASTRUCTURE)),
    ],
)
def test_a_host_of_the_dns_never_blames_the_route(stage, line, expected):
    """RFC 7504: such a host may refuse all mail; a customer's own server only waits for them."""
    reply = read(f"{line}\r\n".encode())
    assert reply is not None
    assert judge(reply, stage, is_mx=True)[:2] == expected


@pytest.mark.behaviour(31)
@pytest.mark.parametrize(
    ("stage", "line", "is_hard"),
    [
        (Stage.RCPT, "550 5.1.1 no such user", True),
        (Stage.RCPT, "550 4.1.1 user unknown", True),
        (Stage.RCPT, "550 5.2.1 mailbox disabled", True),
        (Stage.RCPT, "556 5.1.10 recipient address has null MX", True),
        (Stage.DOT, "550 5.1.1 user unknown", True),
        (Stage.RCPT, "550 no such user here", True),
        (Stage.RCPT, "550 Recipient address rejected: User unknown in table", True),
        (Stage.RCPT, "550 the mailbox does not exist", True),
        (Stage.RCPT, "550 5.1.1 no such user; see https://x.test/spam-policy", True),
        (Stage.RCPT, "550 5.7.1 user unknown", True),
        (Stage.RCPT, "550 5.1.1", True),
        (Stage.RCPT, "550 5.1.1 no such user; see our spam policy", False),
        (Stage.RCPT, "550 5.7.1 user unknown by policy", False),
        (Stage.RCPT, "550 5.3.0 user unknown", False),
        (Stage.RCPT, "550 5.2.1", False),
        (Stage.RCPT, "450 5.1.1 no such user", False),
        (Stage.RCPT, "550 rejected", False),
        (Stage.RCPT, "550 requested action not taken: mailbox unavailable", False),
        (Stage.RCPT, "550 5.1.0 address rejected", False),
        (Stage.RCPT, "550 5.1.1 relay access denied", False),
        (Stage.RCPT, "550 5.2.2 mailbox full, no such room", False),
        (Stage.RCPT, "550 no such user, says our spam filter", False),
        (Stage.RCPT, "550 sender unknown: no such user", False),
        (Stage.MAIL, "550 5.1.1 no such user", False),
        (Stage.RCPT, "554 5.7.1 Client host [192.0.2.7] blocked, user unknown", False),
    ],
)
def test_only_what_speaks_of_the_address_alone_is_hard(stage, line, is_hard):
    reply = read(f"{line}\r\n".encode())
    assert reply is not None
    assert judge(reply, stage).is_hard is is_hard


def test_a_refusal_of_this_host_is_known_as_one():
    def outcome(line: str, verdict: Verdict = RETRY) -> Outcome:
        reply = Reply(int(line[:3]), (line[4:],))
        return Outcome(
            verdict=verdict,
            scope=INFRASTRUCTURE,
            code=reply.code,
            enhanced=reply.enhanced,
            text=reply.text,
        )

    assert is_host_refusal(outcome("554 5.7.1 client host [192.0.2.7] blocked"))
    assert is_host_refusal(outcome("550 5.7.25 no reverse name"))
    # Temporary, about something else, or an end of the mail: nothing for the operator to mend.
    assert not is_host_refusal(outcome("450 4.7.1 client host [192.0.2.7] blocked"))
    assert not is_host_refusal(outcome("554 no service"))
    assert not is_host_refusal(outcome("550 5.7.1 your ip is blocked", BOUNCED))


def test_reply_of_several_lines_is_one():
    reply = read(b"550-5.1.1 first\r\n550-5.1.1 second\r\n550 5.1.1 last\r\n")
    assert reply == Reply(550, ("5.1.1 first", "5.1.1 second", "5.1.1 last"))
    assert reply.text == "5.1.1 first 5.1.1 second 5.1.1 last"
    assert reply.enhanced == "5.1.1"


def test_reply_without_text_or_with_bare_lf_is_read():
    assert read(b"250\r\n") == Reply(250, ("",))
    assert read(b"250 ok\n") == Reply(250, ("ok",))


@pytest.mark.behaviour(31)
def test_enhanced_class_follows_the_code():
    assert Reply(550, ("4.1.1 x",)).enhanced == "5.1.1"
    assert Reply(550, ("see 5.1.1",)).enhanced == ""
    assert Reply(550, ("5.1.1x",)).enhanced == ""


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"hello\r\n",
        b"99 x\r\n",
        b"650 x\r\n",
        b"250_x\r\n",
        b"\x00\xff\r\n",
        b"HTTP/1.1 400\r\n",
    ],
)
def test_garbage_is_refused(data):
    with pytest.raises(ReplyError):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"250 " + b"x" * (MAX_LINE + 1),
        b"250 " + b"x" * (MAX_LINE + 1) + b"\r\n",
        b"250-x\r\n" * (MAX_LINES + 1),
        b"x" * (MAX_UNREAD + 1),
        b"250 ok\r\n" * (MAX_UNREAD // 8 + 1),
    ],
)
def test_endless_replies_are_refused(data):
    with pytest.raises(ReplyError):
        read(data)


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=40),
        min_size=1,
        max_size=9,
    ),
    st.integers(200, 599),
    st.data(),
)
def test_replies_survive_any_split(lines, code, data):
    wire = b"".join(
        f"{code}{'-' if i < len(lines) - 1 else ' '}{line}\r\n".encode()
        for i, line in enumerate(lines)
    )
    cut = data.draw(st.integers(0, len(wire)))
    reader = ReplyReader()
    reader.feed(wire[:cut])
    first = reader.take()
    reader.feed(wire[cut:])
    assert (first or reader.take()) == Reply(code, tuple(lines))
    assert not reader.pending


@given(st.binary(max_size=300))
def test_hostile_bytes_give_a_reply_or_a_reply_error(data):
    reader = ReplyReader()
    reader.feed(data)
    try:
        while reader.take() is not None:
            pass
    except ReplyError:
        pass


@given(st.text(max_size=1500))
def test_text_is_bounded_and_printable(text):
    bounded = bounded_text(text)
    assert len(bounded) <= MAX_TEXT
    assert not any(ord(c) < 32 or ord(c) == 127 for c in bounded)


def test_a_cut_never_leaves_half_an_address():
    text = "x " * 245 + "erik.hansen@modtager.example"
    assert "erik" not in bounded_text(text)


@pytest.mark.parametrize(
    "address",
    [
        "erik@modtager.example",
        "<erik.hansen+tag@modtager.example>",
        '"erik hansen"@modtager.example',
        "erik=40modtager.example",
        "erik%40modtager.example",
        "søren@modtager.example",
        "erik@[192.0.2.1]",
        "smtp:erik@modtager.example,",
    ],
)
def test_mask_hides_every_form_of_address(address):
    masked = mask_addresses(f"5.1.1 {address} user unknown")
    assert MASK in masked
    assert masked.endswith("user unknown")
    for part in ("erik", "søren", "hansen", "modtager"):
        assert part not in masked


def test_mask_hides_known_local_parts():
    text = mask_addresses("Hansen.Erik: no such user", ["hansen.erik@modtager.example", ""])
    assert text == f"{MASK}: no such user"


@given(st.emails())
def test_mask_hides_what_it_is_given(address):
    local = address.rpartition("@")[0]
    assert address not in mask_addresses(f"550 {address} unknown", [address])
    assert f" {local} " not in mask_addresses(f"550 {local} unknown", [address])
