# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reports are read as RFC 3464 has them, and in the forms that servers give them."""

from __future__ import annotations

import logging.config
from email import message_from_bytes
from email.message import Message

import pytest

from relay.smtp import reports
from relay.smtp.reports import LARGEST, MOST_RECIPIENTS, Action, Reported, read
from tests.relay.bounces.letters import AUTOMATIC, Letter, group, letter, multipart, report

UNKNOWN = Reported(
    action=Action.FAILED,
    addresses=("erik@modtager.example",),
    code=550,
    enhanced="5.1.1",
    text="no such user",
)


def only(content: bytes, *, has_sender: bool = False) -> Reported:
    (found,) = read(content, has_sender=has_sender)
    return found


def test_report_by_the_book_is_read_whole() -> None:
    assert only(report(group())) == UNKNOWN


def test_each_recipient_has_its_own_reason() -> None:
    found = read(
        report(group(), group("bo@modtager.example", "5.2.2", "smtp; 552 5.2.2 mailbox full")),
        has_sender=False,
    )
    assert [(one.addresses, one.code, one.enhanced) for one in found] == [
        (("erik@modtager.example",), 550, "5.1.1"),
        (("bo@modtager.example",), 552, "5.2.2"),
    ]


def test_address_as_it_was_given_comes_first() -> None:
    both = "Original-Recipient: rfc822; erik@modtager.example\r\n" + group("e17@internal.example")
    assert only(report(both)).addresses == ("erik@modtager.example", "e17@internal.example")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("failed", Action.FAILED),
        ("Failed (permanently)", Action.FAILED),
        ("error", Action.FAILED),
        ("delayed", Action.DELAYED),
        ("delivered", Action.DELIVERED),
    ],
)
def test_action_says_what_became_of_the_mail(action: str, expected: Action) -> None:
    assert only(report(group(action=action))).action is expected


@pytest.mark.parametrize("action", ["relayed", "expanded", "unheard-of"])
def test_mail_that_went_on_is_no_failure(action: str) -> None:
    assert read(report(group(action=action)), has_sender=False) == ()


@pytest.mark.parametrize(
    ("status", "action"), [("5.1.1", Action.FAILED), ("4.4.1", Action.DELAYED)]
)
def test_missing_action_follows_from_the_status(status: str, action: Action) -> None:
    fields = group(status=status).replace("Action: failed\r\n", "")
    assert only(report(fields)).action is action


@pytest.mark.parametrize(
    ("said", "code", "enhanced", "text"),
    [
        ("smtp; 550-5.1.1 gone", 550, "5.1.1", "gone"),
        ("smtp; 550 #5.1.1 gone", 550, "5.1.1", "gone"),
        ("smtp;550 gone", 550, "5.0.0", "gone"),
        ("550 5.7.1 spam", 550, "5.7.1", "spam"),
        ("X-Postfix; unknown user", 0, "5.0.0", "unknown user"),
        ("smtp; host mx said: 554 5.7.1 no", 554, "5.7.1", "host mx said: 554 5.7.1 no"),
        ("", 0, "5.0.0", ""),
    ],
)
def test_reason_is_found_in_what_the_server_said(
    said: str, code: int, enhanced: str, text: str
) -> None:
    found = only(report(group(status="5.0.0", said=said)))
    assert (found.code, found.enhanced, found.text) == (code, enhanced, text)


def test_status_that_says_something_counts_before_the_reply() -> None:
    found = only(report(group(status="5.2.1 (disabled)", said="smtp; 550 5.0.0 no")))
    assert found.enhanced == "5.2.1"


@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("rfc822; <erik@modtager.example>", "erik@modtager.example"),
        ("erik@modtager.example", "erik@modtager.example"),
        ("rfc822; erik", "erik"),
        (r"utf-8; s\x{F8}ren@modtager.example", "søren@modtager.example"),
        (r"utf-8; s\x{D800}ren@modtager.example", "s?ren@modtager.example"),
    ],
)
def test_recipient_is_read_in_each_of_its_forms(field: str, address: str) -> None:
    fields = group().replace("rfc822; erik@modtager.example", field)
    assert only(report(fields)).addresses == (address,)


def test_internationalised_report_is_read_as_well() -> None:
    content = report(group("søren@modtager.example").replace("rfc822", "utf-8"))
    content = content.replace(b"message/delivery-status", b"message/global-delivery-status")
    assert only(content).addresses == ("søren@modtager.example",)


def test_fields_are_found_where_they_do_not_belong() -> None:
    status = f"Content-Type: message/delivery-status\r\n\r\n{group()}\r\n"
    inner = f'Content-Type: multipart/mixed; boundary="i"\r\n\r\n--i\r\n{status}\r\n--i--'
    assert only(multipart("nested", "multipart/mixed", inner).content) == UNKNOWN


def test_report_that_came_back_itself_is_not_read() -> None:
    inner = report(group("bo@modtager.example")).decode().replace("grense", "indre")
    returned = f"Content-Type: message/rfc822\r\n\r\n{inner}"
    status = f"Content-Type: message/delivery-status\r\n\r\n{group()}\r\n"
    content = multipart("report of a report", "multipart/report", status, returned).content
    assert only(content) == UNKNOWN


def test_fields_count_whatever_the_header_says_of_automation() -> None:
    marks = b"Auto-Submitted: auto-replied\r\nPrecedence: bulk\r\n"
    assert only(marks + report(group()), has_sender=True) == UNKNOWN


@pytest.mark.behaviour(42)
@pytest.mark.parametrize("sent", AUTOMATIC, ids=[one.name for one in AUTOMATIC])
def test_what_reports_nothing_is_left_alone(sent: Letter) -> None:
    assert read(sent.content, has_sender=sent.has_sender) == ()


QMAIL = (
    "Hi. This is the qmail-send program at modtager.example.\r\n"
    "I'm afraid I wasn't able to deliver your message to the following addresses.\r\n\r\n"
    "<erik@modtager.example>:\r\n192.0.2.8 does not like recipient.\r\n"
    "Remote host said: 550 5.1.1 no such user\r\n\r\n"
    "--- Below this line is a copy of the message.\r\n\r\n"
    "Subject: Faktura 550 5.9.9 secret\r\n"
)


def test_words_alone_are_understood_with_their_reason() -> None:
    content = letter("qmail", "Subject: failure notice", body=QMAIL).content
    assert only(content) == UNKNOWN


@pytest.mark.behaviour(42)
@pytest.mark.parametrize(
    "mark",
    [
        *(f"{name}: yes" for name in reports._AUTOMATIC),
        *(f"Precedence: {value}" for value in sorted(reports._BULK)),
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated; owner=x",
    ],
)
def test_each_mark_of_automation_counts_by_itself(mark: str) -> None:
    """The same words without the mark are a report."""
    sent = letter("marked", "Subject: failure notice", mark, body=QMAIL)
    assert read(sent.content, has_sender=False) == ()


def test_words_of_the_mail_that_came_back_are_never_taken_along() -> None:
    content = letter(
        "exim",
        "Auto-Submitted: auto-replied",
        "X-Failed-Recipients: erik@modtager.example",
        "Subject: Mail delivery failed: returning message to sender",
        body="This message was created automatically by mail delivery software.\r\n\r\n"
        "  erik@modtager.example\r\n    cannot be delivered\r\n\r\n"
        "------ This is a copy of the message, including all the headers. ------\r\n\r\n"
        "Subject: the account 550 5.1.1 is secret\r\n",
    ).content
    found = only(content)
    assert (found.action, found.addresses) == (Action.FAILED, ("erik@modtager.example",))
    assert (found.code, found.enhanced, found.text) == (0, "", "")


def test_report_that_names_nobody_is_left_to_the_return_path() -> None:
    content = letter(
        "nobody",
        "Subject: Undeliverable: Faktura",
        body="Your mail was refused: 550 5.1.1 unknown",
    ).content.replace(b"From: Erik <erik@", b"From: Mail Delivery System <MAILER-DAEMON@")
    assert only(content) == Reported(
        action=Action.FAILED, code=550, enhanced="5.1.1", text="unknown"
    )


def test_recipients_and_content_are_bounded() -> None:
    groups = [group(f"e{number}@modtager.example") for number in range(MOST_RECIPIENTS + 1)]
    assert len(read(report(*groups), has_sender=False)) == MOST_RECIPIENTS
    late = report(group()).replace(b"Undelivered.", b"x" * LARGEST)
    assert read(late, has_sender=False) == ()


def test_library_that_reads_words_writes_no_log(caplog: pytest.LogCaptureFixture) -> None:
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    with caplog.at_level(0):
        read(letter("plain", "Subject: failure", body="x").content, has_sender=False)
    assert caplog.records == []


def test_words_are_judged_by_the_library_that_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Message] = []

    def failures(message: Message) -> tuple[frozenset[bytes], frozenset[bytes]]:
        asked.append(message)
        return frozenset({b"bo@modtager.example"}), frozenset({b"erik@modtager.example"})

    monkeypatch.setattr(reports, "all_failures", failures)
    content = letter("plain", "Subject: x", body="words").content
    found = read(content, has_sender=False)
    assert [(one.action, one.addresses) for one in found] == [
        (Action.FAILED, ("erik@modtager.example",)),
        (Action.DELAYED, ("bo@modtager.example",)),
    ]
    assert asked[0].as_bytes() == message_from_bytes(content).as_bytes()
