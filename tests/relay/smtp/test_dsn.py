# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage, Message
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.dsn import MAX_RETURNED_HEADERS, Action, Report, Told, build, wants
from relay.smtp.envelope import Recipient
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.smtp.waited import Waited

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORIGINAL = b"From: hej@kunde.example\r\nSubject: Faktura\r\n\r\nHEMMELIG KROP\r\n"


def refused(**changes) -> Outcome:
    facts = {
        "verdict": Verdict.BOUNCED,
        "scope": Scope.RECIPIENT,
        "code": 550,
        "enhanced": "5.1.1",
        "text": "5.1.1 no such user",
        "remote_host": "mx.modtager.example",
    }
    return Outcome(**{**facts, **changes})


def told(address="erik@modtager.example", **changes) -> Told:
    facts = {
        "recipient": Recipient(address),
        "outcome": refused(),
        "attempted_at": NOW - timedelta(minutes=1),
    }
    return Told(**{**facts, **changes})


def report(**changes) -> Report:
    facts = {
        "action": Action.FAILED,
        "message_id": UUID("019a0000-0000-7000-8000-000000000001"),
        "sender": "hej@kunde.example",
        "recipients": (told(),),
        "original": ORIGINAL,
        "accepted_at": NOW - timedelta(hours=5),
        "now": NOW,
        "expires_at": NOW + timedelta(hours=67),
        "reporting_host": "mail.brevdue.example",
    }
    return Report(**{**facts, **changes})


def parsed(the_report: Report) -> EmailMessage:
    message = email.message_from_bytes(build(the_report), policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def groups(the_report: Report) -> list[Message]:
    status = list(parsed(the_report).iter_parts())[1]
    payload = status.get_payload()
    assert isinstance(payload, list)
    return payload  # type: ignore[return-value] # a stub too wide


@pytest.mark.behaviour(41)
def test_failure_is_a_multipart_report_for_machines_and_people():
    message = parsed(report())
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["To"] == "hej@kunde.example"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    text = next(message.iter_parts()).get_content()
    assert "kunne ikke leveres" in text
    assert "could not be delivered" in text
    assert text.count("erik@modtager.example") == 2
    assert text.count("550 5.1.1 no such user") == 2


def test_failure_fields_are_exact():
    message_fields, recipient_fields = groups(report(envid="QQ+2B1"))
    assert message_fields.items() == [
        ("Original-Envelope-Id", "QQ+1"),
        ("Reporting-MTA", "dns; mail.brevdue.example"),
        ("Arrival-Date", "Sun, 01 Mar 2026 07:00:00 +0000"),
    ]
    assert recipient_fields.items() == [
        ("Final-Recipient", "rfc822; erik@modtager.example"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; mx.modtager.example"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 no such user"),
        ("Last-Attempt-Date", "Sun, 01 Mar 2026 11:59:00 +0000"),
    ]


def test_several_recipients_share_one_report():
    first = told(recipient=Recipient("a@x.example", orcpt="rfc822;Old+40x.example"))
    fields = groups(report(recipients=(first, told("b@x.example"))))
    assert [group["Final-Recipient"] for group in fields[1:]] == [
        "rfc822; a@x.example",
        "rfc822; b@x.example",
    ]
    assert fields[1]["Original-Recipient"] == "rfc822; Old@x.example"


def test_expiry_says_that_time_ran_out():
    late = told(outcome=refused(verdict=Verdict.RETRY, code=451, enhanced="4.3.0"), expired=True)
    assert groups(report(recipients=(late,)))[1]["Status"] == "4.4.7"
    assert b"fristen udl" in build(report(recipients=(late,)))


@pytest.mark.parametrize(
    ("waited", "said"),
    [
        (Waited("new", was_tried=False), "It was not tried before its time was up.\n"),
        (
            Waited("over_quota", was_tried=True),
            "It could not be tried again before its time was up.\n"
            "    Reason: the organisation had sent as much as it may.\n",
        ),
    ],
)
def test_mail_that_waited_to_its_end_is_not_said_to_be_tried(waited, said):
    late = told(outcome=refused(code=0, text=""), attempted_at=None, waited=waited, expired=True)
    text = next(parsed(report(recipients=(late,))).iter_parts()).get_content()
    assert f"    {said}" in text.replace("\r\n", "\n")
    assert not any(word in text for word in ("svar", "answer", "new", "over_quota"))
    assert "Last-Attempt-Date" not in groups(report(recipients=(late,)))[1]


def test_silence_has_no_diagnostic_of_our_own():
    silent = told(outcome=refused(code=0, enhanced="", text=""), expired=True)
    assert "Diagnostic-Code" not in groups(report(recipients=(silent,)))[1]
    assert b"did not answer" in build(report(recipients=(silent,)))


def test_delay_says_until_when_it_is_tried():
    slow = told(outcome=refused(verdict=Verdict.RETRY, code=450, enhanced="4.2.0", text="later"))
    fields = groups(report(action=Action.DELAYED, recipients=(slow,)))[1]
    assert (fields["Action"], fields["Status"]) == ("delayed", "4.2.0")
    assert fields["Will-Retry-Until"] == "Wed, 04 Mar 2026 07:00:00 +0000"
    assert "Delayed" in parsed(report(action=Action.DELAYED, recipients=(slow,)))["Subject"]


@pytest.mark.behaviour(10)
def test_mail_that_was_handed_on_is_told_beside_what_failed():
    taken = refused(verdict=Verdict.DELIVERED, code=250, enhanced="2.0.0", text="2.0.0 queued")
    relayed = told("ida@modtager.example", outcome=taken, relayed=True)
    both = report(recipients=(told(), relayed))
    fields = groups(both)
    assert [(one["Action"], one["Status"]) for one in fields[1:]] == [
        ("failed", "5.1.1"),
        ("relayed", "2.0.0"),
    ]
    text = next(parsed(both).iter_parts()).get_content()
    assert text.index("could not be delivered") < text.index("handed to the next mail server")
    alone = report(action=Action.RELAYED, recipients=(relayed,))
    text = next(parsed(alone).iter_parts()).get_content()
    assert "Relayed" in parsed(alone)["Subject"]
    assert "could not be delivered" not in text
    assert text.count("ida@modtager.example") == 2


@pytest.mark.behaviour(41)
@pytest.mark.parametrize(
    "original",
    [
        ORIGINAL,
        b"\r\nHEMMELIG KROP\r\n",
        b"Subject: k\xc3\xb8b\r\n\r\nHEMMELIG KROP",
        b"X: " + b"y" * 2000 + b"\r\n\r\nHEMMELIG KROP",
        b"X: y\r\n" * (MAX_RETURNED_HEADERS // 4) + b"\r\nHEMMELIG KROP",
    ],
)
def test_only_headers_of_the_original_are_returned(original):
    raw = build(report(original=original))
    assert raw.isascii()
    assert b"HEMMELIG" not in raw
    returned = list(parsed(report(original=original)).iter_parts())[2].get_payload(decode=True)
    assert isinstance(returned, bytes)
    head = original[: original.find(b"\r\n\r\n")] if not original.startswith(b"\r\n") else b""
    assert head.startswith(returned.rstrip(b"\r\n"))
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


def test_international_addresses_take_their_seven_bit_form():
    fields = groups(report(recipients=(told("søren@modtager.example"),)))[1]
    assert fields["Final-Recipient"] == r"utf-8; s\x{F8}ren@modtager.example"
    raw = build(report(sender="søren@kunde.example"))
    assert "To: <søren@kunde.example>".encode() in raw


@pytest.mark.behaviour(41)
def test_null_sender_is_never_answered():
    with pytest.raises(ValueError, match="never answer"):
        build(report(sender=""))


@pytest.mark.parametrize(
    ("notify", "on_failure", "on_delay"),
    [
        ("", True, True),
        ("NEVER", False, False),
        ("FAILURE", True, False),
        ("success,delay", False, True),
        ("SUCCESS", False, False),
    ],
)
def test_notify_is_honoured(notify, on_failure, on_delay):
    recipient = Recipient("erik@modtager.example", notify=notify)
    assert wants(recipient, Action.FAILED) is on_failure
    assert wants(recipient, Action.DELAYED) is on_delay


@given(st.text(max_size=200), st.text(max_size=60), st.text(max_size=60))
def test_hostile_texts_add_no_field_and_no_line(text, address, envid):
    hostile = told(
        recipient=Recipient(address, orcpt=f"rfc822;{address}"),
        outcome=refused(text=text, remote_host=address),
    )
    the_report = report(recipients=(hostile,), envid=envid, sender=f"x{address}")
    raw = build(the_report)
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    status = raw.split(b"Content-Description: Delivery report\r\n\r\n")[1].split(b"\r\n--=_")[0]
    names = [line.split(b":")[0] for line in status.split(b"\r\n") if line]
    assert names.count(b"Action") == 1
    assert len(names) == 2 + bool(envid) + 6 + bool(address)


def test_mail_that_came_back_is_told_as_that():
    text = next(parsed(report(recipients=(told(came_back=True),))).iter_parts()).get_content()
    assert "tog imod den og sendte den retur senere" in text
    assert "took it and returned it later" in text
    assert text.count("550 5.1.1 no such user") == 2


def test_return_without_a_reason_claims_none():
    silent = told(outcome=refused(code=0, text=""), came_back=True)
    text = next(parsed(report(recipients=(silent,))).iter_parts()).get_content()
    assert "der er ingen begrundelse" in text
    assert "none was given" in text
    assert "svarede ikke" not in text
