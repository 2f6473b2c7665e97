# SPDX-License-Identifier: AGPL-3.0-or-later
"""Notices to senders do not say whose address it was, where that may be kept and no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any
from uuid import uuid4

import pytest

from relay.discretion import Restricted
from relay.smtp import dsn
from relay.smtp.envelope import Recipient
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.smtp.waited import Waited
from relay.suppressing import fingerprint

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUSE = uuid4()
ERIK, IDA = "erik@modtager.example", "ida@andet.example"
RESTRICTED = Restricted(HOUSE, frozenset({fingerprint(HOUSE, ERIK)}))
HEADER = b"From: post@due.example\r\nTo: Ida <%b>\r\nSubject: Faktura\r\n\r\nkrop\r\n"
REFUSED = Outcome(
    verdict=Verdict.BOUNCED,
    scope=Scope.RECIPIENT,
    code=550,
    enhanced="5.1.1",
    text=f"<{ERIK}>: no such user, says hansen",
    remote_host="mx.modtager.example",
)


def told(address: str, **fields: Any) -> dsn.Told:
    values: dict[str, Any] = {"outcome": REFUSED, "attempted_at": NOW}
    to = Recipient(address, orcpt=f"rfc822;{address}")
    return dsn.Told(recipient=to, **values | fields)


def report(*recipients: dsn.Told, **fields: Any) -> dsn.Report:
    values: dict[str, Any] = {
        "action": dsn.Action.FAILED, "message_id": uuid4(), "sender": "post@due.example",
        "original": HEADER % IDA.encode(), "accepted_at": NOW - timedelta(hours=1), "now": NOW,
        "expires_at": NOW + timedelta(hours=1), "reporting_host": "relay.brevdue.example",
    }  # fmt: skip
    return dsn.Report(recipients=recipients, **values | fields)


def written(of: dsn.Report, restricted: Restricted = RESTRICTED) -> str:
    """The notice with its parts decoded."""
    parts = message_from_bytes(dsn.build(restricted.left_out_of(of)), policy=policy.default)
    return "\n".join(
        str(part) if part.get_content_type() != "text/plain" else part.get_content()
        for part in parts.iter_parts()
    )


@pytest.mark.parametrize("address", [ERIK, "Erik@MODTAGER.example"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"expired": True},
        {"came_back": True},
        {"relayed": True},
        {"waited": Waited("restricted", was_tried=False), "expired": True},
    ],
)
def test_nothing_in_a_notice_says_who_is_restricted(address: str, how: dict[str, Any]) -> None:
    about = report(told(address, **how))
    text = written(about)
    for known in ("erik", "modtager.example", "hansen", "faktura"):
        assert known not in text.lower(), known
    assert text.count(str(about.message_id)) == 2
    assert "whose address the organisation does not use" in text
    assert "hvis adresse organisationen for tiden ikke bruger" in text
    # RFC 3464 §2.3.2 to §2.3.4: a machine finds the fields that each recipient must have.
    assert f"Final-Recipient: rfc822; {dsn.UNNAMED.address}" in text
    assert "\nAction: " in text
    assert "\nStatus: " in text


def test_others_are_named_beside_one_who_is_not() -> None:
    text = written(report(told(IDA, outcome=replace(REFUSED, text="full")), told(ERIK)))
    assert f"Final-Recipient: rfc822; {IDA}" in text
    assert "550 full" in text
    assert "erik" not in text


@pytest.mark.parametrize("spelt", [ERIK, "ERIK@Modtager.example"])
def test_headers_that_name_somebody_restricted_stay_here(spelt: str) -> None:
    named = HEADER % f"{IDA}>, <{spelt}".encode()
    text = written(report(told(IDA, outcome=replace(REFUSED, text="full")), original=named))
    assert "erik" not in text.lower()
    assert "Subject: Faktura" not in text
    assert f"Final-Recipient: rfc822; {IDA}" in text


def test_answer_about_one_that_names_another_is_left_out() -> None:
    text = written(report(told(IDA)))
    assert "erik" not in text
    assert "Subject: Faktura" in text


def test_another_organisations_restriction_changes_nothing() -> None:
    about = report(told(ERIK))
    for restricted in (Restricted(HOUSE), Restricted(uuid4(), RESTRICTED.hashes)):
        assert restricted.left_out_of(about) == about
