# SPDX-License-Identifier: AGPL-3.0-or-later
"""From what a provider reported to the log: in any order, once, and of nobody else's mail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zlib import crc32

import psycopg
import pytest
from django.test import Client

from accounts import turns
from accounts.models import Organisation
from relay import espaccounts, espinbox, esptaking, returnpaths
from relay.esp import events
from relay.feedback import Feedback, Taken
from relay.models import EspEvent
from relay.queue.returned import SAME_WITHIN
from relay.returnpaths import ReturnPath
from tests import build
from tests.guards import places
from tests.relay import mail
from tests.relay.test_delivery_providers import ERIK, IDA, carried
from tests.testbed import espevents
from tests.testbed.esp import Api

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.as_role("relay")]

STATES = "SELECT state, final_reason FROM relay_delivery WHERE message_id = %s ORDER BY position"
REPORTS = "SELECT position, kind, source FROM relay_report ORDER BY received_at, position"
ROWS = "SELECT count(*) FROM relay_espevent"
SUPPRESSED = "SELECT address, reason FROM relay_suppression"


def sent(house: Organisation, *recipients: str, state: str = "delivered") -> UUID:
    """A mail that a provider took, as the log has it."""
    message = mail.message(house.id, *(recipients or (ERIK,)))
    mail.run(mail.keep(message))
    mail.execute("UPDATE relay_delivery SET state = %s WHERE message_id = %s", state, message.id)
    return message.id


def told(message_id: UUID, kind: str = "failed", position: int | None = 0, **of: Any) -> Any:
    facts: dict[str, Any] = {"recipient": ERIK, "scope": "recipient", "is_hard": kind == "failed"}
    token = returnpaths.written(ReturnPath(message_id, position))
    return events.Event(**{"token": token, "kind": kind} | facts | of)


def kept(house: Organisation, found: Sequence[events.Event], at: datetime | None = None) -> None:
    """What the address for reports leaves behind."""
    with build.as_owner():
        EspEvent.objects.create(
            organisation=house,
            route_id=places.a_provider(house),
            received_at=at or mail.now(),
            sealed=events.seal(found, house.id),
        )


def take(house: Organisation, *found: events.Event, **of: Any) -> None:
    kept(house, found, **of)
    esptaking.take(mail.now())


@pytest.mark.behaviour(45)
def test_what_a_provider_took_may_come_back(house: Organisation) -> None:
    message = sent(house)
    take(house, told(message, "delayed"), told(message, "delivered"), told(message))
    assert mail.rows(STATES, message) == [("bounced", "returned")]
    assert [kind for _, kind, _ in mail.rows(REPORTS)] == ["delayed", "delivered", "failed"]
    assert mail.rows(SUPPRESSED) == [(ERIK, "hard_bounce")]
    assert mail.value(ROWS) == 0


@pytest.mark.behaviour(45)
def test_late_news_of_a_delivery_does_not_undo_that_it_came_back(house: Organisation) -> None:
    message = sent(house)
    take(house, told(message), told(message, "delivered"), told(message, "delayed"))
    assert mail.rows(STATES, message) == [("bounced", "returned")]


@pytest.mark.behaviour(45)
def test_report_that_overtakes_its_delivery_is_kept_until_it_is_written(
    house: Organisation,
) -> None:
    early, other = sent(house, state="waiting"), sent(house)
    kept(house, [told(early)])
    take(house, told(other))
    # One mail that is on its way keeps no other waiting.
    assert mail.rows(STATES, other) == [("bounced", "returned")]
    assert mail.value(ROWS) == 1
    mail.execute("UPDATE relay_delivery SET state = 'delivered' WHERE message_id = %s", early)
    esptaking.take(mail.now())
    assert mail.rows(STATES, early) == [("bounced", "returned")]
    assert mail.value(ROWS) == 0


def test_more_than_a_page_is_taken_in_one_run(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(esptaking, "PAGE", 1)
    same = mail.now()
    early = sent(house, state="waiting")
    for _ in range(2):
        kept(house, [told(early)], at=same)
    message = sent(house)
    take(house, told(message), at=same)
    assert mail.rows(STATES, message) == [("bounced", "returned")]
    assert mail.value(ROWS) == 2


@pytest.mark.behaviour(42)
def test_another_organisations_mail_is_never_told_of(house: Organisation) -> None:
    stranger = mail.organisation("Andre ApS")
    message = sent(house)
    take(stranger, told(message), told(message, "complained"))
    assert mail.rows(STATES, message) == [("delivered", "")]
    assert mail.rows(REPORTS) == mail.rows(SUPPRESSED) == []
    assert mail.value(ROWS) == 0


@pytest.mark.behaviour(45)
def test_report_that_is_sent_again_later_changes_nothing(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = sent(house)
    take(house, told(message), told(message, "complained"))
    mail.execute("DELETE FROM relay_suppression")  # by a person, who trusts the address
    later = mail.now() + SAME_WITHIN + timedelta(hours=1)
    monkeypatch.setattr("accounts.clock.now", lambda: later)
    take(house, told(message), told(message, "complained"))
    assert len(mail.rows(REPORTS)) == 2
    assert mail.rows(SUPPRESSED) == []


def test_address_that_is_gone_is_listed_also_when_it_was_only_full_before(
    house: Organisation,
) -> None:
    message = sent(house)
    take(house, told(message, is_hard=False), told(message), told(message, is_hard=False))
    assert mail.rows(SUPPRESSED) == [(ERIK, "hard_bounce")]
    assert len(mail.rows(REPORTS)) == 2


def test_complaint_is_listed_and_the_mail_stays_delivered(house: Organisation) -> None:
    message = sent(house)
    take(house, told(message, "complained"))
    assert mail.rows(STATES, message) == [("delivered", "")]
    assert mail.rows(SUPPRESSED) == [(ERIK, "complaint")]


def test_one_of_several_is_found_by_the_address(house: Organisation) -> None:
    message = sent(house, ERIK, IDA)
    take(house, told(message, position=None, recipient=IDA.upper()))
    assert mail.rows(STATES, message) == [("delivered", ""), ("bounced", "returned")]
    assert mail.rows(SUPPRESSED) == [(IDA, "hard_bounce")]


@pytest.mark.behaviour(42)
@pytest.mark.parametrize("recipient", [IDA.replace("@", "@mx."), IDA.split("@")[0], ""])
@pytest.mark.parametrize("kind", ["failed", "complained"])
def test_one_of_several_is_not_listed_by_a_guess(
    house: Organisation, kind: str, recipient: str
) -> None:
    message = sent(house, ERIK, IDA)
    take(house, told(message, kind, position=None, recipient=recipient))
    assert mail.rows(SUPPRESSED) == []


@pytest.mark.behaviour(42)
@pytest.mark.parametrize(
    "of",
    [
        {"code": 550, "enhanced": "5.7.1", "text": "550 5.7.1 listed at zen.spamhaus.example"},
        {"code": 452, "enhanced": "4.2.2", "text": "452 4.2.2 mailbox full"},
        {"text": "Too old"},
        {"text": "Unable to connect to MX servers"},
        {"text": "Message rejected due to spam content"},
        {"text": "blocked: spam content"},
        {"text": "Mailbox full"},
        {"scope": "policy"},
        {"scope": "infrastructure"},
        {"is_hard": False},
        {"is_hard": False, "code": 550, "enhanced": "5.1.1", "text": "550 5.1.1 user unknown"},
        {"is_hard": None},
    ],
)
def test_whatever_is_not_about_the_address_costs_it_nothing(
    house: Organisation, of: dict[str, Any]
) -> None:
    take(house, told(sent(house), **of))
    assert mail.rows(SUPPRESSED) == []


@pytest.mark.behaviour(42)
def test_label_of_the_providers_own_is_no_word_of_the_other_server(house: Organisation) -> None:
    take(house, told(sent(house), text="Hard bounce: blocked or unknown", is_quoted=False))
    assert mail.rows(SUPPRESSED) == [(ERIK, "hard_bounce")]


@pytest.mark.parametrize("token", ["", "b" + "a7" * 23 + "k", "andet"])
def test_what_names_no_mail_is_left(house: Organisation, token: str) -> None:
    take(house, told(sent(house), token=token))
    assert mail.rows(REPORTS) == []
    assert mail.value(ROWS) == 0


def test_what_cannot_be_opened_or_written_keeps_nothing_waiting(
    house: Organisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = sent(house), sent(house)
    monkeypatch.setattr(Feedback, "_take", _refusing(broken))
    kept(house, [])
    mail.execute("UPDATE relay_espevent SET sealed = 'x'")
    kept(house, [told(broken)])
    take(house, told(fine))
    assert mail.rows(STATES, fine) == [("bounced", "returned")]
    assert mail.value(ROWS) == 1
    assert "DataError" in caplog.text
    assert "@" not in caplog.text


def _refusing(broken: UUID) -> Callable[..., Any]:
    real = Feedback._take

    async def take_one(self: Feedback, event: Any) -> Taken:
        if event.message_id == broken:
            raise psycopg.DataError(f"of {ERIK}")
        return await real(self, event)

    return take_one


def test_only_one_run_at_a_time(house: Organisation) -> None:
    lock = [turns.LOCK_CLASS, crc32(esptaking.TURN.encode()) & 0x7FFFFFFF]
    with psycopg.connect(mail.dsn()) as other:
        other.execute("SELECT pg_advisory_lock(%s::int, %s::int)", lock)
        take(house, told(sent(house)))
        assert mail.value(ROWS) == 1
        # A session that ends gives its turn back a moment later.
        other.execute("SELECT pg_advisory_unlock(%s::int, %s::int)", lock)
    esptaking.take(mail.now())
    assert mail.value(ROWS) == 0


def test_whole_way_from_the_call_to_the_log(house: Organisation, settings: Any) -> None:
    with Api() as api:
        carried(house, api, settings, ERIK, IDA)
    made = "x" * espaccounts.HOOK_LENGTH
    with build.as_owner():
        mail.execute("UPDATE relay_route SET hook_hash = %s", espaccounts.hook_hash(made))
    (call,) = api.ledger
    kind, body = espevents.events("brevo", "hard", call.token, IDA, "550 5.1.1 no such user")
    with build.as_role("web"):
        assert Client().post(f"/hooks/esp/{made}/", body, content_type=kind).status_code == 200
    assert mail.value(ROWS) == 1
    esptaking.take(mail.now())
    assert mail.rows("SELECT recipient, state FROM relay_delivery ORDER BY recipient") == [
        (ERIK, "delivered"),
        (IDA, "bounced"),
        ("post@due.example", "waiting"),  # is told of it
    ]
    assert mail.rows(SUPPRESSED) == [(IDA, "hard_bounce")]


def test_rows_about_an_address_are_found(house: Organisation) -> None:
    kept(house, [told(sent(house)), told(sent(house), recipient=IDA)])
    kept(house, [told(sent(house), recipient="frida@modtager.example")])
    with build.as_owner():
        assert len(espinbox.rows_about(IDA)) == 1
        EspEvent.objects.update(sealed=b"x")
        assert espinbox.rows_about(IDA) == []
