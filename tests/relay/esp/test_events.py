# SPDX-License-Identifier: AGPL-3.0-or-later
"""What providers report, in the shapes that they document, read into one form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import RequestFactory

from relay.esp.events import Event, Unreadable, Untrusted, read
from relay.esp.providers import PROVIDERS, Keys
from tests.testbed import esp, espevents

TOKEN = "b" + "a7" * 23 + "k"
ERIK = "erik@modtager.example"
KEYS = Keys(esp.KEY, esp.SIGNING)


def asked(report: espevents.Report) -> Any:
    kind, body = report
    return RequestFactory().post("/hooks/esp/x/", body, content_type=kind)


def found(provider: str, kind: str, reply: str = "", token: str = TOKEN) -> list[Event]:
    keys = KEYS if PROVIDERS[provider].signs_events else Keys(esp.KEY)
    return read(
        PROVIDERS[provider], asked(espevents.events(provider, kind, token, ERIK, reply)), keys
    )


def heard(provider: str, said: dict[str, Any]) -> list[Event]:
    request = asked(("application/json", json.dumps(said).encode()))
    return read(PROVIDERS[provider], request, Keys(esp.KEY))


@pytest.mark.parametrize("provider", esp.NAMES)
@pytest.mark.parametrize(
    ("kind", "read_as", "scope", "is_hard"),
    [
        ("delivered", "delivered", "recipient", False),
        ("hard", "failed", "recipient", True),
        ("delayed", "delayed", "infrastructure", False),
        ("spam", "complained", "recipient", False),
        ("listed", "failed", "policy", False),
    ],
)
def test_every_provider_is_read(provider, kind, read_as, scope, is_hard):
    (event,) = found(provider, kind)
    # Mailgun says of all that it gives up that it is permanent.
    if kind in ("hard", "listed") and provider.startswith("mailgun"):
        is_hard = None
    assert (event.kind, event.scope, event.is_hard) == (read_as, scope, is_hard)
    assert (event.token, event.recipient) == (TOKEN, ERIK)
    assert event.at.startswith("2026-11-22T12:00:00")


@pytest.mark.parametrize("provider", esp.NAMES)
def test_a_failure_that_may_pass_is_never_hard(provider):
    (event,) = found(provider, "soft")
    assert not event.is_hard


@pytest.mark.parametrize("provider", esp.NAMES)
def test_what_people_do_with_their_mail_is_not_read(provider):
    assert found(provider, "open") == []


@pytest.mark.parametrize("token", ["", "andet", TOKEN.upper(), "b" + "1" * 47])
def test_what_names_no_mail_of_ours_is_left(token):
    assert found("postmark", "hard", token=token) == []


@pytest.mark.parametrize(
    ("reply", "code", "enhanced"),
    [
        ("smtp;550 5.1.1 The email account does not exist", 550, "5.1.1"),
        ("550-5.1.1 no such user", 550, "5.1.1"),
        ("421 4.7.0 try later", 421, "4.7.0"),
        ("5.2.2 mailbox full", 0, "5.2.2"),
        ("user unknown, see 10.550.1.2 for 12345", 0, ""),
        ("", 0, ""),
    ],
)
def test_codes_are_found_in_the_other_servers_words(reply, code, enhanced):
    (event,) = found("postmark", "hard", reply)
    assert (event.code, event.enhanced, event.text) == (code, enhanced, reply)


def test_a_false_signature_is_refused():
    kind, body = espevents.events("mailgun_eu", "hard", TOKEN, ERIK)
    told = json.loads(body)
    told["signature"]["timestamp"] = "1"
    with pytest.raises(Untrusted):
        read(PROVIDERS["mailgun_eu"], asked((kind, json.dumps(told).encode())), KEYS)


def test_without_a_key_for_signatures_the_address_alone_proves():
    kind, body = espevents.events("mailgun_eu", "hard", TOKEN, ERIK)
    told = json.loads(body)
    told["signature"]["signature"] = "x"
    provider = PROVIDERS["mailgun_eu"]
    assert read(provider, asked((kind, json.dumps(told).encode())), Keys(esp.KEY))


@pytest.mark.parametrize("provider", esp.NAMES)
@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b"{}", b"null", b"7", b'"x"', b"[1]", b"[[]]", b"\xff\xfe", b"[" * 5_000,
     b'{"event": {}}', b'{"RecordType": []}', b'[{"msys": 3}]', b'{"event-data": {"event": 1}}',
     b'{"event": "sent", "time": 1e999}', b'{"event":"bounce","time":99999999999999999}'],
)  # fmt: skip
def test_what_nobody_sends_is_nothing_or_unreadable_and_never_a_fault(provider, body):
    try:
        events = read(PROVIDERS[provider], asked(("application/json", body)), Keys(esp.KEY))
    except Unreadable:
        return
    assert events == []


def test_texts_and_addresses_are_bounded():
    report = espevents.events("postmark", "hard", TOKEN, "x" * 5_000, "y " * 5_000)
    (event,) = read(PROVIDERS["postmark"], asked(report), Keys(esp.KEY))
    assert len(event.recipient) <= 320
    assert len(event.text) <= 500


@pytest.mark.behaviour(42)
def test_filter_that_refuses_mail_is_no_person_who_complains():
    said = json.loads(espevents.events("postmark", "hard", TOKEN, ERIK)[1])
    (event,) = heard("postmark", said | {"Type": "SpamNotification"})
    assert (event.kind, event.scope, event.is_hard) == ("failed", "policy", False)
    (event,) = heard("postmark", said | {"Type": "SpamComplaint"})
    assert event.kind == "complained"


@pytest.mark.behaviour(42)
@pytest.mark.parametrize(
    ("provider", "facts"),
    [
        ("mailjet", {"error": "duplicate in campaign"}),
        ("brevo", {"event": "soft_bounce", "reason": "550 5.1.1 user unknown"}),
    ],
)
def test_hard_needs_a_reason_that_is_about_the_address(provider, facts):
    said = json.loads(espevents.events(provider, "hard", TOKEN, ERIK)[1])
    (event,) = heard(provider, said | facts)
    assert event.is_hard is False


def test_providers_own_label_is_told_from_the_other_servers_words():
    said = json.loads(espevents.events("postmark", "hard", TOKEN, ERIK)[1])
    label = "The server was unable to deliver your message (ex: unknown user)."
    (event,) = heard("postmark", said | {"Details": "", "Description": label})
    assert (event.text, event.is_quoted) == (label, False)
    (event,) = heard("postmark", said | {"Details": "550 no", "Description": label})
    assert (event.text, event.is_quoted) == ("550 no", True)


def test_words_that_mailjet_gives_as_a_comment_are_the_other_servers():
    said = json.loads(espevents.events("mailjet", "hard", TOKEN, ERIK)[1])
    (event,) = heard("mailjet", said | {"comment": "550 5.7.1 spam"})
    assert (event.enhanced, event.is_quoted) == ("5.7.1", True)
